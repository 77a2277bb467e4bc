"""What is out of the ordinary: a value far from what is usual at its hour of the day, or of late.

The modified z-score by median and median absolute deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993): a few
wild values do not move what is usual. Where there are days, the median is that of the same hour of other days, and the deviation that
of everything known from its own hour's median (as in seasonal hybrid ESD: Hochenbaum, Vallis and Kejariwal, 2017): a few days alone
would say little of how much values vary.
"""

from collections.abc import Iterator, Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.core.reckon.trends import Point, find_hour, find_median

SCORE_MIN: Final = 5.0  # the book's 3.5 is for one look at one sample; here each hour of each signal is looked at
SAME_HOUR_MIN: Final = 4  # days for which an hour of the day must be known, to be judged by
RECENT: Final = 24  # else it is judged by so many points before it
RECENT_MIN: Final = 12
_DAY_S: Final = 86_400
_TO_SIGMA: Final = 0.6745  # the median absolute deviation of a normal distribution is this share of its standard deviation
_SPREAD_MIN: Final = 0.02  # of what is usual: what hardly ever varies would make an anomaly of every change


class Anomaly(NamedTuple):
    """One value, what would have been usual, and by how many robust standard deviations it is off: above 0 for more."""

    at: float
    value: float
    usual: float
    score: float
    by_hour: bool  # judged by the same hour of other days, else by the points before


def find_anomalies(points: Sequence[Point], since: float, least: float = 0.0) -> Iterator[Anomaly]:
    """Yield what was out of the ordinary from `since` on. Points: at most one per hour, or those of one hour; in the order of time.

    `least`: the smallest deviation that is taken for one.
    """
    for place, (at, value) in enumerate(points):
        if at < since:
            continue
        before = points[:place]
        hours = _sort_by_hour(before) if before and at - before[0][0] >= _DAY_S else {}
        same_hour = hours.get(find_hour(at), [])
        by_hour = len(same_hour) >= SAME_HOUR_MIN
        known = [known for _, known in before[-RECENT:]]
        if not by_hour and len(known) < RECENT_MIN:
            continue
        usual = find_median(same_hour if by_hour else known)
        deviation = _find_seasonal_deviation(hours) if by_hour else find_median([abs(each - usual) for each in known])
        score = score_value(value, usual, max(deviation, least))
        if abs(score) >= SCORE_MIN:
            yield Anomaly(at, value, usual, score, by_hour)


def score_value(value: float, usual: float, deviation: float) -> float:
    """Return the modified z-score of a value, by the median absolute deviation of others from what is usual."""
    deviation = max(deviation, _SPREAD_MIN * abs(usual))
    return _TO_SIGMA * (value - usual) / deviation if deviation else 0.0


def _sort_by_hour(points: Sequence[Point]) -> Mapping[int, Sequence[float]]:
    hours: dict[int, list[float]] = {}
    for at, value in points:
        hours.setdefault(find_hour(at), []).append(value)
    return hours


def _find_seasonal_deviation(hours: Mapping[int, Sequence[float]]) -> float:
    """Return how far values are from the median of their hour; hours of which next to nothing is known say nothing of it."""
    known = [values for values in hours.values() if len(values) >= SAME_HOUR_MIN]
    return find_median([abs(value - middle) for values in known for middle in (find_median(values),) for value in values])
