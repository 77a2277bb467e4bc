"""One server: who waits for it, and what becomes of that."""

import asyncio
from typing import Any

import pytest

from sidecar.edge.shared.node import PATIENCE_S
from sidecar.edge.shared.wire import AWAY, FULL, LATE, LOADING, READ_ONLY, REFUSED, Failure
from tests.edge.shared.doubles import FakeServer
from tests.edge.virtual import VirtualLoop, turn, virtually


def clock() -> Any:
    """Return the loop, which is the clock as well."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return loop


async def ask(node: Any, word: str = "x", timeout_s: float = 0.05) -> Any:
    """Ask for a word, within a time."""
    return await node.ask(("ECHO", word), clock().now() + timeout_s)


@virtually
async def test_each_gets_its_own_answer() -> None:
    """More at once than there are connections: all are answered, each with its own, over as many connections as may be."""
    server = FakeServer()
    server.delay_s = 0.001
    node = server.make_node(clock())
    words = [f"w{index}" for index in range(40)]
    assert await asyncio.gather(*(ask(node, word) for word in words)) == words
    assert len(server.opened) == 4
    assert await ask(node) == "x" and len(server.opened) == 4


@virtually
async def test_one_connection_serves_one_after_the_other() -> None:
    """With one connection, whoever asks at the very moment of an answer is served as well."""
    server = FakeServer()
    node = server.make_node(clock(), lanes_max=1)
    began = clock().now()
    assert [await ask(node, str(index)) for index in range(20)] == [str(index) for index in range(20)]
    assert clock().now() == began and len(server.opened) == 1


@virtually
async def test_a_late_answer_goes_to_nobody() -> None:
    """Whoever's time is up is told so at once; the answer that comes later is nobody's, and the connection is good for the next."""
    server = FakeServer()
    node = server.make_node(clock(), lanes_max=1)
    server.delay_s = 0.5
    began = clock().now()
    assert await ask(node, "first") == Failure(LATE)
    assert clock().now() - began == pytest.approx(0.05)
    server.delay_s = 0.0
    assert await ask(node, "second", 6.0) == "second"
    assert server.asked == [("ECHO", "first"), ("ECHO", "second")] and len(server.opened) == 1


@virtually
async def test_nobody_waits_again_and_again_for_one_that_hangs() -> None:
    """After the first command that got no answer the next ones have a tenth of the time, until something is heard, or for a second."""
    server = FakeServer()
    node = server.make_node(clock())

    async def measure(timeout_s: float = 0.05) -> float:
        began = clock().now()
        assert await ask(node, timeout_s=timeout_s) in ("x", Failure(LATE))
        return clock().now() - began

    for pause_s, is_heard in ((0.01, True), (0.0, False), (PATIENCE_S + 0.1, True)):
        server.delay_s = 0.0
        assert await measure() == 0
        server.delay_s = 0.06
        assert [await measure() for _ in range(2)] == [pytest.approx(0.05), pytest.approx(0.005)]
        await asyncio.sleep(pause_s)
        assert await measure() == pytest.approx(0.05 if is_heard else 0.005)
        await asyncio.sleep(PATIENCE_S)
    server.delay_s = 1000.0
    for _ in range(2):
        assert await measure() == pytest.approx(0.05)
        await asyncio.sleep(PATIENCE_S + 0.1)


@virtually
async def test_a_probe_has_all_its_time() -> None:
    """However silent it was: a server from which answers take a while would not be found again."""
    server = FakeServer()
    node = server.make_node(clock(), lanes_max=8)
    server.delay_s = 1000.0
    patient = asyncio.ensure_future(ask(node, timeout_s=1.0))
    for _ in range(5):
        assert await ask(node) == Failure(LATE)
    assert node.is_away
    assert await patient == Failure(LATE)
    server.delay_s = 0.03
    await asyncio.sleep(0.2)
    assert await ask(node) == "x" and not node.is_away


@virtually
async def test_one_slow_answer_is_no_silence() -> None:
    """While others are answered, a command that is late shortens nobody's time."""
    server = FakeServer()
    node = server.make_node(clock())
    server.delay_s = 0.08
    slow = asyncio.ensure_future(ask(node))
    await asyncio.sleep(0.01)
    server.delay_s = 0.03
    assert await ask(node, "quick") == "quick"
    assert await slow == Failure(LATE)
    assert await ask(node, "next") == "next"


@virtually
async def test_who_has_left_is_not_asked_for() -> None:
    """A caller that leaves in line is never asked for; one that leaves in the middle spoils nothing for the next."""
    server = FakeServer()
    server.delay_s = 0.03
    node = server.make_node(clock(), lanes_max=1)
    callers = [asyncio.ensure_future(ask(node, word)) for word in ("first", "second", "third")]
    await asyncio.sleep(0.01)
    callers[0].cancel()
    callers[1].cancel()
    assert await callers[2] == Failure(LATE)
    assert await ask(node, "fourth", 1.0) == "fourth"
    assert [word for _, word in server.asked] == ["first", "third", "fourth"]


@virtually
async def test_a_connection_may_take_longer_than_a_caller_waits() -> None:
    """A connection that takes longer than anybody waits is made all the same: later callers find it."""
    server = FakeServer()
    server.connect_s = 0.3
    node = server.make_node(clock(), lanes_max=1)
    assert await ask(node) == Failure(LATE)
    await asyncio.sleep(0.3)
    assert await ask(node) == "x" and len(server.opened) == 1


@virtually
async def test_nothing_is_waited_for_without_end() -> None:
    """A connection without an answer is given up after a while, and so is one that is never made."""
    server = FakeServer()
    server.delay_s = 1000.0
    node = server.make_node(clock(), lanes_max=1)
    assert await ask(node) == Failure(LATE)
    await asyncio.sleep(PATIENCE_S)
    assert server.opened[0].is_closed
    server.delay_s, server.connect_s = 0.0, 1000.0
    assert await ask(node) == Failure(LATE)
    await asyncio.sleep(PATIENCE_S)
    server.connect_s = 0.0
    assert await ask(node) == "x" and len(server.opened) == 3


@virtually
async def test_what_is_stale_is_opened_anew() -> None:
    """A connection that was closed by the other end, or has bytes on it that nobody asked for, is not used."""
    server = FakeServer()
    node = server.make_node(clock())
    await ask(node)
    server.opened[0].is_stale = True
    assert await ask(node) == "x"
    assert len(server.opened) == 2 and server.opened[0].is_closed


@virtually
async def test_left_alone_after_failures_in_a_row() -> None:
    """Five failures in a row and it is left alone: 1 s, then one probe; twice as long each time, 30 s at most."""
    server = FakeServer()
    states: list[bool | None] = []
    node = server.make_node(clock(), note=lambda: states.append(node.is_up))
    assert await ask(node) == "x" and states == [True]
    server.refusal = Failure(REFUSED)
    for _ in range(5):
        assert not node.is_away
        assert await ask(node) == Failure(REFUSED) if _ else await fail_idle(node, server)
    pauses = []
    for _ in range(7):
        assert node.is_away and await ask(node) == Failure(AWAY)
        began, opened = clock().now(), len(server.opened)
        while node.is_away:
            await asyncio.sleep(0.25)
        pauses.append(clock().now() - began)
        answers = await asyncio.gather(*(ask(node) for _ in range(10)))
        assert sorted(answers) == [Failure(AWAY)] * 9 + [Failure(REFUSED)]
        assert len(server.opened) == opened + 1
    assert pauses == [1, 2, 4, 8, 16, 30, 30] and states == [True, False]
    server.refusal = None
    await asyncio.sleep(30)
    assert await ask(node) == "x" and not node.is_away and states == [True, False, True]


async def fail_idle(node: Any, server: FakeServer) -> bool:
    """Have the one idle connection be stale, so that the next call needs a new one."""
    server.opened[-1].is_stale = True
    return bool(await ask(node) == Failure(REFUSED))


@virtually
async def test_an_old_success_does_not_bring_it_back() -> None:
    """An answer that was on its way when the server was found to be away changes nothing."""
    server = FakeServer()
    states: list[bool | None] = []
    node = server.make_node(clock(), note=lambda: states.append(node.is_up))
    server.delay_s = 0.04
    old = asyncio.ensure_future(ask(node))
    await asyncio.sleep(0.01)
    server.refusal = Failure(REFUSED)
    for _ in range(5):
        await ask(node)
    assert await old == "x" and node.is_away and states == [False]


@virtually
async def test_a_prober_that_leaves_makes_room() -> None:
    """A probe whose caller leaves says nothing; the next one may probe."""
    server = FakeServer()
    server.refusal = Failure(REFUSED)
    node = server.make_node(clock())
    for _ in range(5):
        await ask(node)
    await asyncio.sleep(1)
    server.refusal, server.delay_s = None, 0.01
    prober = asyncio.ensure_future(ask(node))
    await turn()
    assert node.is_away
    prober.cancel()
    await turn()
    assert await ask(node) == "x" and node.is_up


@virtually
async def test_opening_drops_idle_connections() -> None:
    """When it is found to be away, connections that lie idle are closed: each might be dead, and cost a probe."""
    server = FakeServer()
    server.delay_s = 0.001
    node = server.make_node(clock(), lanes_max=8)
    await asyncio.gather(*(ask(node) for _ in range(8)))
    server.delay_s = 1000.0
    for _ in range(5):
        await ask(node)
    await asyncio.sleep(PATIENCE_S)
    assert [link.is_closed for link in server.opened] == [True] * 8


@virtually
async def test_who_is_at_work_is_not_left_alone() -> None:
    """A server that refuses a command is at work; one that is loading, or no primary, is not, and its connection is made anew."""
    server = FakeServer()
    node = server.make_node(clock())
    server.answer = lambda _: Failure(FULL)
    for _ in range(20):
        assert await ask(node) == Failure(FULL)
    assert not node.is_away and len(server.opened) == 1
    for problem in (LOADING, READ_ONLY):
        server.answer = lambda _, problem=problem: Failure(problem)  # type: ignore[misc]
        opened = len(server.opened)
        await ask(node)
        await ask(node)
        assert len(server.opened) == opened + (1 if problem == LOADING else 2)
    assert not node.is_away
    await ask(node)
    assert node.is_away


@virtually
async def test_close_tells_whoever_waits() -> None:
    """Closed in the middle: who waits is told that it is away, nothing is left open, and nothing is asked any more."""
    server = FakeServer()
    server.delay_s = 0.5
    node = server.make_node(clock(), lanes_max=2)
    callers = [asyncio.ensure_future(ask(node, timeout_s=10.0)) for _ in range(6)]
    await asyncio.sleep(0.01)
    await node.close()
    assert await asyncio.gather(*callers) == [Failure(AWAY)] * 6
    assert all(link.is_closed for link in server.opened)
    assert await ask(node) == Failure(AWAY) and len(server.asked) == 2
