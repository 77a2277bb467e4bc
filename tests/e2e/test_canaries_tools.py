"""Canaries in calls of tools: HTTP tools, MCP servers, and batches of both."""

import asyncio
import json
from collections.abc import Mapping
from pathlib import Path
from typing import Any, Final

import pytest

from tests.edge.telemetry.receiver import receive
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.canaries import (
    SECRETS,
    describe,
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
    write_answer,
    write_stream_head,
)
from tests.rig.process import run_sidecar
from tests.rig.streams import write_chunk
from tests.rig.upstream import End, Script, Upstream

NAME: Final = "tools"
MCP: Final = "/tools/mcp" + query(NAME)
HTTP: Final = f"/tools/search/{mark(NAME, 'path')}/{SECRETS['key']}{query(NAME)}"
BATCH: Final = "/x-sidecar/batch"
EVENTS: Final = "text/event-stream"


def ask(method: str, params: Mapping[str, Any], **more: Any) -> dict[str, Any]:
    """Return a JSON-RPC request."""
    return {"jsonrpc": "2.0", "id": 7, "method": method, "params": params, **more}


def answer(**result: Any) -> dict[str, Any]:
    """Return a JSON-RPC response."""
    return {"jsonrpc": "2.0", "id": 7, **result}


CALL: Final = ask(
    "tools/call", {"name": "find", "arguments": {"to": say(NAME, "argument"), mark(NAME, "argument_name"): 1}, "_meta": say(NAME, "meta")},
    extra=say(NAME, "unknown"),
)  # fmt: skip
RESULT: Final = {"content": [{"type": "text", "text": say(NAME, "result")}], "structuredContent": {"x": say(NAME, "structured")}}
ERROR: Final = {"code": -32000, "message": say(NAME, "refused"), "data": {"x": say(NAME, "refused")}}
# By name: where to, what is asked, what is answered, and how that ends.
WHOLE: Final[dict[str, tuple[str, Any, Any, str]]] = {
    "result": (MCP, CALL, answer(result=RESULT), "completed"),
    "tool error": (MCP, CALL, answer(result={**RESULT, "isError": True}), "in_band_error"),
    "error": (MCP, CALL, answer(error=ERROR), "in_band_error"),
    "prose": (MCP, ask(say(NAME, "method"), {}), answer(error={**ERROR, "code": say(NAME, "code")}), "in_band_error"),
    "beginning": (MCP, ask("initialize", {"clientInfo": {"name": say(NAME, "client")}}),
                  answer(result={"instructions": say(NAME, "system")}), "completed"),
    "resource": (MCP, ask("resources/read", {"uri": f"file:///{mark(NAME, 'uri')}"}), answer(result={"contents": say(NAME, "held")}),
                 "completed"),
    "several": (MCP, [CALL, {**CALL, "id": 8}], [answer(result=RESULT), answer(error=ERROR, id=8)], "in_band_error"),
    "garbled": (MCP, json.dumps(CALL).encode()[:-2], answer(result=RESULT), "completed"),
    "tool": (HTTP, {"to": say(NAME, "http_argument")}, {"found": say(NAME, "http_result")}, "completed"),
}  # fmt: skip
FAULTY: Final = {
    "refused": "rejected",
    "silent": "first_byte_timeout",
    "cut": "cut",
    "short": "cut",
    "stalled": "idle_timeout",
    "gone": "client_gone",
}


def make_scripts() -> dict[str, Script]:
    """Return the server's answers by name."""
    note = {"jsonrpc": "2.0", "method": "notifications/message", "params": {"data": say(NAME, "notice")}}
    asked = {"jsonrpc": "2.0", "id": 1, "method": "elicitation/create", "params": {"message": say(NAME, "question")}}
    head = write_stream_head(NAME, EVENTS).replace(b"\r\n\r\n", f"\r\nmcp-session-id: {mark(NAME, 'session')}\r\n\r\n".encode())
    said = [write_chunk(b"event: message\ndata: " + json.dumps(each).encode() + b"\n\n") for each in (note, asked)]
    last = write_chunk(f": {say(NAME, 'comment')}\ndata: {json.dumps(answer(result=RESULT))}\n\n".encode())
    refused = json.dumps({"error": say(NAME, "refused")}).encode()
    return {
        **{name: Script([write_answer(NAME, 200, json.dumps(told).encode())]) for name, (_, _, told, _) in WHOLE.items()},
        "stream": Script([head, *said, last + b"0\r\n\r\n"]), "cut": Script([head, *said, 0.01], End.RST),
        "stalled": Script([head, *said], End.HANG), "gone": Script([head, *said], End.HANG), "silent": Script([], End.HANG),
        "refused": Script([write_answer(NAME, 401, refused)]),
        "short": Script([write_answer(NAME, 200, refused, length=9999), 0.01], End.FIN),
    }  # fmt: skip


def make_requests() -> dict[str, bytes]:
    """Return every request by name, but for batches."""
    given = fields(NAME)
    whole = {name: compose(target, asked, fields=given, name=name) for name, (target, asked, _, _) in WHOLE.items()}
    http = {
        f"http {name}": compose(HTTP, {"to": say(NAME, "http_argument")}, fields=given, name=name)
        for name in ("refused", "silent", "short")
    }
    mcp = {name: compose(MCP, CALL, fields=given, name=name) for name in ("stream", *FAULTY)}
    return whole | http | mcp


def make_batches() -> list[bytes]:
    """Return batches: what can be carried, and what cannot for every reason."""
    entries: list[Any] = [
        {"path": target, "method": "POST", "headers": {**dict(fields(NAME)), "x-rig": name}, "body": asked}
        for name, (target, asked, _, _) in WHOLE.items()
        if name != "garbled"
    ]
    entries += [
        {**entries[0], "headers": {**entries[0]["headers"], "x-rig": name}} for name in ("refused", "silent", "short", "cut", "stream")
    ]
    said = say(NAME, "batch")
    entries += [
        {**entries[0], said: 1}, {**entries[0], "path": said}, {**entries[0], "path": f"/openai/{SECRETS['key']}"},
        {**entries[0], "path": f"/nowhere/{SECRETS['email']}"}, {**entries[0], "path": f"/tools/../{mark(NAME, 'batch')}"},
        {**entries[0], "method": said}, {**entries[0], "headers": {said: "1"}}, {**entries[0], "headers": {"x": said + "\n"}},
        {**entries[0], "headers": {"x-sidecar-timeout": said}}, {**entries[0], "headers": said}, said,
    ]  # fmt: skip
    bad = [said.encode(), json.dumps({said: 1}).encode(), json.dumps([said] * 33).encode()]
    given = fields(NAME)
    typed = compose(BATCH, entries, fields=given).replace(b"application/json", f"text/{mark(NAME, 'batch')}".encode())
    return [compose(BATCH, entries, fields=given), *(compose(BATCH, each, fields=given) for each in bad), typed,
            compose(f"/x-sidecar/{mark(NAME, 'batch')}", entries, fields=given)]  # fmt: skip


async def leave(url: str, request: bytes) -> Answer:
    """Begin a call and hang up within the answer."""
    caller = await Caller.connect(url)
    caller.send(request)
    await caller.until_bytes(100)
    await asyncio.sleep(0.1)
    caller.leave()
    return caller.answer


def show_own(batch: Answer) -> bytes:
    """Return those entries of a batch's answer that are the sidecar's own; all of it where there are none."""
    told = json.loads(batch.body)
    own = [one for one in told if "x-sidecar-error" in one["headers"]] if isinstance(told, list) else told
    return repr(batch.headers).encode() + json.dumps(own).encode()


@pytest.mark.parametrize("capture", ["off", "spans", "file"])
async def test_nothing_that_tools_are_told_or_tell_comes_out(capture: str, tmp_path: Path) -> None:
    """In no log, metric, span, page or answer of our own; nor is it content that would be captured."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts = make_scripts()
    file = tmp_path / "content.jsonl"
    content = {"capture": capture, **({"file": str(file)} if capture == "file" else {})}
    told = settle({NAME: (upstream.url, "rig"), "openai": (upstream.url, "openai")}, {"content": content})
    told["routes"][0]["kind"] = "tool"
    requests, batches = make_requests(), make_batches()
    with receive() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}
        with run_sidecar(tmp_path, upstream.url, environ, **told) as side:
            answers = await asyncio.gather(
                *((leave if name == "gone" else fetch)(side.url, request) for name, request in requests.items())
            )  # fmt: skip
            together = [await fetch(side.url, batch) for batch in batches]
            await until_spans(receiver, len(requests) + len(batches) + 17)
            out = await look_around(side)
            out["explain"] = await asyncio.to_thread(explain, side, environ)
        out["log"] = side.program.output.encode()
        out["spans"] = dump_spans(receiver)
    await upstream.stop()
    out["own answers"] = describe(answers)
    out |= {f"batch {place}": show_own(batch) for place, batch in enumerate(together)}
    assert find_leaks(out) == []
    assert [batch.status for batch in together] == [200, 400, 400, 400, 400, 404]
    assert "Traceback" not in side.program.output
    assert (file.read_bytes() if file.exists() else b"") == b""
    alone = [*(ending for _, _, _, ending in WHOLE.values()), "completed", *FAULTY.values(), "rejected", "first_byte_timeout", "cut"]
    assert {*alone} <= set(list_endings(out["admin /metrics"], NAME))
    # All of it was sent, and came back: otherwise this proves nothing.
    heard = b"".join(one.target.encode() + b" ".join(value for _, value in one.headers) + one.body for one in upstream.visits).decode()
    got = "".join(repr(one.headers) + one.body.decode() for one in (*answers, *together))
    asked = list_marks(NAME, *(one for _, one, _, _ in WHOLE.values()), fields(NAME), MCP, HTTP)
    assert [place for place, each in asked.items() if each not in heard] == []
    answered = list_marks(NAME, *(one for _, _, one, _ in WHOLE.values()), *(step for one in make_scripts().values() for step in one.steps))
    answered.pop("reason")  # beside the status, where nothing is kept here
    assert [place for place, each in answered.items() if each not in got] == []
    assert len(asked | answered) > 30
