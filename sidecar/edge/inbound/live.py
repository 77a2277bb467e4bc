"""What the status page asks for every second: what has changed since it asked before."""

import asyncio
import zlib
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any, Final

import msgspec

from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.live import (
    COLUMNS,
    SECTIONS,
    Cursor,
    pick_failures,
    read_cursor,
    show_brief,
    show_failure,
    show_point,
    show_summary,
    write_cursor,
)
from sidecar.core.reckon.moments import show_wall
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.window import STEP_S, Step, Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.telemetry.recent import Recent
from sidecar.exchange import Record
from sidecar.ports import Clock

_ADDED_TOGETHER: Final = 8  # tallies added up in a row before calls get their turn on the event loop: 0.5 ms
_SHOWN_TOGETHER: Final = 5
# Grade, advice and comparisons add up the whole hour: at most so often for all visitors together, and for a fiftieth of the time.
_SUMMED_EVERY_S: Final = 5.0
_SUMMED_SHARE: Final = 50.0
_NOTHING: Final = msgspec.Raw(b"null")


class Live:
    """Keeps what was shown of steps that are over: they do not change any more. Memory as an hour of points needs it, 30 kB."""

    def __init__(
        self, window: Window, flush: Callable[[], None], perform: Callable[[], Awaitable[Mapping[str, Any]]], recent: Recent, clock: Clock,
        describe: Callable[[float], Sequence[UpstreamView]], pools: Mapping[str, tuple[str, ...]],
        describe_cache: Callable[[], Mapping[str, tuple[int, int]]],
    ) -> None:  # fmt: skip
        """`perform`: adds up what /api/performance tells; `describe`: all upstreams, at a moment; `pools`: who belongs to each."""
        self._window, self._flush, self._perform, self._recent, self._clock = window, flush, perform, recent, clock
        self._describe, self._pools, self._describe_cache = describe, pools, describe_cache
        self._born_ms = clock.wall_ns() // 1_000_000
        self._began = clock.now()
        self._points: dict[int, msgspec.Raw] = {}
        self._points_of = window.began
        self._summary = _NOTHING
        self._summed_of = window.began
        self._sum_at = -1.0
        self._is_summing = False
        self._failed = msgspec.Raw(b"[]")
        self._newest: Record | None = None

    def adopt(self, pools: Mapping[str, tuple[str, ...]]) -> None:
        """Show upstreams in these pools from now on."""
        self._pools = pools

    def list_paths(self) -> Mapping[str, Respond]:
        """Return the answer of each path."""
        return {"/api/live": self._respond}

    async def _respond(self, request: web.Request) -> web.Response:
        self._flush()
        await self._sum_up()
        seen = read_cursor(request.query.get("since", ""))
        began = self._window.began
        run = zlib.crc32(f"{self._born_ms} {began}".encode())  # another after a reset, or when it was started again
        is_known = seen is not None and seen.run == run
        oldest = seen.step if seen is not None and is_known else 0
        steps = [step for step in self._window.steps() if step.number >= oldest]
        points = [await self._show_step(step, is_over=step is not steps[-1]) for step in steps]
        sections = dict(zip(SECTIONS, (self._summary, self._show_upstreams(), await self._show_failed(), self._show_cache()), strict=True))
        marks = tuple(zlib.crc32(section) for section in sections.values())
        cursor = Cursor(run, steps[-1].number if steps else oldest, marks)
        known = seen.marks if seen is not None and is_known else (None,) * len(marks)
        changed = {name: sections[name] for name, mark, before in zip(SECTIONS, marks, known, strict=True) if mark != before}
        now = self._clock.now()
        return answer({
            "cursor": write_cursor(cursor), "complete": not is_known, "at": show_wall(self._clock.wall_ns()),
            "uptime_s": round(now - self._began, 1), "step_s": STEP_S, "now": round(now / STEP_S, 3), "began": round(began / STEP_S, 3),
            "columns": COLUMNS, "points": points, **changed,
        })  # fmt: skip

    async def _show_step(self, step: Step, *, is_over: bool) -> msgspec.Raw:
        began = self._window.began
        if self._points_of != began:
            self._points, self._points_of = {}, began
        shown = self._points.get(step.number)
        if shown is None:
            total = Tally()
            for number, tally in enumerate(list(step.tallies.values()), 1):
                total.merge(tally)
                if number % _ADDED_TOGETHER == 0:
                    await asyncio.sleep(0)
            shown = msgspec.Raw(msgspec.json.encode(show_point(step.number, total)))
            if is_over and self._window.began == began:  # no reset came in between
                self._keep(step.number, shown)
                await asyncio.sleep(0)
        return shown

    def _keep(self, number: int, shown: msgspec.Raw) -> None:
        oldest = next(self._window.steps(), None)
        self._points[number] = shown
        for past in [each for each in self._points if oldest is not None and each < oldest.number]:
            del self._points[past]

    async def _sum_up(self) -> None:
        """Have the hour added up if it is due; who asks meanwhile is told what was there before."""
        began, now = self._window.began, self._clock.now()
        if self._is_summing or (now < self._sum_at and self._summed_of == began):
            return
        self._is_summing = True
        try:
            self._summary = msgspec.Raw(msgspec.json.encode(show_summary(await self._perform())))
        finally:
            self._is_summing = False
        ended = self._clock.now()
        self._summed_of, self._sum_at = began, ended + max(_SUMMED_EVERY_S, _SUMMED_SHARE * (ended - now))

    def _show_upstreams(self) -> msgspec.Raw:
        now = self._clock.now()
        return msgspec.Raw(msgspec.json.encode([show_brief(view, self._pools, now) for view in self._describe(now)]))

    async def _show_failed(self) -> msgspec.Raw:
        failed = self._recent.failed
        newest = failed[0] if failed else None
        if newest is not self._newest:
            shown = []
            for number, record in enumerate(pick_failures(failed), 1):
                shown.append(msgspec.Raw(msgspec.json.encode(show_failure(record))))
                if number % _SHOWN_TOGETHER == 0:
                    await asyncio.sleep(0)
            self._failed, self._newest = msgspec.Raw(msgspec.json.encode(shown)), newest
        return self._failed

    def _show_cache(self) -> msgspec.Raw:
        levels = {level: {"entries": entries, "bytes": size} for level, (entries, size) in self._describe_cache().items()}
        return msgspec.Raw(msgspec.json.encode(levels))
