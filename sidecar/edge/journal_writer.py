"""What writes the journal: hours as they go on, days when they are over.

A file is written anew beside the old one, flushed, and renamed: whenever the process or the machine ends, a whole one is there. What
a file held when its hour was opened counts, and what comes is added to it, so that an hour goes on after a restart; what could not be
written stays in memory for later. A day is never added to: it is made of its hours, and unmade before one of them changes.

All of it blocks, and belongs in a thread. A directory that hangs makes nobody wait but that.
"""

import os
import re
from collections.abc import Callable, Sequence
from contextlib import suppress
from functools import partial
from pathlib import Path
from typing import Final, NamedTuple, Protocol

from sidecar.core.reckon.hours import HOURS_MAX
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, Snapshot, add_up, name_file, read_name, write_snapshot
from sidecar.edge.durable import OWNERS_ONLY, lock_beside, sync_folder, write_whole
from sidecar.edge.journal import list_files, read_file

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_EXCL | os.O_CLOEXEC | os.O_NOFOLLOW
_NEW: Final = ".new"
_OURS: Final = re.compile(r"((?:hourly|daily)_[\d_]+\.json)(\.new|\.damaged-\d+)?")
_TAKEN: Final = "another sidecar writes to it"


class JournalNotes(Protocol):
    """Who is told of the journal, in its thread."""

    def note_journal_unwritable(self, problem: str) -> None:
        """Not everything is on disk from now on. Once, until it is again."""
        ...

    def note_journal_writable(self) -> None:
        """Everything is on disk again, what was missed too."""
        ...

    def note_journal_damaged(self, name: str, problem: str, kept_as: str) -> None:
        """A file could not be read, and is kept under another name."""
        ...

    def note_journal_lost(self, calls: int) -> None:
        """So many calls are given up: nothing could be written for too long."""
        ...


class JournalState(NamedTuple):
    """How the journal is. Moments are on the monotonic clock."""

    problem: str | None = None  # why not everything is on disk
    since: float | None = None  # from when on that is so
    saved: float | None = None  # when everything was on disk for the last time
    damaged: int = 0  # files that were set aside since the start
    lost: int = 0  # calls that were given up since the start


class _Hour:
    """An hour that is open: `whole` is what its file should hold."""

    __slots__ = ("is_saved", "unsaved", "whole")

    def __init__(self, whole: Snapshot, *, is_saved: bool) -> None:
        self.whole = whole
        self.is_saved = is_saved
        self.unsaved = 0  # calls


class JournalWriter:
    """One directory, of one process, which `began` at a moment of the monotonic clock."""

    def __init__(self, directory: Path, keep_s: float, began: float, notes: JournalNotes) -> None:
        self.state = JournalState()  # a new one each time: other threads may read it
        self._directory = directory
        self._keep_s = keep_s
        self._began = began
        self._notes = notes
        self._lock = -1
        self._pending: dict[int, Snapshot] = {}  # by when they began; of hours that could not be opened
        self._hours: dict[int, _Hour] = {}
        self._tended_day: int | None = None  # up to which days are made and old files removed
        self._problem = ""

    def hold(self) -> None:
        """Take the directory for this process, and make it where only it is missing. Raises BlockingIOError where another has it, and
        OSError where it cannot be used.
        """
        if self._lock >= 0 and os.fstat(self._lock).st_nlink:
            return
        self._release()  # somebody removed the directory
        if not self._directory.is_dir():
            self._directory.mkdir()
        self._lock = lock_beside(self._directory / "journal")

    def save(self, hours: Sequence[Snapshot], present: Present) -> None:
        """Have these calls on disk, and all that could not be written before."""
        for hour in hours:
            if hour.began in self._pending:
                self._pending[hour.began].merge(hour)
            else:
                self._pending[hour.began] = hour
        self._problem = ""
        now = present.wall_ns / 1e9
        this_hour = int(now // HOUR_S) * HOUR_S
        if self._try(self.hold):
            for began in sorted({*self._pending, this_hour}):
                self._try(partial(self._open, began))
            for unsaved in [hour for hour in self._hours.values() if not hour.is_saved]:
                self._try(partial(self._write_hour, unsaved, present))
            if self._tended_day != this_hour // DAY_S and self._try(partial(self._tend, now, present)):
                self._tended_day = None if self._problem else this_hour // DAY_S
        self._hours = {began: hour for began, hour in self._hours.items() if began == this_hour or not hour.is_saved}
        lost = self._give_up()
        self._tell(present, lost)

    def close(self) -> None:
        """Let another have the directory."""
        self._release()

    def _release(self) -> None:
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    def _try(self, do: Callable[[], None]) -> bool:
        """Do it; where the system does not let us, remember why."""
        try:
            do()
        except OSError as error:
            taken = isinstance(error, BlockingIOError)
            self._problem = self._problem or (_TAKEN if taken else error.strerror or type(error).__name__)
            return False
        return True

    def _open(self, began: int) -> None:
        """Have an hour in memory, and what is new in it. Raises OSError."""
        hour = self._hours.get(began)
        if hour is None:
            whole = self._read(name_file(began, began + HOUR_S))
            hour = _Hour(whole or Snapshot(began, began + HOUR_S), is_saved=whole is not None)
            self._hours[began] = hour
        pending = self._pending.pop(began, None)
        if pending is not None:
            hour.whole.merge(pending)
            hour.unsaved += pending.total.requests
            hour.is_saved = False

    def _read(self, name: str) -> Snapshot | None:
        """Return what a file tells; None where there is none, or no longer. Raises OSError."""
        try:
            return read_file(self._directory, name)
        except FileNotFoundError:
            return None
        except ValueError as error:
            kept_as = self._set_aside(name)
            self.state = self.state._replace(damaged=self.state.damaged + 1)
            self._notes.note_journal_damaged(name, str(error), kept_as)
            return None

    def _set_aside(self, name: str) -> str:
        """Give a file another name, which is returned. Raises OSError."""
        number = 1
        while os.path.lexists(kept_as := self._directory / f"{name}.damaged-{number}"):
            number += 1
        (self._directory / name).rename(kept_as)
        sync_folder(self._directory)
        return kept_as.name

    def _write_hour(self, hour: _Hour, present: Present) -> None:
        day = hour.whole.began // DAY_S * DAY_S
        with suppress(FileNotFoundError):
            (self._directory / name_file(day, day + DAY_S)).unlink()
            self._tended_day = None
        self._write(hour.whole, present)
        hour.is_saved, hour.unsaved = True, 0
        if day // DAY_S != present.wall_ns // (DAY_S * 10**9):
            self._tended_day = None

    def _write(self, snapshot: Snapshot, present: Present) -> None:
        """Put a file in its place. Raises OSError, and leaves the old one there."""
        path = self._directory / name_file(snapshot.began, snapshot.ended)
        new_path = path.with_name(path.name + _NEW)
        new_path.unlink(missing_ok=True)
        data = write_snapshot(snapshot, present.wall_ns, present.now - self._began)
        descriptor = os.open(new_path, _FLAGS, OWNERS_ONLY)
        try:
            try:
                write_whole(descriptor, data)
                os.fsync(descriptor)
            finally:
                os.close(descriptor)
            new_path.replace(path)
        except OSError:
            with suppress(OSError):
                new_path.unlink()  # a part of it, on a disk that may be full
            raise
        sync_folder(self._directory)

    def _tend(self, now: float, present: Present) -> None:
        """Make the days that are over, and remove what is too old. Raises OSError where the directory cannot be read."""
        files = dict(list_files(self._directory))
        days = {began for began, ended in files.values() if ended - began == DAY_S}
        hours: dict[int, list[str]] = {}
        for name, (began, ended) in sorted(files.items()):
            day = began // DAY_S * DAY_S
            if ended - began == HOUR_S and day not in days and now - self._keep_s < day + DAY_S <= now:
                hours.setdefault(day, []).append(name)
        for day, names in hours.items():
            self._try(partial(self._make_day, day, names, present))
        self._try(partial(self._remove_old, now))

    def _make_day(self, day: int, names: Sequence[str], present: Present) -> None:
        hours = [hour for name in names if (hour := self._read(name)) is not None]
        if hours:
            self._write(add_up(day, day + DAY_S, hours), present)

    def _remove_old(self, now: float) -> None:
        """Remove the files of days that are over for too long, hours, days and damaged ones, and what a process left unfinished."""
        for path in list(self._directory.iterdir()):
            ours = _OURS.fullmatch(path.name)
            span = None if ours is None else read_name(ours[1])
            if ours is None or span is None:
                continue
            day_ended = (span[0] // DAY_S + 1) * DAY_S
            if ours[2] == _NEW or day_ended <= now - self._keep_s:
                path.unlink(missing_ok=True)

    def _give_up(self) -> int:
        """Forget the oldest hours where more are waiting than memory is meant for; return how many calls that were."""
        lost = 0
        while len(waiting := [*self._pending, *(began for began, hour in self._hours.items() if not hour.is_saved)]) > HOURS_MAX:
            oldest = min(waiting)
            pending, hour = self._pending.pop(oldest, None), self._hours.pop(oldest, None)
            lost += (0 if pending is None else pending.total.requests) + (0 if hour is None else hour.unsaved)
        return lost

    def _tell(self, present: Present, lost: int) -> None:
        """Say what has changed."""
        state = self.state
        if self._problem:
            since = present.now if state.problem is None else state.since
            self.state = state._replace(problem=self._problem, since=since, lost=state.lost + lost)
            if state.problem is None:
                self._notes.note_journal_unwritable(self._problem)
        else:
            self.state = state._replace(problem=None, since=None, saved=present.now)
            if state.problem is not None:
                self._notes.note_journal_writable()
        if lost:
            self._notes.note_journal_lost(lost)
