"""Whether something grows or falls, and how sure that is.

The slope is Theil and Sen's (the median of the slopes between all pairs of points: Sen, Estimates of the regression coefficient based
on Kendall's tau, JASA 1968), which a third of wild points does not move. Whether there is a trend at all is tested by Mann and Kendall
(Kendall, Rank Correlation Methods, 1975), with ties; points that follow each other closely say less than their number promises, which
is allowed for by the first autocorrelation of what the slope leaves over (Bayley and Hammersley, JRSS Supplement 1946).
"""

import math
from collections.abc import Sequence
from itertools import pairwise
from typing import Final, NamedTuple

from sidecar.thresholds import Side

Point = tuple[float, float]  # seconds, value

IMPROVING: Final = "improving"
DECLINING: Final = "declining"
STABLE: Final = "stable"
POINTS_MIN: Final = 8  # fewer say nothing
POINTS_MAX: Final = 120  # more are taken together by their medians: all pairs of these take 3 ms
CONFIDENCE_MIN: Final = 0.98
CHANGE_MIN: Final = 0.05  # of the median, over all of the time: what is less matters to nobody, however sure


class Trend(NamedTuple):
    """What became of one signal."""

    direction: str  # IMPROVING, DECLINING or STABLE
    per_hour: float  # the slope, in the signal's unit
    change: float | None  # over the time there are points for, as a share of the median; None where that is 0
    confidence: float  # 0 to 1, that there is a slope at all
    points: int


def find_trend(points: Sequence[Point], bad: Side) -> Trend | None:
    """Return the trend of points in the order of time; None where there are too few. `bad`: the side that nobody wants."""
    thinned = thin(points)
    if len(thinned) < POINTS_MIN or thinned[-1][0] <= thinned[0][0]:
        return None
    slope = find_slope(thinned)
    confidence = _test(thinned, slope)
    middle = find_median([value for _, value in thinned])
    change = slope * (thinned[-1][0] - thinned[0][0]) / abs(middle) if middle else None
    is_sure = confidence >= CONFIDENCE_MIN and slope != 0 and (change is None or abs(change) >= CHANGE_MIN)
    grows_worse = (slope > 0) is (bad is Side.ABOVE)
    direction = STABLE if not is_sure else DECLINING if grows_worse else IMPROVING
    return Trend(direction, slope * 3600, change, confidence, len(points))


def find_slope(points: Sequence[Point]) -> float:
    """Return the median of the slopes between all pairs of points, per second."""
    slopes = [(value - before) / (at - since) for place, (at, value) in enumerate(points) for since, before in points[:place] if at > since]
    return find_median(slopes) if slopes else 0.0


def find_median(values: Sequence[float]) -> float:
    """Return the median of some values, at least one."""
    ordered = sorted(values)
    middle = len(ordered) // 2
    return ordered[middle] if len(ordered) % 2 else (ordered[middle - 1] + ordered[middle]) / 2


def thin(points: Sequence[Point], most: int = POINTS_MAX) -> list[Point]:
    """Return at most so many points: neighbours are taken together by the medians of their times and values."""
    if len(points) <= most:
        return list(points)
    bounds = [place * len(points) // most for place in range(most + 1)]
    parts = (points[first:last] for first, last in pairwise(bounds))
    return [(find_median([at for at, _ in part]), find_median([value for _, value in part])) for part in parts]


def _test(points: Sequence[Point], slope: float) -> float:
    """Return how sure it is that values grow or fall with time: 1 less the chance of such an order without any trend."""
    values = [value for _, value in points]
    n = len(values)
    score = sum((value > before) - (value < before) for place, value in enumerate(values) for before in values[:place])
    ties = [values.count(value) for value in set(values)]
    variance = (n * (n - 1) * (2 * n + 5) - sum(tied * (tied - 1) * (2 * tied + 5) for tied in ties)) / 18
    variance *= _inflate(points, slope)
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
    correlation = min(max(correlation, 0.0), 0.9)
    return (1 + correlation) / (1 - correlation)
