"""Kept answers as bytes, for memory and for stores outside: compressed, checksummed, with the version of their form.

    4 bytes  mark
    1 byte   version of the form
    1 byte   1: the rest is compressed (zlib, RFC 1950), 0: it is not
    4 bytes  CRC-32 of everything but itself, big-endian
    4 bytes  length of the rest when it is decompressed, big-endian
    rest     the entry as a MessagePack array

The checksum finds damage, not forgery: who can write to a store outside can put there what he likes, unless it is encrypted.
"""

import zlib
from math import isfinite
from struct import Struct
from typing import Final

import msgspec

from sidecar.core.attempt.heads import HOP_BY_HOP
from sidecar.core.reuse.entry import Entry

VERSION: Final = 2  # of the form: a new one for every change of Entry's members, their order or their meaning
DECODED_BYTES_MAX: Final = 64 * 1024 * 1024

_MARK: Final = b"LSCE"
_HEAD: Final = Struct(">4sBBII")
_BEFORE_SUM: Final = 6
_AFTER_SUM: Final = 10
_FORBIDDEN: Final = (b"\r", b"\n", b"\0")  # RFC 9110 section 5.5: what would begin another field, or another answer
# What says where the body ends, or is said to the next hop only, is no part of an answer that is told again.
_FRAMING: Final = HOP_BY_HOP | {b"", b"content-length"}

_encode = msgspec.msgpack.Encoder().encode
_decode = msgspec.msgpack.Decoder(Entry).decode


class Damaged(ValueError):
    """Not an entry, one of another version, or not what was packed."""


def pack(entry: Entry, *, level: int = 1) -> bytes:
    """Return `entry` as bytes. `level`: how hard zlib tries, 0 to 9; 0, or where it does not help: not compressed."""
    plain = _encode(entry)
    rest = zlib.compress(plain, level) if level else plain
    compressed = len(rest) < len(plain)
    if not compressed:
        rest = plain
    return _HEAD.pack(_MARK, VERSION, compressed, _sum(compressed, len(plain), rest), len(plain)) + rest


def unpack(data: bytes, *, bytes_max: int = DECODED_BYTES_MAX) -> Entry:
    """Return the entry that `data` holds. Raises Damaged, and nothing else, whatever `data` is.

    Never holds more than `bytes_max` decompressed.
    """
    if len(data) < _HEAD.size:
        raise Damaged("too short")
    mark, version, compressed, checksum, length = _HEAD.unpack_from(data)
    if mark != _MARK or version != VERSION or compressed > 1:
        raise Damaged("another form")
    if length > bytes_max:
        raise Damaged("too long")
    rest = data[_HEAD.size :]
    if checksum != _sum(compressed, length, rest):
        raise Damaged("wrong checksum")
    plain = _decompress(rest, length) if compressed else rest
    if len(plain) != length:
        raise Damaged("wrong length")
    try:
        entry = _decode(plain)
    except ValueError:  # msgspec's own, and UnicodeDecodeError; nothing in an entry is nested, so there is no depth to run out of
        raise Damaged("no entry") from None
    if not _is_sound(entry):
        raise Damaged("an impossible entry")
    return entry


def _sum(compressed: bool | int, length: int, rest: bytes) -> int:
    head = _HEAD.pack(_MARK, VERSION, compressed, 0, length)
    return zlib.crc32(rest, zlib.crc32(head[_AFTER_SUM:], zlib.crc32(head[:_BEFORE_SUM])))


def _decompress(rest: bytes, length: int) -> bytes:
    decoder = zlib.decompressobj()
    try:
        plain = decoder.decompress(rest, length + 1)  # one more would show that there is more than was told
    except zlib.error:
        raise Damaged("not zlib") from None
    if not decoder.eof or decoder.unused_data:
        raise Damaged("another length than told")
    return plain


def _is_sound(entry: Entry) -> bool:
    """Whether the parts fit together, and nothing in it could be taken for something else on a connection."""
    if not (100 <= entry.status <= 999 and isfinite(entry.stored_at) and 0.0 <= entry.ttl_s < float("inf")):
        return False
    if not (0.0 <= entry.stale_s < float("inf") and 0.0 <= entry.life_s < float("inf")):
        return False
    if entry.cost_usd is not None and not isfinite(entry.cost_usd):
        return False
    if len(entry.pieces) != len(entry.delays_ms) or not all(entry.pieces) or min(entry.delays_ms, default=0) < 0:
        return False
    if entry.usage is not None and min(entry.usage) < 0:
        return False
    if any(byte in line for line in (entry.reason, *entry.fields) for byte in _FORBIDDEN):
        return False
    return all(b":" in line and line[: line.index(b":")].lower() not in _FRAMING for line in entry.fields)
