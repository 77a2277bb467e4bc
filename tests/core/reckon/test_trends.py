"""Whether something grows or falls."""

import pytest

from sidecar.core.reckon.trends import DECLINING, IMPROVING, POINTS_MIN, STABLE, Point, find_hour, find_median, find_slope, find_trend, thin
from sidecar.thresholds import Side
from tests.core.reckon.histories import DRAGS, HOUR_S, MIDNIGHT, NOISES, SEASONS, make_histories

MANY = 60
LENGTHS = {"minutes of an hour": (60, 60.0), "hours of four days": (96, HOUR_S), "hours of a week": (168, HOUR_S)}
CASES = [(length, kind) for length in LENGTHS for kind in (*NOISES, *DRAGS, *(SEASONS if "days" in length or "week" in length else ()))]


@pytest.mark.parametrize(("length", "kind"), CASES)
def test_directions_are_right_and_false_trends_are_rare(length: str, kind: str) -> None:
    """A signal that doubles or halves is told in 95 % of histories of each kind; where nothing changes, 5 % may be told a trend."""
    points, step_s = LENGTHS[length]
    told = {
        (first, last): [find_trend(history, Side.ABOVE) for history in make_histories(kind, MANY, points, step_s, first, last)]
        for first, last in ((1.0, 2.0), (2.0, 1.0), (1.0, 1.0))
    }
    found = {ends: [None if trend is None else trend.direction for trend in trends] for ends, trends in told.items()}
    right = (found[1.0, 2.0].count(DECLINING) + found[2.0, 1.0].count(IMPROVING)) / (2 * MANY)
    false = 1 - found[1.0, 1.0].count(STABLE) / MANY
    print(f"\n{length}, {kind}: right {right:.3f}, false {false:.3f}")
    assert right >= 0.95
    assert false <= 0.05


def test_the_good_side_decides_what_is_better() -> None:
    """The same growth is an improvement of a speed and none of a latency; the slope is told per hour, the change as a share."""
    points = [(MIDNIGHT + place * 60.0, 100.0 + place) for place in range(61)]
    faster, slower = find_trend(points, Side.BELOW), find_trend(points, Side.ABOVE)
    assert faster is not None and slower is not None
    assert (faster.direction, slower.direction) == (IMPROVING, DECLINING)
    assert faster.per_hour == pytest.approx(60) and faster.points == 61
    assert faster.change == pytest.approx(60 / 130, rel=0.03) and faster.confidence > 0.999


def test_what_matters_to_nobody_is_no_trend() -> None:
    """However sure it is: a change of less than a twentieth, or of less than is told to matter."""
    slight = [(MIDNIGHT + place * 60.0, 100.0 + place / 20) for place in range(60)]
    trend = find_trend(slight, Side.ABOVE)
    assert trend is not None and trend.confidence > 0.99 and trend.direction == STABLE
    rare = [(MIDNIGHT + place * 60.0, place / 60 * 0.008) for place in range(60)]
    for least, direction in ((0.01, STABLE), (0.001, DECLINING)):
        trend = find_trend(rare, Side.ABOVE, least)
        assert trend is not None and trend.direction == direction


def test_too_little_says_nothing() -> None:
    """Too few points, points of one moment, and hours of two days that leave no more than each hour's own level."""
    line = [(MIDNIGHT + place * 60.0, float(place)) for place in range(POINTS_MIN)]
    assert find_trend(line, Side.ABOVE) is not None
    assert find_trend(line[1:], Side.ABOVE) is None
    assert find_trend([(MIDNIGHT, float(place)) for place in range(20)], Side.ABOVE) is None
    sparse = [(MIDNIGHT + place * 5 * HOUR_S, float(place)) for place in range(12)]
    assert find_trend(sparse, Side.ABOVE) is None
    assert find_trend([], Side.ABOVE) is None


def test_what_never_changes_is_stable() -> None:
    """Nothing but zeros, or the same number always: no trend, and no share of nothing."""
    for value, change in ((0.0, None), (3.0, 0.0)):
        trend = find_trend([(MIDNIGHT + place * 60.0, value) for place in range(30)], Side.ABOVE)
        assert trend is not None and (trend.direction, trend.change, trend.confidence) == (STABLE, change, 0.0)


def test_wild_points_do_not_move_the_slope() -> None:
    """A quarter of the points says something else altogether."""
    points: list[Point] = [(float(place), 2.0 * place + (1000.0 if place % 4 == 0 else 0.0)) for place in range(40)]
    assert find_slope(points) == pytest.approx(2.0, abs=0.01)
    assert find_slope([(1.0, 1.0), (1.0, 2.0)]) == 0.0
    assert (find_median([3.0, 1.0, 2.0]), find_median([4.0, 1.0, 2.0, 3.0])) == (2.0, 2.5)


def test_many_points_are_taken_together_evenly() -> None:
    """As many neighbours in each but the last; few are left as they are."""
    points = [(float(place), float(place)) for place in range(7)]
    assert thin(points, 7) == points
    assert thin(points, 4) == [(0.5, 0.5), (2.5, 2.5), (4.5, 4.5), (6.0, 6.0)]
    assert len(thin([(float(place), 0.0) for place in range(10_000)])) <= 60


def test_hours_are_those_of_the_day() -> None:
    """In UTC, whatever the day."""
    assert [find_hour(MIDNIGHT + hours * HOUR_S) for hours in (0, 0.99, 1, 23.5, 24, 49)] == [0, 0, 1, 23, 0, 1]
