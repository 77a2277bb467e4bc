"""Entries as bytes: what goes in comes out, and nothing else ever does."""

import tracemalloc
import zlib
from collections.abc import Callable
from struct import pack as pack_struct

import msgspec
import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.packing import VERSION, Damaged, pack, unpack
from tests.core.reuse.entries import entries, make_entry

HEAD_BYTES = 14


def wrap(plain: bytes, *, compressed: bool = False, length: int | None = None, rest: bytes | None = None, version: int = VERSION) -> bytes:
    """Bytes with a right checksum around anything, as one who knows the form would make them."""
    if rest is None:
        rest = zlib.compress(plain) if compressed else plain
    before = b"LSCE" + bytes((version, compressed))
    after = pack_struct(">I", len(plain) if length is None else length)
    return before + pack_struct(">I", zlib.crc32(before + after + rest)) + after + rest


def is_damaged(data: bytes) -> bool:
    """Whether unpacking says so. Anything but an entry or Damaged is a failure of the test."""
    try:
        assert isinstance(unpack(data), Entry)
    except Damaged:
        return True
    return False


@given(entries(), st.integers(0, 9))
def test_what_is_packed_is_unpacked(entry: Entry, level: int) -> None:
    """Whatever is kept, and however hard it was compressed."""
    assert unpack(pack(entry, level=level)) == entry


@given(entries(), st.data())
def test_any_byte_changed_is_damage(entry: Entry, data: st.DataObject) -> None:
    """Of the head, and of the rest, compressed or not."""
    packed = bytearray(pack(entry, level=data.draw(st.integers(0, 1))))
    packed[data.draw(st.integers(0, len(packed) - 1))] ^= data.draw(st.integers(1, 255))
    assert is_damaged(bytes(packed))


@pytest.mark.parametrize("level", [0, 1])
def test_every_byte_is_under_the_checksum(level: int) -> None:
    """Each single bit of an ordinary entry."""
    packed = pack(make_entry(b"{}" * 40), level=level)
    for at in range(len(packed)):
        for bit in range(8):
            changed = bytearray(packed)
            changed[at] ^= 1 << bit
            assert is_damaged(bytes(changed)), (at, bit)


@given(entries(), st.integers(0, 2**16), st.binary(min_size=1, max_size=20))
def test_a_length_that_is_wrong_is_damage(entry: Entry, cut: int, more: bytes) -> None:
    """Cut anywhere, or with something behind it."""
    packed = pack(entry)
    assert is_damaged(packed[: cut % len(packed)])
    assert is_damaged(packed + more)


@given(st.binary(max_size=200) | st.binary(max_size=80).map(lambda rest: pack(make_entry())[:HEAD_BYTES] + rest))
@example(b"")
@example(b"LSCE")
def test_foreign_bytes_are_damage(data: bytes) -> None:
    """What somebody else put there."""
    assert is_damaged(data)


def test_another_version_is_damage() -> None:
    """What a later sidecar packed, or an earlier one, is not guessed at."""
    plain = msgspec.msgpack.encode(make_entry())
    assert unpack(wrap(plain)) == make_entry()
    assert is_damaged(wrap(plain, version=VERSION + 1))
    assert is_damaged(wrap(plain, version=0))
    packed = pack(make_entry(b"{}" * 100))
    after, rest = packed[10:14], packed[14:]
    for flags in range(256):  # as a later form might have more of them
        before = packed[:5] + bytes((flags,))
        changed = before + pack_struct(">I", zlib.crc32(before + after + rest)) + after + rest
        assert is_damaged(changed) == (flags != 1)


@given(st.binary(max_size=300), st.booleans())
def test_a_right_checksum_around_anything_is_damage(plain: bytes, compressed: bool) -> None:
    """Nothing but Damaged comes out of what is not an entry, whoever packed it."""
    assert is_damaged(wrap(plain, compressed=compressed))


JSONISH = st.recursive(
    st.none() | st.booleans() | st.integers(-(2**63), 2**64 - 1) | st.floats() | st.text(max_size=8) | st.binary(max_size=8),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(st.text(max_size=4), inner, max_size=3),
    max_leaves=8,
)


@given(st.data())
def test_other_members_never_raise_anything_else(data: st.DataObject) -> None:
    """An entry in which one member is something else: an entry still, or damage; what comes out goes in again."""
    members = msgspec.to_builtins(make_entry(), builtin_types=(bytes,))
    members[data.draw(st.integers(0, len(members) - 1))] = data.draw(JSONISH)
    wrapped = wrap(msgspec.msgpack.encode(members))
    if not is_damaged(wrapped):
        assert unpack(pack(unpack(wrapped))) == unpack(wrapped)


def test_text_that_is_none_is_damage() -> None:
    """Bytes in place of a text that are not UTF-8."""
    assert is_damaged(wrap(msgspec.msgpack.encode(make_entry(model="model")).replace(b"model", b"mod\xffl")))


def change(**members: object) -> Callable[[], bytes]:
    """An entry that the form allows and that no answer can have come to."""
    return lambda: wrap(msgspec.msgpack.encode(msgspec.structs.replace(make_entry(), **members)))


@pytest.mark.parametrize(
    "make",
    [
        change(fields=(b"a: b\r\nx: y",)),
        change(fields=(b"a: b\nx: y",)),
        change(fields=(b"a: \0",)),
        change(fields=(b"no field",)),
        change(fields=(b": no name",)),
        change(fields=(b"Content-Length: 0",)),
        change(fields=(b"transfer-encoding: chunked",)),
        change(fields=(b"Connection: close",)),
        change(reason=b"OK\r\nx: y"),
        change(status=99),
        change(status=1000),
        change(stored_at=float("nan")),
        change(ttl_s=float("inf")),
        change(ttl_s=-1.0),
        change(stale_s=float("nan")),
        change(cost_usd=float("nan")),
        change(pieces=(b"a", b"")),
        change(pieces=(b"a", b"b")),
        change(delays_ms=(-1,)),
        change(usage=(-1, 0, 0, 0, 0)),
    ],
)
def test_impossible_entries_are_damage(make: Callable[[], bytes]) -> None:
    """Nothing from outside can begin another field or another answer, or have numbers that break sums."""
    assert is_damaged(make())


@pytest.mark.parametrize(
    "plain", [b"\x91" * 100_000, b"\xdc\x00\x16" + b"\x91" * 100_000, b"\xdd\xff\xff\xff\xff", b"\xc6\xff\xff\xff\xff"]
)
def test_depth_and_lengths_that_are_lies_are_damage(plain: bytes) -> None:
    """Neither nesting nor a length that is told makes it hold or do much."""
    assert is_damaged(wrap(plain))


def test_a_bomb_is_not_unpacked_further_than_it_may() -> None:
    """256 MiB of nothing in a few hundred kilobytes, with a true length, a false one, and one that is allowed."""
    small = zlib.compress(b"\0" * 2**20)
    compressor = zlib.compressobj()
    large = b"".join([*(compressor.compress(b"\0" * 2**20) for _ in range(256)), compressor.flush()])
    tracemalloc.start()
    try:
        assert is_damaged(wrap(b"", compressed=True, length=2**28, rest=large))
        assert is_damaged(wrap(b"", compressed=True, length=1000, rest=large))
        with pytest.raises(Damaged):
            unpack(wrap(b"", compressed=True, length=2**20, rest=small), bytes_max=2**20 - 1)
        peak = tracemalloc.get_traced_memory()[1]
    finally:
        tracemalloc.stop()
    assert peak < 4 * 2**20


def test_a_length_that_is_false_is_damage() -> None:
    """Longer or shorter than told, compressed or not, and with a second member behind the first."""
    plain = msgspec.msgpack.encode(make_entry())
    packed = zlib.compress(plain)
    for length in (len(plain) - 1, len(plain) + 1, 0):
        assert is_damaged(wrap(plain, length=length))
        assert is_damaged(wrap(plain, compressed=True, length=length))
    assert is_damaged(wrap(plain, compressed=True, rest=packed + packed))
    assert is_damaged(wrap(plain, compressed=True, rest=packed[:-1]))


def test_what_does_not_compress_is_left_as_it_is() -> None:
    """No entry grows by more than the head."""
    noise = bytes((i * i * 2654435761 >> 13) & 255 for i in range(4096))
    entry = make_entry(noise)
    assert len(pack(entry)) <= len(msgspec.msgpack.encode(entry)) + HEAD_BYTES
    assert len(pack(make_entry(b"a" * 4096))) < 400


def test_the_form_has_not_changed_without_its_version() -> None:
    """Other sidecars have entries in this form: other members, or another order, need another version."""
    assert VERSION == 2
    assert Entry.__struct_fields__ == (
        "kind", "status", "reason", "fields", "content_type", "content_encoding", "streamed", "media_type", "pieces", "delays_ms",
        "stored_at", "ttl_s", "stale_s", "upstream", "provider", "model", "response_id", "finish_reasons", "usage", "usage_source",
        "cost_usd", "cost_source", "life_s", "origin",
    )  # fmt: skip
    old = bytes.fromhex(
        "4c5343450200b02592af000000c7dc0018a7616e7377657273ccc8c4024f4b91c41e436f6e74656e742d547970653a206170706c69636174"
        "696f6e2f6a736f6eb06170706c69636174696f6e2f6a736f6ea0c2b06170706c69636174696f6e2f6a736f6e91c40e7b22616e7377657222"
        "3a2034327d9100cb41dad27480000000cb4072c00000000000cb0000000000000000a66f70656e6169a66f70656e6169a16da469642d3191"
        "a473746f70950a00000500a87265706f72746564cb3f50624dd2f1a9fca57461626c65cb4072c00000000000a0"
    )
    assert unpack(old) == make_entry()
