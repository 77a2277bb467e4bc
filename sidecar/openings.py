"""How an attempt begins: an upstream is chosen, and what the attempt needs there is taken; where there is no room, a call waits for it."""

from collections.abc import Mapping
from typing import Final

from sidecar.catalogue import BREAKER_STATES
from sidecar.config import Ask
from sidecar.core.attempt.plan import Step
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import Grant, Needs
from sidecar.core.choose.places import Place
from sidecar.core.choose.routing import Routing
from sidecar.core.identify.wishes import NO_WISHES
from sidecar.decision import Decision
from sidecar.errors import CIRCUIT_OPEN, WISH_UNMET, Fault, Refused, UpstreamFault
from sidecar.ports import Clock, Witness
from sidecar.progress import Exchange, Trial
from sidecar.queueing import NoRoom, Queueing
from sidecar.trials import address, name_candidates

_CLOSED: Final = BREAKER_STATES[0]


class Openings:
    """Begins attempts. One instance serves all calls."""

    def __init__(
        self, places: Mapping[str, Place], routing: Routing, queueing: Queueing, clock: Clock, witness: Witness, ask: Ask
    ) -> None:  # fmt: skip
        """`ask`: whether usage may be asked for on a caller's behalf."""
        self._places = places
        self._routing = routing
        self._queueing = queueing
        self._clock = clock
        self._witness = witness
        self._ask = ask

    def begin(self, exchange: Exchange, needs: Needs, step: Step | None) -> Decision | None:
        """Choose an upstream, and take what an attempt needs there; return the decision if it found nobody."""
        now = self._clock.now()
        match = exchange.match
        if step is None and match is not None and not match.pool and exchange.wishes is NO_WISHES:
            alone = self._routing.begin_alone(match.upstreams[0], exchange.asked.model, now)
            if alone is not None:
                self._open(exchange, None, alone, 0.0, now)
                return None
        pool, upstreams = name_candidates(exchange, step)
        decision = self._routing.decide(pool, upstreams, needs, now)
        grant = None if decision.upstream is None else self._routing.begin(decision, needs, now)
        if grant is None:
            return decision
        self._open(exchange, decision, grant, 0.0 if step is None else step.wait_s, now)
        return None

    async def begin_later(self, exchange: Exchange, decision: Decision, needs: Needs, step: Step | None) -> None:
        """Wait for room, if that is what is missing, and begin. Raises Fault where nobody can be asked."""
        nobody: Decision | None = decision
        while nobody is not None:
            if nobody.reason != reasons.NO_ROOM:
                raise self._refuse(exchange, nobody, needs, self._clock.now())
            now, decision, grant = await self._wait_for_room(exchange, nobody, needs)
            if grant is not None:
                self._open(exchange, decision, grant, 0.0 if step is None else step.wait_s, now)
                return
            nobody = self.begin(exchange, needs, step)  # the breaker has closed the way meanwhile

    def _open(self, exchange: Exchange, decision: Decision | None, grant: Grant, waited_s: float, now: float) -> Trial:
        """Begin an attempt that has what it needs. From its first moment the exchange knows of it, and so ends it."""
        permit = grant.permit
        state = _CLOSED if permit is not None and not permit.is_probe else grant.breaker.state(now).label
        if not exchange.attempts_made:  # the one that an exchange begins with
            trial = exchange.trial
            trial.place, trial.began, trial.grant, trial.breaker = self._places[grant.upstream], now, grant, state
        else:
            trial = Trial(self._places[grant.upstream], now, exchange.attempts_made, grant=grant, breaker=state, waited_s=waited_s)
            if grant.is_hedge:
                exchange.rival = trial
            else:
                exchange.trial = trial
        if decision is not None and decision.candidates:
            trial.decision = decision
        exchange.attempts_made += 1
        address(trial, exchange, self._ask)
        return trial

    async def _wait_for_room(self, exchange: Exchange, decision: Decision, needs: Needs) -> tuple[float, Decision, Grant | None]:
        """Wait until an upstream that may be asked has room; return when that was, and what was taken there. Raises Fault."""
        began = self._clock.now()
        full = tuple(one.upstream for one in decision.candidates if one.reason == reasons.NO_ROOM)
        try:
            found = await self._queueing.wait(full, exchange.wishes.urgency, exchange.deadlines.total_at)
        except NoRoom as shed:
            exchange.shed, exchange.decision = shed.reason, decision
            if shed.has_waited:
                exchange.queued_s += self._clock.now() - began
            raise
        now = self._clock.now()
        exchange.queued_s += now - began
        if not exchange.attempts_made:
            exchange.waited_s += now - began
        decision = decision._replace(upstream=found, reason=reasons.QUEUED)
        return now, decision, self._routing.begin(decision, needs, now, has_slot=True)

    def _refuse(self, exchange: Exchange, decision: Decision, needs: Needs, now: float) -> Fault:
        """Return why nobody can be asked."""
        exchange.decision = decision
        if decision.reason == reasons.WISH_UNMET:
            return Refused(WISH_UNMET, f"{WISH_UNMET.summary} {reasons.explain(decision)}.")
        cut_off = [one.upstream for one in decision.candidates if one.reason == reasons.CIRCUIT_OPEN]
        for name in cut_off:
            self._witness.note_rejected(name)
        return UpstreamFault(CIRCUIT_OPEN, retry_after_s=self._routing.retry_after_s(cut_off, needs, now))

    def begin_rival(self, exchange: Exchange, needs: Needs) -> Trial | None:
        """Begin an attempt beside the current one; None where nobody else can be asked at once."""
        pool, upstreams = name_candidates(exchange, None)
        now = self._clock.now()
        needs = needs._replace(tried=needs.tried | {exchange.trial.place.name})
        decision = self._routing.decide(pool, upstreams, needs, now)
        grant = None if decision.upstream is None else self._routing.begin(decision, needs, now, is_hedge=True)
        return None if grant is None else self._open(exchange, decision, grant, 0.0, now)
