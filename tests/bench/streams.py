"""The load of streamed calls: every event checked in content and order, its time on the way measured."""

import asyncio
from array import array
from time import perf_counter_ns
from typing import NamedTuple, cast

import measure
import wire

_STAMP_END = -len(wire.EVENT_END)
_STAMP_AT = _STAMP_END - wire.STAMP_DIGITS
_CONTENT_LENGTH = len(wire.numbered(0)) - _STAMP_AT
STALL_PACES = 10  # a gap longer than so many paces is a stall


class StreamTally:
    """What the streams of one run count together, while `counting`."""

    __slots__ = ("added_gaps_ns", "chunks", "counting", "failed", "first_tokens_ns", "stalled", "streams", "transits_ns")

    def __init__(self) -> None:
        self.counting = False
        self.failed = 0  # streams broken, over the whole run
        self.stalled = 0  # gaps too long, over the whole run
        self.streams = 0  # streams that ended well
        self.chunks = 0  # content events
        self.transits_ns = array("q")  # from the upstream's clock stamp to here, per content event
        self.added_gaps_ns = array("q")  # gap here less gap at the upstream
        self.first_tokens_ns = array("q")  # call to first content event, less the upstream's own wait


class Listener(asyncio.Protocol):
    """One connection that calls for a stream, reads it to its end, and calls again."""

    __slots__ = (
        "arrived_ns", "at", "body", "called_ns", "leaving", "raw", "request", "role_ns", "stall_ns", "starts", "tally", "transit_ns",
        "transport",
    )  # fmt: skip

    def __init__(self, request: bytes, starts: list[bytes], stall_ns: int, tally: StreamTally) -> None:
        self.request = request
        self.starts = starts  # what stands before the stamp, per event
        self.stall_ns = stall_ns
        self.tally = tally
        self.transport: asyncio.Transport
        self.leaving = False
        self.raw = b""  # bytes not yet taken apart
        self.body = b""  # an event not yet whole
        self.at = -1  # the event awaited; -1: the head
        self.called_ns = self.role_ns = self.arrived_ns = self.transit_ns = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass
        self.call()

    def call(self) -> None:
        """Ask for the next stream."""
        self.at = -1
        self.called_ns = perf_counter_ns()
        self.transport.write(self.request)

    def data_received(self, data: bytes) -> None:
        now_ns = perf_counter_ns()
        if self.leaving:
            return
        try:
            self.take(self.raw + data if self.raw else data, now_ns)
        except ValueError:
            self.fail()

    def take(self, data: bytes, now_ns: int) -> None:
        """Take head and chunks (RFC 9112 section 7.1) off the front. ValueError: not what was expected."""
        position = 0
        if self.at < 0:
            position = data.find(b"\r\n\r\n") + 4
            if position < 4:
                self.raw = data
                return
            if not data.startswith(b"HTTP/1.1 200 ") or b"transfer-encoding: chunked" not in data[:position].lower():
                raise ValueError(data[:position])
            self.at = 0
        while (line_end := data.find(b"\r\n", position)) >= 0:
            size = int(data[position:line_end], 16)
            end = line_end + 2 + size
            if len(data) < end + 2:
                break
            position = end + 2
            if size:
                self.read(data[line_end + 2 : end], now_ns)
            else:
                self.end(data[position:])
                return
        self.raw = data[position:]

    def read(self, piece: bytes, now_ns: int) -> None:
        """Read the events of a piece of the body. ValueError: an event is wrong, missing or out of order."""
        if self.body:
            piece = self.body + piece
        start = 0
        while (end := piece.find(b"\n\n", start) + 2) > 1:
            self.check(piece[start:end], now_ns)
            start = end
        self.body = piece[start:]

    def check(self, event: bytes, now_ns: int) -> None:
        """Compare one event with the one expected, and note its times."""
        at = self.at
        self.at = at + 1
        if at >= len(self.starts):
            if at > len(self.starts) or event != wire.DONE:
                raise ValueError(event)
            return
        if event[:_STAMP_AT] != self.starts[at] or event[_STAMP_END:] != wire.EVENT_END:
            raise ValueError(event)
        if len(event) == _CONTENT_LENGTH:
            self.note(int(event[_STAMP_AT:_STAMP_END]), now_ns)
        elif at == 0:
            self.role_ns = int(event[_STAMP_AT:_STAMP_END])

    def note(self, stamp_ns: int, now_ns: int) -> None:
        """Note the times of one content event."""
        tally = self.tally
        transit_ns = now_ns - stamp_ns
        if self.at == 2:
            if tally.counting:
                tally.first_tokens_ns.append(now_ns - self.called_ns - (stamp_ns - self.role_ns))
        else:
            tally.stalled += now_ns - self.arrived_ns > self.stall_ns
            if tally.counting:
                tally.added_gaps_ns.append(transit_ns - self.transit_ns)
        if tally.counting:
            tally.chunks += 1
            tally.transits_ns.append(transit_ns)
        self.arrived_ns = now_ns
        self.transit_ns = transit_ns

    def end(self, rest: bytes) -> None:
        """The body ended: the stream must be whole."""
        if rest or self.body or self.at != len(self.starts) + 1:
            raise ValueError(rest)
        self.raw = b""
        self.tally.streams += self.tally.counting
        self.call()

    def connection_lost(self, exc: Exception | None) -> None:
        if not self.leaving:
            self.fail()

    def fail(self) -> None:
        """Count a broken stream and give the connection up."""
        self.tally.failed += 1
        self.leave()

    def leave(self) -> None:
        """Close for good, without counting it as broken."""
        self.leaving = True
        self.transport.abort()


class StreamRun(NamedTuple):
    """What one run of streams showed. Times in microseconds."""

    streams: int
    failed: int
    stalled: int
    completed: int
    chunks: int
    chunk_cpu_us: float  # CPU time of the peer for one content event
    first_token_p50_us: float  # the upstream's own wait taken off
    first_token_p99_us: float
    added_gap_p99_us: float
    transit_p50_us: float
    transit_p99_us: float
    peer_share: float
    load_share: float
    peer_rss_bytes: int  # greatest seen in the window


async def run_streams(
    port: int, prefix: str, *, streams: int, chunks: int, pace_ms: int, ramp_s: float, window_s: float, peer_pid: int,
    load_pids: tuple[int, ...], mark: measure.Mark = measure.unmarked,
) -> StreamRun:  # fmt: skip
    """Keep `streams` streams open, begun evenly over the ramp; measure the window that follows it.

    `mark` is told when the window begins and when it has ended.
    """
    loop = asyncio.get_running_loop()
    tally = StreamTally()
    request = wire.request(prefix, chunks=chunks, pace_ms=pace_ms)
    starts = list(wire.event_starts(chunks))
    stall_ns = STALL_PACES * pace_ms * 1_000_000
    begun = loop.time()
    listeners = []
    for index in range(streams):
        listeners.append((await loop.create_connection(lambda: Listener(request, starts, stall_ns, tally), "127.0.0.1", port))[1])
        await asyncio.sleep(max(0.0, begun + ramp_s * (index + 1) / streams - loop.time()))
    mark(begins=True)
    before = measure.read((peer_pid, *load_pids))
    tally.counting = True
    rss_bytes = 0
    for _ in range(4):
        await asyncio.sleep(window_s / 4)
        rss_bytes = max(rss_bytes, measure.rss_bytes(peer_pid))
    tally.counting = False
    mark(begins=False)
    after = measure.read((peer_pid, *load_pids))
    for listener in listeners:
        if not listener.leaving:
            hung = listener.at >= 2 and perf_counter_ns() - listener.arrived_ns > stall_ns
            tally.failed += hung or (listener.at < 2 and perf_counter_ns() - listener.called_ns > stall_ns)
            listener.leave()
    await asyncio.sleep(0.1)
    return _summarise(streams, tally, before, after, rss_bytes)


def _summarise(streams: int, tally: StreamTally, before: measure.Reading, after: measure.Reading, rss_bytes: int) -> StreamRun:
    peer_share, *load_shares = after.shares(before)
    window_us = (after.now_ns - before.now_ns) / 1e3
    return StreamRun(
        streams=streams, failed=tally.failed, stalled=tally.stalled, completed=tally.streams, chunks=tally.chunks,
        chunk_cpu_us=peer_share * window_us / tally.chunks if tally.chunks else float("nan"),
        first_token_p50_us=measure.quantile(tally.first_tokens_ns, 0.5) / 1e3,
        first_token_p99_us=measure.quantile(tally.first_tokens_ns, 0.99) / 1e3,
        added_gap_p99_us=measure.quantile(tally.added_gaps_ns, 0.99) / 1e3,
        transit_p50_us=measure.quantile(tally.transits_ns, 0.5) / 1e3,
        transit_p99_us=measure.quantile(tally.transits_ns, 0.99) / 1e3,
        peer_share=peer_share, load_share=sum(load_shares), peer_rss_bytes=rss_bytes,
    )  # fmt: skip
