"""The data port, spoken to in raw bytes."""

import asyncio
from typing import Any

import pytest

from sidecar.config import Timeouts
from sidecar.edge.inbound import server
from sidecar.edge.inbound.client import HttpClient
from tests.edge.inbound.serving import Port, calling, serving

GET = b"GET /v1/%d HTTP/1.1\r\nHost: sidecar.test\r\n\r\n"


async def test_a_head_that_never_comes_closes_the_connection(monkeypatch: pytest.MonkeyPatch) -> None:
    """Byte by byte does not help; a connection that is idle, or whose call takes long, is left alone."""
    monkeypatch.setattr(server, "_LOOK_S", 0.05)
    release = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        await release.wait()
        client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.finish(keep=True)

    async with serving(answer, timeouts=Timeouts(request_head=0.2)) as port:
        async with calling(port) as slow, calling(port) as idle, calling(port) as busy:
            await busy.send(GET % 1)
            began = asyncio.get_running_loop().time()
            dripping = asyncio.ensure_future(slow.send(*(b"G" if number == 0 else b"" for number in range(50))))
            assert await slow.read_to_end() == b""
            assert 0.1 < asyncio.get_running_loop().time() - began < 2.0
            dripping.cancel()
            release.set()
            assert (await busy.read_answer())[0] == 200
            await idle.send(GET % 2)
            assert (await idle.read_answer())[0] == 200
        assert len(port.calls) == 2


async def test_a_body_that_nobody_read_is_no_slow_head(monkeypatch: pytest.MonkeyPatch) -> None:
    """A call refused before its body came leaves a connection that may be used on."""
    monkeypatch.setattr(server, "_LOOK_S", 0.05)

    async def refuse(client: HttpClient) -> None:
        client.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        client.finish(keep=True)

    async with serving(refuse, timeouts=Timeouts(request_head=0.1)) as port, calling(port) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        assert (await caller.read_answer())[0] == 404
        await caller.send(b"world")
        await asyncio.sleep(0.4)
        await caller.send(GET % 2)
        assert (await caller.read_answer())[0] == 404
        assert len(port.calls) == 2


async def stopped(port: Port, grace_s: float) -> float:
    """Stop; return how long it took."""
    began = asyncio.get_running_loop().time()
    await port.server.stop(grace_s)
    return asyncio.get_running_loop().time() - began


async def test_stopping_lets_calls_end() -> None:
    """New connections are refused, idle ones closed; a call in progress has its time."""
    release = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        await release.wait()
        client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as busy, calling(port) as idle:
        await busy.send(GET % 1)
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        assert await idle.read_to_end() == b""
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(port.host, port.port)
        release.set()
        assert (await busy.read_answer())[2] == b"ok"
        assert await stopping < 2.0
        assert port.outcomes == ["done"]


async def test_stopping_does_not_wait_for_ever() -> None:
    """After the grace, calls are cancelled, and their callers are still there to be told."""

    async def wait(client: HttpClient) -> None:
        try:
            await asyncio.get_running_loop().create_future()
        except asyncio.CancelledError:
            client.write(b"HTTP/1.1 503 Service Unavailable\r\nContent-Length: 0\r\n\r\n")
            raise

    async with serving(wait) as port, calling(port) as caller:
        await caller.send(GET % 1)
        await asyncio.sleep(0.02)
        assert 0.1 <= await stopped(port, 0.1) < 2.0
        assert (await caller.read_to_end()).startswith(b"HTTP/1.1 503")
        assert port.outcomes == ["cancelled"]


async def test_a_port_in_use_is_told() -> None:
    """Starting fails as the system says."""
    async with serving() as port:
        other: Any = server.DataServer(port.carry, port.refuse, port.server, Timeouts(), port.draw_id)
        with pytest.raises(OSError, match="in use"):
            await other.start(port.host, port.port)
        await other.stop(0.0)


async def test_stopping_does_not_wait_for_what_has_no_end() -> None:
    """Such a call is ended at once; the next one on its connection is a call like any other."""
    release = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        if client.call.target == "/endless":
            client.outlast()
            await asyncio.get_running_loop().create_future()
        if client.call.target == "/was-endless":
            client.outlast()
        else:
            await release.wait()
        client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok")
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as endless, calling(port) as busy:
        await endless.send(b"GET /endless HTTP/1.1\r\nHost: x\r\n\r\n")
        await busy.send(b"GET /was-endless HTTP/1.1\r\nHost: x\r\n\r\n")
        assert (await busy.read_answer())[2] == b"ok"
        await busy.send(GET % 1)
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        assert await endless.read_to_end(1.0) == b""
        release.set()
        assert (await busy.read_answer())[2] == b"ok"
        assert await stopping < 2.0
        assert sorted(port.outcomes) == ["cancelled", "done", "done"]
