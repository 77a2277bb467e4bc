"""What the last minutes came to, as far as alerts ask for it: cheaper than whole tallies of all calls."""

from typing import Final

from sidecar.core.reckon.sketch import Sketch
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.window import STEP_S, Who
from sidecar.exchange import Ending

# As long as the rules for Prometheus look back.
_CALLS_S: Final = 300.0
_CUT_S: Final = 900.0
_CACHE_S: Final = 1800.0


class Calls:
    """Calls of one upstream: 5 minutes, and 15 for answers that broke off."""

    __slots__ = ("cut", "durations", "errors", "limited", "requests", "requests_long", "unavailable")

    def __init__(self) -> None:
        self.requests = self.errors = self.limited = self.unavailable = 0
        self.cut = self.requests_long = 0
        self.durations = Sketch()  # seconds


class Streams:
    """Streams of one model, of 5 minutes."""

    __slots__ = ("first_tokens", "speeds")

    def __init__(self) -> None:
        self.first_tokens = Sketch()  # seconds
        self.speeds = Sketch()  # output tokens per second


class Lately:
    """Sums up to `now`, seconds on the clock of the window. The step that has only begun counts besides the whole ones."""

    def __init__(self, now: float) -> None:
        self._newest = int(now // STEP_S)
        self.upstreams: dict[str, Calls] = {}
        self.models: dict[str, Streams] = {}
        self.lookups = self.hits = 0

    def add(self, number: int, who: Who, tally: Tally) -> bool:
        """Add one tally of the window's step `number`; return whether that was much work."""
        age_s = (self._newest - number) * STEP_S
        if age_s > _CACHE_S:
            return False
        self.lookups += tally.lookups
        self.hits += tally.hits
        if age_s > _CUT_S:
            return False
        calls = self.upstreams.setdefault(who.upstream, Calls())
        calls.requests_long += tally.requests
        calls.cut += tally.endings.get(Ending.CUT, 0)
        if age_s > _CALLS_S:
            return False
        calls.requests += tally.requests
        calls.errors += tally.errors
        calls.limited += tally.endings.get(Ending.RATE_LIMITED, 0)
        calls.unavailable += tally.endings.get(Ending.UNAVAILABLE, 0)
        calls.durations.merge(tally.durations)
        if tally.first_tokens.count or tally.speeds.count:
            streams = self.models.setdefault(who.model, Streams())
            streams.first_tokens.merge(tally.first_tokens)
            streams.speeds.merge(tally.speeds)
        return True
