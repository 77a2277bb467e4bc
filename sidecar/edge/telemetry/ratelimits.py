"""How much of their rate limits the providers say is left: gauges, brought up to date by a scrape."""

from collections.abc import Collection, Sequence

from sidecar.core.attempt.ratelimits import read_levels
from sidecar.edge.telemetry.families import Families


class RateLimits:
    """The last telling of each upstream. A call only leaves its fields here; they are read when somebody asks."""

    def __init__(self, families: Families) -> None:
        self._remaining = families.ratelimit_remaining
        self._limit = families.ratelimit_limit
        self._last: dict[str, Sequence[bytes]] = {}
        self._shown: Collection[str] | None = None

    def adopt(self, upstreams: Collection[str], kept: Collection[str]) -> None:
        """Show these `upstreams` only, whatever is told of others yet; of those that are not what they were, nothing told before."""
        self._shown = frozenset(upstreams)
        self._last = {upstream: lines for upstream, lines in self._last.items() if upstream in kept}
        for family in (self._remaining, self._limit):
            family.keep(lambda values: values[0] in kept)

    def note(self, upstream: str, lines: Sequence[bytes]) -> None:
        """`lines`, as `Name: value`, came from `upstream` after all that were noted before."""
        last = self._last.get(upstream)
        if last is not None and len(last) > len(lines):  # it may have told of limits that this answer does not name
            self._show(upstream, last)
        self._last[upstream] = lines

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        for upstream, lines in self._last.items():
            self._show(upstream, lines)
        self._last.clear()

    def _show(self, upstream: str, lines: Sequence[bytes]) -> None:
        if self._shown is not None and upstream not in self._shown:
            return
        for level in read_levels(lines):
            family = self._remaining if level.is_remaining else self._limit
            family.child(upstream, level.kind).set(level.value)
