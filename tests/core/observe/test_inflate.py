"""Decoding beside the stream, bounded."""

import gzip
import tracemalloc
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.inflate import Inflater, decode_body

TEXT = b"data: hello\n\n" * 500


def bare_deflate(data: bytes) -> bytes:
    """Deflate without the zlib wrapper."""
    deflater = zlib.compressobj(wbits=-zlib.MAX_WBITS)
    return deflater.compress(data) + deflater.flush()


FORMS = {
    "gzip": ("gzip", gzip.compress(TEXT, mtime=0)),
    "x-gzip": ("x-gzip", gzip.compress(TEXT, mtime=0)),
    "two members": ("gzip", gzip.compress(TEXT[:99], mtime=0) + gzip.compress(TEXT[99:], mtime=0)),
    "padded": ("gzip", gzip.compress(TEXT, mtime=0) + b"\0" * 100),
    "zlib": ("deflate", zlib.compress(TEXT)),
    "bare": ("deflate", bare_deflate(TEXT)),
    "zlib with a tail": ("deflate", zlib.compress(TEXT) + b"tail"),
}


def inflate(coding: str, pieces: list[bytes], bytes_max: int = 1 << 20) -> tuple[bytes, str | None]:
    """What comes out, and the failure."""
    inflater = Inflater(coding, bytes_max)
    return b"".join(part for piece in pieces for part in inflater.feed(piece)), inflater.failure


@pytest.mark.parametrize("form", FORMS)
@pytest.mark.parametrize("step", [1, 10, 1 << 20])
def test_forms(form: str, step: int) -> None:
    """Each form is decoded, whole and in pieces."""
    coding, data = FORMS[form]
    assert inflate(coding, [data[start : start + step] for start in range(0, len(data), step)]) == (TEXT, None)


def test_events_come_out_as_they_come_in() -> None:
    """What the server flushed is decoded at once, not at the end."""
    deflater = zlib.compressobj(wbits=31)
    inflater = Inflater("gzip", 1 << 20)
    for number in range(3):
        event = b"data: %d\n\n" % number
        piece = deflater.compress(event) + deflater.flush(zlib.Z_SYNC_FLUSH)
        assert b"".join(inflater.feed(piece)) == event


@pytest.mark.parametrize("coding", ["gzip", "deflate"])
def test_garbage(coding: str) -> None:
    """What is not compressed at all is a failure, not an exception, and further pieces are ignored."""
    inflater = Inflater(coding, 1 << 20)
    assert list(inflater.feed(b"\xff\xfe\xfd not compressed")) == []
    assert inflater.failure == "corrupt"
    assert list(inflater.feed(gzip.compress(TEXT))) == []


def test_fault_in_the_second_member() -> None:
    """What was sound is delivered; the failure is told."""
    sound, broken = gzip.compress(b"sound", mtime=0), bytearray(gzip.compress(TEXT, mtime=0))
    broken[20] ^= 0xFF
    out, failure = inflate("gzip", [sound + bytes(broken)])
    assert out.startswith(b"sound")
    assert failure == "corrupt"


@pytest.mark.parametrize("size_bytes", [65_537, 65_539, 65_540, 131_077])
def test_output_left_in_the_decoder(size_bytes: int) -> None:
    """Output that does not fit one decoded piece is not lost, though all input has been consumed."""
    assert inflate("deflate", [bare_deflate(b"a" * size_bytes)]) == (b"a" * size_bytes, None)


def test_limit() -> None:
    """Decoding stops at the limit, counted over all pieces."""
    out, failure = inflate("gzip", [gzip.compress(b"x" * 300_000)], bytes_max=200_000)
    assert len(out) <= 200_000
    assert failure == "too_large"
    assert inflate("gzip", [gzip.compress(b"x" * 200_000)], bytes_max=200_000) == (b"x" * 200_000, None)


def test_bomb() -> None:
    """A bomb of 64 MiB costs no more memory than a few decoded pieces."""
    bomb = gzip.compress(bytes(64 << 20), compresslevel=9)
    inflater = Inflater("gzip", 16 << 20)
    tracemalloc.start()
    seen_bytes = sum(map(len, inflater.feed(bomb)))
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert seen_bytes <= 16 << 20
    assert inflater.failure == "too_large"
    assert peak < 1 << 20


@given(st.lists(st.binary(max_size=50)), st.sampled_from(["gzip", "deflate"]))
def test_never_raises(pieces: list[bytes], coding: str) -> None:
    """No bytes make it raise."""
    inflate(coding, pieces)


def test_bodies_are_decoded_within_bounds() -> None:
    """Plain, compressed, corrupt, too large, unknown."""
    assert decode_body(b"abc", b" Identity ", 10) == b"abc"
    assert decode_body(gzip.compress(b"abc"), b"GZIP", 10) == b"abc"
    for body, coding in ((b"abc", b"zstd"), (b"abc", b"gzip"), (gzip.compress(b"a" * 100), b"gzip")):
        with pytest.raises(ValueError):
            decode_body(body, coding, 10)
