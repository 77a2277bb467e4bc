"""How late the event loop runs what is due: the delay every call on it also suffers."""

import asyncio
from collections import deque
from typing import Final

from sidecar.edge.telemetry.instruments import Histogram

_INTERVAL_S: Final = 0.5  # two wake-ups a second cost nothing that can be measured
_LATEST: Final = 120  # those of a minute


class Lags:
    """What was measured: all of it added up in a histogram, and the last minute one by one, in seconds."""

    def __init__(self, total: Histogram) -> None:
        self.latest: deque[float] = deque(maxlen=_LATEST)
        self._total = total

    async def sample(self, interval_s: float = _INTERVAL_S) -> None:
        """Observe how late a timer of `interval_s` fires, for ever."""
        loop = asyncio.get_running_loop()
        while True:
            due = loop.time() + interval_s
            await asyncio.sleep(interval_s)
            lag_s = max(0.0, loop.time() - due)
            self._total.observe(lag_s)
            self.latest.append(lag_s)
