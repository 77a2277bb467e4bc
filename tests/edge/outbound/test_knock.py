"""One request outside of a pool, over real sockets."""

import asyncio
from collections.abc import Callable

import pytest

from sidecar.config import Dns, Upstream
from sidecar.core.choose.places import read_place
from sidecar.edge.clock import SystemClock
from sidecar.edge.outbound.dial import Dialler
from sidecar.edge.outbound.dns import Resolver
from sidecar.edge.outbound.knock import knock
from sidecar.errors import FIRST_BYTE_TIMEOUT, UNREACHABLE, UPSTREAM_MALFORMED, UPSTREAM_RESET, ErrorKind, UpstreamFault
from tests.edge.sockets import Serve, hold, serving

REQUEST = b"GET /v1/models HTTP/1.1\r\nHost: up\r\nConnection: close\r\n\r\n"


class Door:
    """A server that answers each request with the same bytes, and notes what it was told and when it was left."""

    def __init__(self, answer: bytes, *, closes: bool = False) -> None:
        self.answer = answer
        self.closes = closes
        self.heard = b""
        self.left = asyncio.Event()

    async def serve(self, reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        """Answer, and wait for the other side to leave."""
        try:
            self.heard = await reader.readuntil(b"\r\n\r\n")
            writer.write(self.answer)
            if self.closes:
                writer.close()
            await reader.read()
        finally:
            self.left.set()


async def knock_at(serve: Serve | None, request: bytes = REQUEST, timeout_s: float = 5.0) -> int | None:
    """Return what a server answers; None for `serve`: nobody listens."""
    async with serving(serve or hold) as port:
        if serve is not None:
            return await _knock(port, request, timeout_s)
    return await _knock(port, request, timeout_s)


async def _knock(port: int, request: bytes, timeout_s: float, now: Callable[[], float] = SystemClock.now) -> int | None:
    dialler = Dialler(read_place("up", Upstream(f"http://127.0.0.1:{port}"), None), Resolver(Dns()), {})
    return await knock(dialler, request, now, head_bytes_max=4096, timeout_s=timeout_s)


@pytest.mark.parametrize("status", [200, 204, 301, 401, 404, 429, 500, 503])
async def test_the_status_is_what_counts(status: int) -> None:
    """Any final one, and the body need never come; the request is sent as it is, and the connection is closed."""
    door = Door(b"HTTP/1.1 %d X\r\nContent-Length: 1000000\r\n\r\n{" % status)
    assert await knock_at(door.serve) == status
    assert door.heard == REQUEST
    async with asyncio.timeout(5):
        await door.left.wait()


async def test_interim_answers_are_passed_over() -> None:
    """A 103 says nothing of what follows."""
    assert await knock_at(Door(b"HTTP/1.1 103 Early Hints\r\n\r\nHTTP/1.1 503 X\r\nContent-Length: 0\r\n\r\n").serve) == 503


async def test_a_connection_may_be_enough() -> None:
    """Where there is nothing to ask, nothing is sent, and the connection is closed again."""
    left = asyncio.Event()
    heard = []

    async def listen(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        heard.append(await reader.read())
        left.set()

    async with serving(listen) as port:
        assert await _knock(port, b"", 5.0) is None
        async with asyncio.timeout(5):
            await left.wait()
    assert heard == [b""]


@pytest.mark.parametrize(
    ("answer", "kind"),
    [(b"", UPSTREAM_RESET), (b"HTTP/1.1 2", UPSTREAM_RESET), (b"220 mail.test ESMTP\r\n", UPSTREAM_MALFORMED),
     (b"HTTP/1.1 200 OK\r\nX: " + b"x" * 5000 + b"\r\n\r\n", UPSTREAM_MALFORMED)],
)  # fmt: skip
async def test_no_answer_has_a_name(answer: bytes, kind: ErrorKind) -> None:
    """Closed before a head, or no HTTP."""
    with pytest.raises(UpstreamFault) as raised:
        await knock_at(Door(answer, closes=True).serve)
    assert raised.value.kind is kind


async def test_nobody_there_is_unreachable() -> None:
    """A closed port."""
    with pytest.raises(UpstreamFault) as raised:
        await knock_at(None)
    assert raised.value.kind is UNREACHABLE


async def test_who_says_nothing_is_given_up() -> None:
    """Within the limit, which counts from the beginning."""
    with pytest.raises(UpstreamFault) as raised:
        await knock_at(hold, timeout_s=0.05)
    assert raised.value.kind is FIRST_BYTE_TIMEOUT


async def test_leaving_closes_the_connection() -> None:
    """Cancelled while it waits."""
    door = Door(b"")
    async with serving(door.serve) as port:
        leaving = asyncio.ensure_future(_knock(port, REQUEST, 60.0))
        async with asyncio.timeout(5):
            while not door.heard:
                await asyncio.sleep(0.001)
            leaving.cancel()
            await door.left.wait()
        with pytest.raises(asyncio.CancelledError):
            await leaving
