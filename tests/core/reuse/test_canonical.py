"""The one form of JSON: what is the same hits, what is not misses."""

import json
import random
from typing import Any

import msgspec
import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.canonical import BYTES_MAX, CONTAINERS_MAX, FRACTIONS_MAX, canonicalise, is_zero, write
from tests.core.reuse.trees import HARD, TREES, is_same, mutate, spell


def one_form(body: bytes) -> bytes:
    """Return the one form of what has one."""
    canonical = canonicalise(body)
    assert canonical is not None, body
    return canonical.text


@HARD
@given(TREES, st.randoms(use_true_random=False))
def test_order_and_white_space_do_not_count(tree: Any, chance: random.Random) -> None:
    """However members are ordered, text is spaced and characters are escaped: it is the same."""
    assert one_form(spell(tree, chance)) == one_form(spell(tree, chance))


@HARD
@given(TREES, st.randoms(use_true_random=False))
def test_any_change_of_meaning_counts(tree: Any, chance: random.Random) -> None:
    """Whatever one thing is changed, at whatever depth: it is another."""
    other = mutate(tree, chance)
    assert not is_same(tree, other)
    assert one_form(spell(tree, chance)) != one_form(spell(other, chance))


@HARD
@given(TREES, TREES)
def test_two_values_are_the_same_or_not(one: Any, other: Any) -> None:
    """The forms of two values are equal where these are, and only there."""
    assert (one_form(json.dumps(one).encode()) == one_form(json.dumps(other).encode())) == is_same(one, other)


@given(TREES)
def test_the_form_is_the_values_own(tree: Any) -> None:
    """What is compared says what was said, and is its own form."""
    text = one_form(json.dumps(tree).encode())
    assert is_same(json.loads(text), tree)
    assert one_form(text) == text


@pytest.mark.parametrize(
    "spellings",
    [
        ["1", "1.0", "1e0", "1E0", "10e-1", '"1"', "true", "[1]"],
        ["0", "0.0", "-0.0", "0e0", "false", "null", '""', "[]", "{}"],
        ["18446744073709551615", "18446744073709551616", "18446744073709551617", "1.8446744073709551616e19"],
        ["9007199254740992", "9007199254740993", "9007199254740993.0", "9007199254740992.0"],
        ["123456789012345678901234567890", "123456789012345678901234567891"],
        ["0.1", "0.10", "0.1000000000000000055511151231257827", "0.1000000000000000055511151231257828"],
        ["1e-400", "0.0", "1e-401", "2e-400"],
        ["1e400", "1e401", "-1e400"],
    ],
)
def test_numbers_are_not_conflated(spellings: list[str]) -> None:
    """Numbers that some parser would take for one are several, whatever their size."""
    forms = [one_form(b'{"temperature": %b}' % spelling.encode()) for spelling in spellings]
    assert len(set(forms)) == len(spellings)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": "\\u00e9"}', '{"a": "é"}'.encode()),
        (b'{"a": "\\ud83d\\ude00"}', '{"a": "😀"}'.encode()),
        (b'{"a": "\\/\\u002f"}', b'{"a": "//"}'),
        (b'{"a": "\\u0022"}', b'{"a": "\\""}'),
        (b'{"\\u0061": 1}', b'{"a": 1}'),
        (b'{"a": "\\b\\f\\t"}', b'{"a": "\\u0008\\u000c\\u0009"}'),
        (b'\t{"a":\r\n1}\n', b'{"a":1}'),
    ],
)
def test_escapes_are_their_characters(one: bytes, other: bytes) -> None:
    """How a character is written makes no difference."""
    assert one_form(one) == one_form(other)


@pytest.mark.parametrize(
    ("one", "other"),
    [
        (b'{"a": "\\\\u0022"}', b'{"a": "\\""}'),
        ('{"a": "\N{LATIN SMALL LETTER E WITH ACUTE}"}'.encode(), '{"a": "e\N{COMBINING ACUTE ACCENT}"}'.encode()),
        (b'{"a": "x"}', b'{"a": "X"}'),
        (b'{"a": "x"}', b'{"A": "x"}'),
        (b'{"a": "x"}', b'{"a": "x "}'),
        (b'{"a": null}', b"{}"),
        (b'{"a": [1, 2]}', b'{"a": [2, 1]}'),
        (b'{"a": {"b": 1}}', b'{"a": [{"b": 1}]}'),
        (b'{"a": {"b": 1}, "c": 2}', b'{"a": {"b": 1, "c": 2}}'),
    ],
)
def test_what_looks_alike_is_not_the_same(one: bytes, other: bytes) -> None:
    """Case, accents, nulls, order of lists and nesting count."""
    assert one_form(one) != one_form(other)


@pytest.mark.parametrize(
    "body",
    [
        b'{"a": 1, "a": 2}',
        b'{"a": 1, "a": 1}',
        b'{"a": 1, "\\u0061": 2}',
        b'{"x": [{"y": {"a": "1", "a": "2"}}]}',
        b'{"a": "\\u0022\\u0022", "b": 1, "b": 2}',  # as many quotes too many as the member has
        b'{"b": "\\u0022\\u0022\\u0022\\u0022", "b": ""}',
        b'{"a": "\\u0022\\u0022\\u0022\\u0022", "b": "", "b": ""}',
        b'{"a": "\\\\u0022\\\\u0022", "b": 1, "b": 2}',
        b'{"": 1, "": 2}',
    ],
)
def test_a_member_that_is_there_twice_has_no_form(body: bytes) -> None:
    """Servers differ in which of the two counts, so nobody can tell what was asked for."""
    assert canonicalise(body) is None


@HARD
@given(
    st.dictionaries(st.text('"\\u02a', max_size=4), st.text('"\\u02a', max_size=6), min_size=1, max_size=4),
    st.randoms(use_true_random=False),
)
def test_no_spelling_hides_a_member_that_is_there_twice(members: dict[str, str], chance: random.Random) -> None:
    """Also where keys and values are made of quotes and backslashes, in all their spellings."""
    pairs = [f"{spell(key, chance).decode()}:{spell(value, chance).decode()}" for key, value in members.items()]
    assert canonicalise(("{" + ",".join(pairs) + "}").encode()) is not None
    again = f"{spell(chance.choice(list(members)), chance).decode()}:{spell(chance.choice(list(members.values())), chance).decode()}"
    pairs.insert(chance.randrange(len(pairs) + 1), again)
    assert canonicalise(("{" + ",".join(pairs) + "}").encode()) is None


@pytest.mark.parametrize(
    "body",
    [
        b"",
        b" ",
        b"{",
        b"nonsense",
        b"{} {}",
        b'{"a": NaN}',
        b"{'a': 1}",
        b'{"a": 01}',
        b'{"a": "\n"}',
        b'{"a": "\\ud800"}',
        b'{"a": "\xff"}',
        b"\xef\xbb\xbf{}",
        b"[" * 100_000,
        b'{"a":' * 100_000,
        b"[" * 100_000 + b"]" * 100_000,
        b"9" * 100_000,
    ],
    ids=range(16),
)
def test_what_is_not_json_has_no_form(body: bytes) -> None:
    """Neither has what is nested too deeply to be read."""
    assert canonicalise(body) is None


@given(st.binary(max_size=64))
def test_no_bytes_raise(body: bytes) -> None:
    """Whatever comes, there is an answer."""
    canonicalise(body)


def test_what_costs_too_much_has_no_form() -> None:
    """Bodies are bounded in bytes, in containers and in numbers with a point; up to the bounds they are read."""

    def text(length: int) -> bytes:
        return b'"' + b"a" * (length - 2) + b'"'

    assert canonicalise(text(BYTES_MAX)) is not None
    assert canonicalise(text(BYTES_MAX + 1)) is None

    def lists(count: int) -> bytes:
        return b"[" + b",".join([b"[]"] * (count - 1)) + b"]"

    assert canonicalise(lists(CONTAINERS_MAX)) is not None
    assert canonicalise(lists(CONTAINERS_MAX + 1)) is None

    def numbers(count: int) -> bytes:
        return b"[" + b",".join([b"0.5"] * count) + b"]"

    assert canonicalise(numbers(FRACTIONS_MAX)) is not None
    assert canonicalise(numbers(FRACTIONS_MAX + 1)) is None
    assert canonicalise(numbers(FRACTIONS_MAX)) is not None  # the count begins anew


def test_a_part_is_written_in_the_same_form() -> None:
    """What was taken from a tree is compared as if it had come so."""
    canonical = canonicalise(b'{"b": {"z": 1.50, "a": [1e0]}, "a": 0}')
    assert canonical is not None
    assert write(canonical.tree["b"]) == one_form(b'{"a": [1e0], "z": 1.50}')


@pytest.mark.parametrize(
    ("text", "expected"),
    [
        ("0", True),
        ("0.0", True),
        ("-0.0", True),
        ("0e9", True),
        ("1e-999", True),
        ("1", False),
        ("0.01", False),
        ("1e999", False),
        ("false", False),
        ("null", False),
        ('"0"', False),
        ("[]", False),
        ('""', False),
    ],
)
def test_zero_is_a_number(text: str, expected: bool) -> None:
    """However it is written; nothing else is zero."""
    canonical = canonicalise(text.encode())
    assert canonical is not None
    assert is_zero(canonical.tree) is expected


def test_integers_stay_exact() -> None:
    """The library's reader of integers is the one this relies on: beyond 64 bits they are exact, or kept as written."""
    canonical = canonicalise(b"[18446744073709551617]")
    assert canonical is not None
    assert canonical.text == b"[18446744073709551617]"
    assert type(canonical.tree[0]) in (int, msgspec.Raw)


def test_assumptions_of_these_tests() -> None:
    """What the tests compare with tells types apart."""
    assert not is_same(1, True) and not is_same(1, 1.0) and not is_same([1], [True]) and is_same({"a": [1]}, {"a": [1]})
