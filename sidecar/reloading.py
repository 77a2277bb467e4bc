"""Loading the configuration anew, whole or not at all: read, prepared, and put in force in one turn of the event loop.

Everything that can fail or has to be waited for comes first and changes nothing that is live. Files are looked at before they are
read and once more when all is prepared: what was half of an old and half of a new volume, or was being written, is read again.
"""

import asyncio
from collections.abc import Awaitable, Callable, Sequence
from functools import partial
from typing import Final, NamedTuple

from sidecar.config import Settings
from sidecar.core.reckon.checks import ConfigurationView
from sidecar.core.settings.changes import Changes, Outcome, compare, has_to_wait
from sidecar.core.settings.resolution import Loaded
from sidecar.edge.aside import do_aside
from sidecar.edge.sources import CONFIGURATION, Look, is_stream, look_at
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.reload_announcements import ReloadAnnouncements
from sidecar.edge.watcher import Watcher
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.generation import Material, read_material
from sidecar.ports import Clock

Load = Callable[[str | None], Loaded]  # of a file, or of none; raises ConfigError

BY_FILES: Final = "files"
_READS_MAX: Final = 5  # of files that change while they are read
_PAUSE_S: Final = 0.05  # from one to the next
_READ_S: Final = 30.0  # for the disks
_NO_SETTINGS: Final = Settings(upstreams={})
_NAME: Final = "configuration files"  # of threads and tasks


Adopt = Callable[[], None]  # puts what was prepared in force, in one turn; cannot fail
# Makes of settings what could be in force, without effect on what is. Raises ConfigError.
Prepare = Callable[[Settings, Material], Awaitable[Adopt]]


class _Reading:
    """One reading of all files, in a thread of its own. Each step waits for disks."""

    def __init__(self, file: str | None, load: Load, watched: Settings) -> None:
        self.file = file
        self.watched = watched  # whose files are to be looked at
        self._load = load
        self.look: Look | None = None

    def read(self) -> tuple[Loaded, Material]:
        """Return what is there. Raises ConfigError."""
        self.look = look_at(self.file, self.watched)
        if self.file is not None and is_stream(self.file):
            allowed = "a file that can be read again"
            raise ConfigError(self.file, [ConfigProblem(self.file, "a pipe or a device, which was read when the sidecar started", allowed)])
        loaded = self._load(self.file)
        before = self.look
        self.look, self.watched = look_at(self.file, loaded.settings), loaded.settings
        if before.contents.get(CONFIGURATION) != self.look.contents.get(CONFIGURATION):
            self.look = None  # it may have been read before, after, or in between
        return loaded, read_material(loaded.settings, loaded.source)

    def is_settled(self) -> bool:
        """Whether the files are still those that were read, and where they were."""
        return self.look is not None and self.look == look_at(self.file, self.watched)


class _Fresh(NamedTuple):
    """Read, prepared, and looked at once more."""

    loaded: Loaded
    changes: Changes
    adopt: Adopt
    look: Look


class Reloading:
    """Loads anew whenever it is asked to, one time after the other, and by itself when files have changed.

    `file`: the configuration's, if it is in one; `source`: what it is called. `first`: a look at the files of `settings`, those in
    force, before they were read. `prepare` makes of new settings what can be put in force.
    """

    def __init__(
        self, file: str | None, source: str, load: Load, settings: Settings, first: Look, prepare: Prepare, clock: Clock,
        announcements: ReloadAnnouncements,
    ) -> None:  # fmt: skip
        self._file = file
        self._source = source
        self._load = load
        self._settings = settings
        self._watched = settings
        self._first = self._good = self._seen = first
        self._prepare = prepare
        self._clock = clock
        self._announcements = announcements
        self._loaded_at = clock.now()
        self._problems: Sequence[ConfigProblem] = ()
        self._held: tuple[str, ...] = ()
        self._is_over = False
        self._turn = asyncio.Lock()
        self._started = asyncio.Event()
        self._coming: asyncio.Task[Outcome] | None = None  # that has not begun to read
        self._tasks: set[asyncio.Task[Outcome]] = set()
        self._watcher = Watcher(self._look, self._take, lambda: self._settings.reload)
        self._watching: asyncio.Task[None] | None = None

    async def start(self) -> None:
        """Load anew from now on. What has changed since the start is found at the first look at the files."""
        if await do_aside(self._is_as_loaded, name=_NAME):
            self._watcher.note(self._first)
        self._announcements.note_start(self._clock.wall_ns())
        self._watching = spawn(self._watcher.run(), name=_NAME)
        self._started.set()

    async def ask(self, trigger: str) -> Outcome:
        """Load anew, after the one that is in progress; return what came of it. Who asks meanwhile gets the same answer.

        `trigger`: who wants it, for the log.
        """
        coming = self._coming
        if coming is None and not self._is_over:
            coming = self._coming = spawn(self._take_turn(trigger), name="reload")
            self._tasks.add(coming)
            coming.add_done_callback(self._tasks.discard)
        if coming is not None:
            await asyncio.wait((coming,))
            if not coming.cancelled():
                return coming.result()
        problem = ConfigProblem(self._source, "a sidecar that stops", "one that runs")
        return Outcome(self._source, problems=(problem,))

    async def stop(self) -> None:
        """Load no more. What is being prepared is let go of."""
        self._is_over = True
        left = [task for task in (self._watching, *self._tasks) if task is not None]
        for task in left:
            task.cancel()
        await asyncio.gather(*left, return_exceptions=True)

    def describe(self) -> ConfigurationView:
        """Return how the configuration stands."""
        is_stale = self._seen.contents != self._good.contents
        is_watched = self._settings.reload.watch
        return ConfigurationView(self._source, self._loaded_at, self._problems, self._held, is_stale, is_watched)

    def _is_as_loaded(self) -> bool:
        try:
            return self._load(self._file).settings == self._settings
        except ConfigError:
            return False

    async def _look(self) -> Look:
        self._seen = await do_aside(partial(look_at, self._file, self._watched), name=_NAME)
        return self._seen

    async def _take(self, seen: Look) -> None:
        """Files have changed: load them, or find out whether they could be."""
        if self._settings.reload.watch:
            await self.ask(BY_FILES)
            return
        async with self._turn:
            fresh = await self._read()
            if isinstance(fresh, _Fresh):
                self._problems = ()
            else:
                self._announcements.tell_problems(self._refuse(fresh), BY_FILES)

    async def _take_turn(self, trigger: str) -> Outcome:
        await self._started.wait()
        async with self._turn:
            self._coming = None  # who asks from now on may mean what this one does not read
            fresh = await self._read()
            outcome = self._put_in_force(fresh) if isinstance(fresh, _Fresh) else self._refuse(fresh)
            self._announcements.tell(outcome, trigger, self._clock.wall_ns())
            return outcome

    def _put_in_force(self, fresh: "_Fresh") -> Outcome:
        loaded, changes, adopt, look = fresh
        try:
            adopt()
        except Exception as error:
            return self._refuse(self._name_fault(error))
        others = [path for path in self._good.find_changed(look) if path != CONFIGURATION and path not in changes.changed]
        # Against what is in force of them, which is what they held at the start.
        held = [path for path in self._first.find_changed(look) if has_to_wait(path) and path not in changes.held]
        if loaded.source != self._source:  # there was no file at the start
            self._file = self._source = loaded.source
        self._settings, self._good, self._seen = changes.settings, look, look
        self._problems, self._held, self._loaded_at = (), (*changes.held, *held), self._clock.now()
        return Outcome(self._source, changes.changed, tuple(path for path in others if not has_to_wait(path)), self._held)

    def _refuse(self, error: ConfigError) -> Outcome:
        self._problems = tuple(error.problems)
        return Outcome(self._source, problems=self._problems)

    async def _read(self) -> "_Fresh | ConfigError":
        """Return what could be put in force now, or why nothing can. What was read is noted either way."""
        for attempt in range(_READS_MAX):
            if attempt:
                await asyncio.sleep(_PAUSE_S)
            reading = _Reading(self._file, self._load, self._watched)
            fresh = await self._attempt(reading)
            if await self._is_settled(reading):
                if reading.look is not None:
                    self._note(reading.look)
                return fresh
        return self._name("files that change while they are read", "files that are replaced as a whole")

    async def _attempt(self, reading: _Reading) -> "_Fresh | ConfigError":
        try:
            async with asyncio.timeout(_READ_S):
                loaded, material = await do_aside(reading.read, name=_NAME)
            changes = compare(self._settings, loaded.settings)
            adopt = await self._prepare(changes.settings, material)
        except ConfigError as error:
            return error
        except TimeoutError:
            return self._name(f"files that could not be read within {_READ_S:g} s", "files on a disk that answers")
        except Exception as error:  # nothing has happened yet: what was in force stays
            return self._name_fault(error)
        finally:
            self._watched = reading.watched
        return _Fresh(loaded, changes, adopt, reading.look or self._seen)

    async def _is_settled(self, reading: _Reading) -> bool:
        try:
            async with asyncio.timeout(_READ_S):
                return await do_aside(reading.is_settled, name=_NAME)
        except TimeoutError:
            return True

    def _name(self, found: str, allowed: str) -> ConfigError:
        return ConfigError(self._source, [ConfigProblem(self._source, found, allowed)])

    def _name_fault(self, error: Exception) -> ConfigError:
        return self._name(f"what the sidecar itself fails at ({type(error).__name__})", "settings that differ from these")

    def _note(self, look: Look) -> None:
        self._seen = look
        self._watcher.note(look)
