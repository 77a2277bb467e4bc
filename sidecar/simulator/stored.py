"""Responses that the provider keeps for their callers to fetch."""

from collections import OrderedDict
from typing import NamedTuple

from sidecar.simulator.plan import Plan


class Stored(NamedTuple):
    """One response and the moment from which it is ready, in seconds on the monotonic clock."""

    plan: Plan
    ready_s: float


class ResponseStore:
    """The last responses by id, bounded."""

    def __init__(self, responses_max: int = 10_000) -> None:
        self._responses_max = responses_max
        self._stored: OrderedDict[str, Stored] = OrderedDict()

    def keep(self, name: str, plan: Plan, ready_s: float) -> None:
        """Keep a response; the oldest makes room."""
        self._stored[name] = Stored(plan, ready_s)
        if len(self._stored) > self._responses_max:
            self._stored.popitem(last=False)

    def find(self, name: str) -> Stored | None:
        """Return a response by its id."""
        return self._stored.get(name)
