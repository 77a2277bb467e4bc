"""sidecar/simulator/openai.py"""

import json
import struct
from base64 import b64decode
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.simulator.openai import DONE, OpenAI, render_error, render_model, render_models, render_whole, stream_events
from sidecar.simulator.plan import Plan
from sidecar.simulator.request import Form
from sidecar.simulator.script import Script

_TOOLS = [{"type": "function", "function": {"name": "f", "parameters": {"properties": {"a": {}, "b": {}}}}}]


def _chunks(plan: Plan) -> list[dict[str, Any]]:
    *events, last = stream_events(plan)
    assert last.data == DONE
    return [json.loads(event.data) for event in events]


def _joined(chunks: list[dict[str, Any]], member: str, index: int = 0) -> str:
    return "".join(
        choice["delta"].get(member) or "" for chunk in chunks for choice in chunk["choices"] if choice["index"] == index
    )  # fmt: skip


def test_whole_chat(plan_chat: Callable[..., Plan]) -> None:
    """A whole answer has the text, its finish reason, and usage with all its details."""
    plan = plan_chat(model="sim-reasoning", cached=128)
    tree = json.loads(render_whole(plan))
    message = tree["choices"][0]["message"]
    assert (tree["object"], tree["model"], tree["choices"][0]["finish_reason"]) == ("chat.completion", "sim-reasoning", "stop")
    assert message["content"] == plan.choices[0].text
    assert message["reasoning_content"] == "".join(plan.choices[0].reasoning)
    assert tree["usage"]["prompt_tokens_details"]["cached_tokens"] == 128
    assert tree["usage"]["completion_tokens_details"]["reasoning_tokens"] == plan.reasoning_tokens
    assert tree["usage"]["total_tokens"] == tree["usage"]["prompt_tokens"] + tree["usage"]["completion_tokens"]


def test_without_usage(plan_chat: Callable[..., Plan]) -> None:
    """A stream that did not ask for usage has no such member anywhere."""
    assert not any("usage" in chunk for chunk in _chunks(plan_chat(stream=True)))


def test_with_usage(plan_chat: Callable[..., Plan]) -> None:
    """A stream that asked has null on every chunk but the last, which has usage and no choices."""
    *chunks, last = _chunks(plan_chat(stream=True, stream_options={"include_usage": True}))
    assert all(chunk["usage"] is None and chunk["choices"] for chunk in chunks)
    assert last["choices"] == []
    assert last["usage"]["completion_tokens"] == sum(1 for chunk in chunks if chunk["choices"][0]["delta"].get("content"))


@pytest.mark.parametrize("script", [Script(), Script(refusal=True)])
def test_stream_equals_whole(plan_chat: Callable[..., Plan], script: Script) -> None:
    """The deltas of each choice add up to the whole answer, and each choice finishes once, after its deltas."""
    plan = plan_chat(script, stream=True, n=3, model="sim-reasoning")
    chunks, whole = _chunks(plan), json.loads(render_whole(plan))
    for index, choice in enumerate(whole["choices"]):
        for member in ("content", "refusal", "reasoning_content"):
            assert _joined(chunks, member, index) == (choice["message"].get(member) or "")
        mine = [each for chunk in chunks for each in chunk["choices"] if each["index"] == index]
        assert [each["finish_reason"] for each in mine] == [None] * (len(mine) - 1) + ["stop"]
        assert mine[0]["delta"] == {"role": "assistant", "content": "", "refusal": None}


def test_tool_call_stream(plan_chat: Callable[..., Plan]) -> None:
    """The name comes once, with the first piece of the arguments."""
    plan = plan_chat(stream=True, tools=_TOOLS)
    calls = [call for chunk in _chunks(plan) for call in chunk["choices"][0]["delta"].get("tool_calls", ())]
    assert [call["function"].get("name") for call in calls] == ["f"] + [None] * (len(calls) - 1)
    assert "".join(call["function"]["arguments"] for call in calls) == plan.choices[0].text


def test_obfuscation(plan_chat: Callable[..., Plan]) -> None:
    """Deltas are padded unless that is declined."""
    assert all("obfuscation" in chunk for chunk in _chunks(plan_chat(stream=True)))
    plain = plan_chat(stream=True, stream_options={"include_obfuscation": False})
    assert not any("obfuscation" in chunk for chunk in _chunks(plain))


def test_tokens_of_events(plan_chat: Callable[..., Plan]) -> None:
    """Events know how many tokens they hold, and only they have delays after the first byte."""
    plan = plan_chat(stream=True, model="sim-reasoning")
    events = stream_events(plan)
    assert sum(event.tokens for event in events) == plan.completion_tokens
    assert sum(event.reasoning for event in events) == plan.reasoning_tokens
    assert all(event.tokens for event in events if event.delay_s)
    assert sum(event.delay_s for event in events) == pytest.approx(plan.duration_s - plan.first_token_s * 0.4)


def test_text_completion(plan_chat: Callable[..., Plan]) -> None:
    """The older form has text in place of messages and no role chunk."""
    plan = plan_chat(form=Form.COMPLETION, stream=True)
    chunks = _chunks(plan)
    assert "".join(chunk["choices"][0]["text"] for chunk in chunks) == json.loads(render_whole(plan))["choices"][0]["text"]
    assert {chunk["object"] for chunk in chunks} == {"text_completion"}


def test_embeddings(plan_chat: Callable[..., Plan]) -> None:
    """The same text has the same vector, as floats and in base64 (little-endian float32)."""
    floats = json.loads(render_whole(plan_chat(form=Form.EMBEDDING, model="sim-embed", input=["a", "b", "a"], dimensions=8)))
    packed = json.loads(render_whole(plan_chat(form=Form.EMBEDDING, model="sim-embed", input="a", dimensions=8, encoding_format="base64")))
    first, second, third = (each["embedding"] for each in floats["data"])
    assert len(first) == 8
    assert first == third != second
    assert struct.unpack("<8f", b64decode(packed["data"][0]["embedding"])) == pytest.approx(first, abs=1e-6)
    assert floats["usage"] == {"prompt_tokens": 3, "total_tokens": 3}


def test_errors() -> None:
    """An error has OpenAI's four members."""
    assert json.loads(render_error(429, "slow"))["error"] == {
        "message": "slow", "type": "requests", "param": None, "code": "rate_limit_exceeded",
    }  # fmt: skip
    assert json.loads(render_error(418, "tea", code="pot"))["error"]["code"] == "pot"


def test_models() -> None:
    """A list of models holds each of them."""
    assert json.loads(render_models(["a"]))["data"] == [json.loads(render_model("a"))]


@pytest.mark.parametrize(
    ("path", "form"),
    [
        ("/v1/chat/completions", Form.CHAT), ("/v1/completions", Form.COMPLETION), ("/v1/embeddings", Form.EMBEDDING),
        ("/openai/deployments/d/chat/completions", Form.CHAT), ("/v1/models", None), ("/v1/chat/completions/x", None),
    ],
)  # fmt: skip
def test_form(path: str, form: Form | None) -> None:
    """The end of a path names the form."""
    assert OpenAI().form_of("POST", path) is form
