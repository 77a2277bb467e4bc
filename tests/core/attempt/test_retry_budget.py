"""The budget over everything that is tried again."""

import sys
from bisect import bisect_right

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.core.attempt.retry_budget import RetryBudget


def drain(budget: RetryBudget, now: float) -> int:
    """Return how many repetitions can be made at once."""
    made = 0
    while made < 10_000 and budget.withdraw(now):
        made += 1
    return made


def test_a_share_of_the_calls_and_a_floor() -> None:
    """As linkerd: a fifth of the calls, and ten a second over the time that is remembered, from the first moment on."""
    budget = RetryBudget(0.2, 10.0, 10.0)
    assert drain(budget, 50.0) == 100
    for _ in range(25):
        budget.deposit(50.0)
    assert drain(budget, 50.0) == 5
    assert budget.balance(50.0) == pytest.approx(0.0, abs=1e-6)


def test_a_share_without_a_floor() -> None:
    """Five calls are worth one repetition, four are not."""
    budget = RetryBudget(0.2, 0.0, 10.0)
    for _ in range(4):
        budget.deposit(0.0)
    assert not budget.withdraw(0.0)
    budget.deposit(0.0)
    assert budget.withdraw(0.0)
    assert not budget.withdraw(0.0)


def test_deposits_expire() -> None:
    """Calls of long ago are no reason to repeat now: what was saved up in a busy minute is gone after it."""
    budget = RetryBudget(0.2, 0.0, 10.0)
    for _ in range(100):
        budget.deposit(0.0)
    assert budget.balance(8.9) == pytest.approx(20.0)
    assert budget.balance(10.0) == 0.0
    assert not budget.withdraw(10.0)


def test_repetitions_are_forgotten_too() -> None:
    """The floor is there again after the time that is remembered, and not before."""
    budget = RetryBudget(0.2, 10.0, 10.0)
    assert drain(budget, 0.0) == 100
    assert drain(budget, 9.99) == 0
    assert drain(budget, 11.0) == 100


def test_what_is_in_doubt_counts_against_repetitions() -> None:
    """A slot is forgotten as a whole: not before the last of what was repeated in it is old enough."""
    budget = RetryBudget(0.2, 10.0, 10.0)
    budget.deposit(0.0)
    assert drain(budget, 0.95) == 100
    assert drain(budget, 10.9) == 0


def test_a_long_silence_forgets_all() -> None:
    """However long nobody called, the next call finds a budget as new, at once."""
    budget = RetryBudget(0.2, 1.0, 10.0)
    budget.deposit(0.0)
    drain(budget, 0.0)
    assert drain(budget, 1e9) == 10


@pytest.mark.parametrize("calls_per_s", [1, 20, 400])
def test_when_everything_fails(calls_per_s: int) -> None:
    """Each attempt fails and would be repeated twice: attempts stay at 1.2 times the calls and 10 a second, over each 10 seconds."""
    budget = RetryBudget(0.2, 10.0, 10.0)
    calls: list[float] = []
    repetitions: list[float] = []
    for tick in range(45 * calls_per_s):
        now = 7.3 + tick / calls_per_s
        budget.deposit(now)
        calls.append(now)
        repetitions += [now for _ in range(2) if budget.withdraw(now)]
    for until in calls:
        of_calls = bisect_right(calls, until) - bisect_right(calls, until - 10.0)
        of_repetitions = bisect_right(repetitions, until) - bisect_right(repetitions, until - 10.0)
        assert of_calls + of_repetitions <= 1.2 * of_calls + 100 + 1e-6
    assert len(repetitions) > 0.9 * min(2 * len(calls), 0.2 * len(calls) + 400)  # and it is not stingy either


def test_memory_is_bounded() -> None:
    """A million calls and a year later it is as large as new."""
    budget = RetryBudget(0.2, 10.0, 10.0)
    before = [sys.getsizeof(getattr(budget, name)) for name in budget.__slots__ if isinstance(getattr(budget, name), list)]
    for tick in range(20_000):
        budget.deposit(tick * 1_577.0 if tick % 3 else tick * 0.01)
        budget.withdraw(tick * 1_577.0)
    after = [sys.getsizeof(getattr(budget, name)) for name in budget.__slots__ if isinstance(getattr(budget, name), list)]
    assert after == before and len(before) == 2


class BudgetMachine(RuleBasedStateMachine):
    """Any calls, repetitions and pauses, against a list of all that ever happened."""

    def __init__(self) -> None:
        super().__init__()
        self.now = 0.0
        self.calls: list[float] = []
        self.repetitions: list[float] = []

    @initialize(
        share=st.sampled_from([0.0, 0.1, 0.2, 1.0]), floor=st.sampled_from([0.0, 0.5, 3.0]), expiry_s=st.sampled_from([0.5, 10.0]),
        now=st.sampled_from([0.0, -3.0, 1e6]),
    )  # fmt: skip
    def make(self, share: float, floor: float, expiry_s: float, now: float) -> None:
        self.share, self.floor, self.expiry_s, self.now = share, floor, expiry_s, now
        self.budget = RetryBudget(share, floor, expiry_s)

    @rule(times=st.integers(1, 12))
    def call(self, times: int) -> None:
        for _ in range(times):
            self.budget.deposit(self.now)
            self.calls.append(self.now)

    @rule(times=st.sampled_from([1, 2, 12, 40]))
    def repeat(self, times: int) -> None:
        for _ in range(times):
            had = self.budget.balance(self.now)
            took = self.budget.withdraw(self.now)
            assert took == (had > 1.0 - 1e-6)
            if took:
                self.repetitions.append(self.now)
                self.expect_no_more_than_allowed()

    @rule(share=st.sampled_from([0.01, 0.07, 0.09, 0.1, 0.37, 0.8, 0.9, 0.92, 0.95, 0.99, 1.0, 1.05, 1000.0]))
    def wait(self, share: float) -> None:
        self.now += share * self.expiry_s

    def count(self, moments: list[float], over_s: float) -> int:
        """Return how many of the moments were within the last `over_s` seconds."""
        return sum(moment > self.now - over_s for moment in moments)

    def expect_no_more_than_allowed(self) -> None:
        """Over the time that is remembered, up to this moment."""
        # The clock is a float: what is a rounding off the edge may be on either side of it.
        calls, repetitions = self.count(self.calls, self.expiry_s + 1e-6), self.count(self.repetitions, self.expiry_s - 1e-6)
        assert repetitions <= self.share * calls + self.floor * self.expiry_s + 1e-6

    @invariant()
    def not_stingy(self) -> None:
        """What is certainly remembered and certainly not forgotten can be had: but for the slot in doubt, the balance is exact."""
        if hasattr(self, "budget"):
            certain, doubtful = self.count(self.calls, 0.89 * self.expiry_s), self.count(self.repetitions, 1.11 * self.expiry_s)
            assert self.budget.balance(self.now) >= self.share * certain + self.floor * self.expiry_s - doubtful - 1e-6


BudgetMachine.TestCase.settings = settings(max_examples=200, stateful_step_count=30, deadline=None)
test_any_traffic = BudgetMachine.TestCase


def test_other_shares_hold_for_what_was_counted() -> None:
    """A hundred calls and twelve repetitions are there whatever the settings."""
    budget = RetryBudget(0.2, 0.0, 10.0)
    for _ in range(100):
        budget.deposit(1.0)
    assert all(budget.withdraw(1.0) for _ in range(12))
    budget.adopt(0.5, 1.0, 10.0, 2.0)
    assert budget.balance(2.0) == pytest.approx(0.5 * 100 + 10 - 12)
    budget.adopt(0.1, 0.0, 10.0, 2.0)
    assert budget.balance(2.0) == 0.0


@pytest.mark.parametrize("expiry_s", [2.0, 9.0, 10.5, 20.0])
def test_another_expiry_gives_nobody_more(expiry_s: float) -> None:
    """However often it changes: what was repeated is not forgotten by it."""
    budget = RetryBudget(0.0, 1.0, 10.0)
    granted = 0
    for number in range(100):
        budget.adopt(0.0, 1.0, (expiry_s, 10.0)[number % 2], number / 100)
        while budget.withdraw(number / 100):
            granted += 1
    assert granted <= max(10.0, expiry_s)


def test_calls_are_remembered_for_a_longer_expiry_only_while_they_surely_count() -> None:
    """For the tenth of it that is left of them; a shorter one forgets them at once, and repetitions end by themselves."""
    budget = RetryBudget(1.0, 0.0, 10.0)
    for _ in range(5):
        budget.deposit(1.0)
    assert budget.withdraw(1.0)
    budget.adopt(1.0, 0.0, 20.0, 5.0)
    assert (budget.balance(5.0), budget.balance(6.9), budget.balance(7.0)) == (4.0, 4.0, 0.0)
    budget.deposit(7.0)
    budget.deposit(7.0)
    assert budget.balance(7.0) == 1.0
    budget.adopt(1.0, 0.1, 10.0, 8.0)
    assert budget.balance(8.0) == 0.0
    assert budget.balance(40.0) == 1.0
