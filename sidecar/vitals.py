"""Where each check of a sidecar's health finds what it needs."""

from collections.abc import Callable, Mapping

from sidecar.config import Settings
from sidecar.core.choose.places import Place
from sidecar.core.reckon import checks
from sidecar.core.reckon.access import Reach, check_gate, check_reach, read_reach
from sidecar.core.reckon.connectivity import check_breakers, check_upstreams
from sidecar.core.reckon.health import Check
from sidecar.core.reckon.moments import Present
from sidecar.economy import Economy
from sidecar.edge.inbound.gate import Gate
from sidecar.edge.memory import Memory
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.lag import Lags
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.tracer import Tracer
from sidecar.switchboard import Switchboard
from sidecar.thresholds import Terms


class Vitals:
    """Makes all checks of one sidecar, of what is known already. `describe_configuration`: tells how that stands."""

    tracer: Tracer | None = None  # once there is one
    describe_journal: Callable[[], checks.JournalView | None] | None = None  # once there is one

    def __init__(
        self, settings: Settings, places: Mapping[str, Place], switchboard: Switchboard, economy: Economy, meter: Meter,
        describe_configuration: Callable[[], checks.ConfigurationView], is_ready: Callable[[], bool], is_draining: Callable[[], bool],
        urls: Callable[[], tuple[str, str]], gate: Gate,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._places = places
        self._switchboard = switchboard
        self._economy = economy
        self._meter = meter
        self._describe_configuration = describe_configuration
        self._is_ready = is_ready
        self._is_draining = is_draining
        self._urls = urls  # of data port and admin port
        self._gate = gate
        self._terms = Terms()
        self._memory = Memory()
        self._losses = checks.Losses()
        self.lags = Lags(meter.loop_lag)

    def start(self) -> None:
        """Measure from now on what cannot be asked at once: the event loop's lag."""
        spawn(self.lags.sample(), name="event loop lag")

    def adopt(self, settings: Settings, places: Mapping[str, Place]) -> None:
        """Check by these settings from now on."""
        self._settings, self._places = settings, places

    def collect(self, present: Present) -> Mapping[str, Check]:
        """Return every check by name. Reads no more than what the system tells of memory."""
        settings, terms, economy = self._settings, self._terms, self._economy
        views, probes = self._switchboard.describe(present.now), self._switchboard.probes.describe()
        memory = checks.check_memory(self._memory.read_rss(), self._memory.read_limit(), terms)
        export = None if self.tracer is None else self.tracer.describe()
        losses = None if export is None else self._losses.note(export.exported, export.dropped, present.now)
        overview = None if economy.spending is None else economy.spending.describe()
        return {
            "serving": checks.check_serving(
                is_ready=self._is_ready(),
                is_draining=self._is_draining(),
                data_url=self._urls()[0],
                in_flight=int(self._meter.in_flight.value),
            ),
            "configuration": checks.check_configuration(self._describe_configuration(), present),
            "upstreams": check_upstreams(views, probes, self._places, settings, present, terms),
            "breakers": check_breakers(views, is_on=settings.features.breakers),
            "cache": checks.check_cache(economy.describe_levels(), memory, settings.cache.memory_share, is_on=settings.features.cache),
            "shared_store": checks.check_shared(economy.describe_shared()),
            "budgets": checks.check_budgets(overview, economy.describe_ledger()),
            "memory": memory,
            "event_loop": checks.check_event_loop(tuple(self.lags.latest), terms),
            "telemetry": checks.check_export(export, losses, present, terms),
            "journal": checks.check_journal(None if self.describe_journal is None else self.describe_journal(), present),
            "reach": check_reach(self.read_reach()),
            "admin_port": check_gate(self._gate.describe(), present),
            "features": checks.check_features(settings.features),
        }

    def read_reach(self) -> Reach:
        """Return from where the ports can be reached."""
        return read_reach(self._settings, *self._urls(), has_users=self._gate.has_users)
