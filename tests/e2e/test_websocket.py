"""WebSockets through the sidecar: frames as they were sent, closes as they were made, nothing left behind."""

import asyncio
import contextlib
import json
import random
import signal
import ssl
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any

import pytest
import trustme
import websockets
from websockets.asyncio.client import connect
from websockets.asyncio.server import ServerConnection, serve

from sidecar.config import Limits, Route, Timeouts
from sidecar.exchange import Record
from sidecar.simulator.accounts import read_samples
from tests.core.observe.test_frames import KEY as MASK
from tests.core.observe.test_frames import frame
from tests.edge.telemetry.receiver import receive
from tests.rig.caller import fetch
from tests.rig.process import RunningSidecar, run_sidecar
from tests.rig.side import Side, running
from tests.rig.websocket import KEY, PATH, End, Upstream, accept_of, compose_handshake, dial, join, listening

MIB = 1 << 20
CLOSE = 0x8
Handler = Callable[[ServerConnection], Awaitable[None]]


@contextlib.asynccontextmanager
async def joined(**changes: Any) -> AsyncIterator[tuple[Upstream, Side]]:
    """A raw upstream with a sidecar in front of it."""
    async with listening() as upstream, running(upstream.url, **changes) as side:
        yield upstream, side


@contextlib.asynccontextmanager
async def speaking(handler: Handler, **options: Any) -> AsyncIterator[tuple[str, Side]]:
    """A server of the `websockets` library with a sidecar in front; gives the URL through it."""
    async with serve(handler, "127.0.0.1", 0, max_size=None, **options) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(f"http://127.0.0.1:{port}") as side:
            yield f"{side.url.replace('http', 'ws')}{PATH}", side


async def echo(server: ServerConnection) -> None:
    """Send every message back."""
    async for message in server:
        await server.send(message)


async def nothing_is_left(side: Side, tasks: int, sessions: int = 1) -> Record:
    """One record for each session, no gauge above zero, no task more than before; gives the last record."""
    records = await side.records.until(sessions)
    async with asyncio.timeout(5):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.005)
    assert len(records) == sessions
    gauges = await side.gauges()
    assert (gauges["in_flight"], gauges["active"]) == (0, 0)
    assert await value_of(side, "llm_sidecar_websocket_sessions") == 0
    return records[-1]


async def value_of(side: Side, name: str, **labels: str) -> float:
    """The sum over a metric's series with these labels."""
    return sum(value for found, have, value in read_samples(await side.scrape()) if found == name and labels.items() <= have.items())


async def test_messages_pass_both_ways() -> None:
    """Text, binary, fragments, empty ones; the subprotocol that the server chose, and no extension."""
    async with speaking(echo, subprotocols=["realtime"]) as (url, side), connect(url, subprotocols=["realtime", "other"]) as client:
        assert client.response is not None
        assert client.subprotocol == "realtime"
        assert "Sec-WebSocket-Extensions" not in client.response.headers
        assert client.response.headers["x-sidecar-upstream"] == "openai"
        for message in ("text", b"\x00binary\xff", "", b"", "ü🙂"):
            await client.send(message)
            assert await client.recv() == message
        await client.send(["in ", "three ", "fragments"])
        assert await client.recv() == "in three fragments"
        await client.close()
        record = (await side.records.until(1))[0]
        assert record.session is not None
        assert (record.session.to_upstream, record.session.to_client) == (6, 6)


@pytest.fixture
def authority(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> trustme.CA:
    """An authority that the sidecar trusts."""
    made = trustme.CA()
    made.cert_pem.write_to_path(str(tmp_path / "ca.pem"))
    monkeypatch.setenv("SSL_CERT_FILE", str(tmp_path / "ca.pem"))
    return made


async def test_the_upstream_may_speak_tls(authority: trustme.CA) -> None:
    """As providers do: messages of every size, pings, and closes of both sides, in order and abrupt."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert("127.0.0.1").configure_cert(context)

    async def talk(server: ServerConnection) -> None:
        async for message in server:
            if message == "close":
                await server.close(1011, "told to")
            elif message == "abort":
                server.transport.abort()
            else:
                await server.send(message)

    async with serve(talk, "127.0.0.1", 0, max_size=None, ssl=context) as server:
        port = server.sockets[0].getsockname()[1]
        async with running(f"https://127.0.0.1:{port}") as side:
            tasks, url = len(asyncio.all_tasks()), f"{side.url.replace('http', 'ws')}{PATH}"
            endings = []
            for last in ("", "close", "abort", "leave"):
                async with connect(url, max_size=None) as client:
                    for message in ("small", b"x" * 5 * MIB, "y" * 300_000):
                        await client.send(message)
                        assert await client.recv() == message
                    await (await client.ping())
                    if last == "leave":
                        client.transport.abort()
                    elif last:
                        await client.send(last)
                        with pytest.raises(websockets.ConnectionClosed):
                            await client.recv()
                        assert client.close_code == (1011 if last == "close" else 1006)
                endings.append((await nothing_is_left(side, tasks, len(endings) + 1)).ending)
            assert endings == ["completed", "in_band_error", "cut", "client_gone"]
            async with asyncio.timeout(2):
                while server.connections:
                    await asyncio.sleep(0.005)


async def test_pings_are_answered_by_the_other_end() -> None:
    """In both directions, with what they carry."""

    async def ping(server: ServerConnection) -> None:
        await (await server.ping(b"from the server"))
        await server.send("ponged")
        await server.wait_closed()

    async with speaking(ping) as (url, _), connect(url) as client:
        assert await client.recv() == "ponged"
        await (await client.ping(b"from the client"))


@pytest.mark.parametrize(
    ("code", "reason", "ending", "error_type"),
    [
        (1000, "done", "completed", None),
        (1001, "", "completed", None),
        (1008, "policy", "rejected", "websocket_1008"),
        (1011, "it broke", "in_band_error", "websocket_1011"),
        (3000, "unauthorized", "rejected", "websocket_3000"),
        (4999, "ü" * 60, "in_band_error", "websocket_4999"),
    ],
)
async def test_a_servers_close_reaches_the_client(code: int, reason: str, ending: str, error_type: str | None) -> None:
    """Code and reason as they were sent, and the record says what they meant."""

    async def close(server: ServerConnection) -> None:
        await server.close(code, reason)

    tasks = len(asyncio.all_tasks())
    async with speaking(close) as (url, side):
        tasks = len(asyncio.all_tasks())
        async with connect(url) as client:
            with pytest.raises(websockets.ConnectionClosed) as caught:
                await client.recv()
            assert caught.value.rcvd is not None
            assert (caught.value.rcvd.code, caught.value.rcvd.reason) == (code, reason)
        record = await nothing_is_left(side, tasks)
    assert (record.ending, record.error_type, record.status) == (ending, error_type, 101)
    assert record.session is not None
    assert record.session.close_code == code
    assert reason == "" or reason not in repr(record)


@pytest.mark.parametrize(("code", "ending"), [(1000, "completed"), (1001, "completed"), (4000, "client_gone"), (1009, "client_gone")])
async def test_a_clients_close_reaches_the_server(code: int, ending: str) -> None:
    """And is no error of the service, whatever it says."""
    seen: list[tuple[int | None, str | None]] = []

    async def wait(server: ServerConnection) -> None:
        await server.wait_closed()
        seen.append((server.close_code, server.close_reason))

    async with speaking(wait) as (url, side):
        tasks = len(asyncio.all_tasks())
        async with connect(url) as client:
            await client.close(code, "so long")
        record = await nothing_is_left(side, tasks)
        assert seen == [(code, "so long")]
    assert (record.ending, record.error_type) == (ending, None)


async def test_large_frames_pass() -> None:
    """There is no limit of ours; what is too long to be read is counted, and the rest is read all the same."""
    async with speaking(echo) as (url, side):
        tasks = len(asyncio.all_tasks())
        async with connect(url, max_size=None) as client:
            for size in (MIB, 20 * MIB):
                for message in (random.Random(size).randbytes(size), "x" * (size + 1)):
                    await client.send(message)
                    assert await client.recv() == message
        record = await nothing_is_left(side, tasks)
    assert (record.ending, record.unread) == ("completed", "too_large")


async def test_frames_sent_before_the_answer_are_kept_and_sent_on() -> None:
    """A client that does not wait for the 101, and a server that speaks with it."""
    async with listening() as upstream:
        upstream.delay_s, upstream.first = 0.1, frame(b"first")
        async with running(upstream.url) as side:
            early = frame(b"x" * 300_000, 0x2, key=MASK)
            client = await dial(side.url)
            sending = asyncio.create_task(client.send(compose_handshake() + early))
            assert (await client.read_head()).startswith(b"HTTP/1.1 101 ")
            assert await client.read(len(upstream.first)) == upstream.first
            end = await upstream.take()
            assert await end.read(len(early)) == early
            await sending
            client.close()
            end.close()


async def test_the_handshake_is_sent_on_as_a_handshake() -> None:
    """Hop-by-hop fields anew, extensions not offered, all else as it came; no secret of a subprotocol is kept."""
    secret = "openai-insecure-api-key.canary-7f3a91"
    async with joined() as (upstream, side):
        fields = [
            ("Origin", "https://app.example"), ("Sec-WebSocket-Protocol", f"realtime, {secret}"), ("Authorization", "Bearer canary-7f3a91"),
            ("Sec-WebSocket-Extensions", "permessage-deflate"), ("x-sidecar-timeout", "9"),
        ]  # fmt: skip
        upstream.more = "Sec-WebSocket-Protocol: realtime\r\nX-Own: 1\r\n"
        client, end = await join(side.url, upstream, target=PATH + "?model=gpt-realtime&key=canary-7f3a91", fields=fields)
        lines = end.head.decode().split("\r\n")
        assert lines[0] == "GET /v1/realtime?model=gpt-realtime&key=canary-7f3a91 HTTP/1.1"
        for line in ("Origin: https://app.example", f"Sec-WebSocket-Protocol: realtime, {secret}", f"Sec-WebSocket-Key: {KEY}"):
            assert line in lines
        assert sorted(line for line in lines if line.lower().startswith(("upgrade", "connection"))) == [
            "Connection: Upgrade", "Upgrade: websocket",
        ]  # fmt: skip
        assert not any(line.lower().startswith(("sec-websocket-extensions", "x-sidecar")) for line in lines)
        told = client.head.decode().split("\r\n")
        for line in (f"Sec-WebSocket-Accept: {accept_of(KEY)}", "Sec-WebSocket-Protocol: realtime", "X-Own: 1"):
            assert line in told
        client.close()
        record = (await side.records.until(1))[0]
        assert (record.asked.model, record.template) == ("gpt-realtime", PATH)
        assert "canary" not in repr(record) + await side.scrape()


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_a_client_that_leaves_takes_the_upstream_along(reset: bool) -> None:
    """At once, in the way in which it left, and without an error."""
    async with joined() as (upstream, side):
        tasks = len(asyncio.all_tasks())
        for number in range(10):
            client, end = await join(side.url, upstream)
            await client.send(frame(b"last words", key=MASK))
            assert await end.read(16) == frame(b"last words", key=MASK)
            left_at = time.monotonic()
            if reset:
                client.reset()
            else:
                client.close()
            assert await end.read_end() == ("rst" if reset else "fin")
            assert time.monotonic() - left_at < 1
            end.close()
            record = await nothing_is_left(side, tasks, number + 1)
            assert (record.ending, record.error_type) == ("client_gone", None)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
async def test_an_upstream_that_breaks_off_is_never_a_clean_end(reset: bool) -> None:
    """The client gets all that was sent, then the same break; the record says cut."""
    async with joined() as (upstream, side):
        tasks = len(asyncio.all_tasks())
        for number in range(10):
            client, end = await join(side.url, upstream)
            await end.send(frame(b"x" * 70_000))
            assert await client.read(70_010) == frame(b"x" * 70_000)
            if reset:
                end.reset()
            else:
                end.close()
            assert await client.read_end() == ("rst" if reset else "fin")
            client.close()
            record = await nothing_is_left(side, tasks, number + 1)
            assert (record.ending, record.error_id, record.error_type) == ("cut", "stream_cut", "stream_cut")


async def test_a_clients_sdk_takes_a_break_for_one() -> None:
    """1006, as going direct."""

    async def abort(server: ServerConnection) -> None:
        await server.send("one")
        server.transport.abort()

    async with speaking(abort) as (url, _), connect(url) as client:
        assert await client.recv() == "one"
        with pytest.raises(websockets.ConnectionClosedError) as caught:
            await client.recv()
        assert (caught.value.rcvd, client.close_code) == (None, 1006)


async def test_the_closing_handshake_survives_a_half_closed_connection() -> None:
    """A client that sends its Close frame and then ends its sending still gets the server's (RFC 6455 section 7.1.1)."""
    async with joined() as (upstream, side):
        tasks = len(asyncio.all_tasks())
        client, end = await join(side.url, upstream)
        await client.send(frame(b"\x03\xe8", CLOSE, key=MASK))
        client.writer.write_eof()
        assert await end.read_end() == "fin"
        await end.send(frame(b"late") + frame(b"\x03\xe8", CLOSE))
        end.close()
        assert await client.read(10) == frame(b"late") + frame(b"\x03\xe8", CLOSE)
        assert await client.read_end() == "fin"
        client.close()
        assert (await nothing_is_left(side, tasks)).ending == "completed"


REFUSALS = {
    "forbidden": ("/closed/v1/realtime", (), "", 403, "websocket_refused"),
    "no route": ("/nowhere", (), "", 404, "no_route"),
    "another protocol": (PATH, [("Upgrade", "h2c")], "Upgrade", 501, "not_upgradable"),
    "two protocols": (PATH, [("Upgrade", "h2c")], "", 501, "not_upgradable"),
    "another version": (PATH, [("Sec-WebSocket-Version", "8")], "Sec-WebSocket-Version", 400, "bad_request"),
    "no key": (PATH, (), "Sec-WebSocket-Key", 400, "bad_request"),
    "a body": (PATH, [("Content-Length", "5")], "", 400, "bad_request"),
}


@pytest.mark.parametrize("name", REFUSALS)
async def test_what_is_refused_is_refused_once_and_for_all(name: str) -> None:
    """With an id and a closed connection: what stands behind the handshake is nobody's request (smuggling)."""
    target, fields, without, status, error_id = REFUSALS[name]
    routes = (Route("/openai/", "openai"), Route("/closed/", "openai", websocket=False))
    async with joined(routes=routes) as (upstream, side):
        smuggled = b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n"
        answer = await fetch(side.url, compose_handshake(target, fields=fields, without=without) + smuggled)
        assert (answer.status, answer.field("x-sidecar-error"), answer.field("connection")) == (status, error_id, "close")
        record = (await side.records.until(1))[0]
        assert (record.status, record.error_id, record.session) == (status, error_id, None)
        assert upstream.ends.qsize() == 0
        assert len(side.records.all) == 1
        assert await value_of(side, "llm_sidecar_websocket_sessions") == 0


@pytest.mark.parametrize(
    ("answer", "status", "ending"),
    [
        (b"HTTP/1.1 401 Unauthorized\r\nContent-Type: application/json\r\nContent-Length: 34\r\n\r\n"
         b'{"error": {"code": "bad_api_key"}}', 401, "rejected"),
        (b"HTTP/1.1 404 Not Found\r\nContent-Length: 0\r\n\r\n", 404, "rejected"),
        (b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\nhi", 200, "completed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nSec-WebSocket-Accept: eA==\r\n\r\n", 502,
         "malformed"),
        (b"HTTP/1.1 101 Switching Protocols\r\nSec-WebSocket-Accept: eA==\r\n\r\n", 502, "malformed"),
    ],
    ids=["401", "404", "200", "wrong accept", "no upgrade"],
)  # fmt: skip
async def test_an_upstream_that_does_not_upgrade(answer: bytes, status: int, ending: str) -> None:
    """Its answer is relayed as any other is, and the connection closed; a 101 that fits nothing is not HTTP."""
    async with joined() as (upstream, side):
        upstream.instead = answer
        tasks = len(asyncio.all_tasks())
        got = await fetch(side.url, compose_handshake() + b"GET /openai/v1/models HTTP/1.1\r\n\r\n")
        assert (got.status, got.field("connection")) == (status, "close")
        if status != 502:
            assert bytes(got.body) == answer.partition(b"\r\n\r\n")[2]
        (await upstream.take()).close()
        record = (await side.records.until(1))[0]
        assert (record.status, record.ending, record.session) == (status, ending, None)
        assert record.error_type == ("bad_api_key" if status == 401 else None if status == 200 else record.error_id or str(status))
        assert len(side.records.all) == 1
        assert await value_of(side, "llm_sidecar_websocket_sessions") == 0
        assert len(asyncio.all_tasks()) <= tasks + 1


async def test_a_handshake_has_the_deadlines_of_a_call_and_a_session_has_not() -> None:
    """`timeouts.first_byte` and `timeouts.total` end with the 101; silence for `timeouts.websocket_idle` is the session's own end."""
    timeouts = Timeouts(first_byte=0.3, idle=0.2, total=0.4, websocket_idle=0.8)
    async with joined(timeouts=timeouts) as (upstream, side):
        client, end = await join(side.url, upstream)
        for _ in range(5):
            await asyncio.sleep(0.25)
            await end.send(frame(b"still here"))
        assert await client.read(5 * 12) == frame(b"still here") * 5
        assert await client.read(2 + 2 + 12) == frame(b"\x03\xe9idle_timeout", CLOSE)
        assert await end.read(2 + 4 + 2 + 12) != b""
        assert (await client.read_end(), await end.read_end()) == ("fin", "fin")
        record = (await side.records.until(1))[0]
        assert (record.ending, record.error_id) == ("idle_timeout", "idle_timeout")
        client.close()
        end.close()
        upstream.delay_s = 1.0
        answer = await fetch(side.url, compose_handshake())
        assert (answer.status, answer.field("x-sidecar-error")) == (504, "first_byte_timeout")


async def test_sessions_have_a_limit_of_their_own_and_leave_the_pool_alone() -> None:
    """With one connection allowed, sessions do not keep calls from it; one session too many is refused."""
    async with joined(connections=1, limits=Limits(websockets=3)) as (upstream, side):
        ends = [await join(side.url, upstream) for _ in range(3)]
        refused = await fetch(side.url, compose_handshake())
        assert (refused.status, refused.field("x-sidecar-error"), refused.field("retry-after")) == (503, "websockets_full", "1")
        assert await value_of(side, "llm_sidecar_websocket_sessions") == 3
        assert (await side.gauges())["active"] == 0
        upstream.instead = b"HTTP/1.1 200 OK\r\nConnection: close\r\nContent-Length: 0\r\n\r\n"
        assert (await fetch(side.url, b"GET /openai/v1/models HTTP/1.1\r\nHost: x\r\n\r\n")).status == 200
        upstream.instead = None
        for client, end in ends:
            client.close()
            end.close()
        await side.records.until(5)
        upstream.ends = asyncio.Queue()
        client, end = await join(side.url, upstream)
        client.close()
        end.close()


async def test_a_slow_reader_has_the_other_side_wait(tmp_path: Path) -> None:
    """In both directions, in bounded memory, and everything arrives."""
    block, blocks = random.Random(1).randbytes(MIB), 48
    async with listening() as upstream:
        with run_sidecar(tmp_path, upstream.url) as sidecar:
            for to_client in (True, False):
                client, end = await join(sidecar.url, upstream, receive_bytes=1 << 18)
                slow, fast = (client, end) if to_client else (end, client)
                before = sidecar.rss_bytes
                sending = asyncio.create_task(fast.send(frame(block, 0x2) * blocks))
                await asyncio.sleep(0.5)
                assert not sending.done()
                assert sidecar.rss_bytes - before < 8 * MIB
                for _ in range(blocks):
                    assert await slow.read(MIB + 10) == frame(block, 0x2)
                await sending
                client.close()
                end.close()
                await asyncio.sleep(0.05)


def files_of(sidecar: RunningSidecar) -> int:
    """Open file descriptors of a process (Linux, proc(5))."""
    return len(list(Path(f"/proc/{sidecar.program.process.pid}/fd").iterdir()))


async def visit(number: int, url: str, upstream: Upstream, lock: asyncio.Lock) -> None:
    """One session with a megabyte each way, ended in one of six ways."""
    random_ = random.Random(number)
    async with lock:  # the end that the upstream took last must be the one of this handshake
        client, end = await join(url, upstream, target=f"{PATH}?model=m")
    up, down = frame(random_.randbytes(MIB), 0x2, key=MASK), frame(random_.randbytes(MIB), 0x2)
    await asyncio.gather(client.send(up), end.send(down), check(end, up), check(client, down))
    leaves: list[Callable[[], Any]] = [client.close, client.reset, end.close, end.reset]
    if number % 6 < 4:
        leaves[number % 6]()
    elif number % 6 == 4:  # within a frame, upwards
        await client.send(up[: MIB // 2])
        client.reset()
    else:
        await end.send(down[: MIB // 2])
        end.reset()
    await asyncio.gather(client.read_end(), end.read_end(), return_exceptions=True)
    client.close()
    end.close()


async def check(end: End, expected: bytes) -> None:
    """Exactly these bytes come."""
    assert await end.read(len(expected)) == expected


async def test_a_hundred_sessions_leave_nothing_behind(tmp_path: Path) -> None:
    """A megabyte each way, abrupt ends of both sides: frames identical, no socket, gauge or memory left."""
    async with listening() as upstream:
        with run_sidecar(tmp_path, upstream.url) as sidecar:
            lock = asyncio.Lock()
            for number in range(4):
                await visit(number, sidecar.url, upstream, lock)
            files, before = files_of(sidecar), sidecar.rss_bytes
            for first in range(4, 100, 8):
                await asyncio.gather(*(visit(number, sidecar.url, upstream, lock) for number in range(first, first + 8)))
            async with asyncio.timeout(10):
                while files_of(sidecar) > files:
                    await asyncio.sleep(0.05)
            samples = list(read_samples(sidecar.scrape()))
            gauges = {name: value for name, labels, value in samples if name.endswith(("in_flight_requests", "websocket_sessions"))}
            assert gauges == {"llm_sidecar_in_flight_requests": 0, "llm_sidecar_websocket_sessions": 0}
            assert [value for name, labels, value in samples if labels.get("state") == "active"] == [0.0] * 5
            endings = {labels["ending"]: value for name, labels, value in samples if name == "llm_sidecar_requests_total" and value}
            assert endings == {"client_gone": 50, "cut": 50}
            assert sidecar.rss_bytes - before < 24 * MIB


async def test_a_stopping_sidecar_says_so_to_both_ends(tmp_path: Path) -> None:
    """1001, which clients take for a reason to connect again: at once, behind the answer in progress, or when the time is over."""
    begun, done = (frame(json.dumps({"type": kind, "response": {}}).encode()) for kind in ("response.created", "response.done"))
    async with listening() as upstream:
        with run_sidecar(tmp_path, upstream.url, timeouts={"shutdown": "1s"}) as sidecar:
            (quiet, quiet_end), (busy, busy_end), (long, long_end), (inside, inside_end) = [
                await join(sidecar.url, upstream) for _ in range(4)
            ]  # fmt: skip
            await asyncio.gather(busy_end.send(begun), long_end.send(begun), inside_end.send(begun + done[:5]))
            await asyncio.gather(busy.read(len(begun)), long.read(len(begun)), inside.read(len(begun) + 5))
            asked_at = time.monotonic()
            sidecar.program.signal(signal.SIGTERM)
            ours = frame(b"\x03\xe9stopping", CLOSE)
            assert await quiet.read(12) == ours
            assert await quiet.read_end() == "fin"
            masked = await quiet_end.read(16)
            assert (masked[0], masked[1]) == (0x88, 0x80 | 10)
            assert bytes(byte ^ masked[2 + place % 4] for place, byte in enumerate(masked[6:])) == b"\x03\xe9stopping"
            assert await quiet_end.read_end() == "fin"
            await busy_end.send(done)
            assert await busy.read(len(done) + 12) == done + ours
            assert time.monotonic() - asked_at < 1
            assert await long.read(12) == ours
            assert time.monotonic() - asked_at >= 1
            assert await inside.read_end() == "fin"  # nothing can be put within a frame
            assert sidecar.program.wait() == 0
            for each in (quiet, quiet_end, busy, busy_end, long, long_end, inside, inside_end):
                each.close()


async def test_usage_is_read_and_shown(tmp_path: Path) -> None:
    """Tokens, cost, messages and a span; the session's length is nobody's latency."""
    done = {"type": "response.done", "response": {"status": "completed", "usage": {"input_tokens": 1000, "output_tokens": 100}}}

    async def talk(server: ServerConnection) -> None:
        await server.send(json.dumps({"type": "session.created", "session": {"model": "gpt-4o-mini"}}))
        async for _ in server:
            await server.send(json.dumps({"type": "response.created", "response": {}}))
            await server.send(json.dumps(done))

    async with serve(talk, "127.0.0.1", 0) as server:
        port = server.sockets[0].getsockname()[1]
        with (
            receive() as receiver,
            run_sidecar(tmp_path, f"http://127.0.0.1:{port}", {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}) as sidecar,
        ):
            async with connect(f"{sidecar.url.replace('http', 'ws')}{PATH}?model=gpt-4o-mini") as client:
                await client.recv()
                for _ in range(3):
                    await client.send("{}")
                    assert json.loads(await client.recv())["type"] == "response.created"
                    await client.recv()
                await asyncio.sleep(0.3)
            async with asyncio.timeout(10):
                while len(receiver.spans) < 3:
                    await asyncio.sleep(0.05)
            samples = {(name, labels.get("type") or labels.get("direction")): value
                       for name, labels, value in read_samples(sidecar.scrape()) if value}  # fmt: skip
    assert samples["llm_sidecar_tokens_total", "input"] == 3000
    assert samples["llm_sidecar_tokens_total", "output"] == 300
    assert samples["llm_sidecar_cost_usd_total", None] == pytest.approx(3 * (1000 * 0.15 + 100 * 0.60) / 1e6)
    assert samples["llm_sidecar_websocket_messages_total", "to_upstream"] == 3
    assert samples["llm_sidecar_websocket_messages_total", "to_client"] == 7
    assert samples["llm_sidecar_websocket_session_duration_seconds_sum", None] > 0.3
    assert samples["http_server_request_duration_seconds_sum", None] < 0.3
    assert not any(name.startswith("gen_ai_client_operation_duration") for name, _ in samples)
