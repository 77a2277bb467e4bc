"""From a parsed tree to the dataclasses of `config`: every fault at once."""

import math
from collections.abc import Iterable, Mapping
from difflib import get_close_matches
from enum import StrEnum
from typing import Any, Final, NamedTuple, TypeVar

from sidecar.config import Unit
from sidecar.core.settings.forms import COUNT, FORMS, KEYS, NAME, PARTS, TEXT, Form
from sidecar.core.settings.kinds import Kind, Member, members
from sidecar.core.settings.redaction import show
from sidecar.core.settings.shapes import name_choices
from sidecar.core.settings.tree import Fault, KeyPath
from sidecar.core.settings.units import parse_duration, parse_lifetime, parse_size

Section = TypeVar("Section")

# What a faulty value decodes to. Its fault is noted by then; its holder falls back to the default, or is faulty too.
_FAULTY: Final = object()

_SCALAR_FORMS: Final[Mapping[Any, Form]] = {
    bool: Form("true or false", lambda value: isinstance(value, bool)),
    int: COUNT,
    float: Form("a number", math.isfinite),
    str: TEXT,
    Unit.DURATION: Form("a duration above zero and up to 365d, such as 250ms, 3s, 5m, 2h or 1d", lambda seconds: seconds is not None),
    Unit.LIFETIME: Form("a duration up to 365d, such as 250ms, 3s, 5m, 2h or 1d, or 0 for never", lambda seconds: seconds is not None),
    Unit.LINES: Form("text", bool),
    Unit.SIZE: Form("a size from 1B to 1024GiB, such as 64KiB or 50MiB", lambda size_bytes: size_bytes is not None),
}
_NO_FORM: Final = Form("", lambda _: True)


class Rules(NamedTuple):
    """What one setting must look like beyond its type."""

    whole: Form | None = None
    part: Form | None = None  # each item of a list, each value of a map
    key: Form = NAME  # each key of a map


_NO_RULES: Final = Rules()


def decode(section: type[Section], tree: Any) -> tuple[Section | None, list[Fault]]:
    """Return `tree` as a settings dataclass, and all that is wrong with it.

    With faults the value is incomplete: faulty parts have their defaults, or are missing.
    """
    decoder = _Decoder()
    value = decoder.read(Kind(section=section), tree, (), _NO_RULES)
    return (None if value is _FAULTY else value), decoder.faults


def suggest(name: str, known: Iterable[str]) -> str:
    """Return `; did you mean NAME?` for the known name most like `name`, or nothing."""
    close = get_close_matches(name.lower(), known, n=1, cutoff=0.6)
    return f"; did you mean {close[0]}?" if close else ""


class _Decoder:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def _fault(self, path: KeyPath, found: str, allowed: str) -> Any:
        self.faults.append(Fault(path, found, allowed))
        return _FAULTY

    def read(self, kind: Kind, value: Any, path: KeyPath, rules: Rules) -> Any:
        if value is None and kind.is_optional:
            return None
        if kind.section is not None:
            return self._read_section(kind.section, value, path)
        if kind.entries is not None:
            return self._read_entries(kind.entries, value, path, rules)
        if kind.items is not None:
            return self._read_items(kind.items, value, path, rules)
        return self._read_scalar(kind.scalar, value, path, rules.whole)

    def _read_section(self, section: type, value: Any, path: KeyPath) -> Any:
        known = members(section)
        if value is None:
            value = {}  # a heading with nothing under it
        if not isinstance(value, dict):
            return self._fault(path, show(value), "a mapping of " + ", ".join(known))
        self._check_keys(value, known, path)
        read = {name: self._read_member(section, member, value, path) for name, member in known.items()}
        if any(read[name] is _FAULTY and member.is_required for name, member in known.items()):
            return _FAULTY
        return section(**{name: part for name, part in read.items() if part is not _FAULTY})

    def _check_keys(self, value: dict[Any, Any], known: Mapping[str, Member], path: KeyPath) -> None:
        for key in value:
            if not isinstance(key, str):
                self._fault(path, f"the key {show(key)}, which is not text", "one of " + ", ".join(known))
            elif key not in known:
                self._fault((*path, key), "a key that is not known", f"{', '.join(known)}{suggest(key, known)}")

    def _read_member(self, section: type, member: Member, value: dict[Any, Any], path: KeyPath) -> Any:
        place = (section, member.name)
        rules = Rules(FORMS.get(place), PARTS.get(place), KEYS.get(place, NAME))
        if member.name in value:
            return self.read(member.kind, value[member.name], (*path, member.name), rules)
        if member.is_required:
            return self._fault((*path, member.name), "nothing", (rules.whole or _SCALAR_FORMS[member.kind.scalar]).allowed)
        return _FAULTY  # not a fault: left out, so that the dataclass's own default stands

    def _read_entries(self, entry: Kind, value: Any, path: KeyPath, rules: Rules) -> Any:
        if value is None:
            return {}
        if not isinstance(value, dict):
            return self._fault(path, show(value), "a mapping from names")
        found: dict[str, Any] = {}
        for key, part in value.items():
            if not isinstance(key, str):
                allowed = f"{rules.key.allowed}; in quotes where YAML reads something else"
                name = "a name" if rules.key.is_secret else f"the name {show(key)}"
                self._fault(path, f"{name}, which is not text", allowed)
            elif not rules.key.accepts(key):
                self._fault((*path, key), "a name that cannot be used", rules.key.allowed)
            elif (read := self.read(entry, part, (*path, key), Rules(rules.part))) is not _FAULTY:
                found[key] = read
        return found

    def _read_items(self, item: Kind, value: Any, path: KeyPath, rules: Rules) -> Any:
        if value is None:
            value = []
        if not isinstance(value, list):
            return self._fault(path, show(value), rules.whole.allowed if rules.whole else "a list")
        if not (rules.whole or _NO_FORM).accepts(value):
            return self._fault(path, "an empty list", (rules.whole or _NO_FORM).allowed)
        read = [self.read(item, part, (*path, index), Rules(rules.part)) for index, part in enumerate(value)]
        return tuple(part for part in read if part is not _FAULTY)

    def _read_scalar(self, scalar: Any, value: Any, path: KeyPath, form: Form | None) -> Any:
        if isinstance(scalar, type) and issubclass(scalar, StrEnum):
            if isinstance(value, str) and value in set(scalar):
                return scalar(value)
            return self._fault(path, show(value), name_choices(scalar) + (suggest(value, scalar) if isinstance(value, str) else ""))
        general = _SCALAR_FORMS[scalar]
        read = convert(scalar, value)
        if read is None or not general.accepts(read) or not (form or _NO_FORM).accepts(read):
            shown = show(value) if form is None or not form.is_secret else "something that may be a secret, and is not shown"
            return self._fault(path, shown, (form or general).allowed)
        return read


def convert(scalar: Any, value: Any) -> Any:
    """Return `value` as the scalar type or unit, or None where it is of another type."""
    is_number = isinstance(value, int | float) and not isinstance(value, bool)
    if scalar is Unit.DURATION:
        return parse_duration(value) if is_number or isinstance(value, str) else None
    if scalar is Unit.LIFETIME:
        return parse_lifetime(value) if is_number or isinstance(value, str) else None
    if scalar is Unit.SIZE:
        return parse_size(value) if is_number or isinstance(value, str) else None
    if scalar is Unit.LINES:
        return value if isinstance(value, str) else None
    if scalar is float:
        return to_float(value) if is_number else None
    if scalar is int:
        return value if isinstance(value, int) and is_number else None
    return value if isinstance(value, scalar) else None


def to_float(number: int | float) -> float:
    """Return the number as a float; infinity where it is too large for one."""
    try:
        return float(number)
    except OverflowError:
        return math.inf
