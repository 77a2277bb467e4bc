"""sidecar/simulator/wire.py"""

import gzip
import zlib

import pytest

from sidecar.simulator.wire import Framing, compress_pieces, frame, render_event, render_head


@pytest.mark.parametrize(
    ("framing", "line"),
    [
        (Framing.LENGTH, b"\r\ncontent-length: 7\r\n"), (Framing.CHUNKED, b"\r\ntransfer-encoding: chunked\r\n"),
        (Framing.CLOSE, b"\r\nconnection: close\r\n"),
    ],
)  # fmt: skip
def test_head(framing: Framing, line: bytes) -> None:
    """A head says how its body ends."""
    head = render_head(200, [("x-a", "b")], framing, 7, closes=False)
    assert head.startswith(b"HTTP/1.1 200 OK\r\nx-a: b\r\n")
    assert line in head
    assert head.endswith(b"\r\n\r\n")


@pytest.mark.parametrize(("status", "reason"), [(503, b"Service Unavailable"), (529, b"Overloaded"), (599, b"Unknown")])
def test_reason(status: int, reason: bytes) -> None:
    """Statuses without a registered phrase have one all the same."""
    assert render_head(status, [], Framing.LENGTH, 0, closes=True).startswith(b"HTTP/1.1 %d %b\r\n" % (status, reason))


def test_frame() -> None:
    """A chunk has its size in hexadecimal; nothing is never a chunk, for that would end the body."""
    assert frame(b"x" * 26, Framing.CHUNKED) == b"1a\r\n" + b"x" * 26 + b"\r\n"
    assert frame(b"", Framing.CHUNKED) == b""
    assert frame(b"x", Framing.LENGTH) == b"x"


def test_event() -> None:
    """Only the first event carries a byte order mark."""
    assert render_event(b"1", b"\r\n", commented=True, first=True, bom=True) == b"\xef\xbb\xbf: simulated\r\n\r\ndata: 1\r\n\r\n"
    assert render_event(b"1", b"\n", commented=False, first=False, bom=True) == b"data: 1\n\n"
    assert render_event(b"1", b"\n", commented=True, first=True, bom=False, name="x") == b": simulated\n\nevent: x\ndata: 1\n\n"


def test_compression() -> None:
    """Each compressed piece can be read when it has come; all of them are one gzip file, always the same."""
    packed = compress_pieces([b"one", b"two"])
    reader = zlib.decompressobj(31)
    assert [reader.decompress(piece) for piece in packed] == [b"one", b"two"]
    assert gzip.decompress(b"".join(packed)) == b"onetwo"
    assert packed == compress_pieces([b"one", b"two"])
