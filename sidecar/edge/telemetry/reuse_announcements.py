"""What an operator should read of the store that sidecars share, and of prompts that are asked before anybody does."""

from sidecar import catalogue
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.reuse import Reuse


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
    """Writes a line for what is wrong with the file, and one for each time it was gone through."""

    def __init__(self, log: EventLog) -> None:
        self._log = log

    def note_bad_line(self, number: int, problem: str) -> None:
        """Line `number` cannot be used; 0 is the file as a whole. `problem` quotes nothing of it."""
        self._log.write(catalogue.WARMING_LINE, line=number or None, problem=problem)

    def note_ended(self, prompts: int) -> None:
        """So many prompts were asked."""
        self._log.write(catalogue.WARMED, prompts=prompts)
