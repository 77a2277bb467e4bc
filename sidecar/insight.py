"""What a sidecar knows of its own calls without anybody scraping it: statistics of the last hour, the last calls, what is told of them."""

from collections.abc import Callable, Mapping, Sequence

from sidecar.config import Settings
from sidecar.core.choose.views import UpstreamView
from sidecar.core.reckon.window import Window
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import make_history
from sidecar.edge.inbound.live import Live
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.labels import LabelBounds
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.recent import Recent
from sidecar.ports import Clock, Sink

_COUNTED_TOGETHER = 32  # records: counted in a row they cost half as much, and 0.1 ms at a time


class Insight:
    """The readers of records that keep what they read, and what the admin port tells of it."""

    def __init__(
        self, settings: Settings, clock: Clock, meter: Meter, log: EventLog, describe_cache: Callable[[], Mapping[str, tuple[int, int]]],
        describe_upstreams: Callable[[float], Sequence[UpstreamView]],
    ) -> None:  # fmt: skip
        """`describe_cache`: entries and bytes of each level of the cache in this process; `describe_upstreams`: all, at a moment."""
        bounds = LabelBounds(settings.limits.labels)
        window = Window(clock.now, lambda model: bounds.admit("model", model)[0])
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        recent = Recent()
        statistics = Statistics(window, guarded.flush, clock, describe_cache)
        pools = {name: pool.upstreams for name, pool in settings.pools.items()}
        live = Live(window, guarded.flush, statistics.show, recent, clock, describe_upstreams, pools, describe_cache)
        self.sinks: tuple[Sink, ...] = (guarded, recent)
        self.paths: Mapping[str, Respond] = {**statistics.list_paths(), **live.list_paths(), **make_history(recent)}
        self.changes: Mapping[str, Change] = statistics.list_changes()
