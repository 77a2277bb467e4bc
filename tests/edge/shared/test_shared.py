"""The shared place: what is asked, what is counted, and what comes of failures."""

import asyncio
import hashlib
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest

from sidecar.config import Redis
from sidecar.edge.clock import SystemClock
from sidecar.edge.shared.places import find_slot
from sidecar.edge.shared.shared import Shared
from sidecar.ports import Script, SharedRunner
from tests.edge.shared.doubles import Notes
from tests.edge.shared.server import Command, Server, serving

SCRIPT = Script("one", "return {1}")
DIGEST = hashlib.sha1(SCRIPT.text.encode()).hexdigest().encode()


@asynccontextmanager
async def sharing(**more: Any) -> AsyncIterator[tuple[Shared, Notes, Server]]:
    """Give a shared place, what it tells, and its server."""
    async with serving() as server:
        notes = Notes()
        shared = Shared(Redis(url=server.url, **{"timeout": 0.5, **more}), SystemClock(), notes, lambda: 0.0)
        try:
            yield shared, notes, server
        finally:
            await shared.close()


async def test_values() -> None:
    """A value is read up to a length, and written with its life in milliseconds; an empty one is none."""
    async with sharing(prefix="side") as (shared, notes, server):
        assert shared.prefix == "side"
        server.answer = lambda _: b"$3\r\nabc\r\n"
        assert await shared.get("k", 10) == b"abc"
        server.answer = lambda _: b"$0\r\n\r\n"
        assert await shared.get("k", 10) is None
        shared.put("k", b"data", 1.5)
        shared.put("k", b"data", 0.0001)
        shared.put("k", b"", 1.5)
        async with asyncio.timeout(5):
            while len(server.asked) < 3:
                await asyncio.sleep(0.01)
        assert server.asked == [(b"GETRANGE", b"k", b"0", b"9")] * 2 + [(b"SET", b"k", b"data", b"PX", b"1500")]
        assert set(notes.outcomes) == {"ok"} and notes.states == [True]


async def test_scripts_go_by_their_digest() -> None:
    """A script goes by its digest, and whole where that is not known; whatever it answers comes as a list."""
    runner: SharedRunner
    async with sharing() as (shared, notes, server):
        runner = shared
        server.answer = lambda command: b"-NOSCRIPT no\r\n" if command[0] == b"EVALSHA" else b"*2\r\n:1\r\n$1\r\nx\r\n"
        assert await runner.run(SCRIPT, ["k"], [1, 2.5, "x"]) == [1, b"x"]
        rest = (b"1", b"k", b"1", b"2.5", b"x")
        assert server.asked == [(b"EVALSHA", DIGEST, *rest), (b"EVAL", SCRIPT.text.encode(), *rest)]
        assert notes.outcomes == ["ok"]
        server.answer = lambda _: b"$-1\r\n"
        assert await runner.run(SCRIPT, [], []) == [None]
        server.answer = lambda _: b"-ERR user_script:1: canary\r\n"
        assert await runner.run(SCRIPT, [], []) is None
        assert notes.outcomes == ["ok", "ok", "failed"] and not runner.is_away and shared.problem == "command"


async def test_both_ways_of_a_script_share_one_limit() -> None:
    """Asked for twice, a script takes no longer than once."""

    async with sharing(timeout=0.2) as (shared, notes, server):
        await shared.run(SCRIPT, [], [])
        server.answer = lambda command: b"-NOSCRIPT no\r\n" if command[0] == b"EVALSHA" else b"$5\r\nab"
        loop = asyncio.get_running_loop()
        began = loop.time()
        assert await shared.run(SCRIPT, [], []) is None
        assert 0.1 < loop.time() - began < 0.35 and notes.outcomes == ["ok", "late"]


async def test_what_is_foreign_is_counted() -> None:
    """A value of another type is damaged."""
    async with sharing() as (shared, notes, server):
        server.answer = lambda _: b"-WRONGTYPE Operation against a key\r\n"
        assert await shared.get("k") is None
        assert notes.damaged == 1 and notes.outcomes == ["failed"]


async def test_writes_that_fail_are_counted() -> None:
    """A write that is refused, or not even tried, is counted as dropped; reads say that it is away."""
    async with sharing() as (shared, notes, server):
        server.answer = lambda _: b""
        for _ in range(5):
            assert await shared.get("k") is None
        assert shared.is_away and notes.states == [False] and shared.problem == "refused"
        shared.put("k", b"data", 10.0)
        assert notes.dropped == 1
        assert await shared.get("k") is None
        assert notes.outcomes == ["failed"] * 5 + ["away"] and shared.problem == "refused"


async def test_start_looks_and_waits_for_nothing() -> None:
    """Starting returns at once; whether the place is there is known soon after."""
    async with sharing() as (shared, notes, server):
        await shared.start()
        assert notes.states == [] and shared.is_up is None
        async with asyncio.timeout(5):
            while not notes.states:
                await asyncio.sleep(0.01)
        assert server.asked == [(b"PING",)] and notes.states == [True] and shared.is_up is True


@pytest.mark.parametrize("problem", ["MOVED", "ASK"])
async def test_a_cluster_leads_on(problem: str) -> None:
    """MOVED and ASK are followed within the same limit; without a cluster they are failures."""
    async with serving() as other, sharing(cluster=True) as (shared, notes, server), sharing() as (single, told, alone):
        other.answer = lambda command: b"$3\r\nabc\r\n" if command[0] == b"GETRANGE" else b"+OK\r\n"

        def lead(command: Command) -> bytes:
            return f"-{problem} {find_slot('k')} 127.0.0.1:{other.port}\r\n".encode()

        server.answer = alone.answer = lead
        assert await shared.get("k") == b"abc" and notes.outcomes == ["ok"]
        asking = [(b"ASKING",)] if problem == "ASK" else []
        assert [command for command in other.asked if command[0] != b"CLUSTER"] == [*asking, (b"GETRANGE", b"k", b"0", b"67108863")]
        assert await single.get("k") is None and told.outcomes == ["failed"]


async def test_who_leads_in_a_circle_is_not_followed_for_ever() -> None:
    """Two servers that each name the other: a few steps, and it is a failure."""
    async with sharing(cluster=True) as (shared, notes, server):
        server.answer = lambda _: f"-MOVED {find_slot('k')} 127.0.0.1:{server.port}\r\n".encode()
        assert await shared.get("k") is None
        assert notes.outcomes == ["failed"] and sum(command[0] == b"GETRANGE" for command in server.asked) == 4
