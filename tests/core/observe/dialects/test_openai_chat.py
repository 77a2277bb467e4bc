"""What counts as output in a chat's chunk."""

import json
from typing import Any

import pytest

from sidecar.core.observe.dialects import OPENAI_CHAT
from sidecar.exchange import Seen

OUTPUT: list[Any] = [
    {"content": "a"}, {"content": " "}, {"refusal": "no"}, {"reasoning": "hm"}, {"reasoning_content": "hm"},
    {"content": [{"type": "text", "text": "a"}]}, {"function_call": {"name": "f"}}, {"function_call": {"arguments": "{"}},
    {"tool_calls": [{"function": {"name": "f", "arguments": ""}}]}, {"tool_calls": [{"function": {"arguments": "{"}}]},
    {"tool_calls": [{}, {"custom": {"input": "x"}}]}, {"audio": {"data": "AA"}}, {"audio": {"transcript": "a"}},
    {"reasoning_details": [{"text": "x"}]}, {"reasoning_details": [{"summary": "x"}]}, {"reasoning_details": [{"data": "x"}]},
]  # fmt: skip
NO_OUTPUT: list[Any] = [
    {}, {"role": "assistant"}, {"role": "assistant", "content": ""}, {"content": None}, {"refusal": ""}, {"tool_calls": []},
    {"tool_calls": [{"index": 0, "id": "c", "type": "function", "function": {"name": "", "arguments": ""}}]}, {"tool_calls": "x"},
    {"tool_calls": ["x", None]}, {"function_call": None}, {"audio": {"id": "a", "expires_at": 1}}, {"reasoning_details": []},
    {"reasoning_details": [{"type": "reasoning.text", "text": ""}]}, {"reasoning_details": "x"}, None, 7, "content",
]  # fmt: skip


def first_token(delta: Any) -> float | None:
    """When the first token was seen, if this is the only chunk."""
    seen = Seen()
    OPENAI_CHAT.read_event(json.dumps({"choices": [{"index": 0, "delta": delta}]}).encode(), seen, 7.0)
    assert seen.chunks == 1
    return seen.first_token


@pytest.mark.parametrize("delta", OUTPUT, ids=repr)
def test_output(delta: Any) -> None:
    """Text, refusal, reasoning, calls and audio are output."""
    assert first_token(delta) == 7.0


@pytest.mark.parametrize("delta", NO_OUTPUT, ids=repr)
def test_no_output(delta: Any) -> None:
    """Roles, empty values, padding and identities are none."""
    assert first_token(delta) is None


def test_first_token_is_noted_once() -> None:
    """Later output does not move the first token."""
    seen = Seen()
    for now in (1.0, 2.0, 3.0):
        OPENAI_CHAT.read_event(b'{"model":"m","choices":[{"index":0,"delta":{"content":"a"}}]}', seen, now)
    assert seen.first_token == 1.0
