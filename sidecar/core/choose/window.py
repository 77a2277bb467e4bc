"""What became of the calls of the last while, in a few numbers."""

from typing import Final

BUCKETS: Final = 10


class Window:
    """Calls, failures and slow calls of a sliding span of time, in buckets of a tenth of it.

    A bucket's place follows from the time alone (`now // width`), not from when the one before it began: however
    irregularly calls come, edges stay where they are. What is counted is at most one span old, and is forgotten
    by whole buckets, nine tenths of a span later at the earliest.
    """

    __slots__ = ("_calls", "_failures", "_latest", "_slow", "_width_s")

    def __init__(self, span_s: float) -> None:
        self._width_s = span_s / BUCKETS
        self.clear()

    def clear(self) -> None:
        """Forget everything."""
        self._latest = 0  # the bucket of the latest call, counted from time 0
        self._calls = [0] * BUCKETS
        self._failures = [0] * BUCKETS
        self._slow = [0] * BUCKETS

    def adopt(self, span_s: float, now: float) -> None:
        """Slide over another span from now on. What was counted stays, as old as the oldest of its bucket may be."""
        width_s = span_s / BUCKETS
        if width_s == self._width_s:
            return
        before, self._width_s = self._width_s, width_s
        kept = [(bucket * before, bucket % BUCKETS) for bucket in range(max(0, self._latest - BUCKETS + 1), self._latest + 1)]
        calls, failures, slow = self._calls, self._failures, self._slow
        self.clear()
        self._latest = int(now // width_s)
        for began, at in kept:
            bucket = int(began // width_s)
            if bucket > self._latest - BUCKETS:
                self._calls[bucket % BUCKETS] += calls[at]
                self._failures[bucket % BUCKETS] += failures[at]
                self._slow[bucket % BUCKETS] += slow[at]

    def note_success(self, now: float) -> None:
        """Count a call that was neither failed nor slow."""
        bucket = int(now // self._width_s)
        if bucket > self._latest:
            self._advance(bucket)
        self._calls[bucket % BUCKETS] += 1

    def note_failure(self, now: float) -> None:
        """Count a failed call."""
        self.note_success(now)
        self._failures[self._latest % BUCKETS] += 1

    def note_slow(self, now: float) -> None:
        """Count a call that succeeded too late."""
        self.note_success(now)
        self._slow[self._latest % BUCKETS] += 1

    def read(self, now: float) -> tuple[int, int, int]:
        """Return calls, failures and slow calls, as of `now`. Changes nothing."""
        gone = int(now // self._width_s) - self._latest
        if gone <= 0:
            return sum(self._calls), sum(self._failures), sum(self._slow)
        # Oldest first: the bucket after the latest one is the next to be forgotten.
        left = [(self._latest + 1 + step) % BUCKETS for step in range(gone, BUCKETS)]
        return sum(self._calls[at] for at in left), sum(self._failures[at] for at in left), sum(self._slow[at] for at in left)

    def _advance(self, bucket: int) -> None:
        for step in range(max(self._latest + 1, bucket - BUCKETS + 1), bucket + 1):
            at = step % BUCKETS
            self._calls[at] = self._failures[at] = self._slow[at] = 0
        self._latest = bucket
