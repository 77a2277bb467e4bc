"""Content of Anthropic messages."""

import pytest

from sidecar.core.observe.contents.anthropic_messages import AnthropicMessagesContent
from tests.core.observe.contents.reading import answer, hear_bytes, read

READER = AnthropicMessagesContent()
SAID = [
    {"role": "assistant", "parts": [
        {"type": "reasoning", "content": "Let me think"}, {"type": "text", "content": "Hello wörld"},
        {"type": "tool_call", "id": "t1", "name": "find", "arguments": {"q": "x"}},
    ]}
]  # fmt: skip


def delta(index: int, kind: str, **more: str) -> dict[str, object]:
    """Return a delta of a block."""
    return {"type": "content_block_delta", "index": index, "delta": {"type": kind, **more}}


EVENTS = [
    {"type": "message_start", "message": {"id": "m", "content": []}}, {"type": "ping"},
    {"type": "content_block_start", "index": 0, "content_block": {"type": "thinking", "thinking": ""}},
    delta(0, "thinking_delta", thinking="Let me "), delta(0, "thinking_delta", thinking="think"), delta(0, "signature_delta",
    signature="s"),
    {"type": "content_block_start", "index": 1, "content_block": {"type": "text", "text": "Hello"}},
    delta(1, "text_delta", text=" wör"), delta(1, "text_delta", text="ld"), delta(1, "novelty_delta", text="?"),
    {"type": "content_block_start", "index": 2, "content_block": {"type": "tool_use", "id": "t1", "name": "find", "input": {}}},
    delta(2, "input_json_delta", partial_json=""), delta(2, "input_json_delta", partial_json='{"q":'), delta(2, "input_json_delta",
    partial_json='"x"}'),
    {"type": "message_delta", "delta": {"stop_reason": "tool_use"}}, {"type": "message_stop"},
]  # fmt: skip


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_a_stream_is_joined_by_block(size_bytes: int) -> None:
    """Signatures, pings and what is not known say nothing."""
    assert hear_bytes("anthropic_messages", READER, EVENTS, size_bytes) == SAID


def test_a_whole_answer_says_the_same() -> None:
    """Blocks become parts; an error says nothing."""
    content = [
        {"type": "thinking", "thinking": "Let me think", "signature": "s"}, {"type": "text", "text": "Hello wörld"},
        {"type": "tool_use", "id": "t1", "name": "find", "input": {"q": "x"}},
    ]  # fmt: skip
    assert answer(READER, {"role": "assistant", "content": content}) == SAID
    assert answer(READER, {"type": "error", "error": {"message": "no"}}) == []


def test_a_request_is_read() -> None:
    """The system prompt stands apart; sources of every kind; a tool's answer."""
    blocks = [
        {"type": "text", "text": "see"}, {"type": "image", "source": {"type": "base64", "media_type": "image/png", "data": "AAAA"}},
        {"type": "image", "source": {"type": "url", "url": "https://x.test/i.png?token=t"}},
        {"type": "document", "source": {"type": "text", "data": "plain"}}, {"type": "document", "source": {"type": "file", "file_id": "f"}},
        {"type": "document", "source": {"type": "content", "content": "inner"}}, {"type": "redacted_thinking", "data": "xx"},
        {"type": "tool_result", "tool_use_id": "t1", "content": [{"type": "text", "text": "found"}]},
        {"type": "tool_result", "tool_use_id": "t2", "content": '[1]'},
    ]  # fmt: skip
    request = {
        "system": [{"type": "text", "text": "be kind"}],
        "messages": [{"role": "user", "content": blocks}],
        "tools": [{"name": "find"}],
    }
    prompt = read(READER, request)
    assert (prompt.system, prompt.tools) == ([{"type": "text", "content": "be kind"}], [{"name": "find"}])
    assert prompt.messages[0]["parts"] == [
        {"type": "text", "content": "see"}, {"type": "blob", "mime_type": "image/png", "bytes": 3},
        {"type": "uri", "uri": "https://x.test/i.png"}, {"type": "text", "content": "plain"}, {"type": "file", "file_id": "f"},
        {"type": "text", "content": "inner"}, {"type": "redacted_thinking"},
        {"type": "tool_call_response", "id": "t1", "response": [{"type": "text", "content": "found"}]},
        {"type": "tool_call_response", "id": "t2", "response": [1]},
    ]  # fmt: skip
    assert read(READER, {"system": "s", "messages": [{"role": "user", "content": "hi"}]}).system == [{"type": "text", "content": "s"}]
