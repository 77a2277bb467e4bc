"""Gemini's dialects: streams in both forms, errors, and answers of our own."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.array import ArraySplitter
from sidecar.core.observe.contract import Dialect, Observer
from sidecar.core.observe.dialects import GEMINI_EMBED, GEMINI_GENERATE, GEMINI_STREAM
from sidecar.core.observe.observer import observe
from sidecar.core.observe.sse import LooseEventSplitter
from sidecar.errors import ERRORS, STREAM_CUT
from sidecar.exchange import Asked, Seen, Usage
from tests.filled import tell

SSE = "text/event-stream"
JSON = "application/json"


def start(media_type: str = SSE, *, status: int = 200, dialect: Dialect = GEMINI_STREAM, limits: Limits | None = None) -> Observer:
    """An observer of an answer with this head."""
    return observe(
        dialect, status=status, media_type=media_type, content_encoding="", limits=limits or Limits(), gap_edges=(0.01, 0.1, 1.0)
    )  # fmt: skip


def element(text: str = "", reason: str | None = None, index: int = 0, **members: Any) -> bytes:
    """One answer of a stream."""
    candidate: dict[str, Any] = {"content": {"parts": [{"text": text}], "role": "model"}, "index": index}
    if reason is not None:
        candidate["finishReason"] = reason
    return json.dumps({"candidates": [candidate], "modelVersion": "m", "responseId": "i", **members}, separators=(",", ": ")).encode()


def event(text: str = "", reason: str | None = None, index: int = 0, **members: Any) -> bytes:
    """The same as an event."""
    return b"data: " + element(text, reason, index, **members) + b"\r\n\r\n"


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
        seen.model, seen.response_id, seen.finish_reasons, seen.usage, seen.error_type, seen.terminated, seen.chunks, seen.choices,
        seen.first_token is None, seen.first_chunk is None, observer.ended_well, observer.skipped,
    )  # fmt: skip


def count(**counts: int) -> dict[str, int]:
    """Usage metadata, by the first word of each member."""
    return {f"{name}TokenCount": value for name, value in counts.items()}


def test_last_usage_wins() -> None:
    """Running totals are not added up, and what tells none takes nothing back."""
    observer = feed(start(), [
        event("a", usageMetadata=count(prompt=5, candidates=1)), event("b", usageMetadata=count(prompt=5, candidates=3, thoughts=2)),
        event("c", usageMetadata={"trafficType": "ON_DEMAND"}), event("d", "STOP"),
    ])  # fmt: skip
    assert observer.seen.usage == Usage(5, 0, 0, 3, 2)


def test_usage_is_there_before_the_end() -> None:
    """A caller that leaves has what was told until then."""
    observer = start()
    observer.feed(event("a", usageMetadata=count(prompt=5, candidates=1)), 1.0)
    observer.finish(1.0)
    assert observer.seen.usage == Usage(5, 0, 0, 1, 0)


def test_times() -> None:
    """The first token is the first part with output; an error is no chunk."""
    observer = start()
    for now, piece in enumerate([event(), event("a"), b'{"error": {"code": 500, "status": "INTERNAL"}}\n']):
        observer.feed(piece, float(now))
    seen = observer.seen
    assert (seen.first_chunk, seen.first_token, seen.last_chunk, seen.chunks) == (0.0, 1.0, 1.0, 2)
    assert seen.error_type == "INTERNAL"


def test_an_error_alone_has_no_first_chunk() -> None:
    """Where an error answer comes in place of a stream, nothing of a stream is timed."""
    seen = feed(start(JSON, status=429), [b'[{"error": {"code": 429, "status": "RESOURCE_EXHAUSTED"}}\n]']).seen
    assert (seen.error_type, seen.chunks, seen.first_chunk) == ("RESOURCE_EXHAUSTED", 0, None)


@pytest.mark.parametrize(
    ("body", "name"), [(b"overloaded", "503"), (b"[]", "503"), (b'{"error": {"status": "UNAVAILABLE"}}', "UNAVAILABLE")]
)
def test_error_names(body: bytes, name: str) -> None:
    """The status names the error until the body does, in either dialect."""
    assert feed(start(JSON, status=503), [body]).seen.error_type == name
    assert feed(start(JSON, status=503, dialect=GEMINI_GENERATE), [body]).seen.error_type == name


def test_an_array_ends_where_it_is_closed() -> None:
    """Neither the last element's end nor the end of the bytes is the array's."""
    observer = start(JSON)
    endings = []
    for piece in (b"[" + element("a"), b",\r\n" + element("b"), b"\n]"):
        observer.feed(piece, 1.0)
        endings.append(observer.ended_well)
    assert endings == [False, False, True]


@pytest.mark.parametrize("dialect", [GEMINI_GENERATE, GEMINI_EMBED])
def test_no_streams(dialect: Dialect) -> None:
    """What is not asked for as a stream is read whole, and has no place for an error of ours."""
    assert feed(start(SSE, dialect=dialect), [event("a", "STOP")]).seen.chunks == 0
    assert dialect.stream_error(STREAM_CUT, "x", Asked(), JSON) == b""
    assert dialect.outline(b"[") is None


def vertex(text: str, **members: Any) -> bytes:
    """An event of Vertex AI's, which has counts only at the end."""
    return event(text, usageMetadata={"trafficType": "ON_DEMAND"}, **members)


def test_ordinary_events_are_learned(monkeypatch: pytest.MonkeyPatch) -> None:
    """Of a hundred that differ only in their text, nearly all are counted without being parsed, in both forms."""
    parsed = 0
    read = GEMINI_STREAM.read_event

    def note(data: bytes, seen: Any, now: float) -> None:
        nonlocal parsed
        parsed += 1
        read(data, seen, now)

    monkeypatch.setattr(GEMINI_STREAM, "read_event", note)
    events = feed(start(), [vertex(f"word {number}") for number in range(100)])
    assert (events.seen.chunks, parsed) == (100, 2)
    elements = feed(start(JSON), [b",\r\n" + vertex(f"word {number}")[6:-4] for number in range(100)])
    assert (elements.seen.chunks, parsed) == (100, 3)


@pytest.mark.parametrize(
    "extraordinary",
    [
        element("a", usageMetadata=count(prompt=5)), element("a", "STOP"), element("a", error={}), element("a", promptFeedback={}),
        element('"'), b"{}", b"[", b'{"candidates": [{"content": {"parts": [{"text": "a"},{"text": "b"}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"text": "a"}]}},{}]}', b'{"candidates": [{"content": {"parts": [{"text": 1}]}}]}',
        b'{"candidates": [{"content": {"parts": [{"functionCall": {"name": "a"}}]}}]}', b'{"candidates": [{"content": {}}]}',
    ],
)  # fmt: skip
def test_what_brings_more_than_text_is_not_ordinary(extraordinary: bytes) -> None:
    """Counts above all: an event like it would take back those of an event between."""
    assert GEMINI_STREAM.outline(extraordinary) is None


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
@pytest.mark.parametrize("dialect", [GEMINI_GENERATE, GEMINI_STREAM, GEMINI_EMBED], ids=lambda dialect: dialect.name)
def test_refusal(kind: Any, dialect: Dialect) -> None:
    """Our own answers have the form that Google's clients read: they look for `error` first."""
    body = dialect.refusal(kind, 'a "quoted"\nmessage', Asked())
    assert body.startswith(b'{"error":')
    error = json.loads(body)["error"]
    assert (error["code"], error["message"], error["details"][0]["reason"]) == (kind.status, 'a "quoted"\nmessage', kind.id)
    assert error["status"].isupper()


@pytest.mark.parametrize("sent", [b"", b'data: {"candidates": [{"cont', event("a"), event("a")[:-2], b'{"error": {'])
def test_stream_error_stands_alone(sent: bytes) -> None:
    """Whatever the stream broke off within, the error is read by us too, or what it broke off in is no JSON any more."""
    splitter = LooseEventSplitter(10_000)
    splitter.feed(sent)
    events = splitter.feed(GEMINI_STREAM.stream_error(STREAM_CUT, "broke off", Asked(), SSE)) + splitter.flush()
    if sent == b'{"error": {':
        assert events == []
        return
    seen = Seen()
    GEMINI_STREAM.read_event(events[-1], seen, 1.0)
    assert (seen.error_type, seen.chunks) == ("UNAVAILABLE", 0)


def test_stream_error_of_an_array() -> None:
    """Between elements, it makes an array of what was sent, whose last element is the error."""
    error = GEMINI_STREAM.stream_error(STREAM_CUT, "broke off", Asked(), JSON)
    elements = json.loads(b"[" + element("a") + error)
    assert elements[-1]["error"]["details"][0]["reason"] == "stream_cut"
    assert ArraySplitter(10_000).feed(b"[" + element("a") + error)[-1] == b"]"


@pytest.mark.parametrize("dialect", [GEMINI_GENERATE, GEMINI_EMBED], ids=lambda dialect: dialect.name)
def test_whole_garbage_raises_value_error(dialect: Dialect) -> None:
    """A whole answer that is not JSON is told by ValueError and leaves nothing half noted."""
    seen = Seen()
    with pytest.raises(ValueError):
        dialect.read_whole(b'{"modelVersion":"m"', seen)
    assert (seen.model, seen.terminated) == (None, False)


def test_many_candidates_are_bounded() -> None:
    """An upstream that invents candidates without end fills no memory."""
    observer = feed(start(), [event("a", index=index) for index in range(1000)])
    assert len(observer.seen.choices) == 128


@pytest.mark.parametrize("media_type", [SSE, JSON])
def test_event_beyond_the_limit(media_type: str) -> None:
    """One of 8 MiB passes unread and said so; what follows is read, in bounded memory."""
    mark = b"data: " if media_type == SSE else b"["
    stream = mark + b'{"x":"' + b"y" * (8 << 20) + b'"}' + (b"\r\n\r\n" if media_type == SSE else b",")
    pieces = [stream[position : position + 65536] for position in range(0, len(stream), 65536)]
    tracemalloc.start()
    observer = feed(start(media_type), pieces)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert (observer.skipped, observer.ended_well) == ("too_large", None)
    assert peak < 3 << 20
    observer.feed(event("a", "STOP") if media_type == SSE else element("a", "STOP"), 9.0)
    assert observer.ended_well is True


PARTS = st.sampled_from(
    [
        event(), event("a"), event("b\n\ndata: x"), event("", "STOP"), event("c", index=1), event("", "MAX_TOKENS", 1),
        event("x", usageMetadata=count(prompt=3, candidates=4)), b'data: {"error":{"status":"S"}}\n\n', b'{"error": {\r\n"code": 5}}\r\n',
        b'data: {"promptFeedback":{"blockReason":"OTHER"}}\r\n\r\n', b": ping\n\n", b"\r\n", b"\n", b"\r",
        b"data: \xff\xf0\n\n", b"data: {\n", b"data: }\r\n\r\n", b'data: {"modelVersion":"\\ud800"}\n\n', b'{"candidates"',
        b"\xef\xbb\xbf", b"[", b"]", b",", b"{", b"}", b'"',
        element("a"), element("b", "STOP"), element("c", usageMetadata=count(prompt=1, total=2)), b"\\",
    ]
)  # fmt: skip


@given(st.lists(PARTS, max_size=12), st.sampled_from([SSE, JSON]), st.data())
@settings(max_examples=400)
def test_every_cut_is_seen_alike(parts: list[bytes], media_type: str, data: st.DataObject) -> None:
    """However a stream is cut, all but the times is the same."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = describe(feed(start(media_type), [stream]))
    assert describe(feed(start(media_type), pieces)) == whole
    assert describe(feed(start(media_type), [bytes([byte]) for byte in stream])) == whole
    assert describe(feed(start(media_type), parts)) == whole


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["candidates", "index", "content", "parts", "text", "finishReason", "usageMetadata", "error", "code", "status", "modelVersion",
             "responseId", "functionCall", "inlineData", "promptTokenCount", "candidatesTokenCount", "totalTokenCount", "promptFeedback",
             "blockReason", "thoughtsTokenCount", "cachedContentTokenCount", "embeddings"]
        ), inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


@given(
    st.lists(VALUES | st.binary(max_size=40), max_size=6), st.sampled_from([GEMINI_STREAM, GEMINI_GENERATE]), st.sampled_from([SSE, JSON])
)
@settings(max_examples=500)
def test_nothing_makes_it_raise(values: list[Any], dialect: Dialect, media_type: str) -> None:
    """No JSON of any shape and no bytes make an observer raise, and what it says can be encoded."""
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    body = b"".join(b"data: " + text + b"\n\n" for text in texts) if media_type == SSE else b",".join(texts)
    observer = feed(start(media_type, dialect=dialect), [body])
    json.dumps(describe(observer), ensure_ascii=False).encode()


HOSTILE = [b'{"usageMetadata":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"error":' * 50_000, b'{"x":' + b"9" * 10_000 + b"}"]


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:9].decode())
@pytest.mark.parametrize("media_type", [SSE, JSON])
@pytest.mark.parametrize("dialect", [GEMINI_STREAM, GEMINI_GENERATE], ids=lambda dialect: dialect.name)
def test_hostile_json(text: bytes, media_type: str, dialect: Dialect) -> None:
    """Deep nesting and huge numbers are survived."""
    feed(start(media_type, dialect=dialect), [b"data: " + text + b"\n\n" if media_type == SSE else text])


TEXTS = st.text(max_size=12) | st.sampled_from(['"', "\\", '\\"', 'a"},"finishReason": "STOP', "\n", "\r", "", "é", '"text": "x'])


@st.composite
def nearly_alike(draw: st.DrawFn) -> bytes:
    """Return an event that is an ordinary one, or differs from it in a place that matters or not."""
    reason = draw(st.sampled_from([None, None, None, None, "STOP"]))
    members = draw(
        st.sampled_from([{}, {}, {}, {"usageMetadata": count(prompt=1, candidates=2)}, {"usageMetadata": {}}, {"error": {"status": "X"}}])
    )
    return event(draw(TEXTS), reason, draw(st.sampled_from([0, 0, 0, 1])), **members)


@given(st.lists(nearly_alike(), max_size=14), st.booleans())
@settings(max_examples=400)
def test_what_is_learned_changes_nothing(events: list[bytes], array: bool) -> None:
    """An event that is counted unread would have said nothing new: what is seen is the same as if each had been parsed."""
    media_type = JSON if array else SSE
    pieces = [b"," + each[6:-4] for each in events] if array else events
    quick = start(media_type)
    patient = start(media_type)
    patient._lessons = 0  # type: ignore[attr-defined]  # it never learns
    feed(quick, pieces)
    feed(patient, pieces)
    assert tell(quick.seen) == tell(patient.seen)


@pytest.mark.parametrize(
    ("members", "tier"),
    [
        ({}, None),
        ({"serviceTier": "flex"}, "flex"),
        ({"serviceTier": "SERVICE_TIER_PRIORITY"}, "priority"),
        ({"serviceTier": "unspecified"}, None),
        ({"trafficType": "ON_DEMAND"}, "standard"),
        ({"trafficType": "ON_DEMAND_FLEX"}, "flex"),
        ({"trafficType": "ON_DEMAND_PRIORITY"}, "priority"),
        ({"trafficType": "PROVISIONED_THROUGHPUT"}, "provisioned_throughput"),
        ({"trafficType": ["x"], "serviceTier": 7}, None),
        ({"trafficType": "ON_DEMAND_FLEX", "promptTokenCount": 5.0}, "flex"),
    ],
)
def test_tiers(members: dict[str, Any], tier: str | None) -> None:
    """How a call was served decides its price: Google AI and Vertex AI tell it beside the counts, each in words of its own."""
    tokens = {"promptTokenCount": 5, "candidatesTokenCount": 1} | members
    streamed = start()
    streamed.feed(event("a", usageMetadata=tokens), 1.0)
    streamed.finish(1.0)
    whole = Seen()
    GEMINI_STREAM.read_whole(json.dumps({"usageMetadata": tokens}).encode(), whole)
    assert (streamed.seen.service_tier, whole.service_tier) == (tier, tier)
    assert streamed.seen.usage == whole.usage == Usage(5, 0, 0, 1, 0)
