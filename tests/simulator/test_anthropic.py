"""sidecar/simulator/anthropic.py"""

import json
from collections.abc import Callable
from typing import Any

import anthropic.types
import httpx
import pytest
from pydantic import TypeAdapter

from sidecar.simulator import Simulator
from sidecar.simulator.anthropic import Anthropic
from sidecar.simulator.anthropic_request import read_ask
from sidecar.simulator.plan import Plan, plan_reply
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form
from sidecar.simulator.script import Script
from sidecar.simulator.tokens import Tokens

_DIALECT = Anthropic()
_TOOLS = [{"name": "f", "input_schema": {"properties": {"a": {}, "b": {}}}}]
_EVENTS: TypeAdapter[Any] = TypeAdapter(anthropic.types.RawMessageStreamEvent)
_LONG = [{"type": "text", "text": "x" * 8000, "cache_control": {"type": "ephemeral", "ttl": "1h"}}]


@pytest.fixture
def plan() -> Callable[..., Plan]:
    """Plan the reply to a request: members of the body by name, script apart."""

    def make(script: Script | None = None, *, cached: int = 0, **members: Any) -> Plan:
        body = {"model": "sim-small", "max_tokens": 1000, "messages": [{"role": "user", "content": "hello"}], **members}
        told = script or Script()
        return plan_reply(read_ask(json.dumps(body).encode()), told, told.fault, Profile(), "1", cached)

    return make


def _whole(plan: Plan) -> Any:
    return json.loads(_DIALECT.render_whole(plan))


def _stream(plan: Plan) -> list[Any]:
    return [json.loads(event.data) for event in _DIALECT.stream_events(plan)]


def _joined(plan: Plan) -> list[dict[str, Any]]:
    """The content that the events of a stream add up to."""
    blocks: list[dict[str, Any]] = []
    for tree in _stream(plan):
        if tree["type"] == "content_block_start":
            assert tree["index"] == len(blocks)
            blocks.append(tree["content_block"] | {"json": ""})
        elif tree["type"] == "content_block_delta":
            block, delta = blocks[tree["index"]], tree["delta"]
            for member in ("text", "thinking", "signature"):
                block[member] = block.get(member, "") + delta.get(member, "")
            block["json"] += delta.get("partial_json", "")
    for block in blocks:
        arguments = block.pop("json")
        if block["type"] == "tool_use":
            block["input"] = json.loads(arguments)
    return [{name: value for name, value in block.items() if value != "" or name == "input"} for block in blocks]


@pytest.mark.parametrize("members", [{}, {"model": "sim-reasoning"}, {"tools": _TOOLS}, {"model": "sim-reasoning", "tools": _TOOLS}])
@pytest.mark.parametrize("script", [Script(), Script(refusal=True)])
def test_stream_equals_whole(plan: Callable[..., Plan], script: Script, members: dict[str, Any]) -> None:
    """The deltas add up to the whole message, and what is told at the end is what the whole one tells."""
    made = plan(script, **members)
    whole, events = _whole(made), _stream(made)
    assert _joined(made) == whole["content"]
    *_, delta, stop = events
    assert (delta["type"], stop["type"]) == ("message_delta", "message_stop")
    assert delta["delta"]["stop_reason"] == whole["stop_reason"]
    assert delta["usage"].items() <= whole["usage"].items()


@pytest.mark.parametrize("members", [{}, {"model": "sim-reasoning", "tools": _TOOLS}])
def test_the_types_are_those_of_the_sdk(plan: Callable[..., Plan], members: dict[str, Any]) -> None:
    """Every event and the whole message are what the official types say; each event has the name that it tells."""
    made = plan(**members)
    anthropic.types.Message.model_validate_json(_DIALECT.render_whole(made), strict=True)
    for event in _DIALECT.stream_events(made):
        assert event.name == json.loads(event.data)["type"]
        if event.name != "ping":
            _EVENTS.validate_json(event.data, strict=True)


def test_usage(plan: Callable[..., Plan]) -> None:
    """Input is told without what is in the cache; what is written there by how long it is kept; output includes thinking."""
    made = plan(cached=100, model="sim-reasoning", system=[_LONG[0]])
    usage = _whole(made)["usage"]
    written = made.ask.written_tokens - 100
    assert usage["cache_read_input_tokens"] == 100
    assert usage["cache_creation"] == {"ephemeral_5m_input_tokens": 0, "ephemeral_1h_input_tokens": written}
    assert usage["cache_creation_input_tokens"] == written
    assert usage["input_tokens"] == made.prompt_tokens - made.ask.written_tokens
    assert usage["output_tokens_details"]["thinking_tokens"] == made.reasoning_tokens < usage["output_tokens"]


def test_what_is_told_and_when(plan: Callable[..., Plan]) -> None:
    """Usage is told at the beginning, with one token of output, and at the end, in full."""
    made = plan(model="sim-reasoning", stream=True)
    told = [(event.name, event.tells) for event in _DIALECT.stream_events(made) if event.tells is not None]
    assert told == [("message_start", Tokens(made.prompt_tokens, 1)), ("message_delta", made.tokens)]
    finishing = [event.name for event in _DIALECT.stream_events(made) if event.finishes]
    assert finishing == ["message_stop"]
    assert sum(event.tokens for event in _DIALECT.stream_events(made)) == made.completion_tokens


@pytest.mark.parametrize(
    ("members", "script", "reason", "sequence"),
    [
        ({}, Script(tokens=5), "end_turn", None),
        ({"max_tokens": 3}, Script(tokens=5), "max_tokens", None),
        ({"tools": _TOOLS}, Script(), "tool_use", None),
        ({}, Script(refusal=True), "refusal", None),
    ],
)
def test_stop_reasons(plan: Callable[..., Plan], members: dict[str, Any], script: Script, reason: str, sequence: str | None) -> None:
    """Why the model stopped, in Anthropic's words."""
    whole = _whole(plan(script, **members))
    assert (whole["stop_reason"], whole["stop_sequence"]) == (reason, sequence)
    assert (whole["stop_details"] is not None) == (reason == "refusal")


def test_stop_sequences(plan: Callable[..., Plan]) -> None:
    """A stop sequence is told and not part of the text; the first in the text is the one."""
    text = _whole(plan(Script(tokens=9)))["content"][0]["text"]
    first, second = text.split()[2:4]
    whole = _whole(plan(Script(tokens=9), stop_sequences=[second, first, "never said"]))
    assert (whole["stop_reason"], whole["stop_sequence"]) == ("stop_sequence", first)
    assert whole["content"][0]["text"] == text[: text.index(first)]


def test_a_call_cut_short(plan: Callable[..., Plan]) -> None:
    """Arguments that max_tokens cut off are no JSON: an unstreamed call has none then."""
    whole = _whole(plan(tools=_TOOLS, max_tokens=1))
    assert (whole["stop_reason"], whole["content"][0]["input"]) == ("max_tokens", {})


def test_padding_and_ping(plan: Callable[..., Plan]) -> None:
    """Events are padded to other lengths than their texts'; a ping comes after the first block's beginning."""
    events = _DIALECT.stream_events(plan(Script(tokens=30)))
    assert [event.name for event in events[:3]] == ["message_start", "content_block_start", "ping"]
    assert len({len(event.data) - len(event.data.rstrip(b" }")) for event in events}) > 3


@pytest.mark.parametrize(
    ("status", "kind"),
    [
        (400, "invalid_request_error"), (401, "authentication_error"), (402, "billing_error"), (403, "permission_error"),
        (404, "not_found_error"), (413, "request_too_large"), (422, "invalid_request_error"), (429, "rate_limit_error"), (500, "api_error"),
        (503, "api_error"), (504, "timeout_error"), (529, "overloaded_error"),
    ],
)  # fmt: skip
def test_errors(status: int, kind: str) -> None:
    """Each status has its type; an error within a stream has the same form and a name."""
    body = json.loads(_DIALECT.render_error(status, "why"))
    assert (body["type"], body["error"]) == ("error", {"type": kind, "message": "why"})
    event = _DIALECT.error_event(status, "why")
    assert (event.name, json.loads(event.data)) == ("error", body)


def test_frames() -> None:
    """Each event has a name on the wire, garbage that of the usual one."""
    event = _DIALECT.error_event(500, "x")
    assert _DIALECT.frame_event(event, Script(), first=True, last=False).startswith(b"event: error\ndata: {")
    garbage = event._replace(name="", data=_DIALECT.garbage)
    assert _DIALECT.frame_event(garbage, Script(), first=True, last=False).startswith(b"event: content_block_delta\ndata: {")


def test_keys() -> None:
    """One key is bad, wherever it stands."""
    assert _DIALECT.is_known({"x-api-key": "sk-1"}) and _DIALECT.is_known({})
    assert not _DIALECT.is_known({"x-api-key": "sk-bad"}) and not _DIALECT.is_known({"authorization": "Bearer sk-bad"})


async def test_a_call(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """A call over the wire has Anthropic's header fields; a marked prompt is written to the cache once and read from then on."""
    body = {"model": "sim-large", "max_tokens": 5, "system": _LONG, "messages": [{"role": "user", "content": "hello"}]}
    first, second = [await client.post("/v1/messages", json=body) for _ in range(2)]
    assert first.headers["request-id"] and first.headers["anthropic-ratelimit-tokens-limit"] == "2000000"
    assert {f"anthropic-ratelimit-{kind}-reset" for kind in ("requests", "tokens", "input-tokens", "output-tokens")} <= first.headers.keys()
    written, read = (answer.json()["usage"] for answer in (first, second))
    assert written["cache_creation_input_tokens"] == read["cache_read_input_tokens"] > 2000
    assert read["cache_creation_input_tokens"] == written["cache_read_input_tokens"] == 0
    usages = [entry.reported_tokens for entry in simulator.ledger.entries]
    assert (usages[0].written, usages[0].written_1h, usages[1].cached) == (written["cache_creation_input_tokens"],) * 3


async def test_unmarked_and_short_prompts_are_not_cached(client: httpx.AsyncClient) -> None:
    """Without a mark nothing is cached, and with one nothing that is too short."""
    for system in ([{"type": "text", "text": "y" * 8000}], [_LONG[0] | {"text": "short"}]):
        body = {"model": "sim-large", "max_tokens": 5, "system": system, "messages": [{"role": "user", "content": "hello"}]}
        for _ in range(2):
            usage = (await client.post("/v1/messages", json=body)).json()["usage"]
            assert (usage["cache_creation_input_tokens"], usage["cache_read_input_tokens"]) == (0, 0)


async def test_counting(simulator: Simulator, client: httpx.AsyncClient) -> None:
    """A prompt can be counted: as many tokens as its message has, and nothing billed."""
    body = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}]}
    counted = (await client.post("/v1/messages/count_tokens", json=body)).json()
    answered = (await client.post("/v1/messages", json=body | {"max_tokens": 5})).json()
    assert counted == {"input_tokens": answered["usage"]["input_tokens"]}
    assert simulator.ledger.entries[0].true_tokens == Tokens()
    assert (await client.post("/v1/messages/count_tokens", json={"model": "m"})).status_code == 400


def test_forms() -> None:
    """Messages are the one interface."""
    assert _DIALECT.form_of("POST", "/anthropic/v1/messages") is Form.CHAT
    assert _DIALECT.form_of("GET", "/v1/messages") is None
    assert _DIALECT.form_of("POST", "/v1/messages/batches") is None
