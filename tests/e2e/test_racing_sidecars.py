"""Limits and budgets that two sidecars keep together, as processes on one Redis: 500 racers get what is there, and no more."""

import asyncio
import json
import math
import os
import re
import time
from collections.abc import AsyncIterator, Iterator, Sequence
from pathlib import Path
from typing import Any

import httpx
import pytest
import redis.asyncio

from tests.rig.caller import Answer, compose, fetch
from tests.rig.process import RunningSidecar, run_simulator
from tests.rig.redis import needs_redis, run_redis
from tests.rig.sidecars import CHAT, Sidecars, Who, Witness, compose_chat, run_sidecars
from tests.rig.talks import BY_NAME

pytestmark = needs_redis

RACERS = 500
LIMIT = 100
WINDOW_S = 60.0
WAITS = "LLM_SIDECAR_TEST_DEEP" in os.environ  # a minute for a window's place
FEATURES = {"breakers": False, "probes": False}
WHO = Who("acme", "sk-one")
ANTHROPIC = BY_NAME["anthropic_whole"]
MESSAGES = "/anthropic/v1/messages"
LATE = ("late", "failed", "away")


@pytest.fixture
async def witness() -> AsyncIterator[Witness]:
    """An upstream."""
    upstream = Witness()
    await upstream.start()
    yield upstream
    await upstream.stop()


@pytest.fixture
def provider(tmp_path: Path) -> Iterator[str]:
    """A simulated provider, which never waits of its own."""
    with run_simulator(tmp_path, {"speed": 0}) as url:
        yield url


def settle(url: str, upstream: str, timeout_s: float, **rate: float) -> dict[str, Any]:
    """Return settings with a limit on calls."""
    return {
        "upstreams": {"openai": {"url": upstream, "provider": "openai"}, "anthropic": {"url": upstream, "provider": "anthropic"}},
        "routes": [{"prefix": f"/{name}/", "upstream": name} for name in ("openai", "anthropic")],
        "features": {**FEATURES, "limits": True},
        "redis": {"url": url, "timeout": f"{timeout_s}s"},
        "limits": {"rates": {"tenants": {WHO.tenant: {"requests": rate}}}},
    }


def compose_racers(count: int = RACERS) -> list[bytes]:
    """Return calls of one tenant, every other pair of them in Anthropic's form."""
    fields = [("x-sidecar-tenant", WHO.tenant), ("x-api-key", WHO.credential), ("anthropic-version", "2023-06-01")]
    messages = compose(MESSAGES, ANTHROPIC.request, fields=fields)
    return [compose_chat(f"Race {number}?", WHO) if number % 4 < 2 else messages for number in range(count)]


def check_refusals(answers: Sequence[Answer], limit: int) -> list[Answer]:
    """Return those that were refused by a limit, each as its provider would: with when to come again, and what is left."""
    refused = [answer for answer in answers if answer.status != 200]
    for number, answer in enumerate(answers):
        assert answer.whole
        if answer.status == 200:
            continue
        assert answer.status == 429 and answer.field("x-sidecar-error") == "rate_limited"
        assert 1 <= int(answer.field("retry-after") or 0) <= WINDOW_S + 1
        told = json.loads(bytes(answer.body))
        if number % 4 < 2:
            assert answer.field("x-ratelimit-limit-requests") == str(limit)
            assert answer.field("x-ratelimit-remaining-requests") == "0"
            assert re.fullmatch(r"(\d+h)?(\d+m)?\d+(s|ms)", answer.field("x-ratelimit-reset-requests") or "")
            assert told["error"]["message"] and "type" not in told
        else:
            assert answer.field("anthropic-ratelimit-requests-limit") == str(limit)
            assert answer.field("anthropic-ratelimit-requests-remaining") == "0"
            assert re.fullmatch(r"\d{4}-\d\d-\d\dT\d\d:\d\d:\d\dZ", answer.field("anthropic-ratelimit-requests-reset") or "")
            assert told["type"] == "error" and told["error"]["type"] == "rate_limit_error"
    return refused


async def count_late(both: Sidecars) -> float:
    """Return how many commands Redis did not answer in time."""
    return sum(each[f"shared_commands_total{{{outcome}}}"] for each in await both.read() for outcome in LATE)


@pytest.mark.parametrize("timeout_s", [2.0, 0.05])
async def test_racers_on_one_limit(witness: Witness, tmp_path: Path, timeout_s: float) -> None:
    """500 at once: as many as the limit says; where Redis is late for some, never more than the limit for each sidecar."""
    with run_redis(tmp_path) as server:
        settings = settle(server.url, witness.url, timeout_s, per_minute=LIMIT)
        async with run_sidecars(tmp_path, witness.url, settings, settings) as both:
            began = time.monotonic()
            answers = await both.race(compose_racers())
            took_s = time.monotonic() - began
            refused = check_refusals(answers, LIMIT)
            late = await count_late(both)
            through = RACERS - len(refused)
            print(f"{through} of {RACERS} in {took_s:.2f} s, {late:.0f} commands late")
            assert took_s < WINDOW_S / 2, "the machine is too slow for this"
            assert through == len(witness.visits)
            assert timeout_s < 1 or not late
            again = await both.race(compose_racers(8))
            through += 8 - len(check_refusals(again, LIMIT))
            late += await count_late(both)
            assert LIMIT <= through <= (LIMIT if not late else 2 * LIMIT)
            if WAITS:
                await asyncio.sleep(max(int(answer.field("retry-after") or 0) for answer in again))
                assert [answer.status for answer in await both.race(compose_racers(2))] == [200, 200]


async def test_racers_on_a_bucket(witness: Witness, tmp_path: Path) -> None:
    """500 at once: the burst, and what its pace gives meanwhile; who comes again when it was told to gets through, at either sidecar."""
    pace, burst = 10, 60
    with run_redis(tmp_path) as server:
        settings = settle(server.url, witness.url, 2.0, per_second=pace, burst=burst)
        async with run_sidecars(tmp_path, witness.url, settings, settings) as both:
            began = time.monotonic()
            answers = await both.race(compose_racers())
            took_s = time.monotonic() - began
            refused = check_refusals(answers, burst)
            through = RACERS - len(refused)
            print(f"{through} of {RACERS} in {took_s:.2f} s")
            assert burst <= through <= burst + math.ceil(pace * took_s)
            assert not await count_late(both)
            for side in (0, 1):
                while (answer := await fetch(both.urls[side], compose_chat("Is it full?", WHO))).status == 200:
                    pass
                await asyncio.sleep(int(answer.field("retry-after") or 0))
                assert (await fetch(both.urls[side], compose_chat("Is it empty?", WHO))).status == 200


SCRIPT = {"tokens": 12}


def compose_spender(prompt: str, *, ttft_ms: float, **more: Any) -> bytes:
    """Return a call whose answer is of 12 tokens."""
    body = {"model": "sim-small", "messages": [{"role": "user", "content": prompt}], **more}
    fields = [("x-sidecar-tenant", WHO.tenant), ("Authorization", f"Bearer {WHO.credential}"), ("x-sim-seed", prompt),
              ("x-sim-script", json.dumps({**SCRIPT, "ttft_ms": ttft_ms}))]  # fmt: skip
    return compose(CHAT, body, fields=fields)


async def ask(url: str) -> Any:
    """Return what is told there, as JSON."""
    async with httpx.AsyncClient() as client:
        return (await client.get(url)).raise_for_status().json()


async def read_costs(provider: str) -> list[float]:
    """Return the US dollars of each chat in the provider's own ledger."""
    return [entry["cost_usd"] for entry in await ask(f"{provider}/_sim/ledger") if entry["path"].endswith("/completions")]


def to_nano(usd: float) -> int:
    """Return nano-dollars: every price of the simulated provider is a multiple of one."""
    return round(usd * 1e9)


async def until_settled(both: Sidecars, redis_url: str, usd: float) -> None:
    """Wait until all accounts say the same: both sidecars' and Redis', that just this is spent by both, and nothing is reserved."""
    async with asyncio.timeout(10):
        while True:
            told = {(to_nano(each["spent_usd"]), to_nano(each["reserved_usd"])) for side in both.sides for each in await read_budgets(side)}
            if told | await read_hashes(redis_url) == {(to_nano(usd), 0)}:
                return
            await asyncio.sleep(0.1)


async def read_budgets(side: RunningSidecar) -> list[Any]:
    """Return the tenant's budgets, as a sidecar tells them."""
    told = [each for each in (await ask(f"{side.admin_url}/api/budgets"))["budgets"] if each["tenant"] == WHO.tenant]
    assert [each["window"] for each in told] == ["day", "month"]
    return told


async def read_hashes(url: str) -> set[tuple[int, int]]:
    """Return of each sum in Redis what all sidecars have spent and reserved, in nano-dollars."""
    found = set()
    async with redis.asyncio.from_url(url) as client:
        async for key in client.scan_iter("*budgets*"):
            fields = [list(map(int, value.split())) for value in (await client.hgetall(key)).values()]
            assert len(fields) == 2
            found.add((sum(spent for _, spent, _ in fields), sum(reserved for _, _, reserved in fields)))
    return found


def check_spent(answers: Sequence[Answer], through: int) -> None:
    """Find so many let through, and the others refused by the budget, until it begins anew."""
    assert sum(answer.status == 200 for answer in answers) == through
    for answer in answers:
        assert answer.whole
        if answer.status != 200:
            assert answer.status == 429 and answer.field("x-sidecar-error") == "budget_spent"
            assert 0 < int(answer.field("retry-after") or 0) <= 32 * 86_400


def set_budget(url: str, usd: float, **more: Any) -> dict[str, Any]:
    """Return settings with a budget."""
    return {
        "features": {**FEATURES, "budgets": True},
        "redis": {"url": url, "timeout": "2s"},
        "budgets": {"tenants": {WHO.tenant: {"day": usd, "month": 10 * usd}}, **more},
    }


BUDGET_USD = 0.0012  # a hundred reservations of 20 tokens


async def test_racers_on_one_budget(provider: str, tmp_path: Path) -> None:
    """500 at once, each with more reserved than it costs: not a nano-dollar too much is spent, and all accounts say the same."""
    with run_redis(tmp_path) as server:
        settings = set_budget(server.url, BUDGET_USD)
        async with run_sidecars(tmp_path, provider, settings, settings) as both:
            answers = await both.race([compose_spender(f"Race {number}?", ttft_ms=400, max_tokens=20) for number in range(RACERS)])
            costs = await read_costs(provider)
            usd = sum(costs)
            print(f"{len(costs)} of {RACERS}, {usd:.7f} of {BUDGET_USD} USD")
            check_spent(answers, len(costs))
            assert 0.5 * BUDGET_USD < usd <= BUDGET_USD
            await until_settled(both, server.url, usd)
            assert not await count_late(both)


async def test_racers_that_cost_more_than_they_reserve(provider: str, tmp_path: Path) -> None:
    """500 calls, up to 40 at a time, of which only the first token is reserved: no more is overspent than what those 40 cost."""
    workers = 40
    with run_redis(tmp_path) as server:
        settings = set_budget(server.url, BUDGET_USD, output_tokens=1)
        async with run_sidecars(tmp_path, provider, settings, settings) as both:

            async def work(worker: int) -> list[Answer]:
                numbers = range(worker, RACERS, workers)
                return [await fetch(both.urls[worker % 2], compose_spender(f"Race {number}?", ttft_ms=200)) for number in numbers]

            answers = [answer for each in await asyncio.gather(*map(work, range(workers))) for answer in each]
            costs = await read_costs(provider)
            usd = sum(costs)
            print(f"{len(costs)} of {RACERS}, {usd:.7f} of {BUDGET_USD} USD, in flight at most {workers * max(costs):.7f}")
            check_spent(answers, len(costs))
            assert BUDGET_USD - max(costs) <= usd <= BUDGET_USD + workers * max(costs)
            await until_settled(both, server.url, usd)
