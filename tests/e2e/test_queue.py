"""Calls that find no room: they wait in turn, the urgent ones first, and who would wait too long is told so at once."""

import asyncio
import json
import time
from typing import Any, Final

import pytest

from sidecar.config import Limits, Queue
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.faults import script_good
from tests.rig.pools import PoolSide, pair, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME, TALKS, Talk
from tests.rig.upstream import Script
from tests.rig.upstream import Upstream as Told

OPENAI: Final = BY_NAME["openai_whole"]
WORK_S: Final = 0.25


def works(upstream: Told, word: str = "first", talk: Talk = OPENAI, seconds: float = WORK_S) -> None:
    """Let an upstream answer after some time."""
    steps: list[Any] = [seconds, *script_good(talk, word).steps]
    upstream.otherwise = lambda visit: Script(steps)


async def ask(side: PoolSide, route: str = "/only", talk: Talk = OPENAI, **wishes: str) -> Answer:
    """Make one call."""
    fields = [(f"x-sidecar-{name}", value) for name, value in wishes.items()]
    return await fetch(side.url, compose(route + talk.path, talk.request, fields=fields))


@pytest.mark.parametrize("bound", ["upstream", "total"])
async def test_calls_wait_for_room(bound: str) -> None:
    """No more than so many are at the upstream at once, and every one of them is answered in the end."""
    settings: dict[str, Any] = {"more": {"concurrency": 2}} if bound == "upstream" else {"limits": Limits(concurrency=2)}
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, **settings)) as side:
        works(upstream)
        began = time.monotonic()
        calls = [asyncio.create_task(ask(side)) for _ in range(8)]
        await side.until(lambda scrape: scrape.sum("queued_requests") == 6)
        answers = await asyncio.gather(*calls)
        lasted = time.monotonic() - began
        scrape = await side.settle()
        visits = sorted(upstream.visits, key=lambda visit: visit.begun_at)
    assert {answer.status for answer in answers} == {200}
    assert 4 * WORK_S <= lasted < 4 * WORK_S + 0.5
    for earlier, later in zip(visits, visits[2:], strict=False):
        assert earlier.ended_at is not None and later.begun_at >= earlier.ended_at, "three at once"
    assert scrape.sum("queue_wait_seconds_count") >= 6
    assert scrape.sum("shed_requests_total") == 0


async def test_a_pools_other_upstream_is_room() -> None:
    """Nobody waits while somebody has room."""
    one, two = {"concurrency": 1}, {"concurrency": 4}
    async with upstreams_of(2) as upstreams, running_settings(pair(*upstreams, one=one, two=two)) as side:
        works(upstreams[0], "first")
        works(upstreams[1], "second")
        answers = await asyncio.gather(*(ask(side, "/pool") for _ in range(5)))
        scrape = await side.settle()
        assert [len(upstream.visits) for upstream in upstreams] == [1, 4]
    assert {answer.status for answer in answers} == {200}
    assert scrape.sum("queue_wait_seconds_count") == 0


@pytest.mark.parametrize("talk", TALKS, ids=lambda talk: talk.name)
async def test_who_finds_the_queue_full_is_told_at_once(talk: Talk) -> None:
    """503 with Retry-After in the caller's form, within milliseconds; it is no failure of the upstream."""
    settings: dict[str, Any] = {"more": {"concurrency": 1}, "queue": Queue(size=1, wait=5)}
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, provider=talk.provider, **settings)) as side:
        works(upstream, talk=talk, seconds=0.4)
        calls = [asyncio.create_task(ask(side, talk=talk)) for _ in range(2)]
        await side.until(lambda scrape: scrape.sum("queued_requests"))
        began = time.monotonic()
        shed = await ask(side, talk=talk)
        assert time.monotonic() - began < 0.1
        assert {answer.status for answer in await asyncio.gather(*calls)} == {200}
        scrape = await side.settle()
        assert len(upstream.visits) == 2
    assert (shed.status, shed.field("x-sidecar-error"), shed.whole) == (503, "overloaded", True)
    assert int(shed.field("retry-after") or "0") >= 1
    assert "error" in json.loads(shed.body)
    assert scrape.count_by("requests_total", "ending") == {"completed": 2, "overloaded": 1}
    assert scrape.count_by("shed_requests_total", "reason") == {"queue_full": 1}
    assert scrape.sum("circuit_breaker_transitions_total") == 0


async def test_the_urgent_go_first() -> None:
    """High before medium before low, and each in the order in which they came."""
    order = ["low", "medium", "high", "low", "high", "medium"]
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, more={"concurrency": 1})) as side:
        works(upstream, seconds=1.0)
        calls = [asyncio.create_task(ask(side))]
        await side.until(lambda scrape: scrape.sum("in_flight_requests") == 1)
        ended: list[str] = []

        async def wait(number: int, urgency: str) -> None:
            await ask(side, urgency=urgency)
            ended.append(f"{urgency} {number}")

        for number, urgency in enumerate(order):
            calls.append(asyncio.create_task(wait(number, urgency)))  # type: ignore[arg-type]
            await side.until(lambda scrape, number=number: scrape.sum("queued_requests") == number + 1)  # type: ignore[misc]
            works(upstream, seconds=0.05)
        await asyncio.gather(*calls)
        await side.settle()
    assert ended == ["high 2", "high 4", "medium 1", "medium 5", "low 0", "low 3"]


async def test_who_leaves_the_queue_takes_nobodys_place() -> None:
    """A caller that hangs up while it waits is never sent on, and those behind it move up."""
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, more={"concurrency": 1})) as side:
        works(upstream, seconds=0.3)
        first = asyncio.create_task(ask(side))
        await side.until(lambda scrape: scrape.sum("in_flight_requests") == 1)
        leaving = [await Caller.connect(side.url) for _ in range(3)]
        for caller in leaving:
            caller.send(compose(f"/only{OPENAI.path}", OPENAI.request))
        await side.until(lambda scrape: scrape.sum("queued_requests") == 3)
        last = asyncio.create_task(ask(side))
        await side.until(lambda scrape: scrape.sum("queued_requests") == 4)
        for caller in leaving:
            caller.leave()
        await side.until(lambda scrape: scrape.sum("queued_requests") == 1)
        assert {answer.status for answer in await asyncio.gather(first, last)} == {200}
        scrape = await side.settle()
        assert len(upstream.visits) == 2
    assert scrape.count_by("requests_total", "ending") == {"completed": 2, "client_gone": 3}


async def test_the_wait_counts_towards_the_deadline() -> None:
    """Who has less time than the queue needs is refused, at once or by its deadline, and never carried beyond it."""
    async with upstreams_of(1) as (upstream,), running_settings(single(upstream, more={"concurrency": 1})) as side:
        works(upstream, seconds=1.0)
        first = asyncio.create_task(ask(side))
        await side.until(lambda scrape: scrape.sum("in_flight_requests") == 1)
        began = time.monotonic()
        refused = await ask(side, timeout="0.3")
        assert time.monotonic() - began < 0.3 * 1.05 + 0.1
        assert (await first).status == 200
        await side.settle()
        assert len(upstream.visits) == 1
    assert (refused.status, refused.field("x-sidecar-error")) in ((503, "overloaded"), (504, "total_timeout"))
