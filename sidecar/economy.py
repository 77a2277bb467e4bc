"""What is kept, shared and allowed: cache, coalescing, batches, warming, limits and budgets, put together for one sidecar.

Everything here is off until it is asked for, and what is off is not even loaded where it would take memory.
"""

from __future__ import annotations

import asyncio
from collections.abc import Awaitable, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import TYPE_CHECKING, Final, TypeVar

from sidecar.config import Settings
from sidecar.core.admit.budgets import Accounts
from sidecar.core.reckon.checks import LedgerView, SharedView
from sidecar.edge.files import read_encryption_key, read_secret
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
from sidecar.edge.telemetry.reuse_announcements import SharedAnnouncements, WarmingAnnouncements
from sidecar.errands import Errand, ErrandClient
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.limiting import Limiting
from sidecar.spending import Spending
from sidecar.warming import FILE_BYTES_MAX, Warming

if TYPE_CHECKING:
    from sidecar.attempts import Attempts
    from sidecar.core.admit.spending_sums import Balance
    from sidecar.core.choose.places import Place
    from sidecar.core.identify.router import Router
    from sidecar.core.observe.overhearing import Listening
    from sidecar.core.observe.pricing import PriceTable
    from sidecar.core.reuse.levels import Levels
    from sidecar.edge.cleanup import Cleanup
    from sidecar.edge.ledger import Ledger
    from sidecar.edge.shared.answers import SharedAnswers
    from sidecar.edge.shared.budgets import SharedBudgets
    from sidecar.edge.shared.shared import Shared
    from sidecar.edge.telemetry.logs import EventLog
    from sidecar.edge.telemetry.meter import Meter
    from sidecar.ports import Clock
    from sidecar.refreshing import Refreshing
    from sidecar.reuse import Reuse

Carry = Callable[[ErrandClient, Errand], Awaitable[None]]
T = TypeVar("T")
_NS: Final = 1e9


class Economy:
    """The parts, by name; None where a feature is off. Raises ConfigError where settings name files that cannot be used.

    `carry`: carries an errand from accept to record, once the path is there. `name_call`: draws a request id.
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
        self._cleanup: Cleanup | None = None
        self._asking: asyncio.Task[None] | None = None
        self._refreshing: Refreshing | None = None
        self._ledger: Ledger | None = None
        self._shared_budgets: SharedBudgets | None = None
        self._sums = Accounts(settings.budgets)
        self._levels: Levels | None = None
        self._notes = AccountAnnouncements(meter.accounts, log)
        self._shared_notes = SharedAnnouncements(meter.reuse, log)
        self._shared = None if settings.redis.url is None else self._reach_shared(draw)
        self.limiting = self._make_limiting() if settings.features.limits else None
        self.spending = self._make_spending() if settings.features.budgets else None
        self._warming = self._make_warming(router) if settings.features.warming else None

    def make_reuse(self, attempts: Attempts, report: Callable[[str, Exception], None], listening: Listening | None) -> Reuse | None:
        """Return what answers calls without asking anew; None where nothing does."""
        settings, features = self._settings, self._settings.features
        if not (features.cache or features.coalescing or features.batches):
            return None
        from sidecar.core.reuse.levels import Levels
        from sidecar.core.reuse.policy import Policy
        from sidecar.flying import Flying
        from sidecar.larder import Larder
        from sidecar.refreshing import Refreshing
        from sidecar.reuse import Reuse

        meter, clock = self._meter.reuse, self._clock
        levels = self._levels = Levels(
            settings.cache, keeps_stale=features.stale, refreshes=features.refresh, note_evicted=meter.note_evicted
        )  # fmt: skip
        bundling = None
        if features.batches:
            from sidecar.bundling import Bundling

            bundling = Bundling(settings, attempts, self.spending, clock, spawn, report, listening)
        refreshing = self._refreshing = Refreshing(self._carry, levels.abandon_refresh, clock, spawn, self._name_call)

        larder = Larder(settings, levels, self._make_shared_answers(), self._prices, clock, meter)
        flying = Flying(settings, attempts, clock, spawn, report, listening, bundling, larder)
        return Reuse(settings, Policy(settings), larder, flying, self._places, clock, asyncio.sleep, meter, refreshing.fetch)

    async def start(self) -> None:
        """Open the ledger, look for the shared place, and ask the first prompts. Raises ConfigError."""
        if self._shared is not None:
            await self._shared.start()
        if self.spending is not None:
            self._open_books(self.spending)
        if self._levels is not None:
            from sidecar.edge.cleanup import Cleanup
            from sidecar.edge.memory import Memory

            self._cleanup = Cleanup(self._levels, self._settings.cache, Memory(), self._clock)
            self._cleanup.start()
        if self._warming is not None:
            self._warming.start()
            self._asking = spawn(self._warming.run(), name="warming")

    async def quieten(self) -> None:
        """End the calls of the sidecar's own: nobody waits for them."""
        if self._asking is not None:
            self._asking.cancel()
            await asyncio.wait((self._asking,))
        if self._refreshing is not None:
            await self._refreshing.stop()

    async def stop(self) -> None:
        """End what runs by itself, and close what is open."""
        await self.quieten()
        if self._cleanup is not None:
            await self._cleanup.stop()
        for part in (self._shared_budgets, self._shared, self._ledger):
            if part is not None:
                await part.close()

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        if self._levels is not None:
            self._meter.reuse.show_levels(self.describe_levels())
        if self.spending is not None:
            overview = self.spending.describe()
            self._meter.accounts.show_budgets(overview.balances)
            self._meter.accounts.show_stopped(overview.stopped)

    def describe_levels(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes of each level of the cache in this process; nothing where there is none."""
        levels = self._levels
        return {} if levels is None else {level: (levels.entries[level], levels.bytes[level]) for level in levels.entries}

    def describe_spending(self) -> tuple[Sequence[Balance], frozenset[str]]:
        """Return all budgets and whose spending is stopped; nothing where there are none."""
        return ((), frozenset()) if self.spending is None else self.spending.describe()

    def describe_shared(self) -> SharedView | None:
        """Return how the place stands that sidecars share; None where there is none."""
        return None if self._shared is None else SharedView(self._shared.is_up, self._shared.problem)

    def describe_ledger(self) -> LedgerView | None:
        """Return whether what is spent is written down; None where it need not be."""
        return None if self._ledger is None else LedgerView(self._ledger.problem)

    def _reach_shared(self, draw: Callable[[], float]) -> Shared:
        from sidecar.edge.shared.shared import Shared

        return Shared(self._settings.redis, self._clock, self._shared_notes, draw)

    def _make_shared_answers(self) -> SharedAnswers | None:
        if self._shared is None or not self._settings.features.cache:
            return None
        from sidecar.edge.shared.answers import SharedAnswers

        key = self._settings.redis.encryption_key_file
        return SharedAnswers(
            self._shared, self._clock, encryption_key=None if key is None else _read(read_encryption_key, key, "redis.encryption_key_file"),
            entry_max=self._settings.cache.entry, note=self._shared_notes,
        )  # fmt: skip

    def _make_limiting(self) -> Limiting:
        shared = None
        if self._shared is not None:
            from sidecar.edge.shared.rates import RedisRates

            shared = RedisRates(self._settings.limits.rates, self._shared, self._shared.prefix, self._shared_notes.note_put_dropped)
        return Limiting(self._settings, self._clock, shared)

    def _make_spending(self) -> Spending:
        return Spending(self._settings.budgets, self._places, self._prices, self._clock, self._sums, None, None, self._notes)

    def _open_books(self, spending: Spending) -> None:
        """Have what is spent written down, and told to other sidecars. Raises ConfigError."""
        budgets, clock = self._settings.budgets, self._clock
        instance = self._name_call()
        if budgets.file is not None:
            from sidecar.edge.ledger import start_ledger  # what is off stays out of memory

            self._ledger = start_ledger(budgets.file, budgets.sync, self._sums, clock.wall_ns() / _NS, self._notes)
            instance = self._ledger.instance
        if self._shared is not None:
            from sidecar.edge.shared.budgets import SharedBudgets

            self._shared_budgets = SharedBudgets(self._shared, self._sums, self._shared.prefix, instance, clock)
            self._shared_budgets.start()
        spending.connect(self._ledger, self._shared_budgets)

    def _make_warming(self, router: Router) -> Warming:
        settings, notes = self._settings, WarmingAnnouncements(self._log)
        file = Path(settings.warming.file or "")
        key = None if settings.warming.key_file is None else _read(read_secret, settings.warming.key_file, "warming.key_file")
        return Warming(
            settings, key, router, self._clock, self._carry, name_call=self._name_call, read=partial(_read_some, file), rest=asyncio.sleep,
            report=notes.note_bad_line, note_ended=notes.note_ended,
        )  # fmt: skip


def _read(read: Callable[[str], T], path: str, setting: str) -> T:
    try:
        return read(path)
    except ValueError as error:
        raise ConfigError("start", [ConfigProblem(setting, str(error), "a readable file of the form that is documented")]) from None


def _read_some(path: Path) -> bytes:
    with path.open("rb") as file:
        return file.read(FILE_BYTES_MAX + 1)
