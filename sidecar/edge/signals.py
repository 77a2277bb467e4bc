"""SIGTERM and SIGINT: the first asks for a clean end, the second for one at once. SIGHUP: load the configuration anew.

A process must end when it is told to whatever hangs in it: an import, a disk, the event loop. So the signals of the end are blocked
in all threads and taken by one that does nothing else. The kernel keeps a blocked signal even from a process 1, which ignores all
that it has no handler for. SIGHUP goes the same way: a handler comes after the start and goes before the end, and who has none
is ended by it. SIGPIPE is ignored by Python: who writes to somebody who has left is told by an error.
"""

import os
import signal
import threading
from collections.abc import Callable
from functools import partial
from typing import TYPE_CHECKING, Final

if TYPE_CHECKING:
    import asyncio

_STOP: Final = (signal.SIGTERM, signal.SIGINT)
_FIRST_PROCESS: Final = 1


class Signals:
    """Takes the signals from here on. Make it in the main thread, before there is another one.

    Until `attend` there is nothing that could be lost: the first signal ends the process at once, with 0. `hangups`: SIGHUP is
    taken too, to the end, and ends nothing.
    """

    def __init__(self, *, hangups: bool = False) -> None:
        self._tell_stop: Callable[[], None] | None = None
        self._tell_reload: Callable[[], None] | None = None
        self._was_hung_up = False
        self._limit_s: Callable[[], float] = _no_time
        self._taken = (*_STOP, signal.SIGHUP) if hangups else _STOP
        signal.pthread_sigmask(signal.SIG_BLOCK, self._taken)
        if os.getpid() == _FIRST_PROCESS:
            # Whoever's children are left behind become ours, as those of a program that was run in the container. We have none of
            # our own; nobody asks what became of them, and the kernel buries them.
            signal.signal(signal.SIGCHLD, signal.SIG_IGN)
        threading.Thread(target=self._take, name="signals", daemon=True).start()

    def attend(self, limit_s: Callable[[], float]) -> "asyncio.Event":
        """Return an event of the running loop that the first signal sets, from here on.

        After that the process lives no longer than `limit_s`, which is asked in another thread; what hangs then is left behind.
        """
        stop, tell = _make_event()
        self._limit_s, self._tell_stop = limit_s, tell
        return stop

    def attend_hangups(self) -> "asyncio.Event":
        """Return an event of the running loop that each SIGHUP sets, those that have come already too. Who takes note of it clears it."""
        asked, self._tell_reload = _make_event()
        if self._was_hung_up:
            asked.set()
        return asked

    def end_within(self, seconds: float) -> None:
        """End the process with 0 after so long at the latest: nothing is left to be done."""
        guard = threading.Timer(seconds, os._exit, (0,))
        guard.daemon = True
        guard.start()

    def _take(self) -> None:
        self._until_stop()
        if self._tell_stop is None:
            os._exit(0)
        self.end_within(self._limit_s())
        self._tell_stop()
        os._exit(128 + self._until_stop())

    def _until_stop(self) -> int:
        while (number := signal.sigwait(self._taken)) == signal.SIGHUP:
            self._was_hung_up = True  # first: `attend_hangups` looks at it last
            if self._tell_reload is not None:
                self._tell_reload()
        return number


def _no_time() -> float:
    return 0.0


def _make_event() -> "tuple[asyncio.Event, Callable[[], None]]":
    """Return an event of the running loop, and what sets it from any thread."""
    import asyncio  # late: it takes half of the time that is wanted before the signals are taken

    event = asyncio.Event()
    return event, partial(_set, asyncio.get_running_loop(), event)


def _set(loop: "asyncio.AbstractEventLoop", event: "asyncio.Event") -> None:
    try:
        loop.call_soon_threadsafe(event.set)
    except RuntimeError:
        pass  # it is closed: the end has come by itself
