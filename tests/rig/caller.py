"""A client on a bare socket: it sends what it is told and sees how an answer really ended.

SDKs hide the difference between an answer that ended and one that broke off; here it is all that
matters. An answer is whole only if its framing says so (RFC 9112, section 6.3).
"""

import asyncio
import json
import socket
import struct
import time
from collections.abc import Sequence
from typing import Any, Final
from urllib.parse import urlsplit

import httptools

PATIENCE_S: Final = 20.0
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)


def compose(
    target: str, body: Any = None, *, method: str = "POST", version: str = "1.1", fields: Sequence[tuple[str, str]] = (), name: str = ""
) -> bytes:
    """Return a request; a body that is not bytes is sent as JSON. `name`: the script of the rig's upstream."""
    data = b"" if body is None else body if isinstance(body, bytes) else json.dumps(body).encode()
    lines = [f"{method} {target} HTTP/{version}", "Host: sidecar", *(f"{key}: {value}" for key, value in fields)]
    if name:
        lines.append(f"x-rig: {name}")
    if body is not None:
        lines += [f"Content-Length: {len(data)}", "Content-Type: application/json"]
    return "\r\n".join([*lines, "", ""]).encode("latin-1") + data


class Answer:
    """What came back. `whole` only after the framing's own end; `ended` is "fin" or "rst" once the connection is gone."""

    def __init__(self) -> None:
        self.status = 0
        self.headers: list[tuple[str, str]] = []
        self.body = bytearray()
        self.whole = False
        self.ended: str | None = None
        self.interim: list[int] = []
        self.head_at: float | None = None
        self.ended_at: float | None = None

    def field(self, name: str) -> str | None:
        """Return a field's value, None where there is none."""
        return next((value for key, value in self.headers if key == name), None)

    @property
    def request_id(self) -> str:
        """The sidecar's id of the call."""
        return self.field("x-sidecar-request-id") or ""


class Caller(asyncio.Protocol):
    """One connection of a client, one request at a time."""

    def __init__(self) -> None:
        self.answer = Answer()
        self._begin()
        self._transport: asyncio.Transport | None = None
        self._changed = asyncio.Event()

    @classmethod
    async def connect(cls, url: str, *, receive_bytes: int | None = None) -> "Caller":
        """Connect to the host and port of a URL. `receive_bytes`: the size of the socket's receive buffer."""
        parts = urlsplit(url)
        loop = asyncio.get_running_loop()
        sock = socket.socket()
        sock.setblocking(False)
        if receive_bytes is not None:
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
        try:
            await loop.sock_connect(sock, (parts.hostname, parts.port))
            _, caller = await loop.create_connection(cls, sock=sock)
        except BaseException:
            sock.close()
            raise
        return caller

    def send(self, data: bytes) -> None:
        """Send bytes; a new request begins a new answer."""
        if self.answer.whole:
            self.answer = Answer()
            self._begin()
        if self._transport is not None:
            self._transport.write(data)

    async def ask(self, data: bytes, patience_s: float = PATIENCE_S) -> Answer:
        """Send a request and wait for the end of its answer, whatever that is."""
        self.send(data)
        return await self.until_end(patience_s)

    async def until_head(self, patience_s: float = PATIENCE_S) -> Answer:
        """Wait until the head of the answer is there, or the connection gone."""
        return await self._until(lambda: self.answer.head_at is not None or self.answer.ended is not None, patience_s)

    async def until_bytes(self, count: int, patience_s: float = PATIENCE_S) -> Answer:
        """Wait until so much of the body is there, or the connection gone."""
        return await self._until(lambda: len(self.answer.body) >= count or self.answer.ended is not None, patience_s)

    async def until_end(self, patience_s: float = PATIENCE_S) -> Answer:
        """Wait until the answer is whole, or the connection gone."""
        return await self._until(lambda: self.answer.whole or self.answer.ended is not None, patience_s)

    async def until_gone(self, patience_s: float = PATIENCE_S) -> Answer:
        """Wait until the connection is gone."""
        return await self._until(lambda: self.answer.ended is not None, patience_s)

    async def _until(self, is_so: Any, patience_s: float) -> Answer:
        async with asyncio.timeout(patience_s):
            while not is_so():
                self._changed.clear()
                await self._changed.wait()
        return self.answer

    def stop_reading(self) -> None:
        """Take no more from the socket."""
        if self._transport is not None:
            self._transport.pause_reading()

    def read_on(self) -> None:
        """Take what comes again."""
        if self._transport is not None:
            self._transport.resume_reading()

    def leave(self, *, reset: bool = False) -> None:
        """Hang up."""
        if self._transport is None:
            return
        if reset:
            self._transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self._transport.abort()

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep the transport."""
        self._transport = transport  # type: ignore[assignment]

    def data_received(self, data: bytes) -> None:
        """Read what came."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.leave()
        self._changed.set()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note how the connection ended; for an answer without length or chunks an orderly close is its end."""
        self._transport = None
        answer = self.answer
        if answer.ended is None:
            answer.ended = "fin" if exc is None else "rst"
            answer.ended_at = time.monotonic()
        delimited = answer.field("content-length") is not None or answer.field("transfer-encoding") is not None
        if answer.head_at is not None and not delimited and answer.ended == "fin":
            answer.whole = True
        self._changed.set()

    # -- httptools -------------------------------------------------------------------------

    def _begin(self) -> None:
        self._parser = httptools.HttpResponseParser(self)

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field."""
        self.answer.headers.append((name.decode("latin-1").lower(), value.decode("latin-1")))

    def on_headers_complete(self) -> None:
        """The head is there, or an interim one is."""
        status = self._parser.get_status_code()
        if status < 200:
            self.answer.interim.append(status)
            self.answer.headers.clear()
        else:
            self.answer.status = status
            self.answer.head_at = time.monotonic()

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        self.answer.body += data

    def on_message_complete(self) -> None:
        """The framing's own end."""
        if self.answer.status:
            self.answer.whole = True
            self.answer.ended_at = time.monotonic()


async def fetch(url: str, request: bytes, patience_s: float = PATIENCE_S) -> Answer:
    """Make one call on a connection of its own."""
    caller = await Caller.connect(url)
    try:
        return await caller.ask(request, patience_s)
    finally:
        caller.leave()
