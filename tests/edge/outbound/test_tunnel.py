"""Two connections joined to one: what passes, who waits, and how it ends."""

import asyncio
from collections.abc import Callable, Coroutine
from typing import Any

import pytest

from sidecar.core.observe.dialects.session_endpoints import session_dialect_for
from sidecar.core.observe.sessions import SessionObserver
from sidecar.edge.outbound.tunnel import Tunnel
from sidecar.edge.outbound.watch import Watch
from sidecar.errors import STOPPING
from sidecar.exchange import Departure
from sidecar.ports import Handover
from tests.core.observe.test_frames import KEY, frame
from tests.edge.outbound.doubles import FakeTransport
from tests.edge.virtual import run_virtually, turn

HEAD = b"HTTP/1.1 101 Switching Protocols\r\n\r\n"
GOODBYE = frame(b"\x03\xe8", 0x8)
BEGUN, DONE = frame(b'{"type":"response.created"}'), frame(b'{"type":"response.done"}')
RESET = ConnectionResetError()


class Given:
    """A connection that can be handed over."""

    def __init__(self, rest: bytes = b"", *, is_full: bool = False) -> None:
        self.transport = FakeTransport()
        self.rest, self.is_full = rest, is_full
        self.lost: list[Exception | None] = []

    def hand_over(self, receiver: Any) -> Handover:
        self.transport.set_protocol(receiver)
        return Handover(self.transport, self.rest, self.is_full, self)  # type: ignore[arg-type]

    def connection_lost(self, exc: Exception | None) -> None:
        self.lost.append(exc)


class Scene:
    """A tunnel between two fake sockets."""

    def __init__(
        self, client: Given | None = None, upstream: Given | None = None, *, path: str = "/v1/realtime", idle_s: float = 60
    ) -> None:
        loop: Any = asyncio.get_running_loop()
        found = session_dialect_for(path)
        self.observer = SessionObserver(None if found is None else found[0], "", 1 << 20)
        self.tunnel = Tunnel(self.observer, loop.now, Watch(loop.now), idle_s)
        self.given = client or Given(), upstream or Given()
        self.tunnel.open(*self.given, HEAD)  # type: ignore[arg-type]
        self.client, self.upstream = (given.transport for given in self.given)
        self.ends: list[Departure] = []
        self.task = loop.create_task(self._wait())

    async def _wait(self) -> None:
        self.ends.append(await self.tunnel.until_closed())

    @staticmethod
    def lose(*transports: FakeTransport, error: Exception | None = None) -> None:
        """Tell the tunnel that sockets are closed."""
        for transport in transports:
            transport.closing = True
            transport.protocol.connection_lost(error)  # type: ignore[union-attr]

    def from_client(self, data: bytes) -> None:
        """Let bytes come."""
        self.client.protocol.data_received(data)  # type: ignore[union-attr]

    def from_upstream(self, data: bytes) -> None:
        """Let bytes come."""
        self.upstream.protocol.data_received(data)  # type: ignore[union-attr]


def told(story: Callable[[], Coroutine[Any, Any, None]]) -> Callable[[], None]:
    """Run a story on a virtual loop."""

    async def whole() -> None:
        await story()
        await turn()

    def test() -> None:
        run_virtually(whole())

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


@told
async def test_each_gets_what_the_other_sends() -> None:
    """The head first, then what had come before the tunnel was there, then each piece at once."""
    scene = Scene(Given(b"early "), Given(b"first "))
    assert (scene.client.written, scene.upstream.written) == (HEAD + b"first ", b"early ")
    scene.from_client(b"up")
    scene.from_upstream(b"down")
    assert (scene.client.written, scene.upstream.written) == (HEAD + b"first down", b"early up")
    assert (scene.tunnel.request_bytes, scene.tunnel.sent_bytes) == (8, 10)
    scene.lose(scene.client, scene.upstream)


@told
async def test_a_slow_side_has_the_other_wait() -> None:
    """In both directions, and from the first moment."""
    scene = Scene(Given(is_full=True))
    assert (scene.client.paused, scene.upstream.paused) == (False, True)
    scene.client.protocol.resume_writing()  # type: ignore[union-attr]
    scene.upstream.protocol.pause_writing()  # type: ignore[union-attr]
    assert (scene.client.paused, scene.upstream.paused) == (True, False)
    scene.upstream.protocol.resume_writing()  # type: ignore[union-attr]
    assert (scene.client.paused, scene.upstream.paused) == (False, False)
    scene.lose(scene.client, scene.upstream)


@told
async def test_a_client_that_closes_takes_the_upstream_along() -> None:
    """At once, and whoever served the client's connection is told."""
    scene = Scene()
    assert scene.client.protocol.eof_received() is False  # type: ignore[union-attr]
    assert (scene.upstream.closing, scene.upstream.aborted) == (True, False)
    scene.lose(scene.client, scene.upstream)
    await turn()
    assert scene.ends == [Departure.CLIENT]
    assert scene.given[0].lost == [None]
    assert scene.given[1].lost == []


@told
async def test_a_reset_of_the_client_is_one_for_the_upstream() -> None:
    """At once: nobody is there for whom it would still work."""
    scene = Scene()
    scene.lose(scene.client, error=RESET)
    assert (scene.upstream.aborted, scene.upstream.linger is not None) == (True, True)
    scene.lose(scene.upstream)
    await turn()
    assert scene.ends == [Departure.CLIENT]


@told
async def test_a_reset_of_the_upstream_is_one_for_the_client_behind_the_last_bytes() -> None:
    """They have a moment to leave, for a reset overtakes them; nothing is taken from the client meanwhile."""
    scene = Scene()
    scene.from_upstream(b"last")
    scene.lose(scene.upstream, error=RESET)
    assert (scene.client.closing, scene.client.paused, scene.client.linger is not None) == (False, True, True)
    await asyncio.sleep(0.2)
    assert scene.client.aborted
    scene.lose(scene.client)
    await turn()
    assert scene.ends == [Departure.UPSTREAM]


@told
async def test_behind_a_close_frame_the_end_of_sending_is_passed_on_as_such() -> None:
    """The other side may still answer (RFC 6455 section 7.1.1)."""
    scene = Scene()
    scene.from_client(frame(b"\x03\xe8", 0x8, key=KEY))
    assert scene.client.protocol.eof_received() is True  # type: ignore[union-attr]
    assert (scene.upstream.ended, scene.upstream.closing) == (True, False)
    scene.from_upstream(GOODBYE)
    assert scene.client.written.endswith(GOODBYE)
    assert scene.upstream.protocol.eof_received() is False  # type: ignore[union-attr]
    assert scene.client.closing
    scene.lose(scene.upstream, scene.client)
    await turn()
    assert scene.ends == [Departure.CLIENT]


@told
async def test_a_side_that_is_gone_without_an_end_of_sending_takes_the_other_along() -> None:
    """As TLS connections go, or one that had ended its sending and is closed then."""
    scene = Scene()
    scene.lose(scene.upstream)
    assert (scene.client.closing, scene.client.linger) == (True, None)
    scene.lose(scene.client)
    other = Scene()
    other.from_client(frame(b"\x03\xe8", 0x8, key=KEY))
    other.client.protocol.eof_received()  # type: ignore[union-attr]
    other.lose(other.upstream, error=RESET)
    assert other.client.linger is not None  # as going direct
    other.lose(other.client)


@told
async def test_over_tls_the_end_of_sending_is_a_close() -> None:
    """There is no other."""
    scene = Scene()
    scene.upstream.can_end = False
    scene.from_upstream(GOODBYE)
    assert scene.upstream.protocol.eof_received() is False  # type: ignore[union-attr]
    assert scene.client.closing
    scene.lose(scene.upstream, scene.client)


@told
async def test_whoever_does_not_close_is_closed() -> None:
    """In a few seconds, or as long as it still takes what was sent to it."""
    scene = Scene()
    scene.client.unsent_bytes = 2000
    scene.upstream.protocol.eof_received()  # type: ignore[union-attr]
    scene.lose(scene.upstream)
    for unsent in (1000, 500):
        await asyncio.sleep(3)
        scene.client.unsent_bytes = unsent
        await asyncio.sleep(2.5)
    assert not scene.client.aborted
    await asyncio.sleep(6)
    assert scene.client.aborted
    scene.lose(scene.client)
    await turn()
    assert scene.ends == [Departure.UPSTREAM]


@told
async def test_silence_ends_it_and_any_byte_keeps_it() -> None:
    """Of either side; both are told."""
    scene = Scene(idle_s=60)
    for send in (scene.from_client, scene.from_upstream, scene.from_client):
        await asyncio.sleep(50)
        send(frame(b"x", key=KEY))
    assert not scene.client.closing
    await asyncio.sleep(61)
    assert scene.client.written.endswith(b"\x88\x0e\x03\xe9idle_timeout")
    assert scene.upstream.written[-20:-18] == b"\x88\x8e"
    assert (scene.client.closing, scene.upstream.closing) == (True, True)
    scene.lose(scene.client, scene.upstream)
    await turn()
    assert scene.ends == [Departure.IDLE]


@pytest.mark.parametrize(
    ("path", "sent", "leaves"),
    [("/v1/realtime", b"", True), ("/v1/realtime", BEGUN, False), ("/v1/realtime", DONE[:3], False), ("/v1/other", b"", False)],
    ids=["quiet", "answering", "within a frame", "unknown form"],
)
def test_draining_waits_for_the_answer_in_progress(path: str, sent: bytes, leaves: bool) -> None:
    """A session is told as soon as nothing is lost by it; of an unknown form nobody can say when that is."""

    async def story() -> None:
        scene = Scene(path=path)
        scene.from_upstream(sent)
        scene.client.protocol.drain()  # type: ignore[union-attr]
        assert scene.client.closing is leaves
        if not leaves:
            scene.from_upstream(DONE[len(sent) :] if sent == DONE[:3] else DONE)
            assert scene.client.closing is (path == "/v1/realtime")
        if scene.client.closing:
            assert scene.client.written.endswith(b"\x88\x0a\x03\xe9stopping")
        scene.tunnel.dismiss(Departure.STOPPING, STOPPING)
        scene.tunnel.dismiss(Departure.STOPPING, STOPPING)
        assert scene.client.written.count(b"stopping") == 1
        scene.lose(scene.client, scene.upstream)
        await turn()
        assert scene.ends == [Departure.STOPPING]

    run_virtually(story())


@told
async def test_it_knows_when_it_heard_of_anybody() -> None:
    """Of either side, so that nobody is taken for silent who is spoken to."""
    scene = Scene()
    loop: Any = asyncio.get_running_loop()
    receiver: Any = scene.client.protocol
    for say in (scene.from_upstream, receiver.data_received):
        await asyncio.sleep(2)
        say(b"\x89\x00")
        assert receiver.heard_at == loop.now()
    await asyncio.sleep(2)
    assert receiver.heard_at == loop.now() - 2


@told
async def test_a_broken_observer_costs_no_byte() -> None:
    """It is switched off, and no frame of ours is put into a stream that nobody reads."""
    scene = Scene()

    def broken(data: bytes) -> None:
        raise ZeroDivisionError

    scene.upstream.protocol._read = broken  # type: ignore[union-attr]
    scene.from_upstream(b"one")
    scene.from_upstream(b"two")
    assert scene.tunnel.observer_failed
    scene.tunnel.dismiss(Departure.STOPPING, STOPPING)
    assert scene.client.written == HEAD + b"onetwo"
    scene.lose(scene.client, scene.upstream)


@told
async def test_what_comes_after_one_has_left_goes_nowhere() -> None:
    """And raises nothing."""
    scene = Scene()
    scene.client.protocol.eof_received()  # type: ignore[union-attr]
    written = scene.upstream.written
    scene.from_client(b"late")
    scene.upstream.protocol.pause_writing()  # type: ignore[union-attr]
    scene.upstream.protocol.resume_writing()  # type: ignore[union-attr]
    assert scene.upstream.written == written
    scene.lose(scene.client, scene.upstream)


@told
async def test_release_closes_what_is_open() -> None:
    """Where nobody has left; otherwise the end is under way already."""
    scene = Scene()
    scene.tunnel.release()
    assert (scene.client.aborted, scene.upstream.aborted) == (True, True)
    scene.lose(scene.client, scene.upstream)
    other = Scene()
    other.client.protocol.eof_received()  # type: ignore[union-attr]
    other.tunnel.release()
    assert not other.upstream.aborted
    other.lose(other.client, other.upstream)
