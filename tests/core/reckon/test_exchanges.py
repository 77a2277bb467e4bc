"""Calls as they are shown."""

import json

import msgspec

from sidecar.core.reckon.exchanges import show_choice, show_exchange
from sidecar.decision import Candidate, Decision
from sidecar.exchange import Asked, Ending, Said
from tests.edge.telemetry.records import make_attempt, make_record, make_streamed

DECISION = Decision("chat", "weighted", "full", "openai", "its turn", (Candidate("openai", None, None, None, None, 0, None),))


def test_a_call_is_a_timeline() -> None:
    """Seconds after it was accepted; what did not happen is null."""
    failed = make_attempt(connected=None, sent=None, head=None, ended=100.02, status=None, outcome="connect_failed", cause="never_sent")
    second = make_attempt(upstream="other", model="m2", breaker="half_open", waited_s=0.05, decision=DECISION, hedge=True)
    shown = show_exchange(make_streamed(pool="chat", attempts=(failed, second), queued_s=0.25, degraded="simple"))
    assert (shown["id"], shown["at"], shown["pool"], shown["degraded"]) == ("req-1", "2023-11-14T22:13:20.000Z", "chat", "simple")
    assert (shown["first_byte_s"], shown["first_token_s"], shown["ended_s"], shown["queued_s"]) == (0.5, 0.5, 2.0, 0.25)
    assert (shown["ending"], shown["error"], shown["decision"], shown["trace_id"]) == (
        "completed", None, None, "0af7651916cd43dd8448eb211c80319c",
    )  # fmt: skip
    one, two = shown["attempts"]
    assert one == {
        "upstream": "openai", "model": None, "outcome": "connect_failed", "status": None, "cause": "never_sent", "breaker": None,
        "hedge": False, "reused": False, "waited_s": 0.0, "started_s": 0.01, "connected_s": None, "sent_s": None, "head_s": None,
        "ended_s": 0.02, "decision": None,
    }  # fmt: skip
    assert (two["upstream"], two["model"], two["breaker"], two["hedge"], two["waited_s"], two["head_s"]) == (
        "other", "m2", "half_open", True, 0.05, 0.5,
    )  # fmt: skip
    assert two["decision"]["reason"] == "its turn"


def test_a_call_that_nobody_took_tells_why() -> None:
    """No upstream, no attempt, and the decision that found nobody."""
    nobody = DECISION._replace(upstream=None, reason="circuit_open")
    record = make_record(
        upstream="", provider="", attempts=(), decision=nobody, ending=Ending.UNAVAILABLE, error_id="circuit_open",
        error_type="circuit_open", first_byte=None, status=503, trace=None,
    )  # fmt: skip
    shown = show_exchange(record)
    assert (shown["upstream"], shown["provider"], shown["pool"], shown["attempts"], shown["first_byte_s"], shown["trace_id"]) == (
        None, None, None, [], None, None,
    )  # fmt: skip
    assert (shown["ending"], shown["error"], shown["status"], shown["decision"]["upstream"]) == ("unavailable", "circuit_open", 503, None)


def test_whose_call_it_was_and_what_became_of_it() -> None:
    """Tenant, limit, and whether another call's answer was given; the first token of that came at another call's time."""
    shown = show_exchange(make_record(tenant="acme", limited="requests_minute"))
    assert (shown["tenant"], shown["limited"], shown["cache"], shown["origin"]) == ("acme", "requests_minute", None, "caller")
    shown = show_exchange(make_streamed(tenant="acme", cache="hit", cache_level="warm", attempts=()))
    assert (shown["cache"], shown["cache_level"], shown["attempts"], shown["first_token_s"]) == ("hit", "warm", [], None)
    shown = show_exchange(make_streamed(cache="bypass", bypass="tools", origin="warming"))
    assert (shown["cache"], shown["bypass"], shown["origin"], shown["first_token_s"], shown["tenant"]) == (
        "bypass", "tools", "warming", 0.5, None,
    )  # fmt: skip


def test_nothing_of_what_was_said_is_shown() -> None:
    """Neither prompts and answers nor parameters; and all of it is JSON."""
    said = Said("openai_chat", b"canary-prompt", b"", b"canary-answer", ())
    record = make_record(
        said=said, asked=Asked(model="m", params={"gen_ai.request.stop_sequences": ["canary-stop"]}), limits=(b"x: canary",)
    )
    text = msgspec.json.encode(show_exchange(record)).decode()
    assert "canary" not in text
    assert json.loads(text)["model"] == "m"


def test_a_decision_is_shown_with_its_call() -> None:
    """When it was taken, and for which call."""
    shown = show_choice(make_record(route="chat"), DECISION, 101.5)
    assert (shown["at"], shown["exchange"], shown["route"], shown["model"], shown["upstream"]) == (
        "2023-11-14T22:13:21.500Z", "req-1", "chat", "gpt-4o", "openai",
    )  # fmt: skip
