"""OpenAI responses: output, endings and usage, whatever comes, and errors of our own."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects import OPENAI_RESPONSES, OPENAI_RESPONSES_FETCH
from sidecar.core.observe.dialects.openai_responses import read_usage
from sidecar.core.observe.observer import observe
from sidecar.core.observe.sse import EventSplitter
from sidecar.errors import ERRORS, STREAM_CUT
from sidecar.exchange import Asked, Seen

SSE, JSON = "text/event-stream", "application/json"
OUTPUT: list[Any] = [
    {"type": "response.output_text.delta", "delta": " "}, {"type": "response.refusal.delta", "delta": "no"},
    {"type": "response.reasoning_text.delta", "delta": "hm"}, {"type": "response.reasoning_summary_text.delta", "delta": "hm"},
    {"type": "response.function_call_arguments.delta", "delta": "{"}, {"type": "response.custom_tool_call_input.delta", "delta": "x"},
    {"type": "response.mcp_call_arguments.delta", "delta": "{"}, {"type": "response.code_interpreter_call_code.delta", "delta": "1"},
    {"type": "response.audio.delta", "delta": "AA"}, {"type": "response.audio.transcript.delta", "delta": "a"},
    {"type": "response.shell_call_command.delta", "delta": "ls"}, {"type": "response.output_text.done", "text": "a"},
    {"type": "response.function_call_arguments.done", "arguments": "{}"}, {"type": "response.refusal.done", "refusal": "no"},
    {"type": "response.image_generation_call.partial_image", "partial_image_b64": "AA"},
]  # fmt: skip
NO_OUTPUT: list[Any] = [
    {"type": "response.created"}, {"type": "response.queued"}, {"type": "response.in_progress"},
    {"type": "response.output_item.added", "item": {"type": "function_call", "name": "f", "arguments": ""}},
    {"type": "response.content_part.added", "part": {"type": "output_text", "text": ""}},
    {"type": "response.output_text.delta", "delta": ""}, {"type": "response.output_text.delta", "obfuscation": "x"},
    {"type": "response.output_text.delta", "delta": None},
    {"type": "response.function_call_arguments.done", "arguments": ""},
    {"type": "response.shell_call_output_content.delta", "delta": {"stdout": "x"}}, {"type": "response.web_search_call.searching"},
    {"type": ["response.output_text.delta"], "delta": "a"}, {"delta": "a"}, "response.output_text.delta", None, 7,
]  # fmt: skip


def start(content_type: str = SSE, *, dialect: Any = OPENAI_RESPONSES, status: int = 200, limits: Limits | None = None) -> Observer:
    """An observer of an answer of this form."""
    return observe(dialect, status=status, media_type=content_type, content_encoding="", limits=limits or Limits(), gap_edges=(1.0,))


def event(**members: Any) -> bytes:
    """One event as OpenAI frames it."""
    return b"event: %b\ndata: %b\n\n" % (str(members.get("type")).encode(), json.dumps(members, separators=(",", ":")).encode())


def read(value: Any, dialect: Any = OPENAI_RESPONSES) -> Seen:
    """What is seen of one event."""
    seen = Seen()
    dialect.read_event(json.dumps(value).encode(), seen, 7.0)
    return seen


@pytest.mark.parametrize("value", OUTPUT, ids=repr)
def test_output(value: Any) -> None:
    """Text, refusal, reasoning, calls, audio and images are output, unless they are only told again."""
    assert read(value).first_token == 7.0
    assert read(value).chunks == 1
    assert read(value, OPENAI_RESPONSES_FETCH).first_token is None


@pytest.mark.parametrize("value", NO_OUTPUT, ids=repr)
def test_no_output(value: Any) -> None:
    """What frames output, empty values, padding, and what tools bring forth are none."""
    assert read(value).first_token is None
    assert read(value).chunks == 1


def test_keepalives_are_no_chunks() -> None:
    """What only keeps the connection open is not counted."""
    assert [read({"type": kind}).chunks for kind in ("keepalive", "ping")] == [0, 0]


@pytest.mark.parametrize(
    ("response", "reason"),
    [
        ({"status": "completed"}, "stop"),
        ({"status": "completed", "output": [{"type": "message"}]}, "stop"),
        ({"status": "completed", "output": [{"type": "function_call"}, {"type": "message"}]}, "stop"),
        ({"status": "completed", "output": [{"type": "reasoning"}, {"type": "function_call"}]}, "tool_calls"),
        ({"status": "completed", "output": [{"type": "shell_call"}, {"type": "shell_call_output"}]}, "stop"),
        ({"status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, "length"),
        ({"status": "incomplete", "incomplete_details": {"reason": "content_filter"}}, "content_filter"),
        ({"status": "incomplete", "incomplete_details": {"reason": "steered"}}, "steered"),
        ({"status": "incomplete", "incomplete_details": None}, "incomplete"),
        ({"status": "failed"}, None), ({"status": "cancelled"}, None), ({"status": "queued"}, None), ({"status": "in_progress"}, None),
        ({"status": 7}, None), ({}, None),
    ],
)  # fmt: skip
def test_finish_reasons(response: dict[str, Any], reason: str | None) -> None:
    """The status, with what stands beside it, becomes a finish reason."""
    for dialect in (OPENAI_RESPONSES, OPENAI_RESPONSES_FETCH):
        seen = Seen()
        dialect.read_whole(json.dumps(response).encode(), seen)
        assert seen.finish_reasons == ([] if reason is None else [reason])
        assert seen.terminated


def test_status_of_the_last_event() -> None:
    """The last event ends the stream even if what it holds is missing or says something else."""
    for response in (None, {}, {"status": "in_progress"}, {"status": "completed"}):
        seen = read({"type": "response.completed", "response": response})
        assert (seen.terminated, seen.choices) == (True, {0: "stop"})
    seen = read({"type": "response.cancelled", "response": {"status": "cancelled"}})
    assert (seen.terminated, seen.choices, seen.error_type) == (True, {0: None}, None)


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"input_tokens": 10, "output_tokens": 5}, (10, 0, 0, 5, 0)),
        ({"input_tokens": 10}, (10, 0, 0, 0, 0)),
        ({"input_tokens": 10, "input_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, (3, 4, 3, 0, 0)),
        ({"input_tokens": 10, "output_tokens": 9, "output_tokens_details": {"reasoning_tokens": 4}}, (10, 0, 0, 5, 4)),
        ({"input_tokens": 3, "output_tokens": 2, "input_tokens_details": {"cached_tokens": 9}}, (0, 3, 0, 2, 0)),
        ({"input_tokens": 3, "input_tokens_details": {"cached_tokens": "x"}, "output_tokens_details": None}, (3, 0, 0, 0, 0)),
        ({"prompt_tokens": 7}, None), ({"input_tokens": "3"}, None), ({"output_tokens": 3}, None),
        ({"input_tokens": 3, "output_tokens": "3"}, None), ({"input_tokens": None, "output_tokens": 3}, None),
        ({}, None), (None, None), ([1], None),
    ],
)  # fmt: skip
def test_usage(value: object, usage: tuple[int, ...] | None) -> None:
    """Totals include cache and reasoning."""
    assert read_usage(value) == usage


def test_usage_is_noted_as_soon_as_it_is_told() -> None:
    """A server that tells it early has told it, even if the stream is cut; the last told counts."""
    observer = start()
    observer.feed(event(type="response.in_progress", response={"usage": {"input_tokens": 5, "output_tokens": 0}}), 1.0)
    observer.feed(event(type="response.in_progress", response={"usage": {"input_tokens": 5, "output_tokens": 2}}), 1.0)
    observer.feed(event(type="response.in_progress", response={"usage": None}), 1.0)
    observer.finish(2.0)
    assert observer.seen.usage == (5, 0, 0, 2, 0)
    assert observer.ended_well is False


def test_a_replay_counts_nothing() -> None:
    """What a stored response used and whether it failed was told when it was made."""
    usage = {"input_tokens": 5, "output_tokens": 2, "cost": 1.5}
    for body in ({"status": "completed", "usage": usage}, {"status": "failed", "error": {"code": "server_error"}, "usage": usage}):
        seen = read({"type": f"response.{body['status']}", "response": body}, OPENAI_RESPONSES_FETCH)
        OPENAI_RESPONSES_FETCH.read_whole(json.dumps(body).encode(), seen)
        assert (seen.usage, seen.cost_usd, seen.error_type, seen.first_token) == (None, None, None, None)


def test_deltas_are_not_parsed(monkeypatch: pytest.MonkeyPatch) -> None:
    """Once output was seen, an event that begins as a delta is counted by its beginning alone."""
    observer = start()
    observer.feed(event(type="response.output_text.delta", sequence_number=1, delta="a"), 1.0)
    monkeypatch.setattr("sidecar.core.observe.dialects.openai_responses._decode_event", None)
    for number in range(50):
        observer.feed(event(type="response.output_text.delta", sequence_number=number, delta="a"), 1.0)
    assert observer.seen.chunks == 51


def test_end_beyond_patience() -> None:
    """A last event that can only be read the slow way, and is too large for that, is an end all the same."""
    big = b'{"type":"response.completed","response":{"status":"completed","model":"\\ud83d","x":"' + b"x" * (1 << 20) + b'"}}'
    observer = start(limits=Limits(line=4 << 20))
    observer.feed(b"data: " + big + b"\n\n", 1.0)
    assert observer.ended_well is True


def test_large_end_within_the_limit() -> None:
    """A last event that repeats a long response is read, with its usage behind the output."""
    text = "x" * 900_000
    body = {
        "status": "completed",
        "output": [{"type": "message", "content": [{"text": text}]}],
        "usage": {"input_tokens": 1, "output_tokens": 2},
    }
    observer = start()
    observer.feed(event(type="response.completed", response=body), 1.0)
    assert (observer.seen.usage, observer.ended_well, observer.skipped) == ((1, 0, 0, 2, 0), True, None)


def test_end_beyond_the_limit() -> None:
    """Of a last event above limits.line nothing is known: neither an end nor a cut."""
    observer = start(limits=Limits(line=1000))
    observer.feed(event(type="response.output_text.delta", delta="a") + event(type="response.completed", response={"x": "y" * 2000}), 1.0)
    assert (observer.ended_well, observer.skipped, observer.seen.usage) == (None, "too_large", None)


def test_a_stream_cut_at_any_byte_has_not_ended() -> None:
    """Until the last event has come with its blank line, the stream is cut."""
    response = {"id": "resp_1", "status": "completed", "usage": {"input_tokens": 1, "output_tokens": 2}}
    stream = b"".join(
        event(type=kind, sequence_number=number, **members)
        for number, (kind, members) in enumerate(
            [("response.created", {"response": {"id": "resp_1"}}), ("response.output_text.delta", {"delta": '"response.completed"'}),
             ("response.output_text.done", {"text": '"type":"response.completed"'}), ("response.completed", {"response": response})]
        )
    )  # fmt: skip
    for size in range(1, len(stream)):
        observer = feed(start(), [stream[:size]])
        assert (observer.ended_well, observer.seen.usage) == (False, None)
        assert set(observer.seen.finish_reasons) <= {"error"}
    assert feed(start(), [stream]).ended_well is True


def test_a_stream_without_end_fills_no_memory() -> None:
    """However many events and items come, what is kept of them is the same."""
    observer = start()
    for number in range(20_000):
        observer.feed(event(type="response.output_item.done", output_index=number, item={"type": "function_call", "id": str(number)}), 1.0)
        observer.feed(event(type=f"response.x{number}.delta", item_id=str(number), delta="a"), 1.0)
    seen = observer.seen
    assert (seen.chunks, len(seen.choices), seen.finish_reasons) == (40_000, 1, [])


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_refusal(kind: Any) -> None:
    """Our own answers have the form of OpenAI's errors."""
    error = json.loads(OPENAI_RESPONSES.refusal(kind, 'a "quoted"\nmessage', Asked()))["error"]
    assert (error["code"], error["message"]) == (kind.id, 'a "quoted"\nmessage')


@pytest.mark.parametrize("sent", [b"", b'event: response.output_text.delta\ndata: {"ty', b"data: {}\n", b"event: response.created\n"])
def test_stream_error_stands_alone(sent: bytes) -> None:
    """Whatever the stream broke off within, the error is an event of its own in both forms that clients read."""
    splitter = EventSplitter(1000)
    told = OPENAI_RESPONSES.stream_error(STREAM_CUT, "broke off", Asked(), SSE)
    events = splitter.feed(sent + told)
    value = json.loads(events[-1])
    assert b"\n\nevent: error\ndata: " in told
    assert (value["type"], value["code"], value["message"], value["param"]) == ("error", "stream_cut", "broke off", None)
    assert value["error"]["code"] == "stream_cut"
    assert read(value).error_type == "stream_cut"
    assert OPENAI_RESPONSES.stream_error(STREAM_CUT, "broke off", Asked(), JSON) == b""


def describe(observer: Observer) -> dict[str, Any]:
    """All that was seen but the times."""
    seen = observer.seen
    return {
        "model": seen.model, "id": seen.response_id, "tier": seen.service_tier, "reasons": seen.finish_reasons, "usage": seen.usage,
        "cost": seen.cost_usd, "error": seen.error_type, "chunks": seen.chunks, "token": seen.first_token is not None,
        "ended_well": observer.ended_well, "skipped": observer.skipped,
    }  # fmt: skip


def feed(observer: Observer, pieces: list[bytes]) -> Observer:
    """The observer after these pieces and the end."""
    for number, piece in enumerate(pieces):
        observer.feed(piece, float(number))
    observer.finish(float(len(pieces)))
    return observer


NAMES = st.sampled_from(
    ["response.created", "response.output_text.delta", "response.output_text.done", "response.completed", "response.incomplete",
     "response.failed", "error", "keepalive", "response.output_item.added", "strange"]
)  # fmt: skip
JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5) | NAMES,
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "response", "delta", "text", "error", "code", "id", "model", "status", "output", "usage", "input_tokens",
             "service_tier", "output_tokens", "input_tokens_details", "cached_tokens", "incomplete_details", "reason", "cost", "arguments"]
        ), inner, max_size=6,
    ),
    max_leaves=15,
)  # fmt: skip
PARTS = st.one_of(
    st.builds(lambda kind, value: event(type=kind, response=value, delta="a"), NAMES, JSON_VALUES),
    st.sampled_from([b"data: [DONE]\n\n", b": ping\n\n", b"\r\n", b"\n", b"event: x\n", b"data: {\n\n", b'data: {"type":"error"}\r\n\r\n']),
    st.binary(max_size=20),
)


@given(st.lists(PARTS, max_size=10), st.data(), st.sampled_from([OPENAI_RESPONSES, OPENAI_RESPONSES_FETCH]))
@settings(max_examples=300)
def test_every_cut_is_seen_alike(parts: list[bytes], data: st.DataObject, dialect: Any) -> None:
    """However a stream is cut, all but the times is the same."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = describe(feed(start(dialect=dialect), [stream]))
    assert describe(feed(start(dialect=dialect), pieces)) == whole
    assert describe(feed(start(dialect=dialect), [bytes([byte]) for byte in stream])) == whole


@given(st.lists(JSON_VALUES | st.binary(max_size=40), max_size=6), st.sampled_from([SSE, JSON]))
@settings(max_examples=500)
def test_nothing_makes_it_raise(values: list[Any], content_type: str) -> None:
    """No JSON of any shape and no bytes make an observer raise, and what it says can be encoded."""
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    body = b"".join(b"data: " + text + b"\n\n" for text in texts) if content_type == SSE else b"".join(texts)
    for dialect in (OPENAI_RESPONSES, OPENAI_RESPONSES_FETCH):
        json.dumps(describe(feed(start(content_type, dialect=dialect), [body])), ensure_ascii=False).encode()


HOSTILE = [b'{"response":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"error":' * 50_000, b"9" * 10_000, b'{"type":1e999}']


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:9].decode())
@pytest.mark.parametrize("content_type", [SSE, JSON])
def test_hostile_json(text: bytes, content_type: str) -> None:
    """Deep nesting and huge numbers are survived."""
    feed(start(content_type), [b"data: " + text + b"\n\n" if content_type == SSE else text])
