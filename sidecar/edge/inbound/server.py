"""The data port, and what the admin port stands on: listens, keeps the connections, sees that none stays for nothing, and that
nothing is lost at the end.

How it ends. A caller that keeps connections sends its next request at any moment, and one that arrives where the connection was
just closed is lost: HTTP/1.1 has no way to ask first, and SDKs do not repeat a POST (RFC 9112 section 9.5). So idle connections
are not closed when the end begins. Whatever is asked on them is answered, each answer says that it is the last of its connection,
and the caller goes elsewhere by itself. What is still idle when nothing is in progress, and nobody has called for a moment, is
closed then, after a last look at what the system has for us.
"""

import asyncio
import ssl
from collections.abc import Awaitable, Callable
from typing import Any, Final

from sidecar.config import Drain, DrainMode, Timeouts
from sidecar.edge.inbound.client import HttpClient
from sidecar.edge.inbound.connection import ClientConnection
from sidecar.ports import Clock

# How often connections are looked over for heads that never come, and for idleness.
_LOOK_S: Final = 5.0
_DRAIN_LOOK_S: Final = 0.02
# A request on its way comes within this: much longer than a network in one place takes, or a busy caller from choosing a connection
# to writing on it.
_ON_ITS_WAY_S: Final = 0.25
# Turns of the event loop after which it has seen what had come when they began.
_TURNS: Final = 3
# After the grace: for calls that are cancelled to tell their callers, and for those who still call to be told.
_LAST_WORDS_S: Final = 0.5

# Of TLS.
_HANDSHAKE_S: Final = 10.0
_GOODBYE_S: Final = 5.0
_FINISH: Final = Drain(DrainMode.FINISH)

Carry = Callable[[Any], Awaitable[None]]
Make = Callable[[], asyncio.Protocol]  # a protocol for a new connection


def _welcome(make: Make) -> Make:
    """Whoever comes is served."""
    return make


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
        self.is_draining = self.is_dismissing = False
        self.called_at = 0.0
        self._timeouts = timeouts
        self._server: asyncio.Server | None = None
        self._connections: set[ClientConnection] = set()
        self._look: asyncio.TimerHandle | None = None

    async def start(
        self, host: str, port: int, tls: ssl.SSLContext | None = None, welcome: Callable[[Make], Make] = _welcome
    ) -> tuple[str, int]:  # fmt: skip
        """Listen; return the address, the first one of several. `welcome`: has a say in who is served. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(
            welcome(lambda: ClientConnection(self)), host, port, ssl=tls, reuse_address=True, backlog=1024,
            ssl_handshake_timeout=None if tls is None else _HANDSHAKE_S, ssl_shutdown_timeout=None if tls is None else _GOODBYE_S,
        )  # fmt: skip
        self._look = loop.call_later(_LOOK_S, self._look_over)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    @property
    def hosts(self) -> tuple[str, ...]:
        """The addresses that are listened on."""
        return () if self._server is None else tuple(socket.getsockname()[0] for socket in self._server.sockets)

    def adopt(self, carry: Carry, malformed: Callable[[], bytes], timeouts: Timeouts) -> None:
        """Carry calls so from the next one on, of connections that are there as well."""
        self.carry, self.refuse_malformed = carry, malformed
        self.idle_s, self._timeouts = timeouts.idle, timeouts

    async def stop(self, grace_s: float, drain: Drain = _FINISH, refuse: Callable[[], None] | None = None) -> None:
        """Let calls come to their end for `grace_s` seconds, as `drain` says; then `refuse` is called, which has calls refused that
        come after it, and the rest is cancelled: each tells its own caller.
        """
        until = self.now() + grace_s
        self.is_draining, self.called_at = True, self.now()
        for connection in tuple(self._connections):
            connection.drain()
        is_over = drain.mode is DrainMode.FINISH or await self._until_quiet(drain.quiet, until)
        if is_over:
            await self._stop_listening()
            self._dismiss()
            is_over = await self._until_quiet(0.0, until)
        if not is_over:
            if refuse is not None:
                refuse()
            await self._end_calls()
        await self._stop_listening()
        if self._look is not None:
            self._look.cancel()
        for connection in tuple(self._connections):
            if connection.busy:
                connection.cancel()
            else:
                connection.transport.close()

    async def _end_calls(self) -> None:
        """End what is in progress, and give it time to tell its callers, and those who still call to be told."""
        self.is_dismissing = True
        left = [connection.task for connection in tuple(self._connections) if connection.busy and connection.task is not None]
        for task in left:
            task.cancel()
        if self._server is not None:
            await asyncio.sleep(_LAST_WORDS_S)
        elif left:
            await asyncio.wait(left, timeout=_LAST_WORDS_S)

    async def _stop_listening(self) -> None:
        """Take those who stand at the door, and nobody after them."""
        if self._server is not None:
            await _take_turns()
            self._server.close()
            self._server = None

    def _dismiss(self) -> None:
        self.is_dismissing = True
        for connection in tuple(self._connections):
            connection.dismiss()

    async def _until_quiet(self, quiet_s: float, until: float) -> bool:
        """Wait until nothing is in progress, and nobody has called for so long; return whether that was before `until`."""
        while True:
            self._listen_in()
            if self._has_been_quiet(quiet_s):
                await _take_turns()
                self._listen_in()
                if self._has_been_quiet(quiet_s):
                    return True
            if self.now() >= until:
                return False
            await asyncio.sleep(min(_DRAIN_LOOK_S, until - self.now()))

    def _listen_in(self) -> None:
        """Note when somebody was last busy with us."""
        for connection in self._connections:
            if not connection.is_idle:
                self.called_at = self.now()
                return
            self.called_at = max(self.called_at, connection.heard_at)

    def _has_been_quiet(self, quiet_s: float) -> bool:
        """Nobody calls who cannot: without a port and without a connection nothing has to be waited for."""
        if self._server is None and not self._connections:
            return True
        return self.now() - self.called_at >= max(quiet_s, _ON_ITS_WAY_S)

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


async def _take_turns() -> None:
    for _ in range(_TURNS):
        await asyncio.sleep(0)
