"""Calls at once: how many there are, how many there may be, and how fast they come to an end."""

from collections import deque
from typing import Final

from sidecar.core.admit.adaptive import Gradient

# Calls over which the time that a slot is held is averaged: a change shows within about as many.
_CALLS_AVERAGED: Final = 50
# Fewer ended calls than this say nothing yet (or than there are slots, where there are fewer).
_CALLS_MIN: Final = 10


class Slots:
    """The slots of one upstream, or of all together.

    How soon a waiter's turn comes follows from how long a slot is held (W) and how many there are (L): with all in use one
    comes free every W/L seconds (Little's law, L = λW). W is measured at every call, busy or not, and so it is right when a burst
    finds the upstream idle, where the rate at which slots came free would only tell how little there was to do. The k-th end is
    set against the k-th beginning, whichever call it was: the sum is the same, and calls that last long (a stream of minutes
    among answers of milliseconds) count as the slots that they keep from the rest.
    """

    __slots__ = ("_begun", "_ended", "_freed", "_full_since", "_held_s", "gradient", "in_use", "limit", "name")

    def __init__(self, limit: int, *, adaptive: bool = False, name: str = "") -> None:
        """`name`: of the upstream; "": all together."""
        self.name = name
        self.gradient = Gradient(limit) if adaptive else None
        self.limit = limit if self.gradient is None else self.gradient.limit
        self.in_use = 0
        self._begun: deque[float] = deque()
        self._ended = 0  # calls, counted up to _CALLS_AVERAGED
        self._held_s = 0.0  # a slot, on average
        self._full_since = self._freed = float("-inf")

    def adopt(self, limit: int, *, adaptive: bool, now: float) -> None:
        """Hold to another limit from now on. Who has a slot keeps it; of those above the limit none is given again."""
        was_full = self.in_use >= self.limit
        if not adaptive:
            self.gradient = None
            self.limit = limit
        elif self.gradient is None:
            self.gradient = Gradient(limit)
            self.limit = self.gradient.limit
        else:
            self.limit = self.gradient.adopt(limit, self.in_use)
        if self.in_use >= self.limit and not was_full:
            self._full_since = now

    def occupy(self, count: int, now: float) -> None:
        """Count calls that began before anybody counted them here."""
        self.in_use += count
        self._begun.extend([now] * count)
        self._full_since = now

    def take(self, now: float) -> None:
        """Reserve one. The caller has seen that there is one."""
        self.in_use = in_use = self.in_use + 1
        self._begun.append(now)
        if in_use >= self.limit:
            self._full_since = now

    def release(self, now: float) -> None:
        """Give one back."""
        self.in_use -= 1
        held_s = now - self._begun.popleft()
        ended = self._ended
        if ended < _CALLS_AVERAGED:
            self._ended = ended = ended + 1
        self._held_s += (held_s - self._held_s) / ended
        self._freed = now
        if self.gradient is not None:
            self.limit = self.gradient.glide()

    def note_first_token(self, ttft_s: float, now: float, began: float | None = None) -> None:
        """Let an adaptive limit follow the time to a first token. `began`: as for Gradient.note."""
        gradient = self.gradient
        if gradient is None:
            return
        gradient.note(ttft_s, self.in_use, now, began)
        if self.limit > gradient.limit <= self.in_use:
            self._full_since = now
        self.limit = gradient.limit

    def interval_s(self, now: float) -> float | None:
        """Return the seconds from one slot that comes free to the next while all are in use. None: not measured yet.

        Where all are in use and none has come free for longer than a slot is usually held, that time counts in its place: an
        upstream that has gone silent frees nothing, whatever it did before.
        """
        if self._ended < min(_CALLS_MIN, self.limit):
            return None
        held_s = self._held_s
        if self.in_use >= self.limit:
            held_s = max(held_s, now - max(self._full_since, self._freed))
        return held_s / self.limit
