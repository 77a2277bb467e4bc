"""Compressed answers, decoded beside the stream for reading; what is sent on is not touched."""

import zlib
from collections.abc import Iterator
from typing import Final

CODINGS: Final = frozenset({"gzip", "x-gzip", "deflate"})

_PIECE_BYTES_MAX: Final = 64 * 1024  # decoded at once: a bomb never allocates more
_GZIP: Final = 16 + zlib.MAX_WBITS
_GZIP_MARK: Final = b"\x1f"


def inflate(body: bytes, coding: str, bytes_max: int) -> bytes:
    """Return what a body with a content coding decodes to, `bytes_max` at most; b"" where the coding is not known. Never raises."""
    coding = coding.strip().lower()
    if coding in ("", "identity"):
        return body
    return b"".join(Inflater(coding, bytes_max).feed(body)) if coding in CODINGS else b""


class Inflater:
    """Decodes one content coding piece by piece, up to `bytes_max` decoded bytes in all.

    After a fault, or past the limit, `failure` says which ("corrupt", "too_large") and all that
    follows is ignored. `deflate` is the zlib format (RFC 9110, 8.4.1.2); the bare format that some
    servers send under that name is understood too.
    """

    __slots__ = ("_decoder", "_ended", "_gzip", "_head", "_left_bytes", "failure")

    def __init__(self, coding: str, bytes_max: int) -> None:
        self.failure: str | None = None
        self._gzip = coding != "deflate"
        self._decoder = zlib.decompressobj(_GZIP) if self._gzip else None
        self._head = b""
        self._left_bytes = bytes_max
        self._ended = False

    def feed(self, data: bytes) -> Iterator[bytes]:
        """Yield what `data` decodes to. Never raises."""
        if self._decoder is None:
            data = self._head + data
            if len(data) < 2:
                self._head = data
                return
            self._decoder = zlib.decompressobj(zlib.MAX_WBITS if _is_zlib(data) else -zlib.MAX_WBITS)
        more = bool(data)
        while more and not self._ended:
            decoder = self._next_member(data)
            if decoder is None:
                return
            try:
                piece = decoder.decompress(data, _PIECE_BYTES_MAX)
            except zlib.error:
                self._stop("corrupt")
                return
            data = decoder.unused_data or decoder.unconsumed_tail
            # A full piece may have left output inside the decoder though all input is consumed.
            more = bool(data) or len(piece) == _PIECE_BYTES_MAX
            self._left_bytes -= len(piece)
            if self._left_bytes < 0:
                self._stop("too_large")
            elif piece:
                yield piece

    def _next_member(self, data: bytes) -> "zlib._Decompress | None":
        """Return the decoder for `data`: of the member under way, or of the next (RFC 1952, 2.2)."""
        if self._decoder is None or not self._decoder.eof:
            return self._decoder
        if not self._gzip or not data.startswith(_GZIP_MARK):
            self._ended = True  # padding after the last member, as gzip(1) ignores it too
            return None
        self._decoder = zlib.decompressobj(_GZIP)
        return self._decoder

    def _stop(self, failure: str) -> None:
        self._ended = True
        self.failure = failure


def decode_body(body: bytes, coding: bytes, bytes_max: int) -> bytes:
    """Return a body without its content coding. Raises ValueError where that is unknown, corrupt or too large."""
    name = coding.strip().lower().decode("latin-1")
    if name in ("", "identity"):
        return body
    if name not in CODINGS:
        raise ValueError("a coding that is not known")
    inflater = Inflater(name, bytes_max)
    decoded = b"".join(inflater.feed(body))
    if inflater.failure:
        raise ValueError(inflater.failure)
    return decoded


def _is_zlib(head: bytes) -> bool:
    """Whether two bytes are a zlib header (RFC 1950, 2.2)."""
    return head[0] & 0x0F == 8 and (head[0] << 8 | head[1]) % 31 == 0
