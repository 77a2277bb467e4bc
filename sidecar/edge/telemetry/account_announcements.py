"""What an operator should read of budgets, and of the ledger that they are kept in."""

from sidecar import catalogue
from sidecar.edge.telemetry.accounts import Accounts
from sidecar.edge.telemetry.logs import EventLog


class AccountAnnouncements:
    """Counts what goes wrong with the ledger, and writes lines of what is news. Of tenants, "" is everybody together."""

    def __init__(self, accounts: Accounts, log: EventLog) -> None:
        self.note_ledger_failure = accounts.note_ledger_failure
        self._log = log

    def note_ledger_replayed(self, lines: int, reservations: int) -> None:
        """So many lines were read at the start; so many calls were in progress when they ended, and count as spent."""
        self._log.write(catalogue.LEDGER_REPLAYED, lines=lines, reservations=reservations)

    def note_ledger_damaged(self, lines: int, kept_as: str) -> None:
        """So many lines could not be read at the start. `kept_as`: where the file is now; "": it could not be kept."""
        self._log.write(catalogue.LEDGER_DAMAGED, lines=lines, kept_as=kept_as or None)

    def note_ledger_unwritable(self, problem: str) -> None:
        """What is spent is not on disk from now on. `problem`: what the system said."""
        self._log.write(catalogue.LEDGER_FAILED, problem=problem)

    def note_ledger_writable(self) -> None:
        """Everything is on disk again."""
        self._log.write(catalogue.LEDGER_WRITABLE)

    def note_soft_limit(self, tenant: str, window: str) -> None:
        """So much of a budget is spent or reserved that it is warned of. Once in a window."""
        self._log.write(catalogue.BUDGET_WARNED, tenant=tenant or catalogue.EVERYBODY, window=window)

    def note_budget_spent(self, tenant: str, window: str) -> None:
        """A call was refused. Once in a window."""
        self._log.write(catalogue.BUDGET_EXHAUSTED, tenant=tenant or catalogue.EVERYBODY, window=window)

    def note_stopped(self, tenant: str, *, is_stopped: bool) -> None:
        """An operator stopped spending, or let it go on."""
        self._log.write(catalogue.SPENDING_HALTED if is_stopped else catalogue.SPENDING_RESUMED, tenant=tenant or catalogue.EVERYBODY)
