"""What the admin port tells of the sidecar's state: what was found anyhow, put together. Nobody is asked for it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from sidecar import __version__
from sidecar.core.reckon.health import Check, Since, Status, find_worst, show_health
from sidecar.core.reckon.moments import Present
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock

INTERVAL_S: Final = 5.0  # so exactly it is known since when something has been as it is


class Health:
    """Answers `GET /health`. `collect`: makes every check, without waiting for anything."""

    def __init__(self, collect: Callable[[Present], Mapping[str, Check]], clock: Clock) -> None:
        self._collect = collect
        self._clock = clock
        self._began = clock.now()
        self._since = Since()

    def list_paths(self) -> Mapping[str, Respond]:
        """Return the answer of the path."""
        return {"/health": self._respond}

    def start(self) -> None:
        """Look every few seconds from now on, so that each check knows since when it has been as it is."""
        spawn(self._repeat(), name="health")

    async def _repeat(self) -> None:
        while True:
            self._look()
            await asyncio.sleep(INTERVAL_S)

    def _look(self) -> tuple[Mapping[str, Check], Present]:
        present = Present(self._clock.now(), self._clock.wall_ns())
        checks = self._collect(present)
        self._since.note(checks, present.now)
        return checks, present

    async def _respond(self, request: web.Request) -> web.Response:
        checks, present = self._look()
        response = answer(show_health(checks, self._since, present, version=__version__, uptime_s=present.now - self._began))
        if find_worst(checks) is Status.UNHEALTHY:
            response.status = 503
        return response
