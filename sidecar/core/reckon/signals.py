"""The signals that trends are told of: what each is, read off a tally, and which side of it is bad."""

from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar.core.reckon.tally import Tally
from sidecar.thresholds import Side

_CALLS_MIN: Final = 5  # for a mean, a quantile or a share
_HOUR_S: Final = 3_600.0


class Signal(NamedTuple):
    """`read` returns None where too little was measured. `least`: what changes by less is as good as unchanged, however small it is."""

    name: str
    unit: str
    bad: Side
    least: float
    read: Callable[[Tally], float | None]


class Moment(NamedTuple):
    """What some calls come to that ended about the same time: the values of SIGNALS in their order, and how much there was per hour."""

    at: float  # the middle of that time, seconds since the epoch
    values: tuple[float | None, ...]
    calls_per_hour: float
    tokens_per_hour: float
    usd_per_hour: float


def read_moment(at: float, tally: Tally, span_s: float) -> Moment:
    """Return what the calls of `span_s` seconds come to."""
    each_hour = _HOUR_S / span_s
    tokens = tally.input_tokens + tally.output_tokens
    values = tuple(signal.read(tally) for signal in SIGNALS)
    return Moment(at, values, tally.requests * each_hour, tokens * each_hour, tally.cost_usd * each_hour)


def _mean_latency(tally: Tally) -> float | None:
    return _in_ms(tally.durations.mean) if tally.durations.count >= _CALLS_MIN else None


def _p95_latency(tally: Tally) -> float | None:
    return _in_ms(tally.durations.quantiles(0.95)[0]) if tally.durations.count >= _CALLS_MIN else None


def _error_rate(tally: Tally) -> float | None:
    return tally.error_ratio if tally.requests >= _CALLS_MIN else None


def _first_token(tally: Tally) -> float | None:
    return _in_ms(tally.first_tokens.quantiles(0.95)[0]) if tally.first_tokens.count >= _CALLS_MIN else None


def _speed(tally: Tally) -> float | None:
    return tally.speeds.quantiles(0.5)[0] if tally.speeds.count >= _CALLS_MIN else None


def _cost(tally: Tally) -> float | None:
    return tally.cost_usd / tally.costs if tally.costs >= _CALLS_MIN else None


def _hit_rate(tally: Tally) -> float | None:
    return tally.hit_ratio if tally.lookups >= _CALLS_MIN else None


def _in_ms(seconds: float | None) -> float | None:
    return None if seconds is None else seconds * 1000


SIGNALS: Final = (
    Signal("averageLatency", "ms", Side.ABOVE, 0.0, _mean_latency),
    Signal("p95Latency", "ms", Side.ABOVE, 0.0, _p95_latency),
    Signal("errorRate", "1", Side.ABOVE, 0.01, _error_rate),
    Signal("p95TimeToFirstToken", "ms", Side.ABOVE, 0.0, _first_token),
    Signal("tokensPerSecond", "{token}/s", Side.BELOW, 0.0, _speed),
    Signal("costPerCallUsd", "usd", Side.ABOVE, 0.0, _cost),
    Signal("cacheHitRate", "1", Side.BELOW, 0.02, _hit_rate),
)
