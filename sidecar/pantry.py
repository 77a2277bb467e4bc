"""Where answers are kept in this process, for as long as the settings want any kept, and what tidies up there."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING

from sidecar.config import Settings

if TYPE_CHECKING:
    from sidecar.core.reuse.levels import Levels
    from sidecar.edge.cleanup import Cleanup
    from sidecar.ports import Clock


class Pantry:
    """The levels of one process. `note_evicted`: see core.reuse.levels.Levels."""

    def __init__(self, settings: Settings, clock: Clock, note_evicted: Callable[[str, str, int], None]) -> None:
        self._settings = settings
        self._clock = clock
        self._note_evicted = note_evicted
        self._levels: Levels | None = None
        self._cleanup: Cleanup | None = None
        self._is_started = False

    def open(self) -> Levels:
        """Return the levels."""
        if self._levels is None:
            from sidecar.core.reuse.levels import Levels  # what is off stays out of memory

            cache, features = self._settings.cache, self._settings.features
            self._levels = Levels(cache, keeps_stale=features.stale, refreshes=features.refresh, note_evicted=self._note_evicted)
            if self._is_started:
                self._tidy_up(self._levels)
        return self._levels

    def start(self) -> None:
        """Tidy up from now on, where there is anything."""
        self._is_started = True
        if self._levels is not None:
            self._tidy_up(self._levels)

    def adopt(self, settings: Settings) -> None:
        """Go by other settings from now on. What is kept goes with the cache, as soon as no call needs it any more."""
        self._settings = settings
        features, levels = settings.features, self._levels
        if levels is None:
            return
        if features.cache:
            levels.adopt(settings.cache, keeps_stale=features.stale, refreshes=features.refresh)
            if self._cleanup is not None:
                self._cleanup.adopt(settings.cache)
            return
        self._levels = None
        if self._cleanup is not None:
            self._cleanup.end()
            self._cleanup = None

    async def stop(self) -> None:
        """Tidy up no more."""
        self._is_started = False
        if self._cleanup is not None:
            await self._cleanup.stop()

    def describe(self) -> dict[str, tuple[int, int]]:
        """Return entries and bytes of each level; nothing where there is none."""
        levels = self._levels
        return {} if levels is None else {level: (levels.entries[level], levels.bytes[level]) for level in levels.entries}

    def abandon_refresh(self, key: str) -> None:
        """Whoever was to fetch what is kept under `key` anew has not."""
        if self._levels is not None:
            self._levels.abandon_refresh(key)

    def _tidy_up(self, levels: Levels) -> None:
        from sidecar.edge.cleanup import Cleanup
        from sidecar.edge.memory import Memory

        self._cleanup = Cleanup(levels, self._settings.cache, Memory(), self._clock)
        self._cleanup.start()
