"""The caller's side of one exchange, over real sockets."""

import asyncio
import gzip

import pytest

from sidecar.config import Timeouts
from sidecar.edge.inbound.client import HttpClient
from tests.edge.inbound.serving import calling, serving

POST = b"POST / HTTP/1.1\r\nHost: x\r\n"
OK = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nok"


async def test_a_body_within_the_limit_is_read_whole() -> None:
    """In whatever pieces it comes, exactly up to the limit."""
    async with serving(body_bytes_max=10) as port, calling(port) as caller:
        await caller.send(POST + b"Content-Length: 10\r\n\r\n", b"hello", b"world")
        await caller.read_answer()
        assert port.bodies == [b"helloworld"]


@pytest.mark.parametrize("framing", ["length", "chunks"])
async def test_a_larger_body_comes_in_pieces(framing: str) -> None:
    """Its beginning first, the rest as it arrives, nothing lost and nothing twice."""
    body = bytes(range(256)) * 4000
    seen: list[tuple[int, bool]] = []

    async def answer(client: HttpClient) -> None:
        data, whole = await client.read_body(1000)
        seen.append((len(data), whole))
        while piece := await client.read_more():
            data += piece
        seen.append((len(data), data == body))
        client.write(OK)
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as caller:
        if framing == "length":
            await caller.send(POST + b"Content-Length: %d\r\n\r\n" % len(body), body)
        else:
            await caller.send(POST + b"Transfer-Encoding: chunked\r\n\r\n")
            for start in range(0, len(body), 50_000):
                piece = body[start : start + 50_000]
                await caller.send(b"%x\r\n%b\r\n" % (len(piece), piece))
            await caller.send(b"0\r\n\r\n")
        assert (await caller.read_answer())[2] == b"ok"
        assert seen[0][0] > 1000
        assert seen[0][1] is False
        assert seen[1] == (len(body), True)
        await caller.send(POST + b"Content-Length: 0\r\n\r\n")


async def test_a_body_is_taken_no_faster_than_it_is_read() -> None:
    """A caller that sends more than anybody reads has to wait; once it is read, all of it comes, and the next call too."""
    size = 40_000_000
    begin = asyncio.Event()
    got: list[int] = []

    async def answer(client: HttpClient) -> None:
        await begin.wait()
        total = 0
        while piece := await client.read_more():
            total += len(piece)
        got.append(total)
        client.write(OK)
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as caller:
        sending = asyncio.ensure_future(caller.send(POST + b"Content-Length: %d\r\n\r\n" % size, b"x" * size))
        await asyncio.sleep(0.3)
        assert not sending.done()
        begin.set()
        assert (await caller.read_answer())[2] == b"ok"
        await sending
        await caller.send(POST + b"Content-Length: 2\r\n\r\nhi")
        assert (await caller.read_answer())[2] == b"ok"
        assert got == [size, 2]


async def test_a_compressed_body_is_left_as_it_is() -> None:
    """It is forwarded untouched: nobody inflates it on the way."""
    body = gzip.compress(b"hello" * 100)
    async with serving() as port, calling(port) as caller:
        await caller.send(POST + b"Content-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(body) + body)
        await caller.read_answer()
        assert port.bodies == [body]


async def test_a_caller_that_asks_whether_to_send_is_told_to() -> None:
    """100 Continue comes before the answer, and only when the body is wanted (RFC 9110 section 10.1.1)."""
    async with serving() as port, calling(port) as caller:
        await caller.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (await caller.read_answer())[0] == 100
        await caller.send(b"hello")
        assert (await caller.read_answer())[0] == 200
        assert port.bodies == [b"hello"]


@pytest.mark.parametrize("early", [True, False])
async def test_nobody_is_told_to_send_what_is_there_already(early: bool) -> None:
    """Nor is an HTTP/1.0 caller, which would take it for the answer."""
    head = POST if early else b"POST / HTTP/1.0\r\n"
    async with serving() as port, calling(port) as caller:
        await caller.send(*([head + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\nhello"] if early else
                            [head + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n", b"hello"]))  # fmt: skip
        assert (await caller.read_answer())[0] == 200


async def test_a_refusal_does_not_ask_for_the_body() -> None:
    """What is refused need not be sent."""

    async def refuse(client: HttpClient) -> None:
        client.write(b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n")
        client.finish(keep=True)

    async with serving(refuse) as port, calling(port) as caller:
        await caller.send(POST + b"Expect: 100-continue\r\nContent-Length: 5\r\n\r\n")
        assert (await caller.read_answer())[0] == 404


async def test_a_body_that_stops_is_given_up() -> None:
    """After the idle limit the caller is told, and its connection closed."""
    async with serving(timeouts=Timeouts(idle=0.1)) as port, calling(port) as caller:
        await caller.send(POST + b"Content-Length: 10\r\n\r\n", b"hello")
        assert (await caller.read_to_end()).startswith(b"HTTP/1.1 400")
        assert port.outcomes == ["bad_request"]


@pytest.mark.parametrize("second", [b"zz\r\n", b"5\r\nhello!\r\n0\r\n\r\n", b"-1\r\n", b"5\nhello\n"])
@pytest.mark.parametrize("waits", [True, False])
async def test_a_body_that_turns_out_malformed_is_refused_at_once(second: bytes, waits: bool) -> None:
    """Not after the idle limit, whether the path is waiting for the rest or comes to it later; once, and with a close."""
    arrived = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        if not waits:
            await arrived.wait()
        data, whole = await client.read_body(3)
        while not whole:
            piece = await client.read_more()
            data += piece
            whole = not piece
        client.write(OK)
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as caller:
        await caller.send(POST + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhe\r\n")
        await caller.send(second)
        arrived.set()
        got = await caller.read_to_end(2.0)
        assert got.startswith(b"HTTP/1.1 400")
        assert got.count(b"HTTP/1.1") == 1
        assert (port.outcomes, port.malformed) == (["bad_request"], 0)


async def test_a_slow_caller_is_told_of() -> None:
    """Pause when its buffer is full, go on when it has drained, and at once if it is full already."""
    heard: list[str] = []
    enough = asyncio.Event()

    def go_on() -> None:
        heard.append("go on")
        enough.set()

    async def answer(client: HttpClient) -> None:
        client.watch(lambda: heard.append("pause"), go_on)
        client.write(b"x" * 20_000_000)
        client.watch(None, None)
        client.watch(lambda: heard.append("pause"), go_on)
        await enough.wait()
        client.watch(None, None)
        client.finish(keep=False)

    async with serving(answer) as port, calling(port) as caller:
        await caller.send(POST + b"\r\n")
        await asyncio.sleep(0.1)
        assert heard == ["pause", "pause"]
        assert len(await caller.read_to_end()) == 20_000_000
        assert heard == ["pause", "pause", "go on"]


@pytest.mark.parametrize("unmistakably", [True, False])
async def test_breaking_off_is_a_close_or_a_reset(unmistakably: bool) -> None:
    """Where a plain close would look like the end of the answer, the caller sees a reset, after the last bytes."""

    async def answer(client: HttpClient) -> None:
        client.write(b"HTTP/1.1 200 OK\r\n\r\npart")
        client.break_off(unmistakably=unmistakably)

    async with serving(answer) as port, calling(port) as caller:
        await caller.send(POST + b"\r\n")
        got = await caller.reader.readuntil(b"part")
        assert got.endswith(b"part")
        if unmistakably:
            with pytest.raises(ConnectionResetError):
                await caller.read_to_end()
        else:
            assert await caller.read_to_end() == b""


async def test_breaking_off_after_the_caller_left_does_no_harm() -> None:
    """There is nothing left to close."""
    done = asyncio.Event()
    gone: list[bool] = []

    async def answer(client: HttpClient) -> None:
        gone.append(client.gone)
        try:
            await asyncio.get_running_loop().create_future()
        finally:
            gone.append(client.gone)
            client.write(b"late")
            client.break_off(unmistakably=True)
            done.set()

    async with serving(answer) as port:
        async with calling(port) as caller:
            await caller.send(POST + b"\r\n")
        async with asyncio.timeout(2.0):
            await done.wait()
    assert gone == [False, True]
