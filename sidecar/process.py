"""A sidecar as a process: its signals, its memory, its exit code, and that it ends when it is told to."""

import asyncio
import gc
import os
import sys
from collections.abc import Coroutine
from typing import Any, Final

from sidecar import __version__, catalogue
from sidecar.app import Sidecar
from sidecar.core.settings.resolution import Loaded
from sidecar.edge import loop as event_loop
from sidecar.edge.files import load
from sidecar.edge.signals import Signals
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.logs import EventLog, set_up

# After the grace: what the sidecar needs to close everything, what is left for the log, and what is left for the interpreter.
_STOPPED_S: Final = 2.5
_LOG_S: Final = 0.3  # given to whoever reads the log
_EXIT_S: Final = 0.3
_SWITCH_S: Final = 0.0005  # the exporting thread may keep the event loop waiting for this long
_GC_OBJECTS: Final = 50_000


def serve(loaded: Loaded, signals: Signals) -> int:
    """Run a sidecar until it is told to stop; return the exit code."""
    return run(_serve(loaded, signals))


async def _serve(loaded: Loaded, signals: Signals) -> int:
    log = set_up(loaded.settings.log, sys.stderr)
    asked = signals.attend_hangups()
    sidecar = Sidecar(loaded.settings, os.environ, log, source=loaded.source, load=lambda file: load(file, os.environ))
    stop = signals.attend(lambda: sidecar.grace_s + _STOPPED_S + _LOG_S)
    if not await _start(sidecar, stop):
        return 0
    log.start()
    try:
        _settle_memory()
        log.write(catalogue.STARTED, data=sidecar.data_url, admin=sidecar.admin_url, version=__version__, config=loaded.source)
        spawn(_follow(asked, sidecar), name="SIGHUP")
        await stop.wait()
        await _stop(sidecar, log)
    finally:
        await log.stop(_LOG_S)
        # A thread that hangs, as in a folder that does not answer, would be waited for.
        signals.end_within(_EXIT_S)
    return 0


async def _start(sidecar: Sidecar, stop: asyncio.Event) -> bool:
    """Start it; return whether that came to its end. Raises ConfigError."""
    starting, told = spawn(sidecar.start(), name="start"), spawn(stop.wait(), name="stop signal")
    await asyncio.wait((starting, told), return_when=asyncio.FIRST_COMPLETED)
    told.cancel()
    if stop.is_set() and not starting.done():
        starting.cancel()  # it closes what it has opened
        await asyncio.wait((starting,))
        return False
    await starting
    return True


async def _follow(asked: asyncio.Event, sidecar: Sidecar) -> None:
    """Load the configuration anew whenever a signal asks for it."""
    while True:
        await asked.wait()
        asked.clear()
        await sidecar.reload("signal")


async def _stop(sidecar: Sidecar, log: EventLog) -> None:
    log.write(catalogue.STOPPING)
    await sidecar.stop()
    log.write(catalogue.STOPPED)


def run(main: Coroutine[Any, Any, int]) -> int:
    """Run `main` on the event loop that a sidecar uses; return what it returns."""
    sys.setswitchinterval(_SWITCH_S)
    return event_loop.run(main)


def _settle_memory() -> None:
    # What start-up made lives for ever: keep the collector from looking at it again and again. A call's own
    # objects make no cycles; they only come and go by the thousand, which the default of 700 takes for garbage.
    gc.collect()
    gc.freeze()
    gc.set_threshold(_GC_OBJECTS, 20, 20)
