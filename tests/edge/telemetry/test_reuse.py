"""What is counted of answers that are kept or shared."""

from collections.abc import Callable
from typing import Any

import pytest

from sidecar import catalogue
from sidecar.config import Features, Limits, Redis, Settings
from sidecar.edge.telemetry.instruments import Counter, Family, Gauge
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.reuse import Reuse
from sidecar.exchange import Asked, Cost, Ending, Saved, Usage, UsageSource
from tests.edge.telemetry.records import make_attempt, make_record, make_streamed

SAVED = Saved(Usage(12, 3, 1, 40, 7), Cost(0.25, "table"))
TOLD: dict[str, Any] = {"attempts": (), "usage": None, "usage_source": UsageSource.ABSENT, "cost": None, "saved": SAVED}
HIT: dict[str, Any] = {**TOLD, "cache": "hit", "cache_level": "hot"}
FOLLOWED: dict[str, Any] = {**TOLD, "cache": "coalesced"}


def make_meter(**features: bool) -> Meter:
    """Return a meter of a sidecar with these features."""
    meter = Meter(Limits(), ["openai"], version="1.0", python="3.11")
    meter.reuse.prepare(Settings(features=Features(**features)))
    return meter


@pytest.fixture
def meter() -> Meter:
    """Return a meter of a sidecar that keeps answers."""
    return make_meter(cache=True, coalescing=True)


def counted(family: Family[Counter] | Family[Gauge]) -> dict[str, float]:
    """Return the family's children that are not 0, by their labels."""
    return {child.labels: child.value for child in family.children if child.value}


def total(family: Family[Counter] | Family[Gauge]) -> float:
    """Return the sum of a family."""
    return sum(child.value for child in family.children)


def test_series_are_there_from_the_start(meter: Meter) -> None:
    """Each level, reason, kind and outcome: a counter born at 1 hides its first event."""
    families = meter.families
    assert {child.labels for child in families.cache_hits.children} == {f'level="{level}"' for level in catalogue.CACHE_LEVELS}
    assert len(families.cache_evictions.children) == 2 * len(catalogue.EVICTION_REASONS)
    assert len(families.cache_bypass.children) == len(catalogue.BYPASS_REASONS)
    assert len(families.cache_stored.children) == len(catalogue.CACHE_KINDS)
    assert {child.labels for child in families.cache_entries.children} == {'level="hot"', 'level="warm"'}


def test_a_store_that_is_not_there_is_not_down() -> None:
    """Only where one is configured there is a gauge, which begins with 1."""
    assert make_meter(cache=True).families.shared_up.children == []
    meter = Meter(Limits(), [], version="1", python="3")
    meter.reuse.prepare(Settings(redis=Redis(url="redis://there:6379/0")))
    assert counted(meter.families.shared_up) == {"": 1}


def test_lookups_and_what_came_of_them(meter: Meter) -> None:
    """Found, expired or missing is a lookup; a follower and a bypass are none."""
    meter.observe(make_record(**HIT))
    meter.observe(make_record(**{**HIT, "cache_level": "shared"}))
    meter.observe(make_record(**{**HIT, "cache": "stale"}))
    meter.observe(make_record(cache="miss"))
    meter.observe(make_record(**FOLLOWED))
    meter.observe(make_record(cache="bypass", bypass="tools"))
    meter.observe(make_record())
    families = meter.families
    assert total(families.cache_lookups) == 4
    assert counted(families.cache_hits) == {'level="hot"': 1, 'level="shared"': 1}
    assert total(families.cache_stale) == 1
    assert counted(families.cache_bypass) == {'reason="tools"': 1}
    assert total(families.coalesced_saved) == 1


def test_where_nothing_is_kept_nothing_was_looked_for() -> None:
    """A sidecar that only lets calls share answers has no lookups, and so no hit ratio of 0."""
    meter = make_meter(coalescing=True)
    meter.observe(make_record(cache="miss"))
    meter.observe(make_record(**FOLLOWED))
    assert (total(meter.families.cache_lookups), total(meter.families.coalesced_saved)) == (0, 1)


@pytest.mark.parametrize("status", catalogue.CACHE_TOLD)
@pytest.mark.parametrize("make", [make_record, make_streamed])
def test_an_answer_told_again_is_a_request_and_nothing_of_models(meter: Meter, status: str, make: Callable[..., Any]) -> None:
    """It is in the requests and in the latency of HTTP, and in no histogram of models, no tokens, no cost, no account of usage."""
    meter.observe(make(**{**HIT, "cache": status}))
    families = meter.families
    assert total(families.requests) == 1
    assert [sum(child.counts) for child in families.http_server_duration.children] == [1]
    assert [metric for metric in touched(meter) if metric.startswith("gen_ai_")] == []
    silent = (families.tokens, families.cost, families.usage_records, families.attempts, families.replayed, families.unpriced)
    assert [family.metric.name for family in silent if total(family)] == []
    assert [child for family in (families.time_to_first_token, families.tokens_per_second) for child in family.children] == []


def touched(meter: Meter) -> set[str]:
    """Return the names of histograms with something in them."""
    return {
        family.metric.name for family in meter.families.all for child in family.children
        if not isinstance(child, Counter | Gauge) and sum(child.counts)
    }  # fmt: skip


def test_a_miss_is_a_call_of_its_model(meter: Meter) -> None:
    """One of the same labels that was told again before does not take its histograms away, nor does it give that one any."""
    meter.observe(make_record(**HIT))
    meter.observe(make_record(cache="miss"))
    meter.observe(make_record(**HIT))
    (duration,) = meter.families.operation_duration.children
    assert sum(duration.counts) == 1
    assert total(meter.families.cost) == 0.25


def test_what_was_saved_is_counted_apart(meter: Meter) -> None:
    """Tokens and money by model, of hits and of followers; what is not known of them is left out."""
    meter.observe(make_record(**HIT))
    meter.observe(make_record(**FOLLOWED))
    meter.observe(make_record(**{**HIT, "saved": Saved(None, None)}))
    own = 'provider="openai",model="gpt-4o"'
    assert counted(meter.families.cache_saved_usd) == {own: 0.5}
    assert counted(meter.families.cache_saved_tokens) == {
        f'{own},type="{kind}"': 2 * count for kind, count in zip(catalogue.TOKEN_TYPES, SAVED.usage or (), strict=True)
    }


def test_models_of_what_was_saved_are_bounded() -> None:
    """By the bound that all models share."""
    meter = Meter(Limits(labels=1), [], version="1", python="3")
    for model in ("a", "b", "c"):
        meter.observe(make_record(**HIT, asked=Asked(model=model)))
    assert counted(meter.families.cache_saved_usd) == {'provider="openai",model="a"': 0.25, 'provider="openai",model="other"': 0.5}


def test_hits_of_tools_are_counted_by_tool(meter: Meter) -> None:
    """And they are no executions."""
    tool: dict[str, Any] = {"operation": catalogue.EXECUTE_TOOL, "asked": Asked(tool="weather")}
    meter.observe(make_record(**tool, cache="miss"))
    meter.observe(make_record(**tool, **{**HIT, "saved": None}))
    families = meter.families
    assert counted(families.tool_lookups) == {'tool="weather"': 2}
    assert counted(families.tool_hits) == {'tool="weather"': 1}
    assert [sum(child.counts) for child in families.tool_duration.children] == [1]


@pytest.mark.parametrize(("origin", "name"), [("warming", "cache_warmed"), ("refresh", "cache_refreshes")])
def test_errands_are_counted_by_their_outcome(meter: Meter, origin: str, name: str) -> None:
    """They look for nothing on anybody's behalf: they are billed calls, but no lookups."""
    meter.observe(make_record(origin=origin, cache="miss"))
    meter.observe(make_record(origin=origin, cache="miss", ending=Ending.UPSTREAM_ERROR, status=503))
    meter.observe(make_record(origin=origin, ending=Ending.REFUSED, status=429, upstream="", attempts=()))
    assert counted(getattr(meter.families, name)) == {'outcome="succeeded"': 1, 'outcome="failed"': 2}
    assert (total(meter.families.cache_lookups), total(meter.families.requests)) == (0, 3)


def test_a_batch_is_counted_once(meter: Meter) -> None:
    """Of three calls that went out as one, the one that has the attempt tells of it; each has its share of the tokens."""
    share: dict[str, Any] = {"operation": "embeddings", "usage": Usage(4), "usage_source": UsageSource.APPORTIONED, "bundled": 7}
    for attempts in ((make_attempt(),), (), ()):
        meter.observe(make_record(**share, attempts=attempts))
    families = meter.families
    assert (total(families.embedding_batches), total(families.embedding_inputs)) == (1, 7)
    assert counted(families.tokens) == {'provider="openai",model="gpt-4o",type="input",source="apportioned"': 12}
    assert counted(families.usage_records) == {'source="apportioned"': 3}
    assert "gen_ai_client_token_usage" not in touched(meter)
    assert "gen_ai_client_operation_duration_seconds" in touched(meter)


def test_what_is_told_from_elsewhere_is_counted(meter: Meter) -> None:
    """Levels as they are, and everything that happens to entries, flights and the shared store."""
    reuse, families = meter.reuse, meter.families
    reuse.show_levels({"hot": (3, 900), "warm": (40, 5000)})
    reuse.note_stored("answers")
    reuse.note_not_stored("unfit")
    reuse.note_evicted("warm", "memory", 40)
    reuse.note_joined(is_first=True)
    reuse.note_joined(is_first=False)
    reuse.note_detached()
    for outcome in catalogue.SHARED_OUTCOMES:
        reuse.note_shared(outcome)
    reuse.note_damaged()
    reuse.note_put_dropped()
    reuse.note_state(False)
    assert counted(families.cache_entries) == {'level="hot"': 3, 'level="warm"': 40}
    assert counted(families.cache_bytes) == {'level="hot"': 900, 'level="warm"': 5000}
    assert counted(families.cache_stored) == {'kind="answers"': 1}
    assert counted(families.cache_not_stored) == {'reason="unfit"': 1}
    assert counted(families.cache_evictions) == {'level="warm",reason="memory"': 40}
    assert counted(families.coalesced_requests) == {'role="follower"': 2, 'role="leader"': 1}
    assert counted(families.shared_commands) == {f'outcome="{outcome}"': 1 for outcome in catalogue.SHARED_OUTCOMES}
    assert (total(families.coalescing_detached), total(families.cache_damaged), total(families.shared_dropped)) == (1, 1, 1)
    assert [child.value for child in families.shared_up.children] == [0]


def test_no_word_can_make_a_series_that_is_not_declared(meter: Meter) -> None:
    """A record with an unknown level or reason is counted where that is not needed, and nowhere else."""
    meter.observe(make_record(**{**HIT, "cache_level": "lukewarm"}))
    meter.observe(make_record(cache="bypass", bypass=None))
    meter.observe(make_record(cache="bypass", bypass="whim"))
    assert counted(meter.families.cache_hits) == counted(meter.families.cache_bypass) == {}
    assert total(meter.families.cache_lookups) == 1


def test_an_ordinary_call_does_not_come_here(meter: Meter, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where nothing is kept or shared, nothing is looked at."""
    seen: list[object] = []
    monkeypatch.setattr(Reuse, "observe", lambda *told: seen.append(told))
    meter.observe(make_record())
    meter.observe(make_record(tenant="default"))
    assert seen == []
    meter.observe(make_record(cache="bypass", bypass="tools"))
    assert len(seen) == 1


def test_a_cache_that_is_switched_off_has_nothing_in_it(meter: Meter) -> None:
    """And calls are looked up in it no more; switched on again they are."""
    families = meter.families
    meter.reuse.show_levels({"hot": (3, 300), "warm": (4, 40)})
    meter.observe(make_record(tenant="acme", cache="miss"))
    meter.reuse.adopt(Settings())
    meter.observe(make_record(tenant="acme", cache="miss"))
    assert (counted(families.cache_entries), counted(families.cache_bytes), total(families.cache_lookups)) == ({}, {}, 1)
    meter.reuse.adopt(Settings(features=Features(cache=True)))
    meter.observe(make_record(tenant="acme", cache="miss"))
    assert total(families.cache_lookups) == 2
