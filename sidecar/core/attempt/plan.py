"""The plan of one call's attempts: after each that failed, whether there is another, where, and after how long.

One deadline and one number of attempts hold over everything that is tried for a call, waits and hedges included; one budget
over what is tried again for all calls. What is worth trying is in `conduct.CONDUCT`. A call that has been answered is
committed: nothing is tried any more.
"""

from collections.abc import Callable, Iterator
from enum import Enum, StrEnum
from typing import Final, NamedTuple

from sidecar.config import Features, Retries
from sidecar.core.attempt.backoff import draw_backoff
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.conduct import CONDUCT, Conduct, Next, Same, Waits
from sidecar.core.attempt.retry_budget import RetryBudget

FIRST_FAILOVER_S: Final = 0.05  # the longest wait before the first one: a failover is done within 100 ms


class Action(Enum):
    """What comes after a failed attempt."""

    PASS_ON = "pass_on"  # the caller gets the failure
    SAME = "same"  # the same upstream again, on a new connection
    NEXT = "next"  # another one of the pool


class Why(StrEnum):
    """Why a step is what it is: a closed list, shown to those who ask."""

    KEPT_CONNECTION = "a kept connection had been closed"
    RETRY_AFTER = "when the upstream asked for it"
    SAME_AGAIN = "once more on the same upstream"
    OTHER_UPSTREAM = "another upstream"
    COMMITTED = "the answer has begun"
    NOT_WORTH_IT = "it would fail again"
    ATTEMPTS = "no attempts left"
    BODY_GONE = "the request's body is gone"
    NOT_REPEATABLE = "it may have been carried out"
    NOBODY_ELSE = "nobody else to ask"
    DEADLINE = "no time left"
    BUDGET = "the retry budget is spent"


class Step(NamedTuple):
    """What to do about one failed attempt."""

    action: Action
    wait_s: float
    cause: Cause
    why: Why


class PlanLimits(NamedTuple):
    """What holds for the plans of all calls."""

    attempts_max: int
    base_s: float
    cap_s: float
    wait_max_s: float  # the longest Retry-After that is waited for
    repeats_answered: bool
    fails_over: bool


def set_limits(retries: Retries, features: Features) -> PlanLimits:
    """Return the limits that the settings ask for."""
    return PlanLimits(retries.attempts, retries.base, retries.cap, retries.wait_max, features.retries, features.failover)


class Plan:
    """One call's attempts.

    `repeatable`: a call that may have been carried out may be made again.
    """

    begun: int = 0
    failovers: int = 0
    refreshed: bool = False  # a kept connection was replaced by a new one
    committed: bool = False  # an answer has begun to go to the caller: from here on nothing is tried again

    def __init__(self, limits: PlanLimits, budget: RetryBudget, deadline_at: float, repeatable: bool) -> None:
        self.limits = limits
        self.budget = budget
        self.deadline_at = deadline_at
        self.repeatable = repeatable

    def begin(self, now: float) -> None:
        """Count an attempt, a hedge too."""
        if not self.begun:
            self.budget.deposit(now)
        self.begun += 1

    def has_room(self, now: float) -> bool:
        """Tell whether one more attempt may begin beside the one that is being made: a hedge."""
        return not self.committed and self.begun < self.limits.attempts_max and now < self.deadline_at

    def follow(
        self, cause: Cause, now: float, *, has_next: bool, body_held: bool, sent: bool, worth_same: bool, retry_after_s: float | None,
        draw: Callable[[], float],
    ) -> Step:  # fmt: skip
        """Return what comes after an attempt that failed at `now`; withdraws from the budget exactly if that is another attempt.

        `has_next`: there is an upstream of the kind that the cause's conduct asks for; `body_held`: all of the request's body
        is still here; `sent`: some of the request was; `worth_same`: as `causes.is_worth_same` tells of a fault, True for an
        answer; `retry_after_s`: what the answer asked for.
        """
        conduct = CONDUCT[cause]
        why = self._forbid(conduct, body_held=body_held, sent=sent)
        if why is not None:
            return Step(Action.PASS_ON, 0.0, cause, why)
        why = Why.NOBODY_ELSE
        for action, reason in self._choose(conduct, has_next, worth_same, retry_after_s):
            wait_s = self._wait(conduct, action, reason, retry_after_s, draw)
            if now + wait_s >= self.deadline_at:
                why = Why.DEADLINE
                continue
            if not self.budget.withdraw(now):
                return Step(Action.PASS_ON, 0.0, cause, Why.BUDGET)
            self.failovers += action is Action.NEXT
            self.refreshed |= reason is Why.KEPT_CONNECTION
            return Step(action, wait_s, cause, reason)
        return Step(Action.PASS_ON, 0.0, cause, why)

    def _forbid(self, conduct: Conduct, *, body_held: bool, sent: bool) -> Why | None:
        if self.committed:
            return Why.COMMITTED
        if conduct.same is Same.NEVER and conduct.next is Next.NEVER:
            return Why.NOT_WORTH_IT
        if self.begun >= self.limits.attempts_max:
            return Why.ATTEMPTS
        if sent and not body_held:
            return Why.BODY_GONE
        if sent and conduct.may_be_done and not self.repeatable:
            return Why.NOT_REPEATABLE
        return None

    def _choose(self, conduct: Conduct, has_next: bool, worth_same: bool, retry_after_s: float | None) -> Iterator[tuple[Action, Why]]:
        """Yield what may be done, the better first."""
        same, limits = conduct.same, self.limits
        if same is Same.KEPT and worth_same and not self.refreshed:
            yield Action.SAME, Why.KEPT_CONNECTION
        bearable = retry_after_s is None or retry_after_s <= limits.wait_max_s
        repeats = limits.repeats_answered and bearable
        if same is Same.TOLD and repeats and retry_after_s is not None:
            yield Action.SAME, Why.RETRY_AFTER
        if has_next and conduct.next is not Next.NEVER and limits.fails_over:
            yield Action.NEXT, Why.OTHER_UPSTREAM
        if worth_same and bearable if same is Same.ALONE else repeats and same is not Same.NEVER:
            yield Action.SAME, Why.SAME_AGAIN

    def _wait(self, conduct: Conduct, action: Action, why: Why, retry_after_s: float | None, draw: Callable[[], float]) -> float:
        at_once = conduct.waits is Waits.AT_ONCE
        if why is Why.KEPT_CONNECTION:
            return 0.0
        if action is Action.NEXT and not self.failovers:
            return 0.0 if at_once else FIRST_FAILOVER_S * draw()
        asked_s = 0.0 if action is Action.NEXT or retry_after_s is None else max(retry_after_s, 0.0)
        if at_once and self.begun == 1 and not asked_s:
            return 0.0
        # On top of what was asked for: who is told the same moment should not come back together.
        return asked_s + draw_backoff(self.begun, self.limits.base_s, self.limits.cap_s, draw)
