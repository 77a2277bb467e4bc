"""Tasks that are named and kept."""

import asyncio
import gc
import weakref

import pytest

from sidecar.edge.tasks import end_all, end_together, spawn


async def wait_for_ever() -> None:
    """Never end."""
    await asyncio.get_running_loop().create_future()


async def test_a_task_is_held_until_it_is_done() -> None:
    """Nobody else needs to hold it, and afterwards nobody does."""
    release = asyncio.Event()

    async def work() -> None:
        await release.wait()

    seen = weakref.ref(spawn(work(), name="kept"))
    await asyncio.sleep(0)
    gc.collect()
    task = seen()
    assert task is not None
    assert task.get_name() == "kept"
    release.set()
    await task
    del task
    await asyncio.sleep(0)
    gc.collect()
    assert seen() is None


async def test_who_awaits_a_task_gets_what_it_raised() -> None:
    """A failure is not swallowed."""

    async def fail() -> None:
        raise ZeroDivisionError

    with pytest.raises(ZeroDivisionError):
        await spawn(fail(), name="failing")


async def test_a_failure_nobody_awaits_is_no_noise() -> None:
    """The loop has nothing to complain of."""
    complaints: list[object] = []
    asyncio.get_running_loop().set_exception_handler(lambda _, context: complaints.append(context))

    async def fail() -> None:
        raise ZeroDivisionError

    spawn(fail(), name="failing")
    await asyncio.sleep(0)
    await asyncio.sleep(0)
    gc.collect()
    assert complaints == []


async def test_ending_cancels_all_but_the_caller() -> None:
    """What runs is cancelled and waited for; who ends the others goes on."""
    others = [spawn(wait_for_ever(), name=f"other {number}") for number in range(3)]

    async def end() -> str:
        await end_all(1.0)
        return "done"

    assert await spawn(end(), name="ender") == "done"
    assert all(task.cancelled() for task in others)
    await end_all(1.0)


async def test_ending_does_not_wait_for_ever() -> None:
    """A task that will not end is left behind after the time given."""
    release = asyncio.Event()

    async def refuse() -> None:
        while not release.is_set():
            try:
                await release.wait()
            except asyncio.CancelledError:
                continue

    task = spawn(refuse(), name="stubborn")
    await asyncio.sleep(0)
    await end_all(0.01)
    assert not task.done()
    release.set()
    await task


async def test_ends_come_side_by_side_and_none_holds_the_others() -> None:
    """What fails harms nobody, what hangs is left behind when the time is over."""
    done: list[str] = []

    async def end(name: str) -> None:
        await asyncio.sleep(0)
        done.append(name)

    async def fail() -> None:
        raise ZeroDivisionError

    async with asyncio.timeout(5.0):
        await end_together([wait_for_ever(), fail(), end("one"), end("two")], 0.05)
        await end_together([], 60.0)
        await end_together([end("last")], 60.0)
    assert done == ["one", "two", "last"]
