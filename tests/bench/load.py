"""The load of unary calls: a closed loop of keep-alive connections, every answer compared byte for byte."""

import asyncio
from array import array
from collections.abc import Callable, Iterator
from itertools import repeat
from time import perf_counter_ns
from typing import NamedTuple, cast

import measure
import wire

_PATIENCE_S = 1.0


class Tally:
    """What the connections of one run count together, while `counting`."""

    __slots__ = ("counting", "failed", "latencies_ns", "stopping")

    def __init__(self) -> None:
        self.counting = False
        self.stopping = False  # what is in flight is waited for, nothing new is sent
        self.failed = 0  # over the whole run, warm-up included
        self.latencies_ns = array("q")


class Caller(asyncio.Protocol):
    """One connection that calls, waits for the whole answer, and calls again."""

    __slots__ = ("left", "partial", "requests", "sent_ns", "tally", "transport")

    def __init__(self, requests: Iterator[bytes], tally: Tally, left: asyncio.Future[None]) -> None:
        self.requests = requests
        self.tally = tally
        self.transport: asyncio.Transport
        self.partial = b""
        self.sent_ns = 0
        self.left = left  # done once it has closed for good

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self.call()

    def call(self) -> None:
        """Send the next request."""
        self.sent_ns = perf_counter_ns()
        self.transport.write(next(self.requests))

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        if self.partial:
            data = self.partial + data
        if not data.startswith(b"HTTP/1.1 200 "[: len(data)]):
            self.fail()
            return
        body_at = data.find(b"\r\n\r\n") + 4
        if body_at < 4 or len(data) - body_at < len(wire.SMALL_BODY):
            self.partial = data
            return
        self.partial = b""
        self.end(now_ns, is_right=data[body_at:] == wire.SMALL_BODY)

    def end(self, now_ns: int, *, is_right: bool) -> None:
        """An answer is whole: count it, and call again."""
        if not is_right:
            self.fail()
            return
        if self.tally.counting:
            self.tally.latencies_ns.append(now_ns - self.sent_ns)
        if self.tally.stopping:
            self.leave()
        else:
            self.call()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.left.done():
            self.fail()

    def fail(self) -> None:
        """Count a failure and give the connection up."""
        self.tally.failed += 1
        self.leave()

    def leave(self) -> None:
        """Close for good, without counting it as a failure."""
        self.left.set_result(None)
        self.transport.abort()


class Asker(Caller):
    """A caller of peers that write answers anew: one is right that says what it should, and `marks` are in it."""

    __slots__ = ("marks",)

    def __init__(self, requests: Iterator[bytes], tally: Tally, left: asyncio.Future[None], *, marks: tuple[bytes, ...]) -> None:
        super().__init__(requests, tally, left)
        self.marks = marks

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        data = self.partial + data
        if not is_whole(data):
            self.partial = data
            return
        self.partial = b""
        self.end(now_ns, is_right=data.startswith(b"HTTP/1.1 200 ") and all(mark in data for mark in self.marks))


def is_whole(data: bytes) -> bool:
    """Whether an answer has come to its end, by its length or its last chunk (RFC 9112 section 6)."""
    head_end = data.find(b"\r\n\r\n")
    if head_end < 0:
        return False
    head = data[: head_end + 2].lower()
    at = head.find(b"\r\ncontent-length:")
    if at < 0:
        return data.endswith(b"\r\n" + wire.LAST_CHUNK)
    return len(data) >= head_end + 4 + int(head[at + 17 : head.find(b"\r\n", at + 17)])


MakeCaller = Callable[[Iterator[bytes], Tally, "asyncio.Future[None]"], Caller]


class LoadRun(NamedTuple):
    """What one run of unary load showed."""

    connections: int
    answers: int
    failed: int
    window_s: float
    p50_us: float
    p99_us: float
    peer_share: float  # of the peer's core
    load_share: float  # of the load's core: load, upstream and trace receiver together

    @property
    def rate(self) -> float:
        """Answers a second."""
        return self.answers / self.window_s

    @property
    def cpu_us(self) -> float:
        """CPU time of the peer for one answer, microseconds."""
        return self.peer_share / self.rate * 1e6 if self.answers else float("nan")


async def run_load(
    port: int, request: bytes | Iterator[bytes], *, connections: int, warm_s: float, window_s: float, peer_pid: int,
    load_pids: tuple[int, ...], mark: measure.Mark = measure.unmarked, make: MakeCaller = Caller,
    patience_s: float = _PATIENCE_S,
) -> LoadRun:  # fmt: skip
    """Keep `connections` calls in flight against a port for a while; measure the window after the warm-up.

    `request`: the one, or one after the other. `mark` is told when the window begins and when it has ended. `make`: of one connection.
    `patience_s`: a call still without an answer so long after the end has failed.
    """
    loop = asyncio.get_running_loop()
    tally = Tally()
    requests = repeat(request) if isinstance(request, bytes) else request

    def connect() -> Caller:
        return make(requests, tally, loop.create_future())

    callers = [(await loop.create_connection(connect, "127.0.0.1", port))[1] for _ in range(connections)]
    await asyncio.sleep(warm_s)
    mark(begins=True)
    before = measure.read((peer_pid, *load_pids))
    tally.counting = True
    await asyncio.sleep(window_s)
    tally.counting = False
    mark(begins=False)
    after = measure.read((peer_pid, *load_pids))
    tally.stopping = True
    await asyncio.wait([caller.left for caller in callers], timeout=patience_s)
    for caller in callers:
        if not caller.left.done():
            caller.fail()
    peer_share, *load_shares = after.shares(before)
    return LoadRun(
        connections=connections, answers=len(tally.latencies_ns), failed=tally.failed, window_s=(after.now_ns - before.now_ns) / 1e9,
        p50_us=measure.quantile(tally.latencies_ns, 0.5) / 1e3, p99_us=measure.quantile(tally.latencies_ns, 0.99) / 1e3,
        peer_share=peer_share, load_share=sum(load_shares),
    )  # fmt: skip
