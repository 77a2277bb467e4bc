"""Looks at files now and then, and has a change taken once it has settled."""

import asyncio
from collections.abc import Awaitable, Callable
from contextlib import suppress
from typing import Final

from sidecar.config import Reload
from sidecar.edge.sources import Look

Rest = Callable[[float], Awaitable[None]]

_LOOKS_WITHIN: Final = 4  # of the time that a change has to stay as it is: what changes again in it is seen


class Watcher:
    """Compares what is in files with what was taken of them. `take` is told of what has changed and settled.

    `look` waits for nobody; `settings` are those in force, asked each time.
    """

    def __init__(
        self,
        look: Callable[[], Awaitable[Look]],
        take: Callable[[Look], Awaitable[None]],
        settings: Callable[[], Reload],
        rest: Rest = asyncio.sleep,
    ) -> None:
        self._look = look
        self._take = take
        self._settings = settings
        self._rest = rest
        self._taken: Look | None = None

    def note(self, taken: Look) -> None:
        """Take note of what was read, whatever came of it: it is not taken again before it changes."""
        self._taken = taken

    async def run(self) -> None:
        """Look until cancelled. What fails for once, such as a thread that there is no room for, is tried again."""
        while True:
            await self._rest(self._settings().interval)
            with suppress(Exception):
                seen = await self._look()
                if not self._is_taken(seen):
                    await self._settle(seen)

    async def _settle(self, seen: Look) -> None:
        """Wait until nothing has changed for a while; have it taken unless it is again what it was."""
        looks = 0
        while looks < _LOOKS_WITHIN:
            await self._rest(self._settings().debounce / _LOOKS_WITHIN)
            again = await self._look()
            looks = looks + 1 if again == seen else 0
            seen = again
        if not self._is_taken(seen):
            await self._take(seen)

    def _is_taken(self, seen: Look) -> bool:
        return self._taken is not None and seen.contents == self._taken.contents
