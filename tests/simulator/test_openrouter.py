"""sidecar/simulator/openrouter.py"""

import json
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.simulator.openrouter import OpenRouter
from sidecar.simulator.plan import Plan
from sidecar.simulator.profile import Profile
from sidecar.simulator.request import Form
from sidecar.simulator.script import Newline, Script

ROUTER = OpenRouter()


def _chunks(plan: Plan) -> list[dict[str, Any]]:
    return [json.loads(event.data) for event in ROUTER.stream_events(plan)[:-1]]


def test_which_paths() -> None:
    """OpenAI's interfaces under a prefix, others not."""
    assert ROUTER.form_of("POST", "/api/v1/chat/completions") is Form.CHAT
    assert ROUTER.form_of("POST", "/v1/chat/completions") is None
    assert ROUTER.form_of("POST", "/api/v1/rerank") is None


def test_usage_and_cost_come_unasked(plan_chat: Callable[..., Plan]) -> None:
    """Once, at the end, the cost by the model's prices; the event tells the tokens to the ledger."""
    plan = plan_chat(stream=True, cached=1)
    *chunks, last = _chunks(plan)
    assert all(chunk.get("usage") is None for chunk in chunks)
    assert last["usage"]["cost"] == plan.tokens.cost_usd(plan.prices) > 0
    assert [event.tells for event in ROUTER.stream_events(plan) if event.tells] == [plan.tokens]
    assert json.loads(ROUTER.render_whole(plan_chat()))["usage"]["cost"] > 0


def test_members_are_openrouters(plan_chat: Callable[..., Plan]) -> None:
    """A provider and its own finish reason, reasoning under another name, nothing of OpenAI's own."""
    plan = plan_chat(stream=True, model="sim-reasoning")
    chunks = _chunks(plan)
    assert {chunk["id"] for chunk in chunks} == {ROUTER.name_answer(plan)} == {f"gen-{plan.name}"}
    assert {chunk["provider"] for chunk in chunks} == {"Simulated"}
    assert not [chunk for chunk in chunks if chunk.keys() & {"service_tier", "system_fingerprint", "obfuscation"}]
    thought = "".join(choice["delta"].get("reasoning", "") for chunk in chunks for choice in chunk["choices"])
    assert thought == "".join(plan.choices[0].reasoning)
    reasons = [choice["native_finish_reason"] for chunk in chunks for choice in chunk["choices"] if choice["finish_reason"]]
    assert reasons == ["end_turn"]
    message = json.loads(ROUTER.render_whole(plan_chat(model="sim-reasoning")))["choices"][0]["message"]
    assert message["reasoning"] and "reasoning_content" not in message


@pytest.mark.parametrize(("status", "kind"), [(402, "payment_required"), (429, "rate_limit_exceeded"), (529, "provider_overloaded")])
def test_errors_name_their_kind(status: int, kind: str) -> None:
    """The code is the status; within a stream the error stands in an ordinary chunk."""
    error = json.loads(ROUTER.render_error(status, "no"))["error"]
    assert (error["code"], error["metadata"]["error_type"]) == (status, kind)
    chunk = json.loads(ROUTER.error_event(status, "no").data)
    assert chunk["error"] == error
    assert chunk["choices"][0]["finish_reason"] == "error"


def test_a_comment_comes_first(plan_chat: Callable[..., Plan]) -> None:
    """As if the provider had been waited for, with the stream's own line ends."""
    event = ROUTER.stream_events(plan_chat(stream=True))[0]
    script = Script(newline=Newline.CRLF)
    assert ROUTER.frame_event(event, script, first=True, last=False).startswith(b": OPENROUTER PROCESSING\r\n\r\ndata:")
    assert ROUTER.frame_event(event, script, first=False, last=False).startswith(b"data:")


def test_no_rate_limits_are_told() -> None:
    """Only the generation's id, which is the answer's."""
    assert dict(ROUTER.fields(Profile(), "req_7", 0.0, 1, 1))["x-generation-id"] == "gen-7"
