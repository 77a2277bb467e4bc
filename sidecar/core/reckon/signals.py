"""The signals that trends are told of: what each is, read off a tally, and which side of it is bad."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final, NamedTuple

from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.trends import Point
from sidecar.thresholds import Side

_CALLS_MIN: Final = 5  # for a point of a mean, a quantile or a share


class Signal(NamedTuple):
    """`read` returns None where too little was measured."""

    name: str
    unit: str
    bad: Side
    read: Callable[[Tally], float | None]


def _mean_latency(tally: Tally) -> float | None:
    return tally.durations.mean if tally.durations.count >= _CALLS_MIN else None


def _p95_latency(tally: Tally) -> float | None:
    return tally.durations.quantiles(0.95)[0] if tally.durations.count >= _CALLS_MIN else None


def _error_ratio(tally: Tally) -> float | None:
    return tally.error_ratio if tally.requests >= _CALLS_MIN else None


def _first_token(tally: Tally) -> float | None:
    return tally.first_tokens.quantiles(0.95)[0] if tally.first_tokens.count >= _CALLS_MIN else None


def _speed(tally: Tally) -> float | None:
    return tally.speeds.quantiles(0.5)[0] if tally.speeds.count >= _CALLS_MIN else None


def _cost(tally: Tally) -> float | None:
    return tally.cost_usd / tally.costs if tally.costs >= _CALLS_MIN else None


def _hit_ratio(tally: Tally) -> float | None:
    return tally.hit_ratio if tally.lookups >= _CALLS_MIN else None


SIGNALS: Final = (
    Signal("meanLatency", "s", Side.ABOVE, _mean_latency),
    Signal("p95Latency", "s", Side.ABOVE, _p95_latency),
    Signal("errorRate", "1", Side.ABOVE, _error_ratio),
    Signal("p95TimeToFirstToken", "s", Side.ABOVE, _first_token),
    Signal("tokensPerSecond", "{token}/s", Side.BELOW, _speed),
    Signal("costPerCall", "usd", Side.ABOVE, _cost),
    Signal("cacheHitRate", "1", Side.BELOW, _hit_ratio),
)


def read_points(signal: Signal, tallies: Iterable[tuple[float, Tally]]) -> list[Point]:
    """Return a signal's points: of each time for which enough was measured."""
    read = ((at, signal.read(tally)) for at, tally in tallies)
    return [(at, value) for at, value in read if value is not None]


def read_rates(tallies: Sequence[tuple[float, Tally]], span_s: float, count: Callable[[Tally], float]) -> list[Point]:
    """Return how much there was per hour, in each of the times that are `span_s` seconds long."""
    return [(at, count(tally) * 3600 / span_s) for at, tally in tallies]
