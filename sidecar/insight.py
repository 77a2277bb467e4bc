"""What a sidecar knows of its own calls without anybody scraping it: statistics of the last hour, the last calls, what is told of them."""

from collections.abc import Callable, Mapping, Sequence

from sidecar.config import Alerts, Settings
from sidecar.core.admit.spending_sums import Balance
from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.alarm_rules import Situation
from sidecar.core.reckon.lately import Lately
from sidecar.core.reckon.window import Window
from sidecar.edge.evaluation import Evaluation
from sidecar.edge.files import read_secret, read_webhook_url
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.alerts import make_alerts
from sidecar.edge.inbound.api import make_history
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.memory import Memory
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.labels import LabelBounds
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.recent import Recent
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.ports import Clock, Sink
from sidecar.thresholds import Terms

_COUNTED_TOGETHER = 32  # records: counted in a row they cost half as much, and 0.1 ms at a time


class Insight:
    """The readers of records that keep what they read, and what the admin port tells of it. Raises ConfigError for files of secrets."""

    def __init__(
        self, settings: Settings, clock: Clock, meter: Meter, log: EventLog, describe_cache: Callable[[], Mapping[str, tuple[int, int]]],
        describe_upstreams: Callable[[float], Sequence[UpstreamView]],
        describe_spending: Callable[[], tuple[Sequence[Balance], frozenset[str]]], draw: Callable[[], float],
    ) -> None:  # fmt: skip
        """`describe_cache`: entries and bytes of each level of the cache in this process.

        `describe_spending`: all budgets, and whose spending is stopped. `draw`: a number of 0 to 1.
        """
        bounds = LabelBounds(settings.limits.labels)
        window = Window(clock.now, lambda model: bounds.admit("model", model)[0])
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        recent = Recent()
        statistics = Statistics(window, guarded.flush, clock, describe_cache)
        self._describe_upstreams = describe_upstreams
        self._describe_spending = describe_spending
        self._has_cache = settings.features.cache
        self._memory = Memory()
        webhook = make_webhook(settings.alerts, log, draw)
        self._evaluation = Evaluation(window, guarded.flush, self._situate, clock, log, Terms(), webhook)
        alerts = make_alerts(self._evaluation.alarms, Terms().links, webhook)
        self.sinks: tuple[Sink, ...] = (guarded, recent)
        self.paths: Mapping[str, Respond] = {**statistics.list_paths(), **make_history(recent), **alerts}
        self.changes: Mapping[str, Change] = statistics.list_changes()

    def start(self) -> None:
        """Begin with what is done now and then."""
        self._evaluation.start()

    async def stop(self) -> None:
        """End what runs by itself."""
        await self._evaluation.stop()

    def _situate(self, lately: Lately, now: float) -> Situation:
        balances, stopped = self._describe_spending()
        used, limit = self._memory.read_rss(), self._memory.read_limit()
        memory_used = None if used is None or not limit else used / limit
        return Situation(lately, self._describe_upstreams(now), balances, stopped, self._has_cache, memory_used)


def make_webhook(alerts: Alerts, log: EventLog, draw: Callable[[], float]) -> Webhook | None:
    """Return who is told of alerts; None where nobody is. Raises ConfigError."""
    if alerts.webhook_file is None:
        return None
    url = _read(read_webhook_url, alerts.webhook_file, "alerts.webhook_file")
    token = None if alerts.token_file is None else _read(read_secret, alerts.token_file, "alerts.token_file")
    return Webhook(url, token, log, draw)


def _read(read: Callable[[str], str], path: str, setting: str) -> str:
    try:
        return read(path)
    except ValueError as error:
        raise ConfigError("start", [ConfigProblem(setting, str(error), "a readable file with one line in it")]) from None
