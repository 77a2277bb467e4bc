"""The caller's side of one exchange: its request's body, and the way back."""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

from sidecar.edge.sockets import reset_when_closed
from sidecar.errors import BAD_REQUEST, ClientFault, Fault
from sidecar.exchange import Call
from sidecar.ports import Handover, Receiver

# Time for the last bytes to leave before a connection is reset on purpose: a reset overtakes them.
_LAST_BYTES_S: Final = 0.1
# Of a body that nobody takes: what more comes waits in the socket's buffers.
_HELD_BYTES_MAX: Final = 256 * 1024


class Line(Protocol):
    """The connection a call came on."""

    transport: asyncio.Transport
    lost: bool

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Tell of a caller that reads too slowly."""
        ...

    def hold_reading(self) -> None:
        """Stop reading."""
        ...

    def resume_reading(self) -> None:
        """Read on."""
        ...

    def outlast(self) -> None:
        """Wait for no end of this call."""
        ...

    def hand_over(self, receiver: Receiver) -> Handover:
        """Give the connection away."""
        ...


class HttpClient:
    """One call over HTTP (ports.Client)."""

    __slots__ = ("_fault", "_held_bytes", "_idle_s", "_line", "_pieces", "_waiter", "call", "keep", "resets", "whole", "write")

    fault: Fault | None = None  # everything can be taken (ports.Client)

    def __init__(self, call: Call, line: Line, idle_s: float) -> None:
        self.call = call
        self._line = line
        self._idle_s = idle_s
        self._pieces: list[bytes] = []
        self._held_bytes = 0
        self._fault = False
        self._waiter: asyncio.Future[None] | None = None
        self.whole = False  # the request's body has come to its end
        self.write = line.transport.write  # sends bytes to the caller (ports.Client); the transport's own, for it is called per chunk
        self.keep = False
        self.resets = False

    # -- what the connection does ----------------------------------------------------------

    def feed(self, data: bytes) -> None:
        """A piece of the body came."""
        self._pieces.append(data)
        self._held_bytes += len(data)
        if self._held_bytes > _HELD_BYTES_MAX:
            self._line.hold_reading()
        if self._waiter is not None:
            self._wake()

    def feed_end(self) -> None:
        """The body is whole."""
        self.whole = True
        if self._waiter is not None:
            self._wake()

    def feed_fault(self) -> None:
        """What came is no body."""
        self._fault = True
        self._wake()

    def _wake(self) -> None:
        if self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    # -- ports.Client ----------------------------------------------------------------------

    @property
    def gone(self) -> bool:
        """Whether the caller has closed its connection (ports.Client)."""
        return self._line.lost or self._line.transport.is_closing()

    @property
    def remote(self) -> str:
        """The address that the caller calls from."""
        peer = self._line.transport.get_extra_info("peername")
        return peer[0] if isinstance(peer, tuple) else ""

    @property
    def is_encrypted(self) -> bool:
        """Whether the connection is one of TLS."""
        return self._line.transport.get_extra_info("sslcontext") is not None

    def take_body(self, bytes_max: int) -> bytes | None:
        """Return the body if all of it is here already (ports.Client)."""
        return self._take() if self.whole and self._held_bytes <= bytes_max else None

    async def read_body(self, bytes_max: int) -> tuple[bytes, bool]:
        """Return the body and whether it is whole (ports.Client)."""
        # RFC 9110 section 10.1.1: HTTP/1.0 knows no interim answers.
        if self.call.wanted.expects_continue and self.call.http_version >= (1, 1) and not self.whole and not self._pieces:
            self.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        pieces: list[bytes] = []
        size = 0
        while size <= bytes_max:
            piece = await self.read_more()
            if not piece:
                return b"".join(pieces), True
            pieces.append(piece)
            size += len(piece)
        return b"".join(pieces), False

    async def read_more(self) -> bytes:
        """Return the next piece of the body, b"" at its end (ports.Client)."""
        while not self._pieces:
            if self.whole:
                return b""
            if self._fault:
                raise ClientFault(BAD_REQUEST, "the request's body is not well-formed")
            self._line.resume_reading()
            self._waiter = asyncio.get_running_loop().create_future()
            try:
                async with asyncio.timeout(self._idle_s):
                    await self._waiter
            except TimeoutError:
                raise ClientFault(BAD_REQUEST, f"the request's body stopped for {self._idle_s:g} s") from None
            finally:
                self._waiter = None
        return self._take()

    def _take(self) -> bytes:
        pieces = self._pieces
        if not pieces:
            return b""
        data = pieces[0] if len(pieces) == 1 else b"".join(pieces)
        pieces.clear()
        if self._held_bytes > _HELD_BYTES_MAX:
            self._line.resume_reading()
        self._held_bytes = 0
        return data

    async def drop_rest(self, patience_s: float) -> bool:
        """Read the rest of a body that nobody wants; return whether it came to its end in time."""
        try:
            async with asyncio.timeout(patience_s):
                while await self.read_more():
                    pass
        except (TimeoutError, ClientFault):
            return False
        return True

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Be told of a caller that reads too slowly (ports.Client)."""
        self._line.watch(pause, go_on)

    def outlast(self) -> None:
        """This call has no end of its own (ports.Client)."""
        self._line.outlast()

    def hand_over(self, receiver: Receiver) -> Handover:
        """Give the connection away: HTTP ends here (ports.Upgradable)."""
        self.keep = False
        return self._line.hand_over(receiver)

    def finish(self, *, keep: bool) -> None:
        """The answer has been written (ports.Client)."""
        self.keep = keep

    def break_off(self, *, unmistakably: bool) -> None:
        """Close without an end (ports.Client)."""
        self.keep = False
        transport = self._line.transport
        if not unmistakably or transport.is_closing():
            if transport.get_write_buffer_size():  # an orderly close waits for a caller that may never read again
                asyncio.get_running_loop().call_later(self._idle_s, transport.abort)
            transport.close()
            return
        self.resets = True
        reset_when_closed(transport)

    async def settle(self) -> None:
        """Wait until the caller has taken what was written to it: the call is over, the socket is not.

        A caller that takes nothing for the idle limit has left. A connection that is to be reset has no such time.
        """
        transport = self._line.transport
        if self.resets:
            await asyncio.sleep(_LAST_BYTES_S)
            transport.abort()
        elif not transport.is_closing():
            transport.set_write_buffer_limits(0)  # be told when it is empty
            while (unsent := transport.get_write_buffer_size()) and not transport.is_closing():
                await self._until_empty()
                if transport.get_write_buffer_size() >= unsent:
                    self.keep = False
                    transport.abort()
            transport.set_write_buffer_limits()

    async def _until_empty(self) -> None:
        """Wait until nothing is left to be written, no longer than the idle limit."""
        empty = asyncio.Event()
        self._line.watch(None, empty.set)
        try:
            async with asyncio.timeout(self._idle_s):
                await empty.wait()
        except TimeoutError:
            pass
        finally:
            self._line.watch(None, None)
