"""The data port, spoken to in raw bytes."""

import asyncio
from pathlib import Path
from typing import Any

import pytest
from aiohttp import http_parser

from sidecar.config import Timeouts
from sidecar.edge.inbound import server
from sidecar.edge.inbound.client import HttpClient
from tests.edge.inbound.serving import Port, calling, serving

REQUESTS = Path(__file__).parents[2] / "corpus" / "requests"
# Written from the grammar of RFC 9112: by whether they may be carried, and name.
CORPUS = {kind: {file.stem: file.read_bytes() for file in sorted(REQUESTS.glob(f"{kind}-*.http"))} for kind in ("bad", "good")}
GET = b"GET /v1/%d HTTP/1.1\r\nHost: sidecar.test\r\n\r\n"


def test_the_fast_parser_is_there() -> None:
    """Most of what could be smuggled past a parser concerns the slow one."""
    assert server.has_fast_parser()


def test_the_slow_parser_is_noticed(monkeypatch: pytest.MonkeyPatch) -> None:
    """An installation without compiled extensions is told apart."""
    monkeypatch.setattr(http_parser, "HttpRequestParser", http_parser.HttpRequestParserPy)
    assert not server.has_fast_parser()


@pytest.mark.parametrize("data", CORPUS["bad"].values(), ids=CORPUS["bad"])
@pytest.mark.parametrize("cut", ["whole", "in two"])
async def test_a_bad_request_is_refused_and_the_connection_closed(data: bytes, cut: str) -> None:
    """400, once, without a word of the input in it; it is carried nowhere, and nothing behind it is read."""
    middle = len(data) * 2 // 3
    async with serving() as port, calling(port) as caller:
        try:
            await caller.send(*([data + GET % 1] if cut == "whole" else [data[:middle], data[middle:], GET % 1]))
            answer = await caller.read_to_end()
        except ConnectionError:  # it was closed while we were still sending
            assert cut == "in two"
        else:
            assert answer.split(b" ")[1] == b"400"
            assert answer.count(b"HTTP/") == 1
            assert b"sidecar.test" not in answer
        assert port.calls == []
        assert port.malformed + len(port.outcomes) == 1


@pytest.mark.parametrize("data", CORPUS["good"].values(), ids=CORPUS["good"])
@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
async def test_a_good_request_is_carried_once(data: bytes, cut: str) -> None:
    """Whatever its pieces; target and body are those that came."""
    async with serving() as port, calling(port) as caller:
        if cut == "whole" or len(data) > 1000:
            await caller.send(data)
        else:
            for index in range(len(data)):
                caller.writer.write(data[index : index + 1])
                await asyncio.sleep(0)
        status, _, _ = await caller.read_answer(has_body=not data.startswith(b"HEAD"))
        assert status == 200
        (call,) = port.calls
        first = data.lstrip(b"\r\n").split(b"\r\n")[0].split()
        assert (call.method.encode(), call.target.encode()) == (first[0], first[1])
        assert port.bodies == [b"hello" if b"hello" in data or b"llo\r\n" in data else b""]
        assert port.outcomes == ["done"]


async def test_a_call_holds_what_came() -> None:
    """Id, method, raw target, fields in order, version, times."""
    async with serving() as port, calling(port) as caller:
        await caller.send(b"POST /v1/a%20b?c HTTP/1.1\r\nHost: x\r\nB: 2\r\na: \xff1\r\nContent-Length: 5\r\n\r\nhello")
        await caller.read_answer()
    (call,) = port.calls
    assert (call.id, call.method, call.target, tuple(call.http_version)) == ("id-1", "POST", "/v1/a%20b?c", (1, 1))
    assert call.headers == ((b"Host", b"x"), (b"B", b"2"), (b"a", b"\xff1"), (b"Content-Length", b"5"))
    assert (call.has_body, call.keep_alive, call.wanted.content_length) == (True, True, 5)
    assert call.accepted > 0
    assert call.accepted_ns > 1e18


async def test_requests_sent_ahead_are_answered_in_order() -> None:
    """Ten at once on one connection (RFC 9112 section 9.3.2)."""
    async with serving() as port, calling(port) as caller:
        await caller.send(b"".join(GET % number for number in range(10)))
        answers = [await caller.read_answer() for _ in range(10)]
    assert [body for _, _, body in answers] == [b"GET /v1/%d 0" % number for number in range(10)]
    assert len({call.id for call in port.calls}) == 10


async def test_a_bad_request_behind_good_ones_is_refused_after_them() -> None:
    """What came before it is answered."""
    async with serving() as port, calling(port) as caller:
        await caller.send(GET % 1)
        assert (await caller.read_answer())[0] == 200
        await caller.send(b"BAD\r\n\r\n")
        assert (await caller.read_to_end()).split(b" ")[1] == b"400"
        assert (len(port.calls), port.malformed) == (1, 1)


@pytest.mark.parametrize(
    ("request_", "kept"),
    [
        (GET % 1, True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
    ],
)
async def test_a_connection_is_kept_as_agreed(request_: bytes, kept: bool) -> None:
    """Until one side says otherwise; HTTP/1.0 must ask for it."""
    async with serving() as port, calling(port) as caller:
        await caller.send(request_)
        await caller.read_answer()
        if kept:
            await caller.send(request_)
            assert (await caller.read_answer())[0] == 200
        else:
            assert await caller.read_to_end() == b""
        assert len(port.calls) == 1 + kept


async def test_the_path_may_close_a_connection() -> None:
    """Even where the caller would keep it."""

    async def answer(client: HttpClient) -> None:
        client.write(b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n")
        client.finish(keep=False)

    async with serving(answer) as port, calling(port) as caller:
        await caller.send(GET % 1)
        assert await caller.read_to_end() == b"HTTP/1.1 200 OK\r\nContent-Length: 0\r\n\r\n"


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


@pytest.mark.parametrize("how", ["close", "reset", "half-close"])
async def test_a_caller_that_leaves_cancels_its_call(how: str) -> None:
    """At whatever the path is waiting for, at once; a half-closed connection counts as left."""

    async def wait(client: HttpClient) -> None:
        await asyncio.get_running_loop().create_future()

    async with serving(wait) as port:
        async with calling(port) as caller:
            await caller.send(GET % 1)
            while not port.calls:
                await asyncio.sleep(0.005)
            if how == "half-close":
                caller.writer.write_eof()
            elif how == "reset":
                caller.writer.transport.abort()
            else:
                caller.writer.close()
            async with asyncio.timeout(1.0):
                while not port.outcomes:
                    await asyncio.sleep(0.005)
        assert port.outcomes == ["cancelled, gone"]


async def test_a_caller_that_leaves_during_its_body_is_noticed() -> None:
    """The path need not wait for the idle limit."""
    async with serving() as port:
        async with calling(port) as caller:
            await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: 10\r\n\r\nhello")
        async with asyncio.timeout(1.0):
            while not port.outcomes:
                await asyncio.sleep(0.005)
    assert port.outcomes[0] in ("gone", "cancelled, gone")


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
