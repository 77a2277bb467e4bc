"""The upstream: a provider that costs as little as Python can make it.

Unary calls are answered at once with one constant; a call that asks for a stream gets a role
event at once, then content events at the pace it asked for. Run as a process of its own:
`python tests/bench/upstream.py PORT`.
"""

import asyncio
import contextlib
import sys
from time import perf_counter_ns
from typing import cast

import uvloop
import wire

CONTENTS = [wire.numbered(index) for index in range(10_000)]


class Answerer(asyncio.Protocol):
    """One connection: reads requests, answers them in order."""

    __slots__ = ("begun", "buffer", "chunks", "loop", "pace_s", "sent", "timer", "transport")

    def __init__(self, loop: asyncio.AbstractEventLoop) -> None:
        self.loop = loop
        self.buffer = b""
        self.timer: asyncio.TimerHandle | None = None
        self.transport: asyncio.Transport
        self.begun = self.pace_s = 0.0
        self.sent = self.chunks = 0

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass

    def connection_lost(self, exc: Exception | None) -> None:
        if self.timer is not None:
            self.timer.cancel()

    def data_received(self, data: bytes) -> None:
        if self.buffer:
            data = self.buffer + data
        while data:
            head_end = data.find(b"\r\n\r\n")
            if head_end < 0:
                break
            head = data[: head_end + 2].lower()
            at = head.find(b"\r\ncontent-length:")
            if at < 0:
                self.transport.write(wire.LENGTH_REQUIRED)
                self.transport.close()
                return
            end = head_end + 4 + int(head[at + 17 : head.find(b"\r\n", at + 17)])
            if len(data) < end:
                break
            data = data[end:]
            self.answer(head)
        self.buffer = data

    def answer(self, head: bytes) -> None:
        """Answer one request, whose head this is in lower case."""
        at = head.find(wire.PACE_HEADER)
        if at < 0:
            self.transport.write(wire.SMALL_ANSWER)
            return
        wanted = head[at + len(wire.PACE_HEADER) : head.find(b"\r\n", at)]
        chunks, pace_ms = wanted.split(b"/")
        self.chunks, self.pace_s, self.sent = int(chunks), int(pace_ms) / 1000, 0
        self.transport.write(wire.STREAM_HEAD + wire.stamped(wire.ROLE, perf_counter_ns()))
        self.begun = self.loop.time()
        self.timer = self.loop.call_later(self.pace_s, self.tick)

    def tick(self) -> None:
        """Send the next event and arm the one after it, without drifting from the pace."""
        if self.sent == self.chunks:
            self.timer = None
            self.transport.write(wire.stream_end(perf_counter_ns()))
            return
        self.transport.write(wire.stamped(CONTENTS[self.sent], perf_counter_ns()))
        self.sent += 1
        due = self.begun + (self.sent + 1) * self.pace_s
        self.timer = self.loop.call_later(max(0.0, due - self.loop.time()), self.tick)


async def serve(port: int) -> None:
    """Listen on the loopback address until cancelled."""
    loop = asyncio.get_running_loop()
    server = await loop.create_server(lambda: Answerer(loop), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1])))
