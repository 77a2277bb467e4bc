"""What an operator should read of upstreams that fail and come back."""

from typing import Final

from sidecar import catalogue
from sidecar.core.reckon.access import ADMIN_REMEDY, WAY_OUT, Reach, tell_danger
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.resilience import Transition

_EVENTS: Final = {
    "open": catalogue.BREAKER_OPENED,
    "half_open": catalogue.BREAKER_HALF_OPENED,
    "closed": catalogue.BREAKER_CLOSED,
}


def announce_reach(log: EventLog, reach: Reach) -> None:
    """Write from where ports can be reached, where that is more than meets the eye. For once, at the start."""
    if reach.data_url is not None and not reach.is_meant:
        log.write(catalogue.DATA_PORT_OPEN, data=reach.data_url, reason=tell_danger(reach), remedy=WAY_OUT)
    if reach.admin_url is not None and not reach.is_guarded:
        log.write(catalogue.ADMIN_PORT_OPEN, admin=reach.admin_url, remedy=ADMIN_REMEDY)


class Announcements:
    """Writes a line for each change of a circuit breaker, and for each change of an upstream's health."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._unhealthy: set[str] = set()

    def adopt(self, probed: frozenset[str]) -> None:
        """Forget who was unhealthy, of all but these."""
        self._unhealthy &= probed

    def note_transition(self, transition: Transition) -> None:
        """Write what a circuit breaker did, and why."""
        after = transition.after.label
        fields = {"from": transition.before.label, "to": after}
        self._log.write(  # by reason: what an operator did is not lost among what happened by itself
            _EVENTS[after], f"{transition.upstream} {transition.group} {transition.reason}",
            upstream=transition.upstream, group=transition.group, **fields, reason=transition.reason,
        )  # fmt: skip

    def note_health(self, upstream: str, healthy: bool, at: float) -> None:
        """`upstream` was found `healthy` or not `at` a moment: written where that is news. Upstreams begin as healthy ones."""
        del at  # a line has its own time
        if healthy != (upstream in self._unhealthy):
            return
        if healthy:
            self._unhealthy.discard(upstream)
        else:
            self._unhealthy.add(upstream)
        self._log.write(catalogue.FOUND_HEALTHY if healthy else catalogue.FOUND_UNHEALTHY, upstream, upstream=upstream)
