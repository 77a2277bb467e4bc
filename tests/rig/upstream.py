"""An upstream that does exactly what it is told, byte by byte, and notes what it did and when.

A request names its script in the header `x-rig`; a script is a list of bytes to write and pauses
to make, and what becomes of the connection then. Whatever a test wants to know of the upstream's
side stands in a `Visit`.
"""

import asyncio
import socket
import ssl
import struct
import time
from collections.abc import Callable, Iterable
from enum import StrEnum
from hashlib import sha256
from typing import Final, NamedTuple

import httptools
import trustme

from tests.rig.sockets import SYN_SENT, list_sockets

NAME: Final = b"x-rig"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds


class End(StrEnum):
    """What becomes of the connection after the last step."""

    KEEP = "keep"
    FIN = "fin"  # an orderly close
    RST = "rst"  # a TCP reset
    HALF = "half"  # nothing more is sent, and that is said; what the peer sends is still read
    HANG = "hang"  # nothing more, until the peer closes


class Script(NamedTuple):
    """What to do on one request: bytes are written, numbers are seconds to wait (0: one turn of the event loop)."""

    steps: Iterable[bytes | float] = ()
    end: End = End.KEEP


class Visit:
    """One request and what became of it. Times are seconds on the monotonic clock."""

    __slots__ = ("begun_at", "body", "closed_at", "digest", "ended_at", "headers", "method", "name", "sent_bytes", "target")

    def __init__(self) -> None:
        self.method = ""
        self.target = ""
        self.headers: list[tuple[bytes, bytes]] = []
        self.body = bytearray()
        self.name = ""
        self.begun_at = 0.0  # the whole request had come
        self.sent_bytes = 0  # of head and body, framing included
        self.digest = sha256()
        self.ended_at: float | None = None  # the script was done
        self.closed_at: float | None = None  # the connection was gone, by whomever


class Upstream:
    """A listening upstream. `scripts` by name; `visits` in the order in which they came."""

    def __init__(self) -> None:
        self.scripts: dict[str, Script] = {}
        self.otherwise: Callable[[Visit], Script] | None = None
        self.visits: list[Visit] = []
        self.connections: set[Connection] = set()
        self.accepted = 0
        self.send_buffer_bytes: int | None = None
        self.url = ""
        self.host = ""
        self.port = 0
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback address."""
        self._server = await asyncio.get_running_loop().create_server(lambda: Connection(self), "127.0.0.1", 0, backlog=1024)
        self.host, self.port = self._server.sockets[0].getsockname()[:2]
        self.url = f"http://{self.host}:{self.port}"

    async def stop(self) -> None:
        """Close everything."""
        if self._server is not None:
            self._server.close()
        for connection in list(self.connections):
            connection.abort()
        await asyncio.sleep(0.01)

    def choose(self, visit: Visit) -> Script:
        """Return the script of a request."""
        script = self.scripts.get(visit.name)
        if script is not None:
            return script
        if self.otherwise is not None:
            return self.otherwise(visit)
        return Script([b"HTTP/1.1 500 No Script\r\nContent-Length: 0\r\n\r\n"])

    def visits_of(self, name: str) -> list[Visit]:
        """Return the requests that named a script."""
        return [visit for visit in self.visits if visit.name == name]

    async def until_visits(self, count: int, patience_s: float = 5.0) -> None:
        """Wait until so many requests are here: whoever has joined a call knows nothing of whether it has arrived."""
        async with asyncio.timeout(patience_s):
            while len(self.visits) < count:
                await asyncio.sleep(0.001)


class Connection(asyncio.Protocol):
    """One connection: requests are read all the time, so that a peer that leaves is noticed at once."""

    def __init__(self, upstream: Upstream) -> None:
        self._upstream = upstream
        self._parser = httptools.HttpRequestParser(self)
        self._visit = Visit()
        self._current: Visit | None = None
        self._task: asyncio.Task[None] | None = None
        self._writable = asyncio.Event()
        self._writable.set()
        self._transport: asyncio.Transport | None = None

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Note the connection (asyncio)."""
        self._transport = transport  # type: ignore[assignment]
        self._upstream.connections.add(self)
        self._upstream.accepted += 1
        if self._upstream.send_buffer_bytes is not None:
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_SNDBUF, self._upstream.send_buffer_bytes)

    def data_received(self, data: bytes) -> None:
        """Read requests (asyncio)."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserError:
            self.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when the connection was gone (asyncio)."""
        self._upstream.connections.discard(self)
        self._writable.set()
        if self._current is not None:
            self._current.closed_at = time.monotonic()
        if self._task is not None:
            self._task.cancel()
        self._transport = None

    def pause_writing(self) -> None:
        """The peer takes no more (asyncio)."""
        self._writable.clear()

    def resume_writing(self) -> None:
        """The peer takes more (asyncio)."""
        self._writable.set()

    def on_message_begin(self) -> None:
        """A request begins (httptools)."""
        self._visit = Visit()

    def on_url(self, url: bytes) -> None:
        """A piece of the target (httptools)."""
        self._visit.target += url.decode("latin-1")

    def on_header(self, name: bytes, value: bytes) -> None:
        """One field (httptools)."""
        self._visit.headers.append((name.lower(), value))
        if name.lower() == NAME:
            self._visit.name = value.decode("latin-1")

    def on_body(self, data: bytes) -> None:
        """A piece of the body (httptools)."""
        self._visit.body += data

    def on_message_complete(self) -> None:
        """The whole request is there: follow its script (httptools)."""
        visit = self._current = self._visit
        visit.method = self._parser.get_method().decode("latin-1")
        visit.begun_at = time.monotonic()
        self._upstream.visits.append(visit)
        self._task = asyncio.get_running_loop().create_task(self._perform(visit, self._upstream.choose(visit)))

    async def _perform(self, visit: Visit, script: Script) -> None:
        for step in script.steps:
            if isinstance(step, bytes):
                await self._writable.wait()
                if self._transport is None:
                    return
                visit.sent_bytes += len(step)
                visit.digest.update(step)
                self._transport.write(step)
            else:
                await asyncio.sleep(step)
        visit.ended_at = time.monotonic()
        await self._end(script.end)

    async def _end(self, end: End) -> None:
        transport = self._transport
        if transport is None or end in (End.KEEP, End.HANG):
            return
        if end is End.FIN:
            transport.close()
            return
        if end is End.HALF:
            transport.write_eof()
            return
        while transport.get_write_buffer_size() and not transport.is_closing():
            await asyncio.sleep(0)
        await asyncio.sleep(0)  # what was written arrives first
        if not transport.is_closing():
            transport.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
            transport.abort()

    def abort(self) -> None:
        """Close at once."""
        if self._transport is not None:
            self._transport.abort()


class BlackHole:
    """An address that answers no SYN: its queue of connections is full and nobody takes any out."""

    def __init__(self) -> None:
        self._listening = socket.socket()
        self._listening.bind(("127.0.0.1", 0))
        self._listening.listen(0)
        self.port = self._listening.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"
        self._filling: list[socket.socket] = []
        for _ in range(4):
            sock = socket.socket()
            sock.setblocking(False)
            sock.connect_ex(("127.0.0.1", self.port))
            self._filling.append(sock)

    @property
    def waiting(self) -> int:
        """Connections towards it that are still being made, those that fill its queue left out."""
        own = {sock.getsockname()[1] for sock in self._filling}
        dialling = (each for each in list_sockets() if each.state == SYN_SENT and each.remote_port == self.port)
        return sum(each.local_port not in own for each in dialling)

    def close(self) -> None:
        """Let go of the address."""
        for sock in (*self._filling, self._listening):
            sock.close()


class Closed:
    """An address at which nobody listens: connections are refused."""

    def __init__(self) -> None:
        self._bound = socket.socket()
        self._bound.bind(("127.0.0.1", 0))
        self.port: int = self._bound.getsockname()[1]
        self.url = f"http://127.0.0.1:{self.port}"

    def close(self) -> None:
        """Let go of the address."""
        self._bound.close()


class Untrusted:
    """An upstream whose certificate nobody vouches for. `greeted_at`: when a client last began its handshake."""

    def __init__(self) -> None:
        self.url = ""
        self.greeted_at: float | None = None
        self._server: asyncio.Server | None = None

    async def start(self) -> None:
        """Listen on a free port of the loopback address."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
        trustme.CA().issue_cert("127.0.0.1").configure_cert(context)
        context.sni_callback = self._note
        self._server = await asyncio.get_running_loop().create_server(asyncio.Protocol, "127.0.0.1", 0, ssl=context)
        self.url = f"https://127.0.0.1:{self._server.sockets[0].getsockname()[1]}"

    async def stop(self) -> None:
        """Close the port."""
        if self._server is not None:
            self._server.close()
            await self._server.wait_closed()

    def _note(self, connection: ssl.SSLObject, name: str, context: ssl.SSLContext) -> None:
        self.greeted_at = time.monotonic()
