"""A data port with a path of a few lines behind it, and a client that speaks in raw bytes."""

import asyncio
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from typing import Any

from sidecar.config import Timeouts
from sidecar.core.attempt.compose import compose_malformed
from sidecar.core.identify.targets import split_target
from sidecar.edge.clock import SystemClock
from sidecar.edge.inbound.client import HttpClient
from sidecar.edge.inbound.server import DataServer
from sidecar.errors import BAD_REQUEST, ClientFault, ClientGone
from sidecar.exchange import Call

Answer = Callable[[HttpClient], Awaitable[None]]


class Port:
    """What came through a data port."""

    def __init__(self, answer: Answer | None, body_bytes_max: int) -> None:
        self.calls: list[Call] = []
        self.bodies: list[bytes] = []
        self.malformed = 0
        self.outcomes: list[str] = []
        self.number = 0
        self.answer = answer or self.echo
        self.body_bytes_max = body_bytes_max
        self.host, self.port = "", 0
        self.server: Any = None

    async def echo(self, client: HttpClient) -> None:
        """Read the request to its end and say what it was."""
        split_target(client.call.target)
        body, whole = await client.read_body(self.body_bytes_max)
        while not whole:
            piece = await client.read_more()
            body += piece
            whole = not piece
        self.bodies.append(body)
        said = f"{client.call.method} {client.call.target} {len(body)}".encode("utf-8", "surrogateescape")
        connection = b"" if client.call.keep_alive else b"Connection: close\r\n"
        content = b"" if client.call.method == "HEAD" else said
        client.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: %d\r\n\r\n" % (connection, len(said)) + content)
        client.finish(keep=client.call.keep_alive)

    async def carry(self, client: Any) -> None:
        """Take one call to its end, as the path does."""
        self.calls.append(client.call)
        try:
            await self.answer(client)
            self.outcomes.append("done")
        except ClientFault as fault:
            self.calls.pop()
            self.outcomes.append(fault.kind.id)
            client.write(b"HTTP/1.1 400 Bad Request\r\nConnection: close\r\nContent-Length: 2\r\n\r\n{}")
            client.finish(keep=False)
        except ClientGone:
            self.outcomes.append("gone")
            client.break_off(unmistakably=False)
        except asyncio.CancelledError:
            self.outcomes.append("cancelled, gone" if client.gone else "cancelled")
            raise

    def refuse(self) -> bytes:
        """Note a request that never became a call."""
        self.malformed += 1
        return compose_malformed(BAD_REQUEST, b'{"error": {}}')

    def draw_id(self) -> str:
        """Return the next id."""
        self.number += 1
        return f"id-{self.number}"


@asynccontextmanager
async def serving(answer: Answer | None = None, *, timeouts: Timeouts | None = None, body_bytes_max: int = 1 << 20) -> AsyncIterator[Port]:
    """Serve calls on a free port of this machine."""
    port = Port(answer, body_bytes_max)
    server = port.server = DataServer(port.carry, port.refuse, SystemClock(), timeouts or Timeouts(), port.draw_id)
    port.host, port.port = await server.start("127.0.0.1", 0)
    try:
        yield port
    finally:
        await server.stop(0.2)


class Caller:
    """A connection to a data port, in raw bytes."""

    def __init__(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        self.reader = reader
        self.writer = writer

    async def send(self, *pieces: bytes) -> None:
        """Send pieces, each in a packet of its own."""
        for piece in pieces:
            self.writer.write(piece)
            await self.writer.drain()
            await asyncio.sleep(0.005)

    async def read_answer(self, *, has_body: bool = True) -> tuple[int, bytes, bytes]:
        """Return status, head and body of the next answer."""
        async with asyncio.timeout(5.0):
            head = await self.reader.readuntil(b"\r\n\r\n")
            length = [int(line.split(b":")[1]) for line in head.lower().split(b"\r\n") if line.startswith(b"content-length:")]
            body = await self.reader.readexactly(length[0]) if length and has_body else b""
        return int(head.split(b" ")[1]), head, body

    async def read_to_end(self, timeout_s: float = 5.0) -> bytes:
        """Return all bytes until the other side closes."""
        async with asyncio.timeout(timeout_s):
            return await self.reader.read()


@asynccontextmanager
async def calling(port: Port) -> AsyncIterator[Caller]:
    """Connect to a data port."""
    reader, writer = await asyncio.open_connection(port.host, port.port)
    try:
        yield Caller(reader, writer)
    finally:
        writer.close()
        try:
            await writer.wait_closed()
        except ConnectionError:
            pass
