"""The effective settings: built-in defaults, a file over them, the environment over both."""

import math
from collections.abc import Iterator, Mapping
from dataclasses import replace
from types import MappingProxyType
from typing import Any, NamedTuple

from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Settings
from sidecar.core.settings.checks import check_together
from sidecar.core.settings.decode import decode
from sidecar.core.settings.environment import ParseText, read_environment
from sidecar.core.settings.kinds import Kind, members
from sidecar.core.settings.merge import Merged, Place, merge
from sidecar.core.settings.tree import Document, Fault, KeyPath, spell
from sidecar.errors import ConfigError, ConfigProblem


class Loaded(NamedTuple):
    """Settings in effect, where each came from (`default`, `file:LINE`, `env:VARIABLE`, by path), and the file's name."""

    settings: Settings
    origins: Mapping[str, str]
    source: str


class Leaf(NamedTuple):
    """One setting that holds a single value."""

    path: KeyPath
    kind: Kind
    value: Any


def resolve(document: Document, environ: Mapping[str, str], parse: ParseText) -> Loaded:
    """Return the effective settings. Raises ConfigError with every problem of file and environment at once."""
    assignments, faults = read_environment(environ, parse)
    merged = merge(document, assignments)
    settings, decoding_faults = decode(Settings, merged.tree)
    as_written = Merged(document.tree, dict(document.lines))
    problems = [locate(fault, as_written, document.source) for fault in document.faults]
    problems += [locate(fault, merged, document.source) for fault in (*decoding_faults, *faults, *check_together(merged.tree))]
    if settings is None or problems:
        raise ConfigError(document.source, sorted(problems, key=lambda problem: problem.line or math.inf))
    effective = _add_built_ins(settings)
    origins = {spell(leaf.path): _name_origin(merged.place(leaf.path) if merged.has(leaf.path) else None) for leaf in walk(effective)}
    return Loaded(effective, MappingProxyType(origins), document.source)


def walk(settings: Settings) -> Iterator[Leaf]:
    """Yield every single-valued setting, in the order of the declarations."""
    return _walk(Kind(section=Settings), settings, ())


def _walk(kind: Kind, value: Any, path: KeyPath) -> Iterator[Leaf]:
    if kind.section is not None:
        for name, member in members(kind.section).items():
            yield from _walk(member.kind, getattr(value, name), (*path, name))
    elif kind.entries is not None:
        for name, entry in value.items():
            yield from _walk(kind.entries, entry, (*path, name))
    elif kind.items is not None:
        for index, item in enumerate(value):
            yield from _walk(kind.items, item, (*path, index))
    else:
        yield Leaf(path, kind, value)


def _add_built_ins(settings: Settings) -> Settings:
    """Add the built-in upstreams and routes whose names and prefixes the configuration does not use."""
    taken = {route.prefix for route in settings.routes}
    return replace(
        settings,
        upstreams=MappingProxyType({**BUILT_IN_UPSTREAMS, **settings.upstreams}),
        routes=(*settings.routes, *(route for route in BUILT_IN_ROUTES if route.prefix not in taken)),
    )


def locate(fault: Fault, merged: Merged, source: str) -> ConfigProblem:
    """Say where to mend it: the line of the file, or the variable; the file itself for its outermost level."""
    place = merged.place(fault.path)
    if isinstance(place, str):
        return ConfigProblem(_spell_in_variable(place, fault.path, merged), fault.found, fault.allowed)
    return ConfigProblem(spell(fault.path) or source, fault.found, fault.allowed, place)


def _spell_in_variable(variable: str, path: KeyPath, merged: Merged) -> str:
    length = max(length for length in range(1, len(path) + 1) if merged.places.get(path[:length]) == variable)
    rest = spell(path, length)
    return variable + (f".{rest}" if rest and not rest.startswith("[") else rest)


def _name_origin(place: Place) -> str:
    if place is None:
        return "default"
    return f"env:{place}" if isinstance(place, str) else f"file:{place}"
