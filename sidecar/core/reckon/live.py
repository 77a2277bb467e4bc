"""What a page that is looked at needs again and again, as little of it as will do: points of the last hour, upstreams, failed calls.

Seconds, dollars, ratios of 0 to 1; null for what was not measured.
"""

from collections.abc import Iterable, Mapping
from typing import Any, Final, NamedTuple

from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.exchanges import show_exchange
from sidecar.core.reckon.tally import Tally
from sidecar.exchange import SERVICE_ERRORS, Record

# What the numbers of a point are, in this order: an hour of points repeats no names.
COLUMNS: Final = (
    "step", "requests", "errors", "p50_s", "p95_s", "p99_s", "first_token_p50_s", "first_token_p95_s", "tokens_per_s", "cost_usd",
)  # fmt: skip
SECTIONS: Final = ("summary", "upstreams", "failed", "cache")
_MODELS_MAX: Final = 10
_FAILURES_MAX: Final = 8
_DECLINED_MAX: Final = 4
_DIGITS: Final = 4  # that mean something: quantiles are told within 1 %
_MARK_BITS: Final = 32
_TEXT_CHARS_MAX: Final = 200


class Cursor(NamedTuple):
    """What a visitor has seen: steps of one run of the window up to the newest, and a mark of each section."""

    run: int
    step: int
    marks: tuple[int, ...]  # in the order of SECTIONS


def write_cursor(cursor: Cursor) -> str:
    """Return a cursor as it is handed out."""
    return ".".join(f"{number:x}" for number in (cursor.run, cursor.step, *cursor.marks))


def read_cursor(text: str) -> Cursor | None:
    """Return a cursor that comes back; None where it is not one of ours."""
    parts = text.split(".") if len(text) <= _TEXT_CHARS_MAX else []
    if len(parts) != 2 + len(SECTIONS):
        return None
    try:
        run, step, *marks = (int(part, 16) for part in parts)
    except ValueError:
        return None
    return Cursor(run, step, tuple(marks)) if max(marks) >> _MARK_BITS == 0 else None


def show_summary(performance: Mapping[str, Any]) -> dict[str, Any]:
    """Return of what /api/performance tells what a page has room for: of models the busiest."""
    models = sorted(performance["models"].items(), key=lambda one: -one[1]["requestCount"])
    return {
        "metrics": performance["metrics"], "insights": performance["insights"], "upstreams": performance["upstreams"],
        "models": dict(models[:_MODELS_MAX]),
    }  # fmt: skip


def show_point(step: int, tally: Tally) -> list[float | None]:
    """Return what came to pass in one step of the window, in the order of COLUMNS."""
    middle, late, latest = tally.durations.quantiles(0.5, 0.95, 0.99)
    first_middle, first_late = tally.first_tokens.quantiles(0.5, 0.95)
    (speed,) = tally.speeds.quantiles(0.5)
    cost = tally.cost_usd if tally.costs else None
    measured = (middle, late, latest, first_middle, first_late, speed, cost)
    return [step, tally.requests, tally.errors, *(None if value is None else float(f"{value:.{_DIGITS}g}") for value in measured)]


def show_brief(view: UpstreamView, pools: Mapping[str, tuple[str, ...]], now: float) -> dict[str, Any]:
    """Return an upstream in brief. `pools`: who belongs to each. Waits are whole seconds: what has not changed need not be told."""
    waits = [breaker.retry_after_s for breaker in view.breakers if breaker.state == "open"]
    waits += [until - now for until in (view.ejected_until, view.held_until) if until is not None and until > now]
    return {
        "name": view.name,
        "pools": [name for name, members in pools.items() if view.name in members],
        "healthy": view.healthy,
        "reason": view.reason,
        "breaker": view.state,
        "groups": {breaker.group: breaker.state for breaker in view.breakers if breaker.state != "closed"},
        "forced": sorted({breaker.force for breaker in view.breakers} - {"auto"}),
        "retry_after_s": max(1, round(max(waits))) if waits else None,
        "pending": view.pending,
        "in_use": view.in_use,
        "concurrency": view.concurrency,
        "calls": view.calls,
        "failures": view.failures,
    }


def pick_failures(failed: Iterable[Record]) -> list[Record]:
    """Return of failed calls, the newest first, those that are shown: what was declined does not crowd out what went wrong."""
    picked, room = [], {True: _FAILURES_MAX, False: _DECLINED_MAX}
    for record in failed:
        is_fault = record.ending in SERVICE_ERRORS
        if room[is_fault]:
            room[is_fault] -= 1
            picked.append(record)
    return picked


def show_failure(record: Record) -> dict[str, Any]:
    """Return a failed call with its timeline, without who else could have been chosen."""
    shown = show_exchange(record)
    shown.pop("decision")
    for attempt in shown["attempts"]:
        attempt.pop("decision")
    return shown
