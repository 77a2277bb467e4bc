"""Whether something grows or falls, and how sure that is.

The slope is Theil and Sen's (the median of the slopes between all pairs of points: Sen, Estimates of the regression coefficient based
on Kendall's tau, JASA 1968), which a third of wild points does not move. Whether there is a trend at all is tested by Mann and Kendall
(Kendall, Rank Correlation Methods, 1975), with ties; points that follow each other closely say less than their number promises, which
is allowed for by the first autocorrelation of what the slope leaves over (Bayley and Hammersley, JRSS Supplement 1946), less the bias
that it has in short series (Marriott and Pope, Biometrika 1954). Where there are days, what is usual for each hour of the day is taken
off first: of a shorter time nobody can tell the way of the day from a trend.
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from sidecar.thresholds import Side

Point = tuple[float, float]  # seconds since the epoch, value

IMPROVING: Final = "improving"
DECLINING: Final = "declining"
STABLE: Final = "stable"
POINTS_MIN: Final = 8  # fewer say nothing
POINTS_MAX: Final = 60  # more are taken together by their medians: all pairs of these take 1 ms
SEASONAL_S: Final = 48 * 3600.0  # from so long a time on hours of the day are told apart
CONFIDENCE_MIN: Final = 0.99
CHANGE_MIN: Final = 0.05  # of the median, over all of the time: what is less matters to nobody, however sure


class Trend(NamedTuple):
    """What became of one signal."""

    direction: str  # IMPROVING, DECLINING or STABLE
    per_hour: float  # the slope, in the signal's unit
    change: float | None  # over the time there are points for, as a share of the median; None where that is 0
    confidence: float  # 0 to 1, that there is a slope at all
    points: int


def find_trend(points: Sequence[Point], bad: Side, least: float = 0.0) -> Trend | None:
    """Return the trend of points in the order of time; None where there are too few.

    `bad`: the side that nobody wants. `least`: a change of less, over all of the time, matters to nobody.
    """
    if len(points) < POINTS_MIN or points[-1][0] <= points[0][0]:
        return None
    hours = {find_hour(at) for at, _ in points} if points[-1][0] - points[0][0] >= SEASONAL_S else set[int]()
    if len(points) < POINTS_MIN + len(hours):
        return None
    thinned = thin(remove_season(points) if hours else points)
    slope = find_slope(thinned)
    # Each hour of the day whose own level is taken off costs one point: what is left varies less than it did.
    confidence = _test(thinned, slope, len(points) / (len(points) - len(hours)))
    middle = find_median([value for _, value in thinned])
    moved = slope * (thinned[-1][0] - thinned[0][0])
    change = moved / abs(middle) if middle else None
    matters = moved != 0 and abs(moved) >= least and (change is None or abs(change) >= CHANGE_MIN)
    is_sure = confidence >= CONFIDENCE_MIN and matters
    grows_worse = (slope > 0) is (bad is Side.ABOVE)
    direction = STABLE if not is_sure else DECLINING if grows_worse else IMPROVING
    return Trend(direction, slope * 3600, change, confidence, len(points))


def find_slope(points: Sequence[Point]) -> float:
    """Return the median of the slopes between all pairs of points, per second."""
    slopes = [(value - before) / (at - since) for place, (at, value) in enumerate(points) for since, before in points[:place] if at > since]
    return find_median(slopes) if slopes else 0.0


def remove_season(points: Sequence[Point]) -> list[Point]:
    """Return points without what is usual for each hour of the day (UTC): the median of what the slope leaves over at that hour."""
    slope = find_slope(thin(points))
    start = points[0][0]
    rest = [value - slope * (at - start) for at, value in points]
    middle = find_median(rest)
    by_hour: dict[int, list[float]] = {}
    for (at, _), left in zip(points, rest, strict=True):
        by_hour.setdefault(find_hour(at), []).append(left)
    season = {hour: find_median(known) - middle for hour, known in by_hour.items()}
    return [(at, value - season[find_hour(at)]) for at, value in points]


def find_hour(at: float) -> int:
    """Return the hour of the day (UTC) of seconds since the epoch."""
    return int(at // 3600) % 24


def find_median(values: Sequence[float]) -> float:
    """Return the median of some values, at least one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def thin(points: Sequence[Point], most: int = POINTS_MAX) -> list[Point]:
    """Return at most so many points: neighbours are taken together by the medians of their times and values."""
    if len(points) <= most:
        return list(points)
    size = -(-len(points) // most)
    parts = [points[first : first + size] for first in range(0, len(points), size)]
    return [(find_median([at for at, _ in part]), find_median([value for _, value in part])) for part in parts]


def _test(points: Sequence[Point], slope: float, inflation: float) -> float:
    """Return how sure it is that values grow or fall with time: 1 less the chance of such an order without any trend.

    `inflation`: by how much more the score varies, beside what is allowed for here.
    """
    values = [value for _, value in points]
    n = len(values)
    score = sum((value > before) - (value < before) for place, value in enumerate(values) for before in values[:place])
    ties = [values.count(value) for value in set(values)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(tied * (tied - 1) * (2 * tied + 5) for tied in ties)) / 18
    variance *= inflation * _inflate(points, slope)
    if variance <= 0 or score == 0:
        return 0.0
    z = (abs(score) - 1) / math.sqrt(variance)  # less one: a score of whole numbers against a curve
    return math.erf(z / math.sqrt(2))


def _inflate(points: Sequence[Point], slope: float) -> float:
    """Return by how much more the score varies than if each point told something of its own: 1 where they do."""
    rest = [value - slope * at for at, value in points]
    mean = sum(rest) / len(rest)
    spread = sum((value - mean) ** 2 for value in rest)
    if spread <= 0:
        return 1.0
    correlation = sum((value - mean) * (before - mean) for before, value in pairwise(rest)) / spread
    correlation += (1 + 4 * correlation) / len(rest)
    correlation = min(max(correlation, 0.0), 0.9)
    return (1 + correlation) / (1 - correlation)
