"""sidecar/edge/telemetry/worker.py"""

import threading

from sidecar.edge.telemetry.worker import Worker


async def test_what_is_left_is_worked_off() -> None:
    """Told to stop, it ends its work before anything is counted as lost; a second stop does nothing."""
    done: list[str] = []
    worker = Worker("test", lambda: (worker.stopping.wait(5), done.append("worked"))[1])
    worker.start()
    for _ in range(2):
        await worker.shutdown(5, lambda: done.append("counted"))
    assert done == ["worked", "counted"]
    assert (worker.closed, worker.is_abandoned) == (True, True)


async def test_one_that_hangs_is_abandoned() -> None:
    """After the time it has, it is left to itself, and what it held is counted."""
    released = threading.Event()
    counted: list[bool] = []
    worker = Worker("test", lambda: (released.wait(5), None)[1])
    worker.start()
    await worker.shutdown(0.01, lambda: counted.append(worker.is_abandoned))
    assert counted == [True]
    released.set()


async def test_one_that_never_began_holds_nobody_up() -> None:
    """Without a thread there is nothing to wait for."""
    counted: list[int] = []
    await Worker("test", lambda: None).shutdown(60, lambda: counted.append(1))
    assert counted == [1]
