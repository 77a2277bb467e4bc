"""A sliding window: so many in any minute, hour or day.

What goes through is counted in slots of a sixtieth of the window, and a slot counts until all of it is out of the window. So
within any span as long as the window never more than `limit` goes through: the overshoot is 0. The price: a place may come
free by up to a sixtieth of the window later than to the moment, and who uses all of a limit all the time gets 60/61 of it.

Two fixed windows, the one before weighted by what of it still counts, are cheaper by a list; but they let through up to
twice the limit, when what came in the one before came at its end.

Clocks: a slot is dropped when the clock comes to a later one. A clock that steps back, by however much, never makes one
drop early (places are kept by their order, not by the time); it counts on for one window more at most. One that steps
forward drops what is behind it.
"""

from math import inf
from typing import Final

SLOTS: Final = 60
_HELD: Final = SLOTS + 1  # the one that is being filled is not a whole one


class Window:
    """One sliding window."""

    __slots__ = ("_begins", "_counts", "_ends", "_place", "_slot", "_slot_s", "_sum", "limit")

    def __init__(self, limit: float, length_s: float) -> None:
        self.limit = limit
        self._slot_s = length_s / SLOTS
        self._slot = 0  # the newest, by number since the clock's beginning
        self._begins = inf  # no time is yet within the newest slot
        self._ends = -inf
        self._place = 0  # of the newest slot among the counts
        self._counts: list[float] = [0] * _HELD
        self._sum: float = 0

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` can be taken: 0 where it can be now, infinity where it never can."""
        if not self._begins <= now < self._ends:
            self._follow(now)
        short = self._sum + amount - self.limit
        if short <= 0:
            return 0.0
        if amount > self.limit:
            return inf
        steps = 0
        while short > 0 and steps < _HELD:
            steps += 1
            short -= self._counts[(self._place + steps) % _HELD]
        return (self._slot + steps) * self._slot_s - now

    def take(self, amount: float, now: float) -> None:
        """Count `amount`, whether there is room for it or not."""
        if not self._begins <= now < self._ends:
            self._follow(now)
        self._counts[self._place] += amount
        self._sum += amount

    def correct(self, difference: float, now: float, since: float) -> None:
        """What was taken at `since` was more by `difference`, or less where that is negative.

        More counts from now on. Less is given back where it was counted, if that still counts: else it is back already.
        """
        if not self._begins <= now < self._ends:
            self._follow(now)
        place, change = self._place, difference
        if difference < 0:
            age = self._slot - int(since / self._slot_s)
            if not 0 <= age < _HELD:
                return
            place = (self._place - age) % _HELD
            change = max(difference, -self._counts[place])
        self._counts[place] += change
        self._sum += change

    def left(self, now: float) -> float:
        """Return how much can be taken now."""
        if not self._begins <= now < self._ends:
            self._follow(now)
        return max(self.limit - self._sum, 0)

    def reset_s(self, now: float) -> float:
        """Return the seconds until nothing counts any more."""
        if not self._begins <= now < self._ends:
            self._follow(now)
        for steps in range(_HELD, 0, -1):
            if self._counts[(self._place + steps) % _HELD]:
                return (self._slot + steps) * self._slot_s - now
        return 0.0

    def _follow(self, now: float) -> None:
        """Make the newest slot the one of `now`."""
        slot = int(now / self._slot_s)
        if self._ends == -inf:
            self._slot = slot
        elif slot > self._slot:
            self._drop(slot - self._slot)
            self._slot = slot
        elif slot < self._slot - 1:
            # The clock was set back. The slot is counted as the next one, so that it lasts no shorter than any other.
            self._slot = slot + 1
        self._begins = (self._slot - 1) * self._slot_s
        self._ends = (self._slot + 1) * self._slot_s

    def _drop(self, steps: int) -> None:
        if steps >= _HELD:
            self._counts = [0] * _HELD
            self._sum = 0
            return
        for _ in range(steps):
            self._place = (self._place + 1) % _HELD
            self._sum -= self._counts[self._place]
            self._counts[self._place] = 0
