"""The last calls, the last that failed, and the last decisions: kept for whoever asks (ports.Sink)."""

from collections import deque
from collections.abc import Iterator
from typing import Final

from msgspec.structs import replace

from sidecar.decision import Decision
from sidecar.exchange import Ending, Record, Seen

CALLS_MAX: Final = 200
FAILED_MAX: Final = 100
DECISIONS_MAX: Final = 200
# Of calls that simply went well so many are kept a second, after a burst of as many as there is room for: at thousands a second
# the last ones would tell of the last blink, and what is kept of each is memory that no call after it finds warm.
ORDINARY_PER_S: Final = 100.0
_PATH_CHARS_MAX: Final = 512
_COMPLETED, _CLIENT_GONE = Ending.COMPLETED, Ending.CLIENT_GONE


class Recent:
    """Keeps so many records and no more, and of none what was said."""

    def __init__(self) -> None:
        self._calls: deque[Record] = deque(maxlen=CALLS_MAX)
        self._failed: deque[Record] = deque(maxlen=FAILED_MAX)  # apart: a busy hour pushes no failure out
        self._credit = float(CALLS_MAX)
        self._credited_at = 0.0
        self._decisions: deque[tuple[Record, Decision, float]] = deque(maxlen=DECISIONS_MAX)

    def observe(self, record: Record) -> None:
        """Keep one exchange that has ended, unless it is one of very many that went well."""
        if record.ending is _COMPLETED and _is_ordinary(record) and not self._spares(record.ended):
            return
        if record.said is not None or record.seen.running is not None or len(record.path) > _PATH_CHARS_MAX:
            record = lighten(record)
        self._calls.append(record)
        ending = record.ending
        if ending is not _COMPLETED and ending is not _CLIENT_GONE:
            self._failed.append(record)
        if record.pool:
            self._decisions.extend((record, decision, taken) for decision, taken in _list_decisions(record))

    def _spares(self, now: float) -> bool:
        """Whether there is room for another ordinary call."""
        credit = self._credit + (now - self._credited_at) * ORDINARY_PER_S
        self._credited_at = now
        if credit < 1.0:
            self._credit = credit
            return False
        self._credit = min(credit, CALLS_MAX) - 1.0
        return True

    @property
    def calls(self) -> list[Record]:
        """The last ones, the newest first."""
        return list(reversed(self._calls))

    @property
    def failed(self) -> list[Record]:
        """The last that neither came to their end nor were left by their caller, the newest first."""
        return list(reversed(self._failed))

    @property
    def decisions(self) -> list[tuple[Record, Decision, float]]:
        """The last decisions of pools, each with its call and when it was taken, the newest first."""
        return list(reversed(self._decisions))


def _is_ordinary(record: Record) -> bool:
    """Whether there was nothing to choose and nothing to try again: one upstream answered at once, or a kept answer did."""
    attempts = len(record.attempts)
    return attempts == 0 or (attempts == 1 and not record.pool)


def _list_decisions(record: Record) -> Iterator[tuple[Decision, float]]:
    for attempt in record.attempts:
        if attempt.decision is not None:
            yield attempt.decision, attempt.started
    if record.decision is not None:
        yield record.decision, record.ended


def lighten(record: Record) -> Record:
    """Return a record without what may be large: what was said, what was read last, a path that goes on and on."""
    told = record.seen
    seen = Seen()
    seen.model, seen.first_token, seen.last_chunk, seen.replayed = told.model, told.first_token, told.last_chunk, told.replayed
    return replace(record, said=None, seen=seen, path=record.path[:_PATH_CHARS_MAX])
