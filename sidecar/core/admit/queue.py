"""Those who wait for a slot, in the order in which they get one."""

from collections import OrderedDict
from collections.abc import Callable
from typing import Final

import msgspec

from sidecar.core.admit.slots import Slots

URGENCIES: Final = 3  # low, medium, high, as 0, 1, 2

# Why a call was turned away.
QUEUE_FULL: Final = "queue_full"
TOO_LONG: Final = "too_long"
GAVE_UP: Final = "gave_up"


class Shed(msgspec.Struct, frozen=True, gc=False):
    """A call that is turned away: when to come again, and why (`queue_full`, `too_long`, `gave_up`)."""

    retry_after_s: float
    reason: str


# Whose slots one can use. Not their names: what a name stands for may change while one waits for what it stood for.
Line = tuple[Slots, ...]


class Ticket(msgspec.Struct, eq=False, gc=False):
    """One who waits. It is over when `upstream` or `shed` is set, or whoever holds it leaves."""

    line: Line  # it can use one of any of these
    urgency: int  # 0 to 2: the higher goes first
    number: int  # the order in which they came
    gives_up_at: float
    upstream: str | None = None  # the one whose slot was reserved for it
    shed: Shed | None = None


# Tickets by number. A plain dict would look for its first one past all those that were taken out before it.
_Tickets = OrderedDict[int, Ticket]


class Queue:
    """Tickets by urgency, and first come, first served within.

    Tickets that can use the same upstreams stand in one line, so that only the first of each line has to be looked at. There are
    as many lines as there are pools that somebody waits for, and a few more where calls exclude upstreams.
    """

    def __init__(self) -> None:
        self._lines: dict[Line, tuple[_Tickets, ...]] = {}
        self.length = 0

    def add(self, ticket: Ticket) -> None:
        """Put a ticket at the end."""
        line = self._lines.get(ticket.line)
        if line is None:
            line = self._lines[ticket.line] = tuple(OrderedDict() for _ in range(URGENCIES))
        line[ticket.urgency][ticket.number] = ticket
        self.length += 1

    def remove(self, ticket: Ticket) -> bool:
        """Take a ticket out, wherever it stands; return whether it was there."""
        line = self._lines.get(ticket.line)
        if line is None or line[ticket.urgency].pop(ticket.number, None) is None:
            return False
        self.length -= 1
        if not any(line):
            del self._lines[ticket.line]
        return True

    def first(self, choose: Callable[[Line], Slots | None]) -> tuple[Ticket, Slots] | None:
        """Return the first ticket for which `choose` finds slots with room, and these."""
        best: tuple[Ticket, Slots] | None = None
        for line, by_urgency in self._lines.items():
            ticket = next(next(iter(tickets.values())) for tickets in reversed(by_urgency) if tickets)
            if best is not None and not _goes_before(ticket, best[0]):
                continue
            slots = choose(line)
            if slots is not None:
                best = ticket, slots
        return best

    def last_below(self, urgency: int) -> Ticket | None:
        """Return who has to make room for a more urgent one: of the least urgent, who came last."""
        for lower in range(urgency):
            last = [next(reversed(line[lower].values())) for line in self._lines.values() if line[lower]]
            if last:
                return max(last, key=_number)
        return None

    def ahead(self, urgency: int, weigh: Callable[[Line], float]) -> float:
        """Return how many go before a new one of this urgency, those of each line counted by the weight it has for the new one."""
        return sum(weigh(line) * sum(map(len, by_urgency[urgency:])) for line, by_urgency in self._lines.items())


def _goes_before(one: Ticket, other: Ticket) -> bool:
    if one.urgency != other.urgency:
        return one.urgency > other.urgency
    return one.number < other.number


def _number(ticket: Ticket) -> int:
    return ticket.number
