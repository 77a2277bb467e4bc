"""An upstream that can do only so much: it works on some calls at once, each for a time, and the others wait in a line without end.

Run as a process of its own: `python tests/bench/capacity.py PORT CALLS MILLISECONDS`.
"""

import asyncio
import contextlib
import sys
from collections import deque

import uvloop
import wire
from upstream import Answerer


class Capacity:
    """What the upstream can do, shared by all its connections."""

    def __init__(self, calls: int, held_s: float) -> None:
        self.loop = asyncio.get_running_loop()
        self.free = calls
        self.held_s = held_s
        self.waiting: deque[Worker] = deque()

    def take(self, worker: "Worker") -> None:
        """Work on a call, or let it wait."""
        if self.free:
            self.free -= 1
            self.loop.call_later(self.held_s, self.finish, worker)
        else:
            self.waiting.append(worker)

    def finish(self, worker: "Worker") -> None:
        """Answer, and begin the next."""
        self.free += 1
        worker.transport.write(wire.SMALL_ANSWER)
        if self.waiting:
            self.take(self.waiting.popleft())


class Worker(Answerer):
    """One connection."""

    __slots__ = ("capacity",)

    def __init__(self, capacity: Capacity) -> None:
        super().__init__(capacity.loop)
        self.capacity = capacity

    def answer(self, head: bytes) -> None:
        """Answer one request when there is capacity for it."""
        self.capacity.take(self)


async def serve(port: int, calls: int, held_s: float) -> None:
    """Listen on the loopback address until cancelled."""
    capacity = Capacity(calls, held_s)
    server = await capacity.loop.create_server(lambda: Worker(capacity), "127.0.0.1", port, backlog=4096)
    await server.serve_forever()


if __name__ == "__main__":
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        runner.run(serve(int(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3]) / 1000))
