"""Where answers are kept: there while settings want it, tidied up, and gone with them."""

import asyncio
from dataclasses import replace

from sidecar.config import Cache, Features, HotLevel, Settings, WarmLevel
from sidecar.pantry import Pantry
from tests.core.reuse.entries import make_entry
from tests.edge.virtual import VirtualLoop, virtually

ON = Settings(features=Features(cache=True))
OFF = Settings(features=Features(coalescing=True))


def begin(settings: Settings = ON) -> Pantry:
    """Return one that is not started."""
    loop = asyncio.get_running_loop()
    assert isinstance(loop, VirtualLoop)
    return Pantry(settings, loop, lambda level, reason, entries: None)


def count_tasks() -> int:
    """Return how many tidy up."""
    return [task.get_name() for task in asyncio.all_tasks()].count("cache cleanup")


@virtually
async def test_nothing_is_there_until_it_is_wanted() -> None:
    """Nor does anything run; from then on it is always the same."""
    pantry = begin()
    pantry.start()
    pantry.adopt(ON)
    assert pantry.describe() == {} and count_tasks() == 0
    levels = pantry.open()
    assert pantry.open() is levels and count_tasks() == 1
    levels.put("a", make_entry(), 0.0)
    assert pantry.describe()["hot"] == (1, levels.bytes["hot"])
    await pantry.stop()
    assert count_tasks() == 0


@virtually
async def test_what_is_kept_stays_under_other_settings() -> None:
    """As far as there is room for it, and for as long as they say."""
    pantry = begin()
    levels = pantry.open()
    pantry.start()
    for number in range(9):
        levels.put(str(number), make_entry(), 0.0)
    pantry.adopt(replace(ON, cache=Cache(hot=HotLevel(entries=2), warm=WarmLevel(entries=3), cleanup=1.0)))
    assert pantry.open() is levels and (levels.entries["hot"], levels.entries["warm"]) == (2, 3)
    await asyncio.sleep(400)
    assert levels.entries == {"hot": 0, "warm": 0} and count_tasks() == 1
    await pantry.stop()


@virtually
async def test_what_was_kept_is_gone_with_the_cache() -> None:
    """Calls that share answers have levels of their own, in which nothing is kept; on again, it begins anew."""
    pantry = begin()
    levels = pantry.open()
    pantry.start()
    levels.put("a", make_entry(), 0.0)
    pantry.adopt(OFF)
    assert pantry.describe() == {}
    await asyncio.sleep(0)
    assert count_tasks() == 0
    assert pantry.open() is not levels and count_tasks() == 1
    pantry.abandon_refresh("a")
    pantry.adopt(ON)
    assert pantry.describe()["hot"] == (0, 0)
    await pantry.stop()
    assert count_tasks() == 0
