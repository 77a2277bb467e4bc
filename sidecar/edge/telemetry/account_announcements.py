"""What an operator should read of budgets, and of the ledger that they are kept in."""

from typing import Final, Protocol

from sidecar import catalogue
from sidecar.edge.telemetry.accounts import Accounts
from sidecar.edge.telemetry.logs import EventLog

_DAMAGED: Final = "damaged"


class Turn(Protocol):
    """Something that happens to a budget at most once in its day or month."""

    @property
    def tenant(self) -> str:
        """Whose it is; "" of everybody's together."""
        ...

    @property
    def window(self) -> str:
        """One of catalogue.BUDGET_WINDOWS."""
        ...

    @property
    def is_spent(self) -> bool:
        """A call was refused; else so much is spent that it is warned of."""
        ...


class AccountAnnouncements:
    """Counts what goes wrong with the ledger, and writes lines of it; and of what is spent, where that is news."""

    def __init__(self, accounts: Accounts, log: EventLog) -> None:
        self._accounts = accounts
        self._log = log

    def note_ledger_replayed(self, file: str, events: int) -> None:
        """So many events of the ledger were read at the start."""
        self._log.write(catalogue.LEDGER_REPLAYED, file=file, events=events)

    def note_ledger_damaged(self, file: str, kept_as: str, events: int) -> None:
        """So many events could be read before the damage; the file is now `kept_as`."""
        self._accounts.note_ledger_failure(_DAMAGED)
        self._log.write(catalogue.LEDGER_DAMAGED, file=file, kept_as=kept_as, events=events)

    def note_ledger_failed(self, file: str, reason: str, error: str) -> None:
        """It could not be written, by one of catalogue.LEDGER_FAILURES. `error`: what the system said."""
        self._accounts.note_ledger_failure(reason)
        self._log.write(catalogue.LEDGER_FAILED, reason, file=file, reason=reason, error=error)

    def note_turn(self, turn: Turn) -> None:
        """A limit was reached, for the first time in its day or month."""
        event = catalogue.BUDGET_EXHAUSTED if turn.is_spent else catalogue.BUDGET_WARNED
        self._log.write(event, tenant=turn.tenant or catalogue.EVERYBODY, window=turn.window)

    def note_stopped(self, tenant: str, *, is_stopped: bool) -> None:
        """An operator stopped the spending of a tenant, "" is of all, or let it go on."""
        self._log.write(catalogue.SPENDING_HALTED if is_stopped else catalogue.SPENDING_RESUMED, tenant=tenant or catalogue.EVERYBODY)
