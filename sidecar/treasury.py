"""What is spent and may be: the sums, the file that they are written down in, and the other sidecars that spend of the same.

The sums are there for as long as the process, whatever becomes of the settings. Once budgets are switched on, their file and what is
told to other sidecars stay until the end: calls that began while they were on are settled after they are switched off, and what was
spent until then counts when they are on again.
"""

from __future__ import annotations

import asyncio
from collections.abc import Callable, Mapping
from typing import TYPE_CHECKING, Final

from sidecar.core.admit.budgets import Accounts
from sidecar.core.reckon.checks import LedgerView
from sidecar.spending import Spending

if TYPE_CHECKING:
    from sidecar.config import Budgets
    from sidecar.core.choose.places import Place
    from sidecar.core.observe.pricing import PriceTable
    from sidecar.edge.ledger import Ledger
    from sidecar.edge.ledger_reading import Opened
    from sidecar.edge.shared.budgets import SharedBudgets
    from sidecar.edge.shared.shared import Shared
    from sidecar.edge.telemetry.account_announcements import AccountAnnouncements
    from sidecar.ports import Clock

_NS: Final = 1e9


class Treasury:
    """One for each process. `shared`: the place that sidecars share; None for one that is alone. `name_call`: draws an id."""

    def __init__(
        self, settings: Budgets, clock: Clock, notes: AccountAnnouncements, shared: Shared | None, name_call: Callable[[], str]
    ) -> None:  # fmt: skip
        self._settings = settings
        self._clock = clock
        self._notes = notes
        self._shared = shared
        self._name_call = name_call
        self._accounts = Accounts(settings)
        self._opened: Opened | None = None
        self._ledger: Ledger | None = None
        self._others: SharedBudgets | None = None
        self._is_open = False

    def make_spending(self, places: Mapping[str, Place], prices: PriceTable) -> Spending:
        """Return what reserves and settles calls by the settings of now."""
        return Spending(self._settings, places, prices, self._clock, self._accounts, self._ledger, self._others, self._notes)

    def open(self, spending: Spending) -> None:
        """Have what is spent written down, and told to other sidecars, from the start on. Raises ConfigError."""
        if self._settings.file is not None:
            from sidecar.edge.ledger_reading import open_ledger

            self._opened = open_ledger(self._settings.file)
        self._begin(waits=True)
        spending.connect(self._ledger, self._others)

    async def prepare(self, settings: Budgets, *, is_on: bool) -> None:
        """Do for `adopt` what may fail: nothing that is in force is touched. Raises ConfigError."""
        self._leave()
        if is_on and settings.file is not None and not self._is_open:
            from sidecar.edge.ledger_reading import open_ledger

            self._opened = await asyncio.to_thread(open_ledger, settings.file)

    def adopt(self, settings: Budgets, *, is_on: bool) -> None:
        """Go by other settings from now on. `is_on`: budgets are, as was prepared."""
        self._settings = settings
        self._accounts.adopt(settings)
        if is_on and not self._is_open:
            self._begin(waits=False)

    async def close(self) -> None:
        """Tell the others how things stand in the end."""
        self._leave()
        if self._others is not None:
            await self._others.close()

    async def close_ledger(self, timeout_s: float = 3.0) -> None:
        """Have everything on disk, within so many seconds, and let go of the file."""
        if self._ledger is not None:
            await self._ledger.close(timeout_s)

    def describe_ledger(self) -> LedgerView | None:
        """Return whether what is spent is written down; None where it need not be."""
        return None if self._ledger is None else LedgerView(self._ledger.problem)

    def _begin(self, *, waits: bool) -> None:
        self._is_open = True
        instance, opened = self._name_call(), self._opened
        if opened is not None:
            from sidecar.edge.ledger import start_ledger  # what is off stays out of memory

            wall_s = self._clock.wall_ns() / _NS
            self._ledger = start_ledger(opened, self._settings.sync, self._accounts, wall_s, self._notes, waits=waits)
            self._opened, instance = None, self._ledger.instance
        if self._shared is not None:
            from sidecar.edge.shared.budgets import SharedBudgets

            self._others = SharedBudgets(self._shared, self._accounts, self._shared.prefix, instance, self._clock)
            self._others.start()

    def _leave(self) -> None:
        """Let go of a ledger that was prepared for nothing."""
        if self._opened is not None:
            self._opened.release()
            self._opened = None
