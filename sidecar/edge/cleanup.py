"""What is kept in memory is tidied up in the background, and given up where memory is short."""

import asyncio
from typing import Protocol

from sidecar.config import Cache
from sidecar.core.reuse.levels import Levels
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock


class MemoryReader(Protocol):
    """What is known of memory (edge.memory.Memory)."""

    def read_rss(self) -> int | None:
        """Return the bytes of memory that are resident; None: not known."""
        ...

    def read_limit(self) -> int | None:
        """Return how many there may be; None: not known."""
        ...

    def give_back(self) -> None:
        """Return to the system what the process has let go of. Takes milliseconds."""
        ...


class Cleanup:
    """Sweeps levels every `cache.cleanup`, and drops the warm one where the process takes `cache.memory_share` of what it may."""

    def __init__(self, levels: Levels, settings: Cache, memory: MemoryReader, clock: Clock) -> None:
        self._levels = levels
        self._settings = settings
        self._memory = memory
        self._clock = clock
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Tidy up from now on."""
        self._task = spawn(self._repeat(), name="cache cleanup")

    def adopt(self, settings: Cache) -> None:
        """Go by other settings from now on: the next time is a `cleanup` away."""
        is_later = settings.cleanup != self._settings.cleanup
        self._settings = settings
        if is_later and self._task is not None:
            self._task.cancel()
            self.start()

    def end(self) -> None:
        """Tidy up no more, without waiting for what is being done."""
        if self._task is not None:
            self._task.cancel()

    async def stop(self) -> None:
        """Tidy up no more."""
        self.end()
        task, self._task = self._task, None
        if task is not None:
            await asyncio.gather(task, return_exceptions=True)

    async def _repeat(self) -> None:
        while True:
            await asyncio.sleep(self._settings.cleanup)
            swept = self._levels.sweep(self._clock.now())
            while swept:
                await asyncio.sleep(0)  # calls come first: there may be much to compress
                swept = self._levels.sweep(self._clock.now())
            if self._is_short() and self._levels.drop_warm():
                await asyncio.to_thread(self._memory.give_back)

    def _is_short(self) -> bool:
        rss, limit = self._memory.read_rss(), self._memory.read_limit()
        return rss is not None and limit is not None and rss >= limit * self._settings.memory_share
