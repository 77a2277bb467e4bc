"""Calls for tests of what is kept: as SDKs send them."""

import json
from collections.abc import Mapping
from dataclasses import replace
from typing import Any

from sidecar.config import BUILT_IN_ROUTES, Cache, Features, Route, RouteKind, Settings
from sidecar.core.attempt.heads import read_request
from sidecar.core.identify.peek import peek
from sidecar.core.identify.router import Router
from sidecar.core.identify.tools import identify_tool
from sidecar.core.identify.wishes import NO_WISHES, Wishes
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.reuse.policy import Policy, Request, Terms
from tests.core.attempt.calls import make_call

KEY = b"sk-proj-Zq7XwVbN3mKp9LtR"
CHAT = "/openai/v1/chat/completions"
MESSAGES = "/anthropic/v1/messages"
RESPONSES = "/openai/v1/responses"
EMBEDDINGS = "/openai/v1/embeddings"
GENERATE = "/gemini/v1beta/models/gemini-2.5-flash:generateContent"
OLLAMA_CHAT = "/ollama/api/chat"
WEATHER = "/tools/weather/forecast"
MCP = "/mcp/"
ROUTES = (
    *BUILT_IN_ROUTES,
    Route("/tools/weather/", "openai", kind=RouteKind.TOOL, cache=60.0, tools={"alarm": 0.0, "almanac": 3600.0}),
    Route("/tools/clock/", "openai", kind=RouteKind.TOOL, tools={"year": 600.0}),
    Route("/mcp/", "openai", kind=RouteKind.TOOL, cache=30.0, tools={"find": 90.0, "now": 0.0}),
)
ON = Settings(features=Features(cache=True, coalescing=True), routes=ROUTES)
# As the SDKs of OpenAI send it, but for the credential.
HEADERS: tuple[tuple[bytes, bytes], ...] = (
    (b"Host", b"127.0.0.1:4000"),
    (b"Accept-Encoding", b"gzip, deflate"),
    (b"Connection", b"keep-alive"),
    (b"Accept", b"application/json"),
    (b"Content-Type", b"application/json"),
    (b"User-Agent", b"OpenAI/Python 3.51.0"),
    (b"X-Stainless-Lang", b"python"),
    (b"X-Stainless-Package-Version", b"3.51.0"),
    (b"X-Stainless-OS", b"Linux"),
    (b"X-Stainless-Arch", b"x64"),
    (b"X-Stainless-Runtime", b"CPython"),
    (b"X-Stainless-Runtime-Version", b"3.11.2"),
    (b"X-Stainless-Async", b"async:asyncio"),
    (b"x-stainless-retry-count", b"0"),
    (b"x-stainless-read-timeout", b"600"),
)
AUTHORIZATION = (b"Authorization", b"Bearer " + KEY)
_ROUTER = Router(ROUTES)
_POLICY = Policy(ON)


def set_up(cache: Cache | None = None, **features: bool) -> Settings:
    """Return settings with these of the cache, and features on top of cache and coalescing."""
    return replace(ON, cache=cache or Cache(), features=replace(ON.features, **features))


def ask(**members: Any) -> dict[str, Any]:
    """Return the body of a small chat that may be kept."""
    return {
        "model": "gpt-4o-mini",
        "temperature": 0,
        "messages": [{"role": "system", "content": "You are brief."}, {"role": "user", "content": "What is the capital of France?"}],
        **members,
    }


def request(
    body: Any = None,
    *fields: tuple[bytes, bytes],
    target: str = CHAT,
    method: str = "POST",
    tenant: str = "a",
    headers: tuple[tuple[bytes, bytes], ...] = (*HEADERS, AUTHORIZATION),
    wishes: Wishes = NO_WISHES,
    whole: bool = True,
    own: Mapping[str, str] | None = None,
) -> Request:
    """Return a request as the path makes it. `body`: bytes as they are, else what is written as JSON; `fields`: further ones."""
    data = body if isinstance(body, bytes) else b"" if body is None else json.dumps(body).encode()
    path, _, query = target.partition("?")
    match = _ROUTER.match(method, path)
    assert match is not None
    wanted = read_request(headers + fields)
    dialect, coding = match.dialect, wanted.content_encoding
    if match.tool is not None:
        call = make_call(*headers, *fields, method=method, target=target)
        dialect, asked, _ = identify_tool(match.tool, call, data, 2**24)
    else:
        asked = peek(dialect if dialect is not OPAQUE else OPAQUE, data, path, coding, 2**24)
    return Request(
        method,
        match,
        query,
        headers + fields,
        wanted.own if own is None else own,
        wanted.accept_encoding,
        coding,
        data,
        whole,
        dialect,
        asked,
        tenant,
        wishes,
        match.tool,
    )


def judge(asked: Request, settings: Settings = ON) -> Terms:
    """Return the terms of a call."""
    return (_POLICY if settings is ON else Policy(settings)).judge(asked)


def find_key(asked: Request, settings: Settings = ON) -> str:
    """Return the key of a call that may be kept."""
    terms = judge(asked, settings)
    assert terms.bypass is None, terms.bypass
    assert terms.key
    return terms.key


def find_reason(asked: Request, settings: Settings = ON) -> str | None:
    """Return why a call bypasses; None where it does not."""
    return judge(asked, settings).bypass
