"""A JSON array of objects that arrives element by element, as Google's APIs stream without `alt=sse`.

Nothing but the outermost brackets and the braces of elements is looked at; what stands between elements, be it
commas, spaces or garbage, is passed over. A bare object without any brackets is an element too: errors come so.
"""

import re
from typing import Final

import msgspec

from sidecar.core.observe.salvage import UNREADABLE

END: Final = b"]"  # what is yielded when the array itself ends

_LEFT, _RIGHT, _QUOTE, _BACKSLASH, _OPEN, _CLOSE = b'{}"\\[]'
_BETWEEN: Final = b", \t\r\n"
# Possessive: what was passed is never tried again. Up to a brace, whole strings included, or to a string without end.
_WITHIN: Final = re.compile(rb'[^"{}]*+(?:"[^"\\]*+(?:\\.[^"\\]*+)*+"[^"{}]*+)*+', re.DOTALL)
_STRING: Final = re.compile(rb'[^"\\]*+(?:\\.[^"\\]*+)*+', re.DOTALL)
_OUTSIDE: Final = re.compile(rb"[^{\[\]]*+")


class _Anything(msgspec.Struct, gc=False):
    """An object of which no member matters."""


_check: Final = msgspec.json.Decoder(_Anything).decode
_split: Final = msgspec.json.Decoder(list[msgspec.Raw]).decode


class ArraySplitter:
    """Yields each whole element, however the stream was cut into pieces, and END when the array is closed.

    Holds at most about `element_bytes_max`: a longer element passes unread and is counted in `skipped`. What
    follows the array is passed over.
    """

    __slots__ = ("_closed", "_depth", "_escaped", "_held", "_in_string", "_limit_bytes", "_opened", "_overlong", "is_idle", "skipped")

    def __init__(self, element_bytes_max: int) -> None:
        self.skipped = 0
        self.is_idle = True  # the next piece begins a new element, with nothing held of any other
        self._limit_bytes = element_bytes_max
        self._opened = False
        self._closed = False
        self._depth = 0  # of braces
        self._in_string = False
        self._escaped = False  # the last byte was a backslash within a string
        self._held = bytearray()  # of an element that is not yet whole
        self._overlong = False

    def feed(self, piece: bytes) -> list[bytes]:
        """Return the elements that `piece` completes. Never raises."""
        if self.is_idle:
            # Nearly every piece is one element, or some: the JSON library is the fastest to find that out.
            inner = piece.strip(_BETWEEN)
            if len(inner) <= self._limit_bytes:
                try:
                    _check(inner)
                    return [inner]
                except UNREADABLE:
                    pass
                several = _split_whole(inner)
                if several is not None:
                    return several
        events = self._scan(piece)
        self.is_idle = not self._depth and not self._closed
        return events

    def flush(self) -> list[bytes]:
        """Return nothing: only its last brace completes an element."""
        return []

    def _scan(self, piece: bytes) -> list[bytes]:
        events: list[bytes] = []
        start = position = 0
        while position < len(piece):
            if self._depth:
                position = self._pass_within(piece, position)
                if not self._depth:
                    self._end_element(piece[start:position], events)
            elif self._closed:
                return events
            else:
                position = start = _OUTSIDE.match(piece, position).end()  # type: ignore[union-attr]  # it matches nothing, too
                if position < len(piece):
                    self._meet(piece[position], events)
                    position += 1
        if self._depth:
            self._hold(piece[start:])
        return events

    def _meet(self, byte: int, events: list[bytes]) -> None:
        """A brace or bracket stands between elements."""
        if byte == _LEFT:
            self._depth = 1
        elif byte == _OPEN:
            self._opened = True
        elif self._opened:
            self._closed = True
            events.append(END)

    def _pass_within(self, piece: bytes, position: int) -> int:
        """Go on to behind the element's last brace, or to the end of the piece; return the place."""
        size = len(piece)
        while position < size:
            if self._escaped:
                self._escaped = False
                position += 1
            elif self._in_string:
                position = _STRING.match(piece, position).end()  # type: ignore[union-attr]
                if position < size:
                    self._escaped = piece[position] == _BACKSLASH
                    self._in_string = self._escaped
                    position += 1
            else:
                position = _WITHIN.match(piece, position).end()  # type: ignore[union-attr]
                if position < size:
                    byte = piece[position]
                    self._in_string = byte == _QUOTE
                    self._depth += (byte == _LEFT) - (byte == _RIGHT)
                    position += 1
                    if not self._depth:
                        return position
        return position

    def _hold(self, part: bytes) -> None:
        if self._overlong:
            return
        self._held += part
        if len(self._held) > self._limit_bytes:
            self._overlong = True
            self._held.clear()

    def _end_element(self, end: bytes, events: list[bytes]) -> None:
        self._hold(end)
        if self._overlong:
            self.skipped += 1
        else:
            events.append(bytes(self._held))
        self._overlong = False
        self._held.clear()


def _split_whole(elements: bytes) -> list[bytes] | None:
    """Return elements with commas between them one by one; None where that is not all that there is."""
    try:
        events = [bytes(element) for element in _split(b"[%b]" % elements)]
    except UNREADABLE:
        return None
    return events if all(event[:1] == b"{" for event in events) else None
