"""The calls that the journal has not been given yet, by the hour of UTC in which they ended."""

from collections.abc import Callable, Sequence
from typing import Final

from sidecar.core.reckon.snapshots import HOUR_S, Snapshot, name_whose
from sidecar.exchange import Record

HOURS_MAX: Final = 48  # that wait for a disk on which nothing can be written
_HOUR_NS: Final = HOUR_S * 10**9


class Hours:
    """Reads each sealed record once (ports.Sink) and adds it up until it is taken.

    A call belongs to the hour in which it ended, by the wall clock as it stood when the call was accepted: whatever that clock does,
    each call is in one hour.
    """

    def __init__(self, admit_model: Callable[[str], str] = lambda model: model, *, looks_up: bool = True) -> None:
        """`admit_model`: the name under which a model is counted. `looks_up`: whether answers are kept, so that one can be found."""
        self._admit_model = admit_model
        self._looks_up = looks_up
        self._hours: dict[int, Snapshot] = {}

    def adopt(self, *, looks_up: bool) -> None:
        """Count calls from now on as it is with answers kept, or without."""
        self._looks_up = looks_up

    def observe(self, record: Record) -> None:
        """Take note of one exchange that has ended."""
        number = (record.accepted_ns + int((record.ended - record.accepted) * 1e9)) // _HOUR_NS
        hour = self._hours.get(number)
        if hour is None:
            hour = self._hours[number] = Snapshot(number * HOUR_S, (number + 1) * HOUR_S)
        hour.find(name_whose(record.provider, self._admit_model(record.asked.model or ""))).add(record, looks_up=self._looks_up)

    def take(self) -> Sequence[Snapshot]:
        """Return what came since it was last asked, the oldest hour first, and forget it."""
        hours, self._hours = self._hours, {}
        return [hours[number] for number in sorted(hours)]

    def give_up(self) -> int:
        """Forget the oldest hours where nobody took them for too long; return how many calls that were."""
        given_up = 0
        while len(self._hours) > HOURS_MAX:
            given_up += self._hours.pop(min(self._hours)).total.requests
        return given_up
