"""Tasks that are named and kept: a task nobody holds may vanish in the middle of its work."""

import asyncio
from collections.abc import Coroutine, Iterable
from typing import Any, TypeVar

T = TypeVar("T")

_running: set[asyncio.Task[Any]] = set()


def spawn(work: Coroutine[Any, Any, T], *, name: str) -> asyncio.Task[T]:
    """Start `work` as a named task and hold it until it is done."""
    task = asyncio.get_running_loop().create_task(work, name=name)
    _running.add(task)
    task.add_done_callback(_let_go)
    return task


def _let_go(task: asyncio.Task[Any]) -> None:
    _running.discard(task)
    if not task.cancelled():
        task.exception()  # seen: who awaits the task gets it; nobody else needs a warning


async def end_all(timeout_s: float) -> None:
    """Cancel what is still running and wait for it, at most `timeout_s` seconds."""
    mine = asyncio.current_task()
    left = [task for task in _running if task is not mine and not task.done()]
    for task in left:
        task.cancel()
    if left:
        await asyncio.wait(left, timeout=timeout_s)


async def end_together(ends: Iterable[Coroutine[Any, Any, None]], timeout_s: float) -> None:
    """Let these come to their end side by side. What has not by then is cancelled, and not waited for; whatever fails harms no other."""
    tasks = [spawn(end, name="end") for end in ends]
    if tasks:
        _, left = await asyncio.wait(tasks, timeout=max(timeout_s, 0.0))
        for task in left:
            task.cancel()
