"""Writes that nobody waits for: a few at once, a bounded number of bytes in line."""

from collections import deque
from collections.abc import Awaitable, Callable
from typing import Final

from sidecar.edge.tasks import spawn

BYTES_MAX: Final = 16 * 1024 * 1024  # in line
_OVERHEAD_BYTES: Final = 200  # of one in line, beside what it holds

Put = tuple[str, bytes, float]


class Puts:
    """The line. `send` writes one and never raises; what finds no place is dropped, and `note_dropped` told."""

    def __init__(self, send: Callable[[str, bytes, float], Awaitable[None]], writers_max: int, note_dropped: Callable[[], None]) -> None:
        self._send = send
        self._writers_max = writers_max
        self._note_dropped = note_dropped
        self._line: deque[Put] = deque()
        self._writers = 0
        self.bytes = 0  # in line

    def add(self, key: str, data: bytes, ttl_s: float) -> None:
        """Write it as soon as may be."""
        size_bytes = len(data) + _OVERHEAD_BYTES
        if self.bytes + size_bytes > BYTES_MAX:
            self._note_dropped()
            return
        self.bytes += size_bytes
        self._line.append((key, data, ttl_s))
        if self._writers < self._writers_max:
            self._writers += 1
            spawn(self._write(), name="shared puts")

    def clear(self) -> None:
        """Drop all that is in line."""
        while self._line:
            self._take()
            self._note_dropped()

    def _take(self) -> Put:
        put = self._line.popleft()
        self.bytes -= len(put[1]) + _OVERHEAD_BYTES
        return put

    async def _write(self) -> None:
        try:
            while self._line:
                await self._send(*self._take())
        finally:
            self._writers -= 1
