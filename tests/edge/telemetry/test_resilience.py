"""What is counted of calls that did not go straight through, and the gauges of upstreams."""

from dataclasses import fields, replace
from typing import Any, NamedTuple

import pytest

from sidecar import catalogue
from sidecar.config import Breaker, Features, Limits, ModelGroup, Pool, Settings, Upstream
from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.instruments import Counter, Family, Gauge
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Cost, Ending, Record
from tests.edge.telemetry.records import make_attempt, make_record

SETTINGS = Settings(
    upstreams={"a": Upstream("http://a.test", concurrency=5), "b": Upstream("http://b.test"), "c": Upstream("http://c.test")},
    pools={"chat": Pool(("a", "b"))},
    breaker=Breaker(groups={"large": ModelGroup(("*-large",))}),
    features=Features(hedging=True, probes=False),
)


class State(NamedTuple):
    """A state of a breaker."""

    label: str


class Moved(NamedTuple):
    """A breaker's change."""

    upstream: str
    group: str
    before: State
    after: State
    reason: str


@pytest.fixture
def meter() -> Meter:
    """Return a meter of three upstreams, two of them in a pool."""
    meter = Meter(Limits(), SETTINGS.upstreams, version="1.0", python="3.11")
    meter.resilience.prepare(SETTINGS)
    return meter


def counted(family: Family[Counter] | Family[Gauge]) -> dict[str, float]:
    """Return the family's children that are not 0, by their labels."""
    return {child.labels: child.value for child in family.children if child.value}


def make_view(name: str, **changes: Any) -> UpstreamView:
    """Return the view of a healthy upstream."""
    view = UpstreamView(
        name, True, None, "closed", (BreakerView("default", "closed"),), 0, 0, 100, 1.0, 1.0, None, None, None, 0, 0, None, None
    )  # fmt: skip
    return view._replace(**changes)


def make_tried(*attempts: dict[str, Any], **changes: Any) -> Record:
    """Return a record of so many attempts; the call was answered where the last one went."""
    made = tuple(make_attempt(**attempt) for attempt in attempts)
    return make_record(attempts=made, **{"upstream": made[-1].upstream, "pool": "chat", **changes})


def test_series_are_there_from_the_start(meter: Meter) -> None:
    """Every pair of states, every pair within a pool and none beyond it, every reason: a counter born at 1 hides its first event."""
    families = meter.families
    made = {child.labels for child in families.breaker_transitions.children}
    assert len(made) == 3 * 6 and 'upstream="a",from="closed",to="open"' in made
    assert {child.labels for child in families.failovers.children} == {'from="a",to="b"', 'from="b",to="a"'}
    assert len(families.breaker_openings.children) == 3 * len(catalogue.OPENING_REASONS)
    assert len(families.probes.children) == 3 * 2
    assert len(families.retries.children) == len(catalogue.CAUSES)
    for family in (families.breaker_state, families.breaker_rejected, families.upstream_pending, families.upstream_healthy):
        assert len(family.children) == 3
    assert counted(families.upstream_concurrency_limit) == {'upstream="a"': 5, 'upstream="b"': 100, 'upstream="c"': 100}
    assert counted(families.upstream_healthy) == {'upstream="a"': 1, 'upstream="b"': 1, 'upstream="c"': 1}
    groups = {child.labels for child in families.breaker_group_state.children}
    assert len(groups) == 6 and {'upstream="a",group="default"', 'upstream="a",group="large"'} < groups


def test_without_groups_there_are_none() -> None:
    """The state by group would only repeat the state."""
    meter = Meter(Limits(), ["a"], version="1.0", python="3.11")
    meter.resilience.prepare(Settings(upstreams={"a": Upstream("http://a.test")}))
    meter.resilience.show_upstreams([make_view("a", state="open", breakers=(BreakerView("default", "open"),))])
    assert meter.families.breaker_group_state.children == []
    assert counted(meter.families.breaker_state) == {'upstream="a"': 2}


def test_features_are_shown(meter: Meter) -> None:
    """Each of them, whether on or off."""
    shown = {child.labels: child.value for child in meter.families.feature_enabled.children}
    assert len(shown) == len(fields(Features))
    assert (shown['feature="hedging"'], shown['feature="probes"'], shown['feature="breakers"']) == (1, 0, 1)


def test_gauges_follow_the_views(meter: Meter) -> None:
    """State, health, limit and what is pending are as they are at the scrape, and change back."""
    breakers = (BreakerView("default", "half_open"), BreakerView("large", "open"))
    broken = make_view("b", healthy=False, reason="circuit_open", state="open", breakers=breakers, pending=3, concurrency=7)
    meter.resilience.show_upstreams([make_view("a"), broken])
    families = meter.families
    assert counted(families.breaker_state) == {'upstream="b"': 2}
    assert counted(families.breaker_group_state) == {'upstream="b",group="default"': 1, 'upstream="b",group="large"': 2}
    assert families.upstream_healthy.child("b").value == 0
    assert (families.upstream_concurrency_limit.child("b").value, families.upstream_pending.child("b").value) == (7, 3)
    meter.resilience.show_upstreams([make_view("b")])
    assert families.breaker_state.child("b").value == 0 and families.upstream_healthy.child("b").value == 1


def test_a_breakers_changes_are_counted(meter: Meter) -> None:
    """Each by its states, and openings by their reason; what is refused meanwhile is counted apart."""
    closed, half_open, opened = map(State, catalogue.BREAKER_STATES)
    meter.resilience.note_transition(Moved("a", "default", closed, opened, "error_share"))
    meter.resilience.note_rejected("a")
    meter.resilience.note_rejected("a")
    meter.resilience.note_transition(Moved("a", "default", opened, half_open, "open_time_over"))
    meter.resilience.note_transition(Moved("a", "default", half_open, closed, "enough_successes"))
    assert counted(meter.families.breaker_transitions) == {
        'upstream="a",from="closed",to="open"': 1,
        'upstream="a",from="open",to="half_open"': 1,
        'upstream="a",from="half_open",to="closed"': 1,
    }
    assert counted(meter.families.breaker_openings) == {'upstream="a",reason="error_share"': 1}
    assert counted(meter.families.breaker_rejected) == {'upstream="a"': 2}


def test_what_is_told_from_elsewhere_is_counted(meter: Meter) -> None:
    """Pauses not given, hedges not made, probes, an empty budget, who waits."""
    for problem in ("capped", "unreadable", None):
        meter.resilience.note_retry_after(problem)
    meter.resilience.note_hedge_refused()
    meter.resilience.note_probe("a", "failed")
    meter.resilience.budget_exhausted.add()
    meter.resilience.queued.set(4)
    families = meter.families
    assert counted(families.retry_after_ignored) == {'reason="capped"': 1, 'reason="unreadable"': 1}
    assert counted(families.hedges) == {'outcome="refused"': 1}
    assert counted(families.probes) == {'upstream="a",outcome="failed"': 1}
    assert families.retry_budget_exhausted.child().value == 1
    assert families.queued.child().value == 4


def test_the_same_again_is_a_retry_and_another_a_failover(meter: Meter) -> None:
    """Three attempts at two upstreams: each repetition is counted once, by what came before it."""
    meter.observe(
        make_tried(
            {"upstream": "a", "outcome": "reset", "cause": "never_sent"},
            {"upstream": "a", "outcome": "upstream_error", "cause": "server_error"},
            {"upstream": "b"},
        )
    )
    assert counted(meter.families.retries) == {'reason="never_sent"': 1}
    assert counted(meter.families.failovers) == {'from="a",to="b"': 1}
    assert counted(meter.families.attempts) == {
        'upstream="a",outcome="reset"': 1,
        'upstream="a",outcome="upstream_error"': 1,
        'upstream="b",outcome="completed"': 1,
    }


def test_each_step_of_a_way_through_a_pool_is_counted(meter: Meter) -> None:
    """From the upstream before, not from the first."""
    meter.observe(
        make_tried(
            {"upstream": "a", "outcome": "reset", "cause": "reset"},
            {"upstream": "b", "outcome": "connect_failed", "cause": "never_sent"},
            {"upstream": "c"},
        )
    )
    assert counted(meter.families.failovers) == {'from="a",to="b"': 1, 'from="b",to="c"': 1}
    assert counted(meter.families.retries) == {}


def test_the_last_failure_is_followed_by_nothing(meter: Meter) -> None:
    """A cause that nobody acted on is no retry."""
    meter.observe(make_tried({"upstream": "a", "outcome": "upstream_error", "cause": "server_error", "status": 503}))
    assert counted(meter.families.retries) == counted(meter.families.failovers) == {}


@pytest.mark.parametrize(
    ("first", "hedge", "changes", "outcome"),
    [
        ({"outcome": "hedge_lost", "status": None}, {}, {}, "won"),
        ({"outcome": "reset", "status": None, "cause": "reset"}, {}, {}, "won"),
        ({"outcome": "hedge_lost", "status": None}, {"outcome": "cut"}, {"ending": Ending.CUT}, "won"),
        ({}, {"outcome": "hedge_lost", "status": None}, {"upstream": "a"}, "lost"),
        ({}, {"outcome": "hedge_lost"}, {"upstream": "a"}, "lost"),
        ({}, {"outcome": "reset", "status": None, "cause": "reset"}, {"upstream": "a"}, "failed"),
        ({}, {"outcome": "upstream_error", "status": 503}, {"upstream": "a"}, "failed"),
        ({"outcome": "reset", "status": None}, {"outcome": "upstream_error", "status": 503}, {"status": 503}, "failed"),
        ({"outcome": "client_gone"}, {"outcome": "client_gone", "status": None}, {"upstream": "a", "status": None}, "lost"),
    ],
)
def test_what_becomes_of_a_hedge(
    meter: Meter, first: dict[str, Any], hedge: dict[str, Any], changes: dict[str, Any], outcome: str
) -> None:  # fmt: skip
    """Whatever the order in which the two ended; and it is neither a retry nor a failover."""
    both = ({"upstream": "a", **first}, {"upstream": "b", "hedge": True, **hedge})
    for attempts in (both, both[::-1]):
        meter.observe(make_tried(*attempts, **{"upstream": "b", **changes}))
    assert counted(meter.families.hedges) == {f'outcome="{outcome}"': 2}
    assert counted(meter.families.failovers) == counted(meter.families.retries) == {}


def test_what_a_loser_cost_is_counted_where_it_is_known(meter: Meter) -> None:
    """Whichever of the two lost, by the source of the figure; what is not known is not 0."""
    for cost in (Cost(0.5, "provider"), Cost(0.25, "table"), None):
        meter.observe(make_tried({"upstream": "a", "outcome": "hedge_lost", "cost": cost}, {"upstream": "b", "hedge": True}))
    assert counted(meter.families.hedge_cost) == {'source="provider"': 0.5, 'source="table"': 0.25}


def test_waiting_and_shedding_are_counted(meter: Meter) -> None:
    """A call that waited and was served, one that gave up, one that found the queue full."""
    meter.observe(make_record(queued_s=0.2))
    nobody = {"upstream": "", "attempts": (), "ending": Ending.OVERLOADED, "status": 503, "error_id": "overloaded"}
    meter.observe(make_record(**nobody, queued_s=3.0, shed="gave_up"))
    meter.observe(make_record(**nobody, shed="queue_full"))
    waits = meter.families.queue_wait.child()
    assert (sum(waits.counts), waits.sum) == (2, 3.2)
    assert counted(meter.families.shed) == {'reason="gave_up"': 1, 'reason="queue_full"': 1}


def test_degradation_is_counted(meter: Meter) -> None:
    """By its step."""
    meter.observe(make_record(pool="chat", degraded="simple"))
    meter.observe(make_record(pool="chat", degraded="emergency"))
    meter.observe(make_record(pool="chat"))
    assert counted(meter.families.degraded) == {'step="simple"': 1, 'step="emergency"': 1}


def test_wishes_that_nobody_met_are_counted(meter: Meter) -> None:
    """Each that spoke against an upstream, once for a call; and only where it was refused for them."""
    unmet = ("min_quality", "min_quality", "max_response_time", "circuit_open", None)
    candidates = tuple(Candidate(f"u{number}", None, None, None, None, 0, reason) for number, reason in enumerate(unmet))
    decision = Decision("chat", "performance", "full", None, "wish_unmet", candidates)
    refused = {"upstream": "", "attempts": (), "ending": Ending.REFUSED, "status": 503, "decision": decision}
    meter.observe(make_record(**refused, error_id="wish_unmet"))
    meter.observe(make_record(**refused, error_id="circuit_open"))
    assert counted(meter.families.wishes_refused) == {'wish="min_quality"': 1, 'wish="max_response_time"': 1}


def test_an_ordinary_call_does_not_come_here(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """One attempt, no waiting, no degradation: nothing is looked at."""
    seen: list[Record] = []
    monkeypatch.setattr(meter.resilience, "observe", seen.append)
    meter.observe(make_record())
    meter.observe(make_record(pool="chat"))
    meter.observe(make_record(ending=Ending.UPSTREAM_ERROR, status=503))
    assert seen == []
    meter.observe(make_record(attempts=(make_attempt(), make_attempt())))
    assert len(seen) == 1


def test_gauges_follow_the_upstreams_and_counters_stay(meter: Meter) -> None:
    """Who is gone has no gauge any more and keeps what was counted; who is new has every series; groups come and go."""
    families = meter.families
    meter.resilience.show_upstreams([make_view(name, pending=2) for name in "abc"])
    for name in "abc":
        meter.upstream_connections(name, "idle").set(1)
        meter.resilience.note_probe(name, "failed")
    after = Settings(
        upstreams={"b": Upstream("http://b.test", concurrency=7), "d": Upstream("http://d.test")}, pools={"chat": Pool(("b", "d"))},
        breaker=Breaker(groups={"small": ModelGroup(("*-small",))}), features=Features(probes=False),
    )  # fmt: skip
    meter.resilience.adopt(after, {"b"})

    def labels(family: Family[Gauge]) -> set[str]:
        return {child.labels for child in family.children}

    both = {'upstream="b"', 'upstream="d"'}
    for family in (families.breaker_state, families.upstream_healthy, families.upstream_concurrency_limit, families.upstream_pending):
        assert labels(family) == both
    assert labels(families.upstream_connections) == {f'{upstream},state="{state}"' for upstream in both for state in ("idle", "active")}
    assert labels(families.breaker_group_state) == {f'{upstream},group="{group}"' for upstream in both for group in ("default", "small")}
    assert counted(families.upstream_concurrency_limit) == {'upstream="b"': 7, 'upstream="d"': 100}
    assert counted(families.upstream_pending) == {'upstream="b"': 2}
    assert counted(families.probes) == {f'upstream="{name}",outcome="failed"': 1 for name in "abc"}
    assert {'from="b",to="d"', 'from="a",to="b"'} <= {child.labels for child in families.failovers.children}
    shown = {child.labels: child.value for child in families.feature_enabled.children}
    assert (shown['feature="hedging"'], shown['feature="probes"']) == (0, 0)
    meter.resilience.adopt(replace(after, breaker=Breaker()), {"b", "d"})
    assert labels(families.breaker_group_state) == set()
