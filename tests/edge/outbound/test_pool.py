"""The connections to one upstream: never too many, never one for two, never one lost."""

import asyncio
import os
from collections.abc import Callable
from typing import Any

import pytest
from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, precondition, rule

from sidecar.config import Upstream
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.pool import Pool
from sidecar.errors import CONNECT_TIMEOUT, POOL_FULL, UNREACHABLE, UPSTREAM_RESET, Fault, SidecarFault, UpstreamFault
from tests.edge.outbound.doubles import FakeTransport
from tests.edge.virtual import VirtualLoop, run_virtually, turn

CONNECTIONS = 3
WAIT_S = 5.0
KEEP_ALIVE_S = 60.0
MAX_AGE_S = 600.0


QUIET, _HELD_OPEN = os.pipe()


class QuietSocket:
    """Has nothing to read, so that an idle connection lives."""

    def fileno(self) -> int:
        """Return a descriptor that is never readable."""
        return QUIET


class ScriptedDialler:
    """Dials when it is told to."""

    def __init__(self) -> None:
        self.pending: list[asyncio.Future[str]] = []
        self.made: list[Connection] = []

    async def dial(self, make: Callable[[], Connection], now: float, timeout_s: float) -> Connection:
        """Wait for a verdict: "ok", "refused", or "closed" within the handshake."""
        assert timeout_s > 0
        verdict: asyncio.Future[str] = asyncio.get_running_loop().create_future()
        self.pending.append(verdict)
        try:
            async with asyncio.timeout(timeout_s):
                said = await verdict
        except TimeoutError:
            raise UpstreamFault(CONNECT_TIMEOUT) from None
        finally:
            self.pending.remove(verdict)
        if said == "refused":
            raise UpstreamFault(UNREACHABLE)
        connection = make()
        transport = FakeTransport(connection)
        transport._extra["socket"] = QuietSocket()  # type: ignore[attr-defined]
        connection.connection_made(transport)
        if said == "closed":
            connection.connection_lost(None)
        else:
            self.made.append(connection)
        return connection


def make_pool(dialler: Any, clock: Any, connections: int = CONNECTIONS, draw: Callable[[], float] = lambda: 0.0) -> Pool:
    """Return a pool with nothing in it."""
    return Pool("up", make_upstream(connections), dialler, clock, head_bytes_max=1000, draw=draw)


def make_upstream(connections: int, keep_alive: float = KEEP_ALIVE_S, max_age: float = MAX_AGE_S) -> Upstream:
    """Return what is configured of it."""
    return Upstream("http://up.test", connections=connections, keep_alive=keep_alive, max_age=max_age)


class PoolMachine(RuleBasedStateMachine):
    """Any interleaving of calls, verdicts, ends, losses, cancellations and time."""

    def __init__(self) -> None:
        super().__init__()
        self.loop = VirtualLoop()
        self.dialler = ScriptedDialler()
        self.pool = make_pool(self.dialler, self.loop)
        self.calls: list[asyncio.Task[None]] = []
        self.held: list[Connection] = []
        self.settled = True
        self.limit = self.allowed = CONNECTIONS  # as configured; as long as there are more, as many as there are

    def settle(self, turns: bool = True) -> None:
        """Let the loop run, or leave what is ready for later."""
        self.settled = turns
        if turns:
            self.loop.settle()
            for call in [call for call in self.calls if call.done()]:
                self.calls.remove(call)
                if not call.cancelled():
                    call.result()

    async def call(self, fresh: bool) -> None:
        """Get a connection and hold it."""
        connection = None if fresh else self.pool.take_idle(self.loop.time())
        if connection is None:
            try:
                connection = await self.pool.connect(WAIT_S, fresh=fresh)
            except Fault as fault:
                assert fault.kind in (CONNECT_TIMEOUT, UNREACHABLE, UPSTREAM_RESET, POOL_FULL)
                return
        assert not connection.lost, "a closed connection was handed out"
        assert connection not in self.held, "one connection was handed to two calls"
        self.held.append(connection)

    @rule(fresh=st.booleans(), turns=st.booleans())
    def begin(self, fresh: bool, turns: bool) -> None:
        """A call wants a connection."""
        self.calls.append(self.loop.create_task(self.call(fresh)))
        self.settle(turns)

    @precondition(lambda self: self.dialler.pending)
    @rule(which=st.integers(0, 9), said=st.sampled_from(["ok", "ok", "ok", "refused", "closed"]), turns=st.booleans())
    def dialled(self, which: int, said: str, turns: bool) -> None:
        """Dialling comes to an end."""
        verdict = self.dialler.pending[which % len(self.dialler.pending)]
        if not verdict.done():
            verdict.set_result(said)
        self.settle(turns)

    @precondition(lambda self: self.calls)
    @rule(which=st.integers(0, 9), turns=st.booleans())
    def cancel(self, which: int, turns: bool) -> None:
        """A caller leaves."""
        self.calls[which % len(self.calls)].cancel()
        self.settle(turns)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), turns=st.booleans())
    def give_away(self, which: int, turns: bool) -> None:
        """A connection becomes a session: it is none of the pool's any more, whatever happens to it."""
        connection = self.held.pop(which % len(self.held))
        with self.loop.entered():
            self.pool.give_away(connection)
            self.pool.take_back(connection, reusable=False)
        self.dialler.made.remove(connection)
        self.settle(turns)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), then=st.sampled_from(["", "", "lose", "close"]), turns=st.booleans())
    def finish(self, which: int, then: str, turns: bool) -> None:
        """An answer ends cleanly; in the same moment the connection may be closed by the other side."""
        connection = self.held.pop(which % len(self.held))
        with self.loop.entered():
            self.pool.take_back(connection, reusable=True)
            if then == "lose":
                connection.connection_lost(None)
            elif then == "close":
                connection.transport.close()
        self.settle(turns)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 9), aborts=st.booleans(), turns=st.booleans())
    def lose(self, which: int, aborts: bool, turns: bool) -> None:
        """A busy connection is lost, or given up."""
        connection = self.held.pop(which % len(self.held))
        with self.loop.entered():
            if aborts:
                connection.abort()
            connection.connection_lost(ConnectionResetError())
        self.settle(turns)

    @precondition(lambda self: self.dialler.made)
    @rule(which=st.integers(0, 9), unseen=st.booleans(), turns=st.booleans())
    def close_idle(self, which: int, unseen: bool, turns: bool) -> None:
        """The other side closes an idle connection; the news may still be under way."""
        idle = [connection for connection in self.dialler.made if connection not in self.held and not connection.lost]
        if idle:
            connection = idle[which % len(idle)]
            connection.transport.close()
            if not unseen:
                with self.loop.entered():
                    connection.connection_lost(None)
        self.settle(turns)

    @rule(limit=st.integers(1, CONNECTIONS + 1), turns=st.booleans())
    def adopt(self, limit: int, turns: bool) -> None:
        """There may be more connections from now on, or fewer."""
        self.limit, self.allowed = limit, max(limit, self.pool.busy_connections)
        with self.loop.entered():
            self.pool.adopt(make_upstream(limit), head_bytes_max=1000)
        self.settle(turns)

    @rule(seconds=st.sampled_from([0.05, 1.0, 6.0, 61.0, 601.0]))
    def pass_time(self, seconds: float) -> None:
        """Time goes by."""
        self.loop.run_until_complete(asyncio.sleep(seconds))
        self.settle()

    @invariant()
    def never_too_many(self) -> None:
        """Dialling, busy and idle together are within the limit, at every moment."""
        opened = self.pool.busy_connections + self.pool.idle_connections
        assert 0 <= opened <= self.allowed
        live = [connection for connection in self.dialler.made if not connection.lost]
        assert len(live) + len(self.dialler.pending) <= self.allowed
        self.allowed = max(self.limit, min(self.allowed, opened))
        assert opened <= self.limit or not self.pool.idle_connections, "one too many is kept"

    @invariant()
    def held_stay_held(self) -> None:
        """Nobody closes a connection under a call."""
        assert not any(connection.lost or connection.transport.is_closing() for connection in self.held)

    @invariant()
    def nothing_leaks(self) -> None:
        """Once all is settled, the pool's numbers are the truth, and nobody waits beside a free place."""
        if not self.settled:
            return
        live = [connection for connection in self.dialler.made if not connection.lost]
        assert self.pool.busy_connections == len(self.held) + len(self.dialler.pending)
        assert self.pool.idle_connections == len(live) - len(self.held)
        waiting = len(self.calls) - len(self.dialler.pending)
        if waiting:
            assert self.pool.busy_connections >= self.limit

    def teardown(self) -> None:
        """After everything has ended and the pool was closed, nothing is open."""
        try:
            self.end()
        finally:
            self.loop.close()

    def end(self) -> None:
        """Let everything end."""
        self.settle()
        for call in self.calls:
            call.cancel()
        self.settle()
        with self.loop.entered():
            self.pool.close()
            for connection in list(self.held):
                self.pool.take_back(connection, reusable=True)
        self.settle()
        assert (self.pool.busy_connections, self.pool.idle_connections) == (0, 0)
        assert all(connection.lost for connection in self.dialler.made)


PoolMachine.TestCase.settings = settings(stateful_step_count=40)
TestPool = PoolMachine.TestCase


class Scene:
    """A pool on a virtual loop, for stories told one by one."""

    def __init__(self, connections: int = 1, draw: Callable[[], float] = lambda: 0.0) -> None:
        self.loop: Any = asyncio.get_running_loop()
        self.dialler = ScriptedDialler()
        self.pool = make_pool(self.dialler, self.loop, connections, draw)

    async def connect(self, *, fresh: bool = False) -> Connection:
        """Return a connection that is dialled at once if it must be."""
        call = self.begin(fresh=fresh)
        await turn()
        for verdict in self.dialler.pending:
            verdict.set_result("ok")
        return await call

    def begin(self, wait_s: float = WAIT_S, *, fresh: bool = False) -> asyncio.Task[Connection]:
        """Begin to ask for a connection."""
        return asyncio.ensure_future(self.pool.connect(wait_s, fresh=fresh))

    def finish(self, connection: Connection) -> None:
        """End an answer cleanly."""
        self.pool.take_back(connection, reusable=True)


def told(story: Callable[[], Any]) -> Callable[[], None]:
    """Run a story on a virtual loop."""

    def test() -> None:
        run_virtually(story())

    test.__doc__, test.__name__ = story.__doc__, story.__name__
    return test


@told
async def test_the_newest_idle_connection_is_used_first() -> None:
    """So that the rest can grow old and be closed."""
    scene = Scene(2)
    first, second = await scene.connect(), await scene.connect()
    scene.finish(first)
    scene.finish(second)
    assert await scene.connect() is second
    assert scene.pool.take_idle(scene.loop.time()) is first
    assert scene.pool.take_idle(scene.loop.time()) is None


@told
async def test_waiters_are_served_in_order() -> None:
    """Who came first gets the first connection that falls free, and it is busy from that moment."""
    scene = Scene()
    connection = await scene.connect()
    first, second = scene.begin(), scene.begin()
    await turn()
    scene.finish(connection)
    assert (scene.pool.idle_connections, scene.pool.busy_connections) == (0, 1)
    assert await first is connection
    assert not second.done()
    scene.finish(connection)
    assert await second is connection


@told
async def test_the_room_of_a_lost_connection_passes_to_a_waiter() -> None:
    """The waiter dials in its place."""
    scene = Scene()
    connection = await scene.connect()
    waiting = scene.begin()
    await turn()
    connection.connection_lost(None)
    await turn()
    scene.dialler.pending[0].set_result("ok")
    assert await waiting is scene.dialler.made[1]
    assert scene.pool.busy_connections == 1


@told
async def test_a_connection_closed_on_its_way_to_a_waiter_is_replaced() -> None:
    """The waiter gets another one instead of waiting for an answer that cannot come."""
    scene = Scene()
    connection = await scene.connect()
    waiting = scene.begin()
    await turn()
    scene.finish(connection)
    connection.connection_lost(None)
    await turn()
    scene.dialler.pending[0].set_result("ok")
    assert await waiting is scene.dialler.made[1]
    assert (scene.pool.busy_connections, scene.pool.idle_connections) == (1, 0)


@told
async def test_a_connection_closed_on_its_way_to_a_waiter_that_left_is_not_kept() -> None:
    """Neither counted twice nor found idle later."""
    scene = Scene()
    connection = await scene.connect()
    waiting = scene.begin()
    await turn()
    scene.finish(connection)
    connection.connection_lost(None)
    waiting.cancel()
    await turn()
    assert (scene.pool.busy_connections, scene.pool.idle_connections) == (0, 0)


@told
async def test_waiting_has_an_end() -> None:
    """Where nothing falls free in time, the call is refused as the pool's fault, and may come back."""
    scene = Scene()
    await scene.connect()
    with pytest.raises(SidecarFault) as raised:
        await scene.pool.connect(2.0)
    assert (raised.value.kind, raised.value.retry_after_s) == (POOL_FULL, 1)
    assert scene.loop.time() == pytest.approx(1002.0)


@told
async def test_too_many_waiters_are_refused_at_once() -> None:
    """More than ten per connection would only wait out their time."""
    scene = Scene()
    await scene.connect()
    waiting = [scene.begin(100.0) for _ in range(10)]
    await turn()
    with pytest.raises(SidecarFault) as raised:
        await scene.pool.connect(100.0)
    assert raised.value.kind is POOL_FULL
    assert scene.loop.time() == 1000.0
    for call in waiting:
        call.cancel()
    await turn()


@told
async def test_waiting_takes_from_the_time_to_dial() -> None:
    """One limit holds for waiting and dialling together."""
    scene = Scene()
    connection = await scene.connect()
    waiting = scene.begin(5.0)
    await asyncio.sleep(3.0)
    connection.abort()
    with pytest.raises(UpstreamFault):
        await waiting
    assert scene.loop.time() == pytest.approx(1005.0)
    assert scene.pool.busy_connections == 0


@told
async def test_a_fresh_connection_pushes_out_an_idle_one() -> None:
    """Where all places are taken by idle connections, the oldest makes room for a call that must not use them."""
    scene = Scene(2)
    first, second = await scene.connect(), await scene.connect()
    scene.finish(first)
    scene.finish(second)
    fresh = await scene.connect(fresh=True)
    assert fresh not in (first, second)
    assert first.lost
    assert not second.lost
    assert (scene.pool.busy_connections, scene.pool.idle_connections) == (1, 1)


@told
async def test_a_connection_closed_within_the_handshake_is_the_upstreams_fault() -> None:
    """It is a reset, not a timeout, and leaves no room taken."""
    scene = Scene()
    call = scene.begin()
    await turn()
    scene.dialler.pending[0].set_result("closed")
    with pytest.raises(UpstreamFault) as raised:
        await call
    assert raised.value.kind is UPSTREAM_RESET
    assert scene.pool.busy_connections == 0


@told
async def test_idle_connections_are_closed_after_their_time() -> None:
    """After keep_alive, counted from each one's last use."""
    scene = Scene(2)
    first, second = await scene.connect(), await scene.connect()
    scene.finish(first)
    await asyncio.sleep(30.0)
    scene.finish(second)
    await asyncio.sleep(31.0)
    assert (first.lost, second.lost) == (True, False)
    await asyncio.sleep(30.0)
    assert second.lost
    assert scene.pool.idle_connections == 0


@pytest.mark.parametrize(("drawn", "age_s"), [(0.0, 600.0), (0.5, 570.0), (1.0, 540.0)])
def test_connections_grow_old_at_different_ages(drawn: float, age_s: float) -> None:
    """Up to a tenth earlier, so that they are not all renewed together; an old one is not used again."""

    async def story() -> None:
        scene = Scene(draw=lambda: drawn)
        connection = await scene.connect()
        await asyncio.sleep(age_s - 0.5)
        scene.finish(connection)
        assert scene.pool.take_idle(scene.loop.time()) is connection
        await asyncio.sleep(1.0)
        scene.finish(connection)
        assert connection.lost
        assert scene.pool.busy_connections == 0

    run_virtually(story())


@told
async def test_a_closed_pool_keeps_nothing() -> None:
    """Idle connections are closed at once, busy ones when their answers end, and no timer is left."""
    scene = Scene(2)
    idle, busy = await scene.connect(), await scene.connect()
    scene.finish(idle)
    scene.pool.close()
    assert (idle.lost, busy.lost) == (True, False)
    scene.finish(busy)
    assert busy.lost
    assert (scene.pool.busy_connections, scene.pool.idle_connections) == (0, 0)
    scene.pool.close()


@told
async def test_a_connection_closed_while_idle_is_not_handed_out() -> None:
    """The news may be known, under way, or the connection too old: the next one that lives is taken."""
    scene = Scene(4)
    alive, lost, closing, old = [await scene.connect() for _ in range(4)]
    for connection in (alive, lost, closing, old):
        scene.finish(connection)
    lost.connection_lost(None)
    closing.transport.close()
    old.expires_at = scene.loop.time()
    assert scene.pool.take_idle(scene.loop.time()) is alive
    assert (scene.pool.idle_connections, scene.pool.busy_connections) == (0, 1)
    assert closing.lost
    assert old.lost


@told
async def test_idle_connections_follow_new_settings() -> None:
    """Of more than there may be, those idle longest are closed at once; the rest are closed as soon as they are too old now."""
    scene = Scene(3)
    held = [await scene.connect() for _ in range(3)]
    for connection in held:
        scene.finish(connection)
    scene.pool.adopt(make_upstream(2, keep_alive=10.0), head_bytes_max=1000)
    assert [connection.lost for connection in held] == [True, False, False]
    await asyncio.sleep(9.0)
    assert scene.pool.idle_connections == 2
    await asyncio.sleep(1.2)
    assert (scene.pool.idle_connections, scene.pool.busy_connections) == (0, 0)
    scene.finish(await scene.connect())
    scene.pool.adopt(make_upstream(2, max_age=3.0), head_bytes_max=1000)
    await asyncio.sleep(3.2)
    assert scene.pool.idle_connections == 0


@told
async def test_waiters_dial_as_soon_as_there_may_be_more() -> None:
    """Two of three that wait, where there may be two more."""
    scene = Scene(1)
    await scene.connect()
    waiting = [scene.begin() for _ in range(3)]
    await turn()
    scene.pool.adopt(make_upstream(3), head_bytes_max=1000)
    await turn()
    assert len(scene.dialler.pending) == 2
    for verdict in list(scene.dialler.pending):
        verdict.set_result("ok")
    await asyncio.wait(waiting[:2])
    assert not waiting[2].done()
    waiting[2].cancel()


@told
async def test_the_room_of_a_lost_connection_is_gone_where_there_are_too_many() -> None:
    """A waiter dials only when there are fewer than there may be."""
    scene = Scene(3)
    held = [await scene.connect() for _ in range(3)]
    waiting = scene.begin()
    await turn()
    scene.pool.adopt(make_upstream(1), head_bytes_max=1000)
    for connection in held[:2]:
        connection.connection_lost(None)
        await turn()
        assert scene.dialler.pending == []
    scene.finish(held[2])
    assert await waiting is held[2]
