"""SIGTERM and SIGINT: the first asks for a clean end, the second for one at once."""

import asyncio
import os
import signal


def watch_stop() -> asyncio.Event:
    """Return an event that the first SIGTERM or SIGINT sets. A second one ends the process at once."""
    stop = asyncio.Event()
    loop = asyncio.get_running_loop()

    def on_signal(number: int) -> None:
        if stop.is_set():
            os._exit(128 + number)
        stop.set()

    for number in (signal.SIGTERM, signal.SIGINT):
        loop.add_signal_handler(number, on_signal, number)
    return stop
