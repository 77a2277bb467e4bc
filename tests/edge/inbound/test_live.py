"""What the status page asks for every second."""

import asyncio
import gc
import json
import tracemalloc
from collections.abc import Mapping
from typing import Any

from sidecar.core.choose.views import BreakerView, UpstreamView
from sidecar.core.reckon.window import STEP_S, Window
from sidecar.edge.inbound import web
from sidecar.edge.inbound.live import Live
from sidecar.edge.telemetry.recent import Recent
from sidecar.exchange import Asked, Ending
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record

VIEW = UpstreamView(
    "up", True, None, "closed", (BreakerView("default", "closed"),), 0, 0, 100, 1.0, 1.0, None, None, None, 0, 0, None, None,
)  # fmt: skip


class Scene:
    """A window with calls in it, upstreams, and a page that looks at them."""

    def __init__(self) -> None:
        self.clock = FakeClock()
        self.window = Window(self.clock.now)
        self.recent = Recent()
        self.views = [VIEW]
        self.sums = 0
        self.levels: Mapping[str, tuple[int, int]] = {}
        self.gate = asyncio.Event()
        self.gate.set()
        self.live = Live(
            self.window, lambda: None, self._perform, self.recent, self.clock, lambda now: self.views, {}, lambda: self.levels
        )  # fmt: skip

    async def _perform(self) -> Mapping[str, Any]:
        self.sums += 1
        await self.gate.wait()
        return {"metrics": {"requestCount": self.sums}, "insights": {}, "upstreams": {}, "models": {}}

    def call(self, **changes: Any) -> None:
        """Let a call end now."""
        record = make_record(ended=self.clock.now(), **changes)
        self.window.observe(record)
        self.recent.observe(record)

    async def ask(self, since: str = "") -> Any:
        """Return what a visitor is told."""
        response = await self.live.list_paths()["/api/live"](web.Request("GET", f"/api/live?since={since}"))
        return json.loads(response.body)


async def test_a_first_visitor_is_told_everything_a_later_one_what_changed() -> None:
    """The newest step is told again, as it may have grown; sections that are as they were are left out."""
    scene = Scene()
    scene.call()
    scene.clock.time += STEP_S
    scene.call(ending=Ending.CUT)
    first = await scene.ask()
    assert first["complete"] and [point[1:3] for point in first["points"]] == [[1, 0], [1, 1]]
    assert first["upstreams"][0]["name"] == "up" and len(first["failed"]) == 1 and first["cache"] == {} and "summary" in first
    again = await scene.ask(first["cursor"])
    assert not again["complete"] and again["points"] == first["points"][1:]
    assert not again.keys() & {"upstreams", "failed", "cache", "summary"}
    scene.call()
    scene.views = [VIEW._replace(state="open", healthy=False)]
    scene.levels = {"hot": (2, 100)}
    later = await scene.ask(again["cursor"])
    assert [point[1:3] for point in later["points"]] == [[2, 1]] and later["upstreams"][0]["breaker"] == "open"
    scene.call(ending=Ending.RESET)
    assert [call["ending"] for call in (await scene.ask(later["cursor"]))["failed"]] == ["reset", "cut"]
    assert later["cache"] == {"hot": {"entries": 2, "bytes": 100}} and not later.keys() & {"failed", "summary"}


async def test_another_run_is_told_from_its_beginning() -> None:
    """After a reset a visitor forgets what it has; so it does where a cursor is not one of ours."""
    scene = Scene()
    scene.call()
    cursor = (await scene.ask())["cursor"]
    scene.clock.time += 1.0
    scene.window.reset()
    told = await scene.ask(cursor)
    assert told["complete"] and told["points"] == [] and "upstreams" in told
    scene.call()
    scene.call()
    assert [point[1] for point in (await scene.ask(told["cursor"]))["points"]] == [2]
    assert (await scene.ask("nonsense"))["complete"]


async def test_a_step_before_a_reset_is_not_the_one_after_it() -> None:
    """A call that is told late falls into a step that was over, and forgotten."""
    scene = Scene()
    late = scene.clock.now()
    scene.call()
    scene.clock.time += STEP_S
    scene.call()
    await scene.ask()
    scene.window.reset()
    for ended in (late, late, scene.clock.now()):
        scene.window.observe(make_record(ended=ended))
    assert [point[1] for point in (await scene.ask())["points"]] == [2, 1]


async def test_what_is_kept_does_not_grow() -> None:
    """Days of calls take no more memory than an hour of them."""
    scene = Scene()
    cursor = ""
    sizes = list[int]()
    tracemalloc.start()
    for step in range(600):
        scene.call()
        scene.clock.time += STEP_S
        cursor = (await scene.ask(cursor))["cursor"]
        if step in (260, 599):
            gc.collect()
            sizes.append(tracemalloc.get_traced_memory()[0])
    tracemalloc.stop()
    assert sizes[1] - sizes[0] < 40_000


async def test_an_idle_sidecar_has_no_points() -> None:
    """Nothing is told of time in which nothing came to pass."""
    told = await Scene().ask()
    assert told["points"] == [] and told["failed"] == [] and told["columns"][:2] == ["step", "requests"]


async def test_what_is_over_is_added_up_once() -> None:
    """And forgotten after an hour."""
    scene = Scene()
    for _ in range(300):
        scene.call()
        scene.clock.time += STEP_S
    points = (await scene.ask())["points"]
    assert len(points) <= 240
    over = next(iter(scene.window.steps()))
    over.tallies.clear()
    assert (await scene.ask())["points"] == points
    scene.clock.time += 3600.0 + STEP_S
    scene.call()
    assert [point[1] for point in (await scene.ask())["points"]] == [1]


async def test_the_hour_is_added_up_for_all_visitors_together() -> None:
    """Who comes while it is being added up is told what was there before, and waits for nobody."""
    scene = Scene()
    assert (await scene.ask())["summary"]["metrics"] == {"requestCount": 1}
    assert (await scene.ask())["summary"]["metrics"] == {"requestCount": 1}
    scene.clock.time += 6.0
    scene.gate.clear()
    waiting = asyncio.ensure_future(scene.ask())
    await asyncio.sleep(0)
    async with asyncio.timeout(5):
        assert (await scene.ask())["summary"]["metrics"] == {"requestCount": 1}
    scene.gate.set()
    assert (await waiting)["summary"]["metrics"] == {"requestCount": 2} and scene.sums == 2
    assert (await scene.ask())["summary"]["metrics"] == {"requestCount": 2}
    scene.clock.time += 1.0  # after a reset what was there before says nothing any more
    scene.window.reset()
    assert (await scene.ask())["summary"]["metrics"] == {"requestCount": 3}


async def test_calls_go_on_while_points_are_added_up() -> None:
    """An hour of many combinations gives the event loop back in between."""
    scene = Scene()
    for step in range(50):
        for number in range(20):
            scene.call(asked=Asked(model=f"m{number}"))
        scene.clock.time = 1000.0 + step * STEP_S
    turns = 0

    async def count_turns() -> None:
        nonlocal turns
        while True:
            turns += 1
            await asyncio.sleep(0)

    counting = asyncio.ensure_future(count_turns())
    told = await scene.ask()
    counting.cancel()
    assert turns > 100 and sum(point[1] for point in told["points"]) == 1000


async def test_pools_are_those_in_force() -> None:
    """A visitor is told when they change."""
    scene = Scene()
    first = await scene.ask()
    scene.live.adopt({"new": ("up",)})
    later = await scene.ask(first["cursor"])
    assert first["upstreams"][0]["pools"] != later["upstreams"][0]["pools"] == ["new"]
