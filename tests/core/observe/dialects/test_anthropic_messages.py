"""Anthropic messages: usage told in parts, what counts as output, ends, answers of our own."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects import ANTHROPIC_MESSAGES
from sidecar.core.observe.dialects.anthropic_messages import name_error
from sidecar.core.observe.observer import observe
from sidecar.core.observe.sse import EventSplitter
from sidecar.errors import ERRORS, IDLE_TIMEOUT, NO_ROUTE, POOL_FULL, STREAM_CUT
from sidecar.exchange import Asked, Seen, Usage
from tests.filled import tell

SSE = "text/event-stream"


def event(kind: str, **members: Any) -> bytes:
    """One event as it stands on the wire."""
    return b"event: %b\ndata: %b\n\n" % (kind.encode(), json.dumps({"type": kind, **members}).encode())


def text(words: str, index: int = 0) -> bytes:
    """A delta of text."""
    return event("content_block_delta", index=index, delta={"type": "text_delta", "text": words})


START = event("message_start", message={"id": "msg_1", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 1}})
END = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9}) + event("message_stop")


def start(media_type: str = SSE, limits: Limits | None = None) -> Observer:
    """An observer of a successful answer."""
    return observe(
        ANTHROPIC_MESSAGES, status=200, media_type=media_type, content_encoding="", limits=limits or Limits(), gap_edges=(0.1, 1.0)
    )


def feed(observer: Observer, pieces: list[bytes]) -> Observer:
    """The observer, after all pieces and the end."""
    for number, piece in enumerate(pieces):
        observer.feed(piece, float(number))
    observer.finish(float(len(pieces)))
    return observer


def describe(observer: Observer) -> tuple[object, ...]:
    """All that was seen but the times."""
    seen = observer.seen
    return (
        seen.model, seen.response_id, seen.service_tier, seen.finish_reasons, seen.usage, seen.cache_write_1h, seen.cost_usd,
        seen.error_type, seen.terminated, seen.chunks, seen.choices, seen.first_token is None, seen.first_chunk is None,
        observer.ended_well, observer.skipped,
    )  # fmt: skip


@pytest.mark.parametrize(
    ("told", "usage", "kept"),
    [
        ([{"input_tokens": 5, "output_tokens": 1}], (5, 0, 0, 1, 0), 0),
        ([{"input_tokens": 5, "output_tokens": 1}, {"output_tokens": 7}], (5, 0, 0, 7, 0), 0),
        ([{"input_tokens": 5, "output_tokens": 9}, {"output_tokens": 7}], (5, 0, 0, 7, 0), 0),
        ([{"input_tokens": 5, "cache_read_input_tokens": 3}, {"input_tokens": None, "cache_read_input_tokens": 4}], (5, 4, 0, 0, 0), 0),
        ([{"input_tokens": 5, "cache_creation_input_tokens": 8}, {"input_tokens": 0, "output_tokens": 2}], (0, 0, 8, 2, 0), 0),
        (
            [{"cache_creation_input_tokens": 8, "cache_creation": {"ephemeral_1h_input_tokens": 6}}, {"output_tokens": 2}],
            (0, 0, 8, 2, 0),
            6,
        ),
        ([{"cache_creation": {"ephemeral_5m_input_tokens": 2, "ephemeral_1h_input_tokens": 6}}], (0, 0, 8, 0, 0), 6),
        ([{"cache_creation_input_tokens": 3, "cache_creation": {"ephemeral_1h_input_tokens": 6}}], (0, 0, 3, 0, 0), 3),
        ([{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}], (0, 0, 0, 5, 4), 0),
        ([{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}, {"input_tokens": 5}], (5, 0, 0, 5, 4), 0),
        ([{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 4}}, {"output_tokens": 11}], (0, 0, 0, 7, 4), 0),
        ([{"output_tokens": 9, "output_tokens_details": {"thinking_tokens": 40}}], (0, 0, 0, 0, 9), 0),
        ([{"output_tokens": 9, "output_tokens_details": [1], "cache_creation": "x", "service_tier": 5}], (0, 0, 0, 9, 0), 0),
        ([{"input_tokens": 5}, {"output_tokens": -1, "input_tokens": "7"}, None, [3], {}], (5, 0, 0, 0, 0), 0),
        ([{"service_tier": "standard"}, {"input_tokens": True}], None, 0),
    ],
)
def test_usage_is_what_was_told_last(told: list[Any], usage: tuple[int, ...] | None, kept: int) -> None:
    """Counts are running totals, each the last that was told; input is without the cache, output includes thinking."""
    observer = start()
    for number, value in enumerate(told):
        members = {"message": {"usage": value}} if number == 0 else {"usage": value}
        observer.feed(event("message_start" if number == 0 else "message_delta", **members), 1.0)
    assert observer.seen.usage == (None if usage is None else Usage(*usage))
    assert observer.seen.cache_write_1h == kept


@pytest.mark.parametrize(
    ("usage", "tier"),
    [
        ({"service_tier": "priority"}, "priority"),
        ({"service_tier": "standard", "speed": "standard"}, "standard"),
        ({"service_tier": "standard", "speed": "fast"}, "fast"),
        ({"service_tier": None, "speed": None}, None),
        ({}, None),
    ],
)
def test_service_tier(usage: dict[str, Any], tier: str | None) -> None:
    """Which tier served the call; fast mode counts as one, for it has prices of its own. Later usage without it changes nothing."""
    observer = start()
    observer.feed(event("message_start", message={"usage": usage}) + event("message_delta", usage={"output_tokens": 3}), 1.0)
    assert observer.seen.service_tier == tier


OUTPUT: list[Any] = [
    ("content_block_delta", {"type": "text_delta", "text": " "}), ("content_block_delta", {"type": "thinking_delta", "thinking": "Hm"}),
    ("content_block_delta", {"type": "input_json_delta", "partial_json": "{"}),
    ("content_block_delta", {"type": "compaction_delta", "content": "So far"}),
    ("content_block_start", {"type": "tool_use", "id": "toolu_1", "name": "look_up", "input": {}}),
    ("content_block_start", {"type": "server_tool_use", "name": "web_search"}),
    ("content_block_start", {"type": "mcp_tool_use", "name": "x"}),
    ("content_block_start", {"type": "redacted_thinking", "data": "Em"}), ("content_block_start", {"type": "text", "text": "Hi"}),
]  # fmt: skip
NO_OUTPUT: list[Any] = [
    ("content_block_delta", {"type": "text_delta", "text": ""}), ("content_block_delta", {"type": "thinking_delta", "thinking": ""}),
    ("content_block_delta", {"type": "input_json_delta", "partial_json": ""}),
    ("content_block_delta", {"type": "signature_delta", "signature": "Eq"}), ("content_block_delta", {"type": "fancy_delta", "fancy": "x"}),
    ("content_block_delta", {"type": "citations_delta", "citation": {"cited_text": "x"}}), ("content_block_delta", None),
    ("content_block_start", {"type": "text", "text": ""}), ("content_block_start", {"type": "thinking", "thinking": "", "signature": ""}),
    ("content_block_start", {"type": "web_search_tool_result", "content": [{"title": "x"}]}), ("content_block_start", ["x"]),
    ("content_block_start", {"type": "container_upload", "file_id": "x"}), ("content_block_start", {"type": "tool_use", "name": ""}),
    ("content_block_start", {"type": 5, "name": "x"}), ("content_block_stop", {}), ("message_delta", {"stop_reason": "end_turn"}),
]  # fmt: skip


def first_token(kind: str, value: Any) -> float | None:
    """When the first token was seen, if this is the only event after the beginning."""
    seen = Seen()
    member = "content_block" if kind == "content_block_start" else "delta"
    for data in (START, event(kind, index=0, **{member: value})):
        ANTHROPIC_MESSAGES.read_event(EventSplitter(10_000).feed(data)[0], seen, 7.0)
    assert seen.chunks == 2
    return seen.first_token


@pytest.mark.parametrize(("kind", "value"), OUTPUT, ids=repr)
def test_output(kind: str, value: Any) -> None:
    """Text, thinking, a tool's name and its arguments are output."""
    assert first_token(kind, value) == 7.0


@pytest.mark.parametrize(("kind", "value"), NO_OUTPUT, ids=repr)
def test_no_output(kind: str, value: Any) -> None:
    """Empty texts, signatures, citations and results of the provider's own tools are none."""
    assert first_token(kind, value) is None


def test_first_token_is_noted_once() -> None:
    """Later output does not move the first token; pings and the end are no chunks."""
    observer = start()
    for now, piece in enumerate([START, event("ping"), text("a"), text("b"), event("ping"), END]):
        observer.feed(piece, float(now))
    seen = observer.seen
    assert (seen.first_chunk, seen.first_token, seen.last_chunk, seen.chunks) == (0.0, 2.0, 5.0, 4)


@pytest.mark.parametrize(
    ("stream", "ended_well", "reasons"),
    [
        (START + text("a") + END, True, ["end_turn"]),
        (START + text("a") + END.replace(b"event: message_stop", b"event: x"), True, ["end_turn"]),  # the data tells its own type
        (START + text("a") + END[: END.index(b"event: message_stop")], False, ["end_turn"]),
        (START + text("a"), False, ["error"]),
        (START + text("a") + event("message_stop"), True, ["error"]),
        (START + text("a") + b"data: [DONE]\n\n", True, ["error"]),
        (event("ping"), False, []),
        (b"", False, []),
    ],
)
def test_only_the_end_is_the_end(stream: bytes, ended_well: bool, reasons: list[str]) -> None:
    """A stop reason alone is not the end; a reason that never came is told as `error`."""
    observer = feed(start(), [stream] if stream else [])
    assert (observer.ended_well, observer.seen.finish_reasons) == (ended_well, reasons)


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"type": "overloaded_error", "message": "Overloaded"}, "overloaded_error"),
        ({"type": "rate_limit_error", "details": {"error_code": "ramp_limit_exceeded"}}, "ramp_limit_exceeded"),
        ({"type": "rate_limit_error", "details": {"error_code": 7}}, "rate_limit_error"),
        ({"type": "api_error", "details": None}, "api_error"),
        ({"code": 402, "message": "credits"}, "402"),
        ({"message": "only words"}, "_OTHER"),
        (None, "_OTHER"),
        ("text here", "_OTHER"),
    ],
)
def test_error_names(error: object, name: str) -> None:
    """The code of the cause, else the type, never the message."""
    assert name_error(error) == name


# As Anthropic documents them.
TYPES = {
    "invalid_request_error", "authentication_error", "billing_error", "permission_error", "not_found_error", "conflict_error",
    "request_too_large", "rate_limit_error", "api_error", "timeout_error", "overloaded_error",
}  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_refusal(kind: Any) -> None:
    """Our own answers have Anthropic's form, with a type of its own list, and our id where it names causes."""
    body = json.loads(ANTHROPIC_MESSAGES.refusal(kind, 'a "quoted"\nmessage', Asked()))
    assert body["type"] == "error"
    assert body["error"]["message"] == 'a "quoted"\nmessage'
    assert body["error"]["details"] == {"error_code": kind.id}
    assert body["error"]["type"] in TYPES


@pytest.mark.parametrize(
    ("kind", "name"),
    [(NO_ROUTE, "not_found_error"), (STREAM_CUT, "api_error"), (POOL_FULL, "overloaded_error"), (IDLE_TIMEOUT, "timeout_error")],
)
def test_refusal_types(kind: Any, name: str) -> None:
    """The type is the one that goes with the status."""
    assert json.loads(ANTHROPIC_MESSAGES.refusal(kind, "x", Asked()))["error"]["type"] == name


@pytest.mark.parametrize(
    "sent", [b"", START, text("a")[:-1], text("a")[:-10], text("a")[:8], text("a").replace(b"\n", b"\r\n")[:-2], START + b"event: cont"]
)
def test_stream_error_stands_alone(sent: bytes) -> None:
    """Whatever the stream broke off within is passed over as a ping, and the error is an event of its own, for us too."""
    said = ANTHROPIC_MESSAGES.stream_error(STREAM_CUT, "broke off", Asked(), SSE)
    read: list[str] = []
    for block in (sent + said).decode().replace("\r\n", "\n").split("\n\n"):
        fields = dict(line.split(": ", 1) for line in block.splitlines() if ": " in line)  # of a name the last counts
        if fields.get("event", "ping") != "ping":
            assert json.loads(fields["data"])["type"] == fields["event"]
            read.append(fields["event"])
    assert read[-1] == "error"
    seen = Seen()
    ANTHROPIC_MESSAGES.read_event(EventSplitter(10_000).feed(sent + said)[-1], seen, 1.0)
    assert seen.error_type == "stream_cut"


def test_no_stream_error_elsewhere() -> None:
    """Only a stream of events has room for it."""
    assert ANTHROPIC_MESSAGES.stream_error(STREAM_CUT, "x", Asked(), "application/json") == b""


def test_whole_garbage_raises_value_error() -> None:
    """A whole answer that is not JSON is told by ValueError and leaves nothing half noted."""
    seen = Seen()
    with pytest.raises(ValueError):
        ANTHROPIC_MESSAGES.read_whole(b'{"model":"m"', seen)
    assert seen.model is None
    assert not seen.terminated


def test_ordinary_events_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred that differ only in their text, nearly all are counted without being parsed."""
    parsed = 0
    read = ANTHROPIC_MESSAGES.read_event

    def count(data: bytes, seen: Any, now: float) -> None:
        nonlocal parsed
        parsed += 1
        read(data, seen, now)

    monkeypatch.setattr(ANTHROPIC_MESSAGES, "read_event", count)
    observer = start()
    observer.feed(START, 0.0)
    for number in range(100):
        observer.feed(text(f"word {number}"), float(number))
    assert (observer.seen.chunks, parsed) == (101, 2)


@pytest.mark.parametrize(
    ("kind", "members", "is_ordinary"),
    [
        ("content_block_delta", {"delta": {"type": "text_delta", "text": "a"}}, True),
        ("content_block_delta", {"delta": {"type": "thinking_delta", "thinking": "a"}}, True),
        ("content_block_delta", {"delta": {"type": "input_json_delta", "partial_json": "a"}}, True),
        ("content_block_delta", {"delta": {"type": "signature_delta", "signature": "a"}}, False),
        ("content_block_delta", {}, False),
        ("message_delta", {"delta": {"text": "a"}}, False),
        ("content_block_start", {"content_block": {"type": "text", "text": "a"}}, False),
    ],
)
def test_outline(kind: str, members: dict[str, Any], is_ordinary: bool) -> None:
    """Deltas of output are ordinary, nothing else is."""
    data = EventSplitter(10_000).feed(event(kind, index=0, **members))[0]
    outline = ANTHROPIC_MESSAGES.outline(data)
    assert (outline is not None) == is_ordinary
    assert outline is None or b"a".join(outline) == data


PARTS = st.sampled_from(
    [
        START, START, text("a"), text("b\n\nevent: x"), text("c", 1),
        event("content_block_start", index=0, content_block={"type": "tool_use", "name": "f"}),
        event("content_block_delta", index=0, delta={"type": "input_json_delta", "partial_json": "{}"}), event("ping"), END, END[:50],
        event("message_delta", delta={"stop_reason": "max_tokens"}, usage={"output_tokens": 3, "cache_read_input_tokens": 4}),
        event("error", error={"type": "overloaded_error"}), b"data: [DONE]\n\n", b": ping\n\n", b"\r\n", b"\n",
        b"event: x\n", b"\xef\xbb\xbf", b"\r",
        b"event: x\r\ndata: \xff\xf0\r\n\r\n", b"event: y\ndata: {\n\n", b"event: z\ndata: }\nid: 4\n\n", b'data: {"type":"\\ud800"}\n\n',
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=12), st.data())
@settings(max_examples=300)
def test_every_cut_is_seen_alike(parts: list[bytes], data: st.DataObject) -> None:
    """However a stream is cut, all but the times is the same."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = describe(feed(start(), [stream]))
    assert describe(feed(start(), pieces)) == whole
    assert describe(feed(start(), [bytes([byte]) for byte in stream])) == whole
    assert describe(feed(start(), parts)) == whole


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
    | st.sampled_from(["message_start", "content_block_delta", "message_delta", "message_stop", "error", "tool_use", "end_turn"]),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["type", "message", "delta", "content_block", "index", "text", "thinking", "partial_json", "name", "data", "content", "usage",
             "input_tokens", "output_tokens", "cache_read_input_tokens", "cache_creation_input_tokens", "cache_creation", "service_tier",
             "ephemeral_1h_input_tokens", "output_tokens_details", "thinking_tokens", "error", "details", "error_code", "model", "id",
             "stop_reason", "cost", "is_byok", "cost_details"]
        ), inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(st.lists(JSON_VALUES | st.binary(max_size=40), max_size=6), st.sampled_from([SSE, "application/json"]))
@settings(max_examples=500)
def test_nothing_makes_it_raise(values: list[Any], media_type: str) -> None:
    """No JSON of any shape and no bytes make an observer raise, and what it says can be encoded."""
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    pieces = [b"event: x\ndata: " + each + b"\n\n" for each in texts] if media_type == SSE else texts
    observer = feed(start(media_type), pieces)
    json.dumps(describe(observer), ensure_ascii=False).encode()
    assert observer.seen.usage is None or min(observer.seen.usage) >= 0


HOSTILE = [b'{"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"error":' * 50_000, b"9" * 10_000, b'{"id":1e999}']


@pytest.mark.parametrize("data", HOSTILE, ids=lambda data: data[:9].decode())
@pytest.mark.parametrize("media_type", [SSE, "application/json"])
def test_hostile_json(data: bytes, media_type: str) -> None:
    """Deep nesting and huge numbers are survived."""
    feed(start(media_type), [b"event: x\ndata: " + data + b"\n\n" if media_type == SSE else data])


def test_memory_is_bounded() -> None:
    """A hundred thousand events, of blocks without end and of texts, leave nothing behind."""
    observer = feed(start(), [START])
    pieces = [text("x" * 100, index) for index in range(100)]
    observer.feed(pieces[0], 0.0)
    tracemalloc.start()
    for number in range(100_000):
        observer.feed(pieces[number % 100], float(number))
    kept, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert peak < 64 * 1024, kept
    assert observer.seen.chunks == 100_002


# What may follow an ordinary delta: the like of it, and whatever almost is.
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', "\\", '\\"', 'a"},"usage":{"output_tokens":7},"x":{"y":"', "\n", "\r", "", "é", "\u2028", '"text":"x', "\x00"]),
)
KINDS = st.sampled_from(["content_block_delta"] * 5 + ["content_block_start", "message_delta", "message_stop", "ping", "error"])
MEMBERS = st.sampled_from(["text", "text", "thinking", "partial_json", "signature"])


@st.composite
def nearly_alike(draw: st.DrawFn) -> bytes:
    """Return an event that is an ordinary delta, or differs from it in a place that matters or not."""
    kind = draw(KINDS)
    members: dict[str, Any] = {"type": kind, "index": draw(st.sampled_from([0, 0, 1])), "delta": {draw(MEMBERS): draw(TEXTS)}}
    if draw(st.integers(0, 9)) == 0:
        members |= draw(
            st.sampled_from([{"usage": {"output_tokens": 2}}, {"error": {"type": "x"}}, {"delta": {"stop_reason": "end_turn"}}])
        )
    data = json.dumps(members, ensure_ascii=draw(st.booleans()), separators=draw(st.sampled_from([(",", ":"), (", ", ": ")]))).encode()
    if draw(st.integers(0, 14)) == 0:
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from([b"\\", b'"', b"\n", b"\r", b"\xff"])) + data[at:]
    return b"event: %b\ndata: %b%b}\n\n" % (kind.encode(), data[:-1], b" " * draw(st.sampled_from([0, 0, 0, 3])))


@given(st.lists(nearly_alike(), max_size=14), st.booleans())
@settings(max_examples=600)
def test_what_is_learned_changes_nothing(events: list[bytes], together: bool) -> None:
    """An event that is counted unread would have said nothing new: what is seen is the same as if each had been parsed."""
    quick, patient = start(), start()
    patient._lessons = 0  # type: ignore[attr-defined]  # it never learns
    pieces = [START, b"".join(events)] if together else [START, *events]
    assert tell(feed(quick, pieces).seen) == tell(feed(patient, pieces).seen)
    assert quick.ended_well == patient.ended_well


def part(kind: str, **counts: int) -> dict[str, Any]:
    """One of a usage's iterations."""
    return {"type": kind, "input_tokens": 0, "output_tokens": 0} | counts


@pytest.mark.parametrize(
    ("iterations", "usage", "kept", "unpriced"),
    [
        ([part("message", input_tokens=5, output_tokens=9)], Usage(5, 0, 0, 9, 0), 0, None),
        ([part("compaction", input_tokens=100, output_tokens=20), part("message")], Usage(105, 0, 0, 29, 0), 0, None),
        ([part("compaction", cache_read_input_tokens=7), part("compaction", output_tokens=1)], Usage(5, 7, 0, 10, 0), 0, None),
        ([part("compaction") | {"cache_creation": {"ephemeral_1h_input_tokens": 3}}], Usage(5, 0, 3, 9, 0), 3, None),
        ([part("advisor_message", input_tokens=50, output_tokens=4)], Usage(55, 0, 0, 13, 0), 0, "several_models"),
        ([None, 7, {"type": ["compaction"]}, {"type": "compaction", "input_tokens": "x"}], Usage(5, 0, 0, 9, 0), 0, None),
        ("compaction", Usage(5, 0, 0, 9, 0), 0, None),
    ],
)
def test_what_is_billed_beside_the_message_counts(iterations: Any, usage: Usage, kept: int, unpriced: str | None) -> None:
    """A compaction's tokens are not among the message's own; nor are an advisor's, who is another model."""
    delta = event("message_delta", delta={"stop_reason": "end_turn"}, usage={"output_tokens": 9, "iterations": iterations})
    streamed = feed(
        start(), [START, text("a"), delta.replace(b'"output_tokens": 9', b'"output_tokens": 3'), delta, event("message_stop")]
    ).seen
    whole = Seen()
    body = {"id": "i", "model": "m", "usage": {"input_tokens": 5, "output_tokens": 9, "iterations": iterations}}
    ANTHROPIC_MESSAGES.read_whole(json.dumps(body).encode(), whole)
    for seen in (streamed, whole):
        assert (seen.usage, seen.cache_write_1h, seen.unpriced) == (usage, kept, unpriced)
