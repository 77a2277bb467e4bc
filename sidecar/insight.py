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
from sidecar.edge.tasks import end_together
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

_MARGIN_S = 0.05  # for what gives up by itself to say so
_COUNTED_TOGETHER = 32  # records: counted in a row they cost half as much, and 0.1 ms at a time


class Sources(NamedTuple):
    """Whom to ask for what no record tells, and to tell what applications say."""

    describe_cache: Callable[[], Mapping[str, tuple[int, int]]]  # entries and bytes of each level in this process
    collect_health: Callable[[Present], Mapping[str, Check]]  # every check
    rate: Callable[[str, float, float], None]  # an upstream, how good one of its answers was, when that was said
    describe_upstreams: Callable[[float], Sequence[UpstreamView]]  # all of them, at a moment
    describe_spending: Callable[[], tuple[Sequence[Balance], frozenset[str]]]  # all budgets, and whose spending is stopped
    draw: Callable[[], float]  # a number of 0 to 1


class Outlook(NamedTuple):
    """What other settings come to."""

    settings: Settings
    address: tuple[str, str | None] | None  # that alerts are sent to, and what is sent along
    webhook: Webhook | None  # whoever is there


class Insight:
    """The readers of records that keep what they read, and what the admin port tells of it. Raises ConfigError for files of secrets."""

    def __init__(self, settings: Settings, clock: Clock, meter: Meter, log: EventLog, sources: Sources) -> None:
        self._log = log
        self._meter = meter
        self._draw = sources.draw
        self._settings = settings
        looks_up = settings.features.cache
        bounds = LabelBounds(settings.limits.labels)
        self._window = window = Window(clock.now, lambda model: bounds.admit("model", model)[0], looks_up=looks_up)
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        answers, recent = Answers(), Recent()
        answered = Guarded("feedback", answers, meter, log, together=_COUNTED_TOGETHER)
        statistics = Statistics(window, guarded.flush, clock, sources.describe_cache)
        directory = settings.journal.directory
        past = None if directory is None else Past(Path(directory).absolute(), clock)
        self._trends = Trends(settings, window, guarded.flush, clock, past)
        self._live = Live(
            window, guarded.flush, statistics.show, recent, clock, sources.describe_upstreams, _list_pools(settings), sources.describe_cache
        )  # fmt: skip
        self._health = Health(sources.collect_health, clock)
        self._address = read_webhook(settings.alerts)
        self._surroundings = Surroundings(sources.describe_upstreams, sources.describe_spending, looks_up)
        self._evaluation = evaluation = Evaluation(
            window, guarded.flush, self._surroundings.situate, clock, log, Terms(), self._make_webhook(self._address)
        )  # fmt: skip
        self._flushes = [guarded.flush]
        self._journal: Journal | None = None
        self._hours: Hours | None = None
        self._sinks: list[Sink] = [guarded, recent, answered]
        if directory is not None:
            hours = self._hours = Hours(lambda model: bounds.admit("model", model)[0], looks_up=looks_up)
            counted = Guarded("journal", hours, meter, log, together=_COUNTED_TOGETHER)
            self._journal = Journal(settings.journal, directory, hours, counted.flush, clock, log)
            self._sinks.append(counted)
            self._flushes.append(counted.flush)
        self._lines = self._make_lines(settings.log.calls)
        told, changed = make_log_level(log)
        events, noted = make_events(clock, meter, log)
        self.paths: Mapping[str, Respond] = {
            **statistics.list_paths(), **self._live.list_paths(), **self._health.list_paths(), **self._trends.list_paths(),
            **make_history(recent), **told, **events, **make_alerts(evaluation.alarms, Terms().links, lambda: evaluation.webhook),
        }  # fmt: skip
        self.changes: Mapping[str, Change] = {
            **statistics.list_changes(), **changed, **noted, **make_feedback(answers, answered.flush, clock, meter, sources.rate),
        }  # fmt: skip

    @property
    def sinks(self) -> tuple[Sink, ...]:
        """The readers of records that there are now."""
        return (*self._sinks, *self._lines)

    def prepare(self, settings: Settings) -> Outlook:
        """Return what other settings come to, which changes nothing yet. Reads files: waits for disks. Raises ConfigError."""
        address = read_webhook(settings.alerts)
        return Outlook(settings, address, self._evaluation.webhook if address == self._address else self._make_webhook(address))

    def adopt(self, outlook: Outlook) -> None:
        """Go by other settings from now on; what is known stays. `sinks` are others afterwards."""
        settings, self._address, webhook = outlook
        before, self._settings = self._settings, settings
        looks_up = settings.features.cache
        for flush in self._flushes:  # what has ended counts by the settings that it ended under
            flush()
        self._window.adopt(looks_up=looks_up)
        if self._hours is not None:
            self._hours.adopt(looks_up=looks_up)
        self._surroundings.adopt(looks_up)
        self._evaluation.adopt(webhook)
        self._trends.adopt(settings)
        self._live.adopt(_list_pools(settings))
        if settings.log.calls is not before.log.calls:
            self._lines = self._make_lines(settings.log.calls)
        if settings.log.level != before.log.level:  # else what an operator has set since stays
            self._log.set_level(settings.log.level)

    def _make_webhook(self, address: tuple[str, str | None] | None) -> Webhook | None:
        return None if address is None else Webhook(*address, self._log, self._draw)

    def _make_lines(self, calls: Calls) -> tuple[Sink, ...]:
        return () if calls is Calls.OFF else (Guarded("lines", CallLines(calls, self._log), self._meter, self._log),)

    def start(self) -> None:
        """Look from now on at what is not told by records, and keep what is to outlast this process.

        Raises ConfigError where the journal is another's.
        """
        self._health.start()
        self._evaluation.start()
        if self._journal is not None:
            self._journal.start()

    async def stop(self, timeout_s: float = 3.0) -> None:
        """Keep what there is, once no more calls come, for at most `timeout_s`."""
        ends = [self._evaluation.stop(timeout_s)]
        if self._journal is not None:
            ends.append(self._journal.stop(timeout_s))
        await end_together(ends, timeout_s + _MARGIN_S)

    def describe_journal(self) -> JournalState | None:
        """Return how the journal is; None where there is none."""
        return None if self._journal is None else self._journal.describe()


def _list_pools(settings: Settings) -> dict[str, tuple[str, ...]]:
    """Return who belongs to each pool."""
    return {name: pool.upstreams for name, pool in settings.pools.items()}
