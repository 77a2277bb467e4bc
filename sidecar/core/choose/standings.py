"""How upstreams stand: what is known of each from the calls it was given.

Calls there, and whether its probe answers, are known of an upstream as a whole. How fast and how reliable it is, is known of
each upstream and group of models (that of its breaker): what fails or is slow for one group says nothing of another. There
are as many standings as breakers, and each takes a few hundred bytes, however many calls there are.
"""

from __future__ import annotations

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sidecar.config import Balancing, Upstream
from sidecar.core.choose.neighbours import Breaker
from sidecar.core.choose.tracks import Track

if TYPE_CHECKING:
    from sidecar.core.choose.rosters import Seat

LIVE_S: Final = 60.0  # for which what was measured last counts as live
SLOW_START_MIN: Final = 0.1  # the share that one who has come back begins with
NEVER: Final = float("-inf")
_GHOSTS_MAX: Final = 256


class Post:
    """One upstream: what is configured of it, and the calls there."""

    __slots__ = (
        "_ghosts",
        "active",
        "context",
        "credential",
        "held_until",
        "is_down",
        "name",
        "pending",
        "quality",
        "returned_at",
        "weight",
    )

    def __init__(self, name: str, upstream: Upstream) -> None:
        self.name = name
        self.weight = upstream.weight
        self.quality = upstream.quality
        self.context = upstream.context
        self.credential = upstream.api_key_file or ""  # whose is sent: the file's, or "" where the caller's is
        self.active = 0  # calls begun and not settled
        self.pending = 0  # of these, calls without their first data
        self.is_down = False  # its probe says so
        self.returned_at = NEVER  # when its probe answered again
        self.held_until = NEVER  # the latest end of a hold that was met with
        self._ghosts: list[float] = []  # until when calls that came to nothing count as pending, the first to go first

    def load(self, now: float) -> int:
        """Return the calls pending there. One that came to nothing counts until its penalty is over: to fail fast frees nobody."""
        ghosts = self._ghosts
        while ghosts and ghosts[0] <= now:
            heappop(ghosts)
        return self.pending + len(ghosts)

    def haunt(self, until: float) -> None:
        """Count a call that has come to nothing as pending until a time."""
        if len(self._ghosts) < _GHOSTS_MAX:
            heappush(self._ghosts, until)


class Standing:
    """What is known of one upstream for one group of models."""

    __slots__ = (
        "_balancing", "_live_at", "_live_calls", "_live_failed", "_live_s",
        "asked_at", "breaker", "consecutive", "group", "post", "returned_at", "seats", "track",
    )  # fmt: skip

    def __init__(self, post: Post, breaker: Breaker, balancing: Balancing) -> None:
        self.post = post
        self.breaker = breaker
        self.group = breaker.group
        self.track = Track(balancing.window)
        self.consecutive = 0  # failures in a row
        self.asked_at = NEVER  # when a call was begun last; NEVER also after it has come back
        self.returned_at = NEVER  # when its breaker closed
        self.seats: list[Seat] = []  # in pools
        self._balancing = balancing
        self._live_at = NEVER
        self._live_calls = 0
        self._live_s = 0.0
        self._live_failed = 0.0

    def note_answer(self, took_s: float, now: float) -> None:
        """Count a call that was answered after `took_s` seconds."""
        self.consecutive = 0
        self._measure(took_s, False, now)

    def note_failure(self, took_s: float, now: float) -> None:
        """Count a failed call, as one that took the penalty at least."""
        self.consecutive += 1
        self._measure(max(self._balancing.penalty, took_s), True, now)

    def come_back(self, now: float) -> None:
        """Its breaker has closed: slow start, and what was measured before counts no longer."""
        self.returned_at = now
        self.forget()

    def forget(self) -> None:
        """Know nothing of it: it is found out anew."""
        self.track.forget()
        self.consecutive = 0
        self.asked_at = NEVER
        self._live_at = NEVER

    def live(self, now: float) -> tuple[float | None, float]:
        """Return what was measured last: seconds to an answer, failed calls made again, and the share of calls that do not fail.

        (None, 1.0) where nothing was measured within the last minute.
        """
        if now - self._live_at >= LIVE_S:
            return None, 1.0
        works = 1.0 - self._live_failed
        return self._live_s / max(works, 0.001), works

    def _measure(self, took_s: float, failed: bool, now: float) -> None:
        self.track.note(took_s, failed, now)
        if now - self._live_at >= LIVE_S:
            self._live_calls = 0
        self._live_at = now
        self._live_calls += 1
        # The mean of the first calls; from then on the latest one has the weight of the learning rate.
        rate = max(1.0 / self._live_calls, self._balancing.learning_rate)
        self._live_s += rate * (took_s - self._live_s)
        self._live_failed += rate * (failed - self._live_failed)
