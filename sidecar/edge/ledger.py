"""The file that budgets are kept in: appended to at every event, so that a restart or kill -9 loses nothing.

An event is handed to the kernel at once, in one write of less than a page: whoever kills the process afterwards does not take it
back. Against a loss of power it is safe `budgets.sync` later, when a thread has flushed it to disk. So the file belongs on a
local disk: one that hangs makes calls wait.

It is written anew, next to the old one and then renamed, at start, when it has grown, and after anything went wrong: what could
not be appended is in memory, and so in the new file. While the new one is flushed, events go into both; whenever the process
ends, one whole file is there under the name.

One that cannot be read, or not all of it, is kept as FILE.damaged-N.
"""

import asyncio
import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import Final, Protocol

from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.ledger_lines import tell_state
from sidecar.core.admit.spending_sums import State
from sidecar.edge.durable import OWNERS_ONLY, keep_copy, sync_folder, write_whole
from sidecar.edge.ledger_reading import Opened
from sidecar.edge.tasks import spawn

_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW
GROWTH_BYTES: Final = 1024 * 1024  # some five thousand calls
_KEPT_MAX: Final = 99
_CLOSE_S: Final = 3.0
_DAMAGED, _WRITE, _SYNC, _COMPACTION = "damaged", "write", "sync", "compaction"
FAILURES: Final = (_DAMAGED, _WRITE, _SYNC, _COMPACTION)


class LedgerNotes(Protocol):
    """Who is told of the ledger. Calls go on whatever becomes of it."""

    def note_ledger_failure(self, reason: str) -> None:
        """Something went wrong, one of FAILURES: each time."""
        ...

    def note_ledger_unwritable(self, problem: str) -> None:
        """Events are not on disk from now on. Once, until it is writable again."""
        ...

    def note_ledger_writable(self) -> None:
        """Everything is on disk again, what was missed too."""
        ...

    def note_ledger_damaged(self, lines: int, kept_as: str) -> None:
        """So many lines could not be read at start. The others count, and the file is kept under that name; "": it could not be."""
        ...

    def note_ledger_replayed(self, lines: int, reservations: int) -> None:
        """So many lines were read at start, which left so many reservations open: they count as spent."""
        ...


class Ledger:
    """One file, of one process. `snapshot`: what it would hold if it were written anew now; `instance`: who writes it.

    `is_kept`: what is there under the name is put aside first. `growth_bytes`: after so many it is written anew. `lock`: a
    descriptor that keeps others off.
    """

    def __init__(
        self, path: Path, sync_s: float, snapshot: Callable[[], State], instance: str, notes: LedgerNotes, *, is_kept: bool,
        growth_bytes: int, lock: int,
    ) -> None:  # fmt: skip
        self.instance = instance
        self.kept_as = ""
        self.problem: str | None = None  # why events are not on disk; None where they are
        self._path = path
        self._new_path = path.with_name(path.name + ".new")
        self._sync_s = sync_s
        self._snapshot = snapshot
        self._notes = notes
        self._is_kept = is_kept
        self._growth_bytes = growth_bytes
        self._lock = lock
        self._descriptor = -1  # none: nothing can be written
        self._next = -1  # the file that takes its place soon
        self._size_bytes = self._grown_bytes = 0
        self._is_dirty = False
        self._task: asyncio.Task[None] | None = None

    def append(self, line: bytes) -> None:
        """Write one event. What cannot be written is made up for later."""
        if self._next >= 0:
            try:
                write_whole(self._next, line)
            except OSError as error:
                self._abandon()
                self._fail(_WRITE, error)
        if self._descriptor < 0:
            return
        try:
            write_whole(self._descriptor, line)
        except OSError as error:
            with suppress(OSError):  # nothing of it is left, so that all that is there can be read
                os.ftruncate(self._descriptor, self._size_bytes)
            self._let_go()
            self._fail(_WRITE, error)
        else:
            self._size_bytes += len(line)
            self._is_dirty = True

    def start(self) -> None:
        """Write the file anew, on disk when this returns, and flush it now and then from here on."""
        try:
            self._begin_anew()
            os.fsync(self._next)
            self._replace()
            sync_folder(self._path.parent)
        except OSError as error:
            self._fail(_COMPACTION, error)
        self._abandon()
        self._task = spawn(self._repeat(), name="ledger")

    def start_soon(self) -> None:
        """The same, without waiting for the disk: the file that was there stays in its place until the new one is on disk."""
        try:
            self._begin_anew()
        except OSError as error:
            self._abandon()
            self._fail(_COMPACTION, error)
        self._task = spawn(self._repeat(is_begun=self._next >= 0), name="ledger")

    async def close(self, timeout_s: float = _CLOSE_S) -> None:
        """Flush what is there, for at most `timeout_s`, and close the file."""
        task, self._task = self._task, None
        if task is None:
            return
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)
        with suppress(TimeoutError):
            async with asyncio.timeout(timeout_s):
                await self._tend()
        self._abandon()
        self._let_go()
        if self._lock >= 0:
            os.close(self._lock)
            self._lock = -1

    async def _repeat(self, *, is_begun: bool = False) -> None:
        if is_begun:
            await self._end_anew()
        while True:
            await asyncio.sleep(self._sync_s)
            await self._tend()

    async def _tend(self) -> None:
        """Flush the file, or write it anew where that is due."""
        if self._descriptor < 0 or self._size_bytes > self._grown_bytes:
            await self._write_anew()
        elif self._is_dirty:
            self._is_dirty = False
            try:
                await asyncio.to_thread(os.fsync, self._descriptor)
            except OSError as error:
                # What was to be flushed may be forgotten by the kernel: only a new file has it for certain.
                self._let_go()
                self._fail(_SYNC, error)

    async def _write_anew(self) -> None:
        try:
            self._begin_anew()
        except OSError as error:
            self._give_up(error)
        else:
            await self._end_anew()

    async def _end_anew(self) -> None:
        """Have the new file take the old one's place as soon as it is on disk."""
        try:
            await asyncio.to_thread(os.fsync, self._next)
            if self._next >= 0:  # else an event did not fit in it
                self._replace()
                await asyncio.to_thread(sync_folder, self._path.parent)
        except OSError as error:
            self._give_up(error)
        finally:
            self._abandon()

    def _give_up(self, error: OSError) -> None:
        self._abandon()
        self._grown_bytes = self._size_bytes + self._growth_bytes
        self._fail(_COMPACTION, error)

    def _begin_anew(self) -> None:
        """Open the new file with all that is to be known; events go into it, too, from now on. Raises OSError."""
        if self._is_kept:
            self.kept_as, self._is_kept = keep_copy(self._path, "damaged", _KEPT_MAX), False
        self._new_path.unlink(missing_ok=True)
        self._next = os.open(self._new_path, _FLAGS | os.O_EXCL, OWNERS_ONLY)
        write_whole(self._next, b"".join(tell_state(self._snapshot(), self.instance)))

    def _replace(self) -> None:
        """Let the new file take the old one's place. Raises OSError."""
        size_bytes = os.fstat(self._next).st_size
        self._new_path.replace(self._path)
        self._let_go()
        self._descriptor, self._next = self._next, -1
        self._size_bytes = size_bytes
        self._grown_bytes = 2 * size_bytes + self._growth_bytes
        self._is_dirty = True  # by what came meanwhile
        if self.problem is not None:
            self.problem = None
            self._notes.note_ledger_writable()

    def _let_go(self) -> None:
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _abandon(self) -> None:
        """Give the new file up, if there is one."""
        if self._next >= 0:
            os.close(self._next)
            self._next = -1
            with suppress(OSError):
                self._new_path.unlink()

    def _fail(self, reason: str, error: OSError) -> None:
        self._notes.note_ledger_failure(reason)
        if self._descriptor < 0 and self.problem is None:
            self.problem = error.strerror or type(error).__name__
            self._notes.note_ledger_unwritable(self.problem)


def start_ledger(
    opened: Opened, sync_s: float, accounts: Accounts, wall_s: float, notes: LedgerNotes, *, growth_bytes: int = GROWTH_BYTES,
    waits: bool = True,
) -> Ledger:  # fmt: skip
    """Return a running ledger, whose sums `accounts` now have too. `waits`: for the disk; else it is there a little later."""
    told = opened.told
    accounts.restore(told.state, wall_s)
    ledger = Ledger(
        opened.path, sync_s, accounts.snapshot, told.instance or os.urandom(8).hex(), notes,
        is_kept=told.damaged > 0, growth_bytes=growth_bytes, lock=opened.take_lock(),
    )  # fmt: skip
    (ledger.start if waits else ledger.start_soon)()
    if told.damaged:
        notes.note_ledger_failure(_DAMAGED)
        notes.note_ledger_damaged(told.damaged, ledger.kept_as)
    elif told.lines:
        notes.note_ledger_replayed(told.lines, len(told.state.open))
    return ledger
