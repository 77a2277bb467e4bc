"""One answer on its way to the client: what is passed on, when it is given up, and what is let go."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.observe.observer import BlindObserver
from sidecar.core.observe.sessions import SessionObserver
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.relay import Relay
from sidecar.edge.outbound.watch import Watch
from sidecar.errors import (
    FIRST_BYTE_TIMEOUT,
    IDLE_TIMEOUT,
    STREAM_CUT,
    TOTAL_TIMEOUT,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    ClientGone,
    ErrorKind,
    UpstreamFault,
)
from sidecar.exchange import Seen
from sidecar.ports import Handover
from tests.edge.outbound.doubles import FakeTransport, RecordingKeeper
from tests.edge.virtual import run_virtually, turn

HEAD = b"HTTP/1.1 200 OK\r\n"
CHUNKED = HEAD + b"Transfer-Encoding: chunked\r\n\r\n"


class Client:
    """A caller that takes what it is given, and may be slow."""

    def __init__(self, *, full_after: int | None = None) -> None:
        self.writes: list[bytes] = []
        self.full_after = full_after
        self.pause: Callable[[], None] | None = None
        self.go_on: Callable[[], None] | None = None

    @property
    def got(self) -> bytes:
        """All that was written."""
        return b"".join(self.writes)

    def write(self, data: bytes) -> None:
        self.writes.append(data)
        if self.full_after is not None and len(self.got) > self.full_after and self.pause is not None:
            self.pause()

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        self.pause, self.go_on = pause, go_on


class Observer(BlindObserver):
    """Notes what it is shown; may break."""

    def __init__(self, broken: str = "") -> None:
        super().__init__(Seen())
        self.fed: list[bytes] = []
        self.finished = 0
        self.broken = broken

    def feed(self, data: bytes, now: float) -> None:
        self.fed.append(data)
        if self.broken == "feed":
            raise ZeroDivisionError

    def finish(self, now: float) -> None:
        self.finished += 1
        if self.broken == "finish":
            raise ZeroDivisionError


class Doubling:
    """A filter that shows where it was: it takes out `-` and holds back `=` until the end."""

    def __init__(self) -> None:
        self.held = b""

    def feed(self, data: bytes) -> bytes:
        self.held += data[data.find(b"=") :] if b"=" in data else b""
        return data.replace(b"-", b"").partition(b"=")[0]

    def flush(self) -> bytes:
        return self.held


class Scene:
    """A relay over a real connection with a fake socket."""

    def __init__(self, **limits: float) -> None:
        loop: Any = asyncio.get_running_loop()
        self.loop = loop
        self.keeper = RecordingKeeper()
        self.connection = Connection(self.keeper, 4096, self.loop.time())
        self.connection.expires_at = 1e9
        self.transport = FakeTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.client = Client()
        self.observer = Observer()
        settings = {"connect_s": 1.0, "first_byte_s": 10.0, "idle_s": 20.0, "total_at": self.loop.time() + 100.0, **limits}
        self.deadlines = Deadlines(**settings)
        self.watch = Watch(self.loop.now)
        self.relay = self.make()

    def make(self) -> Relay:
        """Return the next attempt on the connection."""
        return Relay(self.connection, self.deadlines, self.loop.now, self.watch, self.loop.time())

    def start(self, *, whole: bool = True) -> None:
        """Send the request."""
        self.relay.start("POST", b"request", whole=whole)

    def feed(self, *pieces: bytes) -> None:
        """Let bytes come from the upstream."""
        for piece in pieces:
            self.connection.data_received(piece)

    def commit(self, framing: Framing = Framing.CHUNKED, *, body_filter: Any = None, ends_itself: bool = True) -> None:
        """Send the head on."""
        client: Any = self.client
        self.relay.commit(client, b"head|", framing, self.observer, body_filter, ends_itself=ends_itself)


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a story on a virtual loop."""

    def test() -> None:
        run_virtually(story())

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


async def failure(waiting: Any) -> ErrorKind:
    """Return the kind of fault that comes out."""
    with pytest.raises(UpstreamFault) as raised:
        await waiting
    return raised.value.kind


@told
async def test_pieces_pass_at_once_and_are_looked_at_afterwards() -> None:
    """Head, each piece as a chunk, and the end; the observer sees the bytes as they came."""
    scene = Scene()
    scene.start()
    scene.feed(CHUNKED)
    assert (await scene.relay.until_head()).status == 200
    scene.commit()
    scene.feed(b"2\r\nhi\r\n")
    assert scene.client.got == b"head|2\r\nhi\r\n"
    assert scene.observer.fed == [b"hi"]
    scene.feed(b"1\r\n!\r\n0\r\n\r\n")
    await scene.relay.until_end()
    assert scene.client.got == b"head|2\r\nhi\r\n1\r\n!\r\n0\r\n\r\n"
    assert (scene.observer.fed, scene.observer.finished, scene.relay.sent_bytes) == ([b"hi", b"!"], 1, 3)
    scene.relay.release()
    assert scene.keeper.taken == [True]


@pytest.mark.parametrize(
    ("framing", "ends_itself", "got"),
    [
        (Framing.CHUNKED, True, b"head|5\r\nhello\r\n0\r\n\r\n"),
        (Framing.CHUNKED, False, b"head|5\r\nhello\r\n"),
        (Framing.LENGTH, True, b"head|hello"),
        (Framing.CLOSE, True, b"head|hello"),
        (Framing.NONE, True, b"head|"),
    ],
)
@pytest.mark.parametrize("early", [True, False])
def test_a_body_goes_out_in_the_callers_framing(framing: Framing, ends_itself: bool, got: bytes, early: bool) -> None:
    """The same whether it came before the commit or after it; the end is written only where nobody judges it first."""

    async def story() -> None:
        scene = Scene()
        scene.start()
        scene.feed(HEAD + b"Content-Length: 5\r\n\r\n")
        if early:
            scene.feed(b"hello")
        scene.commit(framing, ends_itself=ends_itself)
        if not early:
            scene.feed(b"hello")
        await scene.relay.until_end()
        assert scene.client.got == got
        assert len(scene.client.writes) == 1 or not early
        assert (scene.observer.fed, scene.observer.finished, scene.relay.ended) == ([b"hello"], 1, True)

    run_virtually(story())


@pytest.mark.parametrize("early", [True, False])
def test_a_filter_alters_what_is_sent_and_not_what_is_seen(early: bool) -> None:
    """What it holds back comes at the end; an empty outcome is no chunk, which would end the body."""

    async def story() -> None:
        scene = Scene()
        scene.start()
        scene.feed(CHUNKED)
        pieces = (b"3\r\na-b\r\n", b"1\r\n-\r\n", b"3\r\nc=d\r\n", b"0\r\n\r\n")
        if early:
            scene.feed(*pieces)
        scene.commit(body_filter=Doubling())
        if not early:
            scene.feed(*pieces)
        assert scene.client.got == b"head|2\r\nab\r\n1\r\nc\r\n2\r\n=d\r\n0\r\n\r\n"
        assert scene.observer.fed == [b"a-b", b"-", b"c=d"]

    run_virtually(story())


@pytest.mark.parametrize("broken", ["feed", "finish"])
@pytest.mark.parametrize("early", [True, False])
def test_a_broken_observer_costs_no_byte(broken: str, early: bool) -> None:
    """It is switched off and noted; the answer goes on."""

    async def story() -> None:
        scene = Scene()
        scene.observer = Observer(broken)
        scene.start()
        scene.feed(CHUNKED)
        pieces = (b"1\r\na\r\n", b"1\r\nb\r\n", b"0\r\n\r\n")
        if early:
            scene.feed(*pieces)
        scene.commit()
        if not early:
            scene.feed(*pieces)
        await scene.relay.until_end()
        assert scene.client.got == b"head|1\r\na\r\n1\r\nb\r\n0\r\n\r\n"
        assert scene.relay.observer_failed
        assert len(scene.observer.fed) == (1 if broken == "feed" else 2)

    run_virtually(story())


@told
async def test_a_slow_client_pauses_the_upstream() -> None:
    """And reading goes on when it has caught up; the pause is not held against the upstream."""
    scene = Scene()
    scene.start()
    scene.feed(CHUNKED)
    scene.client.full_after = 6
    scene.commit()
    scene.feed(b"4\r\nlong\r\n")
    assert scene.transport.paused
    await asyncio.sleep(15.0)
    assert scene.client.go_on is not None
    scene.client.full_after = None
    scene.client.go_on()
    is_reading = not scene.transport.paused
    assert is_reading
    await asyncio.sleep(15.0)
    scene.feed(b"0\r\n\r\n")
    await scene.relay.until_end()


@told
async def test_a_client_that_stops_reading_has_left() -> None:
    """After the idle limit, and by no fault of the upstream."""
    scene = Scene()
    scene.start()
    scene.feed(CHUNKED)
    scene.client.full_after = 0
    scene.commit()
    began = scene.loop.time()
    with pytest.raises(ClientGone):
        await scene.relay.until_end()
    assert scene.loop.time() - began == pytest.approx(20.0, abs=0.1)
    scene.relay.release()
    assert scene.transport.aborted


@told
async def test_an_answer_that_has_ended_lets_its_connection_alone() -> None:
    """A slow client must not pause a connection that carries another call by now, nor may a late timer or release close it."""
    scene = Scene(total_at=1001.0)
    scene.start()
    scene.feed(HEAD + b"Content-Length: 5\r\n\r\nhello")
    assert scene.keeper.taken == [True]
    other = scene.make()
    other.start("GET", b"other", whole=True)
    scene.client.full_after = 0
    scene.commit(Framing.LENGTH)
    for signal in (scene.client.pause, scene.client.go_on):
        if signal is not None:
            signal()
    assert not scene.transport.paused
    assert scene.relay.check(2000.0) is None
    scene.relay.release()
    assert not scene.transport.closing
    scene.feed(HEAD + b"Content-Length: 0\r\n\r\n")
    assert (await other.until_head()).status == 200


@pytest.mark.parametrize(
    ("limits", "after", "kind", "at_s"),
    [
        ({}, b"", FIRST_BYTE_TIMEOUT, 10.0),
        ({"total_at": 1004.0}, b"", TOTAL_TIMEOUT, 4.0),
        ({}, CHUNKED, IDLE_TIMEOUT, 20.0),
        ({"idle_s": 2.0}, CHUNKED, IDLE_TIMEOUT, 2.0),
        ({"idle_s": 2.0}, CHUNKED + b"1\r\na\r\n", IDLE_TIMEOUT, 2.0),
        ({"total_at": 1004.0}, CHUNKED, TOTAL_TIMEOUT, 4.0),
    ],
)
def test_silence_is_given_up_in_time(limits: dict[str, float], after: bytes, kind: ErrorKind, at_s: float) -> None:
    """Each phase has its limit, one after the other, and the total is above them all; the upstream is cut off."""

    async def story() -> None:
        scene = Scene(**limits)
        scene.start()
        if after:
            scene.feed(after)
            await scene.relay.until_head()
            scene.commit()
            assert await failure(scene.relay.until_end()) is kind
        else:
            assert await failure(scene.relay.until_head()) is kind
        assert scene.loop.time() - 1000.0 == pytest.approx(at_s, abs=0.05)
        assert scene.transport.aborted
        assert scene.keeper.taken == [False]

    run_virtually(story())


@told
async def test_every_piece_moves_the_limit_of_silence() -> None:
    """A stream that speaks now and then lives as long as its total allows."""
    scene = Scene()
    scene.start()
    scene.feed(CHUNKED)
    scene.commit()
    for _ in range(5):
        await asyncio.sleep(19.0)
        scene.feed(b"1\r\na\r\n")
    assert not scene.transport.closing
    assert await failure(scene.relay.until_end()) is TOTAL_TIMEOUT


@told
async def test_a_request_on_its_way_is_nobodys_delay() -> None:
    """While bytes of it leave, or it is still coming in, the upstream is not late; once it takes no more, it is."""
    scene = Scene(total_at=2000.0)
    scene.transport.unsent_bytes = 9
    scene.start(whole=False)
    for left in (6, 3, 0, 0, 0):
        await asyncio.sleep(9.0)
        scene.transport.unsent_bytes = left
    assert not scene.transport.closing
    scene.relay.end_request(b"end")
    began = scene.loop.time()
    assert await failure(scene.relay.until_head()) is FIRST_BYTE_TIMEOUT
    assert scene.loop.time() - began == pytest.approx(10.0, abs=5.1)


@told
async def test_an_upstream_that_takes_no_more_of_a_request_is_late() -> None:
    """Even before the request is whole."""
    scene = Scene()
    scene.transport.unsent_bytes = 9
    scene.start(whole=False)
    assert await failure(scene.relay.until_head()) is FIRST_BYTE_TIMEOUT
    assert scene.loop.time() == pytest.approx(1010.0, abs=0.05)


@told
async def test_a_request_is_sent_at_the_upstreams_pace() -> None:
    """The next piece waits until the socket takes it, or until the connection is lost."""
    scene = Scene()
    scene.start(whole=False)
    await scene.relay.send_more(b" more")
    scene.connection.pause_writing()
    sending = asyncio.ensure_future(scene.relay.send_more(b" again"))
    await turn()
    assert not sending.done()
    scene.connection.connection_lost(ConnectionResetError())
    await sending
    assert scene.relay.answering
    assert await failure(scene.relay.until_head()) is UPSTREAM_RESET
    assert scene.transport.written == b"request more again"


@pytest.mark.parametrize(
    ("bytes_", "kind"),
    [(b"", UPSTREAM_RESET), (b"garbage", UPSTREAM_MALFORMED), (CHUNKED, STREAM_CUT), (CHUNKED + b"zz\r\n", STREAM_CUT)],
)
def test_a_loss_is_named_by_how_far_the_answer_came(bytes_: bytes, kind: ErrorKind) -> None:
    """Before the head a reset or a malformed answer, after it a cut."""

    async def story() -> None:
        scene = Scene()
        scene.start()
        if bytes_:
            scene.feed(bytes_)
        scene.connection.connection_lost(None)
        if kind is STREAM_CUT:
            await scene.relay.until_head()
            scene.commit()
            assert await failure(scene.relay.until_end()) is kind
        else:
            assert await failure(scene.relay.until_head()) is kind
        assert scene.relay.answering
        assert not scene.relay.ended

    run_virtually(story())


@told
async def test_letting_go_early_cuts_the_upstream_off() -> None:
    """In every phase, once, and an observer is told that no more comes."""
    for begins, commits in ((False, False), (True, False), (True, True)):
        scene = Scene()
        if begins:
            scene.start()
        if commits:
            scene.feed(CHUNKED + b"1\r\na\r\n")
            scene.commit()
        scene.relay.release()
        scene.relay.release()
        assert scene.transport.aborted
        assert scene.keeper.taken == [False]
        assert scene.observer.finished == commits
        assert (scene.client.pause, scene.client.go_on) == (None, None)


@told
async def test_nothing_is_written_after_letting_go() -> None:
    """Bytes that were on their way change nothing any more."""
    scene = Scene()
    scene.start()
    scene.feed(CHUNKED)
    scene.commit()
    scene.relay.release()
    scene.relay.on_body(b"late")
    assert scene.client.got == b"head|"


@told
async def test_moments_are_noted() -> None:
    """When there was a connection, the request was sent, the head and the first byte came, and whether it was used before."""
    scene = Scene()
    await asyncio.sleep(1.0)
    scene.start()
    await asyncio.sleep(1.0)
    scene.feed(CHUNKED)
    scene.commit()
    await asyncio.sleep(1.0)
    scene.feed(b"1\r\na\r\n0\r\n\r\n")
    relay = scene.relay
    moments = (relay.connected_at, relay.sent_at, relay.head_at, relay.first_byte_at, relay.last_at)
    assert moments == (1000.0, 1001.0, 1002.0, 1003.0, 1003.0)
    assert (relay.reused, scene.make().reused) == (False, True)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\n\r\n"


class Joinable(Client):
    """A caller whose connection can be handed over."""

    def __init__(self) -> None:
        super().__init__()
        self.transport = FakeTransport()

    def hand_over(self, receiver: Any) -> Handover:
        self.transport.set_protocol(receiver)
        return Handover(self.transport, b"", False, asyncio.Protocol())


@told
async def test_a_tunnel_has_neither_the_calls_deadlines_nor_its_connection() -> None:
    """What was counted in it is the attempt's, once it is released."""
    scene = Scene(idle_s=1.0, total_at=1005.0)
    client: Any = Joinable()
    scene.relay.start("GET", b"request", whole=True, upgrades=True)
    scene.feed(SWITCH)
    assert (await scene.relay.until_head()).status == 101
    tunnel = scene.relay.open_tunnel(client, b"head", SessionObserver(None, "", 1 << 20), 60.0)
    assert scene.keeper.given_away == [scene.connection]
    scene.transport.protocol.data_received(b"\x81\x01x")  # type: ignore[union-attr]
    await asyncio.sleep(30)
    assert (client.transport.closing, scene.transport.closing) == (False, False)
    await asyncio.sleep(31)
    assert (client.transport.closing, scene.transport.closing) == (True, True)
    tunnel.observer_failed = True
    scene.relay.release()
    assert (scene.relay.sent_bytes, scene.relay.observer_failed, scene.keeper.taken) == (3, True, [])
    for transport in (client.transport, scene.transport):
        transport.protocol.connection_lost(None)  # type: ignore[union-attr]


@told
async def test_there_is_no_tunnel_to_an_upstream_that_has_left_again() -> None:
    """Between its 101 and ours."""
    scene = Scene()
    client: Any = Joinable()
    scene.relay.start("GET", b"request", whole=True, upgrades=True)
    scene.feed(SWITCH)
    await scene.relay.until_head()
    scene.connection.connection_lost(None)
    with pytest.raises(UpstreamFault) as raised:
        scene.relay.open_tunnel(client, b"head", SessionObserver(None, "", 1 << 20), 60.0)
    assert raised.value.kind is STREAM_CUT
    assert client.transport.written == b""
    scene.relay.release()
