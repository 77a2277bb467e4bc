"""When everything fails, trying again must not make it worse: attempts against what callers asked for."""

import asyncio
import math
import time
from collections import Counter
from typing import Final, NamedTuple

import pytest

from sidecar.config import Breaker, Features, Retries, Settings, Strategy
from tests.rig.caller import Answer, compose, fetch
from tests.rig.faults import script_error
from tests.rig.pools import Scrape, pair, running_settings, upstreams_of
from tests.rig.talks import BY_NAME
from tests.rig.upstream import End, Script
from tests.rig.upstream import Upstream as Told

CALLS: Final = 300
LASTING_S: Final = 2.5
EXPIRY_S: Final = 1.0
RETRIES: Final = Retries(base=0.01, cap=0.05, budget_expiry=EXPIRY_S)
TALK: Final = BY_NAME["openai_whole"]
FAILURES: Final = {
    "500": script_error(TALK, 500), "503": script_error(TALK, 503), "429": script_error(TALK, 429), "reset": Script([], End.RST),
}  # fmt: skip


class Run(NamedTuple):
    """What became of many calls."""

    lasted_s: float
    statuses: Counter[int]
    degraded: Counter[str]  # as callers were told
    reached: int  # requests that came to either upstream
    scrape: Scrape

    @property
    def bound(self) -> float:
        """So many attempts at most: a fifth more than there were calls, and ten each second; in each EXPIRY_S all ten may come at once."""
        return 1.2 * CALLS + 10 * math.ceil(self.lasted_s / EXPIRY_S) * EXPIRY_S


async def run_calls(settings: Settings, upstreams: list[Told]) -> Run:
    """Make CALLS calls, evenly over LASTING_S, whether those before have ended or not."""
    async with running_settings(settings) as side:
        request = compose(f"/pool{TALK.path}", TALK.request)
        began = time.monotonic()

        async def ask(number: int) -> Answer:
            await asyncio.sleep(began + LASTING_S * number / CALLS - time.monotonic())
            return await fetch(side.url, request)

        answers = await asyncio.gather(*map(ask, range(CALLS)))
        lasted_s = time.monotonic() - began
        scrape = await side.settle()
    statuses = Counter(answer.status for answer in answers)
    degraded = Counter(answer.field("x-sidecar-degraded") or "" for answer in answers)
    return Run(lasted_s, statuses, degraded, sum(len(upstream.visits) for upstream in upstreams), scrape)


@pytest.mark.parametrize("repeats", [False, True], ids=["failover", "failover and retries"])
@pytest.mark.parametrize("what", FAILURES)
async def test_attempts_are_bounded_where_all_fail(what: str, repeats: bool) -> None:
    """With nothing but the budget to hold them back, repetitions stay within it, and each call ends with the upstream's own failure."""
    features = Features(probes=False, breakers=False, retries=repeats)
    async with upstreams_of(2) as upstreams:
        for upstream in upstreams:
            upstream.otherwise = lambda visit: FAILURES[what]
        settings = pair(*upstreams, strategy=Strategy.ROUND_ROBIN, features=features, retries=RETRIES)
        run = await run_calls(settings, upstreams)
    attempts = run.scrape.sum("attempts_total")
    print(f"{what}: {run.reached} attempts of {CALLS} calls in {run.lasted_s:.1f} s, bound {run.bound:.0f}, {dict(run.statuses)}")
    assert run.statuses == {502 if what == "reset" else int(what): CALLS}
    assert run.reached == attempts <= run.bound
    assert run.reached > CALLS, "nothing was tried again"
    assert run.scrape.sum("retry_budget_exhausted_total") > 0
    again = run.scrape.sum("failovers_total") + run.scrape.sum("retries_total")
    assert again == run.reached - CALLS


async def test_a_dead_pool_is_left_alone() -> None:
    """With breakers each upstream is asked a few times, then one call a second; who is refused is told when to come again."""
    async with upstreams_of(2) as upstreams:
        for upstream in upstreams:
            upstream.otherwise = lambda visit: FAILURES["500"]
        run = await run_calls(pair(*upstreams, strategy=Strategy.ROUND_ROBIN, breaker=Breaker(consecutive=5)), upstreams)
    print(f"{run.reached} attempts of {CALLS} calls, {dict(run.statuses)}")
    assert run.reached == run.scrape.sum("attempts_total") <= 2 * 7 + math.ceil(run.lasted_s)
    assert run.statuses.keys() == {500, 503}
    assert run.scrape.sum("requests_total", ending="unavailable") == run.statuses[503] > CALLS / 2
    assert 1 <= run.scrape.sum("degraded_requests_total", step="emergency") == run.degraded["emergency"] <= math.ceil(run.lasted_s)
