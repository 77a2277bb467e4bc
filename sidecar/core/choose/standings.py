"""How upstreams stand: what is known of each from the calls it was given.

Calls there, and whether its probe answers, are known of an upstream as a whole. How fast and how reliable it is, is known of
each upstream and group of models (that of its breaker): what fails or is slow for one group says nothing of another. There
are as many standings as breakers, and each takes two kilobytes at most, however many calls there are.
"""

from heapq import heappop, heappush
from typing import TYPE_CHECKING, Final

from sidecar.config import Balancing, Upstream
from sidecar.core.choose.neighbours import Breaker
from sidecar.core.choose.ratings import Ratings
from sidecar.core.choose.tracks import Track

if TYPE_CHECKING:
    from sidecar.core.choose.rosters import Seat

LIVE_S: Final = 60.0  # for which what was measured last counts as live
SLOW_START_MIN: Final = 0.1  # the share that one who has come back begins with
NEVER: Final = float("-inf")
_GHOSTS_MAX: Final = 256
_WORKS_MIN: Final = 0.01


class Post:
    """One upstream: what is configured of it, and the calls there."""

    __slots__ = (
        "active",
        "context",
        "credential",
        "ghosts",
        "held_until",
        "is_down",
        "mark",
        "name",
        "pending",
        "quality",
        "ratings",
        "weight",
    )

    def __init__(self, name: str, upstream: Upstream, mark: str = "") -> None:
        self.name = name
        self.mark = mark or name  # what is noted beside it by name is noted by this: another place may get its name
        self.weight = upstream.weight
        self.quality = upstream.quality  # of its answers, as configured or as rated; None: not known
        self.ratings = Ratings(upstream.quality)
        self.context = upstream.context
        self.credential = upstream.api_key_file or ""  # whose is sent: the file's, or "" where the caller's is
        self.active = 0  # calls begun and not settled
        self.pending = 0  # of these, calls without their first data
        self.is_down = False  # its probe says so
        self.held_until = NEVER  # the latest end of a hold that was met with
        self.ghosts: list[float] = []  # until when calls that came to nothing count as pending, the first to go first

    def adopt(self, upstream: Upstream, now: float) -> None:
        """Be what it is configured to be from now on: the same place, with all that is known of it."""
        self.weight = upstream.weight
        self.ratings.adopt(upstream.quality)
        self.quality = self.ratings.estimate(now)
        self.context = upstream.context
        self.credential = upstream.api_key_file or ""

    def load(self, now: float) -> int:
        """Return the calls pending there. One that came to nothing counts until its penalty is over: to fail fast frees nobody."""
        ghosts = self.ghosts
        while ghosts and ghosts[0] <= now:
            heappop(ghosts)
        return self.pending + len(ghosts)

    def haunt(self, until: float) -> None:
        """Count a call that has come to nothing as pending until a time."""
        if len(self.ghosts) < _GHOSTS_MAX:
            heappush(self.ghosts, until)


class Lately:
    """What the last calls were like: each new one has the weight of the learning rate, the first ones that of a mean."""

    __slots__ = ("_calls", "_rate", "at", "value")

    def __init__(self, rate: float) -> None:
        self._rate = rate
        self._calls = 0
        self.at = NEVER
        self.value = 0.0

    def adopt(self, rate: float) -> None:
        """Learn at another rate from now on."""
        self._rate = rate

    def note(self, value: float, now: float) -> None:
        """Take one more call in; what is more than a minute old is forgotten first."""
        self._calls = 1 if now - self.at >= LIVE_S else self._calls + 1
        self.at = now
        self.value += max(1.0 / self._calls, self._rate) * (value - self.value)


class Standing:
    """What is known of one upstream for one group of models.

    What its last calls were like (`live_s`, `works`, `usefulness`) counts for a minute, and is kept only for pools.
    """

    __slots__ = (
        "_failed",
        "_penalty_s",
        "_took_s",
        "_useless",
        "asked_at",
        "breaker",
        "consecutive",
        "group",
        "live_at",
        "live_s",
        "post",
        "returned_at",
        "seats",
        "track",
        "used_at",
        "usefulness",
        "works",
    )  # fmt: skip

    def __init__(self, post: Post, breaker: Breaker, balancing: Balancing) -> None:
        self.post = post
        self.breaker = breaker
        self.group = breaker.group
        self.track = Track(balancing.window)
        self.consecutive = 0  # failures in a row
        self.asked_at = NEVER  # when a call was begun last; NEVER also after it has come back
        self.returned_at = NEVER  # when its breaker closed, or its probe answered again
        self.seats: list[Seat] = []  # in pools
        self.live_at = NEVER  # when the next two were measured last
        self.live_s = 0.0  # to an answer, failed calls made again
        self.works = 1.0  # share of calls that do not fail
        self.used_at = NEVER  # when the next one was measured last
        self.usefulness = 1.0  # share of calls that are answered
        self._penalty_s = balancing.penalty
        self._took_s = Lately(balancing.learning_rate)
        self._failed = Lately(balancing.learning_rate)
        self._useless = Lately(balancing.learning_rate)

    def adopt(self, balancing: Balancing) -> None:
        """Judge by other settings from now on. Its seats are given anew."""
        self.track.adopt(balancing.window)
        self._penalty_s = balancing.penalty
        for lately in (self._took_s, self._failed, self._useless):
            lately.adopt(balancing.learning_rate)
        self.seats = []

    def note_answer(self, took_s: float, now: float) -> None:
        """Count a call that was answered after `took_s` seconds."""
        self.consecutive = 0
        self.track.note(took_s, False, now)
        if self.seats:
            self._measure(took_s, 0.0, now)

    def note_failure(self, took_s: float, now: float) -> None:
        """Count a failed call, as one that took the penalty at least."""
        took_s = max(self._penalty_s, took_s)
        self.consecutive += 1
        self.track.note(took_s, True, now)
        if self.seats:
            self._measure(took_s, 1.0, now)

    def note_nothing(self, now: float) -> None:
        """Count a call that came to no answer, and to no failure of the upstream either."""
        self._note_use(1.0, now)

    def come_back(self, now: float) -> None:
        """It answers again: slow start, and what was measured before counts no longer."""
        self.returned_at = now
        self.forget()
        for seat in self.seats:
            seat.roster.expect_starters(now)

    def forget(self) -> None:
        """Know nothing of it: it is found out anew."""
        self.consecutive = 0
        self.asked_at = NEVER
        self.track.forget()
        self.live_at = self.used_at = self._took_s.at = self._failed.at = self._useless.at = NEVER

    def _measure(self, took_s: float, failed: float, now: float) -> None:
        self.live_at = now
        self._took_s.note(took_s, now)
        self._failed.note(failed, now)
        self.works = 1.0 - self._failed.value
        self.live_s = self._took_s.value / max(self.works, _WORKS_MIN)
        self._note_use(failed, now)

    def _note_use(self, useless: float, now: float) -> None:
        self.used_at = now
        self._useless.note(useless, now)
        self.usefulness = max(1.0 - self._useless.value, _WORKS_MIN)  # a place that nobody stays at is no free place
