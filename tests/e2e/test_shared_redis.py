"""The shared place against a real Redis, in every state that one can be in."""

import asyncio
import logging
import time
from collections.abc import AsyncIterator, Awaitable, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar import config
from sidecar.edge.clock import SystemClock
from sidecar.edge.shared.shared import Shared
from sidecar.ports import Script
from tests.edge.shared.doubles import Notes
from tests.rig.redis import RedisServer, needs_cluster, needs_redis, run_cluster, run_redis, run_redis_tls

pytestmark = needs_redis

SCHEDULING_S = 0.15  # two busy cores
COUNT = Script("count", "return {redis.call('INCRBY', KEYS[1], ARGV[1]), ARGV[2]}")
READ = Script("read", "return {redis.call('GET', KEYS[1]) or '', 1}")


@asynccontextmanager
async def sharing(url: str, *, is_started: bool = True, **more: Any) -> AsyncIterator[tuple[Shared, Notes]]:
    """Give a shared place and what it tells."""
    notes = Notes()
    shared = Shared(config.Redis(url=url, **more), SystemClock(), notes, lambda: 0.0)
    try:
        if is_started:
            await shared.start()
        yield shared, notes
    finally:
        await shared.close()


async def until(is_so: Callable[[], Awaitable[Any]], seconds: float = 5.0) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(seconds):
        while not await is_so():
            await asyncio.sleep(0.02)


async def put(shared: Shared, key: str, data: bytes) -> None:
    """Write, and wait until it is there."""
    shared.put(key, data, 60.0)

    async def is_there() -> bool:
        return await shared.get(key) == data

    await until(is_there)


async def fail(shared: Shared, calls: int = 30, timeout_s: float = 0.05) -> float:
    """Ask in every way while nothing can be answered; return the longest time one took."""
    slowest_s = 0.0
    for index in range(calls):
        started = time.monotonic()
        answer = await (shared.get("k") if index % 2 else shared.run(COUNT, ["c"], [1, "x"]))
        slowest_s = max(slowest_s, time.monotonic() - started)
        assert answer is None
        shared.put("k", b"other", 60.0)
    assert slowest_s < timeout_s + SCHEDULING_S
    return slowest_s


async def recover(shared: Shared, notes: Notes, seconds: float = 10.0) -> None:
    """Wait until it serves again, without being started anew; a whole round works then."""

    async def counts() -> bool:
        return await shared.run(COUNT, ["recovered"], [1, "x"]) is not None

    await until(counts, seconds)
    assert notes.states[-1:] == [True]
    assert not shared.is_away
    await put(shared, "recovered:value", b"value")


async def test_plain(tmp_path: Path) -> None:
    """Values and scripts go and come; a value expires; what is not there is None; what is too long comes cut off."""
    with run_redis(tmp_path) as server:
        async with sharing(server.url, timeout=0.5) as (shared, notes):
            assert await shared.get("k") is None
            await put(shared, "k", bytes(range(256)) * 100)
            assert await shared.get("k", 5) == bytes(range(5))
            assert await shared.run(COUNT, ["c"], [2, "x"]) == [2, b"x"]
            assert await shared.run(COUNT, ["c"], [3, 1.5]) == [5, b"1.5"]
            assert await shared.run(Script("one", "return 7"), [], []) == [7]
            shared.put("short", b"lived", 0.05)
            await asyncio.sleep(0.2)
            assert await shared.get("short") is None
            assert notes.states == [True] and set(notes.outcomes) == {"ok"} and not notes.dropped
            assert b":-1" not in server.ask("PTTL", "k")


async def test_foreign_values(tmp_path: Path) -> None:
    """A value of another type is a miss, and counted as damaged; the connection goes on, and so does the server's good name."""
    with run_redis(tmp_path) as server:
        server.ask("LPUSH", "k", "1")
        async with sharing(server.url, timeout=0.5) as (shared, notes):
            for _ in range(20):
                assert await shared.get("k") is None
            assert notes.damaged == 20 and not shared.is_away
            assert await shared.run(Script("wrong", "return redis.call('NO')"), ["k"], []) is None
            assert await shared.run(COUNT, ["c"], [1, ""]) == [1, b""]
            received = server.ask("INFO", "stats").partition(b"total_connections_received:")[2].partition(b"\r")[0]
            assert int(received) <= 4  # ours: one, and the first look's


async def test_user_and_password(tmp_path: Path) -> None:
    """A user of its own, with a password."""
    with run_redis(tmp_path) as server:
        server.ask("ACL", "SETUSER", "side", "on", ">pa%:ss", "~*", "+@all")
        server.ask("ACL", "SETUSER", "default", "off")
        file = tmp_path / "password"
        file.write_text("pa%:ss\n", encoding="ascii")
        async with sharing(server.url, timeout=0.5, username="side", password_file=str(file)) as (shared, notes):
            assert await shared.run(COUNT, ["c"], [1, ""]) == [1, b""]
            assert notes.states == [True]


async def test_wrong_password(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """A wrong password: nothing fails, nothing of it is told, and once it is right the place is there."""
    caplog.set_level(logging.DEBUG)
    file = tmp_path / "password"
    file.write_text("canary-wrong", encoding="ascii")
    with run_redis(tmp_path, "--requirepass", "canary-right") as server:
        async with sharing(server.url, password_file=str(file)) as (shared, notes):
            await fail(shared)
            assert notes.states == [False] and shared.problem == "password" and shared.is_away
            assert "failed" in notes.outcomes and "away" in notes.outcomes
            server.kill()
            server.start("--requirepass", "canary-wrong")
            await recover(shared, notes)
    assert "canary" not in caplog.text


async def test_tls(tmp_path: Path) -> None:
    """TLS with an authority of one's own; not with the system's, and not with another name."""
    with run_redis_tls(tmp_path) as (_, url, ca_file):
        async with sharing(url, timeout=0.5, ca_file=str(ca_file)) as (shared, _notes):
            assert await shared.run(COUNT, ["c"], [1, ""]) == [1, b""]
            await put(shared, "k", b"x" * 1_000_000)
        for wrong in (url, url.replace("127.0.0.1", "127.0.0.2")):
            async with sharing(wrong, timeout=0.5, ca_file=None if wrong == url else str(ca_file)) as (shared, notes):
                assert await shared.get("k") is None
                assert notes.states == [False] and shared.problem == ("tls" if wrong == url else "refused")
        async with sharing(url.replace("rediss", "redis"), timeout=0.5) as (shared, notes):
            await fail(shared, timeout_s=0.5)
            assert notes.states == [False]


async def test_away_at_start(tmp_path: Path) -> None:
    """Not there when we start, there later: found without a restart."""
    server = RedisServer(tmp_path)
    async with sharing(server.url) as (shared, notes):
        await fail(shared)
        assert notes.states == [False] and shared.problem == "refused" and shared.is_away and notes.dropped
        try:
            server.start()
            await recover(shared, notes)
        finally:
            server.kill()


async def test_killed(tmp_path: Path) -> None:
    """Killed under load and back on the same port; a server that is back before anybody asks is not noticed to have been gone."""
    with run_redis(tmp_path) as server:
        async with sharing(server.url) as (shared, notes):
            await recover(shared, notes)
            server.kill()
            server.start()
            await asyncio.sleep(0.05)  # the loop hears of the end of the connections
            assert await shared.run(COUNT, ["c"], [1, "x"]) == [1, b"x"]
            server.kill()
            await fail(shared)
            assert notes.states == [True, False]
            server.start()
            await recover(shared, notes)


async def test_hung(tmp_path: Path) -> None:
    """Hung: 200 calls at once are over in time, then it is left alone with one probe at a time; it comes back by itself."""
    with run_redis(tmp_path) as server:
        async with sharing(server.url, connections=4) as (shared, notes):
            await recover(shared, notes)
            server.hang()
            started = time.monotonic()
            assert await asyncio.gather(*(shared.get("k") for _ in range(200))) == [None] * 200
            assert time.monotonic() - started < 0.05 + SCHEDULING_S
            assert shared.is_away and notes.states[-1] is False
            del notes.outcomes[:]
            assert await fail(shared, 200) < 0.03
            assert set(notes.outcomes) == {"away"}
            await asyncio.sleep(1.05)  # as long as it is left alone
            del notes.outcomes[:]
            await asyncio.gather(*(shared.get("k") for _ in range(50)))
            assert sorted(notes.outcomes) == ["away"] * 49 + ["late"]
            server.wake()
            await recover(shared, notes)


async def test_answers_are_never_mixed_up(tmp_path: Path) -> None:
    """Callers that leave, or run out of time, while their answers are on the way: the next ones get their own answers."""
    with run_redis(tmp_path) as server:
        async with sharing(server.url, connections=2, timeout=0.3) as (shared, _):
            keys = [f"k{index}" for index in range(40)]
            for key in keys:
                await put(shared, key, key.encode())
            for turn in range(6):
                server.hang()
                asked = [asyncio.ensure_future(shared.get(key)) for key in keys]
                await asyncio.sleep(0.02)
                for task in asked[:: turn % 3 + 1]:
                    task.cancel()
                if turn % 2:
                    await asyncio.wait(asked)  # late
                server.wake()

                async def is_back() -> bool:
                    return await shared.get("k0") == b"k0"

                await until(is_back, 10)
                again = await asyncio.gather(*(shared.get(key) for key in keys))
                told = [task.result() for task in asked if not task.cancelled()]
                left = [key for key, task in zip(keys, asked, strict=True) if not task.cancelled()]
                for key, found in [*zip(keys, again, strict=True), *zip(left, told, strict=True)]:
                    assert found in (None, key.encode())
                assert again.count(None) < len(keys) // 2


async def test_full(tmp_path: Path) -> None:
    """Full: reads go on, writes are dropped and counted, scripts that write are None; room again, and all is well."""
    with run_redis(tmp_path, "--maxmemory-policy", "noeviction") as server:
        async with sharing(server.url, timeout=0.5) as (shared, notes):
            await put(shared, "k", b"value")
            server.ask("CONFIG", "SET", "maxmemory", "1mb")
            for _ in range(20):
                shared.put("other", b"x" * 100_000, 60.0)
                assert await shared.run(COUNT, ["c"], [1, "x"]) is None
            assert await shared.get("k") == b"value"

            async def is_dropped() -> bool:
                return notes.dropped == 20

            await until(is_dropped)
            assert not shared.is_away and notes.states == [True] and shared.problem == "full"
            server.ask("CONFIG", "SET", "maxmemory", "0")
            assert await shared.run(COUNT, ["c"], [1, "x"]) == [1, b"x"]


async def test_flushed(tmp_path: Path) -> None:
    """Emptied, scripts too: a miss, and scripts are sent anew."""
    with run_redis(tmp_path) as server:
        async with sharing(server.url, timeout=0.5) as (shared, notes):
            await put(shared, "k", b"value")
            assert await shared.run(COUNT, ["c"], [5, "x"]) == [5, b"x"]
            server.ask("FLUSHALL")
            server.ask("SCRIPT", "FLUSH")
            assert await shared.get("k") is None
            counted = await asyncio.gather(*(shared.run(COUNT, ["c"], [1, "x"]) for _ in range(50)))
            assert sorted(answer[0] for answer in counted if answer is not None) == list(range(1, 51))
            assert set(notes.outcomes) == {"ok"}


async def test_storm(tmp_path: Path) -> None:
    """Asked all the time while it is killed, hung, full, flushed and back each time: nothing fails, nothing is late beyond its limit."""
    with run_redis(tmp_path, "--maxmemory-policy", "noeviction") as server:
        async with sharing(server.url) as (shared, notes):
            slowest_s, calls, is_over = 0.0, 0, False

            async def load(name: str) -> None:
                nonlocal slowest_s, calls
                while not is_over:
                    began = time.monotonic()
                    found = await shared.get(name)
                    assert found in (None, name.encode())
                    answer = await shared.run(READ, [name], [])
                    assert answer in (None, [b"", 1], [name.encode(), 1])
                    shared.put(name, name.encode(), 60.0)
                    slowest_s, calls = max(slowest_s, time.monotonic() - began), calls + 1
                    await asyncio.sleep(0.01)

            callers = [asyncio.ensure_future(load(f"k{index}")) for index in range(20)]
            for fault, repair in (
                (server.kill, server.start), (server.hang, server.wake),
                (lambda: server.ask("FLUSHALL"), lambda: server.ask("SCRIPT", "FLUSH")),
                (lambda: server.ask("CONFIG", "SET", "maxmemory", "1mb"), lambda: server.ask("CONFIG", "SET", "maxmemory", "0")),
            ):  # fmt: skip
                await asyncio.sleep(0.2)
                await asyncio.to_thread(fault)
                await asyncio.sleep(0.5)
                await asyncio.to_thread(repair)
                await recover(shared, notes)
            is_over = True
            await asyncio.gather(*callers)
            assert calls > 100 and slowest_s < 2 * 0.05 + SCHEDULING_S
            assert set(notes.outcomes) == {"ok", "failed", "late", "away"}


async def test_loading(tmp_path: Path) -> None:
    """Still reading its file: left alone, and found once it is done."""
    with run_redis(tmp_path) as server:
        for start in range(0, 4000, 100):
            server.ask("MSET", *(word for index in range(start, start + 100) for word in (f"k{index}", "v" * 100)))
        server.ask("SAVE")
        server.kill()
        server.start("--key-load-delay", "500", "--loading-process-events-interval-bytes", "1024", is_ready=False)

        async def is_loading() -> bool:
            try:
                return b"LOADING" in server.ask("GET", "k1")
            except OSError:
                return False

        await until(is_loading)
        async with sharing(server.url) as (shared, notes):
            await fail(shared, 10)
            assert notes.states == [False] and shared.problem == "loading"
            await recover(shared, notes, 15.0)


async def test_replica(tmp_path: Path) -> None:
    """Made a replica: reads go on, writes are not for it; made the primary again: all is well, on fresh connections."""
    with run_redis(tmp_path) as primary, run_redis(tmp_path) as server:
        async with sharing(server.url, timeout=0.5) as (shared, notes):
            await put(shared, "k", b"value")
            server.ask("REPLICAOF", "127.0.0.1", str(primary.port))
            assert await shared.run(COUNT, ["c"], [1, "x"]) is None
            assert shared.problem == "read_only"
            for _ in range(5):
                assert await shared.run(COUNT, ["c"], [1, "x"]) is None
            assert shared.is_away and notes.states == [True, False]
            server.ask("REPLICAOF", "NO", "ONE")
            await recover(shared, notes)


async def test_no_redis_at_all() -> None:
    """Something else answers, or closes at once: nothing fails."""

    async def answer(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read(100)
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n" if answered else b"")
        writer.close()

    for answered in (True, False):
        server = await asyncio.start_server(answer, "127.0.0.1", 0)
        async with sharing(f"redis://127.0.0.1:{server.sockets[0].getsockname()[1]}") as (shared, notes):
            await fail(shared)
            assert notes.states == [False] and shared.problem == ("protocol" if answered else "refused")
        server.close()


@needs_cluster
async def test_cluster(tmp_path: Path) -> None:
    """Three servers: each key at its own, hash tags together, a killed one costs its slots only, and comes back."""
    with run_cluster(tmp_path) as servers:
        async with sharing(servers[0].url, cluster=True, timeout=0.5) as (shared, notes):
            keys = [f"key-{index}" for index in range(30)]
            for key in keys:
                await put(shared, key, key.encode())
            assert all(server.ask("DBSIZE") != b":0\r\n" for server in servers)
            two = Script("two", "return {redis.call('INCR', KEYS[1]), redis.call('INCR', KEYS[2])}")
            for tag in "abcdefghi":
                assert await shared.run(two, [f"{{{tag}}}:x", f"{{{tag}}}:y"], []) == [1, 1]
            assert await shared.run(two, ["key-1", "key-2"], []) is None
            servers[2].kill()
            for _ in range(3):
                found = await asyncio.gather(*(shared.get(key) for key in keys))
                assert 0 < found.count(None) < 20
            for _ in range(10):
                await asyncio.gather(*(shared.get(key) for key in keys))
            assert not shared.is_away and notes.states == [True]
            servers[2].start()

            async def is_whole() -> bool:
                for key in keys:
                    shared.put(key, b"again", 60.0)
                return await asyncio.gather(*(shared.get(key) for key in keys)) == [b"again"] * 30

            await until(is_whole, 15)
            assert notes.states == [True]


@needs_cluster
async def test_cluster_that_moves(tmp_path: Path) -> None:
    """A slot on its way to another server, and there: MOVED and ASK are followed."""
    with run_cluster(tmp_path) as servers:
        async with sharing(servers[0].url, cluster=True, timeout=0.5) as (shared, notes):
            await put(shared, "{a}", b"value")
            slot = "15495"  # of "a"
            home = next(server for server in servers if b"MOVED" not in server.ask("GET", "{a}"))
            other = next(server for server in servers if server is not home)
            names = {server.port: server.ask("CLUSTER", "MYID").split(b"\r\n")[1].decode() for server in servers}
            other.ask("CLUSTER", "SETSLOT", slot, "IMPORTING", names[home.port])
            home.ask("CLUSTER", "SETSLOT", slot, "MIGRATING", names[other.port])
            await put(shared, "{a}b", b"asked")
            assert b"MOVED" in other.ask("GET", "{a}b") and b"ASK" in home.ask("GET", "{a}b")
            home.ask("MIGRATE", "127.0.0.1", str(other.port), "{a}", "0", "1000")
            for server in servers:
                server.ask("CLUSTER", "SETSLOT", slot, "NODE", names[other.port])
            assert await shared.get("{a}") == b"value" and await shared.get("{a}b") == b"asked"
            assert set(notes.outcomes) == {"ok"}
