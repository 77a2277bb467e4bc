"""Bytes of HTTP/1.1 and of event streams, in every form a provider may choose (RFC 9112, WHATWG)."""

import zlib
from collections.abc import Iterable, Sequence
from enum import StrEnum
from http import HTTPStatus
from typing import Final

Fields = Sequence[tuple[str, str]]

LAST_CHUNK: Final = b"0\r\n\r\n"
CONTINUE: Final = b"HTTP/1.1 100 Continue\r\n\r\n"
EARLY_HINTS: Final = b"HTTP/1.1 103 Early Hints\r\nlink: </v1/models>; rel=preload\r\n\r\n"
NOT_HTTP: Final = b"\x16\x03\x01\x00\x2a\x02this is not HTTP\r\n\r\n"
_BOM: Final = b"\xef\xbb\xbf"
_GZIP_WINDOW: Final = 31  # zlib's notation for the gzip container; it writes no time of day


class Framing(StrEnum):
    """How the end of a body is told."""

    LENGTH = "length"
    CHUNKED = "chunked"
    CLOSE = "close"


def render_head(status: int, fields: Fields, framing: Framing, length: int, *, closes: bool) -> bytes:
    """A response head. `length` is what is declared, which need not be what is sent."""
    try:
        reason = HTTPStatus(status).phrase
    except ValueError:
        reason = "Overloaded" if status == 529 else "Unknown"
    lines = [f"HTTP/1.1 {status} {reason}", *(f"{name}: {value}" for name, value in fields)]
    if framing is Framing.LENGTH:
        lines.append(f"content-length: {length}")
    elif framing is Framing.CHUNKED:
        lines.append("transfer-encoding: chunked")
    if closes or framing is Framing.CLOSE:
        lines.append("connection: close")
    return "\r\n".join([*lines, "", ""]).encode("latin-1", "replace")


def frame(data: bytes, framing: Framing) -> bytes:
    """A piece of a body as it is sent."""
    return b"%x\r\n%b\r\n" % (len(data), data) if framing is Framing.CHUNKED and data else data


def render_event(data: bytes, newline: bytes, *, commented: bool, first: bool, bom: bool, name: str = "") -> bytes:
    """One server-sent event, perhaps named, perhaps with a comment before it; the stream's first may carry a mark."""
    comment = b": simulated" + newline + newline if commented else b""
    named = b"event: " + name.encode() + newline if name else b""
    return (_BOM if first and bom else b"") + comment + named + b"data: " + data + newline + newline


def compress_pieces(pieces: Iterable[bytes]) -> list[bytes]:
    """The pieces as one gzip stream, flushed after each so that none waits for the next."""
    deflate = zlib.compressobj(6, zlib.DEFLATED, _GZIP_WINDOW)
    packed = [deflate.compress(piece) + deflate.flush(zlib.Z_SYNC_FLUSH) for piece in pieces]
    if packed:
        packed[-1] += deflate.flush(zlib.Z_FINISH)
    return packed
