"""Which observer an answer gets, and what holds for all of them."""

import gzip
import json
import tracemalloc
import zlib
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT, OPENAI_COMPLETIONS, OPENAI_EMBEDDINGS
from sidecar.core.observe.observer import observe, read_media_type
from sidecar.exchange import Usage
from tests.filled import tell

EDGES = (0.01, 0.1, 1.0)
SSE = "text/event-stream"
JSON = "application/json"
END = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'


def start(
    content_type: str = SSE, *, status: int = 200, encoding: str = "", limits: Limits | None = None, dialect: Any = OPENAI_CHAT
) -> Observer:
    """An observer of an answer with this head."""
    return observe(
        dialect, status=status, media_type=read_media_type(content_type), content_encoding=encoding, limits=limits or Limits(),
        gap_edges=EDGES,
    )  # fmt: skip


def event(content: str = "", reason: str | None = None, index: int = 0, **members: Any) -> bytes:
    """One chunk as it stands on the wire."""
    choice = {"index": index, "delta": {"content": content}, "finish_reason": reason}
    return b"data: " + json.dumps({"id": "i", "model": "m", "choices": [choice], **members}).encode() + b"\n\n"


def describe(observer: Observer) -> tuple[object, ...]:
    """All that was seen but the times."""
    seen = observer.seen
    return (
        seen.model, seen.response_id, seen.service_tier, seen.finish_reasons, seen.usage, seen.cost_usd, seen.error_type, seen.terminated,
        seen.chunks, seen.choices, seen.first_token is None, seen.first_chunk is None, observer.ended_well, observer.skipped,
    )  # fmt: skip


def feed(observer: Observer, pieces: list[bytes]) -> Observer:
    """The observer, after all pieces and the end."""
    for number, piece in enumerate(pieces):
        observer.feed(piece, float(number))
    observer.finish(float(len(pieces)))
    return observer


@pytest.mark.parametrize("content_type", ["text/event-stream", "Text/Event-Stream; charset=utf-8"])
def test_streams_are_told_by_their_media_type(content_type: str) -> None:
    """The answer's own media type decides, whatever was asked for."""
    assert feed(start(content_type), [END]).ended_well is True


@pytest.mark.parametrize("content_type", ["application/json", "application/problem+json; charset=utf-8"])
def test_json_is_read_whole(content_type: str) -> None:
    """JSON is collected and read at its end; how it ended is for the transport to say."""
    observer = feed(start(content_type), [b'{"mod', b'el":', b'"m"}'])
    assert observer.seen.model == "m"
    assert observer.ended_well is None


@pytest.mark.parametrize(
    ("content_type", "dialect", "encoding", "skipped"),
    [
        ("text/html", OPENAI_CHAT, "", None),
        ("", OPENAI_CHAT, "", None),
        (SSE, OPAQUE, "", None),
        (JSON, OPAQUE, "", None),
        (SSE, OPENAI_EMBEDDINGS, "", None),
        (JSON, OPENAI_CHAT, "br", "encoding"),
        (JSON, OPENAI_CHAT, "gzip, gzip", "encoding"),
    ],
)
def test_what_is_not_read(content_type: str, dialect: Any, encoding: str, skipped: str | None) -> None:
    """Unknown forms, media types and codings pass unread, and nothing is claimed about their end."""
    observer = feed(start(content_type, dialect=dialect, encoding=encoding), [END, b'{"model":"m"}'])
    assert observer.seen.model is None
    assert observer.seen.chunks == 0
    assert observer.ended_well is None
    assert observer.skipped == skipped


def test_error_status_names_the_error_until_the_body_does() -> None:
    """Without a better name the status is the error's type."""
    assert start(JSON, status=503).seen.error_type == "503"
    assert feed(start(JSON, status=503), [b"overloaded"]).seen.error_type == "503"
    assert feed(start(JSON, status=503), [b'{"error":{"type":"server_error"}}']).seen.error_type == "server_error"
    assert feed(start("text/html", status=404, dialect=OPAQUE), [b"x"]).seen.error_type == "404"
    assert feed(start(SSE, status=500), [b"data: x\n\n"]).ended_well is None


def test_times() -> None:
    """First chunk, first token and gaps are told apart; terminator and comments are no chunks."""
    observer = start()
    for now, piece in enumerate([b": wait\n\n", event(), event("a") + event("b"), b": wait\n\n", event("", "stop"), b"data: [DONE]\n\n"]):
        observer.feed(piece, float(now))
    seen = observer.seen
    assert (seen.first_chunk, seen.first_token, seen.last_chunk, seen.chunks) == (1.0, 2.0, 4.0, 4)
    assert seen.gaps == [1, 0, 1, 1]
    assert seen.gap_sum == 3.0


def test_choice_that_begins_late_keeps_the_stream_open() -> None:
    """A choice that begins after another finished must finish too."""
    observer = start()
    observer.feed(event("a") + event("", "stop"), 1.0)
    endings = [observer.ended_well]
    for now, piece in enumerate([event("b", index=1), event("", "length", index=1)], 2):
        observer.feed(piece, float(now))
        endings.append(observer.ended_well)
    observer.finish(4.0)
    assert endings == [True, False, True]
    assert observer.seen.finish_reasons == ["stop", "length"]


def test_last_usage_wins() -> None:
    """Running totals are not added up; a null afterwards takes nothing back."""
    usages = [{"prompt_tokens": 5, "completion_tokens": n} for n in (1, 2)]
    observer = feed(start(), [event("a", usage=usages[0]), event("b", usage=usages[1]), event("", "stop", usage=None)])
    assert observer.seen.usage == Usage(5, 0, 0, 2, 0)


@pytest.mark.parametrize("step", [64 * 1024, 8 << 20])
def test_event_beyond_the_limit(step: int) -> None:
    """An event of 8 MiB passes unread and said so; what follows is read, in bounded memory."""
    stream = event("a") + b'data: {"x":"' + b"y" * (8 << 20) + b'"}\n\n'
    pieces = [stream[position : position + step] for position in range(0, len(stream), step)]
    tracemalloc.start()
    observer = feed(start(), pieces)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert observer.skipped == "too_large"
    assert peak < 3 << 20 or step > 1 << 20
    unknown = observer.ended_well
    observer.feed(END, 9.0)
    assert (unknown, observer.ended_well) == (None, True), "the unread event may have held the end"
    assert observer.seen.finish_reasons == ["stop"]


def test_whole_answer_beyond_the_limit() -> None:
    """A whole answer larger than the limit is let go at once, and said so."""
    observer = start(JSON, limits=Limits(observed=100))
    observer.feed(b'{"model":"m"' + b" " * 80, 1.0)
    observer.feed(b" " * 80, 2.0)
    observer.feed(b"}", 3.0)
    observer.finish(4.0)
    assert observer.skipped == "too_large"
    assert observer.seen.model is None


@pytest.mark.parametrize(("body", "skipped"), [(b'{"model":"m"', "not_json"), (b"", None), (b'{"model":"m"}', None)])
def test_whole_answer_that_is_not_json(body: bytes, skipped: str | None) -> None:
    """What claims to be JSON and is not is said so; an empty body claims nothing."""
    assert feed(start(JSON), [body]).skipped == skipped


def test_compressed_stream() -> None:
    """A compressed stream is read as it comes; past the limit or a fault nothing is claimed about its end."""
    data = gzip.compress(event("a") + END)
    assert describe(feed(start(encoding="gzip"), [data])) == describe(feed(start(), [event("a") + END]))
    assert feed(start(encoding="deflate"), [zlib.compress(event("a"))]).ended_well is False
    small = feed(start(encoding="gzip", limits=Limits(observed=50)), [data])
    assert (small.skipped, small.ended_well) == ("too_large", None)
    broken = feed(start(encoding="gzip"), [data[:20] + b"\0\0\0" + data[23:]])
    assert (broken.skipped, broken.ended_well) == ("corrupt", None)


PARTS = st.sampled_from(
    [
        event(), event("a"), event("b\n\ndata: x"), event("", "stop"), event("c", index=1), event("", "length", 1), b"data: [DONE]\n\n",
        event("x", usage={"prompt_tokens": 3, "completion_tokens": 4}), b'data: {"error":{"code":"e"}}\n\n', b": ping\n\n", b"\r\n", b"\n",
        b"data: \xff\xf0\n\n", b"data: {\n", b"data: }\r\n\r\n", b'data: {"model":"\\ud800"}\n\n', b'{"choices"', b"\xef\xbb\xbf", b"\r",
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


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5),
    lambda inner: st.lists(inner, max_size=3)
    | st.dictionaries(
        st.sampled_from(
            ["choices", "index", "delta", "content", "finish_reason", "usage", "error", "code", "model", "id", "tool_calls", "function",
             "prompt_tokens", "completion_tokens", "prompt_tokens_details", "cached_tokens", "x_groq", "metadata", "service_tier", "cost",
             "audio", "reasoning_details", "text", "is_byok", "cost_details"]
        ), inner, max_size=5,
    ),
    max_leaves=15,
)  # fmt: skip


DIALECTS = st.sampled_from([OPENAI_CHAT, OPENAI_COMPLETIONS])


@given(st.lists(JSON_VALUES | st.binary(max_size=40), max_size=6), DIALECTS, st.sampled_from([SSE, JSON]))
@settings(max_examples=500)
def test_nothing_makes_it_raise(values: list[Any], dialect: Any, content_type: str) -> None:
    """No JSON of any shape and no bytes make an observer raise, and what it says can be encoded."""
    texts = [value if isinstance(value, bytes) else json.dumps(value).encode() for value in values]
    body = b"".join(b"data: " + text + b"\n\n" for text in texts) if content_type == SSE else b"".join(texts)
    observer = feed(start(content_type, dialect=dialect), [body])
    json.dumps(describe(observer), ensure_ascii=False).encode()


HOSTILE = [b'{"usage":' + b"[" * 100_000 + b"]" * 100_000 + b"}", b'{"error":' * 50_000, b"9" * 10_000, b'{"id":1e999}']


@pytest.mark.parametrize("text", HOSTILE, ids=lambda text: text[:9].decode())
@pytest.mark.parametrize("content_type", [SSE, JSON])
def test_hostile_json(text: bytes, content_type: str) -> None:
    """Deep nesting and huge numbers are survived."""
    feed(start(content_type), [b"data: " + text + b"\n\n" if content_type == SSE else text])


def test_many_choices_are_bounded() -> None:
    """An upstream that invents choices without end fills no memory."""
    observer = feed(start(), [event("a", index=index) for index in range(1000)])
    assert len(observer.seen.choices) == 128


# What may follow an ordinary event: the like of it, and whatever almost is.
TEXTS = st.one_of(
    st.text(max_size=12),
    st.sampled_from(['"', "\\", '\\"', 'a"},"finish_reason":"stop', "\n", "\r", "\\n", "", "é", "\u2028", '"content":"x', "\x00"]),
)
MEMBER = st.sampled_from(["content", "reasoning_content", "reasoning", "refusal"])
REASONS = st.sampled_from([None, None, None, None, "stop", ""])


@st.composite
def nearly_alike(draw: st.DrawFn) -> bytes:
    """Return an event that is an ordinary one, or differs from it in a place that matters or not."""
    choice: dict[str, Any] = {"index": draw(st.sampled_from([0, 0, 0, 1])), "delta": {draw(MEMBER): draw(TEXTS)}}
    choice["finish_reason"] = draw(REASONS)
    chunk: dict[str, Any] = {"id": "c", "model": "m", "choices": [choice]}
    if padding := draw(st.sampled_from(["", "", "aB", "Yz01"]) | TEXTS):
        padded = {"obfuscation": padding}
        chunk = chunk | padded if draw(st.integers(0, 4)) else padded | chunk
    if draw(st.integers(0, 9)) == 0:
        chunk |= draw(st.sampled_from([{"usage": {"prompt_tokens": 1, "completion_tokens": 2}}, {"error": {"code": "x"}}, {"usage": None}]))
    separators = draw(st.sampled_from([(",", ":"), (", ", ": ")]))
    data = json.dumps(chunk, ensure_ascii=draw(st.booleans()), separators=separators).encode()
    if draw(st.integers(0, 14)) == 0:  # what is no JSON any more, at a place that hypothesis likes
        at = draw(st.integers(0, len(data)))
        data = data[:at] + draw(st.sampled_from([b"\\", b'"', b"\n", b"\r", b"\xff"])) + data[at:]
    return b"data: " + data + b"\n\n"


@given(st.lists(nearly_alike(), max_size=14), st.booleans())
@settings(max_examples=600)
def test_what_is_learned_changes_nothing(events: list[bytes], together: bool) -> None:
    """An event that is counted unread would have said nothing new: what is seen is the same as if each had been parsed."""
    pieces = [b"".join(events)] if together else events
    quick = start()
    patient = start()
    patient._lessons = 0  # type: ignore[attr-defined]  # it never learns
    for number, piece in enumerate(pieces):
        quick.feed(piece, float(number))
        patient.feed(piece, float(number))
    quick.finish(99.0)
    patient.finish(99.0)
    assert tell(quick.seen) == tell(patient.seen)
    assert quick.ended_well == patient.ended_well


@pytest.mark.parametrize("padded", [False, True])
def test_ordinary_events_are_learned(monkeypatch: pytest.MonkeyPatch, padded: bool) -> None:
    """Of a hundred that differ only in their text, and what pads it, nearly all are counted without being parsed."""
    parsed = 0
    read = OPENAI_CHAT.read_event

    def count(data: bytes, seen: Any, now: float) -> None:
        nonlocal parsed
        parsed += 1
        read(data, seen, now)

    monkeypatch.setattr(OPENAI_CHAT, "read_event", count)
    observer = start()
    for number in range(100):
        padding = {"obfuscation": "x" * (number % 7)} if padded else {}
        observer.feed(event(f"word {number}", **padding), float(number))
    assert (observer.seen.chunks, parsed) == (100, 2)  # the first may have a byte order mark before it


def test_what_only_looks_ordinary_is_parsed() -> None:
    """Another member between the same beginning and the same end is seen."""
    ordinary = b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"%b"},"finish_reason":null}]}\n\n'
    observer = start()
    for text in (b"a", b"b", b'c"},"usage":{"prompt_tokens":5,"completion_tokens":7},"z":{"w":"d'):
        observer.feed(ordinary % text, 1.0)
    assert observer.seen.usage == Usage(5, 0, 0, 7, 0)
    assert observer.seen.chunks == 3


@pytest.mark.parametrize("hidden", [0, 1])
def test_what_only_looks_padded_is_parsed(hidden: int) -> None:
    """Another member in place of the text's end, or of the padding's, is seen."""
    before, end = b'data: {"id":"i","model":"m","choices":[{"index":0,"delta":{"content":"', b'"},"finish_reason":null}],"obfuscation":"'
    usage = b'"usage":{"prompt_tokens":5,"completion_tokens":7}'
    last = [b'c"}}],' + usage + b',"z":[{"x":{"y":"d', b"x"] if hidden == 0 else [b"c", b'x",' + usage + b',"z":"d']
    observer = start()
    for text, padding in ([b"a", b"xyz"], [b"b", b"x"], last):
        observer.feed(before + text + end + padding + b'"}\n\n', 1.0)
    observer.finish(2.0)
    assert observer.seen.usage == Usage(5, 0, 0, 7, 0)
    assert observer.seen.chunks == 3


def counts(prompt: Any, completion: Any, **members: Any) -> dict[str, Any]:
    """A usage object."""
    return {"prompt_tokens": prompt, "completion_tokens": completion, **members}


TIMINGS = {"cache_n": 4, "prompt_n": 3, "predicted_n": 2}


@pytest.mark.parametrize(
    ("told", "usage", "usd"),
    [
        ([{"usage": counts(9, 1)}, {"usage": counts(9, 2)}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"usage": {}}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"usage": counts("x", 3)}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"usage": counts(9, -3)}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"usage": 7}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"usage": counts(9.0, 3)}], Usage(9, 0, 0, 3, 0), None),
        ([{"usage": counts(9.0, 3)}, {"usage": counts(9, 4, cost=0.5)}], Usage(9, 0, 0, 4, 0), 0.5),
        ([{"usage": counts(9, 2, cost=0.5)}, {"usage": counts(9, 3)}], Usage(9, 0, 0, 3, 0), None),
        ([{"usage": counts(9, 2)}, {"timings": TIMINGS}], Usage(3, 4, 0, 2, 0), None),
        ([{"timings": TIMINGS}, {"timings": {"cache_n": 4}}], Usage(3, 4, 0, 2, 0), None),
        ([{"timings": TIMINGS, "usage": counts(9, 1)}], Usage(9, 0, 0, 1, 0), None),
        ([{"usage": counts(9, 2), "x": "\ud83d"}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2, note="\ud83d")}], Usage(9, 0, 0, 2, 0), None),
        ([{"usage": counts(9, 2)}, {"choices": [{"index": 0, "usage": counts(9, 3)}]}], Usage(9, 0, 0, 3, 0), None),
        ([{"choices": [{"index": 0, "usage": counts(9, 3)}]}, {"usage": counts(9, 4)}], Usage(9, 0, 0, 4, 0), None),
    ],
)
@pytest.mark.parametrize("begun", [False, True])
def test_of_several_usages_the_last_counts(told: list[dict[str, Any]], usage: Usage, usd: float | None, begun: bool) -> None:
    """The last that can be read, whichever member tells it, at a stream's beginning and after it."""
    observer = start()
    if begun:
        observer.feed(event("a"), 1.0)
    for members in told:
        observer.feed(b"data: " + json.dumps({"model": "m", "choices": []} | members).encode() + b"\n\n", 2.0)
    observer.finish(3.0)
    assert (observer.seen.usage, observer.seen.cost_usd) == (usage, usd)
