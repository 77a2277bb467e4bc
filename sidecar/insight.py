"""What a sidecar knows of its own calls without anybody scraping it: statistics of the last hour, the last calls, what is told of them."""

from collections.abc import Callable, Mapping

from sidecar.config import Calls, Settings
from sidecar.core.reckon.feedback import Answers
from sidecar.core.reckon.window import Window
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.inbound.api import make_history
from sidecar.edge.inbound.feedback import make_events, make_feedback
from sidecar.edge.inbound.log_level import make_log_level
from sidecar.edge.inbound.statistics import Statistics
from sidecar.edge.telemetry.call_lines import CallLines
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
        rate: Callable[[str, float, float], None],
    ) -> None:  # fmt: skip
        """`describe_cache`: entries and bytes of each level of the cache in this process.

        `rate`: is told of an upstream, how good one of its answers was, and when that was said.
        """
        bounds = LabelBounds(settings.limits.labels)
        window = Window(clock.now, lambda model: bounds.admit("model", model)[0])
        guarded = Guarded("statistics", window, meter, log, together=_COUNTED_TOGETHER)
        recent = Recent()
        statistics = Statistics(window, guarded.flush, clock, describe_cache)
        answers = Answers()
        answered = Guarded("feedback", answers, meter, log, together=_COUNTED_TOGETHER)
        sinks: list[Sink] = [guarded, recent, answered]
        if settings.log.calls is not Calls.OFF:
            sinks.append(Guarded("lines", CallLines(settings.log.calls, log), meter, log))
        told, changed = make_log_level(log)
        events, noted = make_events(clock, meter, log)
        self.sinks: tuple[Sink, ...] = tuple(sinks)
        self.paths: Mapping[str, Respond] = {**statistics.list_paths(), **make_history(recent), **told, **events}
        self.changes: Mapping[str, Change] = {
            **statistics.list_changes(), **changed, **noted, **make_feedback(answers, answered.flush, clock, meter, rate),
        }  # fmt: skip
