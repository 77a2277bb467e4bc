"""Who watches deadlines: one timer for all attempts, however many there are.

A timer per attempt would be made and cancelled for every call, and almost none ever fires. Here an
attempt costs an entry in a set; the timer is armed for the earliest moment at which any of them may
be late, and asks all of them when it fires. Moments move while bytes come, so most of the time the
answer is a later moment.
"""

import asyncio
from collections.abc import Callable
from typing import Final, Protocol

# Fire no more often than this: a crowd of attempts that are nearly due must not keep the loop busy.
_REST_S: Final = 0.005


class Watched(Protocol):
    """Something that may become late."""

    def check(self, now: float) -> float | None:
        """Return the next moment at which to ask again; None: never again."""
        ...


class Watch:
    """Asks what is watched when it may be late."""

    def __init__(self, now: Callable[[], float]) -> None:
        self._now = now
        self._watched: set[Watched] = set()
        self._timer: asyncio.TimerHandle | None = None
        self._due = float("inf")

    def add(self, watched: Watched, due: float) -> None:
        """Ask `watched` at `due`, seconds on the clock."""
        self._watched.add(watched)
        if due < self._due:
            self._arm(due)

    def remove(self, watched: Watched) -> None:
        """Ask no more."""
        self._watched.discard(watched)

    def _arm(self, due: float) -> None:
        if self._timer is not None:
            self._timer.cancel()
        self._due = due
        self._timer = asyncio.get_running_loop().call_later(max(due - self._now(), _REST_S), self._ask)

    def _ask(self) -> None:
        self._timer = None
        self._due = float("inf")
        now = self._now()
        earliest = float("inf")
        for watched in list(self._watched):
            due = watched.check(now)
            if due is None:
                self._watched.discard(watched)
            elif due < earliest:
                earliest = due
        if earliest < self._due:
            self._arm(earliest)
