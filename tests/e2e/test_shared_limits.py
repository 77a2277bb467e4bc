"""Limits that sidecars share, on a real Redis: the script counts as the limiter does, and racers get no more than the limit."""

import asyncio
import random
import string
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import pytest
import redis
import redis.asyncio

from sidecar.config import Limits, Rate, RateLimits, Rates, Settings
from sidecar.core.admit.rates import Limiter, Verdict
from sidecar.core.identify.tenants import Tenant
from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.edge.clock import SystemClock
from sidecar.edge.shared.names import mark_account
from sidecar.edge.shared.rates import RATES, RedisRates
from sidecar.errors import Refused
from sidecar.limiting import Limiting
from sidecar.ports import Script
from sidecar.progress import Exchange
from tests.core.attempt.calls import make_call
from tests.path import PlayedClient
from tests.rig.redis import RedisServer, needs_redis, run_redis

pytestmark = needs_redis
CLOCK = "redis.call('TIME')"
PROMPT = b'{"messages": [{"role": "user", "content": "' + b"x" * 36 + b'"}]}'  # 9 tokens
EVERY = Rate(per_second=0.7, burst=5.0, per_minute=9.0, per_hour=40.0, per_day=90.0)
TOKENS = Rate(per_second=50.0, burst=300.0, per_minute=700.0, per_hour=4000.0, per_day=9000.0)


@pytest.fixture(scope="module")
def server(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RedisServer]:
    """One Redis for all of these."""
    with run_redis(tmp_path_factory.mktemp("redis")) as server:
        yield server


@pytest.fixture
def prefix() -> str:
    """Keys that no other test has used."""
    return "".join(random.choices(string.ascii_lowercase, k=12))


class Runner:
    """Runs scripts as they are, without a limit of time."""

    def __init__(self, url: str) -> None:
        self.is_away = False
        self.client = redis.asyncio.Redis.from_pool(redis.asyncio.BlockingConnectionPool.from_url(url, max_connections=20, timeout=None))

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        if self.is_away:
            return None
        answer: list[Any] = await self.client.eval(script.text, len(keys), *keys, *args)
        return answer


class ToldRunner(Runner):
    """Runs scripts at a time of ours, by which Redis' own clock is replaced."""

    def __init__(self, url: str) -> None:
        super().__init__(url)
        self.micros = 1_700_000_000_000_000

    @property
    def now(self) -> float:
        """Seconds, as the script reads them."""
        return self.micros // 1_000_000 + self.micros % 1_000_000 / 1_000_000

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        assert script.text.count(CLOCK) == 1
        told = Script(script.name, script.text.replace(CLOCK, "{ARGV[#ARGV - 1], ARGV[#ARGV]}"))
        return await super().run(told, keys, [*args, self.micros // 1_000_000, self.micros % 1_000_000])


@pytest.fixture
async def runner(server: RedisServer) -> AsyncIterator[Runner]:
    """A way to it."""
    runner = Runner(server.url)
    yield runner
    await runner.client.aclose()


@pytest.fixture
async def told(server: RedisServer) -> AsyncIterator[ToldRunner]:
    """A way to it at a time of ours."""
    runner = ToldRunner(server.url)
    yield runner
    await runner.client.aclose()


def never() -> None:
    """Nothing is dropped here."""
    raise AssertionError("a correction was dropped")


def show(verdict: Verdict | None) -> Any:
    """Return a verdict so that rounding in the last digit is no difference."""
    assert verdict is not None
    retry_after_s = None if verdict.retry_after_s is None else pytest.approx(verdict.retry_after_s, abs=1e-6)
    left = (
        (one.what, one.limit, pytest.approx(one.left, abs=1e-6), pytest.approx(one.reset_s, abs=1e-6)) for one in verdict.left
    )  # fmt: skip
    return verdict.limit, retry_after_s, tuple(left), verdict.at


@pytest.mark.parametrize("seed", range(12))
@pytest.mark.parametrize(
    "settings",
    [
        RateLimits(tenant=Rates(EVERY, TOKENS)),
        RateLimits(all=Rates(EVERY, TOKENS), tenant=Rates(Rate(per_minute=6), Rate(per_minute=400))),
        RateLimits(tenant=Rates(Rate(per_second=0.0, burst=3.0, per_day=0.0), Rate(per_second=2.0))),
    ],
)
async def test_the_script_counts_as_the_limiter_does(told: ToldRunner, prefix: str, settings: RateLimits, seed: int) -> None:
    """On random traces of calls, corrections and jumps of the clock: the same verdict, wait, rest and reset each time."""
    chance = random.Random(seed)
    shared, limiter = RedisRates(settings, told, prefix, never), Limiter(settings)
    open_calls: list[tuple[str, int, float]] = []
    refused = 0
    for _ in range(150):
        told.micros += chance.choice([0, 17, 300_000, 2_000_000, 45_000_000, 61_000_000 if chance.random() < 0.2 else 0])
        if chance.random() < 0.03:
            told.micros += chance.choice([-500_000, -30_000_000, -4_000_000_000, 4_000_000_000, 90_000_000_000])
        account, tokens = chance.choice("ab"), chance.choice([0, 1, 40, 120, 301])
        verdict = await shared.admit(account, tokens)
        assert verdict is not None
        assert limiter.admit(account, tokens, told.now) == show(verdict)
        refused += verdict.limit is not None
        if verdict.limit is None and tokens:
            open_calls.append((account, tokens, verdict.at))
        if open_calls and chance.random() < 0.5:
            account, tokens, at = open_calls.pop(chance.randrange(len(open_calls)))
            actual = chance.choice([0, tokens // 3, tokens + 1, tokens + 200])
            shared.correct(account, tokens, actual, at)
            while asyncio.all_tasks() - {asyncio.current_task()}:
                await asyncio.sleep(0)
            limiter.correct(account, tokens, actual, told.now, at)
    assert refused > 10


async def test_keys_are_gone_when_nothing_counts(runner: Runner, prefix: str) -> None:
    """Each has an end of its own, and a limit is one key."""
    settings = RateLimits(tenant=Rates(Rate(per_second=1, per_minute=5, per_day=5)))
    await RedisRates(settings, runner, prefix, never).admit("a", 0)
    keys = sorted([key async for key in runner.client.scan_iter(f"*{prefix}*")])
    limits = ["requests_day", "requests_minute", "requests_second"]
    assert [key.decode().rpartition("}")[2] for key in keys] == [f":1:{limit}:{mark_account('a')}" for limit in limits]
    lives_s = [await runner.client.ttl(key) for key in keys]
    assert 86_400 < lives_s[0] < 91_000
    assert 60 < lives_s[1] <= 63
    assert 60 < lives_s[2] <= 63


async def test_what_others_wrote_there_is_as_if_it_were_away(runner: Runner, prefix: str) -> None:
    """Values that are no numbers count as none; a key of another kind makes the script fail."""
    settings = RateLimits(tenant=Rates(Rate(per_second=5, per_minute=5)))
    for limit in ("requests_second", "requests_minute"):
        fields = dict.fromkeys(["level", "last", "full", "slot", "place", "sum", "0", "7"], "zwölf")
        await runner.client.hset(f"{{{prefix}:limits}}:1:{limit}:{mark_account('a')}", mapping=fields)
    verdict = await RedisRates(settings, runner, prefix, never).admit("a", 0)
    assert verdict is not None
    assert verdict.limit is None


def exchange_of() -> Exchange:
    """Return a call that has been received."""
    exchange = Exchange(PlayedClient(make_call()), make_call(), None)
    exchange.tenant, exchange.dialect, exchange.body = Tenant("a", "a"), OpenAIChat(), PROMPT
    return exchange


async def test_racers_over_two_sidecars(runner: Runner, prefix: str) -> None:
    """500 at once on one limit: exactly as many as it allows, of calls and of tokens, and what they did not use comes back."""
    rates = RateLimits(tenant=Rates(Rate(per_minute=1_000), Rate(per_hour=900)))
    settings = Settings(limits=Limits(rates=rates))
    clock = SystemClock()
    sidecars = [Limiting(settings, clock, RedisRates(rates, runner, prefix, never)) for _ in range(2)]
    calls = [exchange_of() for _ in range(500)]
    outcomes = await asyncio.gather(*(sidecars[number % 2].admit(call) for number, call in enumerate(calls)), return_exceptions=True)
    assert outcomes.count(None) == 100
    assert all(outcome is None or isinstance(outcome, Refused) for outcome in outcomes)
    for number, call in enumerate(calls):
        sidecars[number % 2].settle(call, 0 if number % 4 < 2 else 9, clock.now())
    while asyncio.all_tasks() - {asyncio.current_task()}:
        await asyncio.sleep(0.001)
    spared = sum(outcome is None for number, outcome in enumerate(outcomes) if number % 4 < 2)
    more = [await RedisRates(rates, runner, prefix, never).admit("a", 9) for _ in range(spared + 1)]
    assert [verdict is not None and verdict.limit is None for verdict in more] == [True] * spared + [False]


async def test_away_and_back(runner: Runner, prefix: str) -> None:
    """Never more than the limit for each sidecar and once for Redis; it counts again when it is back."""
    rates = RateLimits(tenant=Rates(Rate(per_hour=50)))
    settings = Settings(limits=Limits(rates=rates))
    sidecars = [Limiting(settings, SystemClock(), RedisRates(rates, runner, prefix, never)) for _ in range(2)]

    async def race() -> int:
        outcomes = await asyncio.gather(*(sidecars[number % 2].admit(exchange_of()) for number in range(60)), return_exceptions=True)
        return outcomes.count(None)

    assert await race() == 50
    runner.is_away = True
    assert await race() == 50  # each had 25 of its own
    runner.is_away = False
    assert await race() == 0


async def test_flushed(runner: Runner, prefix: str) -> None:
    """Again and again: never more than the limit for each sidecar."""
    rates = RateLimits(tenant=Rates(Rate(per_hour=50)))
    settings = Settings(limits=Limits(rates=rates))
    sidecars = [Limiting(settings, SystemClock(), RedisRates(rates, runner, prefix, never)) for _ in range(2)]
    admitted = 0
    for _ in range(4):
        for number in range(130):
            try:
                await sidecars[number % 2].admit(exchange_of())
                admitted += 1
            except Refused:
                pass
        await runner.client.flushall()
    assert admitted == 100


def test_the_script_is_one(server: RedisServer, tmp_path: Path) -> None:
    """It is loaded under one name, whatever the limits are: what differs is told as arguments."""
    client = redis.Redis.from_url(server.url)
    assert client.script_load(RATES.text) == client.script_load(RATES.text)
    client.close()
