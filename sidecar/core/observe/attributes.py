"""Members of a request as GenAI request attributes (conventions v1.41): validated, bounded, no content."""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

INTEGER_MAX: Final = 2**63 - 1  # of an OpenTelemetry attribute
STOPS_MAX: Final = 16
STOP_CHARS_MAX: Final = 256

# By member: the attribute's name, and what makes a value of it or None. Where two mean the same, the later member
# of the request's struct wins.
Readers = Mapping[str, tuple[str, Callable[[object], Any]]]


def read_attributes(request: msgspec.Struct, readers: Readers) -> dict[str, Any]:
    """Return the attributes of a request, decoded into a struct with `omit_defaults`."""
    attributes: dict[str, Any] = {}
    # omit_defaults leaves only what the request has: usually two or three members.
    for member, value in msgspec.to_builtins(request).items():
        known = readers.get(member)
        if known is not None:
            name, read = known
            found = read(value)
            if found is not None:
                attributes[name] = found
    return attributes


def read_integer(value: object) -> int | None:
    """Return a whole number that an attribute can hold, or None where `value` is not one."""
    return value if type(value) is int and -INTEGER_MAX <= value <= INTEGER_MAX else None


def read_number(value: object) -> float | None:
    """Return a number, or None where `value` is not one."""
    if type(value) is float:
        return value
    return float(value) if type(value) is int and -INTEGER_MAX <= value <= INTEGER_MAX else None


def read_stops(value: object) -> tuple[str, ...] | None:
    """Return stop sequences, bounded in number and length, of one or of a list; None where there are none."""
    stops = value[:STOPS_MAX] if isinstance(value, list) else [value]
    # Line feeds are ordinary here; lone surrogates could not be encoded later.
    texts = [stop[:STOP_CHARS_MAX].encode("utf-8", "replace").decode() for stop in stops if isinstance(stop, str)]
    return tuple(texts) or None
