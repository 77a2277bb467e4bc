"""What a sidecar knows of its own calls without anybody scraping it: statistics of the last hour, the last calls, what is told of them."""

from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from typing import NamedTuple

from sidecar.config import Calls, Settings
from sidecar.core.admit.spending_sums import Balance
from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.feedback import Answers
from sidecar.core.reckon.health import Check
from sidecar.core.reckon.hours import Hours
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.window import Window
from sidecar.edge.evaluation import Evaluation, Surroundings
from sidecar.edge.files import read_webhook
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.alerts import make_alerts
from sidecar.edge.inbound.api import make_history
from sidecar.edge.inbound.feedback import make_events, make_feedback
from sidecar.edge.inbound.health import Health
from sidecar.edge.inbound.live import Live
from sidecar.edge.inbound.log_level import make_log_level
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.inbound.trends import Trends
from sidecar.edge.journal_writer import JournalState
from sidecar.edge.past import Past
from sidecar.edge.telemetry.call_lines import CallLines
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


class Sources(NamedTuple):
    """Whom to ask for what no record tells, and to tell what applications say."""

    describe_cache: Callable[[], Mapping[str, tuple[int, int]]]  # entries and bytes of each level in this process
    collect_health: Callable[[Present], Mapping[str, Check]]  # every check
    rate: Callable[[str, float, float], None]  # an upstream, how good one of its answers was, when that was said
    describe_upstreams: Callable[[float], Sequence[UpstreamView]]  # all of them, at a moment
    describe_spending: Callable[[], tuple[Sequence[Balance], frozenset[str]]]  # all budgets, and whose spending is stopped
    draw: Callable[[], float]  # a number of 0 to 1


class Insight:
    """The readers of records that keep what they read, and what the admin port tells of it. Raises ConfigError for files of secrets."""

    def __init__(self, settings: Settings, clock: Clock, meter: Meter, log: EventLog, sources: Sources) -> None:
        bounds = LabelBounds(settings.limits.labels)
        window = Window(clock.now, lambda model: bounds.admit("model", model)[0], looks_up=settings.features.cache)
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        answers, recent = Answers(), Recent()
        answered = Guarded("feedback", answers, meter, log, together=_COUNTED_TOGETHER)
        statistics = Statistics(window, guarded.flush, clock, sources.describe_cache)
        directory = settings.journal.directory
        past = None if directory is None else Past(Path(directory).absolute(), clock)
        trends = Trends(settings, window, guarded.flush, clock, past)
        pools = {name: pool.upstreams for name, pool in settings.pools.items()}
        live = Live(window, guarded.flush, statistics.show, recent, clock, sources.describe_upstreams, pools, sources.describe_cache)
        self._health = Health(sources.collect_health, clock)
        address = read_webhook(settings.alerts)
        webhook = None if address is None else Webhook(*address, log, sources.draw)
        surroundings = Surroundings(sources.describe_upstreams, sources.describe_spending, settings.features.cache)
        self._evaluation = Evaluation(window, guarded.flush, surroundings.situate, clock, log, Terms(), webhook)
        self._journal: Journal | None = None
        sinks: list[Sink] = [guarded, recent, answered]
        if settings.log.calls is not Calls.OFF:
            sinks.append(Guarded("lines", CallLines(settings.log.calls, log), meter, log))
        if settings.journal.directory is not None:
            hours = Hours(lambda model: bounds.admit("model", model)[0], looks_up=settings.features.cache)
            counted = Guarded("journal", hours, meter, log, together=_COUNTED_TOGETHER)
            self._journal = Journal(settings.journal, settings.journal.directory, hours, counted.flush, clock, log)
            sinks.append(counted)
        told, changed = make_log_level(log)
        events, noted = make_events(clock, meter, log)
        self.sinks: tuple[Sink, ...] = tuple(sinks)
        self.paths: Mapping[str, Respond] = {
            **statistics.list_paths(), **live.list_paths(), **self._health.list_paths(), **trends.list_paths(), **make_history(recent),
            **told, **events, **make_alerts(self._evaluation.alarms, Terms().links, webhook),
        }  # fmt: skip
        self.changes: Mapping[str, Change] = {
            **statistics.list_changes(), **changed, **noted, **make_feedback(answers, answered.flush, clock, meter, sources.rate),
        }  # fmt: skip

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
