"""Limits of two sidecars while their Redis is killed, hangs, and comes back: no call fails, and none too many goes through."""

import asyncio
import time
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import NamedTuple

from sidecar import config
from sidecar.config import Limits, Rate, RateLimits, Rates, Settings
from sidecar.core.identify.tenants import Tenant
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.edge.clock import SystemClock
from sidecar.edge.shared.rates import RedisRates
from sidecar.edge.shared.shared import Shared
from sidecar.errors import Refused
from sidecar.limiting import Limiting
from sidecar.progress import Exchange
from tests.core.attempt.calls import make_call
from tests.path import PlayedClient
from tests.rig.redis import needs_redis, run_redis

pytestmark = needs_redis
LIMIT = 100
RATES = RateLimits(tenant=Rates(Rate(per_hour=LIMIT)))
SETTINGS = Settings(limits=Limits(rates=RATES))
WAIT_S = 1.0  # of one call, on two busy cores; the limit of time for a command is a twentieth of it


class Notes:
    """Who is told of it, and listens to nothing."""

    def note_shared(self, outcome: str) -> None:
        """Nothing."""

    def note_damaged(self) -> None:
        """Nothing."""

    def note_put_dropped(self) -> None:
        """Nothing."""

    def note_state(self, is_up: bool) -> None:
        """Nothing."""


class Pair(NamedTuple):
    """Two sidecars, as far as their limits go."""

    shared: list[Shared]
    limiting: list[Limiting]

    async def race(self, account: str, calls: int) -> int:
        """Let calls come at once to both of them in turn; return how many are let through."""
        began = time.monotonic()
        outcomes = await asyncio.gather(
            *(self.limiting[number % 2].admit(make_exchange(account)) for number in range(calls)), return_exceptions=True
        )
        assert all(outcome is None or isinstance(outcome, Refused) for outcome in outcomes), outcomes
        assert time.monotonic() - began < WAIT_S * (1 + calls / 100)
        return outcomes.count(None)


def make_exchange(account: str) -> Exchange:
    """Return a call that has been received."""
    exchange = Exchange(PlayedClient(make_call()), make_call(), None)
    exchange.tenant, exchange.dialect = Tenant(account, account), OpenAIChat()
    return exchange


@asynccontextmanager
async def pair_on(url: str) -> AsyncIterator[Pair]:
    """Run two sidecars' limits on one Redis."""
    clock, notes = SystemClock(), Notes()
    shared = [Shared(config.Redis(url=url), clock, notes, lambda: 0.0) for _ in range(2)]
    for one in shared:
        await one.start()
    yield Pair(shared, [Limiting(SETTINGS, clock, RedisRates(RATES, one, "llm-sidecar", lambda: None)) for one in shared])
    for one in shared:
        await one.close()


async def until_asked_again(pair: Pair) -> None:
    """Wait until both ask their Redis again."""
    async with asyncio.timeout(20):
        number = 0
        while any(one.is_away for one in pair.shared) or number < 2:
            number += not any(one.is_away for one in pair.shared)
            await asyncio.gather(*(limiting.admit(make_exchange(f"probe {number}")) for limiting in pair.limiting), return_exceptions=True)
            await asyncio.sleep(0.05)


async def test_racers(tmp_path: Path) -> None:
    """500 at once over two sidecars: the limit at least, and at most twice it, should Redis be late for some."""
    with run_redis(tmp_path) as server:
        async with pair_on(server.url) as pair:
            assert LIMIT <= await pair.race("a", 500) <= 2 * LIMIT
            calm = 0
            for _ in range(LIMIT):
                calm += await pair.race("b", 2)
            assert LIMIT <= calm <= 2 * LIMIT


async def test_killed_and_back(tmp_path: Path) -> None:
    """Each by its own count while it is gone; with it again they agree again, on an empty one."""
    with run_redis(tmp_path) as server:
        async with pair_on(server.url) as pair:
            through = await pair.race("a", 60)
            server.kill()
            through += await pair.race("a", 400)
            assert through == 2 * LIMIT
            server.start()
            await until_asked_again(pair)
            assert await pair.race("a", 100) == 0
            assert LIMIT <= await pair.race("b", 300) <= 2 * LIMIT


async def test_hung(tmp_path: Path) -> None:
    """No call waits for it longer than it may, and the limit holds for each."""
    with run_redis(tmp_path) as server:
        async with pair_on(server.url) as pair:
            through = await pair.race("a", 60)
            server.hang()
            try:
                through += await pair.race("a", 400)
            finally:
                server.wake()
            assert through == 2 * LIMIT
            await until_asked_again(pair)
            assert await pair.race("a", 100) == 0
