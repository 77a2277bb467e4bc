"""Series that cases are made of."""

import itertools

import pytest

from sidecar.render.cases.series import climb, grow_histogram, spread


def expand(values: str) -> list[float]:
    """Return the values of a series, added step by step as promtool does."""
    found = list[float]()
    for part in values.split():
        first, rest = part.split("+")
        increase, steps = rest.split("x")
        value = float(first)
        for _ in range(int(steps) + 1):
            found.append(value)
            value += float(increase)
    return found


def test_a_counter_climbs_by_phases() -> None:
    """One value a minute, from 0 at minute 0: each phase ends as many minutes later."""
    _, values = climb("x", (2, 3), (0, 2), (1, 1))
    assert expand(values) == [0, 2, 4, 6, 6, 6, 7]


@pytest.mark.parametrize("per_minute", [0.1, 1 / 3, 4.1000000001])
def test_a_counter_that_stands_still_starts_nowhere_anew(per_minute: float) -> None:
    """A value that is lower by a rounding error would be a reset: the whole count would be an increase."""
    _, values = climb("x", (per_minute, 50), (0.0, 10), (per_minute, 50))
    found = expand(values)
    assert all(later >= earlier for earlier, later in itertools.pairwise(found))
    assert len(found) == 111


def test_a_quantile_near_one_leaves_no_share_above_all() -> None:
    """Shares of a histogram ascend and end at all of its values."""
    shares = spread((0.01, 0.05, 0.1), 0.99, 0.0501, inside=0.01)
    assert [edge for edge, _ in shares] == [0.05, 0.1]
    assert 0 < shares[0][1] < 0.99 < shares[1][1] <= 1
    (low, high, every, count) = grow_histogram("x", {}, shares, 100)
    assert [series.partition("le=")[2][:6] for series, _ in (low, high, every)] == ['"0.05"', '"0.1"}', '"+Inf"']
    assert every[1] == count[1]
