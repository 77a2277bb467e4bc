"""When a second upstream is asked because the first is late."""

from math import inf, nan

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Hedging
from sidecar.core.attempt.hedging import Hedger
from sidecar.core.attempt.retry_budget import RetryBudget

KEY = ("main", "m-1")


def make(settings: Hedging | None = None, *, floor_per_s: float = 1000.0) -> Hedger:
    """Return a hedger whose budget is no hindrance."""
    return Hedger(settings or Hedging(), RetryBudget(0.2, floor_per_s, 10.0))


def test_the_delay_is_the_percentile_of_what_was_measured() -> None:
    """Of a hundred calls, one in twenty is later than that."""
    hedger = make()
    for tenths in range(100, 0, -1):
        hedger.note(KEY, tenths / 10, now=5.0)
    assert hedger.delay_s(KEY, 5.0) == 9.5


def test_too_little_is_known_at_first() -> None:
    """Nothing is guessed: not of an upstream nobody called, nor before enough calls."""
    hedger = make()
    for _ in range(19):
        hedger.note(KEY, 1.0, now=0.0)
    assert hedger.delay_s(KEY, 0.0) is None
    assert hedger.delay_s(("main", "other"), 0.0) is None
    hedger.note(KEY, 1.0, now=0.0)
    assert hedger.delay_s(KEY, 1.0) == 1.0


def test_a_fast_upstream_is_not_hedged_at_once() -> None:
    """However fast it is, it gets hedging.delay_min."""
    hedger = make()
    for _ in range(20):
        hedger.note(KEY, 0.001, now=0.0)
    assert hedger.delay_s(KEY, 0.0) == 0.1


def test_the_delay_is_live() -> None:
    """What was measured long ago, or 200 calls ago, no longer counts; the number is renewed each second."""
    hedger = make()
    for _ in range(200):
        hedger.note(KEY, 9.0, now=0.0)
    assert hedger.delay_s(KEY, 0.0) == 9.0
    for _ in range(200):
        hedger.note(KEY, 1.0, now=0.5)
    assert hedger.delay_s(KEY, 0.9) == 9.0
    assert hedger.delay_s(KEY, 1.0) == 1.0
    assert hedger.delay_s(KEY, 601.0) is None


def test_more_calls_may_be_asked_for_than_are_usually_kept() -> None:
    """hedging.calls_min is kept to, whatever it is."""
    hedger = make(Hedging(calls_min=300))
    for _ in range(300):
        hedger.note(KEY, 1.0, now=0.0)
    assert hedger.delay_s(KEY, 0.0) == 1.0


def test_keys_are_bounded() -> None:
    """Models are names that callers make up: the one not heard of for longest is forgotten."""
    hedger = make(Hedging(calls_min=1))
    hedger.note(KEY, 1.0, now=0.0)
    for number in range(255):
        hedger.note(("main", str(number)), 1.0, now=1.0)
    hedger.note(KEY, 1.0, now=2.0)
    for number in range(255, 300):
        hedger.note(("main", str(number)), 1.0, now=3.0)
    assert hedger.delay_s(KEY, 4.0) == 1.0
    assert [number for number in range(300) if hedger.delay_s(("main", str(number)), 4.0) is None] == list(range(45))


@pytest.mark.parametrize("value", [nan, inf, -inf, -0.1])
def test_what_is_no_duration_is_not_noted(value: float) -> None:
    """One wrong number would spoil the order of all."""
    hedger = make(Hedging(calls_min=1))
    hedger.note(KEY, value, now=0.0)
    assert hedger.delay_s(KEY, 0.0) is None


def test_hedges_are_a_small_share() -> None:
    """One in twenty of the measured calls, none before the first twenty; of a quiet time only five are saved up."""
    hedger = make()
    assert not hedger.allow(0.0)
    made = 0
    for tick in range(1000):
        hedger.note(KEY, 1.0, now=float(tick))
        made += hedger.allow(float(tick))
    assert made == 50
    for tick in range(1000, 2000):
        hedger.note(KEY, 1.0, now=float(tick))
    assert [hedger.allow(2000.0) for _ in range(7)] == [True] * 5 + [False] * 2


def test_hedges_come_out_of_the_retry_budget() -> None:
    """Where repetitions have spent it there is no hedging, and a hedge that is refused costs nothing of its share."""
    budget = RetryBudget(0.0, 0.1, 10.0)
    hedger = Hedger(Hedging(), budget)
    for _ in range(40):
        hedger.note(KEY, 1.0, now=0.0)
    assert budget.withdraw(0.0)
    assert not hedger.allow(0.0)
    assert hedger.allow(11.0)
    assert not budget.withdraw(11.0)


@given(st.lists(st.floats(0, 100), min_size=1, max_size=60), st.floats(0.0, 1.0))
def test_any_percentile_is_one_of_what_was_measured(values: list[float], percentile: float) -> None:
    """The share of calls that were no later is at least what is asked for."""
    hedger = make(Hedging(percentile=percentile, calls_min=1, delay_min=1e-9))
    for value in values:
        hedger.note(KEY, value + 1.0, now=0.0)
    delay_s = hedger.delay_s(KEY, 0.0)
    assert delay_s is not None and delay_s - 1.0 == pytest.approx(min(values, key=lambda value: abs(value + 1.0 - delay_s)))
    assert sum(value + 1.0 <= delay_s for value in values) >= percentile * len(values) - 1e-6


def test_other_settings_hold_for_what_was_measured() -> None:
    """Times stay, and are judged by another percentile, least time and number of calls; the share is learnt from here on."""
    hedger = Hedger(Hedging(percentile=1.0, delay_min=0.1, calls_min=3, share_max=1.0), RetryBudget(1.0, 100.0, 10.0))
    for ttft_s in (0.2, 0.4, 0.6, 0.8):
        hedger.note(("up", None), ttft_s, 1.0)
    assert hedger.delay_s(("up", None), 1.0) == 0.8
    hedger.adopt(Hedging(percentile=0.5, delay_min=0.1, calls_min=4, share_max=1.0))
    assert hedger.delay_s(("up", None), 1.0) == 0.4
    hedger.adopt(Hedging(percentile=0.5, delay_min=0.5, calls_min=4))
    assert hedger.delay_s(("up", None), 1.0) == 0.5
    hedger.adopt(Hedging(percentile=0.5, calls_min=300))
    assert hedger.delay_s(("up", None), 1.0) is None
    for _ in range(296):
        hedger.note(("up", None), 0.3, 1.0)
    assert hedger.delay_s(("up", None), 1.0) == 0.3, "as many are kept as are asked for"
