"""What a sidecar knows of its own calls, put together."""

import json
from pathlib import Path

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sidecar.config import Journal, Limits, Settings
from sidecar.edge.journal import read_snapshots
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.insight import Insight, Sources
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record

SOURCES = Sources(dict, lambda present: {}, lambda *said: None, lambda now: [])


async def test_a_record_is_told_by_every_path_at_once() -> None:
    """Statistics are counted in batches, but whoever asks gets them all."""
    clock = FakeClock()
    meter = Meter(Limits(), (), version="1", python="3")
    insight = Insight(Settings(), clock, meter, EventLog("error"), SOURCES)
    for sink in insight.sinks:
        sink.observe(make_record(ended=clock.now()))
    response = await insight.paths["/api/performance"](make_mocked_request("GET", "/api/performance"))
    assert isinstance(response, web.Response) and isinstance(response.body, bytes)
    assert json.loads(response.body)["metrics"]["requestCount"] == 1
    response = await insight.paths["/api/live"](make_mocked_request("GET", "/api/live"))
    assert isinstance(response, web.Response) and isinstance(response.body, bytes)
    assert [point[1] for point in json.loads(response.body)["points"]] == [1]
    assert {"/health", "/api/trends"} <= insight.paths.keys()
    assert insight.changes.keys() == {"/api/performance/reset", "/-/log-level", "/api/events", "/api/feedback"}


async def test_the_journal_is_there_where_it_has_a_directory(tmp_path: Path) -> None:
    """It has every call that was told, at the latest when the sidecar stops; without a directory there is none."""
    clock = FakeClock()
    meter = Meter(Limits(), (), version="1", python="3")
    without = Insight(Settings(), clock, meter, EventLog("error"), SOURCES)
    without.start()
    assert without.describe_journal() is None
    await without.stop()
    insight = Insight(Settings(journal=Journal(directory=str(tmp_path))), clock, meter, EventLog("error"), SOURCES)
    insight.start()
    for sink in insight.sinks:
        sink.observe(make_record())
    await insight.stop()
    state = insight.describe_journal()
    assert state is not None and (state.problem, state.saved) == (None, clock.now())
    snapshots, _ = read_snapshots(tmp_path, 0)
    assert {whose: tally.requests for snapshot in snapshots for whose, tally in snapshot.calls.items()} == {"openai/gpt-4o": 1}
