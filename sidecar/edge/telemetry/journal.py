"""The journal of a running sidecar: hands over what came to pass now and then, and a thread puts it on disk.

No call ever waits for it. A directory that cannot be written is said once; one that hangs takes up the thread, and what comes
meanwhile is kept, as far as memory is meant for it.
"""

import asyncio
from collections import deque
from collections.abc import Callable, Sequence
from pathlib import Path
from typing import Final

from sidecar import catalogue, config
from sidecar.core.reckon.hours import Hours
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.snapshots import HOUR_S, Snapshot
from sidecar.edge.journal_writer import JournalState, JournalWriter
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.worker import Worker
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.ports import Clock

_CLOSE_S: Final = 3.0
_SLOW_S: Final = 30.0  # what takes longer hangs
_TURN_S: Final = 0.01  # after the hour: none of its calls is left then
_HANGS: Final = "the directory does not answer"


class Journal:
    """Saves `hours` each interval, at the turn of the hour, and at the end. `flush`: has them told of every call that has ended."""

    def __init__(
        self, settings: config.Journal, directory: str, hours: Hours, flush: Callable[[], None], clock: Clock, log: EventLog
    ) -> None:  # fmt: skip
        self._interval_s = settings.interval
        self._hours = hours
        self._flush = flush
        self._clock = clock
        self._log = log
        self._directory = directory
        self._writer = JournalWriter(Path(directory).absolute(), settings.keep, clock.now(), self)
        self._handed: deque[tuple[Sequence[Snapshot], Present]] = deque()
        self._given = self._done = 0  # times
        self._waits_since = 0.0  # while fewer are done than given
        self._lost = 0
        self._worker = Worker("journal", self._run)
        self._task: asyncio.Task[None] | None = None

    def start(self) -> None:
        """Begin to save. Raises ConfigError where another sidecar writes to the directory."""
        try:
            self._writer.hold()
        except BlockingIOError:
            found, allowed = "a journal that another sidecar writes to", "a directory of this sidecar's own"
            raise ConfigError("start", [ConfigProblem("journal.directory", found, allowed)]) from None
        except OSError:
            pass  # it is said when something is to be saved
        self._worker.start()
        self._hand_over()
        self._task = spawn(self._repeat(), name="journal")

    async def stop(self, timeout_s: float = _CLOSE_S) -> None:
        """Save what there is, for at most `timeout_s`."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        self._flush()
        self._give()
        await self._worker.shutdown(timeout_s, self._tell_unsaved)

    def describe(self) -> JournalState:
        """Return how the journal is. A directory that does not answer is a problem, too."""
        state = self._writer.state._replace(lost=self._writer.state.lost + self._lost)
        waits_s = self._clock.now() - self._waits_since
        if self._done == self._given or waits_s < _SLOW_S:
            return state
        return state._replace(problem=_HANGS, since=self._waits_since)

    def note_journal_unwritable(self, problem: str) -> None:
        """Not everything is on disk from now on."""
        self._log.write(catalogue.JOURNAL_FAILED, directory=self._directory, problem=problem)

    def note_journal_writable(self) -> None:
        """Everything is on disk again."""
        self._log.write(catalogue.JOURNAL_WRITABLE, directory=self._directory)

    def note_journal_damaged(self, name: str, problem: str, kept_as: str) -> None:
        """A file could not be read, and has another name now."""
        self._log.write(catalogue.JOURNAL_DAMAGED, file=name, problem=problem, kept_as=kept_as)

    def note_journal_lost(self, calls: int) -> None:
        """So many calls are given up."""
        self._log.write(catalogue.JOURNAL_LOST, calls=calls)

    async def _repeat(self) -> None:
        while True:
            to_turn_s = HOUR_S - self._clock.wall_ns() / 1e9 % HOUR_S
            await asyncio.sleep(min(self._interval_s, to_turn_s + _TURN_S))
            self._hand_over()

    def _hand_over(self) -> None:
        self._flush()
        if not self._handed:
            self._give()
        elif lost := self._hours.give_up():
            self._lost += lost
            self.note_journal_lost(lost)

    def _give(self) -> None:
        if self._done == self._given:
            self._waits_since = self._clock.now()
        self._given += 1
        self._handed.append((self._hours.take(), Present(self._clock.now(), self._clock.wall_ns())))
        self._worker.wake.set()

    def _run(self) -> None:
        is_last = False
        while not is_last:
            self._worker.wake.wait()
            self._worker.wake.clear()
            is_last = self._worker.stopping.is_set()  # before: what was handed over until then is saved
            while self._handed:
                self._save(*self._handed.popleft())
                self._done += 1
        self._writer.close()

    def _save(self, hours: Sequence[Snapshot], present: Present) -> None:
        try:
            self._writer.save(hours, present)
        except Exception as error:  # the next may pass
            self._log.write(catalogue.JOURNAL_FAILED, directory=self._directory, problem=type(error).__name__)

    def _tell_unsaved(self) -> None:
        if self._done < self._given:
            self.note_journal_unwritable(_HANGS)
