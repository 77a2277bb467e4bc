"""What a sidecar knows of its own calls without anybody scraping it: statistics of the last hour, the last calls, what is told of them."""

from collections.abc import Callable, Mapping

from sidecar.config import Settings
from sidecar.core.reckon.health import Check
from sidecar.core.reckon.hours import Hours
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.window import Window
from sidecar.edge.evaluation import Evaluation, Surroundings
from sidecar.edge.files import read_webhook
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.alerts import make_alerts
from sidecar.edge.inbound.api import make_history
from sidecar.edge.inbound.health import Health
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.journal_writer import JournalState
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.journal import Journal
from sidecar.edge.telemetry.labels import LabelBounds
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.recent import Recent
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.ports import Clock, Sink
from sidecar.thresholds import Terms

_COUNTED_TOGETHER = 32  # records: counted in a row they cost half as much, and 0.1 ms at a time


class Insight:
    """The readers of records that keep what they read, and what the admin port tells of it."""

    def __init__(
        self, settings: Settings, clock: Clock, meter: Meter, log: EventLog, describe_cache: Callable[[], Mapping[str, tuple[int, int]]],
        collect_health: Callable[[Present], Mapping[str, Check]], surroundings: Surroundings, draw: Callable[[], float],
    ) -> None:  # fmt: skip
        """`describe_cache`: entries and bytes of each level of the cache in this process. `collect_health`: makes every check.

        `surroundings`: what alerts are judged by besides calls. `draw`: a number of 0 to 1. Raises ConfigError.
        """
        bounds = LabelBounds(settings.limits.labels)
        window = Window(clock.now, lambda model: bounds.admit("model", model)[0])
        self._journal: Journal | None = None
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        recent = Recent()
        statistics = Statistics(window, guarded.flush, clock, describe_cache)
        self._health = Health(collect_health, clock)
        address = read_webhook(settings.alerts)
        webhook = None if address is None else Webhook(*address, log, draw)
        self._evaluation = Evaluation(window, guarded.flush, surroundings.situate, clock, log, Terms(), webhook)
        self.sinks: tuple[Sink, ...] = (guarded, recent)
        if settings.journal.directory is not None:
            hours = Hours(lambda model: bounds.admit("model", model)[0])
            counted = Guarded("journal", hours, meter, log, together=_COUNTED_TOGETHER)
            self._journal = Journal(settings.journal, settings.journal.directory, hours, counted.flush, clock, log)
            self.sinks = (*self.sinks, counted)
        alerts = make_alerts(self._evaluation.alarms, Terms().links, webhook)
        self.paths: Mapping[str, Respond] = {
            **statistics.list_paths(), **make_history(recent), **self._health.list_paths(), **alerts,
        }  # fmt: skip
        self.changes: Mapping[str, Change] = statistics.list_changes()

    def start(self) -> None:
        """Look from now on at what is not told by records, and keep what is to outlast this process.

        Raises ConfigError where the journal is another's.
        """
        self._health.start()
        self._evaluation.start()
        if self._journal is not None:
            self._journal.start()

    async def stop(self) -> None:
        """Keep what there is, once no more calls come."""
        await self._evaluation.stop()
        if self._journal is not None:
            await self._journal.stop()

    def describe_journal(self) -> JournalState | None:
        """Return how the journal is; None where there is none."""
        return None if self._journal is None else self._journal.describe()
