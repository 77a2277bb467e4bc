"""Canaries in WebSockets: in the query, the subprotocol, fields, messages of both sides and the reasons of their ends."""

import asyncio
import contextlib
import json
import re
from collections import Counter
from http import HTTPStatus
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve
from websockets.http11 import Request, Response

from tests.edge.telemetry.receiver import receive
from tests.rig.caller import fetch
from tests.rig.canaries import (
    dump_spans,
    explain,
    fields,
    find_leaks,
    list_endings,
    list_marks,
    look_around,
    mark,
    query,
    say,
    settle,
    until_spans,
)
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.websocket import compose_handshake


class Talk(NamedTuple):
    """How one interface speaks over a WebSocket: where to, what each side says, and what ends an answer."""

    name: str
    path: str
    asked: list[Any]
    answered: list[Any]
    done: Any
    provider: str = "openai"
    query: str = "model=gpt-realtime"
    orderly: str = "completed"  # how a session ends in which an answer followed an error


def make_openai(name: str, path: str, prefix: str) -> Talk:
    """Return realtime, or responses over a WebSocket."""
    tool = {"type": "function", "name": "find", "description": say(name, "tool")}
    session = {
        "type": "realtime",
        "model": "gpt-realtime",
        "instructions": say(name, "system"),
        "tools": [tool],
        "prompt": say(name, "meta"),
    }
    item = {"type": "message", "role": "user", "content": [{"type": "input_text", "text": say(name, "user")}]}
    asked = [
        {"type": "session.update", "event_id": mark(name, "event"), "session": session},
        {"type": "conversation.item.create", "item": item}, {"type": mark(name, "unknown"), "text": say(name, "unknown")},
        {"type": "response.create", "response": {"instructions": say(name, "system"), "metadata": {"who": say(name, "meta")}}},
    ]  # fmt: skip
    said = say(name, "refused")
    answered = [
        {"type": "session.created", "session": session | {"client_secret": {"value": say(name, "secret")}}},
        {"type": "error", "error": {"type": said, "code": f"no {said}", "message": said, "param": said, "event_id": said}},
        {"type": "response.created", "response": {"id": "r", "model": "gpt-realtime", "metadata": {"who": say(name, "extra")}}},
        {"type": f"{prefix}output_text.delta", "delta": say(name, "answer")},
        {"type": f"{prefix}output_audio_transcript.delta", "delta": say(name, "transcript")},
        {"type": "conversation.item.input_audio_transcription.completed", "transcript": say(name, "heard")},
        {"type": f"{prefix}function_call_arguments.delta", "delta": say(name, "argument")},
        {"type": mark(name, "extra"), "text": say(name, "extra")},
        {"type": "rate_limits.updated", "rate_limits": [{"name": say(name, "extra"), "limit": said, "remaining": said}]},
    ]  # fmt: skip
    usage = {"input_tokens": 10, "output_tokens": 10, "note": say(name, "extra")}
    output = [{"type": "message", "content": [{"type": "output_text", "text": say(name, "answer")}]}]
    response = {"id": "r", "status": "completed", "output": output, "usage": usage, "service_tier": said, "status_details": {"error": said}}
    return Talk(name, path, asked, answered, {"type": "response.completed" if prefix else "response.done", "response": response})


def make_live() -> Talk:
    """Return Gemini Live."""
    name = "live"
    setup = {
        "model": "models/gemini-2.0-flash-live", "systemInstruction": {"parts": [{"text": say(name, "system")}]},
        "tools": [{"functionDeclarations": [{"name": "find", "description": say(name, "tool")}]}],
        "sessionResumption": {"handle": say(name, "meta")},
    }  # fmt: skip
    turn = {"role": "user", "parts": [{"text": say(name, "user")}]}
    asked = [
        {"setup": setup}, {"toolResponse": {"functionResponses": [{"response": {"result": say(name, "result")}}]}},
        {"unknown": say(name, "unknown")}, {"clientContent": {"turns": [turn], "turnComplete": True}},
    ]  # fmt: skip
    parts = [{"text": say(name, "reasoning"), "thought": True}, {"text": say(name, "answer")}]
    answered = [
        {"setupComplete": {"sessionId": say(name, "extra")}}, {"sessionResumptionUpdate": {"newHandle": say(name, "secret")}},
        {"error": {"code": 400, "message": say(name, "refused"), "status": say(name, "refused")}},
        {"serverContent": {"modelTurn": {"parts": parts}, "outputTranscription": {"text": say(name, "transcript")}}},
        {"toolCall": {"functionCalls": [{"name": "send", "args": {"to": say(name, "argument")}}]}},
        {mark(name, "extra"): say(name, "extra"), "goAway": {"timeLeft": say(name, "extra")}},
    ]  # fmt: skip
    counts = {"promptTokenCount": 10, "responseTokenCount": 10, "promptTokensDetails": [{"modality": say(name, "extra"), "tokenCount": 1}]}
    path = "/ws/google.ai.generativelanguage.v1beta.GenerativeService.BidiGenerateContent"
    return Talk(
        name, path, asked, answered, {"serverContent": {"turnComplete": True}, "usageMetadata": counts}, "gcp.gemini", "", "in_band_error"
    )


TALKS: Final = {
    talk.name: talk
    for talk in (make_openai("realtime", "/v1/realtime", "response."), make_openai("responses", "/v1/responses", "response."), make_live())
}
# How each kind of session ends.
KINDS: Final = {
    "orderly": "completed", "closed": "in_band_error", "broken": "cut", "gone": "client_gone", "rejected": "rejected",
    "garbage": "completed", "unfitting": "malformed",
}  # fmt: skip


class Server:
    """The provider's side. `heard`: all that it was sent."""

    def __init__(self) -> None:
        self.heard: list[str] = []

    async def talk(self, server: ServerConnection) -> None:
        """Speak as the query asks for."""
        assert server.request is not None
        _, name, kind = re.split(r".*session=(\w+)-(\w+)", server.request.path)[:3]
        talk = TALKS[name]
        answered = [json.dumps(each) for each in talk.answered]
        if kind == "garbage":
            answered = [each[:-2] for each in answered] + [say(name, "answer")]
        with contextlib.suppress(websockets.ConnectionClosed):
            for _ in talk.asked:
                self.heard.append(str(await server.recv()))
            for each in answered:
                await server.send(each)
            if kind == "garbage":
                await server.send(say(name, "answer").encode())
            if kind == "orderly":
                await server.send(json.dumps(talk.done))
            if kind == "closed":
                await server.close(1011, mark(name, "reason"))
            elif kind == "broken":
                server.transport.abort()
            else:
                await server.recv()
        self.heard.append(server.close_reason or "")

    def meet(self, server: ServerConnection, request: Request) -> Response | None:
        """Note the handshake, and refuse it where the query asks for that."""
        self.heard.append(request.path + repr(list(request.headers.raw_items())))
        name = next(name for name in TALKS if f"session={name}-" in request.path)
        if "-rejected" in request.path:
            error = {"error": {"message": say(name, "refused"), "type": say(name, "refused"), "code": say(name, "refused")}}
            return server.respond(HTTPStatus.UNAUTHORIZED, json.dumps(error))
        return None

    def spoil(self, server: ServerConnection, request: Request, response: Response) -> None:
        """Put canaries into the answer to the handshake, or make it one that does not fit."""
        name = next(name for name in TALKS if f"session={name}-" in request.path)
        response.headers["x-unknown"] = say(name, "answer_field")
        response.headers["x-ratelimit-remaining-requests"] = say(name, "answer_field")
        if "-unfitting" in request.path:
            del response.headers["Sec-WebSocket-Accept"]
            response.headers["Sec-WebSocket-Accept"] = mark(name, "accept")


async def visit(side: RunningSidecar, talk: Talk, kind: str) -> str:
    """Have one session; return all that the client got."""
    got = ""
    target = f"/{talk.name}{talk.path}{query(talk.name, f'session={talk.name}-{kind}&{talk.query}')}"
    protocols: Any = ["realtime", f"openai-insecure-api-key.{mark(talk.name, 'subprotocol')}"]
    given = {**dict(fields(talk.name)), "Origin": f"https://{mark(talk.name, 'origin')}.example"}
    try:
        async with connect(
            side.url.replace("http", "ws") + target, subprotocols=protocols, additional_headers=given, user_agent_header=None
        ) as client:
            assert client.response is not None
            got += repr(list(client.response.headers.raw_items()))
            for each in talk.asked:
                await client.send(json.dumps(each) if kind != "garbage" else json.dumps(each)[:-2])
            for _ in range(len(talk.answered) + (kind == "orderly") + 2 * (kind == "garbage")):
                got += str(await client.recv())
            if kind == "gone":
                client.transport.abort()
            elif kind in ("orderly", "garbage"):
                await client.close(1000, mark(talk.name, "client_reason"))
            await client.recv()
    except websockets.ConnectionClosed as end:
        got += str(end)
    except websockets.InvalidStatus as refusal:
        got += repr(list(refusal.response.headers.raw_items())) + str(refusal.response.body)
    return got


@pytest.mark.parametrize("capture", ["off", "spans", "file"])
async def test_nothing_that_is_said_in_a_session_comes_out(capture: str, tmp_path: Path) -> None:
    """In no log, metric, span, page or answer of our own; nor is it content that would be captured."""
    server = Server()
    file = tmp_path / "content.jsonl"
    content = {"capture": capture, **({"file": str(file)} if capture == "file" else {})}
    async with serve(
        server.talk,
        "127.0.0.1",
        0,
        subprotocols=["realtime"],
        process_request=server.meet,
        process_response=server.spoil,  # type: ignore[list-item]
    ) as listening:
        url = f"http://127.0.0.1:{listening.sockets[0].getsockname()[1]}"
        told = settle({talk.name: (url, talk.provider) for talk in TALKS.values()}, {"content": content})
        told["routes"] += [{"prefix": "/shut/", "upstream": "realtime", "websocket": False}, {"prefix": "/more/", "upstream": "realtime"}]
        with receive() as receiver:
            environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
            with run_sidecar(tmp_path, url, environ, **told) as side:
                got = await asyncio.gather(*(visit(side, talk, kind) for talk in TALKS.values() for kind in KINDS))
                target = f"v1/realtime{query('realtime')}"
                handshakes = (
                    compose_handshake(f"/shut/{target}", fields=fields("realtime")),
                    compose_handshake(f"/more/{target}", fields=fields("realtime"), without="Sec-WebSocket-Key"),
                )
                shut = [await fetch(side.url, each) for each in handshakes]
                await until_spans(receiver, len(got) + len(shut))
                out = await look_around(side)
                out["explain"] = await asyncio.to_thread(explain, side, environ)
            out["log"] = side.program.output.encode()
            out["spans"] = dump_spans(receiver)
    out["own answers"] = b"".join(repr(answer.headers).encode() + answer.body for answer in shut)
    out["own answers"] += "".join(one for one in got if "x-sidecar-error" in one).encode()
    assert find_leaks(out) == []
    assert b"websocket_refused" in out["own answers"]
    assert b"upstream_malformed" in out["own answers"]
    assert "Traceback" not in side.program.output
    assert (file.read_bytes() if file.exists() else b"") == b""
    heard = "".join(server.heard)
    for name, talk in TALKS.items():
        assert list_endings(out["admin /metrics"], name) == Counter((KINDS | {"orderly": talk.orderly}).values())
        asked = list_marks(name, talk.asked, fields(name), query(name), f"{mark(name, 'subprotocol')} {mark(name, 'origin')}")
        asked["client_reason"] = mark(name, "client_reason")
        assert [place for place, each in asked.items() if each not in heard] == []
        answered = list_marks(name, talk.answered, talk.done, f"{mark(name, 'reason')} {mark(name, 'answer_field')}")
        assert [place for place, each in answered.items() if each not in "".join(got)] == []
