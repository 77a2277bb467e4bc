"""What an operator should read of the store that sidecars share, and of prompts that are asked before anybody does."""

from typing import Final

from sidecar import catalogue
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.reuse import Reuse

BAD_LINES_MAX: Final = 20  # that are told one by one; the sum is told at the end


class SharedAnnouncements:
    """Counts what becomes of commands to the shared store, and writes a line when it goes away and when it is back."""

    def __init__(self, reuse: Reuse, log: EventLog) -> None:
        self.note_shared = reuse.note_shared
        self.note_damaged = reuse.note_damaged
        self.note_put_dropped = reuse.note_put_dropped
        self._show_state = reuse.note_state
        self._log = log
        self._is_up = True

    def note_state(self, is_up: bool) -> None:
        """Show whether the store answers: written where that is news."""
        self._show_state(is_up)
        if is_up != self._is_up:
            self._is_up = is_up
            self._log.write(catalogue.SHARED_BACK if is_up else catalogue.SHARED_AWAY)


class WarmingAnnouncements:
    """Writes a line for what is wrong with the file, as long as that is not too much, and one for each time it was gone through."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._bad_lines = 0

    def note_bad_line(self, number: int, reason: str) -> None:
        """Line `number`, the first is 1, cannot be used. `reason` quotes nothing of it."""
        self._bad_lines += 1
        if self._bad_lines <= BAD_LINES_MAX:
            self._log.write(catalogue.WARMING_LINE, str(number), line=number, reason=reason)

    def note_ended(self, succeeded: int, failed: int) -> None:
        """All prompts were asked once: so many of them with success."""
        self._log.write(catalogue.WARMED, succeeded=succeeded, failed=failed, bad_lines=self._bad_lines)
        self._bad_lines = 0
