"""Everything that takes part in choosing, put together: who is told of what."""

import asyncio
import logging
from collections.abc import Iterator
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Breaker, Features, Force, ModelGroup, Probing, Settings
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog
from tests.edge.virtual import virtually
from tests.pooled import CHAT, SETTINGS, Pooled, begin, caller, counted, failure, names, never, settings_of, whole

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
