"""One kept answer in its level: what of it is in memory, and until when it is good for what. Times are monotonic seconds."""

from typing import Final

import msgspec

from sidecar.core.reuse.directives import TTL_TIMES_MAX
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.packing import pack

NEVER: Final = float("inf")
# Compressing holds up every other call: 256 KiB take some 5 ms. What is larger stays as it is, and so does what hardly gets smaller.
PACKED_BYTES_MAX: Final = 256 * 1024
_WORTHWHILE: Final = 0.75
_SLOT_BYTES: Final = 600  # what keeping anything takes: the slot, its numbers, its key, its places in two tables
_BYTES_HEAD: Final = 40
# When many small ones have come and gone, what the allocator holds between them is half as much again (measured: glibc's malloc,
# tests/bench/kept_memory.py).
_SMALL_BYTES: Final = 4096


class Slot(msgspec.Struct, gc=False):
    """One entry in its level."""

    entry: Entry | None  # None: only `packed` is there
    packed: bytes | None  # None: not tried; empty: it does not pay
    entry_bytes: int
    born: float
    ttl_s: float
    life_s: float  # what `ttl_s` would be by the settings alone
    expires_at: float
    gone_at: float  # from then on it may not even stand in for an error
    used_at: float
    refresh_at: float  # not before; while somebody is at it, until when that one has time
    hits: int = 0
    is_claimed: bool = False

    @property
    def size_bytes(self) -> int:
        """What it takes in memory."""
        size = _SLOT_BYTES if self.entry is None else _SLOT_BYTES + self.entry_bytes
        if not self.packed:
            return size
        packed_bytes = len(self.packed)
        return size + _BYTES_HEAD + packed_bytes + (packed_bytes // 2 if packed_bytes < _SMALL_BYTES else 0)

    @property
    def is_packable(self) -> bool:
        """Whether compressing was not tried, and does not take too long."""
        return self.packed is None and self.entry is not None and self.entry_bytes <= PACKED_BYTES_MAX

    def pack(self) -> None:
        """Have the entry compressed, where that is not so already."""
        if self.is_packable and self.entry is not None:
            packed = pack(self.entry, level=0 if self.entry.content_encoding else 1)
            self.packed = packed if len(packed) <= self.entry_bytes * _WORTHWHILE else b""

    def let_go(self) -> None:
        """Keep only what is compressed, if anything is."""
        if self.packed:
            self.entry = None

    def revise(self, life_s: float, refresh_share: float | None) -> None:
        """Settings give such an answer another life than they did: so does this one get it.

        Where the caller or the server had asked for another one, that is bounded as it would be now.
        """
        stale_s = self.gone_at - self.expires_at
        self.ttl_s = life_s if self.ttl_s == self.life_s else min(self.ttl_s, life_s * TTL_TIMES_MAX)
        self.life_s = life_s
        self.date(stale_s, refresh_share)

    def date(self, stale_s: float, refresh_share: float | None) -> None:
        """Set all moments anew. `stale_s`: for how long it may stand in for an error; `refresh_share`: see `plan`."""
        self.expires_at = self.born + self.ttl_s
        self.gone_at = self.expires_at + stale_s
        self.plan(refresh_share)

    def plan(self, refresh_share: float | None) -> None:
        """Set when it is to be fetched anew: within this last share of its life, None for never. Who is at it goes on."""
        if refresh_share is None:
            self.refresh_at = NEVER
        elif not self.is_claimed:
            self.refresh_at = self.expires_at - self.ttl_s * refresh_share
