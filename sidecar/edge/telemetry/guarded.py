"""A sink that cannot hurt the path, and may take its records several at a time."""

from typing import Final

from sidecar import catalogue
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Record
from sidecar.ports import Sink

AT_ONCE: Final = 1


class Guarded:
    """Shows records to a sink; what it raises is counted and logged, and costs nothing but that record.

    `together`: so many records are kept and shown in a row. The same work done for one record
    between two calls costs about twice as much, because by then the processor has forgotten it.
    Whoever reads what the sink adds up calls `flush` before.
    """

    def __init__(self, name: str, sink: Sink, meter: Meter, log: EventLog, *, together: int = AT_ONCE) -> None:
        self._name = name
        self._observe = sink.observe
        self._failures = meter.sink_failures(name)
        self._log = log
        self._together = together
        self._kept: list[Record] = []

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended (ports.Sink)."""
        if self._together == AT_ONCE:
            self._show(record)
            return
        self._kept.append(record)
        if len(self._kept) >= self._together:
            self.flush()

    def flush(self) -> None:
        """Show what is kept to the sink."""
        kept, self._kept = self._kept, []
        for record in kept:
            self._show(record)

    def _show(self, record: Record) -> None:
        try:
            self._observe(record)
        except Exception as error:
            self._failures.add(1)
            self._log.write(catalogue.SINK_FAILED, sink=self._name, reason=type(error).__name__)
