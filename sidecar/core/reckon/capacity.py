"""How near what is used comes to its limits, and when it gets there if it goes on growing as it does."""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.config import Budget, Rate, Settings
from sidecar.core.reckon.trends import STABLE, Point, find_trend
from sidecar.thresholds import Side

CALLS: Final = "calls"
TOKENS: Final = "tokens"
COST: Final = "cost"
IN_FLIGHT: Final = "in_flight"
FORESIGHT: Final = 4  # times as far as one looks back: growth says nothing of what is further away
_HOUR_S: Final = 3_600.0
_DAY_S: Final = 86_400.0
_MONTH_S: Final = 30 * _DAY_S


class Ceiling(NamedTuple):
    """One limit. `most`: per hour; at once for what is in flight. `over_s`: the time over which it counts."""

    setting: str
    measure: str
    most: float
    over_s: float


class Hint(NamedTuple):
    """How a limit is used. `used`: like the limit; `reached_in_s`: at this growth, None where it does not grow so far."""

    ceiling: Ceiling
    used: float
    per_hour: float | None  # the growth of what is used; None where there is none that one could be sure of
    reached_in_s: float | None


def list_ceilings(settings: Settings) -> Iterator[Ceiling]:
    """Yield the limits on all calls together: rates and budgets that are in force."""
    if settings.features.limits:
        rates = settings.limits.rates.all
        yield from _list_rates("limits.rates.all.requests", CALLS, rates.requests)
        yield from _list_rates("limits.rates.all.tokens", TOKENS, rates.tokens)
    if settings.features.budgets:
        yield from _list_budgets("budgets.all", settings.budgets.all)


def list_places(settings: Settings) -> Mapping[str, Ceiling]:
    """Return the limit on calls at once of each upstream, by its name."""
    return {
        name: Ceiling(f"upstreams.{name}.concurrency", IN_FLIGHT, float(upstream.concurrency or upstream.connections), 0.0)
        for name, upstream in settings.upstreams.items()
    }


def foresee(ceiling: Ceiling, points: Sequence[Point], span_s: float) -> Hint | None:
    """Return how a limit is used and when it is reached; None without points.

    Points: one for each `span_s` seconds, 0 where nothing was; like the limit. A limit that counts over longer is compared with the
    mean over that time, any other one with the busiest point of the last day.
    """
    if not points:
        return None
    until = points[-1][0] - max(ceiling.over_s, _DAY_S) + span_s / 2
    latest = [value for at, value in points if at > until]
    used = sum(latest) / len(latest) if ceiling.over_s > _HOUR_S else max(latest)
    trend = find_trend(points, Side.ABOVE)
    if trend is None or trend.direction == STABLE:
        return Hint(ceiling, used, None, 0.0 if used >= ceiling.most else None)
    left = ceiling.most - used
    seconds = 0.0 if left <= 0 else left / trend.per_hour * _HOUR_S if trend.per_hour > 0 else None
    if seconds is not None and seconds > FORESIGHT * (points[-1][0] - points[0][0]):
        seconds = None
    return Hint(ceiling, used, trend.per_hour, seconds)


def _list_rates(setting: str, measure: str, rate: Rate) -> Iterator[Ceiling]:
    for name, over_s in (("per_second", 1.0), ("per_minute", 60.0), ("per_hour", _HOUR_S), ("per_day", _DAY_S)):
        most: float | None = getattr(rate, name)
        if most is not None:
            yield Ceiling(f"{setting}.{name}", measure, most * _HOUR_S / over_s, over_s)


def _list_budgets(setting: str, budget: Budget) -> Iterator[Ceiling]:
    for name, most, over_s in (("day", budget.day, _DAY_S), ("month", budget.month, _MONTH_S)):
        if most is not None:
            yield Ceiling(f"{setting}.{name}", COST, most * _HOUR_S / over_s, over_s)
