"""The caller's side of one exchange, over aiohttp's low-level server.

aiohttp parses what comes in. What goes out is written to the transport as it stands: an answer's
head and pieces are made once, not taken apart and put together again.
"""

import asyncio
import socket
import struct
from collections.abc import Callable
from typing import Final

from aiohttp import StreamReader, web
from aiohttp.http import RawRequestMessage

from sidecar.errors import BAD_REQUEST, ClientFault, ClientGone
from sidecar.exchange import Call

# Time for the last bytes to leave before a connection is reset on purpose: a reset overtakes them.
_LAST_BYTES_S: Final = 0.1
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds


class _Written(web.StreamResponse):
    """Tells aiohttp that the answer has been written already."""

    def __init__(self, *, keep: bool) -> None:
        super().__init__()
        self._keep = keep

    @property
    def keep_alive(self) -> bool | None:
        """Whether the connection may carry another call."""
        return self._keep

    async def prepare(self, request: web.BaseRequest) -> None:
        """Do nothing."""

    async def write_eof(self, data: bytes = b"") -> None:
        """Do nothing."""


class ClientConnection(web.RequestHandler):
    """A caller's connection: aiohttp's, and it tells when the caller reads too slowly."""

    __slots__ = ("_awaited", "_go_on", "_held", "_pause", "begun_at", "on_malformed")

    def __init__(self, *args: object, on_malformed: Callable[[], bytes], **options: object) -> None:
        super().__init__(*args, **options)  # type: ignore[arg-type]
        self.on_malformed = on_malformed
        self._held = False
        self._pause: Callable[[], None] | None = None
        self._go_on: Callable[[], None] | None = None
        self._awaited: StreamReader | None = None
        self.begun_at = 0.0  # when a head began to come; 0: none has; -1: a call is being carried

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Tell `pause` when the write buffer is full, `go_on` when it has drained."""
        self._pause, self._go_on = pause, go_on
        if pause is not None and self.writing_paused:
            pause()

    def data_received(self, data: bytes) -> None:
        """Read what came (asyncio)."""
        if not self.begun_at and data:
            self.begun_at = asyncio.get_running_loop().time()
        super().data_received(data)
        if self._awaited is not None and self.is_malformed:
            self._awaited.set_exception(web.RequestPayloadError("not well-formed"))

    @property
    def is_malformed(self) -> bool:
        """Whether bytes came that are not HTTP. The parser does not tell whoever waits for the rest of a body."""
        return bool(self._messages) and not isinstance(self._messages[-1][0], RawRequestMessage)

    def await_body(self, content: StreamReader | None) -> None:
        """Tell `content` if the rest of it turns out malformed; None: it is no longer waited for."""
        self._awaited = content

    def pause_reading(self) -> None:
        """Stop reading: the call takes less than the caller sends (aiohttp)."""
        self._held = True
        super().pause_reading()

    def resume_reading(self, resume_parser: bool = True) -> None:
        """Read on (aiohttp), which asks for it with every body it has read, held or not."""
        if self._held:
            self._held = False
            super().resume_reading(resume_parser)

    def pause_writing(self) -> None:
        """The caller reads too slowly (asyncio)."""
        super().pause_writing()
        if self._pause is not None:
            self._pause()

    def resume_writing(self) -> None:
        """The caller has caught up (asyncio)."""
        super().resume_writing()
        if self._go_on is not None:
            self._go_on()

    def handle_error(
        self, request: web.BaseRequest, status: int = 500, exc: BaseException | None = None, message: str | None = None
    ) -> web.StreamResponse:
        """Answer what the parser refused. Its own words are not passed on: they quote the input."""
        response = web.Response(status=400 if status < 500 else status, body=self.on_malformed(), content_type="application/json")
        response.headers["x-sidecar-error"] = BAD_REQUEST.id
        response.force_close()
        return response


class HttpClient:
    """One call over HTTP (ports.Client)."""

    __slots__ = ("_call", "_connection", "_content", "_continue", "_idle_s", "_transport", "keep", "resets", "write")

    def __init__(self, request: web.BaseRequest, connection: ClientConnection, call: Call, *, idle_s: float) -> None:
        self._call = call
        self._connection = connection
        self._content = request.content
        # RFC 9110 section 10.1.1: HTTP/1.0 knows no interim answers.
        self._continue = call.wanted.expects_continue and call.http_version >= (1, 1)
        self._idle_s = idle_s
        transport = connection.transport
        if transport is None:
            raise ClientGone
        self._transport = transport
        self.write = transport.write  # sends bytes to the caller (ports.Client); the transport's own, for it is called per chunk
        self.keep = False
        self.resets = False

    @property
    def call(self) -> Call:
        """What came in."""
        return self._call

    @property
    def gone(self) -> bool:
        """Whether the caller has closed its connection (ports.Client)."""
        return self._connection.transport is None or self._transport.is_closing()

    async def read_body(self, bytes_max: int) -> tuple[bytes, bool]:
        """Return the body and whether it is whole (ports.Client)."""
        content = self._content
        if self._continue and not content.is_eof():
            self._transport.write(b"HTTP/1.1 100 Continue\r\n\r\n")
        if content.is_eof():
            data = content.read_nowait()
            return data, True
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
        connection, content = self._connection, self._content
        try:
            if connection.is_malformed and not content.is_eof():
                raise web.RequestPayloadError("not well-formed")
            connection.await_body(content)
            async with asyncio.timeout(self._idle_s):
                return await content.readany()
        except TimeoutError:
            raise ClientFault(BAD_REQUEST, f"the request's body stopped for {self._idle_s:g} s") from None
        except (web.RequestPayloadError, ConnectionError):
            if self._transport.is_closing():
                raise ClientGone from None
            raise ClientFault(BAD_REQUEST, "the request's body is not well-formed") from None
        finally:
            connection.await_body(None)

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Be told of a caller that reads too slowly (ports.Client)."""
        self._connection.watch(pause, go_on)

    def finish(self, *, keep: bool) -> None:
        """The answer has been written (ports.Client)."""
        self.keep = keep

    def break_off(self, *, unmistakably: bool) -> None:
        """Close without an end (ports.Client)."""
        self.keep = False
        if not unmistakably or self._transport.is_closing():
            if self._transport.get_write_buffer_size():  # an orderly close waits for a caller that may never read again
                asyncio.get_running_loop().call_later(self._idle_s, self._transport.abort)
            self._transport.close()
            return
        self.resets = True
        sock = self._transport.get_extra_info("socket")
        if sock is not None:  # from here on whoever closes it resets it
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)

    async def settle(self) -> None:
        """Where the connection is to be reset, wait until the last bytes have left: the call is over, the socket is not."""
        await asyncio.sleep(_LAST_BYTES_S)
        self._transport.abort()


KEEP: Final = _Written(keep=True)
CLOSE: Final = _Written(keep=False)
