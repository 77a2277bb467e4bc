"""The data port, spoken to in raw bytes."""

import asyncio
import socket
from collections.abc import Callable
from typing import Any

import pytest

from sidecar.config import Drain, DrainMode, Timeouts
from sidecar.edge.inbound import server
from sidecar.edge.inbound.client import HttpClient
from sidecar.ports import Receiver
from tests.edge.inbound.serving import Answer, Port, calling, serving

FINISH = Drain(DrainMode.FINISH)
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


SERVE = Drain(DrainMode.SERVE, 0.4)


async def stopped(port: Port, grace_s: float, drain: Drain = FINISH, refuse: Callable[[], None] | None = None) -> float:
    """Stop; return how long it took."""
    began = asyncio.get_running_loop().time()
    await port.server.stop(grace_s, drain, refuse)
    return asyncio.get_running_loop().time() - began


class Gate:
    """Answers when it is opened."""

    def __init__(self) -> None:
        self.opened = asyncio.Event()

    async def __call__(self, client: HttpClient) -> None:
        if client.call.target == "/v1/1":
            await self.opened.wait()
        closes = b"" if client.call.keep_alive else b"Connection: close\r\n"
        client.write(b"HTTP/1.1 200 OK\r\n%bContent-Length: 2\r\n\r\nok" % closes)
        client.finish(keep=client.call.keep_alive)


async def test_stopping_lets_calls_end() -> None:
    """New connections are refused; a call in progress has its time; what comes on a kept connection is answered, and is its last."""
    gate = Gate()
    async with serving(gate) as port, calling(port) as busy, calling(port) as idle, calling(port) as asking:
        await busy.send(GET % 1)
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.5)
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(port.host, port.port)
        await asking.send(GET % 2)
        assert b"Connection: close" in (await asking.read_answer())[1]
        assert await asking.read_to_end() == b""
        assert not idle.reader.at_eof()
        gate.opened.set()
        status, head, body = await busy.read_answer()
        assert (status, body, b"Connection: close" in head) == (200, b"ok", True)
        assert await idle.read_to_end() == b""
        assert await stopping < 2.0
        assert port.outcomes == ["done", "done"]


async def test_nobody_is_waited_for_who_cannot_call() -> None:
    """Without a connection the end is there at once; one that is idle is given a moment, for a request may be on its way."""
    async with serving() as port:
        assert await stopped(port, 5.0) < 0.1
    async with serving() as port, calling(port) as late:
        await late.send(GET % 1)
        await late.read_answer()
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.1)
        await late.send(GET % 2)
        assert (await late.read_answer())[2] == b"GET /v1/2 0"
        assert await stopping < 1.0


async def test_who_stands_at_the_door_is_let_in() -> None:
    """A connection that the system has accepted, and we have not, is answered."""
    async with serving() as port:
        with socket.create_connection((port.host, port.port)) as sock:
            sock.sendall(GET % 1)
            sock.setblocking(False)
            stopping = asyncio.ensure_future(stopped(port, 5.0))
            loop = asyncio.get_running_loop()
            assert (await asyncio.wait_for(loop.sock_recv(sock, 4096), 5.0)).endswith(b"GET /v1/1 0")
            assert await stopping < 1.0


async def test_serving_goes_on_until_nobody_calls() -> None:
    """New connections are taken, each is for one call; quiet has to be long enough, and begins anew with each call."""
    async with serving() as port, calling(port) as kept:
        await kept.send(GET % 1)
        await kept.read_answer()
        stopping = asyncio.ensure_future(stopped(port, 10.0, SERVE))
        for number in range(2, 6):
            await asyncio.sleep(0.2)
            async with calling(port) as caller:
                await caller.send(GET % number)
                assert b"Connection: close" in (await caller.read_answer())[1]
                assert await caller.read_to_end() == b""
        assert not stopping.done()
        assert 1.1 <= await stopping < 3.0
        assert len(port.calls) == 5
        with pytest.raises(ConnectionError):
            await asyncio.open_connection(port.host, port.port)


async def test_past_the_grace_who_still_calls_is_refused() -> None:
    """He who serves is told when there is no time left; the door stays open for a moment, so that callers are told, too."""
    refused: list[bool] = []

    async def answer(client: HttpClient) -> None:
        if client.call.target == "/v1/1":
            await asyncio.get_running_loop().create_future()
        client.write(b"HTTP/1.1 %b\r\nContent-Length: 0\r\n\r\n" % (b"503 No" if refused else b"200 OK"))
        client.finish(keep=False)

    async with serving(answer) as port, calling(port) as busy:
        await busy.send(GET % 1)
        stopping = asyncio.ensure_future(stopped(port, 0.3, SERVE, lambda: refused.append(True)))
        statuses = []
        while not stopping.done():
            try:
                async with calling(port) as caller:
                    await caller.send(GET % 2)
                    statuses.append((await caller.read_answer())[0])
            except ConnectionError:
                break
            await asyncio.sleep(0.01)
        assert await stopping < 2.0
        assert refused == [True]
        assert set(statuses) == {200, 503} and statuses == sorted(statuses)
        assert statuses.count(503) >= 5, "for half a second"
        assert await busy.read_to_end() == b""


async def test_of_requests_in_line_the_last_says_that_it_is() -> None:
    """What stands behind an answer that says it would be lost; the one before is told otherwise."""
    gate = Gate()
    async with serving(gate) as port, calling(port) as caller:
        await caller.send(GET % 1 + GET % 2)
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.02)
        await caller.send(GET % 3)
        gate.opened.set()
        heads = [(await caller.read_answer())[1] for _ in range(3)]
        assert [b"Connection: close" in head for head in heads] == [False, False, True]
        assert await caller.read_to_end() == b""
        assert await stopping < 1.0


async def test_who_is_still_taking_an_answer_is_waited_for() -> None:
    """An answer whose end lies in our buffer is not delivered, though its call has ended."""

    async def answer(client: HttpClient) -> None:
        transport: Any = client.write.__self__  # type: ignore[attr-defined]  # a method of it
        client.write(b"HTTP/1.1 200 OK\r\nTransfer-Encoding: chunked\r\n\r\n")
        while not transport.get_write_buffer_size():
            client.write(b"2000\r\n%b\r\n" % bytes(0x2000))
            await asyncio.sleep(0.001)
        client.write(b"0\r\n\r\n")
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as caller:
        caller.writer.transport.pause_reading()  # type: ignore[attr-defined]  # of a TCP transport
        await caller.send(GET % 1)
        while port.outcomes != ["done"]:
            await asyncio.sleep(0.01)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.5)
        assert not stopping.done()
        caller.writer.transport.resume_reading()  # type: ignore[attr-defined]
        assert (await caller.read_to_end()).endswith(b"\r\n0\r\n\r\n")
        assert await stopping < 3.0


async def test_sessions_are_left_alone_while_it_serves() -> None:
    """Those on which something is said keep it; those that are silent are told in the end."""
    takers = [Drained(), Drained()]
    given = iter(takers)

    async def answer(client: HttpClient) -> None:
        taker = next(given)
        client.hand_over(taker).transport.write(b"switched")
        await taker.done

    async with serving(answer) as port, calling(port) as talking, calling(port) as silent:
        for session in (talking, silent):
            await session.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 5.0, SERVE))
        for _ in range(4):
            await asyncio.sleep(0.2)
            takers[0].heard_at = port.server.now()
        assert not any(taker.done.done() for taker in takers)
        assert 1.0 < await stopping < 3.0
        assert all(taker.done.done() for taker in takers)


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


async def test_stopping_goes_on_reading_a_body_in_progress() -> None:
    """A call has its time to the end of its request, too."""
    async with serving() as port, calling(port) as caller:
        await caller.send(b"POST /v1 HTTP/1.1\r\nHost: x\r\nContent-Length: 6\r\n\r\nabc")
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 2.0))
        await asyncio.sleep(0.02)
        await caller.send(b"def")
        assert (await caller.read_answer())[2] == b"POST /v1 6"
        assert await stopping < 1.0
        assert port.bodies == [b"abcdef"]


async def test_stopping_lets_a_call_end_that_has_only_just_come() -> None:
    """Though nobody has begun to carry it."""
    async with serving() as port, calling(port) as caller:
        await caller.send(GET % 1)
        await caller.read_answer()
        [connection] = port.server._connections
        connection.data_received(GET % 2)
        assert await stopped(port, 2.0) < 1.0
        assert (await caller.read_answer())[2] == b"GET /v1/2 0"

    async with serving() as port, calling(port) as caller:
        await asyncio.sleep(0.02)
        [connection] = port.server._connections
        connection.data_received(GET % 1)
        assert await stopped(port, 2.0) < 1.0
        assert (await caller.read_answer())[2] == b"GET /v1/1 0"


async def test_what_begins_while_stopping_is_told_so() -> None:
    """A call that proves to have no end is ended then; a connection that is handed over is to be drained."""
    go_on, taker = asyncio.Event(), Drained()

    async def answer(client: HttpClient) -> None:
        await go_on.wait()
        if client.call.wanted.upgrade:
            client.hand_over(taker).transport.write(b"switched")
            await taker.done
        else:
            client.outlast()
            await asyncio.get_running_loop().create_future()

    async with serving(answer) as port, calling(port) as endless, calling(port) as session:
        await endless.send(GET % 1)
        await session.send(b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n")
        await asyncio.sleep(0.02)
        stopping = asyncio.ensure_future(stopped(port, 3.0))
        await asyncio.sleep(0.02)
        go_on.set()
        assert await endless.read_to_end(1.0) == b""
        assert await session.read_to_end(1.0) == b"switched"
        assert await stopping < 1.0


class Drained(Receiver):
    """A session that ends when it is to be drained."""

    def __init__(self) -> None:
        self.done = asyncio.get_running_loop().create_future()

    def drain(self) -> None:
        if not self.done.done():
            self.done.set_result(None)


LARGE = 20_000_000


async def large(client: HttpClient) -> None:
    """Answer at once with more than a socket's buffers hold."""
    client.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % LARGE + bytes(LARGE))
    client.finish(keep=b"close" not in client.call.target.encode())


@pytest.mark.parametrize("target", [b"/kept", b"/close"])
async def test_stopping_waits_for_a_reader_of_what_is_written(target: bytes) -> None:
    """An answer is over when its caller has it."""
    async with serving(large) as port, calling(port) as caller:
        await caller.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
        await asyncio.sleep(0.1)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.1)
        assert not stopping.done()
        assert len(await caller.read_to_end()) > LARGE
        assert await stopping < 5.0


async def overfill(client: HttpClient, port: Port) -> None:
    """Write a little more than the socket takes."""
    [connection] = port.server._connections
    while connection.transport.get_write_buffer_size() == 0:
        client.write(bytes(10_000))
        await asyncio.sleep(0)


async def test_stopping_waits_for_the_last_bytes() -> None:
    """Of a call that ends meanwhile, however few are left."""
    go_on = asyncio.Event()

    async def answer(client: HttpClient) -> None:
        await go_on.wait()
        await overfill(client, port)
        client.finish(keep=True)

    async with serving(answer) as port, calling(port) as caller:
        caller.writer.transport.pause_reading()
        await caller.send(GET % 1)
        stopping = asyncio.ensure_future(stopped(port, 5.0))
        await asyncio.sleep(0.02)
        go_on.set()
        await asyncio.sleep(0.2)
        assert (stopping.done(), port.outcomes) == (False, ["done"])
        caller.writer.transport.resume_reading()
        await caller.read_to_end()
        assert await stopping < 2.0


@pytest.mark.parametrize("target", [b"/kept", b"/close"])
async def test_a_caller_that_never_reads_is_given_up(target: bytes) -> None:
    """What was written for it is not held for ever; no other call of its connection is begun meanwhile."""
    async with serving(large, timeouts=Timeouts(idle=0.3)) as port, calling(port) as caller:
        caller.writer.transport.pause_reading()
        await caller.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target * 5)
        await asyncio.sleep(0.15)
        assert (len(port.calls), len(port.server._connections)) == (1, 1)
        await asyncio.sleep(0.7)
        assert (len(port.calls), len(port.server._connections)) == (1, 0)


async def test_a_connection_that_cannot_be_closed_in_order_is_reset(monkeypatch: pytest.MonkeyPatch) -> None:
    """A few bytes that its caller never takes keep it open no longer than any other."""
    monkeypatch.setattr(server, "_LOOK_S", 0.02)

    async def answer(client: HttpClient) -> None:
        await overfill(client, port)
        client.finish(keep=client.call.target == "/kept")

    for target in (b"/kept", b"/close"):
        async with serving(answer, timeouts=Timeouts(idle=0.1, keep_alive=0.1)) as port, calling(port) as caller:
            caller.writer.transport.pause_reading()
            await caller.send(b"GET %b HTTP/1.1\r\nHost: x\r\n\r\n" % target)
            await asyncio.sleep(0.1)
            assert port.outcomes == ["done"]
            await asyncio.sleep(0.5)
            assert port.server._connections == set()


async def test_calls_are_carried_by_others_from_one_moment_on() -> None:
    """On a connection that is there already, by other times; a call in progress ends as it began."""
    begun, release = asyncio.Event(), asyncio.Event()

    def answer_with(text: bytes) -> Answer:
        async def answer(client: HttpClient) -> None:
            begun.set()
            await release.wait()
            client.write(b"HTTP/1.1 200 OK\r\nContent-Length: %d\r\n\r\n" % len(text) + text)
            client.finish(keep=True)

        return answer

    async with serving(answer_with(b"old")) as port, calling(port) as caller, calling(port) as other:
        await caller.send(GET % 1)
        await begun.wait()
        port.server.adopt(answer_with(b"new"), lambda: b"HTTP/1.1 400 No\r\nContent-Length: 0\r\n\r\n", Timeouts(idle=7.0))
        await other.send(b"nonsense\r\n\r\n")
        release.set()
        assert (await caller.read_answer())[2] == b"old"
        await caller.send(GET % 2)
        assert (await caller.read_answer())[2] == b"new"
        assert (await other.read_to_end()).startswith(b"HTTP/1.1 400 No")
        assert port.server.idle_s == 7.0
