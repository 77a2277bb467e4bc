"""What the admin port tells of the last hour: how well calls go, and what might be done about it."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Any, Final

from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.performance import Sums, show_performance
from sidecar.core.reckon.window import Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.memory import Memory
from sidecar.ports import Clock
from sidecar.thresholds import Terms

_ADDED_TOGETHER: Final = 8  # tallies added up in a row before calls get their turn on the event loop: 0.5 ms


class Statistics:
    """Adds up the window when it is asked to. `flush`: has the window told of every call that has ended."""

    def __init__(
        self, window: Window, flush: Callable[[], None], clock: Clock, describe_cache: Callable[[], Mapping[str, tuple[int, int]]]
    ) -> None:
        """`describe_cache`: entries and bytes of each level of the cache in this process."""
        self._window = window
        self._flush = flush
        self._clock = clock
        self._describe_cache = describe_cache
        self._memory = Memory()
        self._began = clock.now()

    def list_paths(self) -> Mapping[str, Respond]:
        """Return the answer of each path."""
        return {"/api/performance": self._performance, "/debug/metrics": self._metrics}

    def list_changes(self) -> Mapping[str, Change]:
        """Return what a POST to each path does."""
        return {"/api/performance/reset": self._reset}

    async def _performance(self, request: web.Request) -> web.Response:
        return answer(await self.show())

    async def _metrics(self, request: web.Request) -> web.Response:
        levels = {level: {"entries": entries, "bytes": size} for level, (entries, size) in self._describe_cache().items()}
        memory = {"rssBytes": self._memory.read_rss(), "limitBytes": self._memory.read_limit()}
        uptime_s = self._clock.now() - self._began
        return answer({"performance": await self.show(), "memory": memory, "cache": levels, "uptime": {"seconds": round(uptime_s, 3)}})

    async def show(self) -> dict[str, Any]:
        """Return what /api/performance tells, added up a little at a time."""
        self._flush()
        sums = Sums.start()
        for number, (who, tally) in enumerate(list(self._window.tallies()), 1):
            sums.add(who, tally)
            if number % _ADDED_TOGETHER == 0:
                await asyncio.sleep(0)
        kept = sum(entries for entries, _ in self._describe_cache().values())
        present = Present(self._clock.now(), self._clock.wall_ns())
        return show_performance(sums, self._window.span_s(), present, kept, Terms())

    def _reset(self, body: bytes) -> web.Response:
        self._flush()
        self._window.reset()
        return answer({"reset": True})
