"""Sliding windows: never more than the limit within any of them, to the last call; what is refused would have been too many."""

from math import inf
from typing import NamedTuple

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit.windows import SLOTS, Window

LENGTH_S = 60.0
SLOT_S = LENGTH_S / SLOTS
LIMIT = 20
GAPS = st.one_of(st.floats(0, 2), st.floats(0, 70), st.sampled_from([0.0, 1.0, 59.0, 59.999, 60.0, 61.0, 200.0]))


class Counted(NamedTuple):
    """So many at a moment."""

    at: float
    amount: float


class Call:
    """One that was let through."""

    def __init__(self, at: float, amount: float) -> None:
        self.at = at
        self.amount = amount
        self.net = amount


def within(counted: list[Counted], now: float, length_s: float = LENGTH_S) -> float:
    """Return how much was let through in the window that ends now."""
    return sum(one.amount for one in counted if one.at > now - length_s)


@given(st.lists(st.tuples(GAPS, st.integers(1, LIMIT)), max_size=80), st.floats(0, 1e6))
def test_never_more_than_the_limit_in_any_window(steps: list[tuple[float, int]], start: float) -> None:
    """The overshoot is 0. And nobody is refused who would have fitted into a window one slot longer."""
    window, now, counted = Window(LIMIT, LENGTH_S), start, list[Counted]()
    for gap_s, amount in steps:
        now += gap_s
        wait_s = window.wait_s(amount, now)
        if wait_s:
            assert within(counted, now, LENGTH_S + SLOT_S + 1e-6) + amount > LIMIT
            assert 0 < wait_s <= LENGTH_S + SLOT_S + 1e-6
            continue
        window.take(amount, now)
        counted.append(Counted(now, amount))
        assert within(counted, now) <= LIMIT


@given(st.lists(st.tuples(GAPS, st.integers(1, LIMIT), st.integers(0, 2 * LIMIT), st.integers(0, 12)), max_size=60))
def test_corrections_keep_the_books(steps: list[tuple[float, int, int, int]]) -> None:
    """Less counts as never taken, more from when it is known; when the window has moved on, less gives nothing back."""
    window, now = Window(LIMIT, LENGTH_S), 1000.0
    calls: list[Call] = []
    open_calls: list[Call] = []
    more: list[Counted] = []
    for gap_s, amount, actual, which in steps:
        now += gap_s
        if which < len(open_calls):
            call = open_calls.pop(which)
            window.correct(actual - call.amount, now, call.at)
            if actual < call.amount:
                call.net = actual
            else:
                more.append(Counted(now, actual - call.amount))
        if not window.wait_s(amount, now):
            window.take(amount, now)
            calls.append(Call(now, amount))
            open_calls.append(calls[-1])
            assert within([Counted(call.at, call.net) for call in calls] + more, now) <= LIMIT


@given(st.lists(st.tuples(GAPS, st.integers(1, LIMIT), st.one_of(st.just(0.0), st.floats(-300, 0), st.floats(-1.5, 0))), max_size=80))
def test_a_clock_set_back_lets_no_more_through(steps: list[tuple[float, int, float]]) -> None:
    """Within any window of time as it really passes, however often and however far it is set back."""
    window, real, offset, counted = Window(LIMIT, LENGTH_S), 0.0, 1e6, list[Counted]()
    for gap_s, amount, jump_s in steps:
        real += gap_s
        offset += jump_s
        if window.wait_s(amount, real + offset):
            continue
        window.take(amount, real + offset)
        counted.append(Counted(real, amount))
        assert sum(one.amount for one in counted if one.at > real - LENGTH_S + 1e-6) <= LIMIT


def test_a_clock_set_back_holds_nobody_up_for_long() -> None:
    """By a year: the window is over a window and two slots later."""
    window = Window(1, LENGTH_S)
    window.take(1, 1e9)
    year_ago = 1e9 - 365 * 86400
    assert 0 < window.wait_s(1, year_ago) <= LENGTH_S + 2 * SLOT_S
    assert window.wait_s(1, year_ago + LENGTH_S + 2 * SLOT_S) == 0.0


def test_a_clock_set_back_to_the_end_of_a_slot_shortens_none() -> None:
    """A slot that is entered at its end lasts one slot more: else what came before would drop out within the window."""
    window = Window(1, LENGTH_S)
    window.take(1, 100.99)
    assert window.wait_s(1, 101.0)
    for clock in (50.99, 51.0, 52.0, 109.9, 110.5):  # 59.5 s after the call
        assert window.wait_s(1, clock), clock
    assert not window.wait_s(1, 112.0)


def test_a_clock_set_forward_drops_what_is_behind_it() -> None:
    """Nobody can tell that from time that has passed."""
    window = Window(1, LENGTH_S)
    window.take(1, 100.0)
    assert window.wait_s(1, 110.0)
    assert not window.wait_s(1, 3700.0)


@given(st.lists(st.tuples(GAPS, st.integers(1, 5)), max_size=40), st.integers(1, LIMIT))
def test_who_comes_when_told_gets_in(steps: list[tuple[float, int]], amount: int) -> None:
    """Where nobody else came in between; and one slot sooner it would not have been."""
    window, now = Window(LIMIT, LENGTH_S), 500.0
    for gap_s, taken in steps:
        now += gap_s
        if not window.wait_s(taken, now):
            window.take(taken, now)
    wait_s = window.wait_s(amount, now)
    if wait_s > SLOT_S:
        assert window.wait_s(amount, now + wait_s - SLOT_S)
    assert window.wait_s(amount, now + wait_s + 1e-6) == 0.0


def test_all_at_once_then_all_again() -> None:
    """The worst that two fixed windows let through, twice the limit around a boundary, is not let through."""
    window = Window(100, LENGTH_S)
    for _ in range(100):
        assert window.wait_s(1, 59.9) == 0.0
        window.take(1, 59.9)
    assert window.wait_s(1, 60.1) == pytest.approx(120.0 - 60.1)
    assert window.wait_s(1, 119.8)
    assert not window.wait_s(100, 120.0)


def test_what_is_left_and_when_nothing_counts() -> None:
    """For the fields of answers."""
    window = Window(10, LENGTH_S)
    assert (window.left(0.0), window.reset_s(0.0)) == (10, 0.0)
    window.take(3, 0.5)
    window.take(4, 30.5)
    assert (window.left(30.5), window.reset_s(30.5)) == (3, pytest.approx(60.5))
    assert (window.left(61.0), window.reset_s(61.0)) == (6, pytest.approx(30.0))
    assert window.left(1000.0) == 10


def test_never() -> None:
    """More than the limit, however long one waits; and of nothing, nothing."""
    assert Window(5, LENGTH_S).wait_s(6, 0.0) == inf
    assert Window(0, LENGTH_S).wait_s(1, 0.0) == inf
    assert Window(0.5, LENGTH_S).wait_s(1, 0.0) == inf


def test_more_than_the_limit_is_no_reason_to_lose_count() -> None:
    """A correction may go beyond it: then it is a window before the next comes in."""
    window = Window(10, LENGTH_S)
    window.take(5, 0.0)
    window.correct(100, 30.0, 0.0)
    assert window.left(30.0) == 0
    assert window.wait_s(1, 30.0) == pytest.approx(61.0)
    assert not window.wait_s(10, 91.0)


def test_given_back_after_the_window_has_moved_on() -> None:
    """Nothing: it has come back already, and others have had it."""
    window = Window(10, LENGTH_S)
    window.take(10, 0.0)
    window.take(10, 61.0)
    window.correct(-10, 62.0, 0.0)
    assert window.left(62.0) == 0
