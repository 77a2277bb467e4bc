"""One HTTP/1.1 connection to an upstream: bytes in, head, body pieces and end out.

The parser is llhttp in its strict form. Its owner is told by callback, in the turn of the event
loop in which the bytes came, because a task wake-up per chunk is what makes proxies slow.
A connection may be used again only after a clean end: whole answer read, nothing behind it, the
whole request sent, keep-alive agreed by both.
"""

import asyncio
import select
from collections.abc import Callable
from typing import Final

import httptools

from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.heads import read_answer
from sidecar.edge.outbound.telling import Keeper, Listener
from sidecar.errors import UPSTREAM_MALFORMED, UPSTREAM_RESET, ErrorKind
from sidecar.ports import Handover, Receiver

# More interim answers than any server sends; a hostile one could send them for ever.
_INTERIM_MAX: Final = 16
# A connection idle for less than this is not asked whether it still lives: the check is a system call. On a busy machine
# the news of a close waits for its turn of the event loop, so that this is not longer than such a turn may well be.
_TRUSTED_IDLE_S: Final = 0.002


class Connection(asyncio.Protocol):
    """A connection that carries one request at a time."""

    __slots__ = (
        "_beyond", "_clean", "_ended", "_framing", "_head", "_head_bytes", "_head_bytes_max", "_interim", "_keeper", "_listener",
        "_lost", "_method", "_parser", "_pieces", "_poller", "_spill", "_upgrades", "_whole", "_writable",
        "admitted", "expires_at", "idle_since", "paused", "transport", "used",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, keeper: Keeper, head_bytes_max: int, now: float) -> None:
        self._keeper = keeper
        self._head_bytes_max = head_bytes_max
        self._parser = httptools.HttpResponseParser(self)
        self._listener: Listener | None = None
        self._lost = False
        self._beyond: bytes | None = None  # what came behind a 101
        self._pieces: list[bytes] = []
        self._poller: select.poll | None = None
        self._writable: asyncio.Future[None] | None = None
        self.admitted = False  # set by the pool once the dialling is over
        self.expires_at = now
        self.idle_since = now
        self.paused = False
        self.used = 0
        self._begin("")

    def _begin(self, method: str) -> None:
        self._method = method
        self._head = b""
        self._head_bytes = 0
        self._interim = 0
        self._framing: Framing | None = None
        self._ended = False
        self._clean = False
        self._spill = False
        self._upgrades = False
        self._whole = True

    # -- what the owner does ---------------------------------------------------------------

    def send(self, method: str, data: bytes, listener: Listener, *, whole: bool, upgrades: bool = False) -> None:
        """Send a request, or its beginning if it is not `whole`, and tell `listener` of the answer.

        `upgrades`: it may be answered with 101, after which the connection waits to be handed over.
        """
        self._begin(method)
        self._whole = whole
        self._upgrades = upgrades
        self._listener = listener
        self.used += 1
        self.transport.write(data)

    def send_more(self, data: bytes) -> None:
        """Send more of a request's body."""
        if not self._lost:
            self.transport.write(data)

    def end_request(self, data: bytes) -> None:
        """Send the last bytes of a request's body, if any are needed."""
        self._whole = True
        if data and not self._lost:
            self.transport.write(data)

    async def until_writable(self) -> None:
        """Wait until the socket takes more, or the connection is lost."""
        if self._writable is not None:
            await asyncio.shield(self._writable)

    @property
    def unsent_bytes(self) -> int:
        """Bytes of the request that the socket has not taken yet."""
        return 0 if self._lost else self.transport.get_write_buffer_size()

    @property
    def lost(self) -> bool:
        """Whether the connection is closed, by whomever."""
        return self._lost

    def pause(self) -> None:
        """Stop reading: the client is slower than the upstream."""
        if not self.paused and not self._lost:
            self.paused = True
            self.transport.pause_reading()

    def resume(self) -> None:
        """Read on."""
        if self.paused and not self._lost:
            self.paused = False
            self.transport.resume_reading()

    def hand_over(self, receiver: Receiver) -> Handover:
        """Give the connection to `receiver` after a 101: it is HTTP no more, and the pool's no more."""
        rest, self._beyond = self._beyond or b"", None
        self._listener = None
        self.transport.set_protocol(receiver)
        self.resume()
        self._lost = True
        self._keeper.give_away(self)
        return Handover(self.transport, rest, self._writable is not None, self)

    def abort(self) -> None:
        """Close at once; the listener is not told. The upstream sees the reset and can stop working."""
        self._listener = None
        self._let_go(self.transport.abort)

    def is_alive(self, now: float) -> bool:
        """Tell whether an idle connection may still be used.

        The upstream may have closed it in the meantime with the news not read yet; a request sent
        into that race would fail through nobody's fault. Asking the socket closes all of the race
        but the time the news is under way.
        """
        if self._lost or self.transport.is_closing() or now >= self.expires_at:
            return False
        if now - self.idle_since < _TRUSTED_IDLE_S:
            return True
        if self._poller is None:
            self._poller = select.poll()
            self._poller.register(self.transport.get_extra_info("socket").fileno(), select.POLLIN)
        return not self._poller.poll(0)

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport (asyncio)."""
        self.transport = transport  # type: ignore[assignment]  # TCP and TLS transports are both asyncio.Transport

    def pause_writing(self) -> None:
        """The socket takes no more for now (asyncio)."""
        self._writable = asyncio.get_running_loop().create_future()

    def resume_writing(self) -> None:
        """The socket takes more (asyncio)."""
        if self._writable is not None and not self._writable.done():
            self._writable.set_result(None)
        self._writable = None

    def data_received(self, data: bytes) -> None:
        """Read what came (asyncio), and tell the listener at once."""
        listener = self._listener
        if listener is None:  # an idle connection has nothing to say: whatever this is, it is no answer of ours
            self._let_go(self.transport.close)
            return
        if self._framing is None:
            self._head = self._head + data if self._head else data
        try:
            self._parser.feed_data(data)
        except (httptools.HttpParserError, httptools.HttpParserUpgrade, ValueError):
            if self._beyond is not None:  # the 101 that was asked for: what stands behind it is kept already
                return
            self._spill = True
            if not self._ended:
                if self._pieces:
                    listener.on_body(b"".join(self._pieces))
                self._fail(UPSTREAM_MALFORMED, "the answer is not well-formed HTTP/1.1")
                return
        pieces = self._pieces
        told = bool(pieces)
        if told:
            body = pieces[0] if len(pieces) == 1 else b"".join(pieces)
            pieces.clear()
            self._head_bytes = 0
            listener.on_body(body)
        if self._ended:
            self._finish(listener)
        elif not told:
            # A head, a trailer or a chunk extension that never ends. Trailers are shown to nobody.
            self._head_bytes += len(data)
            if self._head_bytes > self._head_bytes_max:
                self._fail(UPSTREAM_MALFORMED, "the response head or trailer is too large")

    def connection_lost(self, exc: Exception | None) -> None:
        """The connection is closed (asyncio)."""
        self.resume_writing()
        if self._lost:
            return
        self._lost = True
        listener, self._listener = self._listener, None
        self._keeper.take_back(self, reusable=False)
        if listener is None:
            return
        if self._framing is Framing.CLOSE and exc is None:
            listener.on_end()
        elif self._framing is None:
            again = (
                "an idle connection was closed while the request was sent" if self.used > 1 and not self._head_bytes else "no answer came"
            )
            listener.on_lost(UPSTREAM_RESET, again)
        else:
            listener.on_lost(UPSTREAM_RESET, "the connection broke within the answer")

    # -- httptools callbacks ---------------------------------------------------------------

    def on_message_begin(self) -> None:
        """A message begins: if ours has ended, it is one nobody asked for."""
        if self._ended:
            self._spill = True

    def on_headers_complete(self) -> None:
        """A head is whole; if it is final, hand it over."""
        if self._ended:
            return
        raw = self._head.lstrip(b"\r\n")  # empty lines before an answer are skipped, as the parser does
        end = raw.find(b"\r\n\r\n")
        if not 0 < end <= self._head_bytes_max:
            raise ValueError("response head too large, or with bare line feeds")
        status = self._parser.get_status_code()
        if status == 101 and self._upgrades and self._parser.should_upgrade():
            self._switch(raw[:end], raw[end + 4 :])
            return
        if 100 <= status < 200:
            self._head = raw[end + 4 :]
            self._interim += 1
            if self._interim > _INTERIM_MAX or status == 101:
                raise ValueError("unexpected interim answer")
            return
        self._head = b""
        head = read_answer(self._method, status, raw[:end])
        self._framing = head.framing
        if self._listener is not None:
            self._listener.on_head(head)
        if self._framing is Framing.NONE:
            # The parser does not know about HEAD: whatever length is told, the answer ends here.
            self._ended = True

    def on_body(self, data: bytes) -> None:
        """Collect pieces of the body: one read of the socket is handed over as one."""
        if self._ended:
            self._spill = True
        else:
            self._pieces.append(data)

    def on_message_complete(self) -> None:
        """A message has ended: an interim one, or the answer."""
        if self._framing is None:
            return
        self._clean = self._parser.should_keep_alive() and self._method != "HEAD"
        self._ended = True

    # --------------------------------------------------------------------------------------

    def _finish(self, listener: Listener) -> None:
        if self._listener is None:  # the listener gave up while it was told of the last piece
            return
        self._listener = None
        reusable = self._clean and self._whole and not self._spill and not self.paused and not self.unsent_bytes
        if reusable:
            self._keeper.take_back(self, reusable=True)
        else:
            self._let_go(self.transport.close)
        listener.on_end()

    def _switch(self, head: bytes, rest: bytes) -> None:
        self._head = b""
        self._beyond = rest
        self.pause()  # nothing more is read until the connection is handed over
        if self._listener is not None:
            self._listener.on_head(read_answer(self._method, 101, head))

    def _let_go(self, close: Callable[[], None]) -> None:
        if not self._lost:
            self._lost = True
            close()
            self._keeper.take_back(self, reusable=False)

    def _fail(self, kind: ErrorKind, detail: str) -> None:
        listener, self._listener = self._listener, None
        self._let_go(self.transport.abort)
        if listener is not None:
            listener.on_lost(kind, detail)
