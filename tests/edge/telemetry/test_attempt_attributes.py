"""What the span of an attempt tells."""

import pytest

from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.attempt_attributes import describe_attempt, has_failed
from sidecar.exchange import Cost
from tests.edge.telemetry.records import make_attempt, make_record


def test_an_ordinary_attempt_tells_nothing_of_what_did_not_happen() -> None:
    """No wait of 0 s, no hedge that was none, no decision where there was no choice."""
    assert describe_attempt(make_record(), make_attempt()) == {
        "http.request.method": "POST", "llm_sidecar.upstream": "openai", "llm_sidecar.attempt.outcome": "completed",
        "llm_sidecar.connection.reused": False, "http.response.status_code": 200,
        "llm_sidecar.attempt.time_to_connection": pytest.approx(0.01), "llm_sidecar.attempt.time_to_head": pytest.approx(0.49),
    }  # fmt: skip


def test_why_it_was_made_and_what_followed() -> None:
    """Breaker, model, hedge, back-off, cause and the choice are told."""
    decision = Decision("chat", "performance", "simple", "b", "nearest", (Candidate("b", 0.5, 1.0, 1.0, None, 0, None),))
    attempt = make_attempt(
        upstream="b", model="gpt-4o-eu", breaker="half_open", cause="server_error", waited_s=0.25, hedge=True, decision=decision,
        status=503, outcome="upstream_error", cost=Cost(0.125, "table"),
    )  # fmt: skip
    attributes = describe_attempt(make_record(), attempt)
    told = {name.removeprefix("llm_sidecar."): value for name, value in attributes.items() if name.startswith("llm_sidecar.")}
    assert told.items() >= {
        "circuit_breaker.state": "half_open", "attempt.model": "gpt-4o-eu", "attempt.hedge": True, "attempt.backoff": 0.25,
        "attempt.cause": "server_error", "attempt.cost_usd": 0.125, "decision.strategy": "performance", "decision.step": "simple",
        "decision.reason": "nearest", "decision.score": 0.5,
    }.items()  # fmt: skip
    assert attributes["error.type"] == "503"


@pytest.mark.parametrize(
    ("outcome", "failed"), [("completed", False), ("client_gone", False), ("hedge_lost", False), ("reset", True), ("rate_limited", True)]
)
def test_who_was_given_up_has_not_failed(outcome: str, failed: bool) -> None:
    """The loser of two that were made side by side did nothing wrong."""
    attempt = make_attempt(outcome=outcome)
    assert has_failed(attempt) is failed
    assert ("error.type" in describe_attempt(make_record(), attempt)) is failed
