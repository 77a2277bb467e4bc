"""Calls for which no provider was asked, by the sidecar's own records: they were answered with another call's answer.

Providers know nothing of them, so that they have to be told apart before accounts can be compared. Metrics count them among the
requests, and not by provider and model.
"""

from sidecar.catalogue import STALE
from sidecar.exchange import Record
from sidecar.simulator.accounts import UNASKED, Endings


class Borrowed:
    """Counts them (ports.Sink)."""

    def __init__(self) -> None:
        self._endings: dict[tuple[str, str], dict[str, int]] = {}

    @property
    def endings(self) -> Endings:
        """How they ended, by provider and model."""
        return self._endings

    def observe(self, record: Record) -> None:
        """One more call has ended (ports.Sink)."""
        if record.cache is None or record.ending in UNASKED:
            return
        if not record.attempts:
            self._add(record, record.ending, 1)
        elif record.cache == STALE:  # somebody was asked, and answered otherwise than the caller was told
            self._add(record, record.ending, 1)
            self._add(record, record.attempts[-1].outcome, -1)

    def _add(self, record: Record, ending: str, count: int) -> None:
        endings = self._endings.setdefault((record.provider, record.asked.model or ""), {})
        endings[ending] = endings.get(ending, 0) + count
