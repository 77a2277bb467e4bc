"""What became of an upstream's last calls: times and failures."""

from collections import deque
from typing import Final

BUCKETS: Final = 10
_AT_ONCE: Final = float("-inf")
_NEVER: Final = float("inf")
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

    A failed call is noted with a time of penalty, not with the time that it took: who fails fast does not look fast. What it
    all comes to is worked out by `sum_up`, and is as of `stale_at` no longer right; None where nothing was measured.
    """

    __slots__ = (
        "_bucket_calls_max",
        "_buckets",
        "_latest",
        "answer_s",
        "calls",
        "failures",
        "mean_s",
        "reliability",
        "stale_at",
        "total_s",
    )

    def __init__(self, window: int) -> None:
        self._bucket_calls_max = max(1, window // BUCKETS)
        self._buckets: deque[_Bucket] = deque()
        self.forget()

    def adopt(self, window: int) -> None:
        """Remember so many calls from now on: where these are fewer, the oldest are forgotten by whole buckets."""
        self._bucket_calls_max = max(1, window // BUCKETS)
        buckets = self._buckets
        while len(buckets) > 1 and sum(bucket.calls for bucket in buckets) > window:
            buckets.popleft()
        self.stale_at = _AT_ONCE

    def note(self, took_s: float, failed: bool, now: float) -> None:
        """Count a call. `took_s`: seconds until its answer began, or its penalty."""
        bucket = self._latest
        if bucket is None or bucket.calls >= self._bucket_calls_max or now - bucket.began >= BUCKET_S:
            bucket = self._open(now)
        bucket.latest = now
        bucket.calls += 1
        bucket.total_s += took_s
        if failed:
            bucket.failures += 1
        self.stale_at = _AT_ONCE

    def forget(self) -> None:
        """Forget everything: what was there before says nothing of what has come back."""
        self._buckets.clear()
        self._latest: _Bucket | None = None
        self.sum_up(0.0)

    def sum_up(self, now: float) -> None:
        """Forget what is too old to tell anything of today, and work out what the rest comes to."""
        self._forget_old(now)
        buckets = self._buckets
        self.calls = calls = sum(bucket.calls for bucket in buckets)
        self.failures = failures = sum(bucket.failures for bucket in buckets)
        self.total_s = sum(bucket.total_s for bucket in buckets)  # of all calls, penalties included
        # How long a call takes, penalties included; how long it takes to have an answer, if failed calls are made again
        # (all time spent, by answers given); and the share of calls that did not fail, 0 to 1.
        self.mean_s = self.total_s / calls if calls else None
        self.answer_s = self.total_s / max(1, calls - failures) if calls else None
        self.reliability = 1.0 - failures / calls if calls else None
        self.stale_at = buckets[0].latest + BUCKETS * BUCKET_S if buckets else _NEVER

    def count_recent(self, now: float) -> tuple[int, int]:
        """Return calls and failures of the two latest buckets: what changed lately does not drown in what was before."""
        self._forget_old(now)
        latest = list(self._buckets)[-2:]
        return sum(bucket.calls for bucket in latest), sum(bucket.failures for bucket in latest)

    def _forget_old(self, now: float) -> None:
        buckets = self._buckets
        while buckets and now - buckets[0].latest >= BUCKETS * BUCKET_S:
            buckets.popleft()
            self.stale_at = _AT_ONCE
        if not buckets:
            self._latest = None

    def _open(self, now: float) -> _Bucket:
        self._forget_old(now)
        if len(self._buckets) == BUCKETS:
            self._buckets.popleft()
        self._latest = bucket = _Bucket(now)
        self._buckets.append(bucket)
        return bucket
