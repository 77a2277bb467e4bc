"""The plan of one call's attempts."""

import timeit
from collections.abc import Callable
from math import inf

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.config import Features, Retries
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.conduct import CONDUCT, Next, Same
from sidecar.core.attempt.plan import FIRST_FAILOVER_S, Action, Plan, PlanLimits, Step, Why, set_limits
from sidecar.core.attempt.retry_budget import RetryBudget

LIMITS = set_limits(Retries(), Features())
ASKED = set_limits(Retries(), Features(retries=True))
LAST = 1.0 - 2**-53  # the largest number of [0, 1)
C = Cause


def begin(
    limits: PlanLimits = LIMITS,
    *,
    attempts: int = 1,
    deadline_at: float = 600.0,
    repeatable: bool = True,
    budget: RetryBudget | None = None,
) -> Plan:
    """Return the plan of a call some attempts of which have begun."""
    plan = Plan(limits, budget or RetryBudget(0.2, 10.0, 10.0), deadline_at, repeatable=repeatable)
    for _ in range(attempts):
        plan.begin(0.0)
    return plan


def follow(
    plan: Plan, cause: Cause, *, now: float = 0.0, has_next: bool = False, body_held: bool = True, sent: bool = True,
    worth_same: bool = True, retry_after_s: float | None = None, draw: Callable[[], float] = lambda: 0.5,
) -> Step:  # fmt: skip
    """Ask the plan what comes next, in the usual circumstances."""
    return plan.follow(
        cause, now, has_next=has_next, body_held=body_held, sent=sent, worth_same=worth_same, retry_after_s=retry_after_s, draw=draw
    )


def tell(step: Step) -> tuple[Action, Why]:
    """Return what is done and why, without the wait."""
    return step.action, step.why


OTHER, AGAIN, NOBODY = (Action.NEXT, Why.OTHER_UPSTREAM), (Action.SAME, Why.SAME_AGAIN), (Action.PASS_ON, Why.NOBODY_ELSE)
KEPT, WORTHLESS = (Action.SAME, Why.KEPT_CONNECTION), (Action.PASS_ON, Why.NOT_WORTH_IT)
TOLD = (Action.SAME, Why.RETRY_AFTER)

# cause: alone; in a pool; alone, and in a pool, with features.retries
TABLE = {
    C.NEVER_SENT: (AGAIN, OTHER, AGAIN, OTHER),
    C.RESET: (KEPT, KEPT, KEPT, KEPT),
    C.SILENCE: (NOBODY, OTHER, NOBODY, OTHER),
    C.MALFORMED: (NOBODY, OTHER, AGAIN, OTHER),
    C.IN_BAND: (NOBODY, OTHER, AGAIN, OTHER),
    C.RATE_LIMITED: (NOBODY, OTHER, AGAIN, OTHER),
    C.OVERLOADED: (NOBODY, OTHER, AGAIN, OTHER),
    C.SERVER_ERROR: (NOBODY, OTHER, AGAIN, OTHER),
    C.CREDENTIALS: (NOBODY, OTHER, NOBODY, OTHER),
    C.CONTEXT_TOO_LONG: (NOBODY, OTHER, NOBODY, OTHER),
    C.CONTENT_REFUSED: (WORTHLESS,) * 4,
    C.REJECTED: (WORTHLESS,) * 4,
    C.NO_ROOM: (NOBODY, OTHER, NOBODY, OTHER),
}


@pytest.mark.parametrize("cause", Cause)
def test_each_cause(cause: Cause) -> None:
    """A single upstream and a pool; what is on from the start, and with features.retries."""
    cases = [(limits, has_next) for limits in (LIMITS, ASKED) for has_next in (False, True)]
    assert tuple(tell(follow(begin(limits), cause, has_next=has_next)) for limits, has_next in cases) == TABLE[cause]


def test_retry_after_is_waited_for_where_repeating_is_asked_for() -> None:
    """Within the deadline: never sooner than asked for, and the same upstream though there is another."""
    for cause in (C.RATE_LIMITED, C.OVERLOADED):
        step = follow(begin(ASKED), cause, has_next=True, retry_after_s=2.0)
        assert step == Step(Action.SAME, pytest.approx(2.05), cause, Why.RETRY_AFTER)
        assert follow(begin(ASKED), cause, has_next=True, retry_after_s=2.0, draw=lambda: 0.0).wait_s == 2.0
        assert tell(follow(begin(ASKED), cause, retry_after_s=2.0)) == TOLD


def test_retry_after_beyond_the_deadline_is_the_next_upstream() -> None:
    """Or longer than is ever waited; and where there is no other, the caller is told, and may wait himself."""
    for plan_of in (lambda: begin(ASKED, deadline_at=5.0), lambda: begin(ASKED._replace(wait_max_s=5.0))):
        assert tell(follow(plan_of(), C.RATE_LIMITED, has_next=True, retry_after_s=6.0)) == OTHER
        assert follow(plan_of(), C.RATE_LIMITED, retry_after_s=6.0).action is Action.PASS_ON


def test_retry_after_does_not_hold_up_another_upstream() -> None:
    """It speaks of the one that sent it."""
    step = follow(begin(), C.RATE_LIMITED, has_next=True, retry_after_s=60.0, draw=lambda: LAST)
    assert tell(step) == OTHER and step.wait_s <= FIRST_FAILOVER_S
    again = begin(ASKED, attempts=2)
    assert follow(again, C.SERVER_ERROR, retry_after_s=3.0, draw=lambda: 0.0) == Step(Action.SAME, 3.0, C.SERVER_ERROR, Why.SAME_AGAIN)


@pytest.mark.parametrize("cause", [cause for cause in Cause if CONDUCT[cause].next is not Next.NEVER])
def test_the_first_failover_comes_at_once(cause: Cause) -> None:
    """Within 100 ms of the failure, though attempts on the same upstream went before; later ones back off."""
    if CONDUCT[cause].same is Same.KEPT:
        begun = [begin(), begin(attempts=2)]
        waits = [follow(plan, cause, has_next=True, worth_same=False, draw=lambda: LAST).wait_s for plan in begun]
    else:
        waits = [follow(begin(attempts=attempts), cause, has_next=True, draw=lambda: LAST).wait_s for attempts in (1, 2)]
    assert max(waits) <= 0.05
    second = begin(attempts=2)
    second.failovers = 1
    assert follow(second, cause, has_next=True, worth_same=False, draw=lambda: 0.5).wait_s == pytest.approx(0.1)


def test_waits_grow_and_jitter_is_full() -> None:
    """On the same upstream: up to the base, then twice as long, from nothing on."""
    for attempts, bound_s in ((1, 0.1), (2, 0.2)):
        drawn = [follow(begin(ASKED, attempts=attempts), C.SERVER_ERROR, draw=lambda c=chance: c).wait_s for chance in (0.0, 0.5, LAST)]  # type: ignore[misc]
        assert drawn == pytest.approx([0.0, bound_s / 2, bound_s])


def test_what_was_never_sent_is_tried_again_at_once() -> None:
    """The first time; then it backs off. Where the failure will last, it is told."""
    assert follow(begin(), C.NEVER_SENT, sent=False).wait_s == 0.0
    assert follow(begin(attempts=2), C.NEVER_SENT, sent=False, draw=lambda: 0.5).wait_s == pytest.approx(0.1)
    assert tell(follow(begin(), C.NEVER_SENT, sent=False, worth_same=False)) == NOBODY
    assert tell(follow(begin(), C.NEVER_SENT, sent=False, worth_same=False, has_next=True)) == OTHER
    assert tell(follow(begin(), C.NEVER_SENT, sent=False, retry_after_s=300.0)) == NOBODY


def test_a_kept_connection_is_replaced_once() -> None:
    """A new one that is reset is another matter: the next upstream, or the caller is told."""
    plan = begin()
    assert follow(plan, C.RESET) == Step(Action.SAME, 0.0, C.RESET, Why.KEPT_CONNECTION)
    plan.begin(0.0)
    assert tell(follow(plan, C.RESET)) == NOBODY
    assert tell(follow(begin(), C.RESET, worth_same=False, has_next=True)) == OTHER
    assert tell(follow(begin(ASKED), C.RESET, worth_same=False)) == AGAIN


def test_an_answer_that_broke_off_had_said_when_to_come_again() -> None:
    """Its head is kept to, though what failed is repeated at once otherwise."""
    assert follow(begin(ASKED), C.RESET, worth_same=False).wait_s == 0.0
    assert follow(begin(ASKED), C.RESET, worth_same=False, retry_after_s=2.0, draw=lambda: 0.0).wait_s == 2.0


@pytest.mark.parametrize("cause", Cause)
def test_what_may_have_been_carried_out_is_not_repeated(cause: Cause) -> None:
    """A call that must not be made twice is made again only if it was certainly turned away."""
    step = follow(begin(repeatable=False), cause, has_next=True)
    if CONDUCT[cause].may_be_done:
        assert tell(step) == (Action.PASS_ON, Why.NOT_REPEATABLE)
        assert follow(begin(repeatable=False), cause, has_next=True, sent=False).action is not Action.PASS_ON
    else:
        assert tell(step) == TABLE[cause][1]


def test_a_body_that_is_gone_cannot_be_sent_again() -> None:
    """But while nothing was sent, all of it is still there or still to come."""
    assert tell(follow(begin(), C.SERVER_ERROR, has_next=True, body_held=False)) == (Action.PASS_ON, Why.BODY_GONE)
    assert tell(follow(begin(), C.NEVER_SENT, has_next=True, body_held=False, sent=False)) == OTHER


def test_no_more_attempts_than_allowed() -> None:
    """The first included; one attempt means none is repeated."""
    assert tell(follow(begin(attempts=3), C.SILENCE, has_next=True)) == (Action.PASS_ON, Why.ATTEMPTS)
    assert tell(follow(begin(LIMITS._replace(attempts_max=1)), C.NEVER_SENT)) == (Action.PASS_ON, Why.ATTEMPTS)


def test_no_failover_where_it_is_off() -> None:
    """features.failover is false: only the same upstream is left."""
    limits = set_limits(Retries(), Features(failover=False, retries=True))
    assert tell(follow(begin(limits), C.SILENCE, has_next=True)) == NOBODY
    assert tell(follow(begin(limits), C.SERVER_ERROR, has_next=True)) == AGAIN


def test_a_wait_that_would_reach_the_deadline_is_none() -> None:
    """An attempt that begins when the time is over is not worth waiting for; neither is one now, when it has passed."""
    assert tell(follow(begin(ASKED, deadline_at=0.05), C.SERVER_ERROR)) == (Action.PASS_ON, Why.DEADLINE)
    assert tell(follow(begin(ASKED, deadline_at=0.06), C.SERVER_ERROR)) == AGAIN
    assert tell(follow(begin(deadline_at=7.0), C.SILENCE, now=7.0, has_next=True)) == (Action.PASS_ON, Why.DEADLINE)
    assert tell(follow(begin(deadline_at=inf), C.SILENCE, now=1e9, has_next=True)) == OTHER


def test_a_spent_budget_ends_it() -> None:
    """And a failure that is passed on for another reason takes nothing out of it."""
    budget = RetryBudget(0.0, 0.2, 10.0)
    for cause in (C.REJECTED, C.CONTENT_REFUSED):
        follow(begin(budget=budget), cause, has_next=True)
    follow(begin(budget=budget, attempts=3), C.SILENCE, has_next=True)
    follow(begin(budget=budget, deadline_at=0.0), C.SILENCE, has_next=True)
    assert budget.balance(0.0) == pytest.approx(2.0)
    steps = [tell(follow(begin(budget=budget), C.SILENCE, has_next=True)) for _ in range(3)]
    assert steps == [OTHER, OTHER, (Action.PASS_ON, Why.BUDGET)]


def test_nothing_is_tried_once_an_answer_has_begun() -> None:
    """Whatever goes wrong after that, the caller has bytes of an answer already."""
    plan = begin()
    assert plan.has_room(0.0)
    plan.committed = True
    assert tell(follow(plan, C.NEVER_SENT, has_next=True)) == (Action.PASS_ON, Why.COMMITTED)
    assert not plan.has_room(0.0)


def test_room_for_a_hedge() -> None:
    """It is an attempt as any other."""
    assert begin(attempts=2).has_room(599.0)
    assert not begin(attempts=3).has_room(0.0)
    assert not begin().has_room(600.0)


def test_the_first_attempt_pays_in() -> None:
    """One deposit for each call, however many attempts it takes."""
    budget = RetryBudget(1.0, 0.0, 10.0)
    begin(budget=budget, attempts=3)
    assert budget.balance(0.0) == 1.0


def test_a_plan_that_is_never_asked_costs_next_to_nothing() -> None:
    """Nearly all calls go well: well under a microsecond (measured: 0.4), the bound being for a busy machine."""
    budget = RetryBudget(0.2, 10.0, 10.0)

    def carry() -> None:
        Plan(LIMITS, budget, 600.0, True).begin(0.5)

    assert min(timeit.repeat(carry, number=400, repeat=60)) / 400 < 1e-6


class PlanMachine(RuleBasedStateMachine):
    """Calls as the path carries them, one after the other, on a clock that only moves when told."""

    @initialize()
    def start(self) -> None:
        self.over = True

    @precondition(lambda self: self.over)
    @rule(
        attempts=st.integers(1, 5), deadline_s=st.sampled_from([0.0, 0.02, 0.3, 3.0, 600.0, inf]), retries=st.booleans(),
        failover=st.booleans(), repeatable=st.booleans(), reserve=st.integers(0, 6),
    )  # fmt: skip
    def call(self, attempts: int, deadline_s: float, retries: bool, failover: bool, repeatable: bool, reserve: int) -> None:
        self.now = 1000.0
        self.deadline_at = self.now + deadline_s
        self.limits = set_limits(Retries(attempts=attempts, wait_max=4.0), Features(retries=retries, failover=failover))
        self.budget = RetryBudget(0.0, float(reserve) / 1e6, 1e6)  # what is taken never comes back here
        self.reserve = reserve
        self.plan = Plan(self.limits, self.budget, self.deadline_at, repeatable)
        self.plan.begin(self.now)
        self.begun = [self.now]
        self.repeated = 0
        self.silent = self.committed = self.over = False
        self.steps: list[Step] = []

    @precondition(lambda self: not self.over)
    @rule(took_s=st.sampled_from([0.0, 0.01, 0.2, 3.0, 70.0]))
    def wait(self, took_s: float) -> None:
        self.now += took_s

    @precondition(lambda self: not self.over)
    @rule(
        cause=st.sampled_from(Cause), has_next=st.booleans(), body_held=st.sampled_from([True, True, True, False]), sent=st.booleans(),
        worth_same=st.booleans(),
        retry_after_s=st.sampled_from([None, 0.0, 0.5, 4.0, 300.0]), chance=st.sampled_from([0.0, 0.5, LAST]),
    )  # fmt: skip
    def fail(
        self, cause: Cause, has_next: bool, body_held: bool, sent: bool, worth_same: bool, retry_after_s: float | None, chance: float
    ) -> None:
        before = self.budget.balance(self.now)
        step = self.plan.follow(
            cause, self.now, has_next=has_next, body_held=body_held, sent=sent, worth_same=worth_same, retry_after_s=retry_after_s,
            draw=lambda: chance,
        )  # fmt: skip
        self.steps.append(step)
        again = step.action is not Action.PASS_ON
        assert before - self.budget.balance(self.now) == pytest.approx(float(again), abs=1e-6)
        if not again:
            assert step.wait_s == 0.0
            self.over = True
            return
        self.expect_reason(step, has_next, body_held, sent, worth_same, retry_after_s)
        self.repeated += 1
        self.now += step.wait_s
        self.plan.begin(self.now)
        self.begun.append(self.now)

    def expect_reason(self, step: Step, has_next: bool, body_held: bool, sent: bool, worth_same: bool, retry_after_s: float | None) -> None:
        """What each kind of repetition needs, said in other words than those of the plan."""
        conduct = CONDUCT[step.cause]
        assert not self.committed
        assert body_held or not sent
        assert self.plan.repeatable or not sent or step.cause in (
            C.NEVER_SENT, C.RATE_LIMITED, C.CREDENTIALS, C.CONTEXT_TOO_LONG, C.NO_ROOM,
        )  # fmt: skip
        assert 0.0 <= step.wait_s <= 4.0 + self.limits.cap_s
        if step.action is Action.NEXT:
            assert has_next and self.limits.fails_over
            assert step.cause not in (C.CONTENT_REFUSED, C.REJECTED)
            if not any(earlier.action is Action.NEXT for earlier in self.steps[:-1]):
                assert step.wait_s <= 0.05
            return
        assert step.cause not in (C.SILENCE, C.CREDENTIALS, C.CONTEXT_TOO_LONG, C.CONTENT_REFUSED, C.REJECTED, C.NO_ROOM)
        if step.cause is C.NEVER_SENT or step.why is Why.KEPT_CONNECTION:
            assert worth_same
        else:
            assert self.limits.repeats_answered
            assert retry_after_s is None or retry_after_s <= step.wait_s
            assert conduct.same is not Same.NEVER

    @precondition(lambda self: not self.over)
    @rule()
    def commit(self) -> None:
        self.plan.committed = True
        self.committed = True

    @invariant()
    def within_limits(self) -> None:
        """Never past the deadline or the maximum, never more than the budget had, and a passed on failure is the end."""
        if hasattr(self, "plan"):
            assert len(self.begun) <= self.limits.attempts_max
            assert all(moment < self.deadline_at for moment in self.begun[1:])
            assert self.repeated == len(self.begun) - 1 <= self.reserve
            assert len(self.steps) <= self.limits.attempts_max


PlanMachine.TestCase.settings = settings(max_examples=300, stateful_step_count=40, deadline=None)
test_any_call = PlanMachine.TestCase
