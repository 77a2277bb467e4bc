"""Token buckets: never more than the burst and the pace over any span, whatever is given back, however the clock is set."""

from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit.buckets import DEBT_S, ROUNDING, Bucket

STEPS = st.lists(st.tuples(st.floats(0, 5), st.integers(1, 12)), max_size=60)


class Taken(NamedTuple):
    """What went through, or, negative, was given back."""

    at: float
    amount: float


def assert_bound(taken: list[Taken], bucket: Bucket) -> None:
    """Over each span no more than the burst and the pace times the span, besides what was given back in it."""
    for first in range(len(taken)):
        through = 0.0
        for one in taken[first:]:
            through += one.amount
            assert through <= bucket.size + bucket.rate_per_s * (one.at - taken[first].at) + 1e-3


@given(STEPS, st.floats(0.1, 20), st.floats(1, 30))
def test_the_bound_holds_over_any_span(steps: list[tuple[float, int]], rate: float, size: float) -> None:
    """However calls come."""
    bucket, now, taken = Bucket(rate, size), 50.0, []
    for gap_s, amount in steps:
        now += gap_s
        if not bucket.wait_s(amount, now):
            bucket.take(amount, now)
            taken.append(Taken(now, amount))
    assert_bound(taken, bucket)


@given(st.lists(st.tuples(st.floats(0, 5), st.integers(1, 12), st.integers(0, 20), st.integers(0, 12)), max_size=40), st.floats(0.1, 20))
def test_corrections_keep_the_books(steps: list[tuple[float, int, int, int]], rate: float) -> None:
    """What is given back counts as not taken, what is added as taken; never is it more than full."""
    bucket, now = Bucket(rate, 12.0), 50.0
    taken: list[Taken] = []
    open_calls: list[Taken] = []
    for gap_s, amount, actual, which in steps:
        now += gap_s
        if which < len(open_calls):
            call = open_calls.pop(which)
            before = bucket.left(now)
            bucket.correct(actual - call.amount, now, call.at)
            if actual < call.amount:
                taken.append(Taken(now, before - bucket.left(now)))
        if not bucket.wait_s(amount, now):
            bucket.take(amount, now)
            taken.append(Taken(now, amount))
            open_calls.append(taken[-1])
        assert bucket.left(now) <= bucket.size
    assert_bound(taken, bucket)


@given(STEPS, st.lists(st.floats(-100, 0), min_size=60, max_size=60))
def test_a_clock_set_back_adds_nothing(steps: list[tuple[float, int]], jumps: list[float]) -> None:
    """The bound holds in time as it really passes."""
    bucket, real, clock, taken = Bucket(2.0, 10.0), 0.0, 1e4, []
    for (gap_s, amount), jump_s in zip(steps, jumps, strict=False):
        real += gap_s
        clock += gap_s + (jump_s if jump_s < -50 else 0.0)
        if not bucket.wait_s(amount, clock):
            bucket.take(amount, clock)
            taken.append(Taken(real, amount))
    assert_bound(taken, bucket)


def test_burst_then_pace() -> None:
    """It begins full, is emptied at once, and then lets through at its pace."""
    bucket = Bucket(2.0, 5.0)
    for _ in range(5):
        assert bucket.wait_s(1, 100.0) == 0.0
        bucket.take(1, 100.0)
    assert bucket.wait_s(1, 100.0) == pytest.approx(0.5)
    assert bucket.wait_s(3, 100.0) == pytest.approx(1.5)
    assert bucket.wait_s(1, 100.5) == 0.0
    assert (bucket.left(101.0), bucket.reset_s(101.0)) == (pytest.approx(2.0), pytest.approx(1.5))
    assert bucket.left(1e6) == 5.0
    assert bucket.reset_s(1e6) == 0.0


@given(st.floats(0.01, 1000), st.floats(1, 1e6), st.floats(0, 1), st.floats(0, 1e9))
def test_who_comes_when_told_gets_in(rate: float, size: float, share: float, now: float) -> None:
    """Sums of times that are not exact do not send anybody away again for nothing."""
    bucket = Bucket(rate, size)
    bucket.take(size, now)
    wait_s = bucket.wait_s(size * share, now)
    assert bucket.wait_s(size * share, now + wait_s) <= 1e-4 + rate * 1e-6 + now * 1e-9


def test_never() -> None:
    """More than it holds, or more than is left of what never comes back."""
    assert Bucket(1.0, 5.0).wait_s(6, 0.0) == inf
    stopped = Bucket(0.0, 1.0)
    assert stopped.wait_s(1, 0.0) == 0.0
    stopped.take(1, 0.0)
    assert (stopped.wait_s(1, 1e9), stopped.reset_s(1e9)) == (inf, inf)
    assert Bucket(0.0, 0.0).wait_s(1, 0.0) == inf


def test_given_back_unless_it_was_full_since() -> None:
    """What has come back by itself does not come back twice."""
    bucket = Bucket(1.0, 10.0)
    bucket.take(8, 100.0)
    bucket.correct(-6, 101.0, 100.0)
    assert bucket.left(101.0) == pytest.approx(9.0)
    late = Bucket(1.0, 10.0)
    late.take(8, 100.0)
    late.take(10, 120.0)  # full until then
    late.correct(-6, 120.0, 100.0)
    assert late.left(120.0) == 0.0


def test_more_is_owed() -> None:
    """What was used beyond the estimate is made up for before the next is let through, within reason."""
    bucket = Bucket(2.0, 10.0)
    bucket.take(5, 100.0)
    bucket.correct(15, 100.0, 100.0)
    assert bucket.left(100.0) == 0.0
    assert bucket.wait_s(1, 100.0) == pytest.approx(5.5)
    bucket.correct(1e15, 100.0, 100.0)
    assert bucket.wait_s(1, 100.0) == pytest.approx(DEBT_S + 0.5)
    bucket.correct(1.0, 100.0, 100.0)
    assert bucket.wait_s(1, 100.0) == pytest.approx(DEBT_S + 0.5)
    assert ROUNDING < 1e-3


def test_another_pace_and_size_begin_with_what_is_there() -> None:
    """As far as there is room for it; until then it refilled as it did."""
    bucket = Bucket(1.0, 10.0)
    bucket.take(8, 100.0)
    bucket.adopt(5.0, 100.0, 103.0)
    assert bucket.left(103.0) == 5.0
    assert bucket.left(104.0) == 10.0
    bucket.adopt(1.0, 4.0, 104.0)
    assert (bucket.left(104.0), bucket.reset_s(104.0)) == (4.0, 0.0)
    bucket.take(4, 104.0)
    bucket.adopt(0.0, 4.0, 104.0)
    assert bucket.wait_s(1, 105.0) == inf
    fresh = Bucket(1.0, 10.0)
    fresh.adopt(1.0, 3.0, 50.0)
    assert fresh.left(50.0) == 3.0


def test_what_is_owed_is_owed_at_another_pace() -> None:
    """It is worked off from then on as fast as the new one allows."""
    bucket = Bucket(1.0, 10.0)
    bucket.take(10, 100.0)
    bucket.correct(20, 100.0, 100.0)
    bucket.adopt(10.0, 10.0, 100.0)
    assert bucket.wait_s(1, 100.0) == pytest.approx(2.1)
