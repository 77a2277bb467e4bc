"""Lines on their way to a stream: handed over on any thread, made and written by one of their own.

A reader of the log that stops (a collector whose pipe is full, a terminal that is held) lets every write wait. So the event loop
does not write: a line costs it an append, and one for which there is no room is lost, and counted in the next that is written.
"""

import os
import select
import threading
from collections import deque
from collections.abc import Callable
from typing import Final, TextIO

from sidecar.edge.telemetry.worker import Worker

LINES_MAX: Final = 1024  # waiting
_TOGETHER: Final = 16  # lines of one write: between two the event loop has its turn
_REST_S: Final = 0.02  # after which what has come in the meantime is written
_RETRY_S: Final = 0.1  # for a stream that takes nothing at the moment


class Outlet:
    """Writes lines to a stream. Until it is started it writes where it is called."""

    def __init__(self, stream: TextIO, tell_lost: Callable[[int], str]) -> None:
        """`tell_lost`: makes the line that says how many were lost."""
        self._stream = stream
        self._tell_lost = tell_lost
        self._queue: deque[str | Callable[[], str]] = deque()
        self._worker: Worker | None = None
        self._counting = threading.Lock()
        self._lost = 0

    def start(self) -> None:
        """Write in a thread from now on."""
        self._worker = Worker("log", self._run)
        self._worker.start()

    async def stop(self, timeout_s: float) -> None:
        """Have what is left written, for at most so many seconds; what comes later is lost."""
        if self._worker is not None:
            await self._worker.shutdown(timeout_s, self._queue.clear)

    def offer(self, line: str | Callable[[], str]) -> None:
        """Have a line written, or what makes one called where it is written."""
        worker = self._worker
        if worker is None:
            self._queue.append(line)
            self._write_some()
        elif worker.closed or len(self._queue) >= LINES_MAX:
            self._count_lost(1)
        else:
            self._queue.append(line)
            if not worker.wake.is_set():
                worker.wake.set()

    def _run(self) -> None:
        worker = self._worker
        while worker is not None and not worker.is_abandoned and not (worker.stopping.is_set() and not self._queue):
            worker.wake.wait()
            worker.wake.clear()
            while self._queue and not worker.is_abandoned:
                self._write_some()
            worker.stopping.wait(_REST_S)

    def _write_some(self) -> None:
        """Write the lines that come next."""
        with self._counting:
            lost, self._lost = self._lost, 0
        lines = [self._tell_lost(lost)] if lost else []
        while self._queue and len(lines) < _TOGETHER:
            line = self._queue.popleft()
            try:
                lines.append(line if isinstance(line, str) else line())
            except Exception:  # this one cannot be told; the others can
                self._count_lost(1)
        try:
            self._write("".join(f"{line}\n" for line in lines))
        except (OSError, ValueError):  # nobody reads it any more, or it is closed
            self._count_lost(lost + len(lines) - bool(lost))

    def _write(self, text: str) -> None:
        if self._worker is None:
            self._stream.write(text)
            self._stream.flush()
            return
        # Not by the stream: while one thread waits in its write, its lock keeps the process from ending.
        file = self._stream.fileno()
        rest = memoryview(text.encode(self._stream.encoding or "utf-8", "backslashreplace"))
        while rest and not self._worker.is_abandoned:
            try:
                rest = rest[os.write(file, rest) :]
            except BlockingIOError:
                select.select((), (file,), (), _RETRY_S)

    def _count_lost(self, lines: int) -> None:
        with self._counting:
            self._lost += lines
