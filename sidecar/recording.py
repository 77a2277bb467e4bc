"""Who reads records whatever the settings are: metrics, traces, captured content."""

from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING, Final

from sidecar import __version__
from sidecar.config import Capture, Settings
from sidecar.core.identify.router import name_route
from sidecar.edge.tasks import end_together
from sidecar.edge.telemetry.complaints import Complaints
from sidecar.edge.telemetry.guarded import Guarded
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.tracer import Tracer, start_tracing
from sidecar.exchange import Said
from sidecar.ports import Sink

if TYPE_CHECKING:
    from sidecar.core.observe.contents.contract import Content as Presentable
    from sidecar.edge.telemetry.content_writer import ContentWriter

_MARGIN_S: Final = 0.1  # for what gives up by itself to say so
_COUNTED_TOGETHER: Final = 32  # records: counted in a row they cost half as much, and 0.2 ms at a time


class Recording:
    """They, by name; None where there is none. `others`: further readers, which must not raise."""

    def __init__(self, meter: Meter, log: EventLog, others: Sequence[Sink]) -> None:
        self._meter = meter
        self._log = log
        self.sinks: tuple[Sink, ...] = tuple(others)
        self.tracer: Tracer | None = None
        self._writer: ContentWriter | None = None
        self._metrics = Guarded("metrics", meter, meter, log, together=_COUNTED_TOGETHER)

    def start(self, settings: Settings, environ: Mapping[str, str]) -> None:
        """Have records counted, exported and written from now on. Raises ConfigError."""
        meter, log, prefixes = self._meter, self._log, _list_prefixes(settings)
        compose = None
        if settings.content.capture is not Capture.OFF:
            compose = self._start_capture(settings)
        self.tracer = start_tracing(settings, prefixes, environ, meter, log, __version__, compose)
        meter.families.create_routes(prefixes)
        meter.before_scrape(self.flush)
        sinks: list[Sink] = [Complaints(log), self._metrics, *self.sinks]
        if self.tracer is not None:
            sinks.append(Guarded("traces", self.tracer, meter, log))
        if self._writer is not None:
            sinks.append(Guarded("content", self._writer, meter, log))
        self.sinks = tuple(sinks)

    def flush(self) -> None:
        """Have every call that has ended counted by the settings that it ended under."""
        self._metrics.flush()

    def adopt(self, settings: Settings, now_ns: int) -> None:
        """Tell calls that begin from `now_ns` (Unix time) on by other upstreams and routes."""
        if self.tracer is not None:
            self.tracer.adopt(settings.upstreams, _list_prefixes(settings), now_ns)

    async def stop(self, timeout_s: float = 3.0) -> None:
        """Have what is left exported and written, within so many seconds."""
        ends = [part.shutdown(timeout_s) for part in (self.tracer, self._writer) if part is not None]
        await end_together(ends, timeout_s + _MARGIN_S)

    def _start_capture(self, settings: Settings) -> "Callable[[Said], Presentable] | None":
        """Have content written to its file, or return what makes it presentable for spans."""
        # What is needed for it stays out of the memory of a sidecar that captures nothing.
        from sidecar.edge.telemetry.content_writer import start_content
        from sidecar.edge.telemetry.patterns import make_composer

        content = settings.content
        withheld = {pattern.name: self._meter.content_withheld(pattern.name) for pattern in content.redact.patterns}
        composer = make_composer(content, settings.limits, lambda name: withheld[name].add(1))
        if content.capture is Capture.FILE:
            self._writer = start_content(content, composer, self._meter, self._log)
            return None
        return composer.compose


def _list_prefixes(settings: Settings) -> dict[str, str]:
    """Return each route's prefix by its name."""
    return {name_route(route): route.prefix for route in settings.routes}
