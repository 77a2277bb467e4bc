"""What the admin port tells of where things go."""

import asyncio
import json
from pathlib import Path
from typing import Any

from sidecar.config import Features, Limits, Rate, RateLimits, Rates, Settings, Upstream
from sidecar.core.reckon.signals import SIGNALS
from sidecar.core.reckon.snapshots import HOUR_S
from sidecar.core.reckon.window import Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.trends import Trends
from sidecar.edge.past import Past
from sidecar.exchange import Asked
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record
from tests.edge.test_past import NOON, save

SETTINGS = Settings(
    upstreams={"openai": Upstream("https://api.openai.com", concurrency=2), "idle": Upstream("https://idle")},
    limits=Limits(rates=RateLimits(all=Rates(requests=Rate(per_minute=40.0)))),
    features=Features(limits=True),
)


async def ask(trends: Trends) -> Any:
    """Return the JSON of the path."""
    response = await trends.list_paths()["/api/trends"](web.Request("GET", "/api/trends"))
    return json.loads(response.body)


def fill(window: Window, clock: FakeClock, minutes: int) -> None:
    """Let calls come for some minutes: each minute one more, each a little slower than the minute before."""
    for minute in range(minutes):
        for _ in range(6 + minute // 2):
            window.observe(make_record(accepted=clock.time - 1.0 - minute / 20, ended=clock.time))
        clock.time += 60.0


async def test_an_hour_that_grows_worse_is_told_so() -> None:
    """Latency declines, calls grow towards their limit, calls at once as Little's law has it; nothing is told of what was not measured."""
    clock, flushed = FakeClock(1230.0), list[int]()
    window = Window(clock.now)
    trends = Trends(SETTINGS, window, lambda: flushed.append(1), clock, None)
    fill(window, clock, 40)
    told = await ask(trends)
    live = told["live"]
    assert flushed == [1] and told["history"] is None
    assert (live["stepSeconds"], live["steps"]) == (60, 39)
    assert live["signals"].keys() == {signal.name for signal in SIGNALS}
    latency = live["signals"]["averageLatency"]
    assert (latency["direction"], latency["unit"], latency["points"]) == ("declining", "ms", 39) and 2800 < latency["perHour"] < 3200
    assert live["signals"]["errorRate"]["direction"] == "stable" and live["signals"]["tokensPerSecond"] is None
    rate, place = live["capacity"]
    assert (rate["limit"], rate["most"], rate["used"]) == ("limits.rates.all.requests.per_minute", 2400.0, 1500.0)
    assert 0.9 < rate["reachedInHours"] * rate["growthPerHour"] / 900 < 1.1
    assert place["limit"] == "upstreams.openai.concurrency" and place["share"] == round(25 * 2.95 / 60 / 2, 3)
    assert told["comparison"]["upstreams"].keys() == {"openai"}


async def test_a_sudden_change_is_an_anomaly() -> None:
    """Of the last minutes, with what was usual before."""
    clock = FakeClock(1230.0)
    window = Window(clock.now)
    trends = Trends(Settings(), window, lambda: None, clock, None)
    for minute in range(40):
        for _ in range(6):
            window.observe(make_record(accepted=clock.time - (9.0 if minute == 35 else 1.0 + minute % 3 / 20), ended=clock.time))
        clock.time += 60.0
    told = (await ask(trends))["live"]
    assert {anomaly["signal"] for anomaly in told["anomalies"]} == {"averageLatency", "p95Latency"}
    assert all(anomaly["bad"] and anomaly["comparedWith"] == "before" for anomaly in told["anomalies"])
    assert told["signals"]["averageLatency"]["direction"] == "stable" and told["capacity"] == []


async def test_the_journal_tells_of_days(tmp_path: Path) -> None:
    """Its hours have trends and limits of their own; a window of nothing says nothing."""
    clock = FakeClock(NOON + 900.0)
    for hour in range(96):
        save(tmp_path, NOON - (96 - hour) * HOUR_S, 6 + hour)
    told = await ask(Trends(SETTINGS, Window(clock.now), lambda: None, clock, Past(tmp_path, clock)))
    history = told["history"]
    assert (history["stepSeconds"], history["steps"]) == (HOUR_S, 96)
    assert history["signals"]["averageLatency"]["direction"] == "stable"
    (rate,) = history["capacity"]
    assert rate["used"] == 101.0 and rate["growthPerHour"] == 1.0 and rate["reachedInHours"] is None
    assert set(told["live"]["signals"].values()) == {None} and told["live"]["steps"] == 0
    assert told["comparison"]["upstreams"] == {} and told["live"]["capacity"] == []


async def test_calls_go_on_meanwhile() -> None:
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
    told = await ask(Trends(SETTINGS, window, lambda: None, clock, None))
    task.cancel()
    assert told["comparison"]["upstreams"]["openai"]["requestCount"] == 200 and turns >= 20


async def test_limits_are_those_in_force() -> None:
    """What is foreseen is foreseen by them, of the same calls."""
    clock = FakeClock(1230.0)
    window = Window(clock.now)
    trends = Trends(Settings(), window, lambda: None, clock, None)
    fill(window, clock, 40)
    assert (await ask(trends))["live"]["capacity"] == []
    trends.adopt(SETTINGS)
    assert (await ask(trends))["live"]["capacity"][0]["limit"] == "limits.rates.all.requests.per_minute"
