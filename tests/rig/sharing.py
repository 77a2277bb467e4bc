"""Answers that are kept or shared: a sidecar that does so in front of one upstream for all interfaces, whose scripts can be held."""

import asyncio
import contextlib
import gc
import os
import socket
import time
import zlib
from collections.abc import AsyncIterator, Iterator, Mapping, Sequence
from typing import Any, Final, NamedTuple

from sidecar.config import Cache, Cacheable, Features, Route, Settings, Upstream
from sidecar.journeys import Journey
from tests.rig.caller import Caller, compose
from tests.rig.pools import PoolSide, Scrape, configure, running_settings
from tests.rig.sockets import SYN_SENT, list_sockets
from tests.rig.streams import write_chunk
from tests.rig.talks import STREAMS, Talk
from tests.rig.upstream import Connection, End, Script
from tests.rig.upstream import Upstream as Told

IS_DEEP: Final = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
SHARING: Final = Features(probes=False, breakers=False, coalescing=True)
KEEPING: Final = Features(probes=False, breakers=False, cache=True)
BOTH: Final = Features(probes=False, breakers=False, cache=True, coalescing=True)
_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%bTransfer-Encoding: chunked\r\n\r\n"
_LAST: Final = b"0\r\n\r\n"
_STEP_S: Final = 0.001


class Gate:
    """What an upstream's script waits for."""

    def __init__(self, *, is_open: bool = False) -> None:
        self.is_open = is_open

    def wait(self) -> Iterator[float]:
        """Yield pauses until it is open."""
        while not self.is_open:
            yield _STEP_S


class Pace(Gate):
    """Waits for whoever reads: a machine that is busy must not make a reader one that falls behind. `bytes_first`: of the body."""

    def __init__(self, readers: Sequence[Caller], bytes_first: int) -> None:
        super().__init__()
        self._readers = readers
        self._bytes_first = bytes_first

    def wait(self) -> Iterator[float]:
        """Yield pauses until each reader has so much."""
        while min(len(reader.answer.body) for reader in self._readers) < self._bytes_first:
            yield _STEP_S


class Reply(NamedTuple):
    """A good answer as it goes over the wire: its head, and its body in pieces, each of which goes out as one chunk."""

    head: bytes
    pieces: tuple[bytes, ...]

    @property
    def body(self) -> bytes:
        """All of the body, as it is sent."""
        return b"".join(self.pieces)

    @property
    def wire(self) -> bytes:
        """Every byte."""
        return self.head + b"".join(map(write_chunk, self.pieces)) + _LAST

    def perform(self, gates: Mapping[int, Gate] | None = None, *, end: End = End.KEEP, stop: int | None = None) -> Script:
        """Return its script. `gates`: by the byte of the wire before which they stand. `stop`: the byte before which it breaks off."""
        wire = self.wire
        return Script(self._step(wire, gates or {}, len(wire) if stop is None else stop), end)

    def _step(self, wire: bytes, gates: Mapping[int, Gate], stop: int) -> Iterator[bytes | float]:
        places = sorted({*gates, *(place for place in self.ends if place < stop), stop})
        at = 0
        for place in places:
            if place > at:
                yield wire[at:place]
                yield 0
                at = place
            if place in gates:
                yield from gates[place].wait()

    @property
    def ends(self) -> list[int]:
        """Where on the wire the head ends, each piece, and the whole."""
        ends = [len(self.head)]
        for piece in self.pieces:
            ends.append(ends[-1] + len(b"%x" % len(piece)) + len(piece) + 4)
        return [*ends, ends[-1] + len(_LAST)]


def write_reply(talk: Talk, word: str = "first", *, gzips: bool = False, extra: bytes = b"") -> Reply:
    """Return the answer of one interface. `extra`: more fields of its head, each with its line end."""
    spoken = talk.speak(word)
    pieces = [piece for piece in (spoken.opening, *spoken.tokens, spoken.ending) if piece]
    if gzips:
        deflate = zlib.compressobj(6, zlib.DEFLATED, 31)
        pieces = [deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
        pieces[-1] += deflate.flush(zlib.Z_FINISH)
        extra += b"Content-Encoding: gzip\r\n"
    return Reply(_HEAD % (talk.media_type.encode(), extra), tuple(pieces))


def target_of(talk: Talk) -> str:
    """Return the path of an interface at the sidecar."""
    return f"/{talk.provider}{talk.path}"


def ask_for(talk: Talk, name: str = "", *, number: int = 0, version: str = "1.1", fields: Sequence[tuple[str, str]] = ()) -> bytes:
    """Return a request. `number`: of the caller, told in fields that make no difference."""
    own = [("user-agent", f"caller/{number}"), ("x-request-id", f"r{number}"), *fields]
    return compose(target_of(talk), talk.request, version=version, fields=own, name=name)


def settle_sharing(url: str, *, upstream: Mapping[str, Any] | None = None, **changes: Any) -> Settings:
    """Return settings with a route to one upstream for each provider."""
    changes.setdefault("cache", Cache(what=Cacheable.ALL))
    changes.setdefault("features", SHARING)
    providers = [talk.provider for talk in STREAMS]
    return configure(
        {name: Upstream(url, provider=name, connections=1000, **(upstream or {})) for name in providers}, {},
        [Route(f"/{name}/", name) for name in providers], **changes,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def sharing(**changes: Any) -> AsyncIterator[tuple[Told, PoolSide]]:
    """Run an upstream, and a sidecar in front of it; nothing of any flight is left at the end."""
    upstream, others = Told(), list_journeys()
    await upstream.start()
    try:
        async with running_settings(settle_sharing(upstream.url, **changes)) as side:
            yield upstream, side
            await check_nothing_flies(side, others)
    finally:
        await upstream.stop()


async def check_nothing_flies(side: PoolSide, others: Sequence[Journey] = ()) -> None:
    """No call in flight, no connection in use, no flight left in any table or task. `others`: what was there before, of other tests.

    A unit test's own list of what it saw closes a circle through a `Grant`, which garbage collection does not look at.
    """
    await side.settle()
    async with asyncio.timeout(2):
        while any(task.get_name() == "flight" for task in asyncio.all_tasks()):
            await asyncio.sleep(_STEP_S)
    assert [each for each in list_journeys() if each not in others] == []


def list_journeys() -> list[Journey]:
    """Return what there is of calls made for several callers, of this test or another."""
    gc.collect()
    return [each for each in gc.get_objects() if isinstance(each, Journey)]


async def until_joined(side: PoolSide, followers: int) -> Scrape:
    """Wait until so many callers have joined calls in progress."""
    return await side.until(lambda scrape: scrape.sum("coalesced_requests_total", role="follower") >= followers)


async def connect_all(url: str, requests: Sequence[bytes]) -> list[Caller]:
    """Connect callers, and then have each send its request."""
    callers = list(await asyncio.gather(*(Caller.connect(url) for _ in requests)))
    for caller, request in zip(callers, requests, strict=True):
        caller.send(request)
    return callers


def tell_delays(what: str, delays: Sequence[float]) -> float:
    """Print how delays in seconds are distributed; return the p99."""
    found = sorted(delays)
    p99 = found[int(len(found) * 0.99)]
    print(f"\n{what}: n={len(found)} p50={found[len(found) // 2] * 1e3:.2f} ms p99={p99 * 1e3:.2f} ms max={found[-1] * 1e3:.2f} ms")
    return p99


class Door:
    """An address whose connections are not made until it is opened: its queue is full, so that SYNs are not answered."""

    def __init__(self) -> None:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        self._listening.setblocking(False)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._filling = [socket.socket() for _ in range(4)]
        for sock in self._filling:
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
        self._server: asyncio.Server | None = None

    async def until_waiting(self, count: int, patience_s: float = 5.0) -> None:
        """Wait until so many connections are being made, beside those that fill its queue."""
        own = {sock.getsockname()[1] for sock in self._filling}
        deadline_s = time.monotonic() + patience_s
        while True:
            dialling = {each.local_port for each in list_sockets() if each.state == SYN_SENT and each.remote_port == self.port}
            if len(dialling - own) >= count:
                return
            assert time.monotonic() < deadline_s, f"{len(dialling - own)} of {count} are dialling"
            await asyncio.sleep(0.005)

    async def open(self, upstream: Told) -> None:
        """Let `upstream` answer from now on."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: Connection(upstream), sock=self._listening, backlog=1024)

    def close(self) -> None:
        """Let go of the address."""
        if self._server is not None:
            self._server.close()
        for sock in (*self._filling, self._listening):
            sock.close()
