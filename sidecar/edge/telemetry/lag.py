"""How late the event loop runs what is due: the delay every call on it also suffers."""

import asyncio
from typing import Final

from sidecar.edge.telemetry.instruments import Histogram

_INTERVAL_S: Final = 0.5  # two wake-ups a second cost nothing that can be measured


async def sample_lag(lag: Histogram, interval_s: float = _INTERVAL_S) -> None:
    """Observe how late a timer of `interval_s` fires, for ever."""
    loop = asyncio.get_running_loop()
    while True:
        due = loop.time() + interval_s
        await asyncio.sleep(interval_s)
        lag.observe(max(0.0, loop.time() - due))
