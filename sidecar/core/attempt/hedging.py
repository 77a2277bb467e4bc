"""When a second upstream is asked because the first is late with its first token ("The Tail at Scale", Dean and Barroso 2013).

How late is late is measured: a percentile of the time to the first token of the last calls, for each upstream and model. How
often is bounded twice: by a share of the measured calls, and by the retry budget. While nothing is answered nothing is
measured, and there is no hedging: an outage is not made worse by it.
"""

from collections import deque
from math import ceil, inf, isfinite
from typing import Final

from sidecar.config import Hedging
from sidecar.core.attempt.retry_budget import RetryBudget

Key = tuple[str, str | None]  # upstream (its mark), model

_SAMPLES_MAX: Final = 200  # of one key, unless hedging.calls_min asks for more
_KEYS_MAX: Final = 256  # the one not heard of for longest goes
_SAMPLE_EXPIRY_S: Final = 600.0
_REFRESH_S: Final = 1.0  # a percentile is worked out anew at most so often
_CREDIT_MAX: Final = 5.0  # hedges that can be saved up
_ROUNDING: Final = 1e-9  # ten times 0.1 is one


class Hedger:
    """Knows how long a first token usually takes, and how many hedges may still be made."""

    def __init__(self, settings: Hedging, budget: RetryBudget) -> None:
        self._settings = settings
        self._budget = budget
        self._latencies: dict[Key, _Latencies] = {}
        self._credit = 0.0

    def adopt(self, settings: Hedging) -> None:
        """Judge by other settings from now on; what was measured stays, and what may still be made of it."""
        self._settings = settings
        samples_max = max(_SAMPLES_MAX, settings.calls_min)
        for known in self._latencies.values():
            known.adopt(samples_max)

    def note(self, key: Key, ttft_s: float, now: float) -> None:
        """Take note of a time to the first token."""
        if not (isfinite(ttft_s) and ttft_s >= 0.0):
            return
        known = self._latencies.pop(key, None)
        if known is None:
            known = _Latencies(max(_SAMPLES_MAX, self._settings.calls_min))
            if len(self._latencies) >= _KEYS_MAX:
                del self._latencies[next(iter(self._latencies))]
        self._latencies[key] = known  # last, as the one heard of last
        known.add(now, ttft_s)
        self._credit = min(self._credit + self._settings.share_max, max(_CREDIT_MAX, self._settings.share_max))

    def delay_s(self, key: Key, now: float) -> float | None:
        """Return after how many seconds without a token a rival is asked; None: too little is known."""
        known = self._latencies.get(key)
        usual_s = None if known is None else known.find(self._settings.percentile, self._settings.calls_min, now)
        return None if usual_s is None else max(usual_s, self._settings.delay_min)

    def allow(self, now: float) -> bool:
        """Tell whether a hedge may be made now; if so, it is counted, and withdrawn from the retry budget."""
        if self._credit < 1.0 - _ROUNDING or not self._budget.withdraw(now):
            return False
        self._credit -= 1.0
        return True


class _Latencies:
    """The last times to the first token of one key."""

    __slots__ = ("_found_s", "_fresh_until", "_samples")

    def __init__(self, samples_max: int) -> None:
        self._samples: deque[tuple[float, float]] = deque(maxlen=samples_max)  # when, how long
        self._found_s: float | None = None
        self._fresh_until = -inf

    def adopt(self, samples_max: int) -> None:
        self._samples = deque(self._samples, maxlen=samples_max)
        self._fresh_until = -inf

    def add(self, now: float, ttft_s: float) -> None:
        self._samples.append((now, ttft_s))

    def find(self, percentile: float, calls_min: int, now: float) -> float | None:
        """Return the percentile (nearest rank), None with fewer than `calls_min` samples."""
        if now < self._fresh_until:
            return self._found_s
        samples = self._samples
        while samples and samples[0][0] <= now - _SAMPLE_EXPIRY_S:
            samples.popleft()
        self._found_s = None
        if samples and len(samples) >= calls_min:
            self._fresh_until = now + _REFRESH_S
            ranked = sorted(ttft_s for _, ttft_s in samples)
            self._found_s = ranked[min(max(ceil(percentile * len(ranked)) - 1, 0), len(ranked) - 1)]
        return self._found_s
