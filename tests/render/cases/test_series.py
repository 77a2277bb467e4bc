"""What is scraped in a case, and when it should be told."""

import re
from collections.abc import Iterable
from itertools import pairwise
from typing import Final

import pytest

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Check, Firing
from sidecar.render.cases.series import (
    Subject,
    climb,
    grow,
    grow_histogram,
    just_enough,
    list_edges_around,
    list_near,
    list_passed,
    name_series,
    spread,
    stand,
    step,
    too_few,
    watch,
)
from sidecar.thresholds import Side, Threshold, Thresholds

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
EDGES: Final = (1.0, 3.0, 5.0, 10.0)


def expand(values: str) -> list[float]:
    """Return the samples of promtool's notation, as promtool makes them."""
    found = list[float]()
    for part in values.split():
        match = re.fullmatch(r"([-\d.e+]+?)(?:\+([\d.e-]+))?(?:x(\d+))?", part)
        assert match is not None, part
        value, by, times = float(match[1]), float(match[2] or 0), int(match[3] or 0)
        for _ in range(times + 1):
            found.append(value)
            value += by
    return found


def find_quantile(q: float, shares: Iterable[tuple[float, float]]) -> float:
    """Return a quantile as histogram_quantile does: evenly spread within each bucket, from 0 on."""
    low, below = 0.0, 0.0
    for edge, share in shares:
        if share >= q:
            return low + (edge - low) * (q - below) / (share - below)
        low, below = edge, share
    return low


def test_series_are_named_by_target_and_labels() -> None:
    """Labels come after job and instance, which a case may choose."""
    assert name_series("up") == 'up{job="app",instance="a:9464"}'
    assert name_series("up", instance="b", route="chat") == 'up{job="app",instance="b",route="chat"}'


@pytest.mark.parametrize("per_minute", [4.1, 0.35, 1 / 3, 0.61, 1e-3, 1234.567, 777.7777777])
def test_counters_never_go_back(per_minute: float) -> None:
    """A counter that stands still stands where it arrived: a hair below would be one that starts anew."""
    samples = expand(grow("x", per_minute, 20, 60)[1])
    assert len(samples) == 61
    assert all(later >= earlier for earlier, later in pairwise(samples))
    assert samples[0] == 0
    assert samples[-1] == pytest.approx(20 * per_minute, abs=2e-6)
    assert len({*samples[21:]}) == 1


def test_a_counter_climbs_by_phases() -> None:
    """One value a minute, from 0 at minute 0: each phase ends as many minutes later."""
    assert expand(climb("x", (2, 3), (0, 2), (1, 1))[1]) == [0, 2, 4, 6, 6, 6, 7]


@pytest.mark.parametrize("per_minute", [0.1, 1 / 3, 4.1000000001])
def test_a_counter_that_stood_still_starts_nowhere_anew(per_minute: float) -> None:
    """A value that is lower by a rounding error would be a reset: the whole count would be an increase."""
    samples = expand(climb("x", (per_minute, 50), (0.0, 10), (per_minute, 50))[1])
    assert all(later >= earlier for earlier, later in pairwise(samples))
    assert len(samples) == 111


def test_gauges_stand_and_step() -> None:
    """Each level lasts for as many minutes as it says."""
    assert expand(stand("x", 7, 3)[1]) == [7] * 4
    assert expand(step("x", (1, 2), (0, 3))[1]) == [1, 1, 0, 0, 0]


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("value", [2.85, 3.0, 3.15, 9.5])
def test_values_are_spread_so_that_a_quantile_is_what_it_should_be(q: float, value: float) -> None:
    """The quantile asked for is the value; one a little higher or lower is outside its bucket."""
    shares = spread(EDGES, q, value)
    assert find_quantile(q, shares) == pytest.approx(value)
    assert find_quantile(q - 0.03, shares) <= max(edge for edge in EDGES if edge < value)
    assert find_quantile(q + 0.03, (*shares, (99.0, 1.0))) > min(edge for edge in EDGES if edge >= value)


@pytest.mark.parametrize("q", [0.5, 0.95])
@pytest.mark.parametrize("value", [0.955, 1.0])
def test_values_below_the_first_edge_are_spread_from_nothing_on(q: float, value: float) -> None:
    """Below the first bucket there is none that could hold the rest."""
    ((edge, share),) = spread(EDGES, q, value)
    assert edge == 1.0 and 0 < share <= 1
    assert find_quantile(q, ((edge, share),)) == pytest.approx(value)


def test_a_quantile_near_one_leaves_no_share_above_all() -> None:
    """Shares of a histogram ascend and end at all of its values."""
    shares = spread((0.01, 0.05, 0.1), 0.99, 0.0501, inside=0.01)
    assert [edge for edge, _ in shares] == [0.05, 0.1]
    assert 0 < shares[0][1] < 0.99 < shares[1][1] <= 1
    (low, high, every, count) = grow_histogram("x", {}, shares, 100)
    assert [series.partition("le=")[2][:6] for series, _ in (low, high, every)] == ['"0.05"', '"0.1"}', '"+Inf"']
    assert every[1] == count[1]


def test_least_traffic_is_just_reached_and_just_missed() -> None:
    """What is enough in a window is not in a window that is a minute older; less than half a call is missing otherwise."""
    for count in (1, 3, 10, 20, 50):
        for minutes in (5, 15, 30):
            enough = just_enough(count, minutes)
            assert count < enough <= count + 0.5
            assert enough * (minutes - 1) / minutes < count
        assert count - 0.5 <= too_few(count) < count


@pytest.mark.parametrize(
    "threshold", [each for each in Thresholds() if each.warning is not None or each.info is not None], ids=lambda t: t.signal
)
def test_near_each_limit_there_is_a_value_on_either_side(threshold: Threshold) -> None:
    """Beyond a limit is beyond that one and the lighter ones only; short of it is not beyond it."""
    for name, value in list_near(threshold):
        side, severity = name.rsplit("-", 1)
        passed = list_passed(threshold, value)
        assert (Severity(severity) in passed) == (side == "beyond")
        if side == "beyond":
            assert passed[-1] is Severity(severity)
        assert value > 0 and (threshold.unit != "1" or threshold.bad is Side.BELOW or value <= 1 or threshold.signal == "cost_spike")


def test_beyond_all_calls_there_are_none() -> None:
    """A share whose limit is all of them has no value beyond it, and still one short of it."""
    threshold = Threshold("errors", "ratio", "1", Side.ABOVE, warning=0.99, critical=1.0)
    assert [name for name, _ in list_near(threshold)] == ["beyond-warning", "short-of-warning", "short-of-critical"]


def test_limits_have_edges_around_them() -> None:
    """The first edge has 0 below it; what is no edge is refused."""
    assert list_edges_around(EDGES, 3.0) == (1.0, 3.0, 5.0)
    assert list_edges_around(EDGES, 1.0) == (0.0, 1.0, 3.0)
    with pytest.raises(ValueError, match="not in tuple"):
        list_edges_around(EDGES, 4.0)


def test_who_is_told_when() -> None:
    """An alert fires once its hold is over, and for as long as it is kept; each change is looked at, and the minute before."""
    lasting = Subject({"route": "a"}, (_WARNING, _CRITICAL), "9")
    over = Subject({"route": "b"}, (_WARNING,), "8", end=12)
    late = Subject({"route": "c"}, (_WARNING,), "7", start=30)
    silent = Subject({"route": "d"})
    a, b = Firing(_WARNING, {"route": "a"}, "9"), Firing(_WARNING, {"route": "b"}, "8")
    worse, c = Firing(_CRITICAL, {"route": "a"}, "9"), Firing(_WARNING, {"route": "c"}, "7")
    assert watch("LLMLate", [lasting, over, late, silent], {_WARNING: 5, _CRITICAL: 2}, 3) == (
        Check("6m", "LLMLate"),
        Check("7m", "LLMLate", (worse,)),
        Check("9m", "LLMLate", (worse,)),
        Check("10m", "LLMLate", (a, worse, b)),
        Check("15m", "LLMLate", (a, worse, b)),
        Check("16m", "LLMLate", (a, worse)),
        Check("34m", "LLMLate", (a, worse)),
        Check("35m", "LLMLate", (a, worse, c)),
    )
