"""Frames against the standard's rules, for every way of cutting a stream, masked and not."""

import itertools
import tracemalloc

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.frames import BINARY, CLOSE, NO_CODE, TEXT, FrameReader, Message, unmask, write_close

KEY = b"\x01\x02\x03\x04"
LIMIT = 1 << 20


def frame(payload: bytes = b"", opcode: int = TEXT, *, last: bool = True, key: bytes | None = None, first: int = 0) -> bytes:
    """A frame as section 5.2 draws it."""
    mask = 0x80 if key else 0
    size = len(payload)
    if size < 126:
        length = bytes([mask | size])
    elif size < 65536:
        length = bytes([mask | 126]) + size.to_bytes(2)
    else:
        length = bytes([mask | 127]) + size.to_bytes(8)
    masked = xor(payload, key) if key else payload
    return bytes([first | (0x80 if last else 0) | opcode]) + length + (key or b"") + masked


def xor(payload: bytes, key: bytes) -> bytes:
    """The transformation of section 5.3, in a way that is quick for large payloads."""
    masked = bytearray(payload)
    for turn in range(4):
        masked[turn::4] = masked[turn::4].translate(bytes(byte ^ key[turn] for byte in range(256)))
    return bytes(masked)


def read(*pieces: bytes, limit: int = LIMIT) -> tuple[FrameReader, list[Message]]:
    """All messages of the pieces, fed to one reader."""
    reader = FrameReader(limit)
    return reader, [message for piece in pieces for message in reader.feed(piece)]


@pytest.mark.parametrize("key", [None, KEY])
@pytest.mark.parametrize("size", [0, 1, 125, 126, 127, 65535, 65536, 70000])
def test_every_form_of_length(size: int, key: bytes | None) -> None:
    """Seven bits, sixteen and sixty-four, plain and masked (section 5.2)."""
    payload = bytes(place % 251 for place in range(size))
    reader, messages = read(frame(payload, BINARY, key=key))
    assert messages == [Message(BINARY, payload)]
    assert (reader.messages, reader.skipped, reader.corrupt, reader.is_between_frames) == (1, 0, False, True)


def test_fragments_are_joined_around_control_frames() -> None:
    """A ping may stand between two fragments of one message (section 5.4)."""
    stream = frame(b"Hel", last=False) + frame(b"ping", 0x9) + frame(b"lo", 0, last=False, key=KEY) + frame(b"", 0) + frame(b"next")
    reader, messages = read(stream)
    assert messages == [Message(TEXT, b"Hello"), Message(TEXT, b"next")]
    assert reader.messages == 2


@pytest.mark.parametrize(
    ("stream", "code"),
    [
        (frame(b"", CLOSE), NO_CODE),
        (frame(b"\x03", CLOSE), NO_CODE),
        (frame(b"\x03\xe8", CLOSE), 1000),
        (frame(b"\x03\xf3 it broke", CLOSE, key=KEY), 1011),
        (frame(b"cut", last=False) + frame(b"\x03\xe9", CLOSE), 1001),
        (write_close(1001, b"stopping"), 1001),
        (write_close(1001, b"stopping", KEY), 1001),
    ],
)
def test_the_close_code_is_noted(stream: bytes, code: int) -> None:
    """Of the first Close frame; what stands behind it does not count."""
    for pieces in ((stream + frame(b"late"),), tuple(bytes([byte]) for byte in stream + frame(b"late"))):
        reader, messages = read(*pieces)
        assert (reader.close_code, messages, reader.corrupt) == (code, [], False)


@pytest.mark.parametrize(
    "stream",
    [
        frame(b"x", first=0x40),  # a reserved bit: compressed, though no extension was agreed
        frame(b"x", 0x3),  # an opcode that is not defined
        frame(b"x" * 126, 0x9),  # too long a ping
        frame(b"x", 0x9, last=False),  # a fragmented ping
        frame(b"x", 0),  # a continuation of nothing
        frame(b"x", last=False) + frame(b"y"),  # a new message within another
        b"\x82\xff" + b"\xff" * 8 + KEY,  # a length of more than 63 bits
        b"HTTP/1.1 200 OK\r\n",
    ],
)
def test_what_is_no_frame_ends_the_reading(stream: bytes) -> None:
    """Nobody knows where the next one begins."""
    for pieces in ((stream,), tuple(bytes([byte]) for byte in stream)):
        reader, messages = read(frame(b"before"), *pieces, frame(b"after"))
        assert messages == [Message(TEXT, b"before")]
        assert reader.corrupt
        assert not reader.is_between_frames


def test_a_message_that_is_too_long_passes_unread() -> None:
    """In one frame or in fragments; the next one is read again."""
    stream = frame(b"x" * 11) + frame(b"abc") + frame(b"x" * 6, last=False) + frame(b"x" * 6, 0) + frame(b"x" * 10)
    reader, messages = read(*(stream[place : place + 3] for place in range(0, len(stream), 3)), limit=10)
    assert messages == [Message(TEXT, b"abc"), Message(TEXT, b"x" * 10)]
    assert (reader.messages, reader.skipped) == (4, 2)


def test_binary_messages_may_be_passed_over() -> None:
    """They are counted, whatever their size, but neither collected nor called skipped."""
    reader = FrameReader(10, binary=False)
    stream = frame(b"x" * 11, BINARY) + frame(b"x", BINARY, last=False) + frame(b"y", 0) + frame(b"text") + frame(b"x" * 11)
    assert reader.feed(stream) == [Message(TEXT, b"text")]
    assert (reader.messages, reader.skipped) == (4, 1)


def test_memory_is_bounded_whatever_comes() -> None:
    """A gigabyte that is announced and never ends, and a message in a million fragments."""
    tracemalloc.start()
    reader = FrameReader(64 * 1024)
    reader.feed(b"\x82\x7f" + (1 << 30).to_bytes(8))
    for _ in range(256):
        reader.feed(b"x" * 65536)
    fragments = FrameReader(1024)
    fragments.feed(frame(b"", last=False))
    for _ in range(20_000):
        fragments.feed(frame(b"xx", 0, last=False))
        fragments.feed(frame(b"", 0, last=False))
    peak = tracemalloc.get_traced_memory()[1]
    tracemalloc.stop()
    assert peak < 1 << 20


def test_between_frames_is_known_at_every_byte() -> None:
    """Only there could a frame of another hand be put in."""
    one, two = frame(b"abc", last=False), frame(b"", 0, key=KEY)
    reader = FrameReader(LIMIT)
    places = []
    for place, byte in enumerate(one + two, 1):
        reader.feed(bytes([byte]))
        if reader.is_between_frames:
            places.append(place)
    assert places == [len(one), len(one) + len(two)]


@given(
    st.lists(st.tuples(st.binary(max_size=300), st.sampled_from([TEXT, BINARY]), st.booleans(), st.integers(1, 3)), max_size=6),
    st.lists(st.integers(0, 2000), max_size=30),
)
def test_the_same_for_every_chunking(parts: list[tuple[bytes, int, bool, int]], cuts: list[int]) -> None:
    """However messages are fragmented, masked and cut into pieces, they come out as they went in."""
    stream, expected = b"", []
    for payload, opcode, masked, fragments in parts:
        step = len(payload) // fragments + 1
        pieces = [payload[place : place + step] for place in range(0, len(payload), step)] or [b""]
        for number, piece in enumerate(pieces):
            is_last = number == len(pieces) - 1
            stream += frame(piece, 0 if number else opcode, last=is_last, key=KEY if masked else None)
        expected.append(Message(opcode, payload))
    places = sorted({0, len(stream), *(cut for cut in cuts if cut < len(stream))})
    reader, messages = read(*(stream[start:end] for start, end in itertools.pairwise(places)))
    assert messages == expected
    assert (reader.messages, reader.corrupt, reader.is_between_frames) == (len(expected), False, True)
    assert read(*(bytes([byte]) for byte in stream))[1] == expected


@given(st.lists(st.binary(max_size=200), max_size=20), st.integers(1, 100))
def test_no_bytes_make_it_raise(pieces: list[bytes], limit: int) -> None:
    """Garbage is read as far as it can be; the chunking makes no difference to that."""
    stream = b"".join(pieces)
    one, first = read(*pieces, limit=limit)
    two, second = read(stream, limit=limit)
    assert first == second
    assert (one.close_code, one.corrupt, one.skipped, one.messages) == (two.close_code, two.corrupt, two.skipped, two.messages)


@given(st.binary(max_size=50), st.integers(0, 9))
def test_unmasking_is_its_own_inverse(data: bytes, offset: int) -> None:
    """Whatever the place within the payload."""
    assert unmask(data, KEY, offset) == bytes(byte ^ KEY[(place + offset) % 4] for place, byte in enumerate(data))
