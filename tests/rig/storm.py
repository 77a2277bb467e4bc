"""Everything at once: a dead upstream, a pool with a dead member, a pool of nobody else, a crowd, a late one, wishes; and then recovery."""

import asyncio
from collections import Counter
from collections.abc import Awaitable, Callable, Sequence
from typing import Any, Final

from tests.rig.caller import compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.talks import BY_NAME, Talk
from tests.rig.upstream import End, Script, Upstream, Visit

WHOLE: Final = BY_NAME["openai_whole"]
STREAM: Final = BY_NAME["openai_stream"]
NAMES: Final = ("gone", "member", "steady", "lost", "astray", "narrow", "early", "late", "moody")
DEAD: Final = ("gone", "member", "lost", "astray")  # until they recover
PROBED: Final = ("gone", "steady")
OPEN_S: Final = 1.5
_CROWD: Final = 8  # at an upstream that takes one call at a time, and two that wait
_SERVED_S: Final = 0.15
_LATE_S: Final = 1.2  # far beyond what a busy machine makes of a prompt one
_WARM_UP: Final = 12
_LIMITS: Final = b"x-ratelimit-limit-requests: 100\r\nx-ratelimit-remaining-requests: 60\r\n"
_MODELS: Final = Script([b'HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 11\r\n\r\n{"data":[]}'])
_RESET: Final = Script([], End.RST)

Fields = Sequence[tuple[str, str]]


class Storm:
    """The upstreams, and callers at work. `seen` counts what the callers saw: by route, and the error's id or the status."""

    def __init__(self) -> None:
        self.upstreams = {name: Upstream() for name in NAMES}
        self.seen: Counter[tuple[str, str]] = Counter()
        self._is_calm = False
        self._turns = 0

    async def start(self) -> None:
        """Listen."""
        for name, upstream in self.upstreams.items():
            await upstream.start()
            upstream.otherwise = lambda visit, name=name: self._answer(name, visit)  # type: ignore[misc]

    async def stop(self) -> None:
        """Close everything."""
        for upstream in self.upstreams.values():
            await upstream.stop()

    def recover(self) -> None:
        """From now on everybody answers, at once and well."""
        self._is_calm = True

    def configure(self) -> dict[str, Any]:
        """Return what of the configuration is about upstreams, routes and resilience."""
        upstreams: dict[str, dict[str, Any]] = {
            name: {"url": upstream.url, "provider": "openai", "probe": "on" if name in PROBED else "off"}
            for name, upstream in self.upstreams.items()
        }
        upstreams["member"]["quality"], upstreams["steady"]["quality"] = 0.5, 0.8
        upstreams["narrow"]["concurrency"] = 1
        upstreams["early"]["weight"], upstreams["late"]["weight"] = 0.001, 1000.0
        pools = {"both": ["member", "steady"], "nobody": ["lost", "astray"]}
        return {
            "upstreams": upstreams,
            "pools": {
                **{name: {"upstreams": members} for name, members in pools.items()},
                "race": {"upstreams": ["late", "early"], "strategy": "weighted"},
            },
            "routes": [
                *({"prefix": f"/{name}/", "pool": name} for name in ("both", "nobody", "race")),
                *({"prefix": f"/{name}/", "upstream": name} for name in ("gone", "narrow", "moody")),
            ],
            "breaker": {"open": f"{OPEN_S}s", "open_max": "3s", "groups": {"large": {"models": ["*-large"]}}},
            "balancing": {"ejection": "1s"},
            "probes": {"interval": "1s"},
            "queue": {"size": 2, "wait": "1s"},
            "retries": {"base": "10ms"},
            "hedging": {"delay_min": "50ms", "calls_min": 5, "share_max": 0.5},
            "features": {"hedging": True, "retries": True, "probes": True},
        }

    async def rage(self, url: str, seconds: float) -> None:
        """Let callers call for so long."""
        for _ in range(_WARM_UP):
            await self._call(url, "race", STREAM)
        repeated: list[Callable[[], Awaitable[None]]] = [
            lambda: self._call(url, "gone"),
            lambda: self._call(url, "both"),
            lambda: self._call(url, "nobody"),
            lambda: self._call(url, "both", fields=[("x-sidecar-min-quality", "0.9")]),
            lambda: self._call(url, "both", fields=[("x-sidecar-min-quality", "0.9"), ("x-sidecar-urgency", "high")]),
            lambda: self._call(url, "race", STREAM),
            lambda: self._call(url, "moody"),
            lambda: self._call(url, "moody"),
        ]
        async with asyncio.TaskGroup() as group:
            for work in repeated:
                group.create_task(_repeat(work, seconds, 0.1))
            for _ in range(1 if self._is_calm else _CROWD):
                group.create_task(_repeat(lambda: self._call(url, "narrow"), seconds, 0.1))

    async def _call(self, url: str, route: str, talk: Talk = WHOLE, fields: Fields = ()) -> None:
        answer = await fetch(url, compose(f"/{route}{talk.path}", talk.request, fields=fields))
        assert answer.status, "no answer at all"
        self.seen[route, answer.field("x-sidecar-error") or str(answer.status)] += 1

    def _answer(self, name: str, visit: Visit) -> Script:
        if name in DEAD and not self._is_calm:
            return _RESET
        if visit.method == "GET":
            return _MODELS
        if name in ("late", "early"):
            self._turns += 1
            return _speak_late(name, _LATE_S if name == "late" and not self._is_calm and self._turns > _WARM_UP else 0.0)
        if name == "narrow" and not self._is_calm:
            return Script([_SERVED_S, *script_good(WHOLE, name).steps])
        if name == "moody" and not self._is_calm:
            return self._sulk()
        body = WHOLE.speak(name).body
        return Script([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n%bContent-Length: %d\r\n\r\n%b" % (_LIMITS, len(body), body)])

    def _sulk(self) -> Script:
        """Fail, and say when to come again: in words, in a year, or not at all; and answer now and then."""
        self._turns += 1
        match self._turns % 4:
            case 0:
                return script_error(WHOLE, 429, b"Retry-After: after lunch\r\n")
            case 1:
                return script_error(WHOLE, 429, b"Retry-After: 31536000\r\n")
            case 2:
                return script_error(WHOLE, 500)
            case _:
                return script_good(WHOLE, "moody")


async def _repeat(work: Callable[[], Awaitable[None]], seconds: float, every_s: float) -> None:
    deadline_s = asyncio.get_running_loop().time() + seconds
    while asyncio.get_running_loop().time() < deadline_s:
        await work()
        await asyncio.sleep(every_s)


def _speak_late(word: str, seconds: float) -> Script:
    """A stream whose head comes at once and whose first token is late."""
    spoken = STREAM.speak(word)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Length: %d\r\n\r\n" % len(spoken.body)
    return Script([head + spoken.opening, seconds, b"".join(spoken.tokens) + spoken.ending])
