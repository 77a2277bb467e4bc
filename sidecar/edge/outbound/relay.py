"""One answer on its way from an upstream's connection to the client.

A coroutine waits for two moments only, the head and the end. In between each piece goes from the
upstream's socket to the client's in one callback, and is looked at after it was written. When the
client is slow the upstream is paused, so memory stays bounded; when the upstream is slow the
deadlines of `core.attempt.deadlines` decide.
"""

import asyncio
from collections.abc import Callable
from math import inf
from typing import Final

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.compose import LAST_CHUNK, frame_chunk
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.observe.contract import BodyFilter, Observer
from sidecar.core.observe.sessions import SessionObserver
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.looking import Looking, Preview
from sidecar.edge.outbound.tunnel import Tunnel
from sidecar.edge.outbound.watch import Watch
from sidecar.errors import (
    FIRST_TOKEN_TIMEOUT,
    IDLE_TIMEOUT,
    STREAM_CUT,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    ClientGone,
    ErrorKind,
    UpstreamFault,
)
from sidecar.ports import Client, Upgradable

_NONE, _CHUNKED = Framing.NONE, Framing.CHUNKED
_BROKEN_WITHIN: Final = frozenset({UPSTREAM_RESET, UPSTREAM_MALFORMED})


class Relay(Looking):
    """The answer to one request (ports.Answer)."""

    __slots__ = (
        "_client", "_connection", "_deadlines", "_ended", "_ends_itself", "_fault", "_filter", "_framing", "_head", "_held", "_now",
        "_tunnel", "_unsent", "_waiter", "_watch", "_whole", "_write", "connected_at", "first_byte_at", "head_at", "last_at",
        "reused", "sent_at", "sent_bytes",
    )  # fmt: skip

    def __init__(self, connection: Connection, deadlines: Deadlines, now: Callable[[], float], watch: Watch, connected_at: float) -> None:
        self._observer = self._preview = None
        self.observer_failed = False
        self._connection = connection
        self._deadlines = deadlines
        self._now = now
        self._head: AnswerHead | None = None
        self._held: list[bytes] = []
        self._ended = False
        self._fault: UpstreamFault | ClientGone | None = None
        self._waiter: asyncio.Future[None] | None = None
        self._watch = watch
        self._client: Client | None = None
        self._write: Callable[[bytes], None] | None = None
        self._framing = _NONE
        self._filter: BodyFilter | None = None
        self._tunnel: Tunnel | None = None
        self._unsent = 0
        self._ends_itself = False
        self._whole = True
        self.connected_at = connected_at
        self.reused = connection.used > 0
        self.sent_at: float | None = None
        self.head_at: float | None = None
        self.first_byte_at: float | None = None
        self.last_at = connected_at
        self.sent_bytes = 0

    # -- what the path does ----------------------------------------------------------------

    def start(self, method: str, data: bytes, *, whole: bool, upgrades: bool = False) -> None:
        """Send the request, or if it is not `whole` the beginning of it, and start the clock."""
        self._whole = whole
        self._connection.send(method, data, self, whole=whole, upgrades=upgrades)
        self.sent_at = self.last_at = self._now()
        self._unsent = self._connection.unsent_bytes
        self._watch.add(self, self._deadlines.next_due(head_seen=False, since=self.last_at)[0])

    async def send_more(self, data: bytes) -> None:
        """Send another piece of a streamed request body, at the upstream's pace."""
        self._connection.send_more(data)
        self.last_at = self._now()
        await self._connection.until_writable()

    def end_request(self, data: bytes) -> None:
        """Send the last bytes of a streamed request body."""
        self._whole = True
        self._connection.end_request(data)
        self.last_at = self._now()

    @property
    def ended(self) -> bool:
        """Whether the answer is whole."""
        return self._ended

    @property
    def answering(self) -> bool:
        """Whether anything came back, or ever will: a head, or a failure."""
        return self._head is not None or self._fault is not None

    async def until_head(self) -> AnswerHead:
        """Wait for the response head. Raises UpstreamFault."""
        while self._head is None:
            await self._until_told()
        return self._head

    async def preview(self, observer: Observer, bytes_max: int, due: float, *, whole: bool) -> bytes:
        """Hold back what comes, and look at it, until it tells what the answer is worth (ports.Answer). Raises UpstreamFault."""
        self._observer = observer
        preview = self._preview = Preview(bytes_max, due, whole=whole)
        is_told = False
        for data in self._held:
            self._look_at(data, self.last_at)
            is_told = preview.tells(self._observer, data)
        if self._ended:
            self._close_observer(self.last_at)
        self._watch.add(self, due)
        while not self._ended and not is_told:
            await self._until_told()
            is_told = preview.due == inf
        return b"".join(preview.pieces)

    def commit(
        self, client: Client, head: bytes, framing: Framing, observer: Observer | None, body_filter: BodyFilter | None, *, ends_itself: bool
    ) -> None:
        """Send the head and what is held of the body to the client; from here on, pieces pass at once.

        This is the commit point: after it the attempt can no longer be replaced. `ends_itself`: the
        end of the body is passed on as it comes; otherwise whoever judges the answer writes it.
        """
        self._client, self._framing, self._observer, self._filter, self._ends_itself = client, framing, observer, body_filter, ends_itself
        client.watch(self._hold, self._go_on)
        held, self._held = self._held, []
        first = [head]  # one write for all that is here: each is a system call
        self._write = first.append
        for data in held:
            self._forward(data, self.last_at)
        if self._ended:
            self._close_body()
        self._write = client.write
        for data in (b"".join(first),) if head else first[1:]:  # whoever has no head to send keeps the pieces apart
            client.write(data)
        if self._preview is not None:
            return
        for data in held:
            self._look_at(data, self.last_at)
        if self._ended:
            self._close_observer(self.last_at)

    def open_tunnel(self, client: Upgradable, head: bytes, observer: SessionObserver, idle_s: float) -> Tunnel:
        """Answer a handshake with `head`, and join the two connections. Raises UpstreamFault where the upstream has left again."""
        if self._fault is not None:
            raise self._fault
        self._watch.remove(self)
        self._ended = True  # as HTTP: the connection is not ours any more
        tunnel = self._tunnel = Tunnel(observer, self._now, self._watch, idle_s)
        tunnel.open(client, self._connection, head)
        return tunnel

    async def until_end(self) -> None:
        """Wait until the answer is whole. Raises UpstreamFault if it broke off, ClientGone if nobody reads it."""
        while not self._ended:
            await self._until_told()

    def release(self) -> None:
        """Let go of everything: the answer has ended, or nobody wants it any more."""
        self._watch.remove(self)
        if self._tunnel is not None:
            self._tunnel.release()
            self.sent_bytes, self.observer_failed = self._tunnel.sent_bytes, self._tunnel.observer_failed
        if not self._ended:
            self._connection.abort()
            self._close_observer(self.last_at)
            self._observer = None
        if self._client is not None:
            self._client.watch(None, None)
            self._client = None
        self._write = None

    # -- connection.Listener ---------------------------------------------------------------

    def on_head(self, head: AnswerHead) -> None:
        """The head came."""
        self._head = head
        self.head_at = self.last_at = self._now()
        if self._deadlines.idle_s < self._deadlines.first_byte_s:  # else the moment known to the watch is early enough
            self._watch.add(self, self._deadlines.next_due(head_seen=True, since=self.last_at)[0])
        self._wake()

    def on_body(self, data: bytes) -> None:
        """A piece of the body came."""
        self.last_at = now = self._now()
        write = self._write
        if write is None:
            self._held.append(data)
            if self._preview is not None:
                self._look_at(data, now)
                if self._preview.tells(self._observer, data):
                    self._wake()
            return
        if self._filter is None and self._framing is _CHUNKED and self.first_byte_at is not None:  # nearly every piece of a stream
            self.sent_bytes += len(data)
            write(b"%x\r\n%b\r\n" % (len(data), data))
        else:
            self._forward(data, now)
        self._look_at(data, now)

    def on_end(self) -> None:
        """The answer is whole."""
        self._ended = True
        self.last_at = self._now()
        if self._write is not None:
            self._close_body()
            self._close_observer(self.last_at)
        elif self._preview is not None:
            self._close_observer(self.last_at)
        self._wake()

    def on_lost(self, kind: ErrorKind, detail: str) -> None:
        """The answer will not be whole."""
        if self._head is not None and kind in _BROKEN_WITHIN:
            kind = STREAM_CUT
        self._fail(UpstreamFault(kind, detail))

    # --------------------------------------------------------------------------------------

    def _forward(self, data: bytes, now: float) -> None:
        if self._filter is not None:
            data = self._filter.feed(data)
        if data:
            self._send(data, now)

    def _send(self, data: bytes, now: float) -> None:
        if self.first_byte_at is None:
            self.first_byte_at = now
        self.sent_bytes += len(data)
        if self._write is None or self._framing is _NONE:
            return
        self._write(frame_chunk(data) if self._framing is _CHUNKED else data)

    def _close_body(self) -> None:
        rest = b"" if self._filter is None else self._filter.flush()
        if rest:
            self._send(rest, self.last_at)
        if self._ends_itself and self._framing is _CHUNKED and self._write is not None:
            self._write(LAST_CHUNK)

    # An answer that has ended has no connection any more: it may be carrying another call by now.

    def _hold(self) -> None:
        if not self._ended:
            self._connection.pause()

    def _go_on(self) -> None:
        if not self._ended:
            self.last_at = self._now()  # the silence was the client's, not the upstream's
            self._connection.resume()

    def _fail(self, fault: UpstreamFault | ClientGone) -> None:
        if self._fault is None and not self._ended:
            self._fault = fault
            self._wake()

    def _until_told(self) -> "asyncio.Future[None]":
        """Return what is done when there is news. Raises what has failed."""
        if self._fault is not None:
            raise self._fault
        self._waiter = waiter = asyncio.get_running_loop().create_future()
        return waiter

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def check(self, now: float) -> float | None:
        """Give up if it is time to (watch.Watched); return the next moment to ask."""
        if self._ended or self._fault is not None:
            return None
        unsent = self._connection.unsent_bytes
        if self._head is None and (unsent < self._unsent or not (self._whole or unsent)):
            self.last_at = now  # the request is still on its way, or still coming in: the upstream is not late yet
        self._unsent = unsent
        due, kind = self._deadlines.next_due(head_seen=self._head is not None, since=self.last_at)
        if self._preview is not None and self._preview.due < due:
            due, kind = self._preview.due, FIRST_TOKEN_TIMEOUT
        if now < due:
            return due
        if kind is IDLE_TIMEOUT and self._connection.paused:
            self._fail(ClientGone("the client stopped reading"))
        else:
            self._fail(UpstreamFault(kind, f"{kind.summary} Silent for {now - self.last_at:.1f} s."))
            self._connection.abort()
        return None
