"""Callers of an application that knows nothing of sidecars: streams, tools, embeddings, usual questions, faults. `app.py URL`."""

import asyncio
import signal
import sys

from sidecar.simulator.errands import Habits
from sidecar.simulator.scenario import FRUGAL, LIMITED, ROUTES, UNHELD
from sidecar.simulator.traffic import Traffic, run_traffic

HABITS = Habits(repeats=0.35, tool=0.08, indexes_every=50, tenants=((UNHELD, 50), (FRUGAL, 30), (LIMITED, 20)))


async def call(url: str) -> None:
    """Call a sidecar until SIGTERM, some four times a second."""
    traffic = Traffic(f"{url}/{{route}}", callers=8, odd_every=25, think_s=1.0, routes=ROUTES, habits=HABITS)
    stop = asyncio.Event()
    asyncio.get_running_loop().add_signal_handler(signal.SIGTERM, stop.set)
    await run_traffic(traffic, lambda sight: None, stop)


if __name__ == "__main__":
    asyncio.run(call(sys.argv[1]))
