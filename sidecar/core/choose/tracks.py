"""What became of an upstream's last calls: times and failures."""

from collections import deque
from typing import Final

BUCKETS: Final = 10
BUCKET_S: Final = 60.0  # with few calls a bucket ends by time, so that nothing is remembered for longer than ten of these


class _Bucket:
    """Some calls that came one after the other."""

    __slots__ = ("began", "calls", "failures", "latest", "total_s")

    def __init__(self, now: float) -> None:
        self.began = self.latest = now
        self.calls = 0
        self.failures = 0
        self.total_s = 0.0


class Track:
    """The last `window` calls, in buckets of a tenth of them, and no older than ten minutes.

    A failed call is noted with a time of penalty, not with the time that it took: who fails fast does not look fast.
    """

    __slots__ = ("_bucket_calls_max", "_buckets", "calls", "failures", "total_s")

    def __init__(self, window: int) -> None:
        self._bucket_calls_max = max(1, window // BUCKETS)
        self._buckets: deque[_Bucket] = deque()
        self.calls = 0
        self.failures = 0
        self.total_s = 0.0  # of all calls, penalties included

    def note(self, took_s: float, failed: bool, now: float) -> None:
        """Count a call. `took_s`: seconds until its answer began, or its penalty."""
        self.forget_old(now)
        buckets = self._buckets
        if not buckets or buckets[-1].calls >= self._bucket_calls_max or now - buckets[-1].began >= BUCKET_S:
            if len(buckets) == BUCKETS:
                self._forget_oldest()
            buckets.append(_Bucket(now))
        bucket = buckets[-1]
        bucket.latest = now
        bucket.calls += 1
        bucket.total_s += took_s
        self.calls += 1
        self.total_s += took_s
        if failed:
            bucket.failures += 1
            self.failures += 1

    def forget(self) -> None:
        """Forget everything: what was there before says nothing of what has come back."""
        self._buckets.clear()
        self.calls = self.failures = 0
        self.total_s = 0.0

    def forget_old(self, now: float) -> None:
        """Forget what is too old to tell anything of today."""
        while self._buckets and now - self._buckets[0].latest >= BUCKETS * BUCKET_S:
            self._forget_oldest()

    @property
    def mean_s(self) -> float | None:
        """How long a call takes, penalties included; None where nothing was measured."""
        return self.total_s / self.calls if self.calls else None

    @property
    def answer_s(self) -> float | None:
        """How long it takes to have an answer, if failed calls are made again: all time spent, by answers given."""
        return self.total_s / max(1, self.calls - self.failures) if self.calls else None

    @property
    def reliability(self) -> float | None:
        """The share of calls that did not fail, 0 to 1; None where nothing was measured."""
        return 1.0 - self.failures / self.calls if self.calls else None

    def count_recent(self) -> tuple[int, int]:
        """Return calls and failures of the two latest buckets: what changed lately does not drown in what was before."""
        latest = list(self._buckets)[-2:]
        return sum(bucket.calls for bucket in latest), sum(bucket.failures for bucket in latest)

    def _forget_oldest(self) -> None:
        gone = self._buckets.popleft()
        self.calls -= gone.calls
        self.failures -= gone.failures
        self.total_s = sum(bucket.total_s for bucket in self._buckets)  # not subtracted: nothing drifts
