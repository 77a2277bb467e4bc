"""What is kept, shared and allowed: cache, coalescing, batches, warming, limits and budgets, put together for one sidecar.

Everything here is off until it is asked for, and what is off is not even loaded where it would take memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, NamedTuple, TypeVar

from sidecar.config import Features, Settings
from sidecar.core.reckon.checks import LedgerView, SharedView
from sidecar.edge.files import read_encryption_key, read_secret
from sidecar.edge.tasks import end_together, spawn
from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
from sidecar.edge.telemetry.reuse_announcements import SharedAnnouncements, WarmingAnnouncements
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.limiting import Limiting
from sidecar.pantry import Pantry
from sidecar.spending import Spending
from sidecar.treasury import Treasury
from sidecar.warming import FILE_BYTES_MAX, Warming

if TYPE_CHECKING:
    from sidecar.attempts import Attempts
    from sidecar.core.admit.spending_sums import Balance
    from sidecar.core.choose.places import Place
    from sidecar.core.identify.router import Router
    from sidecar.core.observe.overhearing import Listening
    from sidecar.core.observe.pricing import PriceTable
    from sidecar.edge.shared.answers import SharedAnswers
    from sidecar.edge.shared.rates import RedisRates
    from sidecar.edge.shared.shared import Shared
    from sidecar.edge.telemetry.logs import EventLog
    from sidecar.edge.telemetry.meter import Meter
    from sidecar.ports import Clock
    from sidecar.refreshing import Refreshing
    from sidecar.reuse import Reuse

Carry = Callable[[ErrandClient, Errand], Awaitable[None]]
T = TypeVar("T")


class Prepared(NamedTuple):
    """What `Economy.adopt` needs of other settings; nothing that is in force was touched for it."""

    settings: Settings
    places: Mapping[str, Place]
    prices: PriceTable
    router: Router
    warming: Warming | None
    answers: SharedAnswers | None


class Economy:
    """The parts, by name; None where a feature is off. Raises ConfigError where settings name files that cannot be used.

    Settings may change: `limiting`, `spending` and what `make_reuse` returns are of one set of them, what they count in and keep is of
    the process. `carry`: carries an errand from accept to record, by the settings of now, once the path is there. `name_call`: draws a
    request id.
    """

    def __init__(
        self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, router: Router, clock: Clock,
        draw: Callable[[], float], meter: Meter, log: EventLog, *, carry: Carry, name_call: Callable[[], str],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._places = places
        self._prices = prices
        self._clock = clock
        self._meter = meter
        self._log = log
        self._carry = carry
        self._name_call = name_call
        self._asking: asyncio.Task[None] | None = None
        self._refreshing: Refreshing | None = None
        self._pantry = Pantry(settings, clock, meter.reuse.note_evicted)
        self._is_started = False
        self._shared_notes = SharedAnnouncements(meter.reuse, log)
        self._shared = None if settings.redis.url is None else self._reach_shared(draw)
        self._answers = self._make_answers(settings)
        self._treasury = Treasury(settings.budgets, clock, AccountAnnouncements(meter.accounts, log), self._shared, name_call)
        self._rates = None if self._shared is None else self._make_rates(self._shared)
        self._limiting = Limiting(settings, clock, self._rates)
        self.limiting, self.spending = self._make_admission()
        self._warming = self._make_warming(settings, router)

    def make_reuse(self, attempts: Attempts, report: Callable[[str, Exception], None], listening: Listening | None) -> Reuse | None:
        """Return what answers calls without asking anew; None where nothing does."""
        settings, features = self._settings, self._settings.features
        if not _has_reuse(features):
            return None
        from sidecar.core.reuse.policy import Policy
        from sidecar.flying import Flying
        from sidecar.larder import Larder
        from sidecar.refreshing import Refreshing
        from sidecar.reuse import Reuse

        meter, clock, levels = self._meter.reuse, self._clock, self._pantry.open()
        bundling = None
        if features.batches:
            from sidecar.bundling import Bundling

            bundling = Bundling(settings, attempts, self.spending, clock, spawn, report, listening)
        if self._refreshing is None:
            self._refreshing = Refreshing(self._carry, self._pantry.abandon_refresh, clock, spawn, self._name_call)
        larder = Larder(settings, levels, self._answers if features.cache else None, self._prices, clock, meter)
        flying = Flying(settings, attempts, clock, spawn, report, listening, bundling, larder)
        return Reuse(settings, Policy(settings), larder, flying, self._places, clock, asyncio.sleep, meter, self._refreshing.fetch)

    async def start(self) -> None:
        """Open the ledger, look for the shared place, and ask the first prompts. Raises ConfigError."""
        if self._shared is not None:
            await self._shared.start()
        if self.spending is not None:
            self._treasury.open(self.spending)
        self._is_started = True
        self._pantry.start()
        if self._warming is not None:
            self._warming.start()
            self._ask(self._warming)

    async def prepare(self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, router: Router) -> Prepared:
        """Do for other settings what may fail or take time. Nothing in force is touched. Raises ConfigError.

        What is returned need not be used: what it holds is let go of by the next one.
        """
        warming = self._make_warming(settings, router)
        if warming is not None:
            await asyncio.to_thread(warming.read)
        answers = self._answers or self._make_answers(settings)
        await self._treasury.prepare(settings.budgets, is_on=settings.features.budgets)
        return Prepared(settings, places, prices, router, warming, answers)

    def adopt(self, prepared: Prepared, now: float) -> None:
        """Go by other settings from now on; what was counted and kept stays. Calls in progress go on with what they began with.

        In one step, which does not fail. `make_reuse` comes afterwards.
        """
        settings, features = prepared.settings, prepared.settings.features
        self._settings, self._places, self._prices = settings, prepared.places, prepared.prices
        self._limiting.adopt(settings, now)
        if self._rates is not None:
            self._rates.adopt(settings.limits.rates)
        self._treasury.adopt(settings.budgets, is_on=features.budgets)
        self.limiting, self.spending = self._make_admission()
        self._answers = prepared.answers
        if self._answers is not None:
            self._answers.adopt(settings.cache.entry)
        self._pantry.adopt(settings)
        self._adopt_warming(prepared)

    async def quieten(self) -> None:
        """End the calls of the sidecar's own: nobody waits for them."""
        self._is_started = False
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
        if self._refreshing is not None:
            await self._refreshing.stop()

    async def stop(self, timeout_s: float = 3.0) -> None:
        """End what runs by itself, and close what is open, within so many seconds."""
        await self.quieten()
        await self._pantry.stop()
        # A Redis that does not answer leaves the ledger its half of the time.
        await end_together((self._leave_shared(),), timeout_s / 2)
        await self._treasury.close_ledger(timeout_s / 2)

    async def _leave_shared(self) -> None:
        await self._treasury.close()
        if self._shared is not None:
            await self._shared.close()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        self._meter.reuse.show_levels(self.describe_levels())
        if self.spending is not None:
            overview = self.spending.describe()
            self._meter.accounts.show_budgets(overview.balances)
            self._meter.accounts.show_stopped(overview.stopped)

    def describe_levels(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes of each level of the cache in this process; nothing where there is none."""
        return self._pantry.describe()

    def describe_spending(self) -> tuple[Sequence[Balance], frozenset[str]]:
        """Return all budgets and whose spending is stopped; nothing where there are none."""
        return ((), frozenset()) if self.spending is None else self.spending.describe()

    def describe_shared(self) -> SharedView | None:
        """Return how the place stands that sidecars share; None where there is none."""
        return None if self._shared is None else SharedView(self._shared.is_up, self._shared.problem)

    def describe_ledger(self) -> LedgerView | None:
        """Return whether what is spent is written down; None where it need not be."""
        return None if self.spending is None else self._treasury.describe_ledger()

    def _make_admission(self) -> tuple[Limiting | None, Spending | None]:
        features = self._settings.features
        spending = self._treasury.make_spending(self._places, self._prices) if features.budgets else None
        return self._limiting if features.limits else None, spending

    def _reach_shared(self, draw: Callable[[], float]) -> Shared:
        from sidecar.edge.shared.shared import Shared

        return Shared(self._settings.redis, self._clock, self._shared_notes, draw)

    def _make_answers(self, settings: Settings) -> SharedAnswers | None:
        if self._shared is None or not settings.features.cache:
            return None
        from sidecar.edge.shared.answers import SharedAnswers

        key = settings.redis.encryption_key_file
        return SharedAnswers(
            self._shared, self._clock, encryption_key=None if key is None else _read(read_encryption_key, key, "redis.encryption_key_file"),
            entry_max=settings.cache.entry, note=self._shared_notes,
        )  # fmt: skip

    def _make_rates(self, shared: Shared) -> RedisRates:
        from sidecar.edge.shared.rates import RedisRates

        return RedisRates(self._settings.limits.rates, shared, shared.prefix, self._shared_notes.note_put_dropped)

    # -- what is asked before anybody does -------------------------------------------------

    def _make_warming(self, settings: Settings, router: Router) -> Warming | None:
        if not settings.features.warming:
            return None
        notes = WarmingAnnouncements(self._log)
        file = Path(settings.warming.file or "")
        key = None if settings.warming.key_file is None else _read(read_secret, settings.warming.key_file, "warming.key_file")
        return Warming(
            settings, key, router, self._clock, self._carry, name_call=self._name_call, read=partial(_read_some, file), rest=asyncio.sleep,
            report=notes.note_bad_line, note_ended=notes.note_ended,
        )  # fmt: skip

    def _adopt_warming(self, prepared: Prepared) -> None:
        before, after = self._warming, prepared.warming
        if before is not None and after is not None and after.asks_as(before):
            before.adopt(prepared.settings, prepared.router)
            return
        if self._asking is not None:
            self._asking.cancel()
            self._asking = None
        self._warming = after
        if after is not None and self._is_started:
            after.tell_problems()
            self._ask(after)

    def _ask(self, warming: Warming) -> None:
        self._asking = spawn(warming.run(), name="warming")


def _has_reuse(features: Features) -> bool:
    return features.cache or features.coalescing or features.batches


def _read(read: Callable[[str], T], path: str, setting: str) -> T:
    try:
        return read(path)
    except ValueError as error:
        raise ConfigError("start", [ConfigProblem(setting, str(error), "a readable file of the form that is documented")]) from None


def _read_some(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
