"""What is kept in memory: a hot level, ready to be sent, and a warm level, compressed. Both are bounded in entries and in bytes.

An answer begins hot. What was not asked for lately becomes warm: the one asked for longest ago where there are too many, and by
`sweep` whatever nobody asked for within `hot.age`. Being asked for makes it hot again. What nobody asked for within `warm.age` is
forgotten, and so is the one asked for longest ago where there is too much. Times are projected: what has expired is never found,
whether or not it has been swept.
"""

from collections import OrderedDict
from collections.abc import Callable, Mapping
from typing import Final, NamedTuple

from sidecar.catalogue import CACHE_LEVELS
from sidecar.config import Cache
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.packing import Damaged, unpack
from sidecar.core.reuse.slots import NEVER, PACKED_BYTES_MAX, Slot

HOT, WARM, _ = CACHE_LEVELS
REFRESH_CLAIM_S: Final = 60.0  # whoever fetches an answer anew has so long before another one may
REFRESH_PAUSE_S: Final = 5.0  # from one attempt that failed to the next: an upstream that fails is not to be asked with every hit

_SWEPT_MAX: Final = 2_000  # entries looked at in one go

# Why an entry was evicted: among catalogue.EVICTION_REASONS.
FULL: Final = "full"
IDLE: Final = "idle"
EXPIRED: Final = "expired"
MEMORY: Final = "memory"


class Found(NamedTuple):
    """An answer that is kept."""

    entry: Entry
    level: str  # where it was found: one of catalogue.CACHE_LEVELS
    age_s: float
    is_stale: bool
    refreshes: bool  # this caller, and no other for a while, is to fetch it anew


_Level = OrderedDict[str, Slot]  # that which was asked for longest ago comes first


class Levels:
    """Entries by key, in two levels.

    `keeps_stale`: expired ones are kept for as long as they may stand in for an error. `refreshes`: of those in demand that soon
    expire one caller is told so. `note_evicted` is told of each that is no longer kept: its level, why, how many.
    """

    def __init__(
        self, settings: Cache, *, keeps_stale: bool, refreshes: bool, note_evicted: Callable[[str, str, int], None] | None = None
    ) -> None:
        self._settings = settings
        self._keeps_stale = keeps_stale
        self._share = settings.refresh_share if refreshes else None  # of its life: the last part, in which it is fetched anew
        self._note_evicted = note_evicted
        self._hot: _Level = OrderedDict()
        self._warm: _Level = OrderedDict()
        self._hot_bytes = self._warm_bytes = 0
        self._unswept: list[str] = []

    @property
    def entries(self) -> Mapping[str, int]:
        """How many are in each level."""
        return {HOT: len(self._hot), WARM: len(self._warm)}

    @property
    def bytes(self) -> Mapping[str, int]:
        """What each level takes in memory."""
        return {HOT: self._hot_bytes, WARM: self._warm_bytes}

    def get(
        self, key: str, now: float, *, max_age_s: float | None = None, max_stale_s: float | None = None, life_s: float | None = None
    ) -> Found | None:  # fmt: skip
        """Return what is kept under `key`, if it has not expired.

        `max_age_s`: it may be no older. `max_stale_s`: it may have expired so long ago and no longer; below zero: it must not
        expire within so long (Cache-Control's min-fresh). `life_s`: how long it would live by the settings of now, of which what is
        kept knows nothing; None: as it was.
        """
        slot = self._hot.get(key)
        if slot is None:
            slot = self._warm.get(key)
            if slot is None:
                return None
        if life_s is not None and life_s != slot.life_s:
            slot.revise(life_s, self._share)
        late_s = now - slot.expires_at
        age_s = now - slot.born
        if (
            now >= slot.gone_at
            or (late_s >= 0.0 if max_stale_s is None else late_s > max_stale_s)
            or (max_age_s is not None and age_s > max_age_s)
        ):
            self._miss(key, slot, now)
            return None
        slot.hits += 1
        refreshes = False
        if now >= slot.refresh_at and slot.hits >= self._settings.refresh_hits:
            slot.refresh_at = now + REFRESH_CLAIM_S
            slot.is_claimed = refreshes = True
        return self._use(key, slot, now, age_s, late_s >= 0.0, refreshes)

    def get_stale(self, key: str, now: float) -> Found | None:
        """Return what is kept under `key` and may stand in for an error, expired or not."""
        slot = self._hot.get(key) or self._warm.get(key)
        if slot is None:
            return None
        if now >= slot.gone_at:
            self._miss(key, slot, now)
            return None
        return self._use(key, slot, now, now - slot.born, now >= slot.expires_at, False)

    def put(self, key: str, entry: Entry, now: float, *, age_s: float = 0.0) -> None:
        """Keep `entry` in place of what is kept under `key`, unless that is younger and has not expired.

        `age_s`: for how long it was kept elsewhere.
        """
        born = now - age_s
        expires_at = born + entry.ttl_s
        gone_at = expires_at + min(entry.stale_s, self._settings.stale) if self._keeps_stale else expires_at
        old = self._hot.get(key) or self._warm.get(key)
        if now >= gone_at or (old is not None and old.born > born and now < old.expires_at):
            return
        self.discard(key)
        slot = Slot(entry, None, entry.size_bytes, born, entry.ttl_s, entry.life_s, expires_at, gone_at, now, NEVER)
        slot.plan(self._share)
        if slot.size_bytes > self._settings.warm.bytes:
            return
        self._hot[key] = slot
        self._hot_bytes += slot.size_bytes
        self._make_room()

    def discard(self, key: str) -> None:
        """Forget what is kept under `key`."""
        slot = self._hot.pop(key, None)
        if slot is not None:
            self._hot_bytes -= slot.size_bytes
            return
        slot = self._warm.pop(key, None)
        if slot is not None:
            self._warm_bytes -= slot.size_bytes

    def abandon_refresh(self, key: str) -> None:
        """Whoever was to fetch it anew has not: another one may, but not at once."""
        slot = self._hot.get(key) or self._warm.get(key)
        if slot is not None and slot.is_claimed:
            slot.is_claimed = False
            slot.refresh_at += REFRESH_PAUSE_S - REFRESH_CLAIM_S

    def sweep(self, now: float) -> int:
        """Forget what has expired or is not asked for, and compress what is asked for rarely; return how many that were.

        Takes a few milliseconds at most: where it returns more than none, there may be more to do.
        """
        if not self._unswept:
            self._unswept = [*reversed(self._warm), *reversed(self._hot)]  # taken from its end: who was asked for longest ago goes first
        swept = packed_bytes = 0
        for _ in range(min(len(self._unswept), _SWEPT_MAX)):
            key = self._unswept.pop()
            slot = self._hot.get(key)
            if slot is None:
                slot = self._warm.get(key)
                if slot is None:
                    continue
                if now >= slot.gone_at or now >= slot.used_at + self._settings.warm.age:
                    self._evict(WARM, key, EXPIRED if now >= slot.gone_at else IDLE)
                    swept += 1
                elif slot.is_packable:  # there was no time when it became warm
                    self._warm_bytes -= slot.size_bytes
                    slot.pack()
                    slot.let_go()
                    self._warm_bytes += slot.size_bytes
                    swept += 1
                    packed_bytes += slot.entry_bytes
            elif now >= slot.gone_at:
                self._evict(HOT, key, EXPIRED)
                swept += 1
            elif now >= slot.used_at + self._settings.hot.age:
                self._demote(key)
                swept += 1
                packed_bytes += slot.entry_bytes if slot.entry_bytes <= PACKED_BYTES_MAX else 0
            if packed_bytes >= PACKED_BYTES_MAX:
                break
        self._make_room()
        return swept

    def drop_warm(self) -> int:
        """Forget the warm level: memory is short. Return how many were in it."""
        dropped = len(self._warm)
        self._warm.clear()
        self._warm_bytes = 0
        if dropped and self._note_evicted is not None:
            self._note_evicted(WARM, MEMORY, dropped)
        return dropped

    def adopt(self, settings: Cache, *, keeps_stale: bool, refreshes: bool) -> None:
        """Keep by other settings from now on. What there is too much of is forgotten at once; nothing is compressed meanwhile.

        For how long an answer is kept is settled when it is asked for (`get`).
        """
        share = settings.refresh_share if refreshes else None
        stale_s = settings.stale if keeps_stale else 0.0
        is_restaled = (keeps_stale, settings.stale) != (self._keeps_stale, self._settings.stale)
        if is_restaled or share != self._share:
            for level in (self._hot, self._warm):
                for slot in level.values():
                    slot.date(stale_s if is_restaled else slot.gone_at - slot.expires_at, share)
        self._settings, self._keeps_stale, self._share = settings, keeps_stale, share
        self._make_room(packs=False)

    def _miss(self, key: str, slot: Slot, now: float) -> None:
        """It is there and not what is wanted: it was asked for all the same, and may be wanted when all else fails."""
        level = self._hot if key in self._hot else self._warm
        if now >= slot.gone_at:
            self._evict(HOT if level is self._hot else WARM, key, EXPIRED)
        else:
            slot.used_at = now
            level.move_to_end(key)

    def _use(self, key: str, slot: Slot, now: float, age_s: float, is_stale: bool, refreshes: bool) -> Found | None:
        slot.used_at = now
        entry = slot.entry
        if key in self._hot and entry is not None:
            self._hot.move_to_end(key)
            return Found(entry, HOT, age_s, is_stale, refreshes)
        if entry is None:
            try:
                entry = unpack(slot.packed or b"")
            except Damaged:  # memory that does not keep what is written into it
                self.discard(key)
                return None
        self._warm_bytes -= slot.size_bytes
        del self._warm[key]
        slot.entry = entry  # `packed` stays: when it is demoted again, that costs nothing
        self._hot[key] = slot
        self._hot_bytes += slot.size_bytes
        self._make_room()
        return Found(entry, WARM, age_s, is_stale, refreshes)

    def _demote(self, key: str, *, packs: bool = True) -> None:
        slot = self._hot.pop(key)
        self._hot_bytes -= slot.size_bytes
        if packs:
            slot.pack()
        slot.let_go()
        self._warm[key] = slot
        self._warm_bytes += slot.size_bytes

    def _make_room(self, *, packs: bool = True) -> None:
        """Bring both levels back within what they may hold. `packs`: what becomes warm is compressed, which takes time."""
        settings = self._settings
        while True:
            if len(self._hot) > settings.hot.entries:
                self._demote(next(iter(self._hot)), packs=packs)
            elif len(self._warm) > settings.warm.entries:
                self._evict(WARM, next(iter(self._warm)), FULL)
            elif self._hot_bytes + self._warm_bytes <= settings.warm.bytes:
                return
            elif self._warm:
                self._evict(WARM, next(iter(self._warm)), FULL)
            else:
                self._demote(next(iter(self._hot)), packs=packs)

    def _evict(self, level: str, key: str, reason: str) -> None:
        self.discard(key)
        if self._note_evicted is not None:
            self._note_evicted(level, reason, 1)
