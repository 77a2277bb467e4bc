"""The parts of a score, and what they weigh."""

import pytest

from sidecar.config import Upstream
from sidecar.core.choose.rosters import Seat
from sidecar.core.choose.scores import ADAPTIVE, PERFORMANCE, compare_loads, compare_times, fill_unknown, score_adaptive, score_performance
from sidecar.core.identify.wishes import NO_WISHES
from tests.core.choose.pools import Rig, plain, weigh


def seats_of(rig: Rig) -> list[Seat]:
    """Return all seats of the pool."""
    return [rig.seat_of(name) for name in rig.names]


def test_the_parts_weigh_one_together() -> None:
    """As documented, so that scores are between 0 and 1."""
    assert PERFORMANCE == (0.4, 0.3, 0.3)
    assert ADAPTIVE == (0.25, 0.30, 0.30, 0.15)
    assert sum(PERFORMANCE) == pytest.approx(1.0)
    assert sum(ADAPTIVE) == pytest.approx(1.0)


def test_times_are_compared_with_the_least() -> None:
    """Twice as slow is half as good; what is not known is as the others are on average."""
    assert compare_times([1.0, 2.0, 4.0]) == [1.0, 0.5, 0.25]
    assert compare_times([1.0, None, 2.0]) == [1.0, 0.75, 0.5]
    assert compare_times([None, None]) == [1.0, 1.0]
    assert compare_times([0.0, 1.0]) == [1.0, 0.0]


def test_what_is_unknown_is_held_neither_against_nor_for_anybody() -> None:
    """The mean of the others; 1 where there are none."""
    assert fill_unknown([0.4, None, 0.8]) == [0.4, pytest.approx(0.6), 0.8]
    assert fill_unknown([None]) == [1.0]
    assert fill_unknown([]) == []


def test_performance_is_time_reliability_and_quality() -> None:
    """Worked out by hand: b takes twice as long and fails every second time, but is of better quality."""
    rig = Rig({"a": Upstream("https://a.example", quality=0.5), "b": Upstream("https://b.example", quality=1.0)}, breakers=False)
    rig.call_at("a", response_time_s=1.0)
    rig.call_at("b", response_time_s=2.0)
    rig.fail_at("b", 1)
    a, b = score_performance(seats_of(rig), rig.now)
    assert a == pytest.approx(0.4 + 0.3 + 0.3 * 0.5)
    assert b == pytest.approx(0.4 * (1 / 12) + 0.3 * 0.5 + 0.3)  # (2 s + 10 s of penalty) for one answer


def test_of_nothing_known_all_are_equal() -> None:
    """And none is worse for it."""
    rig = Rig(plain("a", "b"))
    assert score_performance(seats_of(rig), rig.now) == [1.0, 1.0]
    assert score_adaptive(seats_of(rig), NO_WISHES, rig.now) == [pytest.approx(1.0)] * 2


def test_load_is_compared_by_weight() -> None:
    """Two calls at twice the weight are as one."""
    rig = Rig(weigh([2.0, 1.0]))
    seats = seats_of(rig)
    seats[0].standing.post.pending = 3
    seats[1].standing.post.pending = 1
    assert compare_loads(seats, rig.now) == [1.0, 1.0]


def test_who_answers_few_calls_has_little_to_offer() -> None:
    """Nothing pending where nothing is answered is no recommendation."""
    rig = Rig(plain("a", "b"))
    for _ in range(10):
        rig.call_at("a", response_time_s=None)
    rig.now += 30.0
    rig.seat_of("b").standing.post.pending = 20
    first, second = compare_loads(seats_of(rig), rig.now)
    assert first < second


def test_weights_of_zero_are_compared_without_harm() -> None:
    """Nobody has anything to offer: all are equal."""
    rig = Rig(weigh([0.0, 0.0]))
    assert compare_loads(seats_of(rig), rig.now) == [1.0, 1.0]


def test_adaptive_is_load_history_live_and_wishes() -> None:
    """Worked out by hand: b is half as fast, has one call pending, and the caller wishes for an answer within four seconds."""
    rig = Rig(plain("a", "b"))
    rig.call_at("a", response_time_s=1.0)
    rig.call_at("b", response_time_s=2.0)
    rig.seat_of("b").standing.post.pending = 1
    seats = seats_of(rig)
    for seat in seats:
        seat.standing.track.sum_up(rig.now)
    a, b = score_adaptive(seats, NO_WISHES._replace(max_response_time_s=4.0), rig.now)
    assert a == pytest.approx(0.25 + 0.30 + 0.30 + 0.15 * 0.75)
    assert b == pytest.approx(0.25 * 0.5 + 0.30 * 0.75 + 0.30 * 0.75 + 0.15 * 0.5)


def test_what_is_live_is_forgotten_after_a_minute() -> None:
    """History stays; live is as if it had never been measured."""
    rig = Rig(plain("a", "b"))
    rig.call_at("a", response_time_s=1.0)
    rig.call_at("b", response_time_s=2.0)
    rig.now += 61.0
    a, b = score_adaptive(seats_of(rig), NO_WISHES, rig.now)
    assert a - b == pytest.approx(0.30 * 0.25)
