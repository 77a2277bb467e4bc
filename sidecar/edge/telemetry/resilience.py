"""What the meter counts of retries, failover, hedges, breakers, queueing and degradation, and its gauges of upstreams."""

from collections.abc import Collection, Iterable
from typing import Final, Protocol

from sidecar import catalogue
from sidecar.config import Features, Settings
from sidecar.core.choose.views import UpstreamView
from sidecar.edge.telemetry.families import Families
from sidecar.edge.telemetry.instruments import Counter, Gauge
from sidecar.edge.telemetry.ratelimits import RateLimits
from sidecar.errors import WISH_UNMET
from sidecar.exchange import Attempt, Ending, Record

_STATES: Final = {state: number for number, state in enumerate(catalogue.BREAKER_STATES)}
_OPEN: Final = catalogue.BREAKER_STATES[2]
_GIVEN_UP: Final = frozenset((catalogue.HEDGE_LOST, str(Ending.CLIENT_GONE)))


class BreakerState(Protocol):
    """A state of a circuit breaker."""

    @property
    def label(self) -> str:
        """One of catalogue.BREAKER_STATES."""
        ...


class Transition(Protocol):
    """What a circuit breaker tells when it changes."""

    @property
    def upstream(self) -> str:
        """Whose breaker it is."""
        ...

    @property
    def group(self) -> str:
        """Of which models."""
        ...

    @property
    def before(self) -> BreakerState:
        """The state it had."""
        ...

    @property
    def after(self) -> BreakerState:
        """The state it has now."""
        ...

    @property
    def reason(self) -> str:
        """Why: one of catalogue.BREAKER_REASONS."""
        ...


class Resilience:
    """The part of the meter that an ordinary call does not come to."""

    def __init__(self, families: Families) -> None:
        self._families = families
        self._queue_wait = families.queue_wait.child()
        self._has_groups = False
        self.rate_limits = RateLimits(families)
        self.queued: Gauge = families.queued.child()
        self.budget_exhausted: Counter = families.retry_budget_exhausted.child()

    def prepare(self, settings: Settings) -> None:
        """Create the series that follow from the configuration, as they are before any traffic."""
        families = self._families
        families.create_pools(pool.upstreams for pool in settings.pools.values())
        self.show_features(settings.features)
        self._has_groups = bool(settings.breaker.groups)
        for name, upstream in settings.upstreams.items():
            families.upstream_healthy.child(name).set(1)
            families.upstream_concurrency_limit.child(name).set(upstream.concurrency or upstream.connections)
            for group in (catalogue.DEFAULT_GROUP, *settings.breaker.groups) if self._has_groups else ():
                families.breaker_group_state.child(name, group)

    def adopt(self, settings: Settings, kept: Collection[str]) -> None:
        """Show the upstreams of other settings: gauges of those who are gone vanish, counters stay. `kept`: who is what it was."""
        families = self._families
        groups = {catalogue.DEFAULT_GROUP, *settings.breaker.groups} if settings.breaker.groups else set()
        for family in (
            families.breaker_state, families.breaker_group_state, families.upstream_healthy, families.upstream_concurrency_limit,
            families.upstream_pending, families.upstream_connections,
        ):  # fmt: skip
            family.keep(lambda values: values[0] in settings.upstreams)
        families.breaker_group_state.keep(lambda values: values[1] in groups)
        self.rate_limits.adopt(settings.upstreams, kept)
        families.create_upstreams(settings.upstreams)
        self.prepare(settings)

    def show_features(self, features: Features) -> None:
        """Show which features are on."""
        for feature in catalogue.FEATURES:
            self._families.feature_enabled.child(feature).set(int(getattr(features, feature)))

    def show_upstreams(self, views: Iterable[UpstreamView]) -> None:
        """Bring the gauges of these upstreams up to date."""
        families = self._families
        for view in views:
            families.breaker_state.child(view.name).set(_STATES[view.state])
            families.upstream_healthy.child(view.name).set(int(view.healthy))
            families.upstream_concurrency_limit.child(view.name).set(view.concurrency)
            families.upstream_pending.child(view.name).set(view.pending)
            for breaker in view.breakers if self._has_groups else ():
                families.breaker_group_state.child(view.name, breaker.group).set(_STATES[breaker.state])

    def note_transition(self, transition: Transition) -> None:
        """Count a change of a circuit breaker."""
        families, upstream, after = self._families, transition.upstream, transition.after.label
        families.breaker_transitions.child(upstream, transition.before.label, after).value += 1
        if after == _OPEN:
            families.breaker_openings.child(upstream, transition.reason).value += 1

    def note_rejected(self, upstream: str) -> None:
        """Count a call that the circuit breaker of `upstream` did not let through."""
        self._families.breaker_rejected.child(upstream).value += 1

    def note_retry_after(self, problem: str | None) -> None:
        """Count a pause that an upstream asked for and was not given, one of catalogue.RETRY_AFTER_PROBLEMS; None is none."""
        if problem is not None:
            self._families.retry_after_ignored.child(problem).value += 1

    def note_budget_exhausted(self) -> None:
        """Count a failure that was passed on because the retry budget is spent."""
        self.budget_exhausted.value += 1

    def note_hedge_refused(self) -> None:
        """Count a hedge that was due and not made, because of the budget or its share of all calls."""
        self._families.hedges.child("refused").value += 1

    def note_probe(self, upstream: str, outcome: str) -> None:
        """Count an active probe, by one of catalogue.PROBE_OUTCOMES."""
        self._families.probes.child(upstream, outcome).value += 1

    def observe(self, record: Record) -> None:
        """Count what one exchange came through."""
        families = self._families
        if record.queued_s:
            self._queue_wait.observe(record.queued_s)
        if record.shed is not None:
            families.shed.child(record.shed).value += 1
        if record.degraded is not None:
            families.degraded.child(record.degraded).value += 1
        if record.error_id == WISH_UNMET.id and record.decision is not None:
            reasons = {candidate.reason for candidate in record.decision.candidates}
            for wish in catalogue.WISHES:
                families.wishes_refused.child(wish).value += wish in reasons
        failed: Attempt | None = None
        for attempt in record.attempts:
            if attempt.outcome == catalogue.HEDGE_LOST and attempt.cost is not None:
                families.hedge_cost.child(attempt.cost.source).value += attempt.cost.usd
            if attempt.hedge:  # made beside another one, not after it
                families.hedges.child(_judge_hedge(record, attempt)).value += 1
                continue
            if failed is not None:
                self._count_repetition(failed, attempt)
            failed = attempt

    def _count_repetition(self, failed: Attempt, attempt: Attempt) -> None:
        if failed.upstream != attempt.upstream:
            self._families.failovers.child(failed.upstream, attempt.upstream).value += 1
        elif failed.cause is not None:
            self._families.retries.child(failed.cause).value += 1


def _judge_hedge(record: Record, hedge: Attempt) -> str:
    """Return what became of a hedge. Its answer was the one passed on if it is the one that the record tells of."""
    is_passed_on = record.upstream == hedge.upstream and record.status == hedge.status and hedge.outcome != catalogue.HEDGE_LOST
    if is_passed_on and hedge.status is not None and hedge.status < 400:
        return "won"
    return "lost" if hedge.outcome in _GIVEN_UP else "failed"
