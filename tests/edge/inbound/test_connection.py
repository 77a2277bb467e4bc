"""A caller's connection, spoken to in raw bytes."""

import asyncio
from pathlib import Path

import pytest

from sidecar.edge.inbound.client import HttpClient
from sidecar.ports import Receiver
from tests.edge.inbound.serving import calling, serving

REQUESTS = Path(__file__).parents[2] / "corpus" / "requests"
# Written from the grammar of RFC 9112: by whether they may be carried, and name.
CORPUS = {kind: {file.stem: file.read_bytes() for file in sorted(REQUESTS.glob(f"{kind}-*.http"))} for kind in ("bad", "good")}
GET = b"GET /v1/%d HTTP/1.1\r\nHost: sidecar.test\r\n\r\n"


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


@pytest.mark.parametrize("tail", [b"0\r\nX: ", b"5;x="])
async def test_a_trailer_or_extension_that_never_ends_is_given_up(tail: bytes) -> None:
    """A body is bounded by what is read of it; what belongs to no body must be bounded too."""
    async with serving() as port, calling(port) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nTransfer-Encoding: chunked\r\n\r\n5\r\nhello\r\n" + tail)
        try:
            for _ in range(40):
                await caller.send(b"y" * 10_000)
            answer = await caller.read_to_end()
        except ConnectionError:
            answer = b"HTTP/1.1 400"
        assert answer.startswith(b"HTTP/1.1 400")
        assert port.outcomes == ["bad_request"]


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


HANDSHAKE = b"GET /ws HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n"


class Taker(Receiver):
    """Takes a connection over and keeps what comes."""

    def __init__(self) -> None:
        self.got = b""
        self.drained = 0
        self.over = asyncio.get_running_loop().create_future()

    def data_received(self, data: bytes) -> None:
        self.got += data

    def drain(self) -> None:
        self.drained += 1

    def connection_lost(self, exc: Exception | None) -> None:
        self.over.set_result(None)


async def test_a_connection_that_is_handed_over_is_http_no_more() -> None:
    """What came behind the request is handed over with it, in order; the call goes on until it says so."""
    takers: list[Taker] = []
    rests: list[bytes] = []
    sent = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        assert (client.call.keep_alive, client.call.wanted.upgrade) == (False, True)
        await sent.wait()
        taker = Taker()
        handed = client.hand_over(taker)
        takers.append(taker)
        rests.append(handed.rest)
        handed.transport.write(b"switched")
        await taker.over
        handed.told.connection_lost(None)

    async with serving(answer) as port:
        async with calling(port) as caller:
            await caller.send(HANDSHAKE + b"one ", b"two ")
            await asyncio.sleep(0.05)
            sent.set()
            assert await caller.reader.readexactly(8) == b"switched"
            await caller.send(b"GET / HTTP/1.1\r\n\r\n")
            assert rests == [b"one two "]
            assert takers[0].got == b"GET / HTTP/1.1\r\n\r\n"
            port.server._dismiss()
            assert takers[0].drained == 1
        await takers[0].over
        await asyncio.sleep(0.01)
        assert (port.outcomes, len(port.calls), port.malformed) == (["done"], 1, 0)
        assert port.server._connections == set()


async def test_behind_a_request_to_upgrade_little_is_held() -> None:
    """The rest waits in the socket's buffers, and comes when the connection is handed over."""
    size, held, takers = 20_000_000, [], []
    begin = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        await begin.wait()
        takers.append(Taker())
        held.append(len(client.hand_over(takers[0]).rest))
        while held[0] + len(takers[0].got) < size:
            await asyncio.sleep(0.01)
        client.write(b"all")
        await takers[0].over

    async with serving(answer) as port, calling(port) as caller:
        sending = asyncio.create_task(caller.send(HANDSHAKE, b"x" * size))
        await asyncio.sleep(0.3)
        assert not sending.done()
        begin.set()
        assert await caller.reader.readexactly(3) == b"all"
        await sending
        assert held[0] < 1 << 20


async def test_what_stands_behind_a_refused_upgrade_is_never_a_request() -> None:
    """The connection is closed (smuggling)."""
    async with serving() as port, calling(port) as caller:
        await caller.send(HANDSHAKE + GET % 1, GET % 2)
        assert (await caller.read_to_end()).count(b"HTTP/1.1 ") == 1
        assert len(port.calls) == 1


@pytest.mark.parametrize("keep", [True, False])
async def test_a_refusal_reaches_a_caller_that_is_still_sending(keep: bool) -> None:
    """Whether the connection is kept or closed behind it: a close on top of unread bytes would reset the answer away."""

    async def refuse(client: HttpClient) -> None:
        client.write(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 2\r\n\r\n{}")
        client.finish(keep=keep)

    size = 8_000_000
    async with serving(refuse) as port, calling(port) as caller:
        await caller.send(b"POST / HTTP/1.1\r\nHost: x\r\nContent-Length: %d\r\n\r\n" % size)
        await asyncio.sleep(0.1)
        for _ in range(8):
            await caller.send(bytes(size // 8))
        assert (await caller.read_answer())[0] == 413
