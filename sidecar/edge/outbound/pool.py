"""The connections to one upstream: a bounded pool (P5).

The newest idle connection is used first, so that the rest can grow old and be closed. State moves
when the decision is taken: a connection handed to a waiter is busy from that moment, never idle in
between.
"""

import asyncio
from collections import deque
from collections.abc import Callable
from typing import Final

from sidecar.config import Upstream
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.dial import Dialler
from sidecar.errors import POOL_FULL, UPSTREAM_RESET, SidecarFault, UpstreamFault
from sidecar.ports import Clock

# Waiters per connection before calls are refused at once: more would only wait out their deadline.
_WAITERS_PER_CONNECTION: Final = 10
# A call that waited for the permit to dial until its very last moment may still try.
_TIMEOUT_S_MIN: Final = 0.001
# Ages differ by up to this share, so that connections opened together are not all renewed together.
_AGE_SPREAD: Final = 0.1


class Pool:
    """Connections to one upstream: at most `settings.connections`, idle ones kept for `keep_alive`."""

    def __init__(
        self, name: str, settings: Upstream, dialler: Dialler, clock: Clock, *, head_bytes_max: int,
        draw: Callable[[], float],
    ) -> None:  # fmt: skip
        self.name = name
        self._settings = settings
        self._dialler = dialler
        self._clock = clock
        self._head_bytes_max = head_bytes_max
        self._draw = draw
        self._idle: deque[Connection] = deque()  # the newest is last
        self._open = 0  # dialling, busy and idle together
        self._waiters: deque[asyncio.Future[Connection | None]] = deque()
        self._sweep: asyncio.TimerHandle | None = None
        self._closed = False

    def adopt(self, settings: Upstream, *, head_bytes_max: int) -> None:
        """Hold to other settings from now on: the same place. Of more connections than there may be the idle are closed at once."""
        self._settings = settings
        self._head_bytes_max = head_bytes_max
        for connection in list(self._idle)[: max(0, self._open - settings.connections)]:
            connection.abort()
        while self._waiters and self._open < settings.connections:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)
                self._open += 1
        now = self._clock.now()
        for connection in self._idle:
            connection.expires_at = min(connection.expires_at, now + settings.max_age)
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        if self._idle:
            self._arm(now)

    @property
    def idle_connections(self) -> int:
        """Connections waiting for a call."""
        return len(self._idle)

    @property
    def busy_connections(self) -> int:
        """Connections being dialled or carrying a call."""
        return self._open - len(self._idle)

    def take_idle(self, now: float) -> Connection | None:
        """Return an idle connection that still lives, if there is one."""
        while self._idle:
            connection = self._idle.pop()
            if connection.is_alive(now):
                return connection
            connection.abort()
        return None

    async def connect(self, timeout_s: float, *, fresh: bool = False) -> Connection:
        """Return a connection: idle if there is one and not `fresh`, else new, else the next that falls free.

        Raises UpstreamFault, or SidecarFault(pool_full) where too many wait already.
        """
        now = self._clock.now()
        gives_up_at = now + timeout_s
        while True:
            connection = None if fresh else self.take_idle(now)
            if connection is not None:
                return connection
            if self._idle and self._open >= self._settings.connections:
                self._idle[0].abort()  # an idle connection must not keep out a call that needs a new one
            if self._open < self._settings.connections:
                self._open += 1
                return await self._dial(gives_up_at - now)
            connection = await self._wait(gives_up_at - now)
            now = self._clock.now()
            if connection is None:
                return await self._dial(gives_up_at - now)
            if connection.is_alive(now):
                return connection
            connection.abort()  # closed on its way to us: its room is given up, and we begin again

    async def _wait(self, timeout_s: float) -> Connection | None:
        """Wait for a connection, or for the permit to dial one (None)."""
        if len(self._waiters) >= self._settings.connections * _WAITERS_PER_CONNECTION:
            raise SidecarFault(
                POOL_FULL, f"{self.name}: {self._open} connections busy, {len(self._waiters)} calls waiting", retry_after_s=1
            )
        waiter: asyncio.Future[Connection | None] = asyncio.get_running_loop().create_future()
        self._waiters.append(waiter)
        try:
            async with asyncio.timeout(timeout_s):
                return await asyncio.shield(waiter)
        except BaseException as error:
            if waiter.done():  # it was given something in the same moment: pass it on
                self._give_back(waiter.result())
            else:
                self._waiters.remove(waiter)
                waiter.cancel()
            if isinstance(error, TimeoutError):
                raise SidecarFault(POOL_FULL, f"{self.name}: no connection fell free within {timeout_s:g} s", retry_after_s=1) from None
            raise

    def _give_back(self, given: Connection | None) -> None:
        if given is None:
            self._release_permit()
        elif not given.lost:  # a lost one has given up its room already
            self.take_back(given, reusable=True)

    async def _dial(self, timeout_s: float) -> Connection:
        """Dial with a permit already held."""
        try:
            connection = await self._dialler.dial(self._make, self._clock.now(), max(timeout_s, _TIMEOUT_S_MIN))
        except BaseException:
            self._release_permit()
            raise
        connection.admitted = True
        if connection.lost:  # closed between the handshake and here
            self._release_permit()
            raise UpstreamFault(UPSTREAM_RESET, f"{self.name}: the new connection was closed at once")
        return connection

    def _make(self) -> Connection:
        now = self._clock.now()
        connection = Connection(self, self._head_bytes_max, now)
        connection.expires_at = now + self._settings.max_age * (1 - _AGE_SPREAD * self._draw())
        return connection

    def take_back(self, connection: Connection, *, reusable: bool) -> None:
        """Take back a connection after its answer, or the room of one that is closed (Keeper)."""
        if not reusable:
            if not connection.admitted:  # still being dialled: whoever dials holds the permit
                return
            if connection in self._idle:
                self._idle.remove(connection)
            self._release_permit()
            return
        now = self._clock.now()
        if self._closed or now >= connection.expires_at or self._open > self._settings.connections:
            connection.abort()
            return
        connection.idle_since = now
        while self._waiters:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(connection)
                return
        self._idle.append(connection)
        if self._sweep is None:
            self._arm(now)

    def give_away(self, connection: Connection) -> None:
        """Count a connection no more (Keeper): an hour's session must not keep others from their room."""
        connection.admitted = False
        self._release_permit()

    def _release_permit(self) -> None:
        while self._waiters and self._open <= self._settings.connections:
            waiter = self._waiters.popleft()
            if not waiter.done():
                waiter.set_result(None)  # the permit passes on: _open stays as it is
                return
        self._open -= 1

    def _arm(self, now: float) -> None:
        oldest = self._idle[0]
        due = min(oldest.idle_since + self._settings.keep_alive, oldest.expires_at)
        self._sweep = asyncio.get_running_loop().call_later(max(due - now, 0.1), self._close_idle)

    def _close_idle(self) -> None:
        self._sweep = None
        now = self._clock.now()
        for connection in list(self._idle):
            if now - connection.idle_since >= self._settings.keep_alive or now >= connection.expires_at:
                connection.abort()
        if self._idle:
            self._arm(now)

    def close(self) -> None:
        """Close idle connections, and busy ones as their answers end."""
        self._closed = True
        if self._sweep is not None:
            self._sweep.cancel()
            self._sweep = None
        for connection in list(self._idle):
            connection.abort()
