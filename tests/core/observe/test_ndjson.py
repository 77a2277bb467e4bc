"""The line splitter, for every way of cutting a stream."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.observe.ndjson import LineSplitter

LIMIT = 1 << 20


def split(*pieces: bytes, limit: int = LIMIT) -> list[bytes]:
    """All lines of the pieces, fed to one splitter, and the last one without its end."""
    splitter = LineSplitter(limit)
    return [line for piece in pieces for line in splitter.feed(piece)] + splitter.flush()


@pytest.mark.parametrize(
    ("stream", "lines"),
    [
        (b'{"a":1}\n', [b'{"a":1}']),
        (b'{"a":1}\n{"b":2}\n', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\n{"b":2}', [b'{"a":1}', b'{"b":2}']),
        (b'{"a":1}\r\n{"b":2}\r\n', [b'{"a":1}\r', b'{"b":2}\r']),
        (b'\n\r\n \t\n{"a":1}\n\n', [b'{"a":1}']),
        (b'{"a":"\xe2\x80\xa8\x0b\x0c\xc2\x85"}\n', [b'{"a":"\xe2\x80\xa8\x0b\x0c\xc2\x85"}']),
        (b"garbage\n\xff\n", [b"garbage", b"\xff"]),
        (b"", []),
        (b"\n", []),
    ],
)
def test_lines(stream: bytes, lines: list[bytes]) -> None:
    """Only LF ends a line, empty lines are none, and the last line needs no end; whole and byte by byte."""
    assert split(stream) == lines
    assert split(*(stream[place : place + 1] for place in range(len(stream)))) == lines


PARTS = st.sampled_from([b'{"a":1}', b"\n", b"\r\n", b"\n\n", b"{", b"x", b" ", b"\xe2\x80\xa8"])


@given(st.lists(PARTS), st.data())
@settings(max_examples=300)
def test_every_cut(parts: list[bytes], data: st.DataObject) -> None:
    """However a stream is cut, its lines are those of the whole."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(*pieces) == [line for line in stream.split(b"\n") if line.strip()]


def test_idle() -> None:
    """A splitter is idle between two lines, and not within one, be it too long."""
    splitter = LineSplitter(10)
    idle = []
    for piece in (b"{}\n", b"{", b"}\n", b"x" * 11, b"x", b"\n"):
        splitter.feed(piece)
        idle.append(splitter.is_idle)
    assert idle == [True, False, True, False, False, True]


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
@pytest.mark.parametrize("end", [b"\n{}\n", b"\n{}", b""])
def test_long_line_is_skipped(step: int, end: bytes) -> None:
    """A line longer than the limit passes unread and counted once; the next one is read."""
    stream = b"{}\n{" + b"x" * 5000 + end
    splitter = LineSplitter(1000)
    lines = [line for start in range(0, len(stream), step) for line in splitter.feed(stream[start : start + step])]
    assert lines + splitter.flush() == ([b"{}", b"{}"] if end else [b"{}"])
    assert splitter.skipped == 1


def test_limit_is_exact() -> None:
    """A line may be as long as the limit, in one piece or in several."""
    assert split(b"{" + b"x" * 9 + b"\n", limit=10) == split(b"{", b"x" * 9, b"\n", limit=10) == [b"{" + b"x" * 9]
    assert split(b"{" + b"x" * 10 + b"\n", limit=10) == split(b"{", b"x" * 10, b"\n", limit=10) == []


def test_memory_is_bounded() -> None:
    """A line of 8 MiB in small pieces never makes the splitter hold more than about its limit."""
    splitter = LineSplitter(64 * 1024)
    piece = b"x" * 4096
    tracemalloc.start()
    for _ in range(2048):
        splitter.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert splitter.feed(b"\n{}\n") == [b"{}"]
    assert peak < 2 * 64 * 1024
