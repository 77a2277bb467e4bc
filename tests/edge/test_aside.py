"""Work in a thread that keeps nobody from ending."""

import asyncio
import subprocess
import sys
import threading
from pathlib import Path

import pytest

from sidecar.edge.aside import do_aside

HANGING = """
import asyncio, threading
from sidecar.edge.aside import do_aside

async def main():
    task = asyncio.ensure_future(do_aside(threading.Event().wait, name="hangs"))
    await asyncio.sleep(0.05)
    task.cancel()

asyncio.run(main())
print("ended", flush=True)
"""


async def test_results_and_errors_come_back() -> None:
    """From a thread of that name, to whoever waits."""
    assert await do_aside(lambda: threading.current_thread().name, name="aside") == "aside"
    with pytest.raises(ValueError, match="no"):
        await do_aside(lambda: int("no"), name="aside")


async def test_who_leaves_is_not_told() -> None:
    """What comes too late goes nowhere, and harms nothing."""
    go, gone = threading.Event(), threading.Event()
    task = asyncio.ensure_future(do_aside(lambda: (go.wait(), gone.set()), name="late"))
    await asyncio.sleep(0)
    task.cancel()
    await asyncio.gather(task, return_exceptions=True)
    go.set()
    await asyncio.to_thread(gone.wait, 5)
    await asyncio.sleep(0.01)
    assert task.cancelled()


def test_what_hangs_does_not_keep_the_process(repository: Path) -> None:
    """The loop ends, and so does the process."""
    done = subprocess.run([sys.executable, "-c", HANGING], capture_output=True, text=True, cwd=repository, timeout=20, check=True)
    assert done.stdout == "ended\n"
