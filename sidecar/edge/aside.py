"""Work that waits for disks and networks of others, done aside: in a thread that keeps nobody from ending."""

import asyncio
from collections.abc import Callable
from threading import Thread
from typing import TypeVar

T = TypeVar("T")


async def do_aside(work: Callable[[], T], *, name: str) -> T:
    """Return what `work` returns, or raise what it raises. Whoever leaves leaves it to itself.

    A thread of the event loop's pool is joined when the loop ends, so that a file system that hangs would keep the process from
    ending; this one is not.
    """
    loop = asyncio.get_running_loop()
    done: asyncio.Future[T] = loop.create_future()

    def tell(take: Callable[[], None]) -> None:
        try:
            loop.call_soon_threadsafe(lambda: None if done.done() else take())
        except RuntimeError:
            pass  # the loop has gone: nobody waits any more

    def run() -> None:
        try:
            result = work()
        except Exception as error:
            failure = error
            tell(lambda: done.set_exception(failure))
        else:
            tell(lambda: done.set_result(result))

    Thread(target=run, name=name, daemon=True).start()
    return await done
