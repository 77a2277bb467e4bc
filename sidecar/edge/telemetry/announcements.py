"""What an operator should read of upstreams that fail and come back."""

from typing import Final

from sidecar import catalogue
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.resilience import Transition

_EVENTS: Final = {
    "open": catalogue.BREAKER_OPENED,
    "half_open": catalogue.BREAKER_HALF_OPENED,
    "closed": catalogue.BREAKER_CLOSED,
}


class Announcements:
    """Writes a line for each change of a circuit breaker, and for each change of an upstream's health."""

    def __init__(self, log: EventLog) -> None:
        self._log = log
        self._unhealthy: set[str] = set()

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
