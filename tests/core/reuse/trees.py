"""JSON values, all the ways to write them, and changes of their meaning."""

import json
import random
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st

# What isolation rests on is tried more often than the rest.
_EXAMPLES = settings().max_examples
HARD = settings(max_examples=200 if _EXAMPLES < 5_000 else 10_000)

TEXTS = st.text(st.characters(exclude_categories=("Cs",)), max_size=8)
LEAVES = st.none() | st.booleans() | st.integers() | st.integers(-(2**70), 2**70) | st.floats(allow_nan=False, allow_infinity=False) | TEXTS
TREES = st.recursive(LEAVES, lambda inner: st.lists(inner, max_size=4) | st.dictionaries(TEXTS, inner, max_size=4), max_leaves=12)
_SPACES = ("", " ", "\n", "\t", "\r\n", "  ")


def is_same(one: object, other: object) -> bool:
    """Tell whether two values are the same in type and value: `1`, `1.0` and `true` are three."""
    if type(one) is not type(other):
        return False
    if isinstance(one, dict) and isinstance(other, dict):
        return one.keys() == other.keys() and all(is_same(value, other[key]) for key, value in one.items())
    if isinstance(one, list) and isinstance(other, list):
        return len(one) == len(other) and all(map(is_same, one, other))
    return repr(one) == repr(other)


def spell(tree: Any, chance: random.Random) -> bytes:
    """Return a value as JSON: with members in some order, spaces in some places, characters written in some way."""
    return _spell(tree, chance).encode()


def _spell(tree: Any, chance: random.Random) -> str:
    if isinstance(tree, dict):
        items = list(tree.items())
        chance.shuffle(items)
        return _enclose(
            "{}", [f"{_spell_text(key, chance)}{_space(chance)}:{_space(chance)}{_spell(value, chance)}" for key, value in items], chance
        )
    if isinstance(tree, list):
        return _enclose("[]", [_spell(value, chance) for value in tree], chance)
    return _spell_text(tree, chance) if isinstance(tree, str) else json.dumps(tree)


def _enclose(brackets: str, parts: list[str], chance: random.Random) -> str:
    spaced = ",".join(f"{_space(chance)}{part}{_space(chance)}" for part in parts)
    return f"{brackets[0]}{spaced or _space(chance)}{brackets[1]}"


def _space(chance: random.Random) -> str:
    return chance.choice(_SPACES)


def _spell_text(text: str, chance: random.Random) -> str:
    return '"' + "".join(_spell_character(character, chance) for character in text) + '"'


def _spell_character(character: str, chance: random.Random) -> str:
    plain = json.dumps(character, ensure_ascii=False)[1:-1]
    units = character.encode("utf-16-be")
    by_number = "".join(f"\\u{units[at]:02x}{units[at + 1]:02X}" for at in range(0, len(units), 2))
    return chance.choice((plain, plain, by_number))


def mutate(tree: Any, chance: random.Random) -> Any:
    """Return a value that differs in one thing: a leaf's value or type, a name, its case, an order, a member more or less."""
    while True:
        other = _mutate(tree, chance)
        if not is_same(tree, other):
            return other


def _mutate(tree: Any, chance: random.Random) -> Any:
    if isinstance(tree, dict) and tree and chance.random() < 0.8:
        return _mutate_members(tree, chance)
    if isinstance(tree, list) and tree and chance.random() < 0.8:
        return _mutate_items(tree, chance)
    return chance.choice((_change_value, _change_type))(tree, chance)


def _mutate_members(tree: dict[str, Any], chance: random.Random) -> dict[str, Any]:
    name = chance.choice(list(tree))
    rest = {key: value for key, value in tree.items() if key != name}
    match chance.randrange(5):
        case 0:
            return rest
        case 1:
            return {**tree, name + "x": tree[name]}
        case 2:
            return {**rest, name.swapcase(): tree[name]}
        case 3:
            return {**rest, chance.choice((name + " ", " " + name, name + "\0")): tree[name]}
        case _:
            return {**tree, name: _mutate(tree[name], chance)}


def _mutate_items(tree: list[Any], chance: random.Random) -> list[Any]:
    at = chance.randrange(len(tree))
    match chance.randrange(4):
        case 0:
            return tree[:at] + tree[at + 1 :]
        case 1:
            return [*tree[:at], tree[at], *tree[at:]]
        case 2:
            return tree[::-1]
        case _:
            return [*tree[:at], _mutate(tree[at], chance), *tree[at + 1 :]]


def _change_value(tree: Any, chance: random.Random) -> Any:
    match tree:
        case bool():
            return not tree
        case int():
            return chance.choice((tree + 1, tree - 1, -tree, tree * 10))
        case float():
            return chance.choice((tree + 1.0, -tree, tree / 2))
        case str():
            return chance.choice((tree + "a", tree[1:], tree.swapcase(), tree[::-1], tree + " ", tree + "\\"))
        case _:
            return chance.choice((0, "", False))


def _change_type(tree: Any, chance: random.Random) -> Any:
    return chance.choice(([tree], {"": tree}, json.dumps(tree), None, str(tree), not tree, 0 if not tree else 1, 0.0 if not tree else 1.0))
