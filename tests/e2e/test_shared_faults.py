"""Two sidecars under load while their Redis is killed, hangs, is full, is flushed, is restarted: nobody fails or waits for it.

A third sidecar, without Redis and under the same load at the same time, tells what is the machine's fault.
"""

import asyncio
import os
from collections import Counter
from collections.abc import AsyncIterator, Awaitable, Callable
from pathlib import Path
from typing import Any, NamedTuple

import pytest

from tests.rig.redis import RedisServer, needs_redis, run_redis
from tests.rig.sidecars import SOMEBODY, Sidecars, Witness, name_chat, run_sidecars

pytestmark = needs_redis

TIMEOUT_S = 0.05
# Beside it, than a call takes without Redis. A tenth of that is enough on a machine of one's own, and what a call would wait that
# waited for Redis is three times as much.
MORE_S = float(os.environ.get("LLM_SIDECAR_TEST_MORE_S", "0.45"))
TICK_S = 0.007
ALONE = 2  # the third
FAULT_S = float(os.environ.get("LLM_SIDECAR_TEST_FAULT_S", "1.5"))
CALM_S = 0.8
NEAR_S = 0.1  # so long before and after a call others were as busy
TRIALS = 3  # at most: on a busy machine any single call may be late
POPULAR = 5
PLAIN: dict[str, Any] = {
    "features": {"cache": True, "coalescing": True, "limits": True, "budgets": True, "breakers": False, "probes": False},
    "limits": {"rates": {"tenants": {SOMEBODY.tenant: {"requests": {"per_minute": 1_000_000}, "tokens": {"per_hour": 1_000_000_000}}}}},
    "budgets": {"tenants": {SOMEBODY.tenant: {"day": 1000.0, "month": 1000.0}}},
}


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    """An upstream."""
    upstream = Witness(0.005)
    await upstream.start()
    yield upstream
    await upstream.stop()


class Load:
    """Callers who call all the time, each sidecar in turn: what all ask, what nobody has asked, what another one was asked 0.2 s ago."""

    def __init__(self, three: Sidecars, witness: Witness, name: str) -> None:
        self._name = name
        self._three = three
        self._witness = witness
        self._calls: set[asyncio.Task[None]] = set()
        self._work: asyncio.Task[None] | None = None
        self._spans: list[list[tuple[float, float]]] = [[] for _ in three.sides]  # when each call began and ended
        self.wrong: list[str] = []
        self.seen: Counter[str] = Counter()

    async def __aenter__(self) -> "Load":
        self._work = asyncio.create_task(self._run())
        return self

    async def __aexit__(self, *_: object) -> None:
        assert self._work is not None
        self._work.cancel()
        await asyncio.gather(*self._calls)

    def measure(self, *sides: int) -> list[float]:
        """Return how long the calls of some sidecars took, in seconds, ordered."""
        return sorted(ended_s - began_s for side in sides for began_s, ended_s in self._spans[side])

    @property
    def waited_s(self) -> float:
        """By how much a call at most took longer than those without Redis at about the same time."""
        alone = self._spans[ALONE]
        return max(
            ended_s - began_s - max(end_s - begin_s for begin_s, end_s in alone if begin_s < ended_s + NEAR_S and end_s > began_s - NEAR_S)
            for side in range(ALONE)
            for began_s, ended_s in self._spans[side]
        )

    async def _run(self) -> None:
        loop = asyncio.get_running_loop()
        began_s, number = loop.time(), 0
        while True:
            call = asyncio.create_task(self._call(number))
            self._calls.add(call)
            call.add_done_callback(self._calls.discard)
            number += 1
            await asyncio.sleep(began_s + number * TICK_S - loop.time())

    async def _call(self, number: int) -> None:
        side, turn = number % 3, number // 3
        other = side if side == ALONE else 1 - side
        prompts = (
            f"Do all ask {turn // 3 % POPULAR}?",
            f"Does nobody else ask {turn} of {side}?",
            f"Does nobody else ask {turn - 10} of {other}?",
        )
        prompt = f"{self._name}: {prompts[turn % 3]}"
        loop = asyncio.get_running_loop()
        began_s = loop.time()
        answer = await self._three.ask(side, prompt)
        self._spans[side].append((began_s, loop.time()))
        self.seen[answer.field("x-sidecar-cache") or ""] += 1
        if answer.status != 200 or not answer.whole or self._witness.whose(answer) != name_chat(prompt):
            self.wrong.append(f"{prompt}: {answer.status} {answer.headers}")


async def kill(server: RedisServer) -> None:
    """It is gone, and nobody listens there."""
    await asyncio.to_thread(server.kill)
    await asyncio.sleep(FAULT_S)


async def hang(server: RedisServer) -> None:
    """It is there and says nothing."""
    server.hang()
    await asyncio.sleep(FAULT_S)


async def fill(server: RedisServer) -> None:
    """It takes nothing any more."""
    await asyncio.to_thread(server.ask, "CONFIG", "SET", "maxmemory", "1mb")
    await asyncio.sleep(FAULT_S)


async def flush(server: RedisServer) -> None:
    """It forgets everything, scripts too, again and again."""
    for _ in range(10):
        await asyncio.to_thread(server.ask, "FLUSHALL")
        await asyncio.to_thread(server.ask, "SCRIPT", "FLUSH")
        await asyncio.sleep(FAULT_S / 10)


async def restart(server: RedisServer) -> None:
    """It is gone and back at once, twice."""
    for _ in range(2):
        await asyncio.to_thread(server.kill)
        await asyncio.to_thread(server.start)
        await asyncio.sleep(FAULT_S / 2)


async def start(server: RedisServer) -> None:
    """It is back, empty."""
    await asyncio.to_thread(server.start)


async def wake(server: RedisServer) -> None:
    """It goes on where it was."""
    server.wake()


async def empty(server: RedisServer) -> None:
    """It has room again."""
    await asyncio.to_thread(server.ask, "CONFIG", "SET", "maxmemory", "0")


async def leave(server: RedisServer) -> None:
    """It is well already."""


class Fault(NamedTuple):
    """What becomes of Redis, and what is told of it: by `shared_up` at its end (None: either), by what became of commands meanwhile."""

    strike: Callable[[RedisServer], Awaitable[None]]
    repair: Callable[[RedisServer], Awaitable[None]]
    is_up: int | None
    outcomes: frozenset[str]
    drops: bool = False  # answers that were to be written


# Those first after which it is left alone for least: that doubles from one time to the next.
FAULTS = [
    Fault(fill, empty, 1, frozenset({"ok", "failed"}), drops=True),
    Fault(flush, leave, 1, frozenset({"ok"})),
    Fault(restart, leave, None, frozenset({"ok"})),  # it is back so soon that perhaps nobody asked meanwhile
    Fault(kill, start, 0, frozenset({"failed", "away"}), drops=True),
    Fault(hang, wake, 0, frozenset({"late", "away"}), drops=True),
]


async def test_under_load(witness: Witness, tmp_path: Path) -> None:
    """Each in turn: every call is answered, and right; none takes longer than one without Redis and the limit of time; it comes back."""
    with run_redis(tmp_path, "--maxmemory-policy", "noeviction") as server:
        settings = {**PLAIN, "redis": {"url": server.url}}
        async with run_sidecars(tmp_path, witness.url, settings, settings, PLAIN) as three:
            for fault in FAULTS:
                for number in range(TRIALS):
                    if await endure(three, witness, server, fault, number):
                        break
                else:
                    pytest.fail(f"{fault.strike.__name__}: calls take too long")


async def endure(three: Sidecars, witness: Witness, server: RedisServer, fault: Fault, number: int) -> bool:
    """Let it happen once, and check everything; return whether no call took longer than it may."""
    await three.until_shared()
    async with Load(three, witness, f"{fault.strike.__name__} {number}") as load:
        await asyncio.sleep(CALM_S)
        before = await three.read()
        await fault.strike(server)
        during = await three.read()
        await fault.repair(server)
        back_s = await three.until_shared()
        await three.until_shared(1, 0)
        await three.read()
        await asyncio.sleep(CALM_S)
        after = await three.read()
    return check(fault, load, before, during, after, back_s)


def check(
    fault: Fault, load: Load, before: list[Counter[str]], during: list[Counter[str]], after: list[Counter[str]], back_s: float
) -> bool:  # fmt: skip
    """Check what callers saw, and what was told meanwhile; return whether all were in time."""
    name = fault.strike.__name__
    calls, alone = load.measure(0, 1), load.measure(ALONE)
    told = [{name: grown for name, grown in each.items() if name.startswith("shared") and grown} for each in during[:ALONE]]
    print(
        f"{name}: {len(calls)} calls, {calls[len(calls) // 2] * 1e3:.1f} ms, at most {calls[-1] * 1e3:.1f}; without Redis {len(alone)},"
        f" {alone[len(alone) // 2] * 1e3:.1f}, at most {alone[-1] * 1e3:.1f}; waited at most {load.waited_s * 1e3:.0f};"
        f" back {back_s:.1f} s; {dict(load.seen)}; {told}"
    )
    assert not load.wrong, name
    for each in (*before[:ALONE], *after[:ALONE]):
        assert each["shared_up"] == 1 and each["shared_commands_total{ok}"] > 10 and each["cache_hits_total{shared}"], name
    for each in during[:ALONE]:
        assert fault.is_up in (None, each["shared_up"]), name
        assert {outcome for outcome in ("ok", "failed", "late", "away") if each[f"shared_commands_total{{{outcome}}}"]} >= fault.outcomes
        assert bool(each["shared_dropped_total"]) or not fault.drops, name
    for each in after[:ALONE]:
        assert not each["shared_commands_total{failed}"] + each["shared_commands_total{away}"] + each["shared_dropped_total"], name
        assert not each["cache_damaged_total"], name
    return load.waited_s <= TIMEOUT_S + MORE_S
