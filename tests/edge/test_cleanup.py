"""The task that tidies up what is kept, on a clock that passes only when nothing is left to do."""

import asyncio

from sidecar.config import Cache, HotLevel
from sidecar.core.reuse.levels import HOT, WARM, Levels
from sidecar.edge.cleanup import Cleanup
from tests.core.reuse.entries import make_entry
from tests.edge.virtual import VirtualLoop, virtually

LIMIT = 1000


class Told:
    """Memory that is as large as a test says."""

    def __init__(self, rss: int | None = 0, limit: int | None = LIMIT) -> None:
        self.rss, self.limit = rss, limit
        self.given_back = 0

    def read_rss(self) -> int | None:
        """As told."""
        return self.rss

    def read_limit(self) -> int | None:
        """As told."""
        return self.limit

    def give_back(self) -> None:
        """Count."""
        self.given_back += 1


def begin(memory: Told, settings: Cache | None = None) -> tuple[Levels, Cleanup, VirtualLoop]:
    """Levels that are tidied up from now on."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    settings = settings or Cache()
    levels = Levels(settings, keeps_stale=False, refreshes=False)
    cleanup = Cleanup(levels, settings, memory, loop)
    cleanup.start()
    return levels, cleanup, loop


@virtually
async def test_levels_are_swept_every_so_often() -> None:
    """What nobody asks for becomes warm and is forgotten, without anybody asking."""
    levels, cleanup, loop = begin(Told())
    levels.put("a", make_entry(ttl_s=10_000.0), loop.now())
    await asyncio.sleep(59)
    assert levels.entries == {HOT: 1, WARM: 0}
    await asyncio.sleep(2)
    assert levels.entries == {HOT: 0, WARM: 1}
    await asyncio.sleep(241)
    assert levels.entries == {HOT: 0, WARM: 0}
    await cleanup.stop()


@virtually
async def test_all_that_is_due_is_done_at_one_time() -> None:
    """In steps between which calls are served."""
    levels, cleanup, loop = begin(Told(), Cache(hot=HotLevel(entries=500), cleanup=60.0))
    for number in range(100):
        levels.put(str(number), make_entry(bytes(number + at & 255 for at in range(20_000)), ttl_s=10_000.0), loop.now())
    await asyncio.sleep(60)
    seen = []
    for _ in range(50):
        seen.append(levels.entries[HOT])
        await asyncio.sleep(0)
    assert len(set(seen)) > 5
    assert seen[-1] == 0
    assert loop.now() == 1060.0
    await cleanup.stop()


@virtually
async def test_the_warm_level_is_dropped_where_memory_is_short() -> None:
    """At four fifths of what there may be, and not before; the hot one stays. What was let go of is given back."""
    memory = Told(rss=799)
    levels, cleanup, loop = begin(memory, Cache(hot=HotLevel(entries=1)))
    for key in "abc":
        levels.put(key, make_entry(), loop.now())
    await asyncio.sleep(31)
    assert levels.entries == {HOT: 1, WARM: 2}
    assert memory.given_back == 0
    memory.rss = 800
    await asyncio.sleep(28)
    assert levels.entries == {HOT: 1, WARM: 2}
    await asyncio.sleep(2)
    assert levels.entries[WARM] == 0
    await cleanup.stop()
    assert memory.given_back == 1


@virtually
async def test_nothing_is_given_back_where_nothing_was_let_go_of() -> None:
    """Memory may be short for other reasons: that costs nothing."""
    memory = Told(rss=LIMIT)
    _, cleanup, _ = begin(memory)
    await asyncio.sleep(100)
    await cleanup.stop()
    assert memory.given_back == 0


@virtually
async def test_what_is_not_known_is_not_short() -> None:
    """On another system the levels' own bounds are all there is."""
    for memory in (Told(rss=None), Told(rss=10**12, limit=None)):
        levels, cleanup, loop = begin(memory, Cache(hot=HotLevel(entries=0)))
        levels.put("a", make_entry(), loop.now())
        await asyncio.sleep(40)
        assert levels.entries[WARM] == 1
        await cleanup.stop()


@virtually
async def test_it_stops_when_told() -> None:
    """Nothing is swept after that, and stopping twice, or before it was started, does no harm."""
    levels, cleanup, loop = begin(Told())
    levels.put("a", make_entry(), loop.now())
    await cleanup.stop()
    await cleanup.stop()
    await asyncio.sleep(1000)
    assert levels.entries == {HOT: 1, WARM: 0}


@virtually
async def test_other_settings_count_from_now_on() -> None:
    """An interval that was long is not waited for; there is one task all the time, and none after the end."""
    levels, cleanup, loop = begin(Told(), Cache(cleanup=10_000.0))
    levels.put("a", make_entry(ttl_s=1.0), loop.now())
    cleanup.adopt(Cache(cleanup=10_000.0, memory_share=0.5))
    cleanup.adopt(Cache(cleanup=5.0))
    await asyncio.sleep(6)
    assert levels.entries == {HOT: 0, WARM: 0}
    assert [task.get_name() for task in asyncio.all_tasks()].count("cache cleanup") == 1
    cleanup.end()
    await asyncio.sleep(0)
    assert "cache cleanup" not in {task.get_name() for task in asyncio.all_tasks()}
