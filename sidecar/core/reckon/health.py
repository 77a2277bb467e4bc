"""The state of a sidecar as a list of checks: of each how it stands, why, since when, and what to do.

A check says something of the sidecar itself or of what it needs. The whole is as bad as its worst check; only checks without which
no call can be served are ever `unhealthy`. What a check has found in detail stands in its facts and its parts, and counts no further.
"""

from collections.abc import Iterator, Mapping
from enum import StrEnum
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sidecar.core.reckon.moments import Present, show_moment, show_wall

_NOTHING: Final[Mapping[str, Any]] = MappingProxyType({})


class Status(StrEnum):
    """How something stands."""

    HEALTHY = "healthy"
    DEGRADED = "degraded"  # calls are served, with less than there should be
    UNHEALTHY = "unhealthy"


_SEVERITY: Final = {status: rank for rank, status in enumerate(Status)}


class Check(NamedTuple):
    """What was found. Nothing secret is in it."""

    status: Status
    reason: str  # in words
    remedy: str | None = None  # what to do; None where nothing has to be done
    facts: Mapping[str, Any] = _NOTHING  # as JSON has them
    parts: "Mapping[str, Check]" = _NOTHING


class Since:
    """Remembers from when on each check has had its status: as exactly as it is told often."""

    def __init__(self) -> None:
        self._known: dict[str, tuple[Status, float]] = {}

    def note(self, checks: Mapping[str, Check], now: float) -> None:
        """Take note of what was found at `now`, of all there is; what is there no more is forgotten."""
        known = self._known
        self._known = {name: _go_on(known.get(name), check.status, now) for name, check in _walk(checks, "")}

    def find(self, name: str) -> float | None:
        """Return from when on a check has its status; of a part by `CHECK/PART`. None: it was never told."""
        found = self._known.get(name)
        return None if found is None else found[1]


def find_worst(checks: Mapping[str, Check]) -> Status:
    """Return the worst status of all; that of nothing is healthy."""
    return max((check.status for check in checks.values()), key=_SEVERITY.__getitem__, default=Status.HEALTHY)


def show_health(checks: Mapping[str, Check], since: Since, present: Present, *, version: str, uptime_s: float) -> dict[str, Any]:
    """Return the report as JSON has it."""
    return {
        "status": find_worst(checks).value,
        "version": version,
        "uptimeSeconds": round(uptime_s, 1),
        "checks": {name: _show(name, check, since, present) for name, check in checks.items()},
        "timestamp": show_wall(present.wall_ns),
    }


def _show(name: str, check: Check, since: Since, present: Present) -> dict[str, Any]:
    shown = {
        "status": check.status.value,
        "reason": check.reason,
        "since": show_moment(since.find(name), present),
        "remedy": check.remedy,
        **check.facts,
    }
    if check.parts:
        shown["parts"] = {part: _show(f"{name}/{part}", inner, since, present) for part, inner in check.parts.items()}
    return shown


def _walk(checks: Mapping[str, Check], prefix: str) -> Iterator[tuple[str, Check]]:
    for name, check in checks.items():
        yield prefix + name, check
        yield from _walk(check.parts, f"{prefix}{name}/")


def _go_on(known: tuple[Status, float] | None, status: Status, now: float) -> tuple[Status, float]:
    return known if known is not None and known[0] is status else (status, now)
