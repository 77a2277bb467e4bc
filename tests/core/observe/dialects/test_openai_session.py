"""OpenAI's messages over a WebSocket, realtime and responses mode."""

import json
from typing import Any

import pytest

from sidecar.core.observe.dialects.openai_session import OpenAISession
from sidecar.core.observe.tally import Tally
from sidecar.exchange import Cost, Seen, Usage
from tests.filled import fill

REALTIME = OpenAISession("openai_realtime", "generate_content", error_ends_answer=False)
RESPONSES = OpenAISession("openai_responses_session", "chat", error_ends_answer=True)


def hear(dialect: OpenAISession, *events: dict[str, Any]) -> Tally:
    """What a server's events come to."""
    tally = Tally()
    for event in events:
        dialect.read_server(json.dumps(event).encode(), tally)
    return tally


def test_realtime_usage_adds_up_over_responses() -> None:
    """With `token_details` in the singular, as realtime has them; a delta says nothing."""
    usage = {
        "total_tokens": 110, "input_tokens": 100, "output_tokens": 10,
        "input_token_details": {"cached_tokens": 60, "text_tokens": 100, "audio_tokens": 0}, "output_token_details": {"text_tokens": 10},
    }  # fmt: skip
    done = {"type": "response.done", "response": {"id": "r", "status": "completed", "usage": usage}}
    tally = hear(
        REALTIME, {"type": "session.created", "session": {"model": "gpt-realtime"}}, {"type": "response.created", "response": {}},
        {"type": "response.output_audio.delta", "delta": "UklGR"}, done, {"type": "response.created", "response": {}}, done,
    )  # fmt: skip
    assert tally.seen.usage == Usage(80, 120, 0, 20, 0)
    assert (tally.answering, tally.unpriced, tally.seen.error_type) == (0, None, None)


@pytest.mark.parametrize("details", [{"input_token_details": {"audio_tokens": 3}}, {"output_token_details": {"audio_tokens": 1}}])
def test_tokens_of_audio_are_told_apart(details: dict[str, Any]) -> None:
    """They have prices of their own."""
    usage = {"input_tokens": 9, "output_tokens": 2, **details}
    tally = hear(REALTIME, {"type": "response.done", "response": {"status": "completed", "usage": usage}})
    assert (tally.seen.usage, tally.cost) == (Usage(9, 0, 0, 2, 0), (None, "modality"))


@pytest.mark.parametrize("end", ["response.completed", "response.incomplete", "response.failed"])
def test_responses_mode_has_its_usage_in_the_last_event(end: str) -> None:
    """With `tokens_details` in the plural, reasoning and cache writes, each model apart."""
    usage = {
        "input_tokens": 50, "input_tokens_details": {"cached_tokens": 20, "cache_write_tokens": 5},
        "output_tokens": 30, "output_tokens_details": {"reasoning_tokens": 12},
    }  # fmt: skip
    tally = hear(
        RESPONSES, {"type": "response.created", "response": {"model": "gpt-5"}},
        {"type": end, "response": {"model": "gpt-5-2025", "usage": usage}},
    )  # fmt: skip
    assert tally.seen.usage == Usage(25, 20, 5, 18, 12)
    assert (tally.answering, tally.seen.model) == (0, "gpt-5-2025")


def test_a_failed_response_has_its_error_and_a_good_one_takes_it_back() -> None:
    """How the last answer went is how the session went."""
    failed = {"type": "response.failed", "response": {"status": "failed", "error": {"code": "server_error", "message": "x"}}}
    details = {"error": {"type": "rate_limited", "code": "rate_limit_exceeded"}}
    realtime = {"type": "response.done", "response": {"status": "failed", "status_details": details}}
    assert hear(RESPONSES, failed).seen.error_type == "server_error"
    assert hear(REALTIME, realtime).seen.error_type == "rate_limit_exceeded"
    assert hear(RESPONSES, failed, {"type": "response.completed", "response": {"status": "completed"}}).seen.error_type is None


def test_an_error_event_ends_an_answer_in_responses_mode_only() -> None:
    """In realtime most are about a message of the client, and the session goes on."""
    created = {"type": "response.created", "response": {}}
    flat = {"type": "error", "code": "server_error", "message": "x", "param": None}
    tally = hear(RESPONSES, created, flat)
    assert (tally.answering, tally.seen.error_type) == (0, "server_error")
    tally = hear(REALTIME, created, {"type": "error", "error": {"type": "server_error", "code": None, "message": "x"}})
    assert (tally.answering, tally.seen.error_type) == (1, "server_error")
    mistake = {"type": "error", "error": {"type": "invalid_request_error", "code": "unknown_parameter"}}
    assert hear(REALTIME, mistake).seen.error_type is None


def test_each_answer_has_its_own_model_and_tier() -> None:
    """They are charged as they come."""
    charged: list[Any] = []

    def charge(models: Any, usage: Usage, tier: str | None) -> tuple[Cost | None, str | None]:
        charged.append((models[0], usage.input, tier))
        return Cost(0.5, "table"), None

    tally = Tally(charge)
    for model, tokens, tier in (("a", 1, "default"), ("b", 2, "flex"), ("b", 3, None)):
        response = {"model": model, "usage": {"input_tokens": tokens, "output_tokens": 0}, "service_tier": tier}
        RESPONSES.read_server(json.dumps({"type": "response.completed", "response": response}).encode(), tally)
    assert charged == [("a", 1, "default"), ("b", 2, "flex"), ("b", 3, None)]
    assert tally.cost == (Cost(1.5, "table"), None)


def test_usage_that_was_not_told_is_not_zero() -> None:
    """A cancelled response may have none."""
    assert hear(REALTIME, {"type": "response.done", "response": {"status": "cancelled"}}).seen.usage is None


@pytest.mark.parametrize(
    ("query", "model"),
    [
        ("model=gpt-realtime", "gpt-realtime"),
        ("api-version=1&deployment=mine", "mine"),
        ("model=gpt%2D4o&key=secret", "gpt-4o"),
        ("intent=transcription", None),
        ("", None),
        ("&".join(["a=b"] * 100), None),
    ],
)
def test_the_query_names_the_model(query: str, model: str | None) -> None:
    """Or the deployment, at Azure; nothing else of it is looked at."""
    assert REALTIME.read_query(query) == model


@pytest.mark.parametrize(
    ("event", "model"),
    [
        ({"type": "response.create", "model": "gpt-5", "input": "x"}, "gpt-5"),
        ({"type": "session.update", "session": {"model": "gpt-realtime"}}, "gpt-realtime"),
        ({"type": "response.create", "response": {"instructions": "x"}}, None),
        ({"type": "input_audio_buffer.append", "model": "no", "audio": "UklGR"}, None),
    ],
)
def test_the_client_may_name_the_model(event: dict[str, Any], model: str | None) -> None:
    """The first one that it names is the one that it asked for."""
    tally = Tally()
    RESPONSES.read_client(json.dumps(event).encode(), tally)
    RESPONSES.read_client(b'{"type": "response.create", "model": "later"}', tally)
    assert tally.model == (model or "later")


def test_a_handshake_that_was_refused_has_the_providers_code() -> None:
    """As any other answer of an error status has."""
    seen = fill(Seen(), error_type="401")
    REALTIME.read_whole(b'{"error": {"message": "no", "type": "invalid_request_error", "code": "invalid_api_key"}}', seen)
    assert seen.error_type == "invalid_api_key"


@pytest.mark.parametrize("first", [{"type": "response.created", "response": {}}, {"type": "error", "error": {"type": "x"}}])
def test_a_response_that_was_asked_for_is_due(first: dict[str, Any]) -> None:
    """Until the server begins it, or says that there will be none."""
    tally = Tally()
    RESPONSES.read_client(b'{"type": "response.create"}', tally)
    assert tally.is_answering
    RESPONSES.read_server(json.dumps(first).encode(), tally)
    assert not tally.awaited
    RESPONSES.read_server(b'{"type": "response.completed", "response": {}}', tally)
    assert not tally.is_answering
