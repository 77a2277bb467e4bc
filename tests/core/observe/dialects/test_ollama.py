"""Ollama's own form: usage, answers of our own, and streams cut anywhere."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Limits
from sidecar.core.observe.contract import Observer
from sidecar.core.observe.dialects import OLLAMA_CHAT, OLLAMA_EMBED, OLLAMA_GENERATE
from sidecar.core.observe.dialects.ollama import read_usage
from sidecar.core.observe.ndjson import LineSplitter
from sidecar.core.observe.observer import observe
from sidecar.errors import ERRORS, STREAM_CUT
from sidecar.exchange import Asked, Seen

NDJSON = "application/x-ndjson"
STREAMED = [OLLAMA_CHAT, OLLAMA_GENERATE]


def start(dialect: Any, media_type: str = NDJSON, limits: Limits | None = None) -> Observer:
    """An observer of a successful answer."""
    return observe(
        dialect, status=200, media_type=media_type, content_encoding="", limits=limits or Limits(), gap_edges=(0.5, 1.0)
    )  # fmt: skip


@pytest.mark.parametrize(
    ("prompt", "made", "has_output", "usage"),
    [
        (26, 9, True, (26, 0, 0, 9, 0)),
        (26, 9, False, (26, 0, 0, 9, 0)),
        (26, None, False, (26, 0, 0, 0, 0)),
        (26, None, True, None),
        (26, "9", False, None),
        (None, 9, True, None),
        (-1, 9, True, None),
        (True, 9, True, None),
        (None, None, False, None),
    ],
)
def test_usage(prompt: object, made: object, has_output: bool, usage: tuple[int, ...] | None) -> None:
    """A count that is left out is zero only where it can be nothing else."""
    assert read_usage(prompt, made, has_output=has_output) == usage


@pytest.mark.parametrize("dialect", [*STREAMED, OLLAMA_EMBED], ids=lambda dialect: dialect.name)
@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_refusal(kind: Any, dialect: Any) -> None:
    """Our own answers have the one member that Ollama's clients read, with the error's id in it."""
    assert json.loads(dialect.refusal(kind, 'a "quoted"\nmessage', Asked())) == {"error": f'{kind.id}: a "quoted"\nmessage'}


@pytest.mark.parametrize("dialect", STREAMED, ids=lambda dialect: dialect.name)
def test_stream_error(dialect: Any) -> None:
    """After whole lines ours is a line of its own, read as an error by us too; only in a stream of lines."""
    line = dialect.stream_error(STREAM_CUT, "broke\noff", Asked(), NDJSON)
    (event,) = LineSplitter(1000).feed(line)
    assert json.loads(event)["error"].startswith("stream_cut: ")
    seen = Seen()
    dialect.read_event(event, seen, 1.0)
    assert seen.error_type == "_OTHER"
    assert dialect.stream_error(STREAM_CUT, "x", Asked(), "application/json") == b""
    assert OLLAMA_EMBED.stream_error(STREAM_CUT, "x", Asked(), NDJSON) == b""


WHOLE_LINES = [
    b'{"model":"m","created_at":"t","message":{"role":"assistant","content":"\\u00e9 }{ \\" \\\\ x"},"done":false}',
    b'{"model":"m","response":"text","done":false}',
    b'{"done":true,"done_reason":"stop","prompt_eval_count":5,"eval_count":2}',
]


@pytest.mark.parametrize("line", WHOLE_LINES)
def test_stream_error_within_a_line_is_never_silent(line: bytes) -> None:
    """Wherever a line broke off, with ours after it no line of the outcome can be taken for an ordinary one."""
    error = OLLAMA_CHAT.stream_error(STREAM_CUT, "x", Asked(), NDJSON)
    for place in range(1, len(line) + 1):
        for made in (line[:place] + error).split(b"\n")[:-1]:
            with pytest.raises(ValueError):
                json.loads(made)


def describe(observer: Observer) -> tuple[object, ...]:
    """All that was seen but the times."""
    seen = observer.seen
    return (
        seen.model, seen.finish_reasons, seen.usage, seen.error_type, seen.terminated, seen.chunks, seen.choices,
        seen.first_token is None, seen.first_chunk is None, observer.ended_well, observer.skipped,
    )  # fmt: skip


LINES = st.sampled_from(
    [
        *WHOLE_LINES,
        b'{"model":"m","message":{"content":""},"done":false}',
        b'{"model":"m","message":{"content":"x"},"do',
        b'{"message":{"content":"\\ud800"}}',
        b'{"error":"x"}',
        b'{"done":true}',
        b'{"done":1}',
        b'{"done":true,"done_reason":"load"}',
        b"[]",
        b"garbage",
        b"\xff",
        b"",
    ]
)
ENDS = st.sampled_from([b"\n", b"\r\n", b""])


@given(st.lists(st.tuples(LINES, ENDS), max_size=8), st.sampled_from(STREAMED), st.data())
@settings(max_examples=300)
def test_every_cut_is_seen_alike(lines: list[tuple[bytes, bytes]], dialect: Any, data: st.DataObject) -> None:
    """However a stream is cut into pieces, the same is seen of it."""
    stream = b"".join(line + end for line, end in lines)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=6)))
    seen = []
    for pieces in ([stream], [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]):
        observer = start(dialect)
        for number, piece in enumerate(pieces):
            observer.feed(piece, float(number))
        observer.finish(9.0)
        seen.append(describe(observer))
    assert seen[1] == seen[0]


JSON_VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=8), lambda inner: st.lists(inner, max_size=3), max_leaves=4
)
MEMBERS = st.sampled_from(
    ["model", "message", "response", "thinking", "tool_calls", "done", "done_reason", "prompt_eval_count", "eval_count", "error", "image"]
)
OBJECTS = st.dictionaries(MEMBERS, JSON_VALUES | st.dictionaries(st.sampled_from(["content", "thinking", "code"]), JSON_VALUES), max_size=6)


@given(
    st.lists(OBJECTS | st.binary(max_size=40), max_size=5), st.sampled_from([*STREAMED, OLLAMA_EMBED]),
    st.sampled_from([NDJSON, "application/json"]),
)  # fmt: skip
@settings(max_examples=300)
def test_nothing_makes_it_raise(values: list[Any], dialect: Any, media_type: str) -> None:
    """Neither garbage nor any type in any place makes an observer raise."""
    observer = start(dialect, media_type)
    for value in values:
        observer.feed((value if isinstance(value, bytes) else json.dumps(value).encode()) + b"\n", 1.0)
    observer.finish(2.0)


def test_a_surprise_too_large_to_be_read_twice() -> None:
    """A last line of more than the patient way takes, of a surprising type, ends the stream without usage."""
    observer = start(OLLAMA_CHAT, limits=Limits(line=4 << 20))
    text = b"x" * (2 << 20)
    observer.feed(b'{"model":"m","message":{"content":"x"}}\n{"context":"' + text + b'","done":true,"model":"\xff"}\n', 1.0)
    observer.finish(2.0)
    assert observer.ended_well
    assert observer.seen.usage is None


def test_memory_is_bounded() -> None:
    """Ten thousand lines of one stream leave no more behind than ten."""
    observer = start(OLLAMA_CHAT)
    line = b'{"model":"m","created_at":"2026-03-02T09:15:04.118204417Z","message":{"role":"assistant","content":"x"},"done":false}\n'
    observer.feed(line, 0.0)
    tracemalloc.start()
    for number in range(10_000):
        observer.feed(line, number * 0.1)
    held, _ = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert observer.seen.chunks == 10_001
    assert held < 4096


def test_the_last_line_counts_when_the_stream_ends() -> None:
    """Without a line feed the last line is read at the end, and its time is then."""
    observer = start(OLLAMA_GENERATE)
    observer.feed(b'{"model":"m","response":"x","done":false}\n{"model":"m","done":true,"prompt_eval_count":3,"eval_count":1}', 1.0)
    assert observer.seen.chunks == 1
    assert not observer.ended_well
    observer.finish(2.0)
    assert observer.ended_well
    assert (observer.seen.chunks, observer.seen.last_chunk, observer.seen.gaps) == (2, 2.0, [0, 1, 0])
