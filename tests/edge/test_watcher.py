"""When a change of files is taken."""

import asyncio
from collections.abc import Callable

from sidecar.config import Reload
from sidecar.edge.sources import Look
from sidecar.edge.watcher import Watcher
from tests.edge.virtual import VirtualLoop

CHANGES = {0.0: b"a", 12.0: b"b", 12.6: b"c", 13.0: b"d", 30.0: b"e", 30.5: b"d", 50.0: b"f", 60.0: None}


def watch(changes: dict[float, bytes | None], until_s: float, settings: Callable[[], Reload] = Reload) -> list[tuple[float, bytes | None]]:
    """Return when which content was taken, of a file that changes at these moments."""
    loop = VirtualLoop()
    taken: list[tuple[float, bytes | None]] = []

    def now() -> float:
        return loop.time() - 1000.0

    async def look() -> Look:
        return Look({"": changes[max(at for at in changes if at <= now())]}, {})

    async def take(seen: Look) -> None:
        taken.append((round(now(), 3), seen.contents[""]))
        watcher.note(seen)

    watcher = Watcher(look, take, settings)

    async def main() -> None:
        watcher.note(Look({"": changes[0.0]}, {}))
        task = asyncio.ensure_future(watcher.run())
        await asyncio.sleep(until_s)
        task.cancel()
        await asyncio.gather(task, return_exceptions=True)

    loop.run_until_complete(main())
    loop.close()
    return taken


def test_a_change_is_taken_once_it_has_settled() -> None:
    """Once, when it was the same for the time of `debounce`; what is as it was before is not taken at all; what is gone is."""
    assert watch(CHANGES, 100.0) == [(16.0, b"d"), (52.0, b"f"), (63.0, None)]


def test_what_changes_all_the_time_is_not_taken() -> None:
    """Half-written files are none."""
    assert watch({0.0: b"a", **{10.0 + 0.4 * n: b"%d" % n for n in range(100)}}, 49.0) == []


def test_settings_in_force_count() -> None:
    """A shorter interval holds from the next look on."""
    settings = [Reload()]

    def ask() -> Reload:
        return settings[0]

    assert watch({0.0: b"a", 1.0: b"b"}, 20.0, ask) == [(6.0, b"b")]
    settings[0] = Reload(interval=0.5, debounce=0.2)
    assert watch({0.0: b"a", 1.1: b"b"}, 20.0, ask) == [(1.7, b"b")]


def test_without_anything_taken_all_is_new() -> None:
    """Nobody could say that what is there now was read."""

    async def main() -> None:
        taken: list[Look] = []

        async def look() -> Look:
            return Look({}, {})

        async def take(seen: Look) -> None:
            taken.append(seen)

        task = asyncio.ensure_future(Watcher(look, take, lambda: Reload(interval=0.001, debounce=0.001)).run())
        async with asyncio.timeout(5):
            while not taken:
                await asyncio.sleep(0.001)
        task.cancel()

    asyncio.run(main())


def test_a_look_that_fails_is_repeated() -> None:
    """Whoever cannot be asked now can be later."""
    loop = VirtualLoop()
    taken: list[Look] = []
    looks = iter([OSError("no thread"), RuntimeError("no thread")])

    async def look() -> Look:
        for error in looks:
            raise error
        return Look({"": b"new"}, {})

    async def take(seen: Look) -> None:
        taken.append(seen)
        watcher.note(seen)

    watcher = Watcher(look, take, Reload)

    async def main() -> None:
        task = asyncio.ensure_future(watcher.run())
        await asyncio.sleep(30.0)
        task.cancel()

    loop.run_until_complete(main())
    loop.close()
    assert [seen.contents for seen in taken] == [{"": b"new"}]
