"""Two connections joined to one (ports.Tunnel): what a call becomes that was upgraded to a WebSocket.

Bytes pass as they come, each in the callback in which it came, so that frames, fragments, pings and
close codes are the same on both sides by construction. A side that reads too slowly has the other
paused. How one side closes is how the other is closed: a reset as a reset; the end of sending, behind
a Close frame, as the end of sending (RFC 6455 section 7.1.1); any other as a close, at once.
"""

import asyncio
import os
from collections.abc import Callable
from typing import Final

from sidecar.core.observe.sessions import SessionObserver
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.watch import Watch
from sidecar.edge.sockets import reset_when_closed
from sidecar.errors import IDLE_TIMEOUT, STOPPING, ErrorKind
from sidecar.exchange import Departure
from sidecar.ports import Receiver, Upgradable

_GOING_AWAY: Final = 1001  # RFC 6455 section 7.4.1
# Once one side has left, the other has so long to take what was sent to it, each time that it takes some, and to close.
_LINGER_S: Final = 5.0
# Time for the last bytes to leave before a connection is reset on purpose: a reset overtakes them.
_LAST_BYTES_S: Final = 0.1
_MASK_BYTES: Final = 4


class Side(Receiver):
    """One of the two connections."""

    __slots__ = ("_is_held", "_read", "_tunnel", "bytes", "departure", "ended", "gone", "peer", "told", "transport")

    transport: asyncio.Transport
    peer: "Side"
    told: asyncio.Protocol | None

    def __init__(self, tunnel: "Tunnel", departure: Departure, read: Callable[[bytes], None]) -> None:
        self._tunnel = tunnel
        self._read = read
        self._is_held = False
        self.departure = departure
        self.bytes = 0  # that came from here
        self.ended = False  # it sends no more
        self.gone = False
        self.told = None

    # -- asyncio.Protocol ------------------------------------------------------------------

    def data_received(self, data: bytes) -> None:
        """Pass it on (asyncio), and look at it then."""
        self._tunnel.touch()
        self.bytes += len(data)
        transport = self.peer.transport
        if not transport.is_closing():
            transport.write(data)
        self._tunnel.look(self._read, data)

    def eof_received(self) -> bool:
        """It sends no more (asyncio); return whether it is still to be written to."""
        self.ended = True
        return self._tunnel.end(self)

    def connection_lost(self, exc: Exception | None) -> None:
        """It is gone (asyncio)."""
        self.gone = True
        if self.told is not None:
            self.told.connection_lost(exc)
        self._tunnel.lose(self, broken=exc is not None and not self.ended)

    def pause_writing(self) -> None:
        """It reads too slowly (asyncio)."""
        self.peer.hold()

    def resume_writing(self) -> None:
        """It has caught up (asyncio)."""
        self.peer.go_on()

    def drain(self) -> None:
        """We are stopping (ports.Receiver)."""
        self._tunnel.drain()

    @property
    def heard_at(self) -> float:  # type: ignore[override]  # a property may stand for an attribute that nobody else sets
        """When something came last (ports.Receiver)."""
        return self._tunnel.heard_at

    # -- what the tunnel does --------------------------------------------------------------

    def hold(self) -> None:
        """Read no more for now."""
        if not self._is_held and not self.transport.is_closing():
            self._is_held = True
            self.transport.pause_reading()

    def go_on(self) -> None:
        """Read on."""
        if self._is_held and not self.transport.is_closing():
            self._is_held = False
            self.transport.resume_reading()

    def reset(self) -> None:
        """Close so that nobody can take it for an orderly close."""
        if self.transport.is_closing():
            return
        reset_when_closed(self.transport)
        if self.departure is Departure.UPSTREAM:  # nobody is there for whom it would still work
            self.transport.abort()
        else:
            self.hold()
            asyncio.get_running_loop().call_later(_LAST_BYTES_S, self.transport.abort)


class Tunnel:
    """Joins a client's connection and an upstream's (ports.Tunnel)."""

    __slots__ = (
        "_client", "_departure", "_drains", "_idle_s", "_linger", "_now", "_observer", "_unsent", "_upstream", "_waiter",
        "_watch", "heard_at", "observer_failed",
    )  # fmt: skip

    def __init__(self, observer: SessionObserver, now: Callable[[], float], watch: Watch, idle_s: float) -> None:
        self._observer = observer
        self._now = now
        self._watch = watch
        self._idle_s = idle_s
        self.heard_at = now()
        self._departure: Departure | None = None
        self._drains = False
        self._linger: asyncio.TimerHandle | None = None
        self._unsent = 0
        self._waiter: asyncio.Future[None] | None = None
        self.observer_failed = False
        client = self._client = Side(self, Departure.CLIENT, observer.read_client)
        upstream = self._upstream = Side(self, Departure.UPSTREAM, observer.read_server)
        client.peer, upstream.peer = upstream, client

    def open(self, client: Upgradable, connection: Connection, head: bytes) -> None:
        """Join them: the client gets `head`, then each what the other has sent already."""
        near, far = client.hand_over(self._client), connection.hand_over(self._upstream)
        self._client.transport, self._upstream.transport = near.transport, far.transport
        self._client.told = near.told
        near.transport.write(head)
        for side, handed in ((self._client, near), (self._upstream, far)):
            if handed.is_full:
                side.pause_writing()
            if handed.rest:
                side.data_received(handed.rest)
        self._watch.add(self, self.heard_at + self._idle_s)

    @property
    def request_bytes(self) -> int:
        """Bytes from the client (ports.Tunnel)."""
        return self._client.bytes

    @property
    def sent_bytes(self) -> int:
        """Bytes to the client (ports.Tunnel)."""
        return self._upstream.bytes

    async def until_closed(self) -> Departure:
        """Wait until both connections are closed; return who left first (ports.Tunnel)."""
        while not (self._client.gone and self._upstream.gone):
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                await self._waiter
            finally:
                self._waiter = None
        return self._departure or Departure.CLIENT

    def dismiss(self, departure: Departure, kind: ErrorKind) -> None:
        """Tell both ends that we leave, and why, and close (ports.Tunnel)."""
        if self._departure is not None:  # one has left already: the end is under way
            return
        self._leave(departure)
        for side, key in ((self._client, None), (self._upstream, os.urandom(_MASK_BYTES))):
            if not side.transport.is_closing():
                if not self.observer_failed:
                    side.transport.write(self._observer.compose_close(_GOING_AWAY, kind.id, key=key))
                side.transport.close()

    def release(self) -> None:
        """See that nothing remains: where nobody has left yet, both are closed at once."""
        if self._departure is None:
            self._leave(Departure.STOPPING)
            self._client.transport.abort()
            self._upstream.transport.abort()

    def check(self, now: float) -> float | None:
        """Leave if neither side has sent anything for too long (watch.Watched); return the next moment to ask."""
        if self._departure is not None:
            return None
        due = self.heard_at + self._idle_s
        if now < due:
            return due
        self.dismiss(Departure.IDLE, IDLE_TIMEOUT)
        return None

    # -- what a side tells -----------------------------------------------------------------

    def touch(self) -> None:
        """Something came."""
        self.heard_at = self._now()

    def look(self, read: Callable[[bytes], None], data: bytes) -> None:
        """Have the observer read it, unless it is switched off."""
        if not self.observer_failed:
            try:
                read(data)
            except Exception:  # a broken observer must not cost the user a byte
                self.observer_failed = True
        if self._drains:
            self.drain()

    def drain(self) -> None:
        """Leave as soon as no answer is in progress: what goes on after it can go on elsewhere."""
        self._drains = True
        if self._observer.is_quiet and not self.observer_failed:
            self.dismiss(Departure.STOPPING, STOPPING)

    def end(self, side: Side) -> bool:
        """A side sends no more; return whether it is still to be written to."""
        self._leave(side.departure)
        other = side.peer.transport
        said = self._observer.client_said_goodbye if side is self._client else self._observer.server_said_goodbye
        if not said or self.observer_failed or side.peer.ended or not other.can_write_eof() or not side.transport.can_write_eof():
            other.close()
            return False
        if not other.is_closing():
            other.write_eof()
        return True

    def lose(self, side: Side, *, broken: bool) -> None:
        """A side is gone; `broken`: by a reset, not by a close."""
        self._leave(side.departure)
        if not side.peer.gone:
            if broken:
                side.peer.reset()
            else:
                side.peer.transport.close()
            return
        if self._linger is not None:
            self._linger.cancel()
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def _leave(self, departure: Departure) -> None:
        if self._departure is None:
            self._departure = departure
            self._watch.remove(self)
            self._wait_on()

    def _wait_on(self) -> None:
        self._unsent = self._count_unsent()
        self._linger = asyncio.get_running_loop().call_later(_LINGER_S, self._give_up)

    def _give_up(self) -> None:
        """One has left, and the other does not close: as long as it takes what was sent to it, it has time."""
        if self._count_unsent() < self._unsent:
            self._wait_on()
            return
        self._client.transport.abort()
        self._upstream.transport.abort()

    def _count_unsent(self) -> int:
        return sum(side.transport.get_write_buffer_size() for side in (self._client, self._upstream) if not side.gone)
