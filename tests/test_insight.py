"""What a sidecar knows of its own calls, put together."""

import json
import random

from aiohttp import web
from aiohttp.test_utils import make_mocked_request

from sidecar.config import Limits, Settings
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.insight import Insight
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record


async def test_a_record_is_told_by_every_path_at_once() -> None:
    """Statistics are counted in batches, but whoever asks gets them all."""
    clock = FakeClock()
    meter = Meter(Limits(), (), version="1", python="3")
    insight = Insight(Settings(), clock, meter, EventLog("error"), dict, lambda now: (), lambda: ((), frozenset()), random.random)
    for sink in insight.sinks:
        sink.observe(make_record(ended=clock.now()))
    response = await insight.paths["/api/performance"](make_mocked_request("GET", "/api/performance"))
    assert isinstance(response, web.Response) and isinstance(response.body, bytes)
    assert json.loads(response.body)["metrics"]["requestCount"] == 1
    assert insight.changes.keys() == {"/api/performance/reset"}
