"""The two levels of kept answers, against a model that searches lists, and case by case."""

import random
from collections.abc import Iterator

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule
from msgspec.structs import replace

from sidecar import catalogue
from sidecar.config import Cache, HotLevel, WarmLevel
from sidecar.core.reuse import levels as levels_module
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.levels import EXPIRED, FULL, HOT, IDLE, MEMORY, REFRESH_CLAIM_S, REFRESH_PAUSE_S, WARM, Found, Levels
from sidecar.core.reuse.packing import Damaged
from tests.core.reuse.entries import make_entry
from tests.core.reuse.levels_model import SLOT_BYTES, LevelsModel

KEYS = st.sampled_from([f"key-{number}" for number in range(4)])
NOISE = random.Random(5).randbytes(3000)
# What compresses well, what hardly does, and what says that it is compressed.
BODIES = st.sampled_from([b"{}", b'{"a": 1}' * 200, NOISE, NOISE[:700] + b" " * 400])
# All numbers are such that floating point holds them: the model need not be told what is nearly now.
LIVES = st.tuples(st.sampled_from([0.0, 1.0, 16.0, 128.0]), st.sampled_from([0.0, 4.0, 64.0]))
ENTRIES = st.builds(
    lambda body, life, coding, stored, usual: replace(
        make_entry(body, ttl_s=life[0], stale_s=life[1]), content_encoding=coding, stored_at=stored,
        life_s=life[0] if usual is None else usual,
    ),
    BODIES, LIVES, st.sampled_from(["", "", "gzip"]), st.floats(0, 1e6), st.sampled_from([None, None, 2.0, 64.0]),
)  # fmt: skip
AGES = st.none() | st.sampled_from([0.0, 0.5, 4.0, 40.0])
SETTINGS = st.builds(
    lambda hot, hot_age, warm, size, warm_age, share, hits, stale: Cache(
        hot=HotLevel(hot, hot_age), warm=WarmLevel(warm, size, warm_age), refresh_share=share, refresh_hits=hits, stale=stale
    ),
    st.integers(0, 4), st.sampled_from([2.0, 16.0]), st.integers(0, 5), st.sampled_from([1500, 6_000, 16_000, 10**6]),
    st.sampled_from([2.0, 32.0]), st.sampled_from([0.0, 0.5, 1.0]), st.integers(1, 3), st.sampled_from([8.0, 256.0]),
)  # fmt: skip


class LevelsMachine(RuleBasedStateMachine):
    """Any interleaving of callers, answers, sweeps and time."""

    @initialize(settings=SETTINGS, keeps_stale=st.booleans(), refreshes=st.booleans())
    def begin(self, settings: Cache, keeps_stale: bool, refreshes: bool) -> None:
        """Make the two, equal."""
        self.now = 1024.0
        self.settings, self.keeps_stale = settings, keeps_stale
        self.evicted: list[tuple[str, str, int]] = []
        self.levels = Levels(settings, keeps_stale=keeps_stale, refreshes=refreshes, note_evicted=lambda *told: self.evicted.append(told))
        self.model = LevelsModel(settings, keeps_stale=keeps_stale, refreshes=refreshes)
        self.truth: dict[str, tuple[Entry, float]] = {}  # what was put last
        self.claims: dict[str, float] = {}

    @rule(key=KEYS, entry=ENTRIES, age=st.sampled_from([0.0, 0.0, 0.5, 8.0, 60.0]))
    def put(self, key: str, entry: Entry, age: float) -> None:
        """An answer has come, or was found elsewhere."""
        self.levels.put(key, entry, self.now, age_s=age)
        self.model.put(key, entry, self.now, age)
        found = self.model.find(key)
        if found is not None and found[1].entry is entry:
            self.truth[key] = entry, self.now - age
            self.claims.pop(key, None)

    @rule(keys=st.lists(KEYS, min_size=1, max_size=8), entry=ENTRIES)
    def fill(self, keys: list[str], entry: Entry) -> None:
        """Many come at once."""
        for key in keys:
            self.put(key, entry, 0.0)

    @rule(
        key=KEYS, max_age=AGES, max_stale=AGES | st.sampled_from([-4.0, float("inf")]), passed=st.sampled_from([0.0, 0.0, 0.25, 1.0]),
        life=st.sampled_from([None, None, 0.0, 4.0, 64.0]),
    )  # fmt: skip
    def get(self, key: str, max_age: float | None, max_stale: float | None, passed: float, life: float | None = None) -> None:
        """Somebody asks, with conditions or without, perhaps when settings would have it kept for another time than before."""
        self.now += passed
        found = self.levels.get(key, self.now, max_age_s=max_age, max_stale_s=max_stale, life_s=life)
        assert found == self.model.get(key, self.now, max_age, max_stale, life)
        if found is None:
            return
        self.check(key, found)
        assert max_age is None or found.age_s <= max_age
        late = found.age_s - self.ttl_s(key)
        assert late < 0 if max_stale is None else late <= max_stale
        if found.refreshes:
            assert self.now - self.claims.get(key, -1e9) >= REFRESH_PAUSE_S
            self.claims[key] = self.now

    @rule(keys=st.lists(KEYS, max_size=6))
    def ask_about(self, keys: list[str]) -> None:
        """Some are asked for, in any order."""
        for key in keys:
            self.get(key, None, None, 0.0)

    @rule(key=KEYS, times=st.integers(1, 4))
    def ask_often(self, key: str, times: int) -> None:
        """One is in demand."""
        for _ in range(times):
            self.get(key, None, None, 0.0)

    @rule(key=KEYS)
    def get_stale(self, key: str) -> None:
        """All else failed."""
        found = self.levels.get_stale(key, self.now)
        assert found == self.model.get_stale(key, self.now)
        if found is not None:
            self.check(key, found)
            assert self.keeps_stale or not found.is_stale
            assert not found.refreshes

    def check(self, key: str, found: Found) -> None:
        """What is found is what was put last, as old as it is, and not past all use."""
        entry, born = self.truth[key]
        assert found.entry == entry
        assert found.age_s == self.now - born
        assert found.is_stale == (found.age_s >= self.ttl_s(key))
        assert found.age_s < self.ttl_s(key) + self.settings.stale or not found.is_stale

    def ttl_s(self, key: str) -> float:
        """For how long it is kept."""
        kept = self.model.find(key)
        assert kept is not None
        return kept[1].ttl_s

    @rule(settings=SETTINGS, keeps_stale=st.booleans(), refreshes=st.booleans())
    def adopt(self, settings: Cache, keeps_stale: bool, refreshes: bool) -> None:
        """Other settings are in force."""
        self.settings, self.keeps_stale = settings, keeps_stale
        self.levels.adopt(settings, keeps_stale=keeps_stale, refreshes=refreshes)
        self.model.adopt(settings, keeps_stale=keeps_stale, refreshes=refreshes)

    @rule(key=KEYS)
    def discard(self, key: str) -> None:
        """One is not wanted any more."""
        self.levels.discard(key)
        self.model.discard(key)
        assert self.levels.get_stale(key, self.now) is None

    @rule(key=KEYS)
    def abandon(self, key: str) -> None:
        """Whoever was to fetch it anew has failed."""
        self.levels.abandon_refresh(key)
        self.model.abandon(key)

    @rule()
    def sweep(self) -> None:
        """The background task comes by."""
        assert self.levels.sweep(self.now) == self.model.sweep(self.now)

    @rule()
    def drop_warm(self) -> None:
        """Memory is short."""
        dropped = self.levels.drop_warm()
        assert dropped == len(self.model.levels["warm"])
        self.model.levels["warm"] = []
        if dropped:
            self.model.evicted.append(("warm", "memory", dropped))

    @rule(passed=st.sampled_from([0.25, 1.0, 2.0, 5.0, 16.0, 61.0, 128.0]))
    def wait(self, passed: float) -> None:
        """Time passes."""
        self.now += passed

    @invariant()
    def is_as_the_model(self) -> None:
        """Both hold as much, in the same place, have let go of the same, and are within bounds."""
        if not hasattr(self, "model"):
            return
        entries, taken = self.levels.entries, self.levels.bytes
        assert entries == {level: len(kept) for level, kept in self.model.levels.items()}
        assert taken == {level: self.model.bytes(level) for level in ("hot", "warm")}
        assert entries["hot"] <= self.settings.hot.entries
        assert entries["warm"] <= self.settings.warm.entries
        assert sum(taken.values()) <= self.settings.warm.bytes
        assert self.evicted == self.model.evicted


TestLevelsMachine = LevelsMachine.TestCase


@pytest.fixture
def levels() -> Iterator[Levels]:
    """Levels with the built-in settings."""
    yield Levels(Cache(), keeps_stale=False, refreshes=False)


def fill(levels: Levels, keys: range, body: bytes = b"{}", now: float = 0.0) -> None:
    """Keep an answer under each of the numbers."""
    for number in keys:
        levels.put(str(number), make_entry(body), now)


def test_words_are_those_of_the_catalogue() -> None:
    """Levels are called what metrics call them."""
    assert catalogue.CACHE_LEVELS[:2] == (HOT, WARM)


def test_what_is_too_many_becomes_warm_and_then_is_forgotten(levels: Levels) -> None:
    """A hundred hot, a thousand warm: who was asked for longest ago goes first."""
    fill(levels, range(1000))
    assert levels.get("0", 1.0) == (make_entry(b"{}"), WARM, 1.0, False, False)
    assert levels.entries == {HOT: 100, WARM: 900}
    fill(levels, range(1000, 1200), now=1.0)
    assert levels.entries == {HOT: 100, WARM: 1000}
    assert levels.get("0", 1.0) is not None  # it was asked for, and so came after those put before
    assert levels.get("1", 1.0) is None
    assert levels.get("1199", 1.0) is not None


def test_who_was_asked_for_longest_ago_goes_first() -> None:
    """Not who came first: being asked for counts, and so does being asked for in vain."""
    levels = Levels(Cache(hot=HotLevel(entries=3)), keeps_stale=False, refreshes=False)
    fill(levels, range(3))
    assert levels.get("0", 1.0) is not None
    assert levels.get("1", 1.0, max_age_s=0.5) is None
    fill(levels, range(3, 4))
    assert [(levels.get(str(number), 1.0) or pytest.fail()).level for number in (3, 1, 0, 2)] == [HOT, HOT, HOT, WARM]


def test_a_sweep_leaves_the_order_as_it_is() -> None:
    """What becomes warm at the same time is forgotten in the order in which it was asked for."""
    levels = Levels(Cache(hot=HotLevel(entries=3), warm=WarmLevel(entries=3)), keeps_stale=False, refreshes=False)
    fill(levels, range(3))
    assert levels.sweep(60.0) == 3
    fill(levels, range(3, 7), now=60.0)
    assert [levels.get_stale(str(number), 60.0) is not None for number in range(7)] == [False, True, True, True, True, True, True]


def test_age_is_bounded_by_who_asks(levels: Levels) -> None:
    """No older than `max_age_s`, to the moment; it is still there for others."""
    levels.put("a", make_entry(), 100.0, age_s=2.0)
    assert levels.get("a", 105.0, max_age_s=7.0) is not None
    assert levels.get("a", 105.25, max_age_s=7.0) is None
    assert levels.get("a", 105.25) is not None


def test_the_same_object_is_told_again_from_the_hot_level(levels: Levels) -> None:
    """Nothing is copied or decoded."""
    entry = make_entry()
    levels.put("a", entry, 0.0)
    found = levels.get("a", 1.0)
    assert found is not None
    assert found.entry is entry


def test_it_is_smaller_when_warm(levels: Levels) -> None:
    """After a minute in which nobody asked; asked for again it is hot again, and keeps what it was compressed to."""
    levels.put("a", make_entry(b'{"a": 1}' * 1000), 0.0)
    hot = levels.bytes[HOT]
    assert levels.sweep(59.0) == 0
    assert levels.sweep(60.0) == 1
    assert levels.entries == {HOT: 0, WARM: 1}
    assert levels.bytes[WARM] < hot / 5
    assert levels.get("a", 61.0) is not None
    assert levels.bytes[WARM] == 0
    assert hot < levels.bytes[HOT] < hot * 1.2
    levels.sweep(61.0 + 300.0)
    assert levels.entries == {HOT: 0, WARM: 0}


def test_what_is_asked_for_stays(levels: Levels) -> None:
    """Time counts from when it was last asked for."""
    levels.put("a", make_entry(ttl_s=10_000.0), 0.0)
    for now in range(50, 1000, 50):
        assert levels.get("a", float(now)) is not None
        assert levels.sweep(float(now)) == 0
    assert levels.entries[HOT] == 1


def test_an_answer_that_nobody_asks_for_is_forgotten(levels: Levels) -> None:
    """Five minutes after it was last asked for, although it has not expired."""
    levels.put("a", make_entry(ttl_s=10_000.0), 0.0)
    levels.sweep(60.0)
    assert levels.sweep(299.0) == 0
    assert levels.sweep(300.0) == 1
    assert levels.get("a", 300.0) is None


def test_bytes_of_both_levels_are_bounded_together() -> None:
    """Incompressible ones, so that none gets smaller: nothing is kept beyond the bound, and a larger one not at all."""
    told: list[tuple[str, str, int]] = []
    levels = Levels(Cache(warm=WarmLevel(bytes=100_000)), keeps_stale=False, refreshes=False, note_evicted=lambda *what: told.append(what))
    for number in range(50):
        levels.put(str(number), make_entry(NOISE), 0.0)
        assert sum(levels.bytes.values()) <= 100_000
    kept = sum(levels.entries.values())
    assert kept == 100_000 // (make_entry(NOISE).size_bytes + SLOT_BYTES)
    assert told == [(WARM, FULL, 1)] * (50 - kept)
    levels.put("49", make_entry(b" " * 100_000), 1.0)
    assert levels.get("49", 1.0) is None
    assert sum(levels.entries.values()) == kept - 1


def test_a_large_answer_is_not_compressed(levels: Levels) -> None:
    """It would hold up every other call; nor is it decompressed when asked for."""
    entry = make_entry(b" " * 300_000)
    levels.put("a", entry, 0.0)
    taken = levels.bytes[HOT]
    levels.sweep(60.0)
    assert levels.bytes[WARM] == taken
    found = levels.get("a", 60.0)
    assert found is not None
    assert found.entry is entry
    assert found.level == WARM


def test_a_sweep_compresses_only_so_much_at_once() -> None:
    """The rest is done by the next one, and all of it in the end."""
    levels = Levels(Cache(hot=HotLevel(entries=1000)), keeps_stale=False, refreshes=False)
    fill(levels, range(100), NOISE * 10)
    turns = [levels.sweep(60.0) for _ in range(20)]
    assert 0 < max(turns) <= 9
    assert sum(turns) == 100
    assert turns[-1] == 0
    assert levels.entries == {HOT: 0, WARM: 100}


def test_a_sweep_keeps_the_warm_level_within_its_bounds() -> None:
    """What becomes warm may be too many for it."""
    levels = Levels(Cache(hot=HotLevel(entries=5), warm=WarmLevel(entries=2)), keeps_stale=False, refreshes=False)
    fill(levels, range(5))
    assert levels.sweep(60.0) == 5
    assert levels.entries == {HOT: 0, WARM: 2}


def test_a_sweep_looks_at_only_so_many_at_once() -> None:
    """However many are kept: it goes round."""
    levels = Levels(Cache(warm=WarmLevel(entries=10_000)), keeps_stale=False, refreshes=False)
    fill(levels, range(5000))
    assert [levels.sweep(300.0) for _ in range(4)] == [2000, 2000, 1000, 0]


def test_reasons_are_told() -> None:
    """Each that is no longer kept is counted once, with why; what was replaced, discarded or cleared is not."""
    told: list[tuple[str, str, int]] = []
    settings = Cache(hot=HotLevel(entries=2), warm=WarmLevel(entries=2))
    levels = Levels(settings, keeps_stale=False, refreshes=False, note_evicted=lambda *what: told.append(what))
    fill(levels, range(5))
    fill(levels, range(4, 5))
    levels.discard("4")
    assert told == [(WARM, FULL, 1)]
    assert levels.drop_warm() == 2
    assert levels.drop_warm() == 0
    assert told[1:] == [(WARM, MEMORY, 2)]
    assert levels.get("3", 300.0) is None
    assert told[2:] == [(HOT, EXPIRED, 1)]
    levels.put("5", make_entry(ttl_s=1000.0), 300.0)
    levels.sweep(360.0)
    levels.sweep(600.0)
    assert told[3:] == [(WARM, IDLE, 1)]
    assert levels.bytes == {HOT: 0, WARM: 0}
    assert levels.entries == {HOT: 0, WARM: 0}
    assert {reason for _, reason, _ in told} == {FULL, MEMORY, EXPIRED, IDLE}


def test_expiry_is_to_the_moment(levels: Levels) -> None:
    """Fresh while it is younger than its time (RFC 9111 section 4.2), however it was swept."""
    levels.put("a", make_entry(ttl_s=10.0), 0.0)
    assert levels.get("a", 9.75) is not None
    assert levels.get("a", 10.0) is None
    assert levels.get_stale("a", 10.0) is None


def test_what_was_kept_elsewhere_is_as_old_as_it_is(levels: Levels) -> None:
    """Its age there counts; what has expired there is not kept."""
    levels.put("a", make_entry(ttl_s=10.0), 100.0, age_s=8.0)
    found = levels.get("a", 101.0)
    assert found is not None
    assert found.age_s == 9.0
    assert levels.get("a", 102.0) is None
    levels.put("b", make_entry(ttl_s=10.0), 100.0, age_s=10.0)
    assert levels.entries == {HOT: 0, WARM: 0}


def test_an_older_answer_does_not_replace_a_younger_one(levels: Levels) -> None:
    """What was found elsewhere only because somebody asked for less age than there is."""
    young, old = make_entry(b"young"), make_entry(b"old")
    levels.put("a", young, 100.0)
    levels.put("a", old, 110.0, age_s=50.0)
    assert (levels.get("a", 110.0) or pytest.fail()).entry is young
    levels.put("a", old, 110.0, age_s=5.0)
    assert (levels.get("a", 110.0) or pytest.fail()).entry is old


def test_an_expired_answer_is_no_reason_to_refuse_an_older_one() -> None:
    """One that was found elsewhere may be kept for longer."""
    levels = Levels(Cache(), keeps_stale=True, refreshes=False)
    levels.put("a", make_entry(b"short", ttl_s=5.0, stale_s=1000.0), 100.0)
    levels.put("a", make_entry(b"long", ttl_s=500.0), 104.0, age_s=50.0)
    assert (levels.get("a", 104.0) or pytest.fail()).entry.pieces == (b"short",)
    levels.put("a", make_entry(b"long", ttl_s=500.0), 105.0, age_s=50.0)
    assert (levels.get("a", 105.0) or pytest.fail()).entry.pieces == (b"long",)


def test_a_stale_answer_stands_in_for_so_long() -> None:
    """Only when asked for as such, and no longer than it says."""
    levels = Levels(Cache(), keeps_stale=True, refreshes=True)
    levels.put("a", make_entry(ttl_s=10.0, stale_s=20.0), 0.0)
    assert levels.get("a", 10.0) is None
    assert (levels.get_stale("a", 29.75) or pytest.fail()).is_stale
    assert levels.get("a", 12.0, max_stale_s=2.0) is not None
    assert levels.get("a", 12.5, max_stale_s=2.0) is None
    assert levels.get_stale("a", 30.0) is None
    levels.put("a", make_entry(ttl_s=10.0, stale_s=20.0), 0.0)
    assert not (levels.get_stale("a", 9.0) or pytest.fail()).is_stale


def test_asking_in_vain_is_asking() -> None:
    """An expired answer that is asked for all the time is there when the upstream fails."""
    levels = Levels(Cache(), keeps_stale=True, refreshes=False)
    levels.put("a", make_entry(ttl_s=10.0, stale_s=3600.0), 0.0)
    for now in range(50, 2000, 250):
        assert levels.get("a", float(now)) is None
        levels.sweep(float(now))
    assert levels.get_stale("a", 2000.0) is not None


def test_one_caller_fetches_it_anew() -> None:
    """In the last tenth of its life, if it is in demand: one within a minute, and not at once again after a failure."""
    levels = Levels(Cache(), keeps_stale=False, refreshes=True)

    def ask(now: float, times: int = 10) -> list[bool]:
        return [(levels.get("a", now) or pytest.fail()).refreshes for _ in range(times)]

    levels.put("a", make_entry(ttl_s=1000.0), 0.0)
    assert not any(ask(899.0, 1))
    assert ask(900.0, 3) == [False, True, False]  # asked for three times
    assert not any(ask(900.0 + REFRESH_CLAIM_S - 1))
    assert sum(ask(900.0 + REFRESH_CLAIM_S)) == 1
    levels.abandon_refresh("a")
    levels.abandon_refresh("a")
    assert not any(ask(900.0 + REFRESH_CLAIM_S + REFRESH_PAUSE_S - 1))
    assert sum(ask(900.0 + REFRESH_CLAIM_S + REFRESH_PAUSE_S)) == 1
    levels.put("a", make_entry(ttl_s=1000.0), 970.0)
    levels.abandon_refresh("a")  # the one that was asked for before
    assert not any(ask(1800.0))
    assert sum(ask(1870.0)) == 1
    levels.abandon_refresh("unknown")


def test_nobody_fetches_anew_where_it_is_off(levels: Levels) -> None:
    """However often it is asked for."""
    levels.put("a", make_entry(ttl_s=10.0), 0.0)
    assert not any((levels.get("a", 9.5) or pytest.fail()).refreshes for _ in range(10))
    levels.abandon_refresh("a")
    assert not (levels.get("a", 9.75) or pytest.fail()).refreshes


def test_memory_that_fails_is_a_miss(levels: Levels, monkeypatch: pytest.MonkeyPatch) -> None:
    """What cannot be unpacked is forgotten; no call fails of it."""

    def fail(data: bytes) -> Entry:
        raise Damaged("flipped")

    levels.put("a", make_entry(b"a" * 5000), 0.0)
    levels.sweep(60.0)
    monkeypatch.setattr(levels_module, "unpack", fail)
    assert levels.get("a", 61.0) is None
    assert levels.entries == {HOT: 0, WARM: 0}
    assert levels.bytes == {HOT: 0, WARM: 0}


def test_less_room_is_made_at_once_and_without_compressing() -> None:
    """A call does not wait for it: what became warm is compressed by the next sweeps, a little at a time."""
    told: list[tuple[str, str, int]] = []
    levels = Levels(Cache(hot=HotLevel(entries=50)), keeps_stale=False, refreshes=False, note_evicted=lambda *what: told.append(what))
    fill(levels, range(50), b'{"a": 1}' * 1000)
    before = levels.bytes[HOT]
    levels.adopt(Cache(hot=HotLevel(entries=10), warm=WarmLevel(entries=30)), keeps_stale=False, refreshes=False)
    assert levels.entries == {HOT: 10, WARM: 30} and told == [(WARM, FULL, 1)] * 10
    assert levels.bytes[HOT] + levels.bytes[WARM] == before * 40 // 50
    assert levels.get("0", 1.0) is None and levels.get("49", 1.0) is not None
    swept = [levels.sweep(1.0), levels.sweep(1.0)]
    assert sum(swept) == 30 and all(swept)
    assert levels.bytes[WARM] < before * 30 // 50 // 5
    assert levels.sweep(1.0) == 0


def test_another_life_is_that_of_what_is_kept_already(levels: Levels) -> None:
    """Shorter or longer, at once; what a caller had asked for is bounded as it would be now."""
    usual, wished = make_entry(ttl_s=300.0), replace(make_entry(ttl_s=1000.0), life_s=300.0)
    levels.put("usual", usual, 0.0)
    levels.put("wished", wished, 0.0)
    assert levels.get("usual", 299.0, life_s=300.0) is not None
    assert levels.get("usual", 60.0, life_s=60.0) is None
    assert levels.get("usual", 500.0, life_s=600.0) is None, "it was gone by the settings of then"
    assert levels.get("wished", 599.0, life_s=60.0) is not None
    assert levels.get("wished", 600.0, life_s=60.0) is None
    levels.put("long", usual, 0.0)
    assert levels.get("long", 10.0, life_s=900.0) is not None
    assert levels.get("long", 899.0, life_s=900.0) is not None


def test_refreshing_is_switched_on_and_off_for_what_is_kept() -> None:
    """Who is fetching it goes on, and nobody else begins."""
    often = Cache(refresh_hits=1, refresh_share=0.5)
    levels = Levels(often, keeps_stale=False, refreshes=False)
    levels.put("a", make_entry(ttl_s=100.0), 0.0)
    assert not (levels.get("a", 60.0) or pytest.fail()).refreshes
    levels.adopt(often, keeps_stale=False, refreshes=True)
    assert (levels.get("a", 60.0) or pytest.fail()).refreshes
    levels.adopt(Cache(refresh_hits=1, refresh_share=0.9), keeps_stale=False, refreshes=True)
    assert not (levels.get("a", 61.0) or pytest.fail()).refreshes
    levels.adopt(often, keeps_stale=False, refreshes=False)
    levels.abandon_refresh("a")
    assert not (levels.get("a", 99.0) or pytest.fail()).refreshes
