"""What came of loading the configuration anew, as lines of the log and in the scrape."""

from typing import Final

from sidecar import catalogue
from sidecar.core.settings.changes import Outcome
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter

_NS: Final = 1e9
_LINES_MAX: Final = 20  # of problems; the answer of POST /-/reload and `llm-sidecar check` have them all


class ReloadAnnouncements:
    """Tells of each attempt."""

    def __init__(self, meter: Meter, log: EventLog) -> None:
        self._meter = meter
        self._log = log

    def note_start(self, at_ns: int) -> None:
        """What was loaded at the start is in force. `at_ns`: since the epoch."""
        self._meter.note_reload(successful=True, at_s=at_ns / _NS)

    def tell(self, outcome: Outcome, trigger: str, at_ns: int) -> None:
        """Tell what came of an attempt, and of what is there to be done. `trigger`: who wanted it."""
        self._meter.note_reload(successful=not outcome.problems, at_s=at_ns / _NS)
        if outcome.problems:
            self.tell_problems(outcome, trigger)
            return
        changed, files = ", ".join(outcome.changed), ", ".join(outcome.files)
        self._log.write(
            catalogue.RELOADED, config=outcome.source, trigger=trigger, changes=len(outcome.changed) + len(outcome.files),
            changed=changed or None, files=files or None,
        )  # fmt: skip
        if outcome.held:
            self._log.write(catalogue.RESTART_NEEDED, key=",".join(outcome.held), settings=", ".join(outcome.held))

    def tell_problems(self, outcome: Outcome, trigger: str) -> None:
        """Write a line for each problem of what is on disk."""
        for problem in outcome.problems[:_LINES_MAX]:
            self._log.write(
                catalogue.REFUSED, config=outcome.source, trigger=trigger, path=problem.path, line=problem.line, found=problem.found,
                allowed=problem.allowed,
            )  # fmt: skip
        if len(outcome.problems) > _LINES_MAX:
            self._log.write(catalogue.REFUSED, config=outcome.source, trigger=trigger, more=len(outcome.problems) - _LINES_MAX)
