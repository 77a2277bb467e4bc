"""What happens between a call and its answer: attempts, until there is an answer to send on, or nobody left to ask.

`make` is the story. Whom to ask is decided by `core.choose.routing`, what to make of a failure by
`core.attempt.plan`; here both are carried out. Until an answer is committed an attempt can be
replaced, and so, where somebody else could be asked, the beginning of an answer is held back until
it tells what it is worth.
"""

from collections.abc import Awaitable, Callable
from functools import partial
from typing import Final

from sidecar.catalogue import HEDGE_LOST
from sidecar.config import Settings
from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.core.attempt.causes import Cause, classify_answer, classify_fault
from sidecar.core.attempt.compose import LAST_CHUNK, frame_chunk
from sidecar.core.attempt.endings import is_cut
from sidecar.core.attempt.hedging import Hedger
from sidecar.core.attempt.plan import Action, Plan, Step, Why, set_limits
from sidecar.core.attempt.retry_after import read_retry_after
from sidecar.core.attempt.retry_budget import RetryBudget
from sidecar.core.choose.holds import Holds
from sidecar.core.choose.needs import Needs
from sidecar.core.choose.routing import Routing
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.inflate import inflate
from sidecar.core.observe.overhearing import Listening
from sidecar.errors import STREAM_CUT, Fault, SidecarFault, UpstreamFault
from sidecar.exchange import Cost, Ending
from sidecar.hedges import Hedges, Spawn
from sidecar.openings import Openings
from sidecar.ports import Answer, Clock, Reach, Witness
from sidecar.progress import Exchange, Trial
from sidecar.reading import open_observer
from sidecar.sealing import compose_request
from sidecar.spending import Spending
from sidecar.trials import (
    could_follow,
    is_repeatable,
    is_worth_same,
    list_needs,
    mark_upstream,
    name_candidates,
    name_outcome,
    narrow,
    tell_start,
    weigh,
)

_HELD_BYTES_MAX: Final = 64 * 1024  # of an answer that may be replaced
_SWITCHING: Final = 101  # Switching Protocols
# After these, a pause that was asked for is kept to.
_PAUSING: Final = {429: Cause.RATE_LIMITED, 503: Cause.OVERLOADED}


class Attempts:
    """Makes attempts. One instance serves all calls that began under the same settings.

    What changes on the way is in `Exchange` and in what it is given, which may serve other instances, too.
    """

    def __init__(
        self, settings: Settings, openings: Openings, routing: Routing, holds: Holds, reach: Reach, clock: Clock,
        rest: Callable[[float], Awaitable[None]], draw: Callable[[], float], witness: Witness,
        listening: Listening | None, price: Callable[[Exchange, Trial], Cost | None], spawn: Spawn,
        spending: Spending | None, *, salt: bytes, budget: RetryBudget, hedger: Hedger,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._routing = routing
        self._holds = holds
        self._openings = openings
        self._reach = reach
        self._clock = clock
        self._rest = rest
        self._draw = draw
        self._witness = witness
        self._listening = listening
        self._price = price
        self._spending = spending
        self._salt = salt
        self._limits = set_limits(settings.retries, settings.features)
        self._budget = budget
        self._hedges = Hedges(hedger, clock, spawn, witness) if settings.features.hedging else None

    async def make(self, exchange: Exchange) -> None:
        """Get an answer to send on: one that will do, or the last that came. Raises Fault where none did."""
        if self._spending is not None:
            await self._spending.reserve(exchange)
        plan = Plan(self._limits, self._budget, exchange.deadlines.total_at, False)
        needs = list_needs(exchange, self._salt)
        step: Step | None = None
        fault: Fault | None = None
        while True:
            try:
                nobody = self._openings.begin(exchange, needs, step)
                if nobody is not None:
                    await self._openings.begin_later(exchange, nobody, needs, step)
            except Fault:
                if fault is None and not exchange.reopen():
                    raise
                exchange.shed = None  # what has really failed tells more than that nobody is left
                if fault is None:
                    return
                raise fault from None
            plan.begin(exchange.trial.began)
            fault = None
            # A kept connection may just be closing: for one that was, a new one is better.
            fresh = step is not None and step.action is Action.SAME
            try:
                cause = await (self._try(exchange, exchange.trial, plan, fresh=fresh) if self._hedges is None
                               else self._run(exchange, plan, needs, self._hedges, fresh=fresh))  # fmt: skip
            except (UpstreamFault, SidecarFault) as caught:
                fault, cause = caught, classify_fault(caught.kind, sent=exchange.trial.has_sent)
            if cause is None:
                plan.committed = True
                return
            step, needs = self._follow(exchange, plan, needs, cause, fault)
            if step.action is Action.PASS_ON:
                if fault is not None:
                    raise fault
                return
            self._close(exchange, exchange.trial, name_outcome(exchange.trial, fault), cause, self._clock.now())
            if step.wait_s > 0.0:
                await self._rest(step.wait_s)

    def note_session(self, exchange: Exchange) -> None:
        """The call became a session: that it took it is all that it says of the upstream."""
        self._settle(exchange.trial, Ending.COMPLETED, self._clock.now())

    def end(self, exchange: Exchange, now: float) -> None:
        """The exchange is over: so are its attempts."""
        outcome = exchange.ending or Ending.SIDECAR_FAULT
        trial, rival = exchange.trial, exchange.rival
        if trial.grant is not None and not trial.is_closed:
            self._close(exchange, trial, outcome, None, now)
        if rival is not None and not rival.is_closed:
            self._close(exchange, rival, outcome, None, now)
        if len(exchange.attempts) > 1:
            exchange.attempts.sort(key=tell_start)

    async def _run(self, exchange: Exchange, plan: Plan, needs: Needs, hedges: Hedges, *, fresh: bool) -> Cause | None:
        """Make the current attempt, with a rival beside it where it is late. Raises Fault."""
        delay_s = hedges.find_delay(exchange, plan)
        if delay_s is None:
            return await self._try(exchange, exchange.trial, plan, fresh=fresh)
        return await hedges.race(
            exchange, delay_s, lambda trial: self._try(exchange, trial, plan, fresh=fresh),
            lambda: self._call_rival(exchange, plan, needs), partial(self._drop, exchange, needs),
        )  # fmt: skip

    def _call_rival(self, exchange: Exchange, plan: Plan, needs: Needs) -> Trial | None:
        """Begin an attempt beside the current one; None where nobody else can be asked."""
        rival = self._openings.begin_rival(exchange, needs)
        if rival is not None:
            plan.begin(rival.began)
        return rival

    def _drop(self, exchange: Exchange, needs: Needs, trial: Trial, fault: Fault | None, cause: Cause | None) -> None:
        """An attempt beside another is over: it has failed, or without a reason it has lost."""
        now = self._clock.now()
        if fault is None and cause is None:
            trial.cost = self._price(exchange, trial)
            self._close(exchange, trial, HEDGE_LOST, None, now)
            return
        if trial.head is not None and cause is not None:
            self._read_pause(trial, trial.head, cause, needs, now)
        reason = cause if fault is None else classify_fault(fault.kind, sent=trial.has_sent)
        self._close(exchange, trial, name_outcome(trial, fault), reason, now)

    async def _try(self, exchange: Exchange, trial: Trial, plan: Plan, *, fresh: bool) -> Cause | None:
        """Send the request, and see the answer begin; return what is wrong with it, if anything is. Raises Fault."""
        answer = trial.answer = await self._reach.reach(trial.place.name, exchange.deadlines, fresh=fresh)
        head, chunked = compose_request(exchange, trial, propagates=self._settings.tracing.propagate)
        body = trial.body
        data = head + (frame_chunk(body) if chunked else body)
        answer.start(exchange.call.method, data, whole=exchange.whole, upgrades=exchange.session is not None)
        while not exchange.whole and not answer.answering:
            piece = await exchange.client.read_more()
            exchange.request_bytes += len(piece)
            if piece:
                await answer.send_more(frame_chunk(piece) if chunked else piece)
            else:
                exchange.whole = True
                trial.asked_at = self._clock.now()
                answer.end_request(LAST_CHUNK if chunked else b"")
        trial.head = head_of = await answer.until_head()
        if trial.grant is not None:
            self._routing.note_first_data(trial.grant, self._clock.now())
        match = exchange.match
        if match is not None and not match.pool and not self._limits.repeats_answered:
            return None  # nobody else could be asked
        if not could_follow(exchange, plan):
            if head_of.status in _PAUSING and exchange.match is not None and exchange.match.pool:
                self._read_pause(trial, head_of, _PAUSING[head_of.status], list_needs(exchange, self._salt), self._clock.now())
            return None
        return await self._judge(exchange, trial, answer, head_of)

    async def _judge(self, exchange: Exchange, trial: Trial, answer: Answer, head: AnswerHead) -> Cause | None:
        """Hold the answer back until it tells what it is worth; return what is wrong with it, if anything is. Raises Fault."""
        is_failure = head.status >= 400
        if not is_failure and (exchange.dialect is OPAQUE or exchange.tool is not None or head.status == _SWITCHING):
            return None
        observer = open_observer(exchange, trial, self._settings.limits, self._listening)
        if not is_failure and not trial.streamed:
            return None
        timeouts = self._settings.timeouts
        due = (answer.sent_at or answer.connected_at) + (timeouts.first_token or timeouts.first_byte)
        body = await answer.preview(observer, _HELD_BYTES_MAX, due, whole=is_failure)
        seen = observer.seen
        if is_failure or (seen.error_type is not None and seen.first_token is None):
            return classify_answer(head.status, seen.error_type, inflate(body, head.content_encoding, _HELD_BYTES_MAX))
        if (
            answer.ended
            and not answer.observer_failed
            and seen.first_token is None
            and is_cut(observer, is_understood=True, body_bytes=len(body))
        ):
            raise UpstreamFault(STREAM_CUT, "the answer ended before its own end mark")
        return None

    def _follow(self, exchange: Exchange, plan: Plan, needs: Needs, cause: Cause, fault: Fault | None) -> tuple[Step, Needs]:
        """Return what comes after the current attempt, which failed, and what the next one needs."""
        now, trial = self._clock.now(), exchange.trial
        pause_s = None if trial.head is None else self._read_pause(trial, trial.head, cause, needs, now)
        name = trial.place.name
        # Those that failed beside it, too; but it may itself be asked once more.
        needs = needs._replace(tried=needs.tried.union(attempt.upstream for attempt in exchange.attempts if attempt.upstream != name))
        narrowed = narrow(needs, name, cause, self._settings.upstreams[name].context)
        upstreams = name_candidates(exchange, None)[1]
        has_next = len(upstreams) > 1 and self._routing.has_another(upstreams, narrowed, now)
        plan.repeatable = is_repeatable(exchange)
        step = plan.follow(
            cause, now, has_next=has_next, body_held=exchange.held, sent=trial.has_sent,
            worth_same=is_worth_same(exchange, fault), retry_after_s=pause_s, draw=self._draw,
        )  # fmt: skip
        if step.why is Why.BUDGET:
            self._witness.note_budget_exhausted()
        return step, narrowed if step.action is Action.NEXT else needs

    def _read_pause(self, trial: Trial, head: AnswerHead, cause: Cause, needs: Needs, now: float) -> float | None:
        """Return the pause, in seconds, that an answer asks for; others are chosen while it lasts."""
        told = read_retry_after(head.fields, self._clock.wall_ns() / 1e9, max_s=self._settings.retries.retry_after_max)
        if told.problem is not None:
            self._witness.note_retry_after(told.problem)
        if told.seconds is not None and cause in _PAUSING.values():
            credential = "" if trial.place.credential else needs.credential
            self._holds.note((mark_upstream(trial), needs.model, credential), now + told.seconds, now)
        return told.seconds

    def _close(self, exchange: Exchange, trial: Trial, outcome: str, cause: Cause | None, now: float) -> None:
        exchange.attempts.append(trial.close(now, outcome, cause))
        self._settle(trial, outcome, now)

    def _settle(self, trial: Trial, outcome: str, now: float) -> None:
        """Give back what was taken for an attempt, with what it says of its upstream."""
        grant = trial.grant
        if grant is None or grant.settled:
            return
        verdict, took_s = weigh(trial, outcome, self._settings, now)
        if took_s is not None and trial.streamed and trial.observer is not None and trial.observer.seen.first_token is not None:
            self._routing.note_first_token(grant, took_s, now)
            if self._hedges is not None:
                self._hedges.note(trial, took_s, now)
        self._routing.settle(grant, verdict, now, response_time_s=took_s)
