"""Content: nowhere unless it is asked for; then only where it should be, redacted. And tokens by estimate, only where asked for."""

import asyncio
import base64
import json
from collections.abc import Callable
from pathlib import Path
from typing import Any, NamedTuple

import httpx
import pytest

from tests.edge.telemetry.receiver import Receiver, receive
from tests.rig.caller import compose, fetch
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.streams import write_chunk, write_head
from tests.rig.upstream import End, Script, Upstream

CONTENT = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.tool.definitions", "gen_ai.output.messages")
# What stays, by where it was said, and what must never come out.
WORDS = {place: f"canary-{place}-word" for place in ("system", "user", "tool", "picture", "answer", "reasoning", "argument", "refused")}
SECRETS = {
    "key": "sk-ant-api03-canary7f3a91canary7f3a91", "token": "eyJjYW5hcnkiOiJjYW5hcnkifQ.eyJjYW5hcnkiOiI3ZjNhOTEifQ.c2lnbmF0dXJl",
    "email": "canary.7f3a91@example.com", "card": "4111 1111 1111 1111", "phone": "+49 30 7391 7391", "own": "CANARY-7391",
}  # fmt: skip
ALL = " and ".join(SECRETS.values())
SETTINGS: dict[str, Any] = {
    "log": {"level": "debug"}, "timeouts": {"first_byte": "500ms", "idle": "500ms"},
    "upstreams": {}, "routes": [{"prefix": "/up/", "upstream": "up"}],
}  # fmt: skip
REDACT = {"patterns": [{"name": "own", "pattern": r"CANARY-\d+"}]}


class Form(NamedTuple):
    """How one dialect is spoken: where to, what a request is, and its answer whole and as the pieces of a stream."""

    path: str
    request: Callable[[bool], dict[str, Any]]
    whole: Callable[[], dict[str, Any]]
    events: Callable[[], list[bytes]]
    end: bytes  # of a stream
    media_type: str = "text/event-stream"
    streamed_path: str | None = None  # where that is how a stream is asked for


def split(text: str, chars: int = 7) -> list[str]:
    """Return a text in small pieces, so that no secret comes whole."""
    return [text[start : start + chars] for start in range(0, len(text), chars)]


def event(told: object) -> bytes:
    """Return a server-sent event."""
    return b"data: " + json.dumps(told).encode() + b"\n\n"


def ask_chat(stream: bool) -> dict[str, Any]:
    """Return a chat with something to hide in every place."""
    picture = {"type": "image_url", "image_url": {"url": "data:image/png;base64," + base64.b64encode(WORDS["picture"].encode()).decode()}}
    parts = [{"type": "text", "text": f"{WORDS['user']} {ALL}"}, picture]
    tool = {"type": "function", "function": {"name": "find", "description": f"{WORDS['tool']} {ALL}"}}
    messages = [{"role": "system", "content": f"{WORDS['system']} {ALL}"}, {"role": "user", "content": parts}]
    return {"model": "gpt-4o-mini", "stream": stream, "messages": messages, "tools": [tool]}


def answer_chat() -> dict[str, Any]:
    """Return a whole answer, its call's arguments escaped twice."""
    arguments = json.dumps({"to": f"{WORDS['argument']} {ALL}"}).replace("@", "\\u0040")
    call = {"id": "c1", "type": "function", "function": {"name": "send", "arguments": arguments}}
    message = {
        "role": "assistant",
        "content": f"{WORDS['answer']} {ALL}",
        "reasoning_content": f"{WORDS['reasoning']} {ALL}",
        "tool_calls": [call],
    }
    return {"model": "gpt-4o-mini", "choices": [{"index": 0, "message": message, "finish_reason": "stop"}]}


def stream_chat() -> list[bytes]:
    """Return the same in pieces, without its end."""
    message = answer_chat()["choices"][0]["message"]
    arguments = message["tool_calls"][0]["function"]["arguments"]
    deltas: list[dict[str, Any]] = [{"role": "assistant", "content": ""}]
    deltas += [{"reasoning_content": piece} for piece in split(message["reasoning_content"])]
    deltas += [{"content": piece} for piece in split(message["content"])]
    deltas += [{"tool_calls": [{"index": 0, "id": "c1", "function": {"name": "send", "arguments": ""}}]}]
    deltas += [{"tool_calls": [{"index": 0, "function": {"arguments": piece}}]} for piece in split(arguments)]
    return [event({"model": "gpt-4o-mini", "choices": [{"index": 0, "delta": delta}]}) for delta in deltas]


def ask_ollama(stream: bool) -> dict[str, Any]:
    """Return a chat of Ollama's own form."""
    asked = ask_chat(stream)
    text, picture = asked["messages"][1]["content"]
    user = {"role": "user", "content": text["text"], "images": [picture["image_url"]["url"].partition(",")[2]]}
    return asked | {"messages": [asked["messages"][0], user]}


def answer_ollama() -> dict[str, Any]:
    """Return a whole answer; a call's arguments are an object."""
    said = answer_chat()["choices"][0]["message"]
    call = {"function": {"name": "send", "arguments": json.loads(said["tool_calls"][0]["function"]["arguments"])}}
    message = {"role": "assistant", "thinking": said["reasoning_content"], "content": said["content"], "tool_calls": [call]}
    return {"model": "gpt-4o-mini", "message": message, "done": True, "done_reason": "stop"}


def stream_ollama() -> list[bytes]:
    """Return the same, a line for each piece."""
    said = answer_ollama()["message"]
    messages: list[dict[str, Any]] = [{"content": "", "thinking": piece} for piece in split(said["thinking"])]
    messages += [{"content": piece} for piece in split(said["content"])]
    messages += [{"content": "", "tool_calls": said["tool_calls"]}]
    return [json.dumps({"model": "gpt-4o-mini", "message": message, "done": False}).encode() + b"\n" for message in messages]


# One entry per dialect is all that another one needs.
FORMS = {
    "openai_chat": Form(
        "/up/v1/chat/completions", ask_chat, answer_chat, stream_chat,
        event({"model": "gpt-4o-mini", "choices": [{"index": 0, "delta": {}, "finish_reason": "stop"}]}) + b"data: [DONE]\n\n",
    ),
    "ollama_chat": Form(
        "/up/api/chat", ask_ollama, answer_ollama, stream_ollama,
        b'{"model": "gpt-4o-mini", "message": {"content": ""}, "done": true, "done_reason": "stop"}\n', "application/x-ndjson",
    ),
}  # fmt: skip
ERROR = json.dumps({"error": {"message": f"{WORDS['refused']} {ALL}", "type": "invalid", "code": None}}).encode()


def make_scripts(form: Form) -> dict[str, Script]:
    """Return an upstream's answers: whole, streamed, cut, refused, broken."""
    whole = json.dumps(form.whole()).encode()
    head = write_head("chunked", 0).replace(b"text/event-stream", form.media_type.encode())
    events = [write_chunk(one) for one in form.events()]

    def write_json(status: bytes, body: bytes) -> bytes:
        return b"HTTP/1.1 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (status, len(body), body)

    return {
        "whole": Script([write_json(b"200 OK", whole)]),
        "stream": Script([head, *events, write_chunk(form.end) + b"0\r\n\r\n"]),
        "cut": Script([head, 0, *events, 0.01], End.RST),
        "refused": Script([write_json(b"400 Bad Request", ERROR)]),
        "silent": Script([], End.HANG),
        "not json": Script([write_json(b"200 OK", whole[:-3])]),
    }


async def call_all(side: RunningSidecar, form: Form) -> list[bytes]:
    """Make every call; return the answers that were the sidecar's own."""
    own = []
    for name in ("whole", "stream", "cut", "refused", "silent", "not json"):
        is_stream = name in ("stream", "cut")
        path = form.streamed_path if is_stream and form.streamed_path else form.path
        answer = await fetch(side.url, compose(path, form.request(is_stream), name=name))
        if answer.field("x-sidecar-error"):
            own.append(bytes(answer.body) + repr(answer.headers).encode())
    garbled = compose(form.path, json.dumps(form.request(False)).encode()[:-2], name="whole")
    await fetch(side.url, garbled)
    return own


async def look(form: Form, folder: Path, receiver: Receiver, **settings: Any) -> dict[str, bytes]:
    """Make every call through a sidecar; return everything that came out of it, by where."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts = make_scripts(form)
    told = {**SETTINGS, **settings, "upstreams": {"up": {"url": upstream.url, "provider": "openai"}}}
    with run_sidecar(folder, upstream.url, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, **told) as side:
        own = await call_all(side, form)
        await asyncio.sleep(1.5)
        async with httpx.AsyncClient(base_url=side.admin_url) as client:
            out = {f"admin {path}": (await client.get(path)).content for path in ("/", "/metrics", "/-/ready", "/nowhere")}
        program = side.program
    await upstream.stop()
    assert b"canary" in b"".join(visit.body for visit in upstream.visits), "the canaries were there"
    out["log"] = program.output.encode()
    out["own answers"] = b"".join(own)
    return out


def find(out: dict[str, bytes], words: dict[str, str]) -> list[str]:
    """Return where which words are, plain or in base64."""
    return [
        f"{place}: {name}"
        for place, text in out.items()
        for name, word in words.items()
        if word.encode() in text or base64.b64encode(word.encode())[:-4] in text
    ]


def read_spans(receiver: Receiver) -> tuple[list[dict[str, str]], bytes]:
    """Return the content of each GenAI span that has some, and all spans without it."""
    content, rest = [], b""
    for span in receiver.spans:
        told = {item.key: item.value.string_value for item in span.attributes if item.key in CONTENT}
        if told:
            content.append(told)
        kept = [item for item in span.attributes if item.key not in CONTENT]
        del span.attributes[:]
        span.attributes.extend(kept)
        rest += span.SerializeToString()
    return content, rest


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_nothing_is_recorded_unless_asked_for(form: Form, tmp_path: Path) -> None:
    """No word of a prompt or an answer is in the log at debug, metrics, spans, pages or answers of our own."""
    with receive() as receiver:
        out = await look(form, tmp_path, receiver)
        out["spans"] = b"".join(request.SerializeToString() for request in receiver.requests)
        assert len(receiver.spans) > 15
    assert find(out, WORDS | SECRETS) == []
    assert b"canary" not in b"".join(out.values()).lower()


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_captured_on_spans_it_is_there_and_redacted(form: Form, tmp_path: Path) -> None:
    """In the attributes of the conventions, and nowhere else; every word is there and no secret is."""
    with receive() as receiver:
        out = await look(form, tmp_path, receiver, content={"capture": "spans", "redact": REDACT})
        content, out["spans"] = read_spans(receiver)
    assert b"canary" not in b"".join(out.values()).lower()
    said = json.dumps(content)
    assert [name for name, word in WORDS.items() if word not in said] == ["picture", "refused"]
    assert find({"content": said.encode()}, SECRETS) == []
    for kind in ("api_key", "token", "email", "card", "phone", "own"):
        assert f"[REDACTED:{kind}]" in said
    assert len(content) == 7, "each call says something, if only its request or only its answer"
    for told in content:
        for text in told.values():
            assert isinstance(json.loads(text), list)
    streamed, whole = ([told["gen_ai.output.messages"] for told in content if "gen_ai.output.messages" in told][place] for place in (1, 0))
    assert json.loads(streamed) == json.loads(whole), "a stream in pieces says what a whole answer says"


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_captured_in_a_file_it_is_there_and_redacted(form: Form, tmp_path: Path) -> None:
    """A line per call, readable by its owner only; nothing on spans."""
    file = tmp_path / "content.jsonl"
    with receive() as receiver:
        out = await look(form, tmp_path, receiver, content={"capture": "file", "file": str(file), "redact": REDACT})
        out["spans"] = b"".join(request.SerializeToString() for request in receiver.requests)
    assert b"canary" not in b"".join(out.values()).lower()
    said = file.read_text(encoding="utf-8")
    lines = [json.loads(line) for line in said.splitlines()]
    endings = ["completed", "completed", "cut", "rejected", "first_byte_timeout", "completed", "completed"]
    assert [line["ending"] for line in lines] == endings
    assert [line.get("unreadable", False) for line in lines] == [False] * 5 + [True, True], "an answer, and a request"
    assert all(len(line["trace_id"]) == 32 for line in lines)
    assert [name for name, word in WORDS.items() if word not in said] == ["picture", "refused"]
    assert find({"content": said.encode()}, SECRETS) == []
    assert file.stat().st_mode & 0o777 == 0o600
    assert b'llm_sidecar_content_dropped_total{reason="unreadable"} 2' in out["admin /metrics"]


@pytest.mark.parametrize("form", FORMS.values(), ids=FORMS)
async def test_estimates_are_made_only_where_asked_for_and_called_so(form: Form, tmp_path: Path) -> None:
    """Of streams, cut ones included; what is reported by nobody else is in no name of reported usage."""
    with receive() as receiver:
        out = await look(form, tmp_path, receiver, usage={"ask": "never", "estimate": True})
        attributes = {item.key for span in receiver.spans for item in span.attributes}
    metrics = out["admin /metrics"].decode()
    assert 'llm_sidecar_usage_records_total{source="reported"} 0' in metrics
    assert 'llm_sidecar_usage_records_total{source="estimated"} 3' in metrics, "whole, stream and cut"
    assert 'type="output",source="estimated"' in metrics
    costs = [line for line in metrics.splitlines() if line.startswith("llm_sidecar_cost_usd_total{")]
    assert costs
    assert all('source="estimated"' in line and not line.endswith(" 0") for line in costs)
    assert "gen_ai_client_token_usage_count" not in metrics
    assert "llm_sidecar.usage.estimated_output_tokens" in attributes
    assert not any(name.startswith("gen_ai.usage") for name in attributes)
