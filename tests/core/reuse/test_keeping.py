"""What may stand in for later calls: what is whole and good, and nothing else."""

import gzip
import json
import random
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue import GAP_EDGES
from sidecar.config import Limits
from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import (
    ANTHROPIC_MESSAGES,
    DIALECTS,
    GEMINI_GENERATE,
    GEMINI_STREAM,
    OLLAMA_CHAT,
    OPAQUE,
    OPENAI_CHAT,
    OPENAI_EMBEDDINGS,
    OPENAI_RESPONSES,
)
from sidecar.core.observe.dialects.mcp import Mcp
from sidecar.core.observe.observer import is_stream, observe
from sidecar.core.reuse.keeping import GOOD_REASONS, may_keep
from sidecar.core.reuse.origins import NONE
from sidecar.core.reuse.policy import Terms
from sidecar.exchange import Seen
from tests.core.reuse.trees import HARD
from tests.filled import fill

KEPT = Terms("0" * 40, "answers", None, 300.0, 300.0, NONE, True, True, False, None, None, True)
TOOL = KEPT._replace(kind="tools", ttl_s=60.0)
JSON = b"Content-Type: application/json"
ASK_MCP = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"find"}}'


def chat(reason: Any = "stop", **message: Any) -> dict[str, Any]:
    """Return a chat's answer."""
    said = {"role": "assistant", "content": "Paris", "refusal": None, **message}
    return {"id": "c", "object": "chat.completion", "model": "gpt", "choices": [{"index": 0, "message": said, "finish_reason": reason}]}


def stream(*events: Any, name: str = "", done: bool = True) -> bytes:
    """Return a stream of events."""
    lines = [(f"event: {event['type']}\n" if name else "") + f"data: {json.dumps(event)}\n\n" for event in events]
    return "".join([*lines, "data: [DONE]\n\n" if done else ""]).encode()


def chunk(reason: Any = None, index: int = 0, **delta: Any) -> dict[str, Any]:
    """Return a chat's chunk."""
    return {"id": "c", "model": "gpt", "choices": [{"index": index, "delta": delta, "finish_reason": reason}]}


def keep(
    body: Any,
    dialect: Dialect = OPENAI_CHAT,
    media_type: str = "application/json",
    *fields: bytes,
    terms: Terms = KEPT,
    status: int = 200,
    whole: bool = True,
    coding: str = "",
    limits: Limits | None = None,
    failed: bool = False,
    change: Callable[[Seen], None] | None = None,
) -> float | None:
    """Return for how long an answer is kept, read by the observer that reads such answers."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    observer = observe(
        dialect, status=status, media_type=media_type, content_encoding=coding, limits=limits or Limits(), gap_edges=GAP_EDGES
    )
    pieces = [data[: len(data) // 2], data[len(data) // 2 :]]
    for piece in pieces:
        observer.feed(piece, 1.0)
    observer.finish(2.0)
    if change is not None:
        change(observer.seen)
    lines = [f"Content-Type: {media_type}; charset=utf-8".encode(), *([f"Content-Encoding: {coding}".encode()] if coding else []), *fields]
    return may_keep(
        terms,
        status,
        lines,
        observer.seen,
        dialect=dialect,
        streamed=is_stream(dialect, media_type),
        whole=whole,
        observer_failed=failed,
        skipped=observer.skipped,
        pieces=pieces,
    )


EVENTS = "text/event-stream"
GOOD: list[tuple[Any, Dialect, str]] = [
    (chat(), OPENAI_CHAT, "application/json"),
    (chat("length"), OPENAI_CHAT, "application/json"),
    (chat("tool_calls", tool_calls=[{"function": {"name": "f", "arguments": '{"refusal": "no"}'}}]), OPENAI_CHAT, "application/json"),
    (chat(content='{"refusal": "text that only looks so"}'), OPENAI_CHAT, "application/json"),
    (stream(chunk(role="assistant"), chunk(content="a"), chunk("stop")), OPENAI_CHAT, EVENTS),
    (stream(chunk(content="a"), chunk("stop"), chunk("length", 1)), OPENAI_CHAT, EVENTS),
    ({"data": [{"embedding": [0.1]}], "model": "e", "usage": {"prompt_tokens": 1}}, OPENAI_EMBEDDINGS, "application/json"),
    ({"id": "m", "type": "message", "stop_reason": "end_turn", "content": []}, ANTHROPIC_MESSAGES, "application/json"),
    (
        stream(
            {"type": "message_start", "message": {"id": "m", "model": "c"}},
            {"type": "content_block_delta", "delta": {"text": "a"}},
            {"type": "message_delta", "delta": {"stop_reason": "max_tokens"}},
            {"type": "message_stop"},
            name="type",
            done=False,
        ),
        ANTHROPIC_MESSAGES,
        EVENTS,
    ),
    ({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "STOP"}]}, GEMINI_GENERATE, "application/json"),
    (stream({"candidates": [{"content": {"parts": [{"text": "a"}]}, "finishReason": "MAX_TOKENS"}]}, done=False), GEMINI_STREAM, EVENTS),
    ({"message": {"content": "a"}, "done": True, "done_reason": "stop"}, OLLAMA_CHAT, "application/json"),
    ({"id": "r", "status": "completed", "output": []}, OPENAI_RESPONSES, "application/json"),
    ({"id": "r", "status": "incomplete", "incomplete_details": {"reason": "max_output_tokens"}}, OPENAI_RESPONSES, "application/json"),
]
BAD: list[tuple[str, Any, Dialect, str]] = [
    ("no_reason", chat(None), OPENAI_CHAT, "application/json"),
    ("filtered", chat("content_filter"), OPENAI_CHAT, "application/json"),
    ("unheard_of", chat("bored"), OPENAI_CHAT, "application/json"),
    ("in_prose", chat("it was the end, I think"), OPENAI_CHAT, "application/json"),
    ("refused", chat(content=None, refusal="I cannot do that."), OPENAI_CHAT, "application/json"),
    ("no_choices", {"id": "c", "choices": []}, OPENAI_CHAT, "application/json"),
    ("error", {"error": {"message": "a", "type": "b"}}, OPENAI_CHAT, "application/json"),
    ("not_json", b"<html>Please log in</html>", OPENAI_CHAT, "application/json"),
    ("half", json.dumps(chat()).encode()[:-9], OPENAI_CHAT, "application/json"),
    ("another_type", b"<html>Please log in</html>", OPENAI_CHAT, "text/html"),
    ("nothing", b"", OPENAI_CHAT, "application/json"),
    (
        "one_of_two",
        {**chat(), "choices": [*chat()["choices"], {"index": 1, "finish_reason": "content_filter"}]},
        OPENAI_CHAT,
        "application/json",
    ),
    ("cut", stream(chunk(content="a"), chunk(content="b"), done=False), OPENAI_CHAT, EVENTS),
    ("no_mark", stream(chunk(content="a"), chunk("stop"), done=False), OPENAI_CHAT, EVENTS),
    ("cut_choice", stream(chunk("stop"), chunk(index=1, content="b"), done=False), OPENAI_CHAT, EVENTS),
    ("cut_but_done", stream(chunk(content="a"), chunk(content="b")), OPENAI_CHAT, EVENTS),
    ("error_within", stream(chunk(content="a"), {"error": {"message": "a"}}, chunk("stop")), OPENAI_CHAT, EVENTS),
    ("error_at_end", stream(chunk(content="a"), {**chunk("error"), "error": {"code": 502, "message": "a"}}), OPENAI_CHAT, EVENTS),
    ("filtered_stream", stream(chunk(content="a"), chunk("content_filter")), OPENAI_CHAT, EVENTS),
    ("refused_stream", stream(chunk(refusal="I"), chunk(refusal=" cannot"), chunk("stop")), OPENAI_CHAT, EVENTS),
    ("refusal", {"type": "message", "stop_reason": "refusal"}, ANTHROPIC_MESSAGES, "application/json"),
    ("pause", {"type": "message", "stop_reason": "pause_turn"}, ANTHROPIC_MESSAGES, "application/json"),
    ("overloaded", {"type": "error", "error": {"type": "overloaded_error"}}, ANTHROPIC_MESSAGES, "application/json"),
    ("unsafe", {"candidates": [{"finishReason": "SAFETY"}]}, GEMINI_GENERATE, "application/json"),
    ("recited", {"candidates": [{"finishReason": "RECITATION"}]}, GEMINI_GENERATE, "application/json"),
    ("malformed_call", {"candidates": [{"finishReason": "MALFORMED_FUNCTION_CALL"}]}, GEMINI_GENERATE, "application/json"),
    ("blocked", {"promptFeedback": {"blockReason": "PROHIBITED_CONTENT"}}, GEMINI_GENERATE, "application/json"),
    ("loaded", {"message": {}, "done": True, "done_reason": "load"}, OLLAMA_CHAT, "application/json"),
    ("failed", {"id": "r", "status": "failed", "error": {"code": "server_error"}}, OPENAI_RESPONSES, "application/json"),
    ("queued", {"id": "r", "status": "queued"}, OPENAI_RESPONSES, "application/json"),
    (
        "filtered_response",
        {"id": "r", "status": "incomplete", "incomplete_details": {"reason": "content_filter"}},
        OPENAI_RESPONSES,
        "application/json",
    ),
    (
        "refused_response",
        {"id": "r", "status": "completed", "output": [{"type": "message", "content": [{"type": "refusal", "refusal": "No."}]}]},
        OPENAI_RESPONSES,
        "application/json",
    ),
    ("unknown_stream", b"data: a\n\n", OPAQUE, EVENTS),
]


@pytest.mark.parametrize(("body", "dialect", "media_type"), GOOD)
def test_good_answers_are_kept(body: Any, dialect: Dialect, media_type: str) -> None:
    """For as long as the terms say, also where they are compressed."""
    assert keep(body, dialect, media_type) == 300.0
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert keep(gzip.compress(data), dialect, media_type, coding="gzip") == 300.0


@pytest.mark.parametrize(("body", "dialect", "media_type"), [case[1:] for case in BAD], ids=[case[0] for case in BAD])
def test_bad_answers_are_not_kept(body: Any, dialect: Dialect, media_type: str) -> None:
    """What failed, was refused, was filtered or never came to its end; compressed or not."""
    assert keep(body, dialect, media_type) is None
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    assert keep(gzip.compress(data), dialect, media_type, coding="gzip") is None


def fail(seen: Seen) -> None:
    """Note an error."""
    seen.error_type = "server_error"


def replay(seen: Seen) -> None:
    """Note that the provider repeated itself."""
    seen.replayed = True


def resume(seen: Seen) -> None:
    """Note that the rest can be asked for."""
    seen.resumable = True


@pytest.mark.parametrize(
    "circumstances",
    [
        {"whole": False},
        {"failed": True},
        {"limits": Limits(observed=10)},
        {"coding": "br"},
        {"coding": "gzip"},
        {"change": fail},
        {"change": replay},
        {"change": resume},
        {"terms": KEPT._replace(stores=False)},
        {"terms": KEPT._replace(key="")},
        {"terms": KEPT._replace(ttl_s=0.0)},
        *({"status": status} for status in (201, 203, 204, 206, 301, 304, 400, 401, 404, 429, 500, 503, 529)),
    ],
)
@pytest.mark.parametrize(("body", "dialect", "media_type"), GOOD)
def test_good_bodies_in_bad_circumstances_are_not_kept(body: Any, dialect: Dialect, media_type: str, circumstances: dict[str, Any]) -> None:
    """Cut off, not read to the end, not with 200, an error beside it, repeated by the provider, or not wanted."""
    if "limits" in circumstances and media_type == EVENTS:
        circumstances = {"limits": Limits(line=10)}
    assert keep(body, dialect, media_type, **circumstances) is None


REASONS = st.sampled_from([*sorted(GOOD_REASONS), "STOP", "MAX_TOKENS"])
BAD_REASONS = st.text(max_size=12).filter(lambda reason: reason.lower() not in GOOD_REASONS)
SPEAKING = [dialect for dialect in DIALECTS if dialect.operation != "embeddings"]
# Each by itself is enough.
FLAWS = [
    "status",
    "cut",
    "failed",
    "skipped",
    "error",
    "not_terminated",
    "no_mark",
    "replayed",
    "resumable",
    "no_reason",
    "bad_reason",
    "refusal",
    "unwanted",
]


@HARD
@given(
    st.sampled_from(SPEAKING),
    st.booleans(),
    st.sets(st.sampled_from(FLAWS), max_size=2),
    st.lists(REASONS, min_size=1, max_size=3),
    BAD_REASONS,
    st.sampled_from([201, 206, 304, 400, 429, 500]),
    st.lists(st.binary(max_size=8), max_size=3),
    st.randoms(use_true_random=False),
)
def test_only_what_is_whole_and_good_is_kept(
    dialect: Dialect,
    streamed: bool,
    flaws: set[str],
    reasons: list[str],
    bad_reason: str,
    status: int,
    pieces: list[bytes],
    chance: random.Random,
) -> None:
    """Any one flaw, or two, and an answer is not kept; without any it is."""
    found = [] if "no_reason" in flaws else list(reasons)
    if "bad_reason" in flaws:
        found.insert(chance.randrange(len(found) + 1), bad_reason)
    seen = fill(
        Seen(),
        finish_reasons=found,
        error_type="" if "error" in flaws else None,
        terminated="not_terminated" not in flaws,
        answered="no_mark" not in flaws,
        replayed="replayed" in flaws,
        resumable="resumable" in flaws,
    )
    ttl_s = may_keep(
        KEPT._replace(stores="unwanted" not in flaws),
        status if "status" in flaws else 200,
        (JSON,),
        seen,
        dialect=dialect,
        streamed=streamed,
        whole="cut" not in flaws,
        observer_failed="failed" in flaws,
        skipped="corrupt" if "skipped" in flaws else None,
        pieces=[*pieces, b',"refus', b'al": "No'] if "refusal" in flaws else pieces,
    )
    if not streamed or dialect.operation == "generate_content":
        flaws = flaws - {"no_mark"}
    assert ttl_s == (None if flaws else 300.0)


@HARD
@given(st.data())
def test_no_cut_of_a_good_answer_is_kept(data: st.DataObject) -> None:
    """Wherever it breaks off, and even if the transport says that it is whole: until its own last mark was seen, nothing is kept."""
    body, dialect, media_type = data.draw(st.sampled_from(GOOD))
    text = body if isinstance(body, bytes) else json.dumps(body).encode()
    cut = text[: data.draw(st.integers(0, len(text) - 1))]
    assert keep(cut, dialect, media_type, whole=False) is None
    assert keep(cut, dialect, media_type) is None or text[len(cut) :].strip() == b""


@pytest.mark.parametrize(
    ("fields", "answer", "of_a_stream", "of_a_tool"),
    [
        ([], 300.0, 300.0, 60.0),
        ([b"Cache-Control: no-store"], None, 300.0, None),
        ([b"Cache-Control: no-cache, must-revalidate"], 300.0, 300.0, None),
        ([b"Cache-Control: private, max-age=0"], 300.0, 300.0, None),
        ([b"Cache-Control: private"], 300.0, 300.0, 60.0),
        ([b"Cache-Control: max-age=10", b"Age: 4"], 300.0, 300.0, 6.0),
        ([b"Cache-Control: max-age=1000"], 300.0, 300.0, 60.0),
        ([b"Vary: Accept-Encoding, Origin"], 300.0, 300.0, 60.0),
        ([b"Vary: *"], None, None, None),
        ([b"vary: Accept, USER-AGENT"], None, None, None),
        ([b"Set-Cookie: a=b"], 300.0, 300.0, 60.0),
    ],
)
def test_what_servers_say(fields: list[bytes], answer: float | None, of_a_stream: float | None, of_a_tool: float | None) -> None:
    """Of a model's answer `no-store` counts, of a stream nothing, of a tool's answer everything; what it varies by always does."""
    assert keep(chat(), OPENAI_CHAT, "application/json", *fields) == answer
    assert keep(stream(chunk(content="a"), chunk("stop")), OPENAI_CHAT, EVENTS, *fields) == of_a_stream
    assert keep(b"sunny", OPAQUE, "text/plain", *fields, terms=TOOL) == of_a_tool


def test_model_lists_are_json() -> None:
    """A page to log in is none."""
    terms = KEPT._replace(kind="models", ttl_s=600.0)
    assert keep({"data": []}, OPAQUE, "application/json", terms=terms) == 600.0
    assert keep(b"<html>", OPAQUE, "text/html", terms=terms) is None


def keep_mcp(body: bytes, media_type: str, coding: str = "") -> float | None:
    """Return for how long the answer to a message is kept."""
    dialect = Mcp()
    dialect.ask(ASK_MCP, "/")
    return keep(body, dialect, media_type, terms=TOOL, coding=coding)


def test_messages() -> None:
    """One result, told in a way that it can be told to others."""
    result = b'{"jsonrpc":"2.0","id":1,"result":{"content":[]}}'
    events = b"data: " + result + b"\n\n"
    assert keep_mcp(result, "application/json") == keep_mcp(events, EVENTS) == 60.0
    for bad in (
        b'{"jsonrpc":"2.0","id":1,"error":{"code":-32603,"message":"a"}}',
        b'{"jsonrpc":"2.0","id":1,"result":{"isError":true}}',
        b"[]",
        b'{"jsonrpc":"2.0","method":"ping","id":1}',
    ):
        assert keep_mcp(bad, "application/json") is None
        assert keep_mcp(b"data: " + bad + b"\n\n", EVENTS) is None
    assert keep_mcp(b"id: 1\n" + events, EVENTS) is None
    assert keep_mcp(b"", EVENTS) is None
    assert keep_mcp(gzip.compress(result), "application/json", "gzip") is None
