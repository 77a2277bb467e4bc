"""What the spans of a whole exchange tell of the way it took; what they tell of the call itself is tested with the spans."""

from typing import Any

import pytest

from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.exchange_attributes import describe_genai, describe_server, is_failure, is_service_error
from sidecar.exchange import SERVICE_ERRORS, Cost, Ending, Saved
from tests.edge.telemetry.records import make_record

NOBODY: dict[str, Any] = {"upstream": "", "attempts": (), "status": 503, "pool": "chat"}


def test_the_way_is_told_by_both() -> None:
    """Pool, degradation and waiting stand on the call's span and on that of the model's call."""
    record = make_record(pool="chat", degraded="simple", queued_s=0.5)
    expected = {"llm_sidecar.pool": "chat", "llm_sidecar.degraded": "simple", "llm_sidecar.queue.wait": 0.5}
    assert describe_server(record).items() >= expected.items()
    assert describe_genai(record).items() >= expected.items()


def test_whose_it_is_and_what_was_kept_is_told_by_both() -> None:
    """Tenant, origin, limit, and how a call was answered where answers are kept; of an ordinary call none of it."""
    saved = Saved(None, Cost(0.5, "table"))
    record = make_record(tenant="acme", origin="warming", limited="budget_day", cache="hit", cache_level="hot", saved=saved)
    expected = {
        "llm_sidecar.tenant": "acme", "llm_sidecar.origin": "warming", "llm_sidecar.limited": "budget_day", "llm_sidecar.cache": "hit",
        "llm_sidecar.cache.level": "hot", "llm_sidecar.saved_usd": 0.5,
    }  # fmt: skip
    assert describe_server(record).items() >= expected.items()
    assert describe_genai(record).items() >= expected.items()
    assert expected.keys().isdisjoint({*describe_server(make_record()), *describe_genai(make_record())})
    assert "llm_sidecar.saved_usd" not in describe_server(make_record(cache="hit", saved=Saved(None, None)))


def test_a_straight_way_is_not_told() -> None:
    """A call that did not wait has no wait of 0 s."""
    names = {*describe_server(make_record()), *describe_genai(make_record())}
    assert [name for name in names if name.startswith(("llm_sidecar.pool", "llm_sidecar.degraded", "llm_sidecar.queue"))] == []
    assert [name for name in names if name.startswith("llm_sidecar.decision")] == []


def test_why_nobody_was_asked() -> None:
    """A call without an attempt tells on its own span what spoke against each upstream, or why it was shed."""
    candidates = (Candidate("a", None, None, None, None, 0, "circuit_open"), Candidate("b", None, None, None, None, 9, "no_room"))
    decision = Decision("chat", "round_robin", "full", None, "circuit_open", candidates)
    attributes = describe_server(make_record(**NOBODY, ending=Ending.UNAVAILABLE, error_id="circuit_open", decision=decision))
    assert attributes["llm_sidecar.decision.alternatives"] == ["a: circuit_open", "b: no_room"]
    assert (attributes["llm_sidecar.decision.reason"], attributes["error.type"]) == ("circuit_open", "circuit_open")
    attributes = describe_server(make_record(**NOBODY, ending=Ending.OVERLOADED, error_id="overloaded", shed="queue_full"))
    assert attributes["llm_sidecar.queue.shed"] == "queue_full"


@pytest.mark.parametrize("ending", list(Ending))
def test_whose_fault_it_is(ending: Ending) -> None:
    """Errors of the service are failures, too; a caller that left is none."""
    record = make_record(ending=ending)
    assert is_service_error(record) is (ending in SERVICE_ERRORS)
    assert is_failure(record) is (ending not in (Ending.COMPLETED, Ending.CLIENT_GONE))
