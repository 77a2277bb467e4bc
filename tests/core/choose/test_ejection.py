"""Setting aside who fails more than the others."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Balancing, Force
from sidecar.core.choose.ejection import CALLS_MIN, CONSECUTIVE, GROWTH_MAX, count_ejected_max, judge_seat, take_back
from sidecar.core.choose.verdicts import Verdict
from tests.core.choose.pools import Rig, plain


def ejected(rig: Rig) -> set[str]:
    """Return who is set aside."""
    return {name for name in rig.names if rig.seat_of(name).ejected_until > rig.now}


def test_failures_in_a_row_set_aside() -> None:
    """At the fifth, and not before."""
    rig = Rig(plain("a", "b", "c"), breakers=False)
    rig.fail_at("a", CONSECUTIVE - 1)
    assert ejected(rig) == set()
    rig.fail_at("a", 1)
    assert ejected(rig) == {"a"}


def test_a_share_of_failures_far_above_the_others_sets_aside() -> None:
    """Never five in a row, but every second call."""
    rig = Rig(plain("a", "b", "c"), breakers=False)
    for _ in range(CALLS_MIN):
        rig.call_at("b")
        rig.call_at("c")
    for _ in range(CALLS_MIN // 2 - 1):
        rig.call_at("a")
        rig.fail_at("a", 1)
    assert ejected(rig) == set()
    rig.call_at("a")
    rig.fail_at("a", 1)
    assert ejected(rig) == {"a"}


def test_who_fails_as_the_others_do_is_not_set_aside() -> None:
    """A provider's bad hour is no reason to prefer one of its doors."""
    rig = Rig(plain("a", "b"), breakers=False)
    for _ in range(100):
        for name in rig.names:
            rig.call_at(name)
            rig.fail_at(name, 1)
    assert ejected(rig) == set()


@pytest.mark.parametrize(
    ("upstreams", "share", "most"),
    [(1, 0.5, 0), (2, 0.5, 1), (3, 0.5, 1), (4, 0.5, 2), (5, 0.1, 0), (10, 0.1, 1), (3, 1.0, 2), (10, 0.3, 3)],
)
def test_never_more_than_a_share_of_the_pool_and_never_all(upstreams: int, share: float, most: int) -> None:
    """The cap is never exceeded, and even a cap of all leaves one."""
    rig = Rig(plain(*"abcdefghij"[:upstreams]), balancing=Balancing(ejection_max=share, panic=0.0), breakers=False)
    assert count_ejected_max(rig.seat_of("a").roster) == most
    for name in rig.names:
        rig.fail_at(name, 10)
    assert len(ejected(rig)) == most


def test_each_ejection_that_follows_is_longer_up_to_a_bound() -> None:
    """The first length, then twice, then three times it; after a long good time it begins anew."""
    rig = Rig(plain("a", "b"), balancing=Balancing(ejection=30.0), breakers=False)
    lengths = []
    for _ in range(GROWTH_MAX + 2):
        rig.fail_at("a", CONSECUTIVE)
        seat = rig.seat_of("a")
        lengths.append(round(seat.ejected_until - rig.now))
        rig.now = seat.ejected_until + 1.0
    assert lengths == [30 * min(count, GROWTH_MAX) for count in range(1, GROWTH_MAX + 3)]
    rig.now += 300.0
    rig.fail_at("a", CONSECUTIVE)
    assert round(rig.seat_of("a").ejected_until - rig.now) == 30


def test_what_fails_during_an_ejection_makes_it_no_longer() -> None:
    """Late results belong to before."""
    rig = Rig(plain("a", "b"), breakers=False)
    grants = [rig.begin_at("a") for _ in range(20)]
    for grant in grants:
        rig.settle(grant, Verdict.FAILURE, None)
    seat = rig.seat_of("a")
    assert seat.ejections == 1
    assert not judge_seat(seat, rig.now)


def test_nobody_is_set_aside_where_no_other_is_left() -> None:
    """The other one's breaker is open: this one is the last."""
    rig = Rig(plain("a", "b"))
    rig.breakers.force("b", Force.OPEN, rig.now)
    rig.breakers.force("a", Force.CLOSED, rig.now)
    rig.fail_at("a", 20)
    assert ejected(rig) == set()


@given(st.lists(st.tuples(st.sampled_from("abcde"), st.booleans(), st.floats(0, 40)), max_size=300), st.floats(0, 1))
def test_the_cap_holds_whatever_happens(calls: list[tuple[str, bool, float]], share: float) -> None:
    """At no moment are more set aside than the share, and never all."""
    rig = Rig(plain(*"abcde"), balancing=Balancing(ejection_max=share), breakers=False)
    for name, works, later_s in calls:
        rig.now += later_s
        if works:
            rig.call_at(name)
        else:
            rig.fail_at(name, 3)
        assert len(ejected(rig)) <= min(share * 5 + 1e-6, 4)


def test_a_pool_takes_back_whom_it_can_spare_no_longer() -> None:
    """Those whose time is over first; never fewer than it may set aside."""
    rig = Rig(plain("a", "b", "c", "d"), breakers=False)
    for at, name in enumerate("bac"):
        rig.seat_of(name).ejected_until = rig.now + 10.0 + at
    roster = rig.seat_of("a").roster
    take_back(roster, rig.now)
    assert ejected(rig) == {"a", "c"}
    take_back(roster, rig.now)
    assert ejected(rig) == {"a", "c"}
    assert rig.seat_of("b").share(roster.balancing.slow_start, rig.now) < 1.0 and rig.now < roster.starters_until
