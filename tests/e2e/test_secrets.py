"""Canaries in every place where a secret can stand: none comes out anywhere but where it was sent."""

import asyncio
import base64
import subprocess
import sys
from pathlib import Path

import httpx

from tests.edge.telemetry.receiver import receive
from tests.rig.caller import Answer, compose, fetch
from tests.rig.process import ROOT, run_sidecar
from tests.rig.side import CHAT
from tests.rig.streams import write_chunk, write_head
from tests.rig.upstream import End, Script, Upstream

# Where each stands is in its name, so that a leak tells its own source.
CANARIES = {
    place: f"canary-{place}-7f3a91"
    for place in (
        "authorization", "apikey", "cookie", "proxy", "query", "queryname", "requestbody", "badjson", "badtarget", "malformed",
        "malformedheader", "responsebody", "responseheader", "streambody", "errorbody", "reason", "keyfile", "otlpheader", "unknownheader",
        "badtimeout", "googlekey", "accesstoken",
    )
}  # fmt: skip
FIELDS = [
    ("Authorization", f"Bearer {CANARIES['authorization']}"), ("x-api-key", CANARIES["apikey"]), ("x-unknown", CANARIES["unknownheader"]),
    ("x-goog-api-key", CANARIES["googlekey"]),
    ("Cookie", f"session={CANARIES['cookie']}"), ("Proxy-Authorization", f"Basic {CANARIES['proxy']}"),
]  # fmt: skip
QUERY = f"?key={CANARIES['query']}&{CANARIES['queryname']}=1&access_token={CANARIES['accesstoken']}&alt=sse"
GEMINI = "/openai/v1beta/models/gemini-2.5-flash:"
BODY = {"model": "m", "messages": [{"role": "user", "content": CANARIES["requestbody"]}], "user": CANARIES["requestbody"]}
STREAM = {**BODY, "stream": True}
REASON = CANARIES["reason"].encode()
SECRET_HEAD = f"HTTP/1.1 200 OK\r\nSet-Cookie: id={CANARIES['responseheader']}\r\nContent-Type: application/json\r\n".encode()
WHOLE = f'{{"model":"m","choices":[{{"index":0,"message":{{"content":"{CANARIES["responsebody"]}"}},"finish_reason":"stop"}}]}}'.encode()
EVENT = f'data: {{"model":"m","choices":[{{"index":0,"delta":{{"content":"{CANARIES["streambody"]}"}}}}]}}\n\n'.encode()
ERROR = f'{{"error":{{"message":"bad key {CANARIES["errorbody"]}","type":"invalid","code":null}}}}'.encode()
SCRIPTS = {
    "whole": Script([SECRET_HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE) + WHOLE]),
    "not json": Script([SECRET_HEAD + b"Content-Length: %d\r\n\r\n" % len(WHOLE[:-4]) + WHOLE[:-4]]),
    "rejected": Script([b"HTTP/1.1 401 %b\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n" % (REASON, len(ERROR)) + ERROR]),
    "short": Script([SECRET_HEAD + b"Content-Length: 9999\r\n\r\n" + WHOLE, 0.01], End.FIN),
    "reset": Script([SECRET_HEAD, 0.01], End.RST),
    "not http": Script([WHOLE], End.HANG),
    "bad header": Script([SECRET_HEAD + f"{CANARIES['responseheader']} \r\n\r\n".encode()], End.HANG),
    "stream": Script([write_head("chunked", 0), write_chunk(EVENT), write_chunk(b"data: [DONE]\n\n") + b"0\r\n\r\n"]),
    "cut": Script([write_head("chunked", 0), 0, write_chunk(EVENT), 0.01], End.RST),
    "garbage": Script([write_head("chunked", 0), write_chunk(EVENT.replace(b"}}]}", b"")) + b"0\r\n\r\n"]),
    "error event": Script([write_head("chunked", 0), write_chunk(b"data: " + ERROR + b"\n\n") + b"0\r\n\r\n"]),
    "silent": Script([], End.HANG),
    "stalled": Script([write_head("chunked", 0), 0, write_chunk(EVENT)], End.HANG),
}


def find_leaks(where: str, text: bytes) -> list[str]:
    """Return the canaries in a text, plain or in base64."""
    return [
        f"{where}: {place}"
        for place, canary in CANARIES.items()
        if canary.encode() in text or any(base64.b64encode((pad + canary).encode())[4:-4] in text for pad in ("", "a", "aa"))
    ]


async def go_wrong(url: str) -> list[Answer]:
    """Make every kind of call, with secrets wherever they fit; return the answers of our own."""
    answers = []
    for name in SCRIPTS:
        body = STREAM if name in ("stream", "cut", "garbage", "error event", "stalled") else BODY
        answers.append(await fetch(url, compose(CHAT + QUERY, body, fields=FIELDS, name=name)))
        answers.append(await fetch(url, compose("/openai/v1/files" + QUERY, body, fields=FIELDS, name=name)))
        method = "streamGenerateContent" if body is STREAM else "generateContent"
        answers.append(await fetch(url, compose(GEMINI + method + QUERY, body, fields=FIELDS, name=name)))
    bad = CANARIES["badjson"].encode()
    others = [
        compose(CHAT + QUERY, b'{"model":"m","messages":[{"content":"' + bad, fields=FIELDS, name="whole"),
        compose("/nowhere" + QUERY, BODY, fields=FIELDS),
        compose(f"/openai/../{CANARIES['badtarget']}{QUERY}", BODY, fields=FIELDS),
        compose(f"http://{CANARIES['badtarget']}/v1/models{QUERY}", BODY, fields=FIELDS),
        compose(CHAT + QUERY, BODY, fields=[*FIELDS, ("x-sidecar-timeout", CANARIES["badtimeout"])]),
        compose(CHAT + QUERY, BODY, fields=[*FIELDS, ("Upgrade", "websocket"), ("Connection", "Upgrade")]),
        compose(CHAT + QUERY, BODY, fields=[*FIELDS, ("Upgrade", "h2c"), ("Connection", "Upgrade")]),
        compose("/down/v1/chat/completions" + QUERY, BODY, fields=FIELDS),
        compose("/unresolved/v1/chat/completions" + QUERY, BODY, fields=FIELDS),
        f"GET /{CANARIES['malformed']} \x01 HTTP/1.1\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\n{CANARIES['malformedheader']} : {CANARIES['malformedheader']}\r\n\r\n".encode(),
        f"GET / HTTP/1.1\r\nHost: x\r\nx: {CANARIES['malformedheader'] * 2000}\r\n\r\n".encode(),
        f"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 1\r\nTransfer-Encoding: chunked\r\n\r\n{CANARIES['malformed']}".encode(),
        compose(CHAT + QUERY, BODY, fields=FIELDS, name="whole").replace(b"Content-Length: ", b"Content-Length: x"),
    ]
    for request in others:
        answers.append(await fetch(url, request))
    return [answer for answer in answers if answer.field("x-sidecar-error")]


def explain(config: str, environ: dict[str, str]) -> bytes:
    """Return what `explain` prints."""
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "explain", "--config", config], capture_output=True, check=True,
        env={"PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip
    return done.stdout + done.stderr


async def test_no_secret_comes_out(tmp_path: Path) -> None:
    """Logs at debug, metrics in both formats, spans, answers of our own, the admin pages and `explain` hold no canary."""
    upstream = Upstream()
    await upstream.start()
    upstream.scripts = dict(SCRIPTS)
    key = tmp_path / "key"
    key.write_text(CANARIES["keyfile"], encoding="utf-8")
    settings = {
        "upstreams": {
            "openai": {"url": upstream.url, "provider": "openai", "api_key_file": str(key)},
            "down": {"url": "http://127.0.0.1:1"}, "unresolved": {"url": "http://upstream.invalid"},
        },
        "routes": [{"prefix": f"/{name}/", "upstream": name} for name in ("openai", "down", "unresolved")],
        "log": {"level": "debug"}, "timeouts": {"first_byte": "500ms", "idle": "500ms"}, "tracing": {"slow": "1s"},
    }  # fmt: skip
    with receive() as receiver:
        environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url, "OTEL_EXPORTER_OTLP_HEADERS": f"x-token={CANARIES['otlpheader']}"}
        with run_sidecar(tmp_path, upstream.url, environ, **settings) as side:
            refusals = await go_wrong(side.url)
            await asyncio.sleep(1.5)
            async with httpx.AsyncClient(base_url=side.admin_url) as client:
                paths = ("/", "/metrics", "/-/healthy", "/-/ready", "/nowhere", "/debug/exchanges", "/api/decisions", "/api/upstreams")
                pages = {path: (await client.get(path + QUERY)).content for path in paths}
                accept = {"accept": "application/openmetrics-text; version=1.0.0"}
                pages["openmetrics"] = (await client.get("/metrics", headers=accept)).content
            program = side.program
            config = program.process.args[-1]  # type: ignore[index]
        log = program.output
        explained = await asyncio.to_thread(explain, str(config), environ)
        spans = b"".join(request.SerializeToString() for request in receiver.requests)
        sent = len(receiver.spans)
    await upstream.stop()
    errors = {answer.field("x-sidecar-error") for answer in refusals}
    print(f"\n{len(CANARIES)} canaries; {len(refusals)} answers of our own of {len(errors)} kinds, {sent} spans, {len(log)} bytes of log")
    leaks = find_leaks("log", log.encode()) + find_leaks("spans", spans) + find_leaks("explain", explained)
    for answer in refusals:
        head = "\n".join(f"{name}: {value}" for name, value in answer.headers).encode()
        leaks += find_leaks(f"answer {answer.field('x-sidecar-error')}", head + bytes(answer.body))
    for path, page in pages.items():
        leaks += find_leaks(f"admin {path}", page)
    assert leaks == []
    assert "Traceback" not in log
    assert len(errors) >= 9
    assert sent > 60
    # The canaries did reach what they were meant for: otherwise their absence proves nothing.
    seen = b"".join(visit.target.encode() + b" ".join(value for _, value in visit.headers) + visit.body for visit in upstream.visits)
    forwarded = ("query", "accesstoken", "requestbody", "cookie", "unknownheader", "keyfile")
    assert [place for place in forwarded if CANARIES[place].encode() not in seen] == []
    assert CANARIES["proxy"].encode() not in seen, "Proxy-Authorization speaks to us alone"
    for place in ("authorization", "googlekey"):
        assert CANARIES[place].encode() not in seen, "the configured key stands in for the caller's"
