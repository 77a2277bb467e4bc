"""Callers who ask the same again and again, of two sidecars that share what they keep: hits, waits together, limits, budgets, trouble."""

import asyncio
import itertools
import json
import resource
from base64 import b64encode
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from pathlib import Path
from struct import pack
from typing import Any, Final

import redis.asyncio

from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.payers import post_json
from tests.rig.process import RunningSidecar
from tests.rig.redis import RedisServer
from tests.rig.upstream import End, Script, Upstream, Visit

CHAT: Final = "/house/v1/chat/completions"
UNPRICED_USD: Final = 0.1
NEAR_CALLS: Final = 9  # of tenant `near`, who may spend 1 USD a day
TENANTS: Final = ("shop", "frugal", "near", "halted", "eager")
SECRET: Final = "a" * 40 + "!"  # what a pattern of the configuration takes ages over
USAGE: Final = {"prompt_tokens": 7, "completion_tokens": 30, "total_tokens": 37}
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b"
_FAILED: Final = b"HTTP/1.1 503 No\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n{}"
_KEY: Final = "sk-of-regulars"
_ROOM_BYTES: Final = 2048  # what a ledger may still grow by before its disk is full
_AWAY_S: Final = 4.0
_BEAT_S: Final = 0.2
_STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nConnection: close\r\n\r\n"
_LONG: Final = b'data: {"choices": [{"index": 0, "delta": {"content": "%b"}}]}\n\n' % (b"x" * 64 * 1024)
_LONG_PIECES: Final = 240  # more than sockets and the sidecar hold on the way

Fields = Sequence[tuple[str, str]]


class House(Upstream):
    """Answers chats at once, or after a while if it is asked to wait; fails where it is asked to, and on what is frail after the first."""

    def __init__(self) -> None:
        super().__init__()
        self.otherwise = self._answer
        self._asked: Counter[str] = Counter()

    def _answer(self, visit: Visit) -> Script:
        if visit.method == "GET":
            return Script([_HEAD % (11, b'{"data":[]}')])
        try:
            asked = json.loads(visit.body)
        except ValueError:
            return Script([_FAILED.replace(b"503 No", b"400 No")])
        if "input" in asked:
            return _give(_embed(asked))
        prompt = asked["messages"][-1]["content"]
        self._asked[prompt] += 1
        if prompt.startswith("Long"):
            return Script([_STREAM_HEAD, _LONG, 0.3, *[_LONG] * _LONG_PIECES, b"data: [DONE]\n\n"], End.FIN)
        if prompt.startswith("Broken") or (prompt.startswith("Frail") and self._asked[prompt] > 1):
            return Script([_FAILED])
        return _give(_tell(asked, prompt), 0.1 if prompt.startswith("Slow") else 0.0)


def _give(tree: Any, pause_s: float = 0.0) -> Script:
    body = json.dumps(tree).encode()
    return Script([pause_s, _HEAD % (len(body), body)])


def _tell(asked: Any, prompt: str) -> Any:
    message = {"role": "assistant", "content": f"You asked: {prompt}"}
    choice = {"index": 0, "message": message, "finish_reason": "stop"}
    usage = {} if prompt.startswith("Uncounted") else {"usage": USAGE}
    return {"id": "chatcmpl-1", "object": "chat.completion", "created": 1, "model": asked["model"], "choices": [choice], **usage}


def _embed(asked: Any) -> Any:
    """One vector for each input, in the form that was asked for."""
    inputs = asked["input"] if isinstance(asked["input"], list) else [asked["input"]]
    vector: Any = [0.5, -0.5]
    if asked.get("encoding_format") == "base64":
        vector = b64encode(pack("<2f", *vector)).decode()
    data = [{"object": "embedding", "index": index, "embedding": vector} for index in range(len(inputs))]
    tokens = 4 * len(inputs)
    return {"object": "list", "model": asked["model"], "data": data, "usage": {"prompt_tokens": tokens, "total_tokens": tokens}}


class Regulars:
    """The callers, and what they need. `seen`: calls by the error's id or the status; `kept`: by `x-sidecar-cache`."""

    def __init__(self, folder: Path, store: RedisServer) -> None:
        self.house = House()
        self.store = store
        self.seen: Counter[str] = Counter()
        self.kept: Counter[str] = Counter()
        self._folder = folder
        self._numbers = itertools.count()
        self._urls: list[str] = []

    def configure(self, name: str, tools: str) -> dict[str, Any]:
        """Return the configuration of one of the sidecars but for its ports."""
        house = {"url": self.house.url, "provider": "openai", "breaker": "disabled", "probe": "off"}
        prompts, key = self._folder / "prompts.jsonl", self._folder / "key"
        body = {"model": "sim-small", "temperature": 0, "messages": [{"role": "user", "content": "Beforehand?"}]}
        prompts.write_text(json.dumps({"path": CHAT, "body": body}) + "\n", encoding="utf-8")
        key.write_text(_KEY + "\n", encoding="utf-8")
        return {
            "upstreams": {"house": {**house, "adaptive_concurrency": True}, "tools": {"url": tools, "breaker": "disabled"}},
            "routes": [
                {"prefix": "/house/", "upstream": "house"},
                {"prefix": "/kept-tools/", "upstream": "tools", "kind": "tool", "cache": "4s"},
            ],
            "tenants": {"names": list(TENANTS)},
            "limits": {"labels": 6, "rates": {"tenants": {"eager": {"requests": {"per_minute": 10}}}}},
            "budgets": {
                "file": str(self._folder / f"{name}.ledger"), "sync": "50ms", "unpriced": UNPRICED_USD,
                "tenants": {"frugal": {"day": 0.3}, "near": {"day": 1.0}}, "all": {"month": 1000.0},
            },
            "cache": {
                "expiry": {"answers": "3s"}, "stale": "60s", "hot": {"entries": 6, "age": "1s"}, "warm": {"entries": 12, "age": "3s"},
                "cleanup": "1s", "refresh_share": 0.9, "refresh_hits": 2,
            },
            "retries": {"base": "10ms", "budget_share": 0.01, "budget_floor": 0.5},
            "coalescing": {"lag_max": "256KiB"},
            "batches": {"wait": "30ms", "wait_max": "100ms"},
            "warming": {"file": str(prompts), "key_file": str(key), "pace": "10ms", "every": "1s"},
            "redis": {"url": self.store.url},
            "content": {"capture": "spans", "redact": {"timeout": "1ms", "patterns": [{"name": "slow", "pattern": "(?:a|aa)+$"}]}},
            "tracing": {"slow": "1s"},
            "log": {"format": "json", "level": "error"},
            "features": dict.fromkeys(
                ("cache", "coalescing", "stale", "refresh", "warming", "batches", "limits", "budgets", "retries", "breakers"), True
            ),
        }  # fmt: skip

    async def call_on(self, urls: Sequence[str], seconds: float) -> None:
        """Let callers call for so long, on all of the sidecars in turn."""
        self._urls = list(urls)
        works: list[Callable[[], Awaitable[object]]] = [
            *[self._repeat_question] * 4, *[self._ask_popular] * 2, *[self._ask_tool] * 2, self._ask_together, self._ask_frail, self._embed,
            self._go_around, self._exceed, self._misuse,
        ]  # fmt: skip
        async with asyncio.TaskGroup() as group:
            for work in works:
                group.create_task(_repeat(work, seconds))

    async def halt(self, side: RunningSidecar) -> None:
        """Have an operator stop the spending of one tenant; and let another one spend most of what it may."""
        assert (await post_json(side.admin_url, "/api/budgets", {"tenant": "halted", "stopped": True}))[0] == 200
        for _ in range(NEAR_CALLS):
            await self.ask(side.url, f"Near {next(self._numbers)}", "near", model="house-near")

    async def make_trouble(self, side: RunningSidecar, name: str) -> None:
        """Damage what the shared place holds, take it away for a while, and let the disk of a ledger be full for as long."""
        client = redis.asyncio.Redis.from_url(self.store.url)
        async with client:
            async for key in client.scan_iter(match="*:answers:*"):
                await client.set(key, b"junk", keepttl=True)
        size = (self._folder / f"{name}.ledger").stat().st_size + _ROOM_BYTES
        assert side.program.log.stat().st_size < size, "its log would be cut as well"
        pid, (_, most) = side.program.process.pid, resource.getrlimit(resource.RLIMIT_FSIZE)
        resource.prlimit(pid, resource.RLIMIT_FSIZE, (size, most))
        self.store.hang()
        try:
            await asyncio.sleep(_AWAY_S)
        finally:
            self.store.wake()
            resource.prlimit(pid, resource.RLIMIT_FSIZE, (most, most))

    async def stall(self, url: str) -> None:
        """Two share a long answer, of whom one does not read: it is let go. Neither is among those that are seen and sent."""
        request = self._compose(CHAT, self._write(f"Long {next(self._numbers)}", stream=True))
        callers = [await Caller.connect(url, receive_bytes=64 * 1024) for _ in range(2)]
        try:
            for caller in callers:
                caller.send(request)
            for caller in callers:
                await caller.until_bytes(1)
            callers[1].stop_reading()
            assert (await callers[0].until_end()).whole
        finally:
            for caller in callers:
                caller.leave()

    async def ask(self, url: str, prompt: str, tenant: str = "shop", *, fields: Fields = (), **more: Any) -> Answer:
        """Make one chat."""
        return await self._send(url, CHAT, self._write(prompt, **more), tenant, fields)

    def _write(self, prompt: str, **more: Any) -> dict[str, Any]:
        return {"model": "sim-small", "temperature": 0, "messages": [{"role": "user", "content": prompt}], **more}

    def _compose(self, path: str, body: Any, tenant: str = "shop", fields: Fields = ()) -> bytes:
        return compose(path, body, fields=[("x-sidecar-tenant", tenant), ("Authorization", f"Bearer {_KEY}"), *fields])

    async def _send(self, url: str, path: str, body: Any, tenant: str = "shop", fields: Fields = ()) -> Answer:
        answer = await fetch(url, self._compose(path, body, tenant, fields))
        assert answer.whole, "no answer at all"
        self.seen[answer.field("x-sidecar-error") or str(answer.status)] += 1
        self.kept[answer.field("x-sidecar-cache") or ""] += 1
        return answer

    def _turn(self) -> tuple[int, str]:
        number = next(self._numbers)
        return number, self._urls[number % len(self._urls)]

    async def _repeat_question(self) -> None:
        number, url = self._turn()
        await self.ask(url, f"Usual question {number % 7 * (number % 3)}?")

    async def _ask_together(self) -> None:
        number, url = self._turn()
        await asyncio.gather(*(self.ask(url, f"Slow {number}") for _ in range(3)))

    async def _ask_frail(self) -> None:
        """Ask, and again when the answer is too old and there is no other one."""
        number, url = self._turn()
        for pause_s in (1.2, 0.0):
            await self.ask(url, f"Frail {number}", fields=[("x-sidecar-cache", "ttl=1")])
            await asyncio.sleep(pause_s)

    async def _ask_popular(self) -> None:
        _, url = self._turn()
        await self.ask(url, "What does everybody ask?")

    async def _ask_tool(self) -> None:
        number, url = self._turn()
        await self._send(url, "/kept-tools/echo", {"place": number % 5})

    async def _embed(self) -> None:
        number, url = self._turn()
        bodies = [{"model": "sim-embed", "input": f"Document {number} {part}", "encoding_format": "float"} for part in range(5)]
        await asyncio.gather(*(self._send(url, "/house/v1/embeddings", body) for body in bodies))

    async def _go_around(self) -> None:
        """Ask in ways in which nothing kept is looked for, nothing is kept, nothing is priced, or nothing is counted."""
        number, url = self._turn()
        await self.ask(url, f"Warmly {number}?", temperature=1)
        await self.ask(url, f"Privately {number}?", fields=[("Cache-Control", "no-store")])
        await self.ask(url, f"Broken {number}")
        await self.ask(url, f"Unpriced {number}", model=f"house-{number % 20}")
        await self.ask(url, f"Uncounted {number}")
        await self.ask(url, f"{SECRET} {number}")

    async def _exceed(self) -> None:
        """Ask for more than is allowed, has been set aside, or an operator lets go on."""
        number, url = self._turn()
        await self.ask(url, f"Frugally {number}", "frugal", model="house-frugal")
        await self.ask(url, f"Eagerly {number}", "eager")
        await self.ask(url, f"Halted {number}", "halted")

    async def _misuse(self) -> None:
        _, url = self._turn()
        await self._send(url, CHAT, b'{"model": "sim-small", ')


async def _repeat(work: Callable[[], Awaitable[object]], seconds: float) -> None:
    deadline_s = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline_s:
        await work()
        await asyncio.sleep(_BEAT_S)
