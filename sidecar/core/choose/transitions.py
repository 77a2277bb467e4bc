"""How a circuit breaker moves: the states, what can happen in them, and the one table of what follows.

The breaker moves by this table and by nothing else, and the diagram in the documentation is drawn from it.
"""

from collections.abc import Mapping
from enum import IntEnum, StrEnum
from typing import Final, NamedTuple


class State(IntEnum):
    """What a breaker lets through. The higher the worse, so that the worst of several is their maximum."""

    CLOSED = 0  # everything
    HALF_OPEN = 1  # a few calls at once, by which it finds out
    OPEN = 2  # nothing

    @property
    def label(self) -> str:
        """How metrics, spans and logs call it."""
        return self.name.lower()


class Event(StrEnum):
    """What can move a breaker."""

    CONSECUTIVE_FAILURES = "consecutive_failures"
    ERROR_SHARE = "error_share"
    SLOW_SHARE = "slow_share"
    OPEN_TIME_OVER = "open_time_over"  # and somebody asks for a permit
    PROBE_SUCCEEDED = "probe_succeeded"  # an active one
    PROBE_FAILED = "probe_failed"  # a call that was let through while half-open
    ENOUGH_SUCCESSES = "enough_successes"
    FORCED_OPEN = "forced_open"
    FORCED_CLOSED = "forced_closed"  # or disabled
    RELEASED = "released"  # an operator leaves it to itself again


class Move(NamedTuple):
    """What an event leads to, and the reason that is told."""

    after: State
    reason: str


class Transition(NamedTuple):
    """A breaker has moved."""

    at: float  # seconds, monotonic
    upstream: str
    group: str
    before: State
    after: State
    reason: str  # one of REASONS


TRANSITIONS: Final[Mapping[tuple[State, Event], Move]] = {
    (State.CLOSED, Event.CONSECUTIVE_FAILURES): Move(State.OPEN, "consecutive_failures"),
    (State.CLOSED, Event.ERROR_SHARE): Move(State.OPEN, "error_share"),
    (State.CLOSED, Event.SLOW_SHARE): Move(State.OPEN, "slow_share"),
    (State.CLOSED, Event.FORCED_OPEN): Move(State.OPEN, "forced"),
    (State.OPEN, Event.OPEN_TIME_OVER): Move(State.HALF_OPEN, "open_time_over"),
    (State.OPEN, Event.PROBE_SUCCEEDED): Move(State.HALF_OPEN, "probe_succeeded"),
    (State.OPEN, Event.FORCED_CLOSED): Move(State.CLOSED, "forced"),
    (State.OPEN, Event.RELEASED): Move(State.CLOSED, "released"),
    (State.HALF_OPEN, Event.ENOUGH_SUCCESSES): Move(State.CLOSED, "enough_successes"),
    (State.HALF_OPEN, Event.PROBE_FAILED): Move(State.OPEN, "probe_failed"),
    (State.HALF_OPEN, Event.SLOW_SHARE): Move(State.OPEN, "slow_share"),
    (State.HALF_OPEN, Event.FORCED_OPEN): Move(State.OPEN, "forced"),
    (State.HALF_OPEN, Event.FORCED_CLOSED): Move(State.CLOSED, "forced"),
}

REASONS: Final = tuple(dict.fromkeys(move.reason for move in TRANSITIONS.values()))


def draw_diagram() -> str:
    """Return the table as a Mermaid state diagram: one arrow for each pair of states, with every reason on it."""
    arrows: dict[tuple[State, State], list[str]] = {}
    for (before, _), move in TRANSITIONS.items():
        arrows.setdefault((before, move.after), []).append(move.reason)
    lines = [f"    {before.label} --> {after.label}: {', '.join(reasons)}" for (before, after), reasons in arrows.items()]
    return "\n".join(("stateDiagram-v2", f"    [*] --> {State.CLOSED.label}", *lines, ""))
