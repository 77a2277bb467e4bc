"""What is out of the ordinary: a value far from what is usual at its hour of the day, or of late.

The modified z-score by median and median absolute deviation (Iglewicz and Hoaglin, How to Detect and Handle Outliers, 1993): a few
wild values do not move what is usual, and 3.5 is their limit.
"""

from collections.abc import Iterator, Sequence
from typing import Final, NamedTuple

from sidecar.core.reckon.trends import Point, find_median

SCORE_MIN: Final = 3.5
SAME_HOUR_MIN: Final = 5  # days for which an hour of the day must be known, to be judged by
RECENT: Final = 24  # else it is judged by so many points before it
RECENT_MIN: Final = 8
_DAY_S: Final = 86_400
_HOUR_S: Final = 3_600
_TO_SIGMA: Final = 0.6745  # the median absolute deviation of a normal distribution is this share of its standard deviation
_SPREAD_MIN: Final = 0.02  # of what is usual: what hardly ever varies would make an anomaly of every change


class Anomaly(NamedTuple):
    """One value, what would have been usual, and by how many robust standard deviations it is off: above 0 for more."""

    at: float
    value: float
    usual: float
    score: float
    by_hour: bool  # judged by the same hour of other days, else by the hours before


def find_anomalies(points: Sequence[Point], since: float) -> Iterator[Anomaly]:
    """Yield what was out of the ordinary from `since` on. Points: one per hour, in the order of time, seconds of UTC."""
    for place, (at, value) in enumerate(points):
        if at < since:
            continue
        before = points[:place]
        same_hour = [known for then, known in before if _hour(then) == _hour(at)]
        by_hour = len(same_hour) >= SAME_HOUR_MIN
        known = same_hour if by_hour else [known for _, known in before[-RECENT:]]
        if not by_hour and len(known) < RECENT_MIN:
            continue
        usual, score = score_value(value, known)
        if abs(score) >= SCORE_MIN:
            yield Anomaly(at, value, usual, score, by_hour)


def score_value(value: float, known: Sequence[float]) -> tuple[float, float]:
    """Return what is usual by known values, and the modified z-score of another one."""
    usual = find_median(known)
    deviation = find_median([abs(each - usual) for each in known])
    deviation = max(deviation, _SPREAD_MIN * abs(usual))
    if deviation == 0:
        return usual, 0.0
    return usual, _TO_SIGMA * (value - usual) / deviation


def _hour(at: float) -> int:
    return int(at % _DAY_S) // _HOUR_S
