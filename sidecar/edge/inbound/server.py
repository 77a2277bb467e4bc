"""The data port: listens, keeps the connections, and sees that none stays for nothing."""

import asyncio
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sidecar.config import Timeouts
from sidecar.edge.inbound.client import HttpClient
from sidecar.edge.inbound.connection import ClientConnection
from sidecar.ports import Clock

# How often connections are looked over for heads that never come, and for idleness.
_LOOK_S: Final = 5.0
# Time for calls that are cancelled at the end to tell their callers.
_LAST_WORDS_S: Final = 1.0

Carry = Callable[[Any], Awaitable[None]]


class DataServer:
    """Serves the application's calls.

    `carry`: takes one call to its end. `malformed`: notes a request that never became a call, and
    returns the answer that tells the caller so. `draw_id`: returns a new request id.
    """

    def __init__(self, carry: Carry, malformed: Callable[[], bytes], clock: Clock, timeouts: Timeouts, draw_id: Callable[[], str]) -> None:
        self.carry: Callable[[HttpClient], Awaitable[None]] = carry
        self.refuse_malformed = malformed
        self.draw_id = draw_id
        self.now = clock.now
        self.wall_ns = clock.wall_ns
        self.idle_s = timeouts.idle
        self._timeouts = timeouts
        self._server: asyncio.Server | None = None
        self._connections: set[ClientConnection] = set()
        self._look: asyncio.TimerHandle | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(lambda: ClientConnection(self), host, port, reuse_address=True, backlog=1024)
        self._look = loop.call_later(_LOOK_S, self._look_over)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let calls that have an end come to it for `grace_s` seconds, then cancel: each tells its own caller."""
        if self._look is not None:
            self._look.cancel()
        if self._server is not None:
            self._server.close()
        for connection in tuple(self._connections):
            connection.close_idle()
        tasks = {connection.task for connection in self._connections if connection.busy} - {None}
        if tasks:
            await asyncio.wait(tasks, timeout=grace_s)  # type: ignore[type-var]  # None was taken out
        for connection in tuple(self._connections):
            connection.cancel()
        left = {connection.task for connection in self._connections} - {None}
        if left:
            await asyncio.wait(left, timeout=_LAST_WORDS_S)  # type: ignore[type-var]

    # -- connection.Host -------------------------------------------------------------------

    def opened(self, connection: ClientConnection) -> None:
        """A connection is there."""
        self._connections.add(connection)

    def closed(self, connection: ClientConnection) -> None:
        """A connection is gone."""
        self._connections.discard(connection)

    def _look_over(self) -> None:
        """Close connections whose request head has been coming for too long (slowloris), and idle ones."""
        self._look = asyncio.get_running_loop().call_later(_LOOK_S, self._look_over)
        now = self.now()
        for connection in tuple(self._connections):
            if connection.busy:
                continue
            idle_s, transport = now - connection.idle_since, connection.transport
            if transport.is_closing():  # in order, for which its caller must take what is left
                if idle_s > self._timeouts.idle:
                    transport.abort()
            elif connection.begun_at:
                if now - connection.begun_at > self._timeouts.request_head:
                    transport.abort()
            elif idle_s > self._timeouts.keep_alive:
                transport.close()
