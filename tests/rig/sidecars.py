"""Several sidecars, each a process of its own, and an upstream that knows whom it answered."""

import asyncio
import contextlib
import itertools
import re
from collections import Counter
from collections.abc import AsyncIterator, Mapping, Sequence
from pathlib import Path
from typing import Any, Final, NamedTuple

from sidecar.simulator.accounts import read_samples
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.talks import BY_NAME
from tests.rig.upstream import Script, Upstream, Visit

WHOLE: Final = BY_NAME["openai_whole"]
STREAM: Final = BY_NAME["openai_stream"]
CHAT: Final = "/openai/v1/chat/completions"
_ASKED_FOR: Final = b"x-correlation-id"  # goes to the upstream, and makes no difference to what is kept
_NUMBER: Final = re.compile(rb"chatcmpl-(\d+)-")
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"


class Who(NamedTuple):
    """Who asks."""

    tenant: str
    credential: str


SOMEBODY: Final = Who("acme", "sk-canary-0123456789")


class Witness(Upstream):
    """Answers every chat with the number of the request, so that an answer tells whose it is. `pause_s`: before it does."""

    def __init__(self, pause_s: float = 0.0) -> None:
        super().__init__()
        self.pause_s = pause_s
        self.otherwise = self._answer

    def whose(self, answer: Answer) -> str:
        """Return for what an answer was given, as whoever asked first had named it."""
        found = set(_NUMBER.findall(bytes(answer.body)))
        assert answer.whole and len(found) == 1, (answer.status, answer.headers, bytes(answer.body))
        return dict(self.visits[int(found.pop())].headers)[_ASKED_FOR].decode("latin-1")

    def _answer(self, visit: Visit) -> Script:
        talk = STREAM if b'"stream": true' in visit.body else WHOLE
        body = talk.speak(f"{len(self.visits) - 1}-told").body
        return Script([self.pause_s, _HEAD % (talk.media_type.encode(), len(body)) + body])


Fields = Sequence[tuple[str, str]]


def compose_chat(prompt: str, who: Who = SOMEBODY, *, path: str = CHAT, streamed: bool = False, fields: Fields = (), **more: Any) -> bytes:
    """Return a chat that may be kept. `fields` beside the usual ones; `more` members of the body."""
    fields = [
        ("x-sidecar-tenant", who.tenant), ("Authorization", f"Bearer {who.credential}"),
        (_ASKED_FOR.decode(), name_chat(prompt, who, streamed=streamed)), *fields,
    ]  # fmt: skip
    body = {"model": "sim-small", "temperature": 0, "stream": streamed, "messages": [{"role": "user", "content": prompt}], **more}
    return compose(path, body, fields=fields)


def name_chat(prompt: str, who: Who = SOMEBODY, *, streamed: bool = False) -> str:
    """Return what makes a difference to an answer."""
    return f"{who.tenant} {who.credential} {streamed} {prompt}"


class Sidecars:
    """They. `urls`: of their data ports."""

    def __init__(self, sides: Sequence[RunningSidecar]) -> None:
        self.sides = sides
        self.urls = [side.url for side in sides]
        self._before: list[Counter[str]] = [Counter() for _ in sides]

    async def ask(self, side: int, prompt: str, who: Who = SOMEBODY, **more: Any) -> Answer:
        """Make one call."""
        return await fetch(self.urls[side], compose_chat(prompt, who, **more))

    async def read(self) -> list[Counter[str]]:
        """Return what each sidecar tells, `name{label}` without prefix and quotes: a counter by how much it grew, a gauge as it is."""
        now = [_read(text) for text in await asyncio.gather(*(asyncio.to_thread(side.scrape) for side in self.sides))]
        before, self._before = self._before, now
        return [_subtract(later, earlier) for later, earlier in zip(now, before, strict=True)]

    async def until_shared(self, first: int = 0, second: int = 1, patience_s: float = 45.0) -> float:
        """Wait until what one of them keeps another one finds; return the seconds."""
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        for number in itertools.count():
            prompt = f"Is it back? {began_s} {number}"
            await self.ask(first, prompt)
            await asyncio.sleep(0.1)
            if (await self.ask(second, prompt)).field("x-sidecar-cache") == "hit":
                break
            assert loop.time() - began_s < patience_s, "it does not come back"
        return loop.time() - began_s

    async def race(self, requests: Sequence[bytes]) -> list[Answer]:
        """Send all of these at once, to the sidecars in turn, each on a connection that is there already."""
        callers = [await Caller.connect(self.urls[number % len(self.urls)]) for number in range(len(requests))]
        try:
            for caller, request in zip(callers, requests, strict=True):
                caller.send(request)
            return await asyncio.gather(*(caller.until_end(60.0) for caller in callers))
        finally:
            for caller in callers:
                caller.leave()


@contextlib.asynccontextmanager
async def run_sidecars(folder: Path, upstream: str, *settings: Mapping[str, Any]) -> AsyncIterator[Sidecars]:
    """Run a sidecar with each of these settings until the block ends."""
    runs = [run_sidecar(folder, upstream, **told) for told in settings]
    async with contextlib.AsyncExitStack() as stack:
        started = await asyncio.gather(*(asyncio.to_thread(run.__enter__) for run in runs), return_exceptions=True)
        sides = []
        for run, side in zip(runs, started, strict=True):
            if isinstance(side, BaseException):
                raise side
            stack.push_async_callback(asyncio.to_thread, run.__exit__, None, None, None)
            sides.append(side)
        yield Sidecars(sides)


def _read(text: str) -> Counter[str]:
    """Return the samples by name, without what all names begin with, and the values of their labels."""
    found: Counter[str] = Counter()
    for name, labels, value in read_samples(text):
        told = ",".join(labels.values())
        found[name.removeprefix("llm_sidecar_") + (f"{{{told}}}" if told else "")] += value  # type: ignore[assignment]
    return found


def _subtract(later: Counter[str], earlier: Counter[str]) -> Counter[str]:
    return Counter({name: value - (earlier[name] if "_total" in name else 0) for name, value in later.items()})
