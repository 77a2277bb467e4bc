"""A token bucket: so many a second, and a burst.

Over any span of time no more goes through than `size` and `rate_per_s` times the span. What is given back afterwards
(see `correct`) may come on top: no more than what was under way when the span began. The state is a level and the time
it was that of; nothing ticks. A clock that steps back adds nothing, and one that goes on is followed from there.
"""

from math import inf
from typing import Final

# A sum of times that are not exact in binary is not held against a caller who came when it was told to.
ROUNDING: Final = 1e-6
# What turned out to be more than was estimated is owed for so long at most: a figure that is wrong must not shut anybody out.
DEBT_S: Final = 60.0


class Bucket:
    """One token bucket. It begins full."""

    __slots__ = ("_full_at", "_last", "_level", "rate_per_s", "size")

    def __init__(self, rate_per_s: float, size: float) -> None:
        self.rate_per_s = rate_per_s
        self.size = size
        self._level = size
        self._last = inf  # the first look at it is no time after the one before
        self._full_at = -inf  # when it last was

    def wait_s(self, amount: float, now: float) -> float:
        """Return the seconds until `amount` can be taken: 0 where it can be now, infinity where it never can."""
        self._refill(now)
        short = amount - self._level
        if short <= ROUNDING:
            return 0.0
        if amount > self.size or not self.rate_per_s:
            return inf
        return short / self.rate_per_s

    def take(self, amount: float, now: float) -> None:
        """Take `amount`, whether it is there or not."""
        self._refill(now)
        self._level -= amount

    def correct(self, difference: float, now: float, since: float) -> None:
        """What was taken at `since` was more by `difference`, or less where that is negative.

        Less is given back as far as there is room for it. Was it full since, it has forgotten what was taken: nothing is given back.
        """
        self._refill(now)
        if difference >= 0.0:
            self._level = max(self._level - difference, min(self._level, -DEBT_S * self.rate_per_s))
        elif self._full_at <= since:
            self._level = min(self._level - difference, self.size)

    def left(self, now: float) -> float:
        """Return how much can be taken now."""
        self._refill(now)
        return max(self._level, 0.0)

    def reset_s(self, now: float) -> float:
        """Return the seconds until it is full again; infinity where it never will be."""
        self._refill(now)
        short = self.size - self._level
        if short <= 0.0:
            return 0.0
        return short / self.rate_per_s if self.rate_per_s else inf

    def adopt(self, rate_per_s: float, size: float, now: float) -> None:
        """Refill at another pace from now on, up to another size. What is in it stays, as far as there is room."""
        self._refill(now)
        self.rate_per_s, self.size = rate_per_s, size
        self._refill(now)

    def _refill(self, now: float) -> None:
        elapsed_s = now - self._last
        if elapsed_s > 0.0:
            self._level += elapsed_s * self.rate_per_s
        self._last = now
        if self._level >= self.size:
            self._level = self.size
            self._full_at = now
