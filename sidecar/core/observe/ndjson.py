"""Newline-delimited JSON, taken apart without altering a byte: each line is one event.

Lines end with LF. A CR before it is white space to JSON, as is a line of nothing else. The last
line counts without an LF too, once the stream has ended: every client of Ollama reads it so.
"""

from typing import Final

_LF: Final = 0x0A
_BRACE: Final = 0x7B


class LineSplitter:
    """Yields each whole line, however the stream was cut into pieces.

    Holds at most `line_bytes_max` beside the piece at hand: a longer line passes unread and is
    counted in `skipped`.
    """

    __slots__ = ("_limit_bytes", "_overlong", "_tail", "skipped")

    def __init__(self, line_bytes_max: int) -> None:
        self.skipped = 0
        self._limit_bytes = line_bytes_max
        self._tail = bytearray()  # a line that is not yet whole
        self._overlong = False  # the rest of this line is dropped

    @property
    def is_idle(self) -> bool:
        """Whether the next piece begins a new line, with nothing held of any other."""
        return not self._tail and not self._overlong

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the lines that `piece` completes. Never raises."""
        # Nearly every piece is one whole line.
        if not self._tail and not self._overlong and piece[-1:] == b"\n" and piece[0] == _BRACE and len(piece) <= self._limit_bytes:
            line = piece[:-1]
            if _LF not in line:
                return [line]
        *ends, rest = piece.split(b"\n")
        lines: list[bytes] = []
        for end in ends:
            self._hold(end)
            lines += self._take()
        self._hold(rest)
        return lines

    def flush(self) -> list[bytes]:
        """Return the last line, where it came without its end: the stream is over."""
        return self._take()

    def _hold(self, part: bytes) -> None:
        """Keep a part of a line, unless it makes the line too long."""
        if self._overlong:
            return
        if len(self._tail) + len(part) > self._limit_bytes:
            self._overlong = True
            self.skipped += 1
            self._tail.clear()
        else:
            self._tail += part

    def _take(self) -> list[bytes]:
        """End the line: return it, or nothing where it was too long or empty."""
        line = bytes(self._tail)
        self._tail.clear()
        self._overlong = False
        return [line] if line.strip() else []
