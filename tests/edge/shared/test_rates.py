"""Shared limits, with Redis played: what it is asked, what is made of its answer, and of none. The script itself runs in tests/e2e."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sidecar.config import Rate, RateLimits, Rates
from sidecar.core.admit.rates import REQUESTS, TOKENS, Left
from sidecar.edge.shared.names import mark_account
from sidecar.edge.shared.rates import RATES, RedisRates
from sidecar.ports import Script

SETTINGS = RateLimits(
    all=Rates(Rate(per_day=1000)), tenant=Rates(Rate(per_second=2, burst=5), Rate(per_minute=100)), tenants={"free": Rates()}
)


class PlayedRunner:
    """A Redis that answers with what it is given."""

    def __init__(self, answer: list[Any] | None = None) -> None:
        self.answer = answer
        self.is_away = False
        self.asked: list[tuple[Script, list[str], list[Any]]] = []
        self.gate: asyncio.Event | None = None

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        self.asked.append((script, list(keys), list(args)))
        if self.gate is not None:
            await self.gate.wait()
        return self.answer


def fail() -> None:
    """What is dropped must not be."""
    raise AssertionError("a correction was dropped")


async def test_one_call_asks_for_all_its_limits_at_once() -> None:
    """All keys in one slot of a cluster, each with what it is; an account with no limits of its own meets those of all."""
    runner = PlayedRunner()
    rates = RedisRates(SETTINGS, runner, "pre", fail)
    assert await rates.admit("a", 7) is None
    assert await rates.admit("a", 0) is None
    assert await rates.admit("free", 7) is None
    (script, keys, args), (_, without, _), (_, shared, _) = runner.asked
    assert script is RATES
    assert keys == [
        *(f"{{pre:limits}}:1:{limit}:{mark_account('a')}" for limit in ("requests_second", "tokens_minute")),
        "{pre:limits}:1:all_requests_day",
    ]
    assert args == ["admit", 1, 7, 0, "bucket", "0", "5", "2", "window", "1", "100", "1.0", "window", "0", "1000", "1440.0"]
    assert without == [keys[0], keys[2]]
    assert shared == [keys[2]]


async def test_what_it_answers() -> None:
    """The limit with the longest wait, what is left, and the time by which it was counted."""
    runner = PlayedRunner([b"1700000000.25", b"0", b"4", b"0.5", b"12.5", b"3", b"60", b"2", b"10", b"inf"])
    verdict = await RedisRates(SETTINGS, runner, "pre", fail).admit("a", 7)
    assert verdict is not None
    assert (verdict.limit, verdict.retry_after_s, verdict.at) == ("tokens_minute", 12.5, 1_700_000_000.25)
    assert verdict.left == (Left(REQUESTS, 1000, 10.0, float("inf")), Left(TOKENS, 100, 3.0, 60.0))


@pytest.mark.parametrize("answer", [None, [], [b"1"], [b"x"] * 10, [None] * 10, [[]] * 10, [b"1"] * 11])
async def test_an_answer_that_is_none(answer: list[Any] | None) -> None:
    """Is as if it were away."""
    assert await RedisRates(SETTINGS, PlayedRunner(answer), "pre", fail).admit("a", 7) is None


async def test_away_or_nothing_to_ask() -> None:
    """Then it is not asked at all."""
    runner, dropped = PlayedRunner(), list[int]()
    runner.is_away = True
    rates = RedisRates(SETTINGS, runner, "pre", lambda: dropped.append(1))
    assert await rates.admit("a", 7) is None
    rates.correct("a", 7, 5, 1.0)
    assert dropped == [1]
    runner.is_away = False
    assert await RedisRates(RateLimits(), runner, "pre", fail).admit("a", 7) is None
    rates.correct("free", 7, 5, 1.0)
    await asyncio.sleep(0)
    assert runner.asked == []


async def test_corrections_go_out_in_the_background() -> None:
    """To the limits on tokens only, with the difference and when it was counted."""
    runner = PlayedRunner()
    RedisRates(SETTINGS, runner, "pre", fail).correct("a", 100, 30, 1_700_000_000.123456)
    assert runner.asked == []
    await asyncio.sleep(0)
    ((_, keys, args),) = runner.asked
    assert keys == [f"{{pre:limits}}:1:tokens_minute:{mark_account('a')}"]
    assert args == ["correct", 0, -70, "1700000000.123456", "window", "1", "100", "1.0"]


async def test_corrections_are_bounded() -> None:
    """Those beyond the bound are dropped and told; when some are done there is room again."""
    runner, dropped = PlayedRunner(), list[int]()
    runner.gate = asyncio.Event()
    rates = RedisRates(SETTINGS, runner, "pre", lambda: dropped.append(1))
    for _ in range(1100):
        rates.correct("a", 100, 30, 1.0)
    assert len(dropped) == 1100 - 1024
    runner.gate.set()
    for _ in range(3):
        await asyncio.sleep(0)
    rates.correct("a", 100, 30, 1.0)
    await asyncio.sleep(0)
    assert (len(dropped), len(runner.asked)) == (1100 - 1024, 1025)


async def test_other_limits_are_asked_by() -> None:
    """Under the same names, so that what was counted goes on; those that are gone are not asked about."""
    runner = PlayedRunner()
    rates = RedisRates(SETTINGS, runner, "pre", fail)
    await rates.admit("a", 7)
    rates.adopt(RateLimits(tenant=Rates(tokens=Rate(per_minute=50)), all=Rates(Rate(per_day=9))))
    await rates.admit("a", 7)
    (_, before, _), (_, after, args) = runner.asked
    assert after == before[1:]
    assert args[4:] == ["window", "1", "50", "1.0", "window", "0", "9", "1440.0"]
