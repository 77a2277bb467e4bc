"""Callers that hang up: the upstream's side is closed at once, in every phase, and nothing is left behind."""

import asyncio
import random
import time
from collections.abc import Awaitable, Callable

import pytest

from sidecar.config import Timeouts
from tests.rig.caller import Caller, compose
from tests.rig.side import CHAT, Side, facing, running
from tests.rig.streams import write_chunk, write_head
from tests.rig.upstream import BlackHole, End, Script, Upstream

TIMES = 200
AT_ONCE = 10
CLOSED_WITHIN_S = 0.25
EVENT = write_chunk(b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n')
STREAM = {"model": "m", "messages": [], "stream": True, "stream_options": {"include_usage": True}}

Leave = Callable[[int], Awaitable[None]]


async def repeat(leave: Leave, at_once: int = AT_ONCE) -> None:
    """Have callers come and go, so many at once."""
    numbers = iter(range(TIMES))

    async def work() -> None:
        for number in numbers:
            await leave(number)

    async with asyncio.TaskGroup() as group:
        for _ in range(at_once):
            group.create_task(work())


async def check_nothing_is_left(side: Side, tasks: int, *, idle: bool = False) -> None:
    """Exactly one record each, no call in flight, no connection held, no task more than before."""
    await side.records.until(TIMES)
    async with asyncio.timeout(2):
        while len(asyncio.all_tasks()) > tasks:
            await asyncio.sleep(0.005)
    await asyncio.sleep(0.05)
    assert side.records.endings == {"client_gone": TIMES}
    assert len(side.records.by_id) == TIMES
    gauges = await side.gauges()
    assert (gauges["in_flight"], gauges["active"]) == (0, 0)
    assert idle or gauges["idle"] == 0


def tell(phase: str, delays: list[float]) -> float:
    """Print the distribution of delays in seconds and return the p99."""
    delays.sort()
    p99 = delays[int(len(delays) * 0.99)]
    print(f"\nclient gone {phase}: n={len(delays)} p50={delays[len(delays) // 2] * 1e3:.2f} ms p99={p99 * 1e3:.2f} ms")
    return p99


async def upstream_closed(upstream: Upstream, name: str, left_at: float) -> float:
    """Wait until the upstream has seen its connection close; return how long that took."""
    async with asyncio.timeout(5):
        while not (visits := upstream.visits_of(name)) or visits[0].closed_at is None:
            await asyncio.sleep(0.001)
    return visits[0].closed_at - left_at


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("phase", ["for_head", "mid_stream", "mid_whole", "paused"])
async def test_a_caller_that_leaves_takes_the_upstream_call_along(phase: str, reset: bool) -> None:
    """While waiting for the head, within an answer, or while it does not read: the upstream's socket closes at once."""
    scripts = {
        "for_head": Script([], End.HANG),
        "mid_stream": Script([write_head("chunked", 0), 0, EVENT], End.HANG),
        "mid_whole": Script([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 999\r\n\r\n", 0, b"{"], End.HANG),
        "paused": Script([write_head("chunked", 0), *[write_chunk(b": " + b"x" * 65536 + b"\n\n")] * 40], End.HANG),
    }
    delays: list[float] = []
    async with facing() as (upstream, side):
        await side.gauges()
        tasks = len(asyncio.all_tasks())

        async def leave(number: int) -> None:
            name = f"gone{number}"
            upstream.scripts[name] = scripts[phase]
            caller = await Caller.connect(side.url, receive_bytes=4096 if phase == "paused" else None)
            caller.send(compose(CHAT, STREAM, name=name))
            if phase == "for_head":
                async with asyncio.timeout(5):
                    while not upstream.visits_of(name):
                        await asyncio.sleep(0.001)
            else:
                await caller.until_bytes(1)
                if phase == "paused":
                    caller.stop_reading()
                    await asyncio.sleep(0.1)  # until everything between them is full
            await asyncio.sleep(random.random() * 0.01)
            left_at = time.monotonic()
            caller.leave(reset=reset)
            delays.append(await upstream_closed(upstream, name, left_at))

        await repeat(leave)
        await check_nothing_is_left(side, tasks)
        assert upstream.connections == set()
    assert tell(f"{phase} ({'rst' if reset else 'fin'})", delays) <= CLOSED_WITHIN_S


async def test_a_caller_that_leaves_while_a_connection_is_made_stops_its_making() -> None:
    """A handshake that nobody waits for any more is given up, and its place in the pool is free again."""
    hole = BlackHole()
    delays: list[float] = []
    async with running(hole.url, timeouts=Timeouts(connect=60), connections=1) as side:
        await side.gauges()
        tasks = len(asyncio.all_tasks())

        async def leave(number: int) -> None:
            before = len(side.records.all)
            caller = await Caller.connect(side.url)
            caller.send(compose(CHAT, STREAM))
            async with asyncio.timeout(5):
                while not hole.waiting:
                    await asyncio.sleep(0.005)
            await asyncio.sleep(random.random() * 0.01)
            left_at = time.monotonic()
            caller.leave()
            async with asyncio.timeout(5):
                while len(side.records.all) == before:
                    await asyncio.sleep(0.001)
            delays.append(time.monotonic() - left_at)

        await repeat(leave, at_once=1)  # a record is all that shows when: one caller at a time
        await check_nothing_is_left(side, tasks)
        assert hole.waiting == 0
    hole.close()
    assert tell("while connecting", delays) <= CLOSED_WITHIN_S


async def test_a_caller_that_leaves_the_queue_for_a_connection_takes_nobodys_place() -> None:
    """Whoever waits for a free connection and leaves is forgotten; the next in the queue is served."""
    delays: list[float] = []
    whole = b"HTTP/1.1 200 OK\r\nContent-Length: 2\r\n\r\n{}"
    async with facing(connections=1) as (upstream, side):
        upstream.scripts["busy"] = Script([0.5, whole])
        upstream.scripts["next"] = Script([whole])
        holder = await Caller.connect(side.url)
        holder.send(compose(CHAT, STREAM, name="busy"))
        await asyncio.sleep(0.05)
        callers = [await Caller.connect(side.url) for _ in range(8)]
        for caller in callers:
            caller.send(compose(CHAT, STREAM, name="never"))
        last = await Caller.connect(side.url)
        last.send(compose(CHAT, STREAM, name="next"))
        await asyncio.sleep(0.05)
        left_at = time.monotonic()
        for caller in callers:
            caller.leave()
        await side.records.until(8, patience_s=0.3)
        delays.append(time.monotonic() - left_at)
        assert side.records.endings == {"client_gone": 8}
        assert (await last.until_end()).status == 200
        assert (await holder.until_end()).status == 200
        assert upstream.visits_of("never") == []
        assert await side.gauges() == {"in_flight": 0, "active": 0, "idle": 1}
        for caller in (holder, last):
            caller.leave()


async def test_a_caller_that_leaves_within_its_own_body_is_gone() -> None:
    """Half a request is no request: nothing is sent on, and the record says that the caller left."""
    async with facing() as (upstream, side):
        for _ in range(50):
            caller = await Caller.connect(side.url)
            caller.send(compose(CHAT, STREAM)[:-5])
            await asyncio.sleep(0.002)
            caller.leave()
        await side.records.until(50)
        assert side.records.endings == {"client_gone": 50}
        assert upstream.visits == []
        assert (await side.gauges())["in_flight"] == 0
