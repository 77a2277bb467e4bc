"""How many calls at once an upstream takes, found out from the time to the first token.

The gradient of Envoy's adaptive concurrency filter (its gradient controller), which is akin to the Gradient2 limit of Netflix's
concurrency-limits:

    gradient  = (unloaded + 25 % of it) / sampled      between 0.5 and 2
    new limit = gradient * limit + sqrt(limit)         between the floor and the configured limit

`sampled` is the median time to the first token of the last window, `unloaded` the median when few calls are under way. Never the
total time: how long an answer takes says how much there was to say. sqrt(limit) is the room to grow; the limit rests where the
first token takes about 1.6 times (at a limit of 20) what it takes unloaded. It does not grow while less than half of it is used:
nothing is learnt from a limit that nobody meets. A window counts only calls that began after the limit had last changed: what is
under way still tells of the one before, and following it would swing.

`unloaded` must be measured again now and then, and while the limit is met there are no quiet moments to do so. Envoy pins the
limit to a few calls meanwhile and refuses the rest. Here the limit goes down to half, and to half again as long as that makes
first tokens faster: where it does not, there is no queue left in the upstream. Two things keep this from starving anyone: a limit
goes down by at most every second slot that comes free, so that the others are given to waiters also where slots are held for
minutes; and the next measurement comes only after nine times as long as the last one took.
"""

from collections import deque
from collections.abc import Iterable
from math import inf, sqrt
from typing import Final

_START: Final = 20  # calls at once, before anything is known
_FLOOR: Final = 3
_BUFFER: Final = 0.25  # of the unloaded time: natural variance, no sign of a queue
_GRADIENT_MIN: Final = 0.5
_GRADIENT_MAX: Final = 2.0
_WINDOW_S_MIN: Final = 0.25
_WINDOW_SAMPLES_MIN: Final = 10
_WINDOW_SAMPLES_MAX: Final = 250  # the newest; bounds memory and the cost of the median
_MEASURED_SAMPLES: Final = 25
_FIRST_INTERVAL_S: Final = 5.0  # the first window may have met an upstream that is overloaded already
_INTERVAL_S: Final = 60.0
_REST: Final = 9  # times as long as the measurement took
_FASTER: Final = 0.8  # of the time at twice the concurrency: there was a queue


class Gradient:
    """The limit of one upstream."""

    __slots__ = (
        "_began", "_due", "_floor", "_is_sparing", "_level_s", "_limit_max", "_measuring_since", "_met", "_restored", "_samples",
        "_settled", "_target", "_unloaded_s", "limit",
    )  # fmt: skip

    def __init__(self, limit_max: int) -> None:
        self._limit_max = limit_max
        self._floor = min(_FLOOR, limit_max)
        self.limit = self._target = min(_START, limit_max)
        self._samples: deque[float] = deque(maxlen=_WINDOW_SAMPLES_MAX)
        self._began = 0.0  # the window
        self._settled = -inf  # since when no more calls are under way than the limit aims at
        self._unloaded_s: float | None = None
        self._due = inf  # when to measure that again
        self._met = False  # the limit, or half of it, since it was last measured
        self._is_sparing = False
        # While measuring:
        self._measuring_since: float | None = None
        self._level_s = 0.0  # the median at twice the concurrency
        self._restored = 0  # the limit to return to

    def note(self, ttft_s: float, in_use: int, now: float, began: float | None = None) -> None:
        """Take note of a first token; `limit` is what follows from it. `in_use`: calls under way, this one among them.

        `began`: when the call was made, where this is told later than the token came.
        """
        if (now - ttft_s if began is None else began) < self._settled:  # it began while the limit was another
            if self._settled == inf and in_use <= self._target:
                self._settled = now
            return
        samples = self._samples
        if not samples:
            self._began = now
        samples.append(ttft_s)
        if self._measuring_since is not None:
            if len(samples) >= _MEASURED_SAMPLES:
                self._end_level(self._measuring_since, self._close_window(), in_use, now)
            return
        self._met = self._met or in_use * 2 >= self.limit
        if len(samples) >= _WINDOW_SAMPLES_MIN and now - self._began >= _WINDOW_S_MIN:
            self._end_window(self._close_window(), in_use, now)

    def adopt(self, limit_max: int, in_use: int) -> int:
        """Stay within another configured limit, with all that was found out; return the limit after that."""
        self._limit_max = limit_max
        self._floor = min(_FLOOR, limit_max)
        self._restored = min(self._restored, limit_max)
        if self._target > limit_max:
            self._aim(limit_max, in_use)
        self.limit = min(self.limit, limit_max)
        return self.limit

    def glide(self) -> int:
        """Return the limit after a slot has come free: one less at every second one, while it has to go down."""
        if self.limit > self._target:
            self._is_sparing = not self._is_sparing
            if self._is_sparing:
                self.limit -= 1
        return self.limit

    def _close_window(self) -> float:
        sampled_s = _find_median(self._samples)
        self._samples.clear()
        return sampled_s

    def _end_window(self, sampled_s: float, in_use: int, now: float) -> None:
        if self._unloaded_s is None:
            self._unloaded_s = sampled_s
            self._due = now + _FIRST_INTERVAL_S
        elif now < self._due:
            self._adjust(self._unloaded_s, sampled_s, in_use)
        elif self._met:
            self._measuring_since = now
            self._restored = self.limit
            self._begin_level(sampled_s, in_use)
        else:  # there is no need to lower anything
            self._unloaded_s = sampled_s
            self._due = now + _INTERVAL_S

    def _adjust(self, unloaded_s: float, sampled_s: float, in_use: int) -> None:
        if in_use * 2 < self.limit:
            return
        gradient = _GRADIENT_MAX if sampled_s <= 0 else unloaded_s * (1 + _BUFFER) / sampled_s
        gradient = max(_GRADIENT_MIN, min(gradient, _GRADIENT_MAX))
        wanted = int(gradient * self.limit + sqrt(self.limit))
        self._aim(max(self._floor, min(wanted, self._limit_max)), in_use)

    def _aim(self, target: int, in_use: int) -> None:
        """Grow at once; give up at once what nobody uses, and the rest slot by slot."""
        self._target = target
        self.limit = max(target, min(self.limit, in_use))
        self._settled = inf

    def _begin_level(self, level_s: float, in_use: int) -> None:
        """Go down to half; `level_s` is the time until here."""
        self._level_s = level_s
        self._aim(max(self._floor, self._target // 2), in_use)

    def _end_level(self, since: float, measured_s: float, in_use: int, now: float) -> None:
        if measured_s < self._level_s * _FASTER and self._target > self._floor:
            self._begin_level(measured_s, in_use)
            return
        before_s, self._unloaded_s = self._unloaded_s or measured_s, measured_s
        self._due = now + max(_INTERVAL_S, _REST * (now - since))
        self._met = False
        self._measuring_since = None
        restored = self._restored
        if measured_s < before_s:  # what was taken for unloaded was not, and the limit is as much too high
            restored = max(self._floor, int(restored * measured_s / before_s))
        self._aim(restored, in_use)


def _find_median(samples: Iterable[float]) -> float:
    ordered = sorted(samples)
    return ordered[len(ordered) // 2]
