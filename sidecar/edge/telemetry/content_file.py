"""The file that captured content goes to: JSON lines, for its owner's eyes only, with one predecessor kept."""

import os
from pathlib import Path
from typing import Final

_MODE: Final = 0o600
_FLAGS: Final = os.O_WRONLY | os.O_CREAT | os.O_APPEND | os.O_CLOEXEC | os.O_NOFOLLOW


class ContentFile:
    """Writes whole lines. Blocking: used by one thread. The constructor and `write` raise OSError."""

    def __init__(self, path: str, bytes_max: int) -> None:
        """Open the file, or make it. Beyond `bytes_max` it is renamed to PATH.1, and a new one begun."""
        self._path = Path(path)
        self._bytes_max = bytes_max
        self._descriptor = -1
        self._open()

    def write(self, line: bytes) -> None:
        """Append a line. On failure nothing of it is left, so that all that is there can be read."""
        if self._descriptor < 0:
            self._open()  # it could not be opened last time
        size_bytes = os.fstat(self._descriptor).st_size
        if size_bytes and size_bytes + len(line) > self._bytes_max:
            self._rotate()
            size_bytes = 0
        try:
            self._write_all(line)
        except OSError:
            os.ftruncate(self._descriptor, size_bytes)
            raise

    def close(self) -> None:
        """Close the file."""
        if self._descriptor >= 0:
            os.close(self._descriptor)
            self._descriptor = -1

    def _open(self) -> None:
        self._descriptor = os.open(self._path, _FLAGS, _MODE)
        os.fchmod(self._descriptor, _MODE)  # it may have been there before, readable by others

    def _rotate(self) -> None:
        self.close()
        self._path.replace(self._path.with_name(self._path.name + ".1"))
        self._open()

    def _write_all(self, line: bytes) -> None:
        rest = memoryview(line)
        while rest:
            rest = rest[os.write(self._descriptor, rest) :]
