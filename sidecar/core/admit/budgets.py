"""What may be spent, and what is: reserved before a call, settled after it, for each account and for everybody together.

A call counts in four sums: its account's day and month, and everybody's. It is reserved only where all four have room:

    spent + reserved + what the call is likely to cost ≤ limit

What it really cost takes the reservation's place, more or less as it may be: so the most by which a limit is overspent is what
the calls in progress cost beyond their reservations. Both belong to the day and the month in which it was reserved, also where it
ends in the next: what was allowed yesterday is nothing of today's.

No timers: a new day begins with the first look at it. Of each account and kind of window the last three periods are kept, and
those with open reservations, so that a clock that is set back finds the sums again.
"""

from collections.abc import Iterable
from math import inf
from typing import Final

from sidecar.catalogue import BUDGET_WINDOWS, HALTED
from sidecar.config import Budgets
from sidecar.core.admit.spending_sums import ALL, NANO, Balance, Refusal, Reservation, State, Sum, Turn, to_limit, to_nano
from sidecar.core.admit.spending_windows import is_day, name_month, open_calendar

_PERIODS_KEPT: Final = 3


class Accounts:
    """All accounts. `reserve` and `settle` change them at the moment they are called, so that no two calls take the same money."""

    def __init__(self, settings: Budgets) -> None:
        self._settings = settings
        self._sums: dict[tuple[str, str], Sum] = {}
        self._current: dict[str, tuple[Sum, ...]] = {}  # by account: those that a call of today counts in
        self._calendar = open_calendar(0.0)
        self._open: dict[int, Reservation] = {}
        self._stopped: set[str] = set()
        self._number = 0
        self._turns: list[Turn] = []

    def reserve(self, account: str, usd: float | None, wall_s: float) -> Reservation | Refusal:
        """Reserve what a call is likely to cost, at `wall_s`, Unix seconds.

        `usd` None: its price is nothing; it is held up by no limit, only where spending is stopped. A call of 0, whose price is not
        known, is held up where a limit is reached.
        """
        if self._stopped and (ALL in self._stopped or account in self._stopped):
            return Refusal(HALTED, None)
        sums = self.look_up(account, wall_s)
        nano = 0
        if usd is not None:
            nano = to_nano(usd, up=True)
            for each in sums:  # Sum.lacks, without its price
                limit = each.limit
                if limit is not None:
                    committed = each.spent + each.reserved + each.others_spent + each.others_reserved
                    if committed + nano > limit or committed >= limit:
                        return self._refuse(sums, nano, wall_s)
        self._number = number = self._number + 1
        for each in sums:
            each.reserved += nano
        reservation = self._open[number] = Reservation(number, account, self._calendar.day, nano, sums)
        self._warn(sums)
        return reservation

    def settle(self, reservation: Reservation, usd: float) -> int | None:
        """Put what a call really cost in the place of its reservation; return it in nano-dollars. None: it was settled before."""
        if not reservation.is_open:
            return None
        reservation.is_open = False
        self._open.pop(reservation.number, None)
        nano = to_nano(usd)
        for each in reservation.sums:
            each.reserved -= reservation.nano
            each.spent += nano
        if nano > reservation.nano:
            self._warn(reservation.sums)
        return nano

    def give_back(self, reservation: Reservation, total: Sum, wall_s: float) -> Refusal:
        """Take a reservation back for which there is no room in one of its sums, as other sidecars tell."""
        self.settle(reservation, 0.0)
        self._tell(total)
        return Refusal(total.limit_name, self._until_end(total, wall_s), is_own=False)

    def note_others(self, total: Sum, spent: int, reserved: int) -> None:
        """Other sidecars have spent and reserved so much.

        What was spent stays so for its period, though the memory that the sidecars share may be lost: the most ever heard counts.
        """
        total.others_spent = max(total.others_spent, spent)
        total.others_reserved = max(reserved, 0)
        self._warn((total,))

    def spent(self, account: str, window: str, wall_s: float) -> float:
        """Return the US dollars that an account has spent in the present window ("day", "month"), here and by other sidecars."""
        self._turn_to(wall_s)
        found = self._sums.get((account, self._calendar.day if window == BUDGET_WINDOWS[0] else self._calendar.month))
        return 0.0 if found is None else (found.spent + found.others_spent) / NANO

    def stop(self, account: str) -> None:
        """Let nothing be spent any more, by an account or by ALL."""
        self._stopped.add(account)

    def resume(self, account: str) -> None:
        """Take a stop back."""
        self._stopped.discard(account)

    def adopt(self, settings: Budgets) -> None:
        """Hold other limits against what is spent and reserved from now on. What an operator should hear of a limit that is
        another one now is news again. Of accounts of which nothing is known nothing is kept: they may be gone.
        """
        self._settings = settings
        for each in self._sums.values():
            limit, soft = self._find_limit(each.account, each.period)
            if limit != each.limit:
                each.is_told = False
            if soft != each.soft:
                each.is_warned = False
            each.limit, each.soft = limit, soft
        held = {id(each) for reservation in self._open.values() for each in reservation.sums}
        self._sums = {key: each for key, each in self._sums.items() if not each.is_blank or id(each) in held}
        self._current.clear()

    @property
    def stopped(self) -> frozenset[str]:
        """Who is stopped, ALL among them."""
        return frozenset(self._stopped)

    @property
    def has_turns(self) -> bool:
        """Whether something has happened that an operator should hear of."""
        return bool(self._turns)

    def take_turns(self) -> list[Turn]:
        """Return what has happened since the last time that an operator should hear of."""
        turns, self._turns = self._turns, []
        return turns

    def balances(self, wall_s: float) -> list[Balance]:
        """Return every limit of the present day and month, and what accounts without one have spent."""
        self._turn_to(wall_s)
        for account in (ALL, *self._settings.tenants):
            self.look_up(account, wall_s)
        present = {self._calendar.day, self._calendar.month}
        return [each.show() for each in self._sums.values() if each.period in present]

    def list_sums(self) -> list[Sum]:
        """Return all sums of all periods that are still known, to be told to other sidecars."""
        return list(self._sums.values())

    def look_up(self, account: str, wall_s: float) -> tuple[Sum, ...]:
        """Return the sums that a call of `account` counts in at `wall_s`."""
        if not self._calendar.day_begins_s <= wall_s < self._calendar.day_ends_s:
            self._turn_to(wall_s)
        sums = self._current.get(account)
        if sums is None:
            day, month = self._calendar.day, self._calendar.month
            sums = tuple(self._find(owner, period) for owner in dict.fromkeys((account, ALL)) for period in (day, month))
            self._current[account] = sums
        return sums

    def restore(self, state: State, wall_s: float) -> None:
        """Take up where an earlier process ended. What it had reserved and not settled counts as spent: it may well have been."""
        self._turn_to(wall_s)
        for (account, period), nano in state.spent.items():
            self._find(account, period).spent += nano
        for reservation in state.open:
            for owner in dict.fromkeys((reservation.account, ALL)):
                for period in (reservation.day, name_month(reservation.day)):
                    self._find(owner, period).spent += reservation.nano
        self._stopped |= state.stopped
        self._prune()

    def snapshot(self) -> State:
        """Return everything that has to be known after a restart."""
        return State({key: each.spent for key, each in self._sums.items() if each.spent}, list(self._open.values()), self.stopped)

    def _turn_to(self, wall_s: float) -> None:
        calendar = self._calendar
        if calendar.day_begins_s <= wall_s < calendar.day_ends_s:
            return
        self._calendar = open_calendar(wall_s)
        self._current.clear()
        self._prune()

    def _find(self, account: str, period: str) -> Sum:
        found = self._sums.get((account, period))
        if found is None:
            found = self._sums[(account, period)] = Sum(account, period, *self._find_limit(account, period))
        return found

    def _find_limit(self, account: str, period: str) -> tuple[int | None, float | None]:
        """Return the limit of a sum, and from how much on is warned of it."""
        settings = self._settings
        budget = settings.all if account == ALL else settings.tenants.get(account, settings.tenant)
        limit = to_limit(budget.day if is_day(period) else budget.month)
        return limit, None if limit is None else limit * settings.soft

    def _prune(self) -> None:
        """Forget all but the last periods: by when they were first seen, since a clock may have been wrong."""
        kept: dict[tuple[str, bool], int] = {}
        present = (self._calendar.day, self._calendar.month)
        for key in reversed(list(self._sums)):
            each = self._sums[key]
            kind = (each.account, is_day(each.period))
            kept[kind] = kept.get(kind, 0) + 1
            if kept[kind] > _PERIODS_KEPT and not each.reserved and each.period not in present:
                del self._sums[key]

    def _refuse(self, sums: Iterable[Sum], nano: int, wall_s: float) -> Refusal:
        """Return the refusal by the limit that stays reached for the longest: until then waiting is of no use."""
        limit, longest_s, is_own = "", -inf, False
        for each in sums:
            if each.lacks(nano, each.committed):
                self._tell(each)
                is_own = is_own or each.lacks(nano, each.own)
                until_s = self._until_end(each, wall_s)
                if until_s > longest_s:
                    limit, longest_s = each.limit_name, until_s
        return Refusal(limit, longest_s, is_own)

    def _until_end(self, total: Sum, wall_s: float) -> float:
        ends_s = self._calendar.day_ends_s if is_day(total.period) else self._calendar.month_ends_s
        return max(ends_s - wall_s, 0.0)

    def _warn(self, sums: Iterable[Sum]) -> None:
        for each in sums:
            soft = each.soft
            if soft is None or each.is_warned:
                continue
            if each.spent + each.reserved + each.others_spent + each.others_reserved >= soft:
                each.is_warned = True
                self._turns.append(Turn(each.account, each.window, is_spent=False))

    def _tell(self, total: Sum) -> None:
        if not total.is_told:
            total.is_told = True
            self._turns.append(Turn(total.account, total.window, is_spent=True))
