"""What a sidecar knows of its own calls, put together."""

import asyncio
import json
import random
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Alerts, Calls, Features, Journal, Limits, Log, Settings
from sidecar.core.admit.spending_sums import Balance
from sidecar.edge.inbound import web
from sidecar.edge.journal import read_snapshots
from sidecar.edge.tasks import end_all
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ConfigError
from sidecar.exchange import Ending
from sidecar.insight import Insight, Sources
from sidecar.ports import Clock
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record
from tests.edge.virtual import VirtualLoop, virtually


def make(settings: Settings, clock: Clock, balances: tuple[Balance, ...] = ()) -> Insight:
    """Return the readers of a sidecar that has nothing else."""
    meter = Meter(Limits(), (), version="1", python="3")
    sources = Sources(
        dict, lambda present: {}, lambda *said: None, lambda now: (), lambda: (balances, frozenset()), random.random
    )  # fmt: skip
    return Insight(settings, clock, meter, EventLog("error"), sources)


async def ask(insight: Insight, path: str) -> Any:
    """Return the JSON of a path."""
    response = await insight.paths[path](web.Request("GET", path))
    return json.loads(response.body)


async def test_a_record_is_told_by_every_path_at_once() -> None:
    """Statistics are counted in batches, but whoever asks gets them all."""
    clock = FakeClock()
    insight = make(Settings(), clock)
    for sink in insight.sinks:
        sink.observe(make_record(ended=clock.now(), cache="miss"))
    assert (await ask(insight, "/api/performance"))["metrics"]["requestCount"] == 1
    assert [point[1] for point in (await ask(insight, "/api/live"))["points"]] == [1]
    assert (await ask(insight, "/api/performance"))["cache"]["hitRate"] is None
    assert {"/health", "/api/trends"} <= insight.paths.keys()
    assert insight.changes.keys() == {"/api/performance/reset", "/-/log-level", "/api/events", "/api/feedback"}


@virtually
async def test_alerts_are_judged_from_the_start_to_the_end() -> None:
    """Of calls, budgets and memory, whoever makes them known; told under their path."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    insight = make(Settings(), loop, (Balance("acme", "day", "2026-01-02", 9.0, 0.0, 10.0, True),))
    assert await ask(insight, "/api/alerts") == {"active": [], "past": [], "webhook": None}
    insight.start()
    for _ in range(200):
        await asyncio.sleep(1)
        for sink in insight.sinks:
            sink.observe(make_record(ended=loop.now(), accepted=loop.now() - 1, ending=Ending.RESET))
    await insight.stop()
    told = await ask(insight, "/api/alerts")
    assert [(alarm["alert"], alarm["labels"]) for alarm in told["active"]] == [
        ("LLMHighErrorRatio", {"upstream": "openai"}), ("LLMBudgetNearlySpent", {"tenant": "acme", "window": "day"}),
    ]  # fmt: skip
    await asyncio.sleep(3600)
    assert await ask(insight, "/api/alerts") == told
    await end_all(1.0)


async def test_the_journal_is_there_where_it_has_a_directory(tmp_path: Path) -> None:
    """It has every call that was told, at the latest when the sidecar stops; without a directory there is none."""
    clock = FakeClock()
    without = make(Settings(), clock)
    without.start()
    assert without.describe_journal() is None
    await without.stop()
    insight = make(Settings(journal=Journal(directory=str(tmp_path))), clock)
    insight.start()
    for sink in insight.sinks:
        sink.observe(make_record())
    await insight.stop()
    state = insight.describe_journal()
    assert state is not None and (state.problem, state.saved) == (None, clock.now())
    snapshots, _ = read_snapshots(tmp_path, 0)
    assert {whose: tally.requests for snapshot in snapshots for whose, tally in snapshot.calls.items()} == {"openai/gpt-4o": 1}


def test_a_webhook_needs_its_files(tmp_path: Path) -> None:
    """A file without an address in it stops the start, and is not quoted."""
    (tmp_path / "url").write_text("hunter2")
    with pytest.raises(ConfigError, match=r"alerts\.webhook_file") as raised:
        make(Settings(alerts=Alerts(str(tmp_path / "url"))), FakeClock())
    assert "hunter2" not in str(raised.value)


async def adopt(insight: Insight, settings: Settings) -> None:
    """Have a sidecar's readers go by other settings."""
    insight.adopt(await asyncio.to_thread(insight.prepare, settings))


async def test_what_is_known_stays_under_other_settings(tmp_path: Path) -> None:
    """Statistics and alerts go on; lines of calls, the level, ceilings and pools follow; an operator's level stays until it is changed."""
    clock, log = FakeClock(), EventLog("error")
    meter = Meter(Limits(), (), version="1", python="3")
    sources = Sources(dict, lambda present: {}, lambda *said: None, lambda now: (), lambda: ((), frozenset()), random.random)
    insight = Insight(Settings(log=Log(level="error"), features=Features(cache=True)), clock, meter, log, sources)
    before = insight.sinks
    for sink in before:
        sink.observe(make_record(ended=clock.now(), cache="miss"))
    log.set_level("debug")
    await adopt(insight, Settings(log=Log(level="error", calls=Calls.OFF)))
    assert (len(before), len(insight.sinks), log.level) == (4, 3, "debug")
    for sink in insight.sinks:
        sink.observe(make_record(ended=clock.now(), cache="miss"))
    told = await ask(insight, "/api/performance")
    assert (told["metrics"]["requestCount"], told["cache"]["misses"]) == (2, 1)
    await adopt(insight, Settings(log=Log(level="warning", calls=Calls.ALL)))
    assert (len(insight.sinks), log.level) == (4, "warning")
    lines = insight.sinks[-1]
    await adopt(insight, Settings(log=Log(level="warning", calls=Calls.ALL)))
    assert insight.sinks[-1] is lines, "what it holds back would be forgotten"


async def test_a_webhook_comes_changes_and_goes(tmp_path: Path) -> None:
    """With what waits for the former address; a file that is wrong changes nothing."""
    insight = make(Settings(), FakeClock())
    insight.start()
    for name in ("one", "two"):
        (tmp_path / name).write_text(f"http://127.0.0.1:9/{name}")
    told = []
    for alerts in (Alerts(str(tmp_path / "one")), Alerts(str(tmp_path / "one")), Alerts(str(tmp_path / "two"))):
        await adopt(insight, Settings(alerts=alerts))
        told.append(insight._evaluation.webhook)
    assert told[0] is told[1] is not None and told[1] is not told[2] is not None
    (tmp_path / "one").write_text("hunter2")
    with pytest.raises(ConfigError):
        insight.prepare(Settings(alerts=Alerts(str(tmp_path / "one"))))
    assert (await ask(insight, "/api/alerts"))["webhook"] == {"sent": 0, "waiting": 0, "lost": 0}
    await adopt(insight, Settings())
    assert (await ask(insight, "/api/alerts"))["webhook"] is None
    await insight.stop()
    await end_all(1.0)
