"""Everything that takes part in choosing, put together: who is told of what."""

import asyncio
import gc
import logging
import random
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Breaker, Features, Force, ModelGroup, Probing, Queue, Retries, Route, Settings, Strategy
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog
from tests.edge.virtual import virtually
from tests.pooled import (
    CHAT,
    REPEATING,
    SETTINGS,
    Pooled,
    begin,
    caller,
    counted,
    failure,
    hedging,
    listener,
    names,
    never,
    settings_of,
    strategic,
    stream,
    whole,
)

FRAGILE = replace(SETTINGS, breaker=Breaker(consecutive=1, open=20.0))


@pytest.fixture
def lines() -> Iterator[list[tuple[str, dict[str, Any]]]]:
    """What is written to the log: events and their fields."""
    written: list[tuple[str, dict[str, Any]]] = []

    class Writing(logging.Handler):
        def emit(self, record: logging.LogRecord) -> None:
            written.append((record.getMessage(), record.__dict__["sidecar_fields"]))

    logger, handler = logging.getLogger("sidecar"), Writing()
    level, propagate = logger.level, logger.propagate
    logger.addHandler(handler)
    logger.propagate = False
    yield written
    logger.removeHandler(handler)
    logger.setLevel(level)
    logger.propagate = propagate


def gauge(path: Pooled, family: str, *labels: str) -> float:
    """Return what a gauge stands at once it was brought up to date."""
    path.switchboard.refresh()
    return counted(path, family, *labels)


def write_everything() -> Announcements:
    """Return what writes all lines."""
    return Announcements(EventLog("debug"))


@virtually
async def test_a_breaker_that_opens_is_counted_and_shown() -> None:
    """From the outcome of a call to the gauge and the counters."""
    path = Pooled(failure(500), settings=FRAGILE)
    assert gauge(path, "breaker_state", "a") == 0
    await path.carry(caller("/one/" + CHAT))
    assert gauge(path, "breaker_state", "a") == 2
    assert gauge(path, "upstream_healthy", "a") == 0
    assert counted(path, "breaker_transitions", "a", "closed", "open") == 1
    assert counted(path, "breaker_openings", "a", "consecutive_failures") == 1
    assert [gauge(path, "breaker_state", name) for name in "bc"] == [0, 0]
    await path._rest(22.0)
    assert gauge(path, "breaker_state", "a") == 1, "half-open as soon as it may be asked"


def test_a_breaker_that_opens_is_told(lines: list[tuple[str, dict[str, Any]]]) -> None:
    """In one line with the reason, and another when an operator closes it."""

    @virtually
    async def play() -> None:
        path = Pooled(failure(500), settings=FRAGILE, announcements=write_everything())
        await path.carry(caller("/one/" + CHAT))
        path.switchboard.force("a", Force.CLOSED)

    play()
    assert [fields for _, fields in lines] == [
        {"upstream": "a", "group": "default", "from": "closed", "to": "open", "reason": "consecutive_failures"},
        {"upstream": "a", "group": "default", "from": "open", "to": "closed", "reason": "forced"},
    ]


@virtually
async def test_an_operator_may_hold_a_breaker_in_a_state() -> None:
    """And leave it to itself again. Forced open nothing is let through, forced closed everything is."""
    path = Pooled(whole(), failure(500), failure(500), settings=FRAGILE)
    path.switchboard.force("a", Force.OPEN)
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert (client.status, path.asked) == (503, [])
    path.switchboard.force("a", Force.AUTO)
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 200
    path.switchboard.force("a", Force.CLOSED)
    for _ in range(2):
        await path.pipeline.carry(client := caller("/one/" + CHAT))
        assert client.status == 500
    assert gauge(path, "breaker_state", "a") == 0


@virtually
async def test_a_forced_breaker_is_so_for_all_models() -> None:
    """Of that upstream, and of no other."""
    grouped = replace(SETTINGS, breaker=Breaker(groups={"small": ModelGroup(("*mini*",))}))
    path = Pooled(settings=grouped)
    path.switchboard.force("a", Force.OPEN)
    shown = {view.name: {one.group: one.state for one in view.breakers} for view in path.switchboard.routing.describe(path.clock.now())}
    assert shown["a"] == {"default": "open", "small": "open"}
    assert shown["b"] == {"default": "closed", "small": "closed"}


def probed(**changes: Any) -> Settings:
    """Return settings in which a is probed."""
    return settings_of(
        replace(FRAGILE, features=Features(**changes)), a={"probe": Probing.ON}, b={"probe": Probing.OFF}, c={"probe": Probing.OFF}
    )


def test_health_is_told_to_whoever_chooses_and_to_operators(lines: list[tuple[str, dict[str, Any]]]) -> None:
    """Probes that fail keep calls away where there is somebody else, and one that succeeds brings them back."""

    @virtually
    async def play() -> None:
        path = Pooled(*(whole() for _ in range(6)), settings=probed(), announcements=write_everything())
        path.health["a"] = 503
        path.switchboard.probes.start()
        await path._rest(65.0)
        assert set(path.knocked) == {"a"}
        assert gauge(path, "upstream_healthy", "a") == 0
        for _ in range(2):
            await path.pipeline.carry(caller())
        assert names(path) == ["b", "b"]
        path.health["a"] = 200
        await path._rest(90.0)
        assert gauge(path, "upstream_healthy", "a") == 1
        for _ in range(2):
            await path.pipeline.carry(caller())
        assert "a" in names(path)
        await path.switchboard.probes.stop()
        assert counted(path, "probes", "a", "failed") >= 2
        assert counted(path, "probes", "a", "succeeded") >= 2
        path.check_rest()

    play()
    assert [fields for _, fields in lines] == [{"upstream": "a"}, {"upstream": "a"}], "once for each change"


@virtually
async def test_a_probe_that_succeeds_half_opens_a_breaker() -> None:
    """Recovery does not wait for the open time to pass."""
    path = Pooled(failure(500), whole(), settings=replace(probed(), breaker=Breaker(consecutive=1, open=600.0, open_max=600.0)))
    await path.pipeline.carry(caller("/one/" + CHAT))
    path.switchboard.probes.start()
    await path._rest(31.0)
    await path.switchboard.probes.stop()
    assert gauge(path, "breaker_state", "a") == 1
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 200


@virtually
async def test_gauges_show_what_is_in_use() -> None:
    """Who waits, who is pending, and how many there may be."""
    gate = never()
    path = Pooled(whole(at_head=gate), whole(), settings=settings_of(a={"concurrency": 1}))
    tasks = [await begin(path, caller("/one/" + CHAT)) for _ in range(2)]
    assert (gauge(path, "upstream_pending", "a"), gauge(path, "upstream_concurrency_limit", "a")) == (1, 1)
    assert path.meter.resilience.queued.value == 1
    gate.set_result(None)
    await asyncio.gather(*tasks)
    assert gauge(path, "upstream_pending", "a") == 0
    assert path.meter.resilience.queued.value == 0
    path.check_rest()


@virtually
async def test_with_breakers_off_nothing_is_refused() -> None:
    """Whatever fails."""
    settings = replace(FRAGILE, features=Features(breakers=False))
    path = Pooled(*(failure(500) for _ in range(8)), settings=settings)
    for _ in range(8):
        await path.pipeline.carry(caller("/one/" + CHAT))
    assert (len(path.asked), gauge(path, "breaker_state", "a")) == (8, 0)
    path.check_rest()


def moved(*names: str, base: Settings = FRAGILE, **upstreams: Any) -> Settings:
    """Return settings in which some names stand for other places."""
    changes = {name: {"url": f"http://{name}.elsewhere"} for name in names}
    return settings_of(base, **{name: {**changes.get(name, {}), **upstreams.get(name, {})} for name in "abc"})


def without(*names: str, base: Settings = FRAGILE) -> Settings:
    """Return settings in which some upstreams are gone, from pools, too."""
    left = {name: tuple(one for one in pool.upstreams if one not in names) for name, pool in base.pools.items()}
    pools = {name: replace(pool, upstreams=left[name]) for name, pool in base.pools.items() if left[name]}
    return replace(
        base,
        upstreams={name: upstream for name, upstream in base.upstreams.items() if name not in names},
        pools=pools,
        routes=tuple(route for route in base.routes if route.upstream not in names and (route.pool is None or route.pool in pools)),
    )


@virtually
async def test_other_settings_leave_a_breaker_as_it_is() -> None:
    """Open stays open, with the time that it has left; for another place of that name there is nothing against it."""
    path = Pooled(failure(500), failure(500), whole(), settings=FRAGILE)
    for name in ("one", "two"):
        await path.pipeline.carry(caller(f"/{name}/" + CHAT))
    assert [gauge(path, "breaker_state", name) for name in "ab"] == [2, 2]
    path.adopt(replace(moved("b"), queue=Queue(wait=1.0)))
    assert [gauge(path, "breaker_state", name) for name in "ab"] == [2, 0]
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 503
    await path.pipeline.carry(client := caller())
    assert (client.status, names(path)[-1]) == (200, "b")
    path.check_rest()


@virtually
async def test_calls_in_progress_end_where_they_began() -> None:
    """Their upstream is gone from the settings, and it fails: they go on to the next one of the pool that they know, gone as well."""
    gate = never()
    path = Pooled(settings=FRAGILE, at={"a": [failure(500, at_head=gate)], "b": [whole()]})
    task = await begin(path, client := caller("/two/" + CHAT))
    path.adopt(without("a", "b"))
    gate.set_result(None)
    await task
    assert (client.status, names(path)) == (200, ["a", "b"])
    assert [view.name for view in path.switchboard.describe(path.clock.now())] == ["c"]
    path.check_rest()


@virtually
async def test_what_an_old_place_does_is_not_held_against_the_new_one() -> None:
    """Neither its failures nor the pauses that it asks for, nor how many calls are still there; and no line tells of it."""
    gate = never()
    settings = settings_of(FRAGILE, a={"concurrency": 2})
    answers = [failure(500, at_head=gate), failure(429, "", (b"retry-after", b"60"), at_head=gate), whole(), whole()]
    path = Pooled(*answers, settings=settings)
    tasks = [await begin(path, caller("/one/" + CHAT)) for _ in range(2)]
    path.adopt(moved("a", base=settings))
    assert gauge(path, "upstream_pending", "a") == 0
    gate.set_result(None)
    await asyncio.gather(*tasks)
    assert gauge(path, "breaker_state", "a") == 0
    assert counted(path, "breaker_openings", "a", "consecutive_failures") == 0
    for _ in range(2):
        await path.pipeline.carry(client := caller("/two/" + CHAT))
        assert client.status == 200
    assert set(names(path)[2:]) == {"a", "b"}
    path.check_rest()


@virtually
async def test_calls_that_wait_are_served_where_they_wanted_to_go() -> None:
    """For room at a place that is gone, or that has more room now."""
    gate = never()
    settings = settings_of(a={"concurrency": 1}, c={"concurrency": 1})
    settings = replace(settings, routes=(*settings.routes, Route("/last/", "c")))
    path = Pooled(*(whole(at_head=gate) for _ in range(4)), settings=settings)
    tasks = [await begin(path, caller(f"/{name}/" + CHAT)) for name in ("one", "one", "last", "last")]
    assert names(path) == ["a", "c"]
    path.adopt(without("a", base=settings_of(settings, c={"concurrency": 2})))
    for _ in range(20):
        await asyncio.sleep(0)
    assert names(path) == ["a", "c", "c"], "there is room for one more at c"
    gate.set_result(None)
    await asyncio.gather(*tasks)
    assert names(path) == ["a", "c", "c", "a"]
    path.check_rest()


@virtually
async def test_the_retry_budget_outlives_settings() -> None:
    """What is spent is spent, whatever else changes."""
    few = replace(REPEATING, retries=Retries(attempts=2, budget_share=0.0, budget_floor=0.1, budget_expiry=10.0, base=0.01))
    path = Pooled(*(failure(500) for _ in range(6)), settings=few)
    await path.pipeline.carry(caller("/one/" + CHAT))
    assert len(path.asked) == 2
    path.adopt(replace(few, queue=Queue(wait=1.0)))
    await path.pipeline.carry(caller("/one/" + CHAT))
    assert (len(path.asked), path.meter.resilience.budget_exhausted.value) == (3, 1)
    path.adopt(replace(few, retries=replace(few.retries, budget_floor=0.2)))
    await path.pipeline.carry(caller("/one/" + CHAT))
    assert len(path.asked) == 5, "there are two in ten seconds now"
    path.check_rest()


@virtually
async def test_hedging_is_switched_on_while_calls_run() -> None:
    """It learns from then on."""
    path = Pooled(stream(), stream(), stream(), stream(at_head=5.0), stream(), stream(at_head=5.0), settings=SETTINGS)
    await path.pipeline.carry(listener())
    path.adopt(hedging())
    for _ in range(3):
        await path.pipeline.carry(listener())
    assert names(path) == ["a", "b", "a", "b", "a"], "the fourth call had a rival"
    path.adopt(SETTINGS)
    await path.pipeline.carry(listener())
    assert len(path.asked) == 6
    path.check_rest()


@virtually
async def test_what_an_operator_forced_outlives_settings() -> None:
    """Until `upstreams.NAME.breaker` says something else."""
    path = Pooled(whole(), settings=FRAGILE)
    path.switchboard.force("a", Force.OPEN)
    path.adopt(replace(FRAGILE, breaker=Breaker(consecutive=7)))
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 503
    path.adopt(settings_of(FRAGILE, a={"breaker": Force.CLOSED}))
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 200


@virtually
async def test_probes_follow_and_health_stays() -> None:
    """One that its probe found ill stays so, unless it is another place now, or is probed no longer."""
    path = Pooled(settings=probed())
    path.health["a"] = 503
    path.switchboard.probes.start()
    await path._rest(65.0)
    assert gauge(path, "upstream_healthy", "a") == 0
    path.adopt(replace(probed(), queue=Queue(wait=1.0)))
    assert gauge(path, "upstream_healthy", "a") == 0
    path.adopt(settings_of(probed(), a={"probe": Probing.OFF}))
    assert gauge(path, "upstream_healthy", "a") == 1
    knocks = len(path.knocked)
    path.adopt(moved("a", base=probed()))
    await path._rest(65.0)
    assert len(path.knocked) > knocks and gauge(path, "upstream_healthy", "a") == 0
    path.adopt(probed())
    assert gauge(path, "upstream_healthy", "a") == 1
    await path.switchboard.probes.stop()


@virtually
async def test_another_key_is_not_paused() -> None:
    """What was asked for on the account of the one before holds for it alone."""
    own = settings_of(a={"api_key_file": "/run/key"})
    limited = failure(429, "", (b"retry-after", b"60"))
    path = Pooled(settings=own, keys={"a": "sk-1"}, at={"a": [limited, *(whole() for _ in range(3))], "b": [whole() for _ in range(9)]})
    for _ in range(3):
        await path.pipeline.carry(caller())
    path.adopt(replace(own, queue=Queue(wait=1.0)), {"a": "sk-1"})
    await path.pipeline.carry(caller())
    assert names(path) == ["a", "b", "b", "b", "b"]
    path.adopt(own, {"a": "sk-2"})
    for _ in range(2):
        await path.pipeline.carry(caller())
    assert "a" in names(path)[5:]
    path.check_rest()


@virtually
async def test_ratings_of_one_that_is_gone_are_nobodys() -> None:
    """Feedback may come late."""
    path = Pooled(settings=SETTINGS)
    path.adopt(without("a", base=SETTINGS))
    path.switchboard.note_quality("a", 1.0, 0.0)
    path.switchboard.note_quality("b", 0.5, 0.0)


@virtually
async def test_a_thousand_settings_lose_nothing() -> None:
    """Calls of all ages in between: each is answered, each grant settled once, and nothing is in use in the end."""
    draw = random.Random(7)
    path = Pooled(*(failure(500) if draw.random() < 0.2 else whole(at_head=draw.random() * 3) for _ in range(4000)), settings=SETTINGS)
    tasks = []
    for _ in range(1000):
        base = without("c", base=SETTINGS) if draw.random() < 0.5 else SETTINGS
        changes = {name: {"concurrency": draw.randint(2, 9)} for name in base.upstreams}
        settings = settings_of(base, **changes)
        path.adopt(settings_of(settings, a={"url": f"http://a{draw.randint(0, 1)}.test"}))
        if draw.random() < 0.7:
            tasks.append(asyncio.ensure_future(path.pipeline.carry(caller(draw.choice(["/one/", "/two/", "/three/"]) + CHAT))))
        await asyncio.sleep(draw.random() / 20)
    await asyncio.gather(*tasks)
    assert len(path.records[0]) == len(tasks)
    assert {record.status for record in path.records[0]} <= {200, 500, 503}
    assert sum(record.status == 200 for record in path.records[0]) > 0.8 * len(tasks)
    path.check_rest()


@virtually
async def test_another_place_of_a_name_is_paused_for_what_it_asks_for_itself() -> None:
    """As any other."""
    path = Pooled(settings=SETTINGS, at={"a": [failure(429, "", (b"retry-after", b"60"))], "b": [whole() for _ in range(4)]})
    path.adopt(moved("a", base=SETTINGS))
    for _ in range(4):
        await path.pipeline.carry(client := caller())
        assert client.status == 200
    assert names(path) == ["a", "b", "b", "b", "b"]
    path.check_rest()


@virtually
async def test_how_late_is_late_is_found_out_anew_for_another_place() -> None:
    """A slow one has taught nothing of the one that has its name now."""
    path = Pooled(settings=hedging(), at={"a": [stream(at_head=4.0), stream(), stream(at_head=2.0)], "b": [stream()]})
    routed = replace(hedging(), pools={"two": replace(SETTINGS.pools["two"], upstreams=("a", "b"))})
    routed = settings_of(replace(routed, routes=(Route("/two/", pool="two"),)), b={"weight": 0.001})
    path.adopt(strategic(Strategy.WEIGHTED, routed))
    await path.pipeline.carry(listener())
    path.adopt(strategic(Strategy.WEIGHTED, moved("a", base=routed)))
    for _ in range(2):
        await path.pipeline.carry(listener())
    assert names(path) == ["a", "a", "a", "b"], "two seconds are late for one that answers at once"
    path.check_rest()


@virtually
async def test_nothing_grows_with_the_number_of_settings() -> None:
    """What is gone is gone, with the last call that knew it."""
    path = Pooled(*(whole() for _ in range(900)), settings=probed())
    path.switchboard.probes.start()

    async def change(times: int) -> tuple[int, int]:
        for number in range(times):
            path.adopt(moved(*"abc"[: number % 3], base=without("c", base=probed()) if number % 2 else probed()))
            await path.pipeline.carry(caller("/two/" + CHAT))
            await asyncio.sleep(0.01)
        for told in (path.records[0], path.records[1], path.asked, path.used, path.grants, path.settled, path.deadlines):
            told.clear()  # type: ignore[attr-defined]
        gc.collect()
        return len(gc.get_objects()), len(asyncio.all_tasks())

    await change(60)
    before, tasks = await change(60)
    after, tasks_after = await change(240)
    assert after - before < 100
    assert tasks_after == tasks
    await path.switchboard.probes.stop()
