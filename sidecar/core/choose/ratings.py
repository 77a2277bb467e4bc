"""How good an upstream's answers are, as those who got them say.

A mean of ratings in which each loses half its weight in an hour, and all together weigh no more than a hundred: what was said
last counts, and nobody can hold an upstream down or up for long by saying much. What is configured counts as ten ratings that do not
age. Where nothing is, fewer than five ratings say nothing yet.
"""

from typing import Final

HALF_LIFE_S: Final = 3600.0
WEIGHT_MAX: Final = 100.0
CONFIGURED_WEIGHT: Final = 10.0
WEIGHT_MIN: Final = 4.5  # five ratings, of which the first are some minutes old


class Ratings:
    """What was said of one upstream."""

    __slots__ = ("_at", "_configured", "_sum", "_weight")

    def __init__(self, configured: float | None) -> None:
        self._configured = configured
        self._sum = 0.0
        self._weight = 0.0
        self._at = 0.0

    def adopt(self, configured: float | None) -> None:
        """Begin from another configured quality; what was said stays."""
        self._configured = configured

    def note(self, quality: float, now: float) -> None:
        """Take one more in, from 0 to 1."""
        self._age(now)
        self._sum += quality
        self._weight += 1.0
        if self._weight > WEIGHT_MAX:
            self._sum *= WEIGHT_MAX / self._weight
            self._weight = WEIGHT_MAX

    def estimate(self, now: float) -> float | None:
        """Return what is to be expected of it, from 0 to 1; None where that is not known."""
        self._age(now)
        if self._configured is not None:
            return (self._configured * CONFIGURED_WEIGHT + self._sum) / (CONFIGURED_WEIGHT + self._weight)
        return self._sum / self._weight if self._weight >= WEIGHT_MIN else None

    def _age(self, now: float) -> None:
        left = 0.5 ** (max(now - self._at, 0.0) / HALF_LIFE_S)
        self._sum *= left
        self._weight *= left
        self._at = now
