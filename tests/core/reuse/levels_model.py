"""The two levels of kept answers once more, naively: lists that are searched, and sums that are summed anew each time."""

from dataclasses import dataclass, field

from sidecar.config import Cache
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.levels import Levels
from sidecar.core.reuse.packing import pack
from tests.core.reuse.entries import make_entry


def _measure_overheads() -> tuple[int, int]:
    """What is counted beside an entry, and beside a packed one: as can be seen from outside."""
    entry = make_entry(b"a" * 4096, ttl_s=1000.0)
    levels = Levels(Cache(), keeps_stale=False, refreshes=False)
    levels.put("k", entry, 0.0)
    slot_bytes = levels.bytes["hot"] - entry.size_bytes
    assert levels.sweep(60.0) == 1
    return slot_bytes, levels.bytes["warm"] - slot_bytes - len(pack(entry)) - len(pack(entry)) // 2


SLOT_BYTES, PACKED_HEAD_BYTES = _measure_overheads()


@dataclass
class Kept:
    """One answer."""

    key: str
    entry: Entry
    born: float
    used_at: float
    ttl_s: float
    life_s: float
    stale_s: float
    was_warm: bool = False
    hits: int = 0
    claims: list[float] = field(default_factory=list)  # when somebody was told to fetch it anew
    abandoned: bool = False  # the last of these

    @property
    def packed_bytes(self) -> int:
        """How long it is when compressed; 0 where that does not pay."""
        data = pack(self.entry, level=0 if self.entry.content_encoding else 1)
        return len(data) if len(data) <= 0.75 * self.entry.size_bytes else 0

    def size(self, level: str) -> int:
        """What is counted for it."""
        small = self.packed_bytes // 2 if self.packed_bytes < 4096 else 0  # what the allocator loses between small ones
        packed = self.packed_bytes + small + PACKED_HEAD_BYTES if self.was_warm and self.packed_bytes else 0
        return SLOT_BYTES + packed + (0 if level == "warm" and packed else self.entry.size_bytes)


class LevelsModel:
    """What `Levels` should do."""

    def __init__(self, settings: Cache, *, keeps_stale: bool, refreshes: bool) -> None:
        self.settings, self.keeps_stale, self.refreshes = settings, keeps_stale, refreshes
        self.levels: dict[str, list[Kept]] = {"hot": [], "warm": []}  # what was used last comes last
        self.evicted: list[tuple[str, str, int]] = []

    def find(self, key: str) -> tuple[str, Kept] | None:
        """The level it is in, and it."""
        return next(((level, kept) for level, all_ in self.levels.items() for kept in all_ if kept.key == key), None)

    def gone_at(self, kept: Kept) -> float:
        """When it is of no use any more."""
        return kept.born + kept.ttl_s + kept.stale_s

    def bytes(self, level: str) -> int:
        """What a level takes."""
        return sum(kept.size(level) for kept in self.levels[level])

    def get(
        self, key: str, now: float, max_age_s: float | None, max_stale_s: float | None, life_s: float | None = None
    ) -> tuple[Entry, str, float, bool, bool] | None:  # fmt: skip
        """Look for an answer that is fresh enough."""
        found = self.find(key)
        if found is None:
            return None
        kept = found[1]
        if life_s is not None and life_s != kept.life_s:
            kept.ttl_s = life_s if kept.ttl_s == kept.life_s else min(kept.ttl_s, 10 * life_s)
            kept.life_s = life_s
        age_s = now - kept.born
        is_stale = age_s >= kept.ttl_s
        fits = not is_stale if max_stale_s is None else age_s - kept.ttl_s <= max_stale_s
        if not fits or (max_age_s is not None and age_s > max_age_s):
            self.ask(*found, now, promote=False)
            return None
        told = self.ask(*found, now, promote=True)
        if told is None:
            return None
        kept.hits += 1
        return *told, self.claim(kept, now)

    def get_stale(self, key: str, now: float) -> tuple[Entry, str, float, bool, bool] | None:
        """Look for anything that may stand in."""
        found = self.find(key)
        told = found and self.ask(*found, now, promote=True)
        return (*told, False) if told else None

    def ask(self, level: str, kept: Kept, now: float, *, promote: bool) -> tuple[Entry, str, float, bool] | None:
        """Somebody has asked for it."""
        self.levels[level].remove(kept)
        if now >= self.gone_at(kept):
            self.evicted.append((level, "expired", 1))
            return None
        kept.used_at = now
        self.levels["hot" if promote else level].append(kept)
        self.fit()
        return kept.entry, level, now - kept.born, now - kept.born >= kept.ttl_s

    def claim(self, kept: Kept, now: float) -> bool:
        """Whether this caller is to fetch it anew."""
        if not self.refreshes or kept.hits < self.settings.refresh_hits:
            return False
        if now < kept.born + kept.ttl_s * (1 - self.settings.refresh_share):
            return False
        if kept.claims and now < kept.claims[-1] + (5.0 if kept.abandoned else 60.0):
            return False
        kept.claims.append(now)
        kept.abandoned = False
        return True

    def put(self, key: str, entry: Entry, now: float, age_s: float) -> None:
        """Keep one."""
        stale_s = min(entry.stale_s, self.settings.stale) if self.keeps_stale else 0.0
        new = Kept(key, entry, now - age_s, now, entry.ttl_s, entry.life_s, stale_s)
        old = self.find(key)
        if now >= self.gone_at(new) or (old and old[1].born > new.born and now < old[1].born + old[1].ttl_s):
            return
        self.discard(key)
        if new.size("hot") <= self.settings.warm.bytes:
            self.levels["hot"].append(new)
            self.fit()

    def discard(self, key: str) -> None:
        """Forget one."""
        for level in self.levels.values():
            level[:] = [kept for kept in level if kept.key != key]

    def abandon(self, key: str) -> None:
        """The last claim came to nothing."""
        found = self.find(key)
        if found and found[1].claims:
            found[1].abandoned = True

    def adopt(self, settings: Cache, *, keeps_stale: bool, refreshes: bool) -> None:
        """Go by other settings: nothing is compressed meanwhile."""
        if (keeps_stale, settings.stale) != (self.keeps_stale, self.settings.stale):
            for kept in (*self.levels["hot"], *self.levels["warm"]):
                kept.stale_s = settings.stale if keeps_stale else 0.0
        self.settings, self.keeps_stale, self.refreshes = settings, keeps_stale, refreshes
        self.fit(packs=False)

    def fit(self, *, packs: bool = True) -> None:
        """Make room."""
        hot, warm = self.levels["hot"], self.levels["warm"]
        while (
            (len(hot) > self.settings.hot.entries)
            or (len(warm) > self.settings.warm.entries)
            or (self.bytes("hot") + self.bytes("warm") > self.settings.warm.bytes)
        ):
            if warm and len(hot) <= self.settings.hot.entries:
                self.evict("warm", warm[0], "full")
            else:
                self.cool(hot[0], packs=packs)

    def cool(self, kept: Kept, *, packs: bool = True) -> None:
        """Hot becomes warm."""
        self.levels["hot"].remove(kept)
        kept.was_warm = kept.was_warm or packs
        self.levels["warm"].append(kept)

    def evict(self, level: str, kept: Kept, reason: str) -> None:
        """Forget one, and count it."""
        self.levels[level].remove(kept)
        self.evicted.append((level, reason, 1))

    def sweep(self, now: float) -> int:
        """Tidy up: hot ones first, and of each level first the one asked for longest ago."""
        swept = 0
        for level, kept in [(name, kept) for name in ("hot", "warm") for kept in self.levels[name]]:
            if now >= self.gone_at(kept):
                self.evict(level, kept, "expired")
            elif level == "warm" and now - kept.used_at >= self.settings.warm.age:
                self.evict(level, kept, "idle")
            elif level == "hot" and now - kept.used_at >= self.settings.hot.age:
                self.cool(kept)
            elif level == "warm" and not kept.was_warm:
                kept.was_warm = True
            else:
                continue
            swept += 1
        self.fit()
        return swept
