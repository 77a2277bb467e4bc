"""One budget over everything that is tried again: a share of the calls of the last seconds, and a floor.

The semantics are those of linkerd and Finagle: each call deposits `share` of a repetition, each repetition withdraws one,
both are forgotten after `expiry_s`; beside what is deposited, `floor_per_s` times `expiry_s` are there always. So, for every
moment t at which a repetition is granted: repetitions within (t - expiry_s, t] ≤ share · calls within (t - expiry_s, t] +
floor_per_s · expiry_s. When everything fails, attempts are at most 1.2 times the calls and 10 a second (with the usual
settings), over any time as long as the expiry or a multiple of it; within less, all of that may come at once.

Time is kept in slots of a tenth of the expiry. What is in doubt by up to one slot is taken against the repetitions: calls
are forgotten up to a slot too early, repetitions up to a slot too late. So the bound holds exactly, in constant memory.
"""

from math import inf
from typing import Final

_CALL_SLOTS: Final = 10
_SLOTS: Final = _CALL_SLOTS + 1
_ROUNDING: Final = 1e-9  # five times 0.2 is one


class RetryBudget:
    """Counts calls and repetitions. One for all upstreams and all calls."""

    __slots__ = (
        "_calls", "_ends", "_expiry_s", "_recent_calls", "_recent_repetitions", "_repetitions", "_reserve", "_share", "_slot", "_slot_s",
    )  # fmt: skip

    def __init__(self, share: float, floor_per_s: float, expiry_s: float) -> None:
        self._share = share
        self._reserve = floor_per_s * expiry_s
        self._expiry_s = expiry_s
        self._slot_s = expiry_s / _CALL_SLOTS
        self._slot = 0
        self._ends = -inf  # when the current slot is over
        self._calls = [0] * _SLOTS
        self._repetitions = [0] * _SLOTS
        self._recent_calls = 0
        self._recent_repetitions = 0

    def adopt(self, share: float, floor_per_s: float, expiry_s: float, now: float) -> None:
        """Grant by other settings from now on. What is in doubt because slots are of another length is taken against the repetitions."""
        self.balance(now)
        self._share = share
        self._reserve = floor_per_s * expiry_s
        if expiry_s == self._expiry_s:
            return
        calls, repetitions, before_s = self._recent_calls, self._recent_repetitions, self._expiry_s
        self._expiry_s = expiry_s
        self._slot_s = expiry_s / _CALL_SLOTS
        self._forget(now)
        self._recent_repetitions = self._repetitions[self._slot] = repetitions
        if before_s + self._slot_s <= expiry_s:  # else some of them will be too old before they are forgotten
            self._recent_calls = self._calls[(self._slot + 2) % _SLOTS] = calls  # the slot that is forgotten next

    def deposit(self, now: float) -> None:
        """Count a call."""
        if now >= self._ends:
            self._advance(now)
        self._calls[self._slot] += 1
        self._recent_calls += 1

    def withdraw(self, now: float) -> bool:
        """Take one repetition; False if there is none left."""
        if self.balance(now) < 1.0 - _ROUNDING:
            return False
        self._repetitions[self._slot] += 1
        self._recent_repetitions += 1
        return True

    def balance(self, now: float) -> float:
        """Return how many repetitions are left."""
        if now >= self._ends:
            self._advance(now)
        left = self._share * self._recent_calls + self._reserve - self._recent_repetitions
        return max(left, 0.0)

    def _advance(self, now: float) -> None:
        behind_s = now - self._ends
        if behind_s >= self._slot_s * _SLOTS:
            self._forget(now)
            return
        while now >= self._ends:
            # The oldest slot becomes the new one; the one that is now the oldest still holds repetitions, but no calls.
            slot = self._slot = (self._slot + 1) % _SLOTS
            self._recent_repetitions -= self._repetitions[slot]
            self._repetitions[slot] = 0
            oldest = (slot + 1) % _SLOTS
            self._recent_calls -= self._calls[oldest]
            self._calls[oldest] = 0
            self._ends += self._slot_s

    def _forget(self, now: float) -> None:
        self._calls = [0] * _SLOTS
        self._repetitions = [0] * _SLOTS
        self._recent_calls = self._recent_repetitions = 0
        self._ends = now + self._slot_s
