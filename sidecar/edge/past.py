"""The last days as the journal tells them: read in a thread, a file at a time, and kept for a minute."""

import asyncio
import time
from pathlib import Path
from threading import Thread
from typing import Final

from sidecar.core.reckon.signals import Moment, read_moment
from sidecar.core.reckon.snapshots import HOUR_S
from sidecar.edge.journal import list_files, read_file
from sidecar.ports import Clock

DAYS: Final = 7
KEPT_S: Final = 60.0
_WAIT_S: Final = 5.0  # for a directory; one that hangs is not waited for, and not asked again before it answers
_SETTLED_S: Final = 600.0  # after its end the file of an hour does not change any more
_PAUSE_S: Final = 0.001  # after each file: whoever serves calls gets the interpreter


class Past:
    """The hours of a journal's directory that are over."""

    def __init__(self, directory: Path, clock: Clock) -> None:
        self._directory = directory
        self._clock = clock
        self._settled: dict[str, Moment] = {}
        self._hours: list[Moment] = []
        self._read_at: float | None = None
        self._reading: asyncio.Event | None = None

    async def read(self) -> list[Moment]:
        """Return what each hour of the last days comes to, the oldest first. Files that cannot be read are left out."""
        is_fresh = self._read_at is not None and self._clock.now() - self._read_at < KEPT_S
        if not is_fresh and self._reading is None:
            self._reading = asyncio.Event()
            Thread(target=self._run, args=(asyncio.get_running_loop(), self._clock.wall_ns() / 1e9), name="past", daemon=True).start()
            try:
                async with asyncio.timeout(_WAIT_S):
                    await self._reading.wait()
            except TimeoutError:
                pass
        return self._hours

    def _run(self, loop: asyncio.AbstractEventLoop, now: float) -> None:
        hours: list[Moment] = []
        try:
            hours = self._collect(now)
        except OSError:
            pass  # what is wrong with the directory is told by GET /health
        finally:
            try:
                loop.call_soon_threadsafe(self._end, hours)
            except RuntimeError:
                pass  # the loop has gone: nobody waits any more

    def _end(self, hours: list[Moment]) -> None:
        reading, self._reading = self._reading, None
        self._hours, self._read_at = hours, self._clock.now()
        if reading is not None:
            reading.set()

    def _collect(self, now: float) -> list[Moment]:
        found: dict[str, Moment] = {}
        settled: dict[str, Moment] = {}
        for name, (began, ended) in list_files(self._directory):
            if ended - began != HOUR_S or not now - DAYS * 86_400 < ended <= now:
                continue
            moment = self._settled.get(name) or self._read_hour(name, began)
            if moment is not None:
                found[name] = moment
                if now - ended >= _SETTLED_S:
                    settled[name] = moment
        self._settled = settled
        return sorted(found.values())

    def _read_hour(self, name: str, began: int) -> Moment | None:
        try:
            snapshot = read_file(self._directory, name)
        except (OSError, ValueError):
            return None
        finally:
            time.sleep(_PAUSE_S)
        return read_moment(began + HOUR_S / 2, snapshot.total, HOUR_S)
