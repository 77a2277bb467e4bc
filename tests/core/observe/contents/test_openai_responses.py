"""Content of responses."""

import pytest

from sidecar.core.observe.contents.openai_responses import OpenAIResponsesContent
from tests.core.observe.contents.reading import answer, hear, hear_bytes, read, tell

READER = OpenAIResponsesContent()
OUTPUT = [
    {"type": "reasoning", "summary": [{"type": "summary_text", "text": "Hm."}], "encrypted_content": "x"},
    {"type": "message", "role": "assistant", "content": [{"type": "output_text", "text": "Hello"}, {"type": "refusal", "refusal": "no"}]},
    {"type": "function_call", "call_id": "c1", "name": "find", "arguments": '{"q":1}'},
    {"type": "web_search_call", "id": "w"},
]
SAID = [
    {"role": "assistant", "parts": [
        {"type": "reasoning", "content": "Hm."}, {"type": "text", "content": "Hello"}, {"type": "refusal", "content": "no"},
        {"type": "tool_call", "id": "c1", "name": "find", "arguments": {"q": 1}},
    ]}
]  # fmt: skip


def delta(kind: str, text: str, output: int, **more: int) -> dict[str, object]:
    """Return an event with a delta."""
    return {"type": f"response.{kind}.delta", "output_index": output, "delta": text, **more}


EVENTS = [
    {"type": "response.created", "response": {"id": "r", "output": []}},
    delta("reasoning_summary_text", "H", 0, summary_index=0), delta("reasoning_summary_text", "m.", 0, summary_index=0),
    {"type": "response.output_item.added", "output_index": 1, "item": {"type": "message"}},
    delta("output_text", "Hel", 1, content_index=0), delta("output_text", "lo", 1, content_index=0), delta("refusal", "no",
    1, content_index=1),
    {"type": "response.output_item.added", "output_index": 2, "item": {"type": "function_call", "call_id": "c1", "name": "find"}},
    delta("function_call_arguments", '{"q"', 2), delta("function_call_arguments", ":1}", 2),
    {"type": "response.output_text.done", "text": "Hello"},
    {"type": "response.completed", "response": {"output": OUTPUT}},
]  # fmt: skip


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_a_stream_is_joined_from_its_deltas(size_bytes: int) -> None:
    """What the terminal event repeats is not said twice."""
    assert hear_bytes("openai_responses", READER, EVENTS, size_bytes) == SAID


def test_a_terminal_event_tells_what_no_delta_did() -> None:
    """A replay may have nothing else."""
    assert tell("openai_responses", hear(READER, EVENTS[-1:])) == SAID


def test_a_whole_answer_says_the_same() -> None:
    """Items of other kinds show their type."""
    (said,) = answer(READER, {"output": OUTPUT})
    assert said["parts"] == [*SAID[0]["parts"], {"type": "web_search_call"}]  # type: ignore[misc]
    assert answer(READER, {"error": {}}) == []


def test_a_request_is_read() -> None:
    """Instructions stand apart; the input is a text, or items."""
    prompt = read(READER, {"instructions": "be kind", "input": "hi", "tools": [{"type": "web_search"}]})
    assert prompt == (
        [{"type": "text", "content": "be kind"}],
        [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}],
        [{"type": "web_search"}],
    )
    items = [
        {"role": "user", "content": [
            {"type": "input_text", "text": "a"}, {"type": "input_image", "image_url": "data:image/png;base64,AAAA"},
            {"type": "input_image", "file_id": "f"}, {"type": "input_file", "file_data": "AAAA"},
            {"type": "input_file", "file_url": "https://x.test/f?sig=1"}, {"type": "input_audio", "input_audio": {"data": "AAAA",
            "format": "mp3"}},
        ]},
        {"role": "assistant", "content": "earlier"},
        {"type": "function_call_output", "call_id": "c", "output": '{"ok": true}'},
        {"type": "custom_tool_call_output", "call_id": "d", "output": [{"type": "input_text", "text": "o"}]},
        {"type": "mcp_call", "id": "m", "name": "f", "arguments": "{}", "output": "done"},
    ]  # fmt: skip
    messages = read(READER, {"input": items}).messages
    assert [part["type"] for part in messages[0]["parts"]] == ["text", "blob", "file", "blob", "uri", "blob"]
    assert messages[0]["parts"][4]["uri"] == "https://x.test/f"
    assert messages[1] == {"role": "assistant", "parts": [{"type": "text", "content": "earlier"}]}
    assert messages[2] == {"role": "tool", "parts": [{"type": "tool_call_response", "id": "c", "response": {"ok": True}}]}
    assert messages[3]["parts"][0]["response"] == [{"type": "text", "content": "o"}]
    assert [part["type"] for part in messages[4]["parts"]] == ["tool_call", "tool_call_response"]
