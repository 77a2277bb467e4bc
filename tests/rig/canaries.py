"""Words that tell where they were said, and secrets of known forms: what must come out nowhere, or only where it should.

A canary names its place and its form, so that a leak tells its own source.
"""

import asyncio
import base64
import json
import re
import subprocess
import sys
from collections import Counter
from collections.abc import Iterable, Mapping
from typing import Any, Final

import httpx
from opentelemetry.proto.trace.v1.trace_pb2 import Span

from tests.edge.telemetry.receiver import Receiver
from tests.rig.caller import Answer
from tests.rig.process import ROOT, RunningSidecar

SECRETS: Final = {
    "key": "sk-ant-api03-canary7f3a91canary7f3a91", "token": "eyJjYW5hcnkiOiJjYW5hcnkifQ.eyJjYW5hcnkiOiI3ZjNhOTEifQ.c2lnbmF0dXJl",
    "email": "canary.7f3a91@example.com", "card": "4111 1111 1111 1111", "phone": "+49 30 7391 7391", "own": "CANARY-7391",
}  # fmt: skip
ALL: Final = " and ".join(SECRETS.values())
REDACT: Final = {"patterns": [{"name": "own", "pattern": r"C[A]NARY-\d+"}]}
KINDS: Final = ("api_key", "token", "email", "card", "phone", "own")  # that redaction finds in ALL
CONTENT: Final = ("gen_ai.system_instructions", "gen_ai.input.messages", "gen_ai.tool.definitions", "gen_ai.output.messages")
_SETTLED_S: Final = 20.0


def mark(form: str, place: str) -> str:
    """Return the canary of a place."""
    return f"canary-{place}-{form}-end"


def say(form: str, place: str) -> str:
    """Return what is said in a place: its canary, and every secret."""
    return f"{mark(form, place)} {ALL}"


def split(text: str, chars: int = 7) -> list[str]:
    """Return a text in small pieces, so that no secret comes whole."""
    return [text[start : start + chars] for start in range(0, len(text), chars)]


def event(told: object, name: str = "") -> bytes:
    """Return a server-sent event."""
    return (f"event: {name}\n".encode() if name else b"") + b"data: " + json.dumps(told).encode() + b"\n\n"


def fields(form: str) -> list[tuple[str, str]]:
    """Return a request's fields, with a canary wherever one fits."""
    names = {
        "Authorization": "Bearer {}", "x-api-key": "{}", "x-goog-api-key": "{}", "api-key": "{}", "Cookie": "session={}", "x-unknown": "{}",
        "OpenAI-Organization": "{}", "Referer": "http://localhost/?{}", "User-Agent": "{}", "anthropic-beta": "{}", "mcp-session-id": "{}",
    }  # fmt: skip
    return [(name, value.format(say(form, "field_" + name.lower().replace("-", "_")))) for name, value in names.items()]


def query(form: str, more: str = "") -> str:
    """Return a query that holds canaries in a name and in values."""
    return f"?key={mark(form, 'query')}&{mark(form, 'query_name')}=1&access_token={SECRETS['key']}" + (f"&{more}" if more else "")


def answer_fields(form: str) -> str:
    """Return an answer's fields, those garbage that a number is read from."""
    names = (
        "Set-Cookie", "x-request-id", "x-ratelimit-remaining-requests", "x-ratelimit-limit-tokens", "x-ratelimit-reset-requests",
        "anthropic-ratelimit-tokens-remaining", "ratelimit-limit", "retry-after", "retry-after-ms", "openai-model", "x-unknown", "Server",
    )  # fmt: skip
    return "".join(f"{name}: {say(form, 'answer_field')}\r\n" for name in names)


def write_answer(form: str, status: int, body: bytes, media_type: str = "application/json", length: int | None = None) -> bytes:
    """Return an answer with canaries in its reason and fields. `length`: what it claims, where that is not so."""
    head = f"HTTP/1.1 {status} {mark(form, 'reason')}\r\n{answer_fields(form)}Content-Type: {media_type}\r\n"
    return f"{head}Content-Length: {len(body) if length is None else length}\r\n\r\n".encode() + body


def write_stream_head(form: str, media_type: str) -> bytes:
    """Return the head of a stream in chunks."""
    return f"HTTP/1.1 200 OK\r\n{answer_fields(form)}Content-Type: {media_type}\r\nTransfer-Encoding: chunked\r\n\r\n".encode()


def is_in(word: str, text: bytes) -> bool:
    """Whether a word is in a text, as it is or in base64."""
    forms = (base64.b64encode((pad + word).encode())[4:-4] for pad in ("", "a", "aa"))
    return word.encode() in text or any(form in text for form in forms)


def find_leaks(out: Mapping[str, bytes]) -> list[str]:
    """Return a piece of whatever looks like a canary or a secret, with its surroundings, by where it is."""
    leaks = []
    coded = [base64.b64encode(pad + b"canary")[4:-4] for pad in (b"", b"a", b"aa")]
    for where, text in out.items():
        lowered = text.lower()
        found = [lowered.find(b"canary"), *(text.find(one) for one in coded if len(one) > 5)]
        found += [text.find(secret.encode()) for secret in SECRETS.values()]
        leaks += [f"{where}: {text[max(0, place - 80) : place + 80]!r}" for place in found if place >= 0]
    return leaks


def explain(side: RunningSidecar, environ: Mapping[str, str]) -> bytes:
    """Return what `explain` prints of a sidecar's configuration."""
    config = side.program.process.args[-1]  # type: ignore[index]
    done = subprocess.run(
        [sys.executable, "-m", "sidecar", "explain", "--config", str(config)], capture_output=True, check=True,
        env={"PYTHONPATH": str(ROOT), **environ},
    )  # fmt: skip
    return done.stdout + done.stderr


async def look_around(side: RunningSidecar, form: str = "admin") -> dict[str, bytes]:
    """Return what every page and both formats of the metrics show; the pages are asked for with secrets too."""
    paths = ("/", "/metrics", "/-/healthy", "/-/ready", "/nowhere", "/health", "/api/performance", "/debug/exchanges", "/api/decisions",
             "/api/upstreams", "/api/alerts", "/api/trends", "/api/live")  # fmt: skip
    async with httpx.AsyncClient(base_url=side.admin_url) as client:
        out = {f"admin {path}": (await client.get(path + query(form), headers=dict(fields(form)))).content for path in paths}
        out["admin /x"] = (await client.get(f"/{mark(form, 'path')}")).content
        accept = {"accept": "application/openmetrics-text; version=1.0.0"}
        out["openmetrics"] = (await client.get("/metrics", headers=accept)).content
    assert b"llm_sidecar_requests_total" in out["admin /metrics"]
    assert out["openmetrics"].endswith(b"# EOF\n")
    return out


def describe(answers: Iterable[Answer]) -> bytes:
    """Return those answers that are the sidecar's own, heads and bodies."""
    return b"".join(repr(answer.headers).encode() + bytes(answer.body) for answer in answers if answer.field("x-sidecar-error"))


async def until_spans(receiver: Receiver, calls: int) -> None:
    """Wait until the span of every call has come."""
    async with asyncio.timeout(_SETTLED_S):
        while sum(span.kind == Span.SPAN_KIND_SERVER for span in receiver.spans) < calls:
            await asyncio.sleep(0.05)


def dump_spans(receiver: Receiver) -> bytes:
    """Return every span as it came."""
    return b"".join(request.SerializeToString() for request in receiver.requests)


def take_content(receiver: Receiver) -> tuple[dict[str, list[dict[str, str]]], bytes]:
    """Return the content of each GenAI span that has some, by the route of its call, and all spans without it."""
    routes: dict[bytes, str] = {}
    content: list[tuple[bytes, dict[str, str]]] = []
    rest = b""
    for span in receiver.spans:
        told = {item.key: item.value.string_value for item in span.attributes}
        if "llm_sidecar.route" in told:
            routes[span.trace_id] = told["llm_sidecar.route"]
        said = {key: value for key, value in told.items() if key in CONTENT}
        if said:
            content.append((span.trace_id, said))
        kept = [item for item in span.attributes if item.key not in CONTENT]
        del span.attributes[:]
        span.attributes.extend(kept)
        rest += span.SerializeToString()
    by_route: dict[str, list[dict[str, str]]] = {}
    for trace_id, said in content:
        by_route.setdefault(routes[trace_id], []).append(said)
    return by_route, rest


def settle(routes: Mapping[str, tuple[str, str]], more: Mapping[str, Any], route: Mapping[str, Any] | None = None) -> dict[str, Any]:
    """Return the settings of a sidecar with a route per name to (url, provider), in which nothing is lost for lack of time."""
    upstreams = {name: {"url": url, "provider": provider} for name, (url, provider) in routes.items()}
    told: dict[str, Any] = {
        "upstreams": upstreams, "routes": [{"prefix": f"/{name}/", "upstream": name, **(route or {})} for name in routes],
        "log": {"level": "debug"}, "timeouts": {"first_byte": "500ms", "idle": "500ms"}, "tracing": {"cpu_share": 1.0, "slow": "1s"},
    }  # fmt: skip
    if "content" in more:
        return told | {**more, "content": {"cpu_share": 1.0, "redact": REDACT, **more["content"]}}
    return told | dict(more)


def list_marks(form: str, *texts: object) -> dict[str, str]:
    """Return every canary of a form that stands in values, by its place."""
    return {place: mark(form, place) for place in re.findall(rf"canary-(\w+)-{form}-end", "".join(map(repr, texts)))}


def list_endings(metrics: bytes, route: str) -> Counter[str]:
    """Return how often which ending was counted on a route."""
    found: Counter[str] = Counter()
    for line in metrics.decode().splitlines():
        if line.startswith(f'llm_sidecar_requests_total{{route="{route}"'):
            labels, _, value = line.rpartition(" ")
            found[labels.partition('ending="')[2].partition('"')[0]] += int(float(value))
    return +found
