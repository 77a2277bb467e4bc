"""What the admin port tells of the last hour."""

import asyncio
import json
from typing import Any

from sidecar.core.reckon.window import Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.statistics import Statistics
from sidecar.exchange import Asked
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record


def make(window: Window, clock: FakeClock, flushed: list[int] | None = None) -> Statistics:
    """Return statistics over a window."""
    return Statistics(window, lambda: None if flushed is None else flushed.append(1), clock, lambda: {"hot": (2, 100), "warm": (3, 900)})


def read(response: web.Response) -> Any:
    """Return what an answer holds."""
    return json.loads(response.body)


async def ask(statistics: Statistics, path: str) -> Any:
    """Return the JSON of a path."""
    return read(await statistics.list_paths()[path](web.Request("GET", path)))


async def test_what_has_ended_is_told_and_a_reset_forgets_it() -> None:
    """Records that are still on their way are counted first, before a reset, too."""
    clock, flushed = FakeClock(), list[int]()
    window = Window(clock.now)
    statistics = make(window, clock, flushed)
    window.observe(make_record(ended=clock.now()))
    told = await ask(statistics, "/api/performance")
    assert (told["metrics"]["requestCount"], told["cache"]["size"]) == (1, 5)
    assert read(statistics.list_changes()["/api/performance/reset"](b"")) == {"reset": True}
    assert (await ask(statistics, "/api/performance"))["metrics"]["requestCount"] == 0
    assert len(flushed) == 3


async def test_the_process_is_told_of_too() -> None:
    """Memory, levels of the cache, uptime, beside the same performance."""
    clock = FakeClock()
    statistics = make(Window(clock.now), clock)
    clock.time += 90.0
    told = await ask(statistics, "/debug/metrics")
    assert told.keys() == {"performance", "memory", "cache", "uptime"}
    assert told["cache"] == {"hot": {"entries": 2, "bytes": 100}, "warm": {"entries": 3, "bytes": 900}}
    assert told["memory"]["rssBytes"] > 1_000_000 and told["uptime"] == {"seconds": 90.0}


async def test_calls_go_on_while_it_is_added_up() -> None:
    """Adding up many gives the event loop back in between, and is not upset by calls that end meanwhile."""
    clock = FakeClock()
    window = Window(clock.now)
    for number in range(200):
        window.observe(make_record(ended=clock.now(), asked=Asked(model=f"m{number}")))
    turns = 0

    async def go_on() -> None:
        nonlocal turns
        while True:
            await asyncio.sleep(0)
            turns += 1
            window.observe(make_record(ended=clock.now() + turns * 20, asked=Asked(model=f"new{turns}")))

    task = asyncio.create_task(go_on())
    told = await ask(make(window, clock), "/api/performance")
    task.cancel()
    assert told["metrics"]["requestCount"] == 200 and turns >= 20
