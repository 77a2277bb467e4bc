"""What goes wrong in single exchanges and an operator should read of (ports.Sink)."""

from sidecar import catalogue
from sidecar.edge.telemetry.logs import EventLog
from sidecar.exchange import Record


class Complaints:
    """Writes a line for an exchange whose answer could not be read because reading it failed."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def observe(self, record: Record) -> None:
        """Write a line if there is something to complain of."""
        if record.observer_failed:
            self._log.write(catalogue.OBSERVER_FAILED, record.dialect, request=record.id, dialect=record.dialect, upstream=record.upstream)
