"""What is kept, shared and allowed, put together: what is off is not there, and what is on begins and ends in order."""

import asyncio
import gc
import json
import subprocess
import sys
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Budget, Budgets, Features, Rate, RateLimits, Rates, Redis, Settings, Warming
from sidecar.core.choose.places import read_places
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenant
from sidecar.core.reckon.checks import LedgerView, SharedView
from sidecar.economy import Economy
from sidecar.edge.cleanup import Cleanup
from sidecar.edge.clock import SystemClock
from sidecar.edge.ledger import Ledger
from sidecar.edge.shared.budgets import SharedBudgets
from sidecar.edge.shared.shared import Shared
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError, Refused
from sidecar.progress import Exchange
from sidecar.switchboard import Switchboard
from tests.core.attempt.calls import make_call
from tests.flown import KEPT, SETTINGS
from tests.path import PRICES, PlayedClient

OFF = replace(SETTINGS, features=Features())
PLACES = read_places(SETTINGS.upstreams, {})
NOWHERE = Redis(url="redis://127.0.0.1:1/0")  # nobody listens there
OF_NAMES = {"Counter", "_Account"}  # counters of tenants stay
PROMPT = b'{"path":"/one/v1/chat/completions","body":' + KEPT + b"}\n"


class Composed:
    """An economy with everything around it played."""

    def __init__(self, settings: Settings) -> None:
        self.carried: list[Errand] = []
        self.at_errand: Callable[[], Any] | None = None
        self.clock = SystemClock()
        self.meter = meter = Meter(settings.limits, settings.upstreams, version="0", python="3")
        for part in (meter.resilience, meter.reuse, meter.accounts):
            part.prepare(settings)
        log = EventLog("error")
        self.settings = settings
        self.economy = Economy(
            settings, PLACES, PRICES, Router(settings.routes, settings.pools), self.clock, lambda: 0.5, meter, log,
            carry=self.carry, name_call=lambda: "drawn",
        )  # fmt: skip
        self.switchboard = Switchboard(
            settings, PLACES, PRICES, self, self, self.clock, lambda: 0.5, meter.resilience, Announcements(log), None,  # type: ignore[arg-type]
        )  # fmt: skip
        self.reuse = self.economy.make_reuse(self.switchboard.attempts, lambda call_id, error: None, None)

    async def adopt(self, settings: Settings) -> None:
        """Go by other settings, as a sidecar does. Raises ConfigError, and then nothing has changed."""
        places = read_places(settings.upstreams, {})
        prepared = await self.economy.prepare(settings, places, PRICES, Router(settings.routes, settings.pools))
        self.economy.adopt(prepared, self.clock.now())
        self.meter.adopt(settings, settings.upstreams)
        self.reuse = self.economy.make_reuse(self.switchboard.attempts, lambda call_id, error: None, None)
        self.settings = settings

    async def carry(self, client: ErrandClient, errand: Errand) -> None:
        self.carried.append(errand)
        if self.at_errand is not None:
            await self.at_errand()


def featuring(**features: bool) -> Settings:
    return replace(OFF, features=Features(**features))


def names() -> set[str]:
    """Return what runs by itself."""
    return {task.get_name() for task in asyncio.all_tasks()} - {asyncio.current_task().get_name()}  # type: ignore[union-attr]


@pytest.mark.parametrize(
    ("features", "made"),
    [
        ({}, set()), ({"cache": True}, {"reuse"}), ({"coalescing": True}, {"reuse"}), ({"batches": True}, {"reuse"}),
        ({"limits": True}, {"limiting"}), ({"budgets": True}, {"spending"}), ({"stale": True, "refresh": True}, set()),
    ],
)  # fmt: skip
def test_what_is_off_is_not_made(features: dict[str, bool], made: set[str]) -> None:
    """Each feature alone makes its own part and no other."""
    composed = Composed(featuring(**features))
    parts = {"reuse": composed.reuse, "limiting": composed.economy.limiting, "spending": composed.economy.spending}
    assert {name for name, part in parts.items() if part is not None} == made


def test_what_is_off_takes_no_memory() -> None:
    """Nor is it loaded: neither Redis, nor a ledger, nor what tidies up."""
    heavy = ("sidecar.edge.ledger", "sidecar.edge.cleanup", "sidecar.edge.memory", "sidecar.edge.shared", "redis", "cryptography")
    code = f"import sys, sidecar.economy; print([name for name in sys.modules if name.startswith({heavy!r})])"
    told = subprocess.run([sys.executable, "-c", code], capture_output=True, text=True, check=True, timeout=30)
    assert told.stdout.strip() == "[]"


async def test_nothing_runs_where_nothing_is_on() -> None:
    """And its gauges are as they were."""
    composed = Composed(OFF)
    await composed.economy.start()
    composed.economy.refresh()
    assert names() == set()
    assert composed.economy.describe_shared() is composed.economy.describe_ledger() is None
    await composed.economy.stop()


async def test_what_is_kept_is_tidied_up_until_the_end() -> None:
    """One task, which ends with it; the gauges tell of both levels."""
    composed = Composed(featuring(cache=True))
    await composed.economy.start()
    assert names() == {"cache cleanup"}
    composed.economy.refresh()
    assert {level: composed.meter.families.cache_entries.child(level).value for level in ("hot", "warm")} == {"hot": 0, "warm": 0}
    await composed.economy.stop()
    assert names() == set()


async def test_prompts_are_asked_from_the_start_on(tmp_path: Path) -> None:
    """In the background; what still asks at the end is ended."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(PROMPT)
    settings = replace(featuring(warming=True, cache=True), warming=Warming(file=str(file), every=3600.0))
    composed = Composed(settings)
    await composed.economy.start()
    for _ in range(100):
        await asyncio.sleep(0)
    (errand,) = composed.carried
    assert (errand.origin, errand.call.target, errand.body) == ("warming", "/one/v1/chat/completions", KEPT)
    assert names() == {"warming", "cache cleanup"}
    await composed.economy.quieten()
    assert names() == {"cache cleanup"}
    await composed.economy.stop()
    assert names() == set()


async def test_what_is_spent_outlives_the_sidecar(tmp_path: Path) -> None:
    """It is written down before the end, and read at the next start; one sidecar writes at a time."""
    budgets = Budgets(file=str(tmp_path / "ledger"), tenant=Budget(day=1.0))
    settings = replace(featuring(budgets=True), budgets=budgets)
    first = Composed(settings)
    await first.economy.start()
    assert first.economy.spending is not None and first.economy.describe_ledger() == LedgerView(None)
    first.economy.spending.halt("default", True)
    with pytest.raises(ConfigError, match="another sidecar"):
        await Composed(settings).economy.start()
    await first.economy.stop()
    second = Composed(settings)
    await second.economy.start()
    assert second.economy.spending is not None and second.economy.spending.describe().stopped == {"default"}
    second.economy.refresh()
    assert second.meter.families.spending_stopped.child("default").value == 1
    await second.economy.stop()
    assert names() == set()


async def test_without_a_file_budgets_are_kept_in_memory() -> None:
    """Nothing runs for them."""
    composed = Composed(replace(featuring(budgets=True), budgets=Budgets(tenant=Budget(day=1.0))))
    await composed.economy.start()
    assert composed.economy.spending is not None and composed.economy.spending.describe().balances is not None
    assert names() == set()
    await composed.economy.stop()


async def test_it_ends_in_the_order_in_which_one_needs_another(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What asks first, then what tells others, then the way to them, and last what is written down."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(PROMPT)
    order: list[str] = []

    def note(owner: Any, name: str, told: str) -> None:
        done = getattr(owner, name)

        async def noted(self: Any, *arguments: Any) -> None:
            order.append(told)
            await done(self, *arguments)

        monkeypatch.setattr(owner, name, noted)

    for owner, name in ((Cleanup, "stop"), (SharedBudgets, "close"), (Shared, "close"), (Ledger, "close"), (Shared, "start")):
        note(owner, name, f"{owner.__name__} {name}")
    settings = replace(
        featuring(cache=True, budgets=True, limits=True, warming=True), redis=NOWHERE, warming=Warming(file=str(file), every=60.0),
        budgets=Budgets(file=str(tmp_path / "ledger"), tenant=Budget(day=1.0)),
        limits=replace(OFF.limits, rates=RateLimits(tenant=Rates(requests=Rate(per_minute=100)))),
    )  # fmt: skip
    composed = Composed(settings)
    ended: list[str] = []

    async def ask() -> None:
        try:
            await asyncio.sleep(60)
        finally:
            ended.append("warming")
            assert "Shared close" not in order

    composed.at_errand = ask
    await composed.economy.start()
    for _ in range(100):
        await asyncio.sleep(0)
    await composed.economy.quieten()
    await composed.economy.stop()
    assert order == ["Shared start", "Cleanup stop", "SharedBudgets close", "Shared close", "Ledger close"] and ended == ["warming"]
    assert names() == set()


async def test_a_store_that_is_away_keeps_nobody_from_starting() -> None:
    """Limits are kept here then."""
    settings = replace(
        featuring(limits=True), redis=NOWHERE, limits=replace(OFF.limits, rates=RateLimits(tenant=Rates(requests=Rate(per_day=1))))
    )  # fmt: skip
    composed = Composed(settings)
    await composed.economy.start()
    assert composed.economy.limiting is not None
    async with asyncio.timeout(5):
        while composed.economy.describe_shared() == SharedView(None, None):
            await asyncio.sleep(0.005)
    assert composed.economy.describe_shared() == SharedView(False, "refused")
    call = make_call()
    for refused in (False, True):
        exchange = Exchange(PlayedClient(call), call, None)
        try:
            await composed.economy.limiting.admit(exchange)
            assert not refused
        except Refused:
            assert refused
    await composed.economy.stop()


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (replace(featuring(cache=True), redis=replace(NOWHERE, encryption_key_file="/nowhere/key")), "redis.encryption_key_file"),
        (replace(featuring(warming=True), warming=Warming(file="/nowhere/prompts", key_file="/nowhere/key")), "warming.key_file"),
    ],
)  # fmt: skip
def test_a_secret_that_cannot_be_read_is_told_by_its_setting(settings: Settings, setting: str) -> None:
    """At once: before anything runs."""
    with pytest.raises(ConfigError) as caught:
        Composed(settings)
    assert [problem.path for problem in caught.value.problems] == [setting]


def test_a_key_that_is_none_is_told_without_what_is_in_it(tmp_path: Path) -> None:
    """It may be a secret all the same."""
    (tmp_path / "key").write_text("hunter2")
    settings = replace(featuring(cache=True), redis=replace(NOWHERE, encryption_key_file=str(tmp_path / "key")))
    with pytest.raises(ConfigError) as caught:
        Composed(settings)
    assert "hunter2" not in json.dumps(str(caught.value))


async def test_without_the_cache_no_key_is_looked_for() -> None:
    """Answers are not shared then."""
    Composed(replace(featuring(coalescing=True), redis=replace(NOWHERE, encryption_key_file="/nowhere/key")))


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (replace(featuring(warming=True), warming=Warming(file="/nowhere/prompts")), "warming.file"),
        (replace(featuring(budgets=True), budgets=Budgets(file="/nowhere/ledger")), "budgets.file"),
    ],
)  # fmt: skip
async def test_a_file_that_cannot_be_used_keeps_it_from_starting(settings: Settings, setting: str) -> None:
    """And what has started can be ended."""
    composed = Composed(settings)
    with pytest.raises(ConfigError) as caught:
        await composed.economy.start()
    assert [problem.path for problem in caught.value.problems] == [setting]
    await composed.economy.stop()
    assert names() == set()


# -- other settings, while it runs ---------------------------------------------------------------------------


async def turns(number: int = 50) -> None:
    """Let what is due come to pass."""
    for _ in range(number):
        await asyncio.sleep(0)


async def test_features_come_and_go() -> None:
    """Each with what runs for it; in the end as at the start."""
    composed = Composed(OFF)
    await composed.economy.start()
    await composed.adopt(featuring(cache=True, limits=True, budgets=True))
    assert None not in (composed.reuse, composed.economy.limiting, composed.economy.spending) and names() == {"cache cleanup"}
    first = composed.reuse
    await composed.adopt(featuring(cache=True))
    assert composed.reuse is not first
    assert composed.economy.limiting is composed.economy.spending is None and names() == {"cache cleanup"}
    composed.economy.refresh()
    assert composed.meter.families.budget_spent_usd.children == []
    await composed.adopt(OFF)
    await turns(2)
    assert composed.reuse is None and names() == set() and composed.economy.describe_levels() == {}
    assert composed.economy.describe_spending() == ((), frozenset())
    await composed.economy.stop()


async def test_limits_that_are_switched_on_begin_and_counts_go_on() -> None:
    """Of calls that came while they were on."""
    settings = replace(featuring(limits=True), limits=replace(OFF.limits, rates=RateLimits(tenant=Rates(requests=Rate(per_day=2)))))
    composed = Composed(OFF)
    await composed.economy.start()
    await composed.adopt(settings)
    limiting = composed.economy.limiting
    assert limiting is not None

    async def call() -> None:
        exchange = Exchange(PlayedClient(make_call()), make_call(), None)
        exchange.tenant = Tenant("default", "default")
        await limiting.admit(exchange)

    await call()
    await composed.adopt(replace(settings, features=Features()))
    await composed.adopt(settings)
    assert composed.economy.limiting is limiting
    await call()
    with pytest.raises(Refused):
        await call()
    await composed.economy.stop()


async def test_warming_begins_anew_where_it_is_another_one(tmp_path: Path) -> None:
    """And goes on where it is not, whatever else changes."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(PROMPT)
    settings = replace(featuring(warming=True), warming=Warming(file=str(file), every=3600.0))
    composed = Composed(OFF)
    await composed.economy.start()
    await composed.adopt(settings)
    await turns()
    assert len(composed.carried) == 1
    await composed.adopt(replace(settings, features=replace(settings.features, cache=True)))
    await turns()
    assert len(composed.carried) == 1 and names() == {"warming", "cache cleanup"}
    file.write_bytes(PROMPT * 2)
    await composed.adopt(replace(settings, warming=replace(settings.warming, pace=0.001)))
    await asyncio.sleep(0.05)
    assert len(composed.carried) == 3
    await composed.adopt(OFF)
    await turns()
    assert names() == set()
    await composed.economy.stop()


async def test_a_sidecar_that_stops_begins_nothing(tmp_path: Path) -> None:
    """Settings that come too late start no calls of its own."""
    file = tmp_path / "prompts.jsonl"
    file.write_bytes(PROMPT)
    composed = Composed(OFF)
    await composed.economy.start()
    await composed.economy.quieten()
    await composed.adopt(replace(featuring(warming=True), warming=Warming(file=str(file))))
    await turns()
    assert composed.carried == []
    await composed.economy.stop()


@pytest.mark.parametrize(
    ("settings", "setting"),
    [
        (replace(featuring(warming=True), warming=Warming(file="/nowhere/prompts")), "warming.file"),
        (replace(featuring(warming=True), warming=Warming(file="/nowhere/prompts", key_file="/nowhere/key")), "warming.key_file"),
        (replace(featuring(budgets=True, cache=True), budgets=Budgets(file="/nowhere/ledger")), "budgets.file"),
        (replace(featuring(cache=True), redis=replace(NOWHERE, encryption_key_file="/nowhere/key")), "redis.encryption_key_file"),
    ],
)  # fmt: skip
async def test_what_cannot_be_used_changes_nothing(settings: Settings, setting: str) -> None:
    """It is told by its setting, and what was in force is."""
    before = replace(featuring(coalescing=True), redis=settings.redis)
    composed = Composed(before)
    await composed.economy.start()
    running, reuse = names(), composed.reuse
    with pytest.raises(ConfigError) as caught:
        await composed.adopt(settings)
    assert [problem.path for problem in caught.value.problems] == [setting]
    assert composed.reuse is reuse and names() - {"shared"} == running - {"shared"} and composed.economy.spending is None
    await composed.economy.stop()


def count_files() -> int:
    """Return how many files the process has open."""
    return len(list(Path("/proc/self/fd").iterdir()))


async def test_a_thousand_settings_leave_nothing_behind(tmp_path: Path) -> None:
    """Neither objects nor tasks nor files: as many of each as after the first few."""
    (tmp_path / "prompts").write_bytes(PROMPT)
    rates = RateLimits(tenant=Rates(requests=Rate(per_second=5, per_minute=100)))
    on = replace(
        featuring(cache=True, coalescing=True, batches=True, refresh=True, stale=True, limits=True, budgets=True, warming=True),
        limits=replace(OFF.limits, rates=rates), warming=Warming(file=str(tmp_path / "prompts"), every=3600.0),
        budgets=Budgets(file=str(tmp_path / "ledger"), tenant=Budget(day=1.0)),
    )  # fmt: skip
    composed = Composed(on)
    await composed.economy.start()
    counts: list[Counter[str]] = []
    files: list[int] = []
    for number in range(1_000):
        name = f"t{number}"
        changed = replace(
            on, tenants=replace(on.tenants, names=(name,)), cache=replace(on.cache, stale=60.0 + number),
            warming=replace(on.warming, tenant=name), budgets=replace(on.budgets, tenants={name: Budget(day=2.0)}),
            upstreams={**on.upstreams, "a": replace(on.upstreams["a"], url=f"http://a{number}.test")},
            features=replace(on.features, cache=number % 3 > 0, limits=number % 5 > 0, budgets=number % 7 > 0, warming=number % 2 > 0),
        )  # fmt: skip
        await composed.adopt(changed)
        composed.economy.refresh()
        composed.carried.clear()
        if number in (209, 419, 999):
            await composed.adopt(on)
            await turns()
            composed.carried.clear()
            gc.collect()
            counts.append(Counter(type(each).__name__ for each in gc.get_objects() if str(type(each).__module__).startswith("sidecar.")))
            files.append(count_files())
    grown = {kind: number for kind, number in (counts[2] - counts[1]).items() if kind not in OF_NAMES}
    assert grown == {} and files[0] == files[1] == files[2]
    assert names() == {"cache cleanup", "warming", "ledger"}
    await composed.economy.stop()
