"""Quantiles of a stream of numbers, in bounded memory and with a bounded error.

A DDSketch (Masson, Rim, Lee: DDSketch, a fast and fully-mergeable quantile sketch with relative-error guarantees, VLDB 2019): buckets
whose bounds grow by a constant factor, counted in a dictionary. Sketches add up without loss, so that those of short times make one of
a long time.
"""

import math
from typing import Final

ERROR: Final = 0.01  # of a quantile, relative to the value: what is told lies within 1 % of it
_GROWTH: Final = (1 + ERROR) / (1 - ERROR)
_SCALE: Final = 1 / math.log(_GROWTH)
_MIDDLE: Final = 2 / (1 + _GROWTH)  # of a bucket, as a share of its upper bound: off by the same factor from both
# Beyond these everything is told as one of them: a microsecond to a day, in seconds; or as many tokens a second.
_SMALLEST: Final = 1e-6
_SHIFT: Final = 1 - math.log(_SMALLEST) * _SCALE  # bucket 0 is for what is not above the smallest
_MOST: Final = int(math.log(86_400.0) * _SCALE + _SHIFT)
BUCKETS: Final = _MOST + 1
_log = math.log


class Sketch:
    """Numbers above 0 as counts; at most about 1,260 buckets, as many as there were distinct magnitudes."""

    __slots__ = ("count", "counts", "maximum", "minimum", "total")

    def __init__(self) -> None:
        self.count = 0
        self.total = 0.0
        self.minimum = math.inf
        self.maximum = 0.0
        self.counts: dict[int, int] = {}

    def add(self, value: float) -> None:
        """Take note of one number. Below the least magnitude it counts as that."""
        bucket = int(_log(value) * _SCALE + _SHIFT) if value > _SMALLEST else 0
        if bucket > _MOST:
            bucket = _MOST
        try:
            self.counts[bucket] += 1
        except KeyError:
            self.counts[bucket] = 1
        self.count += 1
        self.total += value
        if value < self.minimum:
            self.minimum = value
        if value > self.maximum:
            self.maximum = value

    def merge(self, other: "Sketch") -> None:
        """Take in all that another one has seen."""
        counts = self.counts
        for bucket, count in other.counts.items():
            counts[bucket] = counts.get(bucket, 0) + count
        self.count += other.count
        self.total += other.total
        self.minimum = min(self.minimum, other.minimum)
        self.maximum = max(self.maximum, other.maximum)

    @property
    def mean(self) -> float | None:
        """The exact mean; None where nothing was seen."""
        return self.total / self.count if self.count else None

    def quantiles(self, *shares: float) -> list[float | None]:
        """Return the quantile of each share (0 to 1, ascending); None where nothing was seen.

        The lower one of the two numbers between which a quantile falls, within ERROR, and never beyond what was seen.
        """
        if not self.count:
            return [None] * len(shares)
        found: list[float | None] = []
        seen, buckets = 0, iter(sorted(self.counts))
        bucket = 0
        for share in shares:
            rank = share * (self.count - 1)
            while seen <= rank:
                bucket = next(buckets)
                seen += self.counts[bucket]
            middle = math.exp((bucket + 1 - _SHIFT) / _SCALE) * _MIDDLE
            found.append(min(max(middle, self.minimum), self.maximum))
        return found
