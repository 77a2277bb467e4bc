"""How long a test may take: one that hangs fails, and tells where it was waiting, instead of holding up all that come after it."""

import asyncio
import functools
import sys
from collections.abc import Awaitable, Callable
from typing import Any


def bound(test: Callable[..., Awaitable[None]], limit_s: float) -> Callable[..., Awaitable[None]]:
    """Return a test that raises TimeoutError, from where it waits, after so many seconds; what all tasks wait for is printed then."""

    @functools.wraps(test)
    async def bounded(*arguments: Any, **named: Any) -> None:
        __tracebackhide__ = True
        telling = asyncio.get_running_loop().call_later(limit_s, tell_tasks)
        try:
            async with asyncio.timeout(limit_s):
                await test(*arguments, **named)
        finally:
            telling.cancel()

    return bounded


def tell_tasks() -> None:
    """Print the stack of each task of this loop."""
    for task in asyncio.all_tasks():
        task.print_stack(file=sys.stderr)
