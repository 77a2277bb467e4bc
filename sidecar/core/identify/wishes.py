"""What a caller may ask of the sidecar by `x-sidecar-*` request headers."""

from collections.abc import Mapping
from enum import IntEnum
from math import isfinite
from typing import Final, NamedTuple

from sidecar.errors import BAD_REQUEST, ClientFault

_NOBODY: Final[frozenset[str]] = frozenset()


class Urgency(IntEnum):
    """Who goes first where not all can. The higher, the sooner."""

    LOW = 0
    MEDIUM = 1
    HIGH = 2  # would rather have the nearest than be refused


class Wishes(NamedTuple):
    """What a caller asks of whoever answers. None, or nobody: no such wish."""

    max_response_time_s: float | None = None  # expected of the upstream; what has not been measured is held against nobody
    min_quality: float | None = None  # 0 to 1
    min_reliability: float | None = None  # 0 to 1
    prefer: frozenset[str] = _NOBODY  # upstreams; a name that no upstream has is no match
    exclude: frozenset[str] = _NOBODY  # upstreams, whatever the urgency; a name that no upstream has changes nothing
    urgency: Urgency = Urgency.MEDIUM


NO_WISHES: Final = Wishes()

_URGENCIES: Final = {urgency.name.lower(): urgency for urgency in Urgency}
_NAMES: Final = frozenset(f"x-sidecar-{name}" for name in (
    "max-response-time", "min-quality", "min-reliability", "prefer", "exclude", "urgency",
))  # fmt: skip


def read_timeout(own: Mapping[str, str]) -> float | None:
    """Return the seconds after which the caller wants to give up, None where it did not say.

    Raises ClientFault(bad_request) for anything but a positive number of seconds.
    """
    return _read_seconds(own, "x-sidecar-timeout")


def read_wishes(own: Mapping[str, str]) -> Wishes:
    """Return what the caller asks of whoever answers: NO_WISHES itself where it asks nothing.

    Upstreams are named as in the configuration, separated by commas. Names that no upstream has are the caller's own affair:
    in `exclude` they change nothing, in `prefer` they match nobody. Raises ClientFault(bad_request), which says what is
    allowed, for anything that cannot be read.
    """
    if _NAMES.isdisjoint(own):
        return NO_WISHES
    return Wishes(
        _read_seconds(own, "x-sidecar-max-response-time"),
        _read_share(own, "x-sidecar-min-quality"),
        _read_share(own, "x-sidecar-min-reliability"),
        _read_upstreams(own, "x-sidecar-prefer"),
        _read_upstreams(own, "x-sidecar-exclude"),
        _read_urgency(own, "x-sidecar-urgency"),
    )


def _read_seconds(own: Mapping[str, str], name: str) -> float | None:
    text = own.get(name)
    if text is None:
        return None
    seconds = _read_number(text)
    if seconds is None or seconds <= 0:
        raise ClientFault(BAD_REQUEST, f"{name}: allowed is a positive number of seconds")
    return seconds


def _read_share(own: Mapping[str, str], name: str) -> float | None:
    text = own.get(name)
    if text is None:
        return None
    share = _read_number(text)
    if share is None or not 0 <= share <= 1:
        raise ClientFault(BAD_REQUEST, f"{name}: allowed is a number from 0 to 1")
    return share


def _read_upstreams(own: Mapping[str, str], name: str) -> frozenset[str]:
    text = own.get(name)
    if text is None:
        return _NOBODY
    upstreams = frozenset(part.strip() for part in text.split(","))
    if "" in upstreams:
        raise ClientFault(BAD_REQUEST, f"{name}: allowed are names of upstreams, separated by commas")
    return upstreams


def _read_urgency(own: Mapping[str, str], name: str) -> Urgency:
    text = own.get(name)
    if text is None:
        return Urgency.MEDIUM
    urgency = _URGENCIES.get(text.strip().lower())
    if urgency is None:
        raise ClientFault(BAD_REQUEST, f"{name}: allowed is one of {', '.join(_URGENCIES)}")
    return urgency


def _read_number(text: str) -> float | None:
    """Return a finite number, None for anything else."""
    try:
        number = float(text)
    except ValueError:
        return None
    return number if isfinite(number) else None
