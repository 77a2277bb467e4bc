"""Content of generateContent and embedContent."""

import pytest

from sidecar.core.observe.contents.gemini import GeminiContent, GeminiEmbedContent
from tests.core.observe.contents.reading import answer, hear, hear_bytes, read

READER = GeminiContent()
CALL = {"functionCall": {"id": "f1", "name": "find", "args": {"q": "x"}}}


def said(*parts: object, index: int = 0) -> dict[str, object]:
    """Return an event, or an answer, with one candidate."""
    return {"candidates": [{"index": index, "content": {"role": "model", "parts": list(parts)}}], "usageMetadata": {}}


EVENTS = [
    said({"text": "Hm", "thought": True}), said({"text": ".", "thought": True}, {"text": "Hel"}), said({"text": "lo"},
    {"thoughtSignature": "s"}),
    said(CALL), said({"text": "after"}), said({"text": "other"}, index=1), said({"inlineData": {"mimeType": "image/png", "data": "AAAA"}}),
]  # fmt: skip
TOLD = [
    {"role": "assistant", "parts": [
        {"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hello"},
        {"type": "tool_call", "id": "f1", "name": "find", "arguments": {"q": "x"}}, {"type": "text", "content": "after"}, {"type": "blob"},
    ]},
    {"role": "assistant", "parts": [{"type": "text", "content": "other"}]},
]  # fmt: skip


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_a_stream_is_joined_from_parts_of_one_kind(size_bytes: int) -> None:
    """Text that goes on is one part; a call begins another."""
    assert hear_bytes("gemini_stream", READER, EVENTS, size_bytes) == TOLD


def test_a_whole_answer_is_read() -> None:
    """One message per candidate; a stream that came whole as an array, too; a blocked prompt has none."""
    whole = answer(READER, said({"text": "Hm", "thought": True}, {"text": "Hello"}, CALL))
    assert [part["type"] for part in whole[0]["parts"]] == ["reasoning", "text", "tool_call"]
    assert len(answer(READER, [said({"text": "a"}), said({"text": "b"})])) == 2
    assert answer(READER, {"promptFeedback": {"blockReason": "SAFETY"}}) == []


def test_a_request_is_read_in_either_spelling() -> None:
    """Camel case and snake case mean the same."""
    parts = [
        {"text": "hi"}, {"inline_data": {"mime_type": "image/png", "data": "AAAA"}}, {"fileData": {"fileUri": "https://x.test/f?key=k"}},
        {"functionResponse": {"name": "find", "response": {"n": 1}}}, {"executableCode": {"code": "1+1"}},
        {"codeExecutionResult": {"output": "2"}}, {"novelty": {}}, {},
    ]  # fmt: skip
    prompt = read(
        READER, {"system_instruction": {"parts": [{"text": "be kind"}]}, "contents": [{"role": "user", "parts": parts}], "tools": [{}]}
    )
    assert prompt.system == [{"type": "text", "content": "be kind"}]
    assert prompt.messages[0]["parts"] == [
        {"type": "text", "content": "hi"}, {"type": "blob", "mime_type": "image/png", "bytes": 3}, {"type": "uri", "uri": "https://x.test/f"},
        {"type": "tool_call_response", "id": "find", "response": {"n": 1}}, {"type": "code", "content": "1+1"},
        {"type": "code_result", "content": "2"}, {"type": "novelty"},
    ]  # fmt: skip
    assert read(READER, {"systemInstruction": {"parts": [{"text": "s"}]}, "contents": {"parts": [{"text": "one"}]}}).messages == [
        {"role": "user", "parts": [{"type": "text", "content": "one"}]}
    ]


def test_embeddings_have_only_an_input() -> None:
    """One content, or a batch of them."""
    reader = GeminiEmbedContent()
    one = {"content": {"parts": [{"text": "a"}]}}
    assert len(read(reader, one).messages) == 1
    assert len(read(reader, {"requests": [one, one]}).messages) == 2
    assert answer(reader, {"embedding": {"values": [1]}}) == []
    assert hear(reader, [{}]).is_empty
