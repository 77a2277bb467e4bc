"""An event loop whose time passes only when there is nothing else to do."""

import asyncio
import selectors
from collections.abc import Callable, Coroutine, Iterator
from contextlib import contextmanager
from functools import wraps
from typing import Any, ParamSpec, TypeVar

P = ParamSpec("P")
T = TypeVar("T")


class _Selector(selectors.DefaultSelector):
    """Never waits: a wait moves the clock on instead."""

    def __init__(self) -> None:
        super().__init__()
        self.passed_s = 0.0

    def select(self, timeout: float | None = None) -> list[Any]:
        ready = super().select(0)
        if not ready and timeout:
            self.passed_s += timeout
        return ready


class VirtualLoop(asyncio.SelectorEventLoop):
    """An event loop on which a timer of an hour takes no time at all."""

    def __init__(self) -> None:
        self._virtual = _Selector()
        super().__init__(self._virtual)

    def time(self) -> float:
        """Return seconds since the loop was made, and a thousand."""
        return 1000.0 + self._virtual.passed_s

    def now(self) -> float:
        """Return the same (ports.Clock)."""
        return self.time()

    def wall_ns(self) -> int:
        """Return the same in nanoseconds (ports.Clock)."""
        return int(self.time() * 1e9)

    @contextmanager
    def entered(self) -> Iterator[None]:
        """Let code run as if in a callback, without anything else running before or after it."""
        asyncio._set_running_loop(self)
        try:
            yield
        finally:
            asyncio._set_running_loop(None)

    def settle(self) -> None:
        """Run until nothing is left to do now."""
        self.run_until_complete(turn())


async def turn(turns: int = 12) -> None:
    """Let everything that is ready run, and what becomes ready by it."""
    for _ in range(turns):
        await asyncio.sleep(0)


def run_virtually(main: Coroutine[Any, Any, T]) -> T:
    """Run `main` on a virtual loop."""
    loop = VirtualLoop()
    try:
        return loop.run_until_complete(main)
    finally:
        loop.close()


def virtually(test: Callable[P, Coroutine[Any, Any, None]]) -> Callable[P, None]:
    """Have a test run on a virtual loop of its own."""

    @wraps(test)
    def run(*args: P.args, **kwargs: P.kwargs) -> None:
        run_virtually(test(*args, **kwargs))

    return run
