"""Content of chat completions."""

import pytest

from sidecar.core.observe.contents.openai_chat import OpenAIChatContent
from tests.core.observe.contents.reading import answer, hear, hear_bytes, read, tell

READER = OpenAIChatContent()


def chunk(delta: object, index: int = 0) -> dict[str, object]:
    """Return a chunk with one choice."""
    return {"choices": [{"index": index, "delta": delta}]}


EVENTS = [
    chunk({"role": "assistant", "content": ""}), chunk({"reasoning_content": "Let "}), chunk({"reasoning": "me see"}),
    chunk({"content": "Grüße "}), chunk({"content": "👋🏽"}), chunk({"content": "other"}, 1), chunk({"refusal": "no"}, 1),
    chunk({"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "find", "arguments": ""}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": '{"q": "a'}}, {"index": 1, "id": "c2", "function": {"name": "get"}}]}),
    chunk({"tool_calls": [{"index": 0, "function": {"arguments": 'b"}'}}, {"index": 1, "function": {"arguments": "{bad"}}]}),
    {"choices": [], "usage": {"prompt_tokens": 1}},
]  # fmt: skip
SAID = [
    {"role": "assistant", "parts": [
        {"type": "reasoning", "content": "Let me see"}, {"type": "text", "content": "Grüße 👋🏽"},
        {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": "ab"}},
        {"type": "tool_call", "id": "c2", "name": "get", "arguments": "{bad"},
    ]},
    {"role": "assistant", "parts": [{"type": "text", "content": "other"}, {"type": "refusal", "content": "no"}]},
]  # fmt: skip


@pytest.mark.parametrize("size_bytes", [1, 7, 10_000])
def test_a_stream_says_the_same_however_it_is_cut(size_bytes: int) -> None:
    """Text, reasoning, refusals and calls of each choice are joined from their pieces."""
    assert hear_bytes("openai_chat", READER, EVENTS, size_bytes) == SAID


def test_a_whole_answer_says_the_same() -> None:
    """Each choice's message, in the conventions' form."""
    calls = [
        {"id": "c1", "type": "function", "function": {"name": "find", "arguments": '{"q": "ab"}'}},
        {"id": "c2", "type": "custom", "custom": {"name": "get", "input": "{bad"}},
    ]
    first = {"role": "assistant", "reasoning": "Let me see", "content": "Grüße 👋🏽", "tool_calls": calls}
    assert answer(READER, {"choices": [{"message": first}, {"message": {"content": "other", "refusal": "no"}}]}) == SAID


def test_a_request_is_read() -> None:
    """Messages of every kind; what is binary is described and not kept; a signed address loses its signature."""
    parts = [
        {"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64,AAAA"}},
        {"type": "image_url", "image_url": {"url": "https://u:p@x.test/a.png?sig=s#f"}},
        {"type": "input_audio", "input_audio": {"data": "AAAAAA==", "format": "wav"}},
        {"type": "file", "file": {"file_id": "f1"}}, {"type": "file", "file": {"file_data": "data:application/pdf;base64,AAA="}},
        {"type": "hologram", "data": "secret"},
    ]  # fmt: skip
    messages = [
        {"role": "system", "content": "be kind"}, {"role": "user", "content": parts},
        {"role": "assistant", "content": None, "tool_calls": [{"id": "c", "function": {"name": "f", "arguments": "{}"}}]},
        {"role": "tool", "tool_call_id": "c", "content": '{"a": [1]}'}, {"role": "assistant", "function_call": {"name": "g",
        "arguments": "x"}},
    ]  # fmt: skip
    prompt = read(READER, {"messages": messages, "tools": [{"type": "function"}]})
    assert (prompt.system, prompt.tools) == ([], [{"type": "function"}])
    assert prompt.messages == [
        {"role": "system", "parts": [{"type": "text", "content": "be kind"}]},
        {"role": "user", "parts": [
            {"type": "text", "content": "look"}, {"type": "blob", "mime_type": "image/png", "bytes": 3},
            {"type": "uri", "uri": "https://x.test/a.png"}, {"type": "blob", "mime_type": "audio/wav", "bytes": 4},
            {"type": "file", "file_id": "f1"}, {"type": "blob", "mime_type": "application/pdf", "bytes": 2}, {"type": "hologram"},
        ]},
        {"role": "assistant", "parts": [{"type": "tool_call", "id": "c", "name": "f", "arguments": {}}]},
        {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": {"a": [1]}}]},
        {"role": "assistant", "parts": [{"type": "tool_call", "name": "g", "arguments": "x"}]},
    ]  # fmt: skip


def test_audio_is_known_by_its_transcript() -> None:
    """The sound itself is only counted."""
    assert tell("openai_chat", hear(READER, [chunk({"audio": {"data": "AAAA", "transcript": "hi"}})])) == [
        {"role": "assistant", "parts": [{"type": "text", "content": "hi"}]}
    ]
    (said,) = answer(READER, {"choices": [{"message": {"audio": {"id": "a", "data": "AAAA", "transcript": "hi"}}}]})
    assert said["parts"] == [{"type": "text", "content": "hi"}, {"type": "blob", "bytes": 3}]
