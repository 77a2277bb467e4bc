"""The types of settings, as data: what the annotations of `config`'s dataclasses say."""

from collections.abc import Mapping
from dataclasses import MISSING, Field, fields, is_dataclass
from enum import StrEnum
from functools import cache
from types import UnionType
from typing import Annotated, Any, Final, NamedTuple, Union, get_args, get_origin, get_type_hints

from sidecar.config import Unit

_SCALARS: Final = (bool, int, float, str)


class Kind(NamedTuple):
    """One setting's type: exactly one of `scalar`, `section`, `entries` (a map's) or `items` (a list's) is set."""

    scalar: type | Unit | None = None  # bool, int, float, str, a StrEnum, or a unit
    section: type | None = None  # a dataclass
    entries: "Kind | None" = None
    items: "Kind | None" = None
    is_optional: bool = False


class Member(NamedTuple):
    """One field of a section."""

    name: str
    kind: Kind
    is_required: bool


@cache
def members(section: type) -> Mapping[str, Member]:
    """Return the fields of a settings dataclass by name, in order."""
    hints = get_type_hints(section, include_extras=True)
    return {one.name: Member(one.name, _kind_of(hints[one.name]), _is_required(one)) for one in fields(section)}


def _is_required(one: Field[Any]) -> bool:
    return one.default is MISSING and one.default_factory is MISSING


def _kind_of(hint: Any) -> Kind:
    """Translate an annotation. Raises TypeError for one that settings do not use: a mistake in `config`."""
    origin, arguments = get_origin(hint), get_args(hint)
    if origin is Annotated and isinstance(arguments[1], Unit):
        return Kind(scalar=arguments[1])
    if origin in (UnionType, Union) and len(arguments) == 2 and arguments[1] is type(None):
        return _kind_of(arguments[0])._replace(is_optional=True)
    if origin is Mapping and arguments[0] is str:
        return Kind(entries=_kind_of(arguments[1]))
    if origin is tuple and arguments[1:] == (...,):
        return Kind(items=_kind_of(arguments[0]))
    if is_dataclass(hint):
        return Kind(section=hint)  # type: ignore[arg-type]  # a class here, never an instance
    if hint in _SCALARS or (isinstance(hint, type) and issubclass(hint, StrEnum)):
        return Kind(scalar=hint)
    raise TypeError(f"settings cannot be of type {hint!r}")
