"""A thread that works off what the event loop hands it, and its orderly stop."""

import asyncio
import threading
from collections.abc import Callable


class Worker:
    """A daemon thread whose work ends when it is told to, or is abandoned.

    `run` is the thread's whole life: it returns once `stopping` is set and nothing is left, or
    `is_abandoned` is. What it takes in hand it takes under `counting`, so that each piece is either
    done or counted as lost at the end: never both, never neither.
    """

    def __init__(self, name: str, run: Callable[[], None]) -> None:
        self.wake = threading.Event()
        self.stopping = threading.Event()
        self.counting = threading.Lock()
        self.is_abandoned = False
        self.closed = False  # nothing more is handed to it
        self._run = run
        self._tell_end: Callable[[], None] | None = None
        self._thread = threading.Thread(target=self._live, name=name, daemon=True)

    def start(self) -> None:
        """Start the thread."""
        self._thread.start()

    async def shutdown(self, timeout_s: float, count_lost: Callable[[], None]) -> None:
        """Have what is left worked off, for at most `timeout_s`; then `count_lost` is called, once."""
        if self.closed:
            return
        self.closed = True
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._tell_end = lambda: _tell(loop, ended)
        self.stopping.set()
        self.wake.set()
        if self._thread.is_alive():
            try:
                async with asyncio.timeout(timeout_s):
                    await ended.wait()
            except TimeoutError:
                pass
        with self.counting:
            self.is_abandoned = True
            count_lost()

    def _live(self) -> None:
        try:
            self._run()
        finally:
            if self._tell_end is not None:
                self._tell_end()


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(ended.set)
    except RuntimeError:
        pass  # the loop has gone: nobody waits any more
