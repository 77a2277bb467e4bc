"""sidecar/simulator/responses.py"""

import json
from collections.abc import Callable
from typing import Any

import httpx
import pytest
from openai.types.responses import Response, ResponseStreamEvent
from pydantic import TypeAdapter

from sidecar.simulator import Simulator
from sidecar.simulator.plan import Plan
from sidecar.simulator.request import Form, Rejection, read_ask
from sidecar.simulator.responses import OpenAIResponses, Replay, render_response
from sidecar.simulator.script import Script

_RESPONSES = OpenAIResponses()
_TOOLS = [{"type": "function", "name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}]
_EVENT: TypeAdapter[Any] = TypeAdapter(ResponseStreamEvent)


@pytest.fixture
def plan(plan_chat: Callable[..., Plan]) -> Callable[..., Plan]:
    """Plan the reply to a request for a response."""

    def make(script: Script | None = None, **members: Any) -> Plan:
        return plan_chat(script, form=Form.RESPONSE, **{"input": "hello", **members})

    return make


def _events(plan: Plan, dialect: OpenAIResponses = _RESPONSES) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in dialect.stream_events(plan)]


def _whole(plan: Plan) -> dict[str, Any]:
    tree: dict[str, Any] = json.loads(_RESPONSES.render_whole(plan))
    return tree


SHAPES: dict[str, dict[str, Any]] = {
    "text": {},
    "tools": {"tools": _TOOLS},
    "reasoning": {"model": "sim-reasoning"},
    "reasoning and tools": {"model": "sim-reasoning", "tools": _TOOLS},
    "refusal": {"script": Script(refusal=True)},
    "cut short": {"max_output_tokens": 3},
    "cut short in thought": {"model": "sim-reasoning", "max_output_tokens": 3},
    "background": {"background": True},
    "failed": {"script": Script(failed=True)},
}


@pytest.mark.parametrize("shape", SHAPES)
def test_the_types_of_the_sdk_take_it(plan: Callable[..., Plan], shape: str) -> None:
    """The whole response and every event fit the official SDK's types, strictly."""
    made = plan(**SHAPES[shape], stream=True)
    Response.model_validate_json(_RESPONSES.render_whole(made))
    for event in _events(made):
        assert _EVENT.validate_python(event).type == event["type"]
    Response.model_validate(_events(made)[-1]["response"])


@pytest.mark.parametrize("shape", ["text", "tools", "reasoning", "reasoning and tools", "refusal", "cut short", "cut short in thought"])
def test_stream_equals_whole(plan: Callable[..., Plan], shape: str) -> None:
    """The items as they were closed are those of the last event, which is the whole response; deltas add up to them."""
    streamed, whole = plan(**SHAPES[shape], stream=True), _whole(plan(**SHAPES[shape]))
    events = _events(streamed)
    assert events[-1]["response"] == whole
    assert [event["item"] for event in events if event["type"] == "response.output_item.done"] == whole["output"]
    deltas = "".join(event["delta"] for event in events if event["type"].endswith(".delta"))
    choice = streamed.choices[0]
    assert deltas == "".join(choice.reasoning) + choice.text
    assert [event["sequence_number"] for event in events] == list(range(len(events)))
    assert all("obfuscation" in event for event in events if event["type"].endswith(".delta"))


def test_the_order_of_events(plan: Callable[..., Plan]) -> None:
    """Items and parts are opened before their deltas and closed after them."""
    events = _RESPONSES.stream_events(plan(Script(tokens=2), stream=True))
    assert [event.name.removeprefix("response.") for event in events] == [
        "created", "in_progress", "output_item.added", "content_part.added", "output_text.delta", "output_text.delta",
        "output_text.done", "content_part.done", "output_item.done", "completed",
    ]  # fmt: skip
    assert [event.tokens for event in events] == [0, 0, 0, 0, 1, 1, 0, 0, 0, 0]
    assert [event.finishes for event in events] == [False] * 9 + [True]


def test_usage(plan: Callable[..., Plan]) -> None:
    """Usage is that of the plan, and told by the last event alone."""
    made = plan(model="sim-reasoning", cached=128, stream=True)
    *events, last = _RESPONSES.stream_events(made)
    assert last.tells == made.tokens
    assert not any(event.tells for event in events)
    usage = json.loads(last.data)["response"]["usage"]
    assert usage["input_tokens_details"]["cached_tokens"] == 128
    assert usage["output_tokens_details"]["reasoning_tokens"] == made.reasoning_tokens == sum(event.reasoning for event in events)
    assert usage["total_tokens"] == usage["input_tokens"] + usage["output_tokens"]


@pytest.mark.parametrize(
    ("members", "status", "item"),
    [
        ({}, "completed", "completed"),
        ({"max_output_tokens": 3}, "incomplete", "incomplete"),
        ({"background": True}, "queued", None),
        ({"script": Script(failed=True)}, "failed", None),
    ],
)
def test_status(plan: Callable[..., Plan], members: dict[str, Any], status: str, item: str | None) -> None:
    """What has become of it, and with it details, error, usage and output."""
    tree = _whole(plan(**members))
    assert tree["status"] == status
    assert (tree["usage"] is None) == (not tree["output"]) == (item is None)
    assert tree["incomplete_details"] == ({"reason": "max_output_tokens"} if status == "incomplete" else None)
    assert (tree["error"] is not None) == (status == "failed")
    if item:
        assert tree["output"][-1]["status"] == item


def test_in_the_background(plan: Callable[..., Plan]) -> None:
    """It is queued first; a stream of it goes on to the end."""
    kinds = [event["type"] for event in _events(plan(background=True, stream=True))]
    assert kinds[:3] == ["response.created", "response.queued", "response.in_progress"]
    assert kinds[-1] == "response.completed"


def test_replay(plan: Callable[..., Plan]) -> None:
    """A stored response begins after the event that the caller has."""
    made = plan(stream=True)
    events = _events(made)
    assert _events(made, Replay(None, -1)) == events
    assert _events(made, Replay(None, 3)) == events[4:]
    assert json.loads(Replay("in_progress", -1).render_whole(made))["output"] == []
    assert Replay(None, -1).render_whole(plan(background=True)) == render_response(plan(background=True), "completed")


@pytest.mark.parametrize(
    ("members", "prompt"),
    [
        ({"input": "hi"}, ("user: hi",)),
        ({"input": "hi", "instructions": "be brief"}, ("developer: be brief", "user: hi")),
        ({"input": [{"role": "user", "content": [{"type": "input_text", "text": "hi"}]}]}, ("user: hi",)),
        ({"input": [{"type": "function_call_output", "call_id": "c", "output": "7"}]}, ("function_call_output: 7",)),
    ],
)
def test_what_is_asked(members: dict[str, Any], prompt: tuple[str, ...]) -> None:
    """Text or items, with the instructions before them."""
    assert read_ask(Form.RESPONSE, json.dumps({"model": "m", **members}).encode()).prompt == prompt


@pytest.mark.parametrize("members", [{}, {"input": []}, {"input": [7]}, {"input": "x", "max_output_tokens": 0}])
def test_what_is_declined(members: dict[str, Any]) -> None:
    """A request without input, or with senseless limits."""
    with pytest.raises(Rejection) as raised:
        read_ask(Form.RESPONSE, json.dumps({"model": "m", **members}).encode())
    assert raised.value.status == 400


def test_a_result_is_answered_in_words() -> None:
    """With a tool's result there, no tool is called; with flat tools, the first is."""
    ask = {"model": "m", "input": "x", "tools": _TOOLS}
    tool = read_ask(Form.RESPONSE, json.dumps(ask).encode()).tool
    assert tool is not None
    assert tool.name == "f"
    result = {**ask, "input": [{"type": "function_call_output", "call_id": "c", "output": "7"}]}
    assert read_ask(Form.RESPONSE, json.dumps(result).encode()).tool is None


async def test_fetching(client: httpx.AsyncClient, simulator: Simulator) -> None:
    """A response that was made can be fetched, whole or streamed, and is billed once."""
    made = (await client.post("/v1/responses", json={"model": "sim-small", "input": "hello"})).json()
    again = (await client.get(f"/v1/responses/{made['id']}")).json()
    replay = await client.get(f"/v1/responses/{made['id']}?stream=true&starting_after=1")
    assert again == made
    assert replay.headers["content-type"].startswith("text/event-stream")
    assert replay.text.startswith('event: response.output_item.added\ndata: {"type":"response.output_item.added","sequence_number":2,')
    assert (await client.get("/v1/responses/resp_none")).status_code == 404
    entries = (await client.get("/_sim/ledger")).json()
    assert [entry["reported"] for entry in entries] == [True, False, False, False]
    assert [entry["usage"]["completion"] > 0 for entry in entries] == [True, False, False, False]


async def test_fetching_what_ran_in_the_background(client: httpx.AsyncClient) -> None:
    """It is queued when asked for and there when fetched; what is not stored is not."""
    queued = (await client.post("/v1/responses", json={"model": "sim-small", "input": "hello", "background": True})).json()
    assert (queued["status"], queued["usage"]) == ("queued", None)
    ready = (await client.get(f"/v1/responses/{queued['id']}")).json()
    assert ready["status"] == "completed"
    assert ready["usage"]["output_tokens"] > 0
    unstored = (await client.post("/v1/responses", json={"model": "sim-small", "input": "hello", "store": False})).json()
    assert (await client.get(f"/v1/responses/{unstored['id']}")).status_code == 404
