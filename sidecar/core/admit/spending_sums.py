"""What is counted of money: sums by account and period, what one call has reserved, why another may not.

Sums are whole nano-dollars: a token costs some 20 of them at least, and nothing is lost by adding up.
"""

from collections.abc import Mapping, Sequence
from math import ceil, inf
from typing import Final, NamedTuple

import msgspec

from sidecar.catalogue import BUDGET_WINDOWS
from sidecar.core.admit.spending_windows import is_day

ALL: Final = ""  # the account of everybody together
NANO: Final = 1_000_000_000
# Nobody spends a million dollars by one call: a number beyond it is an error, and would not leave again.
CALL_NANO_MAX: Final = 1_000_000 * NANO


class Sum(msgspec.Struct):
    """What one account has spent and reserved in one period, in nano-dollars. `others_`: other sidecars, as last heard of.

    `soft`: from how much on is warned of it. Without a limit both are None.
    """

    account: str
    period: str
    limit: int | None
    soft: float | None
    spent: int = 0
    reserved: int = 0
    pending: int = 0  # of what is reserved: not agreed upon with other sidecars yet
    others_spent: int = 0
    others_reserved: int = 0
    is_warned: bool = False  # that the soft limit is reached
    is_told: bool = False  # that a call was refused
    is_shared: bool = False  # other sidecars were told of it: so they are of what becomes of it, whether or not there is a limit

    @property
    def is_blank(self) -> bool:
        """Whether it tells nothing that a new one would not."""
        return not (self.committed or self.is_warned or self.is_told)

    @property
    def own(self) -> int:
        """Spent and reserved here."""
        return self.spent + self.reserved

    @property
    def committed(self) -> int:
        """Spent and reserved, here and by other sidecars."""
        return self.spent + self.reserved + self.others_spent + self.others_reserved

    @property
    def is_soft_reached(self) -> bool:
        """Whether so much is spent or reserved that it is warned of: before calls are refused, for want of a smaller rest."""
        return self.soft is not None and self.committed >= self.soft

    def lacks(self, nano: int, committed: int) -> bool:
        """Whether there is no room for so much on top of what is `committed`. Where the limit is reached, not for nothing either."""
        return self.limit is not None and (committed + nano > self.limit or committed >= self.limit)

    def show(self) -> "Balance":
        """Return it in US dollars."""
        limit = None if self.limit is None else self.limit / NANO
        spent, reserved = self.spent + self.others_spent, self.reserved + self.others_reserved
        return Balance(self.account, self.window, self.period, spent / NANO, reserved / NANO, limit, self.is_soft_reached)

    @property
    def window(self) -> str:
        """One of catalogue.BUDGET_WINDOWS."""
        return BUDGET_WINDOWS[0] if is_day(self.period) else BUDGET_WINDOWS[1]

    @property
    def limit_name(self) -> str:
        """One of catalogue.LIMITS."""
        return f"{'all_' if self.account == ALL else ''}budget_{self.window}"


class Reservation(msgspec.Struct):
    """What one call may spend. Settled once."""

    number: int
    account: str
    day: str
    nano: int
    sums: tuple[Sum, ...] = ()
    is_open: bool = True


class Refusal(NamedTuple):
    """Why nothing was reserved: one of catalogue.LIMITS, and when there will be something again. None: when somebody says so.

    `is_own`: it would be refused whatever other sidecars have spent.
    """

    limit: str
    retry_after_s: float | None
    is_own: bool = True


class Balance(NamedTuple):
    """One limit, and what there is of it, in US dollars. `tenant`: ALL for everybody together."""

    tenant: str
    window: str
    period: str
    spent_usd: float
    reserved_usd: float
    limit_usd: float | None
    soft_reached: bool


class Turn(NamedTuple):
    """Something that an operator should hear of, once in a period: the soft limit is reached, or (`is_spent`) a call was refused."""

    tenant: str
    window: str
    is_spent: bool


class State(NamedTuple):
    """Everything that has to be known after a restart: (account, period) → spent; reservations that are open; who is stopped."""

    spent: Mapping[tuple[str, str], int]
    open: Sequence[Reservation]
    stopped: frozenset[str]


def to_nano(usd: float, *, up: bool = False) -> int:
    """Return US dollars as whole nano-dollars: never below 0, and at most CALL_NANO_MAX; what is no number is 0."""
    nano = usd * NANO
    if not nano > 0.0:  # NaN, too
        return 0
    if nano >= CALL_NANO_MAX:
        return CALL_NANO_MAX
    return ceil(nano) if up else round(nano)


def to_limit(usd: float | None) -> int | None:
    """Return a limit as whole nano-dollars. None: any sum."""
    return None if usd is None or usd == inf else round(usd * NANO)
