"""WebSocket frames read from bytes as they pass (RFC 6455 section 5), in whatever pieces they come.

A reader sees one direction of a session. It alters nothing and answers nothing: pings, pongs and
the closing handshake are the affair of the two ends.
"""

from typing import Final, NamedTuple

TEXT: Final = 0x1
BINARY: Final = 0x2
CLOSE: Final = 0x8
NO_CODE: Final = 1005  # of a Close frame without a body (section 7.4.1)

_CONTINUATION: Final = 0x0
_KNOWN: Final = frozenset({_CONTINUATION, TEXT, BINARY, CLOSE, 0x9, 0xA})
_FIN: Final = 0x80
_MASKED: Final = 0x80
_CONTROL: Final = 0x8
_RESERVED: Final = 0x70
_LENGTH_16: Final = 126
_LENGTH_64: Final = 127
_CONTROL_BYTES_MAX: Final = 125  # section 5.5
_LENGTH_MAX: Final = 2**63 - 1


class Message(NamedTuple):
    """One whole message of text or binary, unmasked."""

    opcode: int
    payload: bytes


class FrameReader:
    """Yields the whole messages of one direction, fragments joined.

    Holds at most `message_bytes_max` and what came in one piece. A longer message passes unread and
    is counted in `skipped`; messages of binary pass unread if not `binary`. What is not a frame (a
    reserved bit, an unknown opcode, a fragment out of order) ends the reading, for from there on
    nobody knows where a frame begins.
    """

    __slots__ = (
        "_binary", "_farewell", "_fresh", "_head", "_held", "_is_masked", "_key", "_last", "_left_bytes", "_message_bytes_max", "_offset",
        "_opcode", "_overlong", "_started", "_unwanted", "close_code", "corrupt", "messages", "skipped",
    )  # fmt: skip

    def __init__(self, message_bytes_max: int, *, binary: bool = True) -> None:
        self.messages = 0  # whole ones, read or skipped
        self.skipped = 0
        self.corrupt = False
        self.close_code: int | None = None  # of the Close frame, once it came
        self._message_bytes_max = message_bytes_max
        self._binary = binary
        self._farewell = b""  # what the Close frame holds
        self._fresh = b""  # of a frame's head that is not whole
        self._head = True  # the next byte belongs to a frame's head
        self._opcode = 0  # of the current frame
        self._last = True  # it is its message's last
        self._key = b""
        self._is_masked = False
        self._offset = 0  # read of its payload
        self._left_bytes = 0  # to come of it
        self._started: int | None = None  # the opcode of the message that is being read
        self._held = bytearray()  # of that message, unmasked
        self._overlong = False
        self._unwanted = False

    @property
    def is_between_frames(self) -> bool:
        """Whether the next byte begins a frame: where a frame of another hand could be put in."""
        return self._head and not self._fresh and not self.corrupt

    def feed(self, data: bytes) -> list[Message]:
        """Return the messages that `data` completes. Never raises."""
        found: list[Message] = []
        if self._is_over():
            return found
        if self._fresh:
            data = self._fresh + data
            self._fresh = b""
        position, end = 0, len(data)
        while position < end or (not self._head and not self._left_bytes):
            if self._head:
                size = self._read_head(data, position)
                if not size:
                    self._fresh = b"" if self._is_over() else data[position:]
                    break
                position += size
            taken = min(self._left_bytes, end - position)
            if taken:
                self._take(data, position, taken)
                position += taken
            if not self._left_bytes:
                self._head = True
                self._end_frame(found)
                if self._is_over():
                    break
        return found

    def _is_over(self) -> bool:
        """Whether nothing more is read: what stands behind a Close frame does not count."""
        return self.corrupt or self.close_code is not None

    def _read_head(self, data: bytes, position: int) -> int:
        """Return the size of the frame's head, 0 where it is not whole or not a head."""
        if len(data) - position < 2:
            return 0
        first, second = data[position], data[position + 1]
        length, size = second & 0x7F, 2
        if length >= _LENGTH_16:
            width = 2 if length == _LENGTH_16 else 8
            size += width
            if len(data) - position < size:
                return 0
            length = int.from_bytes(data[position + 2 : position + size])
        self._is_masked = bool(second & _MASKED)
        if self._is_masked:
            size += 4
            if len(data) - position < size:
                return 0
            self._key = data[position + size - 4 : position + size]
        opcode = first & 0x0F
        self._last = bool(first & _FIN)
        if first & _RESERVED or opcode not in _KNOWN or length > _LENGTH_MAX or not self._fits(opcode, length):
            self._give_up()
            return 0
        self._opcode, self._left_bytes, self._offset, self._head = opcode, length, 0, False
        if not opcode & _CONTROL:
            if opcode:
                self._started = opcode
                self._unwanted = opcode == BINARY and not self._binary
            if len(self._held) + length > self._message_bytes_max and not self._unwanted:
                self._overlong = True
                self._held = bytearray()
        return size

    def _fits(self, opcode: int, length: int) -> bool:
        """Whether a frame may stand here: control frames are short and whole, fragments come in order (section 5.4)."""
        if opcode & _CONTROL:
            return self._last and length <= _CONTROL_BYTES_MAX
        return (opcode == _CONTINUATION) == (self._started is not None)

    def _take(self, data: bytes, position: int, size: int) -> None:
        """Keep a part of a payload, if it is wanted."""
        self._left_bytes -= size
        closes = self._opcode == CLOSE
        if closes or not (self._opcode & _CONTROL or self._overlong or self._unwanted):
            piece = data[position : position + size]
            if self._is_masked:
                piece = unmask(piece, self._key, self._offset)
            if closes:
                self._farewell += piece
            else:
                self._held += piece
        self._offset += size

    def _end_frame(self, found: list[Message]) -> None:
        if self._opcode == CLOSE:
            self.close_code = int.from_bytes(self._farewell[:2]) if len(self._farewell) >= 2 else NO_CODE
            self._held = bytearray()
            return
        if self._opcode & _CONTROL or not self._last:
            return
        started, self._started = self._started, None
        self.messages += 1
        if self._overlong:
            self.skipped += 1
        elif started is not None and not self._unwanted:
            found.append(Message(started, bytes(self._held)))
        self._held, self._overlong = bytearray(), False

    def _give_up(self) -> None:
        self.corrupt = True
        self._held = bytearray()


def unmask(data: bytes, key: bytes, offset: int = 0) -> bytes:
    """Return `data` under the masking key, of a payload from whose beginning it is `offset` bytes away (section 5.3)."""
    size = len(data)
    turn = offset % 4
    stream = (key[turn:] + key[:turn]) * (size // 4 + 1)
    return (int.from_bytes(data) ^ int.from_bytes(stream[:size])).to_bytes(size)


def write_close(code: int, reason: bytes, key: bytes | None = None) -> bytes:
    """Return a Close frame (section 5.5.1). `reason`: at most 123 bytes. `key`: the mask of a frame from a client."""
    body = code.to_bytes(2) + reason
    if key is None:
        return bytes((_FIN | CLOSE, len(body))) + body
    return bytes((_FIN | CLOSE, _MASKED | len(body))) + key + unmask(body, key)
