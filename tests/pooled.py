"""Pools on the played path: upstreams that fail and answer in turn, and those who call them. All of it on a virtual loop."""

import asyncio
import json
from collections.abc import Mapping, Sequence
from dataclasses import replace
from typing import Any

from sidecar.config import Features, Hedging, Limits, Pool, Route, RouteKind, Settings, Strategy, Upstream
from tests.core.attempt.calls import make_call
from tests.path import JSON, STREAM, Played, PlayedAnswer, PlayedClient

UPSTREAMS = {
    "a": Upstream("http://a.test", provider="openai"),
    "b": Upstream("http://b.test", provider="openai"),
    "c": Upstream("http://c.test", provider="openai"),
}
SETTINGS = Settings(
    upstreams=UPSTREAMS,
    pools={"two": Pool(("a", "b")), "three": Pool(("a", "b", "c"))},
    routes=(
        Route("/one/", "a"), Route("/two/", pool="two"), Route("/three/", pool="three"),
        Route("/tools/t/", pool="two", kind=RouteKind.TOOL), Route("/tools/safe/", pool="two", kind=RouteKind.TOOL, idempotent=True),
    ),
)  # fmt: skip
REPEATING = replace(SETTINGS, features=Features(retries=True))
CHAT = "v1/chat/completions"
ASKED = b'{"model": "gpt-4o-mini", "messages": []}'
STREAMED = b'{"model": "gpt-4o-mini", "stream": true, "messages": [{"role": "user", "content": "12345678"}]}'
ANSWER = (
    b'{"id": "c1", "model": "gpt-4o-mini-2024-07-18", "choices": [{"index": 0, "finish_reason": "stop", "message": {"content": "hi"}}], '
    b'"usage": {"prompt_tokens": 9, "completion_tokens": 3, "total_tokens": 12}}'
)
ROLE = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"role":"assistant"}}]}\n\n'
FIRST = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{"content":"hi"}}]}\n\n'
LAST = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
USAGE = b'data: {"id":"c1","model":"gpt-4o-mini","choices":[],"usage":{"prompt_tokens":9,"completion_tokens":3,"total_tokens":12}}\n\n'
DONE = b"data: [DONE]\n\n"
TOLD = (ROLE, FIRST, LAST, USAGE, DONE)


class Pooled(Played):
    """A path with these pools."""

    def __init__(self, *answers: Any, settings: Settings = SETTINGS, **more: Any) -> None:
        super().__init__(*answers, settings=settings, **more)


def settings_of(base: Settings = SETTINGS, **upstreams: Mapping[str, Any]) -> Settings:
    """Return settings in which some upstreams have more to them."""
    changed = {name: replace(upstream, **upstreams.get(name, {})) for name, upstream in base.upstreams.items()}
    return replace(base, upstreams=changed)


def narrow_settings(concurrency: int = 1, base: Settings = SETTINGS, **changes: Any) -> Settings:
    """Return settings in which each upstream takes so many calls at once, and all together no more."""
    few = settings_of(base, **{name: {"concurrency": concurrency} for name in "abc"})
    return replace(few, limits=Limits(concurrency=concurrency), **changes)


def strategic(strategy: Strategy, base: Settings = SETTINGS) -> Settings:
    """Return settings in which the pools choose in another way."""
    return replace(base, pools={name: replace(pool, strategy=strategy) for name, pool in base.pools.items()})


def hedging(base: Settings = SETTINGS, **changes: Any) -> Settings:
    """Return settings with rivals, of whom there may be many: asked when a first token is later than the slowest yet."""
    wanted: dict[str, Any] = {"percentile": 1.0, "delay_min": 0.5, "calls_min": 1, "share_max": 1.0, **changes}
    return replace(base, features=replace(base.features, hedging=True), hedging=Hedging(**wanted))


def caller(
    target: str = "/two/" + CHAT, *headers: tuple[bytes, bytes], body: Sequence[Any] = (ASKED,), method: str = "POST"
) -> PlayedClient:
    """Return a caller whose call comes in now."""
    now = asyncio.get_running_loop().time()
    return PlayedClient(make_call(*headers, target=target, has_body=bool(body), method=method, accepted=now), body)


def listener(target: str = "/two/" + CHAT, *headers: tuple[bytes, bytes]) -> PlayedClient:
    """Return a caller that asks for a stream."""
    return caller(target, *headers, body=(STREAMED,))


def whole(status: int = 200, body: bytes = ANSWER, *headers: tuple[bytes, bytes], **more: Any) -> PlayedAnswer:
    """Return an upstream that gives a JSON answer."""
    return PlayedAnswer(status, JSON, *headers, body=[body], **more)


def stream(*pieces: Any, **more: Any) -> PlayedAnswer:
    """Return an upstream that gives a stream of events, if nothing else is said a good one."""
    return PlayedAnswer(200, STREAM, body=pieces or TOLD, framing=b"chunked", **more)


def failure(status: int, code: str = "", *headers: tuple[bytes, bytes], message: str = "no", **more: Any) -> PlayedAnswer:
    """Return an upstream that refuses, in OpenAI's form."""
    error = {"error": {"message": message, "type": "error", "code": code or None}}
    return whole(status, json.dumps(error).encode(), *headers, **more)


def never() -> "asyncio.Future[None]":
    """Return what does not happen."""
    return asyncio.get_running_loop().create_future()


def names(path: Played) -> list[str]:
    """Return who was asked, in order."""
    return [name for name, _ in path.asked]


def counted(path: Played, family: str, *labels: str) -> float:
    """Return what one of the meter's counters stands at."""
    value: float = getattr(path.meter.families, family).child(*labels).value
    return value


async def begin(path: Played, client: PlayedClient) -> "asyncio.Task[None]":
    """Start a call, and return when it waits for something."""
    task = asyncio.get_running_loop().create_task(path.pipeline.carry(client))
    for _ in range(50):
        await asyncio.sleep(0)
    return task


async def leave(client: PlayedClient, task: "asyncio.Task[None]") -> None:
    """Let a caller go in the middle of its call."""
    client.gone = True
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
