"""The file that budgets are kept in, before it is written to: held, and read to its end."""

import os
from collections.abc import Iterator
from pathlib import Path

from sidecar.core.admit.ledger_lines import LINE_BYTES_MAX, Told, read_ledger
from sidecar.edge.durable import lock_beside
from sidecar.errors import ConfigError, ConfigProblem


class Opened:
    """A ledger that is ours, as it was left behind: nothing is written to it yet."""

    def __init__(self, path: Path, lock: int, told: Told) -> None:
        self.path = path
        self.told = told
        self._lock = lock

    def take_lock(self) -> int:
        """Return what keeps others off; whoever takes it closes it."""
        lock, self._lock = self._lock, -1
        return lock

    def release(self) -> None:
        """Leave it to others."""
        lock = self.take_lock()
        if lock >= 0:
            os.close(lock)


def open_ledger(file: str) -> Opened:
    """Return the ledger at a path. Raises ConfigError where that can be nobody's."""
    path = Path(file).absolute()
    try:
        path = path.resolve()
        if not path.parent.is_dir():
            raise _complain("a path in no directory that is there")
        if path.exists() and not path.is_file():
            raise _complain("a path at which there is something else than a file")
    except OSError as error:
        raise _complain(f"a path that cannot be looked at ({error.strerror})") from None
    try:
        lock = lock_beside(path)
    except BlockingIOError:
        raise _complain("a ledger that another sidecar writes to") from None
    return Opened(path, lock, read_ledger(_read_lines(path)))


def _read_lines(path: Path) -> Iterator[bytes]:
    """Yield the lines of a file: of one that is longer than any of ours, its beginning; for what cannot be read, an empty one."""
    is_middle = False
    try:
        with path.open("rb") as file:
            while piece := file.readline(LINE_BYTES_MAX + 1):
                if not is_middle:
                    yield piece
                is_middle = not piece.endswith(b"\n")
    except FileNotFoundError:
        return
    except OSError:
        yield b""


def _complain(found: str) -> ConfigError:
    return ConfigError("start", [ConfigProblem("budgets.file", found, "a file of this sidecar's own, in a directory that is there")])
