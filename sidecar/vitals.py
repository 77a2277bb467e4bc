"""Where each check of a sidecar's health finds what it needs."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final

from sidecar.config import Settings
from sidecar.core.choose.places import Place
from sidecar.core.reckon import checks
from sidecar.core.reckon.connectivity import check_breakers, check_upstreams
from sidecar.core.reckon.health import Check
from sidecar.core.reckon.moments import Present
from sidecar.economy import Economy
from sidecar.edge.files import find_unreadable, read_stamp
from sidecar.edge.memory import Memory
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.lag import Lags
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.tracer import Tracer
from sidecar.errors import ConfigProblem
from sidecar.ports import Clock
from sidecar.switchboard import Switchboard
from sidecar.thresholds import Terms

_FILES_S: Final = 30.0  # between two looks at the files of the configuration


class Vitals:
    """Makes all checks of one sidecar, of what is known already. `source`: of the configuration, a file or what else it is called."""

    tracer: Tracer | None = None  # once there is one
    describe_journal: Callable[[], checks.JournalView | None] | None = None  # once there is one

    def __init__(
        self, settings: Settings, source: str, places: Mapping[str, Place], clock: Clock, switchboard: Switchboard, economy: Economy,
        meter: Meter, is_ready: Callable[[], bool], data_url: Callable[[], str],
    ) -> None:  # fmt: skip
        self._settings = settings
        self._source = source
        self._places = places
        self._switchboard = switchboard
        self._economy = economy
        self._meter = meter
        self._is_ready = is_ready
        self._data_url = data_url
        self._terms = Terms()
        self._memory = Memory()
        self._losses = checks.Losses()
        self._loaded_at = clock.now()
        self._stamp = read_stamp(source)
        self._is_stale = False
        self._problems: list[ConfigProblem] = []
        self.lags = Lags(meter.loop_lag)

    def start(self) -> None:
        """Measure from now on what cannot be asked at once: the event loop's lag, and what became of files."""
        spawn(self.lags.sample(), name="event loop lag")
        spawn(self._watch_files(), name="configuration files")

    def collect(self, present: Present) -> Mapping[str, Check]:
        """Return every check by name. Reads no more than what the system tells of memory."""
        settings, terms, economy = self._settings, self._terms, self._economy
        views, probes = self._switchboard.routing.describe(present.now), self._switchboard.probes.describe()
        memory = checks.check_memory(self._memory.read_rss(), self._memory.read_limit(), terms)
        export = None if self.tracer is None else self.tracer.describe()
        losses = None if export is None else self._losses.note(export.exported, export.dropped, present.now)
        overview = None if economy.spending is None else economy.spending.describe()
        return {
            "serving": checks.check_serving(
                is_ready=self._is_ready(), data_url=self._data_url(), in_flight=int(self._meter.in_flight.value)
            ),
            "configuration": checks.check_configuration(
                self._source, self._loaded_at, self._problems, is_stale=self._is_stale, present=present
            ),
            "upstreams": check_upstreams(views, probes, self._places, settings, present, terms),
            "breakers": check_breakers(views, is_on=settings.features.breakers),
            "cache": checks.check_cache(economy.describe_levels(), memory, settings.cache.memory_share, is_on=settings.features.cache),
            "shared_store": checks.check_shared(economy.describe_shared()),
            "budgets": checks.check_budgets(overview, economy.describe_ledger()),
            "memory": memory,
            "event_loop": checks.check_event_loop(tuple(self.lags.latest), terms),
            "telemetry": checks.check_export(export, losses, present, terms),
            "journal": checks.check_journal(None if self.describe_journal is None else self.describe_journal(), present),
            "features": checks.check_features(settings.features),
        }

    async def _watch_files(self) -> None:
        while True:
            await asyncio.sleep(_FILES_S)
            self._problems = await asyncio.to_thread(find_unreadable, self._settings)
            self._is_stale = await asyncio.to_thread(read_stamp, self._source) != self._stamp
