"""Both ends of a WebSocket in raw bytes: an upstream that accepts handshakes, and a client that makes one."""

import asyncio
import base64
import contextlib
import socket
import struct
from collections.abc import AsyncIterator, Sequence
from hashlib import sha1
from typing import Any, Final
from urllib.parse import urlsplit

PATH: Final = "/openai/v1/realtime"
KEY: Final = "dGhlIHNhbXBsZSBub25jZQ=="  # RFC 6455 section 1.3
_GUID: Final = "258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds


def accept_of(key: str) -> str:
    """What a server must answer to a key."""
    return base64.b64encode(sha1((key + _GUID).encode()).digest()).decode()


def compose_handshake(target: str = PATH, *, fields: Sequence[tuple[str, str]] = (), without: str = "") -> bytes:
    """A client's handshake."""
    told = {"Host": "sidecar", "Connection": "Upgrade", "Upgrade": "websocket", "Sec-WebSocket-Key": KEY, "Sec-WebSocket-Version": "13"}
    told.pop(without, None)
    lines = [f"{name}: {value}" for name, value in (*told.items(), *fields)]
    return "\r\n".join([f"GET {target} HTTP/1.1", *lines, "", ""]).encode()


class End:
    """One end of a connection."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer
        self.head = b""

    async def read_head(self) -> bytes:
        """Read up to the empty line."""
        async with asyncio.timeout(5):
            self.head = await self.reader.readuntil(b"\r\n\r\n")
        return self.head

    async def read(self, size: int) -> bytes:
        """Read so many bytes."""
        async with asyncio.timeout(20):
            return await self.reader.readexactly(size)

    async def read_end(self) -> str:
        """Wait for the peer to leave: "fin" or "rst"."""
        try:
            async with asyncio.timeout(5):
                while await self.reader.read(65536):
                    pass
        except ConnectionResetError:
            return "rst"
        return "fin"

    async def send(self, data: bytes) -> None:
        """Send bytes at the peer's pace."""
        self.writer.write(data)
        await self.writer.drain()

    def close(self) -> None:
        """Hang up in order."""
        self.writer.close()

    def reset(self) -> None:
        """Hang up with a reset."""
        self.writer.get_extra_info("socket").setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
        self.writer.transport.abort()


async def dial(url: str, *, receive_bytes: int | None = None) -> End:
    """Connect to a URL's host and port."""
    parts = urlsplit(url)
    sock = socket.socket()
    sock.setblocking(False)
    if receive_bytes is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_RCVBUF, receive_bytes)
    await asyncio.get_running_loop().sock_connect(sock, (parts.hostname, parts.port))
    return End(*await asyncio.open_connection(sock=sock, limit=1 << 16))


class Upstream:
    """Accepts every handshake with a right key, or answers with `instead`. `ends` holds those not yet asked for."""

    def __init__(self) -> None:
        self.url = ""
        self.ends: asyncio.Queue[End] = asyncio.Queue()
        self.instead: bytes | None = None
        self.first = b""  # behind the head, in the same packet
        self.delay_s = 0.0
        self.more = ""  # fields of the 101
        self.known: list[End] = []

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """One connection."""
        end = End(reader, writer)
        self.known.append(end)
        with contextlib.suppress(OSError, asyncio.IncompleteReadError):
            head = (await end.read_head()).decode("latin-1")
            await asyncio.sleep(self.delay_s)
            key = next((line.split(": ")[1] for line in head.split("\r\n") if line.lower().startswith("sec-websocket-key")), "")
            fields = f"Upgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: {accept_of(key)}\r\n{self.more}\r\n"
            writer.write(self.instead or f"HTTP/1.1 101 Switching Protocols\r\n{fields}".encode() + self.first)
            self.ends.put_nowait(end)

    async def take(self) -> End:
        """Return the next connection that made a handshake."""
        async with asyncio.timeout(5):
            return await self.ends.get()


@contextlib.asynccontextmanager
async def listening() -> AsyncIterator[Upstream]:
    """Run an upstream until the block ends."""
    upstream = Upstream()
    server = await asyncio.start_server(upstream.serve, "127.0.0.1", 0, limit=1 << 16, backlog=512)
    upstream.url = "http://{}:{}".format(*server.sockets[0].getsockname()[:2])
    try:
        yield upstream
    finally:
        server.close()
        for end in upstream.known:
            end.writer.transport.abort()
        await asyncio.sleep(0.01)


async def join(url: str, upstream: Upstream, **more: Any) -> tuple[End, End]:
    """Make a handshake through the sidecar; return the client's end and the upstream's."""
    client = await dial(url, receive_bytes=more.pop("receive_bytes", None))
    await client.send(compose_handshake(**more))
    head = await client.read_head()
    if not head.startswith(b"HTTP/1.1 101 "):
        raise AssertionError(head)
    return client, await upstream.take()
