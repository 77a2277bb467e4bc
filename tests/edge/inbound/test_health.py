"""The path that tells how a sidecar stands."""

import asyncio
import json
from typing import Any

from sidecar.core.reckon.health import Check, Status
from sidecar.core.reckon.moments import Present, show_wall
from sidecar.edge.inbound import web
from sidecar.edge.inbound.health import Health
from sidecar.edge.tasks import end_all
from tests.edge.outbound.doubles import FakeClock
from tests.edge.virtual import virtually


class Played:
    """Health whose one check is as it is told."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.status = Status.HEALTHY
        self.looks = 0
        self.health = Health(self.collect, self.clock)

    def collect(self, present: Present) -> dict[str, Check]:
        assert present.now == self.clock.time
        self.looks += 1
        return {"it": Check(self.status, "So it is.")}

    async def ask(self) -> tuple[int, Any]:
        response = await self.health.list_paths()["/health"](web.Request("GET", "/health"))
        return response.status, json.loads(response.body)


async def test_only_what_cannot_serve_is_503() -> None:
    """The body is the same report."""
    played = Played()
    for status, code in ((Status.HEALTHY, 200), (Status.DEGRADED, 200), (Status.UNHEALTHY, 503)):
        played.status = status
        answered, told = await played.ask()
        assert (answered, told["status"], told["checks"]["it"]["status"]) == (code, status.value, status.value)
        assert told["version"] and told["uptimeSeconds"] == 0.0
    played.clock.time += 60.0
    assert (await played.ask())[1]["uptimeSeconds"] == 60.0


@virtually
async def test_it_looks_by_itself_so_that_it_knows_since_when() -> None:
    """Whoever asks later hears of the moment when it was found, not of their own."""
    played = Played()
    played.health.start()
    await asyncio.sleep(0.1)
    played.status = Status.DEGRADED
    played.clock.time += 5.0
    await asyncio.sleep(5.1)
    assert played.looks == 2
    found = show_wall(played.clock.wall_ns())
    played.clock.time += 100.0
    _, told = await played.ask()
    assert told["checks"]["it"]["since"] == found != told["timestamp"]
    await end_all(1.0)
