"""A test that hangs comes to an end, and what hung is told."""

import asyncio
import re

import pytest

from tests.bounds import bound


async def waiting_for_godot() -> None:
    """He does not come."""
    await asyncio.get_running_loop().create_future()


async def test_a_test_that_hangs_fails_and_tells_where_it_waits(capfd: pytest.CaptureFixture[str]) -> None:
    """Of its own stack and of those of the tasks that it waits for."""
    with pytest.raises(TimeoutError) as caught:
        await bound(lambda: asyncio.create_task(waiting_for_godot()), 0.05)()
    assert isinstance(caught.value.__cause__, asyncio.CancelledError)
    assert re.search(r"in waiting_for_godot\n +await asyncio.get_running_loop", capfd.readouterr().err)


async def test_a_test_that_comes_to_an_end_is_left_alone(capfd: pytest.CaptureFixture[str]) -> None:
    """What it is given it gets, and what it raises comes out."""
    seen = []

    async def fail(place: int, *, name: str) -> None:
        seen.append((place, name))
        raise KeyError(name)

    with pytest.raises(KeyError):
        await bound(fail, 0.05)(1, name="x")
    await asyncio.sleep(0.1)
    assert seen == [(1, "x")] and capfd.readouterr().err == ""


async def test_each_test_is_bound(request: pytest.FixtureRequest) -> None:
    """This one, for example."""
    assert request.function.__wrapped__.__name__ == "test_each_test_is_bound"
