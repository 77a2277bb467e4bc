"""What the admin port tells of where things go: by the minutes of the last hour, and by the hours of the journal."""

import asyncio
from collections.abc import Callable, Iterable, Iterator, Mapping, Sequence
from itertools import chain
from typing import Any, Final, NamedTuple

from sidecar.config import Settings
from sidecar.core.reckon.anomalies import find_anomalies
from sidecar.core.reckon.capacity import Ceiling, foresee, list_ceilings, list_places
from sidecar.core.reckon.moments import Present, show_wall
from sidecar.core.reckon.outlook import compare, read_flow, read_points, show_anomaly, show_hint, show_trend
from sidecar.core.reckon.signals import SIGNALS, Moment, read_moment
from sidecar.core.reckon.snapshots import HOUR_S
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.trends import Point, find_trend
from sidecar.core.reckon.window import STEP_S, Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Respond
from sidecar.edge.inbound.api import answer
from sidecar.edge.past import Past
from sidecar.ports import Clock

_MINUTE_S: Final = 60.0
_ADDED_TOGETHER: Final = 16  # tallies added up twice in a row before calls get their turn on the event loop: 0.5 ms
_LATELY: Final = {_MINUTE_S: 900.0, float(HOUR_S): 86_400.0}  # by the length of a point: of how long anomalies are told


class _Live(NamedTuple):
    """The last hour. Minutes have the numbers that they have on the monotonic clock."""

    minutes: dict[int, Tally]
    upstreams: dict[str, Tally]
    busy_s: dict[str, dict[int, float]]  # by upstream and minute: how long its calls that ended then took, together


class Trends:
    """Answers `GET /api/trends`, one at a time. `flush`: has the window told of every call that has ended; `past`: the journal's."""

    def __init__(self, settings: Settings, window: Window, flush: Callable[[], None], clock: Clock, past: Past | None) -> None:
        self._window = window
        self._flush = flush
        self._clock = clock
        self._past = past
        self._lock = asyncio.Lock()
        self.adopt(settings)

    def adopt(self, settings: Settings) -> None:
        """Foresee from now on by these limits."""
        self._ceilings = list(list_ceilings(settings))
        self._places = list_places(settings)

    def list_paths(self) -> Mapping[str, Respond]:
        """Return the answer of the path."""
        return {"/api/trends": self._respond}

    async def _respond(self, request: web.Request) -> web.Response:
        async with self._lock:
            hours = [] if self._past is None else await self._past.read()
            self._flush()
            present = Present(self._clock.now(), self._clock.wall_ns())
            live = await self._add_up()
            span = self._list_minutes(present.now)
            moments = await self._read_minutes(live, span, present)
            shown = {
                "live": await self._show(moments, _MINUTE_S, present, self._read_places(live, span)),
                "history": None if self._past is None else await self._show(hours, HOUR_S, present, ()),
                "comparison": compare(live.upstreams),
                "timestamp": show_wall(present.wall_ns),
            }
        return answer(shown)

    def _list_minutes(self, now: float) -> range:
        """Return the numbers of the minutes that are over and of which the window tells wholly."""
        return range(int((now - self._window.span_s()) // _MINUTE_S) + 1, int(now // _MINUTE_S))

    async def _add_up(self) -> _Live:
        live = _Live({}, {}, {})
        added = 0
        for step in list(self._window.steps()):
            number = int(step.number * STEP_S // _MINUTE_S)
            for who, tally in list(step.tallies.items()):
                live.upstreams.setdefault(who.upstream, Tally()).merge(tally)
                live.minutes.setdefault(number, Tally()).merge(tally)
                busy_s = live.busy_s.setdefault(who.upstream, {})
                busy_s[number] = busy_s.get(number, 0.0) + tally.durations.total
                added += 1
                if added % _ADDED_TOGETHER == 0:
                    await asyncio.sleep(0)
        return live

    async def _read_minutes(self, live: _Live, span: range, present: Present) -> list[Moment]:
        offset_s = present.wall_ns / 1e9 - present.now
        moments: list[Moment] = []
        for number in span:
            moments.append(read_moment((number + 0.5) * _MINUTE_S + offset_s, live.minutes.get(number, Tally()), _MINUTE_S))
            if len(moments) % _ADDED_TOGETHER == 0:
                await asyncio.sleep(0)
        return moments

    def _read_places(self, live: _Live, span: range) -> Iterator[tuple[Ceiling, list[Point]]]:
        """Yield how busy upstreams were: by Little's law as many calls are there as came in a time, times how long each took."""
        for name, ceiling in self._places.items():
            busy_s = live.busy_s.get(name)
            if busy_s is not None:
                yield ceiling, [((number + 0.5) * _MINUTE_S, busy_s.get(number, 0.0) / _MINUTE_S) for number in span]

    async def _show(
        self, moments: Sequence[Moment], span_s: float, present: Present, places: Iterable[tuple[Ceiling, list[Point]]]
    ) -> dict[str, Any]:
        """Return trends, anomalies and capacity, with a turn for calls after each part: none takes more than a few milliseconds."""
        since = present.wall_ns / 1e9 - _LATELY[span_s]
        signals: dict[str, Any] = {}
        anomalies: list[dict[str, Any]] = []
        for place, signal in enumerate(SIGNALS):
            points = read_points(moments, place)
            signals[signal.name] = show_trend(find_trend(points, signal.bad, signal.least), signal)
            await asyncio.sleep(0)
            for anomaly in find_anomalies(points, since, signal.least):
                anomalies.append(show_anomaly(anomaly, signal))
            await asyncio.sleep(0)
        capacity: list[dict[str, Any]] = []
        flows = ((ceiling, read_flow(moments, ceiling.measure, span_s)) for ceiling in self._ceilings)
        for ceiling, points in chain(flows, places):
            hint = foresee(ceiling, points, span_s)
            if hint is not None:
                capacity.append(show_hint(hint, present))
            await asyncio.sleep(0)
        return {"stepSeconds": int(span_s), "steps": len(moments), "signals": signals, "anomalies": anomalies, "capacity": capacity}
