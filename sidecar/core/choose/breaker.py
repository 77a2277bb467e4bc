"""A circuit breaker: keeps calls from an upstream that fails, and finds out when it no longer does.

Closed, it opens on either of two signs: failures in a row notice an upstream that is gone within a few calls, and the share of
failures in a sliding window one that fails only at times. Slow answers have a share of their own. A success never opens it, even
if it is the one that completes the volume that shares are judged by.

Open, it lets nothing through, for a time that doubles from one opening to the next (up to `open_max`, with up to a tenth on top,
so that many sidecars do not come back as one). For each `open_max` that it has been closed, one doubling is forgotten.

Half-open, a few calls at once are let through. One failure opens it again; enough successes close it, unless as many of them were
slow as would open it. A call that does not come back within `open_max` gives its place to another; what becomes of it still counts.

Results belong to the spell in which their permit was given (its era): what comes later, in another state, changes nothing.
"""

from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar.config import Breaker as BreakerSettings
from sidecar.config import Force
from sidecar.core.choose.transitions import TRANSITIONS, Event, State, Transition
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.choose.window import Window

JITTER: Final = 0.1  # of an open time, at most, on top of it
_DOUBLINGS_MAX: Final = 64

_CLOSED, _HALF_OPEN, _OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN
_SUCCESS, _FAILURE, _IGNORED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.IGNORED


class Permit(NamedTuple):
    """Leave to make one call. Settled exactly once."""

    era: int  # the spell in which it was given
    is_probe: bool  # given while half-open
    number: int = 0  # of a probe: they come back in any order


class Counts(NamedTuple):
    """What a closed breaker judges by."""

    calls: int  # of the window, as are the next two
    failures: int
    slow: int
    consecutive: int  # failures in a row


# Of a disabled one: belongs to no era, so that its result changes nothing.
_UNMEASURED: Final = Permit(-1, False)
_EVENTS: Final = {
    Force.AUTO: Event.RELEASED,
    Force.OPEN: Event.FORCED_OPEN,
    Force.CLOSED: Event.FORCED_CLOSED,
    Force.DISABLED: Event.FORCED_CLOSED,
}


class Breaker:
    """One circuit breaker; it knows nothing of others.

    `draw` gives numbers in [0, 1). `publish` is told of each transition once, when it has happened.
    """

    __slots__ = (
        "_closed_at", "_consecutive", "_doublings_max", "_draw", "_era", "_issued", "_kept", "_openings", "_probes", "_publish",
        "_settings", "_slow", "_state", "_successes", "_until", "_window", "forced", "group", "upstream",
    )  # fmt: skip

    def __init__(
        self,
        upstream: str,
        group: str,
        settings: BreakerSettings,
        force: Force,
        draw: Callable[[], float],
        publish: Callable[[Transition], None],
    ) -> None:
        self.upstream = upstream
        self.group = group
        self.forced = force
        self._settings = settings
        self._draw = draw
        self._publish = publish
        self._window = Window(settings.window)
        self._probes: dict[int, float] = {}  # when each was given, oldest first
        self._issued = 0
        self._era = 0
        self._openings = 0  # of its own, that are not yet forgotten
        self._doublings_max = _count_doublings(settings.open, settings.open_max)
        self._closed_at = 0.0
        self._until = 0.0
        self._enter(_OPEN if force is Force.OPEN else _CLOSED)

    def adopt(self, settings: BreakerSettings, now: float) -> None:
        """Judge by other settings from now on. The state stays, and what was counted; nobody is kept waiting for longer than they say."""
        self._settings = settings
        self._window.adopt(settings.window, now)
        self._doublings_max = _count_doublings(settings.open, settings.open_max)
        self._openings = min(self._openings, self._doublings_max)
        if self.forced is Force.AUTO:
            self._until = min(self._until, now + settings.open_max * (1.0 + JITTER))

    def retire(self) -> None:
        """Tell nobody any more: what it stands for is gone, and its name may be another's. Calls in progress may still settle."""
        self._publish = _tell_nobody

    def state(self, now: float) -> State:
        """Return the state as of `now`: an open one is half-open once its time is over. Changes nothing."""
        return _HALF_OPEN if self._state is _OPEN and now >= self._until else self._state

    def admits(self, now: float) -> bool:
        """Tell whether `acquire` would give a permit. Changes nothing."""
        if self._state is _CLOSED:
            return True
        if self._state is _OPEN:
            return now >= self._until
        if len(self._probes) < self._settings.probes:
            return True
        # All of them are looked at: there may have been more places than there are now.
        return sum(now < given + self._settings.open_max for given in self._probes.values()) < self._settings.probes

    def acquire(self, now: float) -> Permit | None:
        """Return leave to make a call, to be settled once; None where it is refused."""
        kept = self._kept
        return kept if kept is not None else self._acquire_probe(now)

    def settle(self, permit: Permit, verdict: Verdict, now: float) -> None:
        """Take a permit back, with what became of the call."""
        if permit.era != self._era:
            return
        if permit.is_probe:
            self._settle_probe(permit, verdict, now)
        elif verdict is _SUCCESS:
            self._consecutive = 0
            self._window.note_success(now)
        elif verdict is not _IGNORED:
            self._note_bad(verdict, now)

    def retry_after_s(self, now: float) -> float:
        """Return the seconds until an open one may be asked again; 0 where it may now, or is half-open.

        Nobody knows of one that is forced open: `open_max`.
        """
        if self._state is not _OPEN:
            return 0.0
        return self._settings.open_max if self.forced is Force.OPEN else max(0.0, self._until - now)

    def counts(self, now: float) -> Counts:
        """Return what was measured since the state was entered. Changes nothing."""
        return Counts(*self._window.read(now), self._consecutive)

    def note_probe(self, succeeded: bool, now: float) -> None:
        """Take notice of an active probe: a success brings an open one to half-open at once.

        A failure says no more than that the open time goes on: it is calls that close and open.
        """
        if succeeded and self.forced is Force.AUTO:
            self._move(Event.PROBE_SUCCEEDED, now)

    def force(self, force: Force, now: float) -> None:
        """Hold it in a state, whatever the results, or leave it to itself: closed, with all that was counted forgotten."""
        if force is self.forced:
            return
        self.forced = force
        self._openings = 0
        self._closed_at = now
        if not self._move(_EVENTS[force], now):
            self._enter(self._state)

    def _acquire_probe(self, now: float) -> Permit | None:
        if self._state is _OPEN:
            if now < self._until:
                return None
            self._move(Event.OPEN_TIME_OVER, now)
        while len(self._probes) >= self._settings.probes:
            if not self._is_oldest_overdue(now):
                return None
            del self._probes[next(iter(self._probes))]
        self._issued += 1
        self._probes[self._issued] = now
        return Permit(self._era, True, self._issued)

    def _is_oldest_overdue(self, now: float) -> bool:
        return now >= next(iter(self._probes.values())) + self._settings.open_max

    def _settle_probe(self, permit: Permit, verdict: Verdict, now: float) -> None:
        self._probes.pop(permit.number, None)  # no longer there: its place was given away
        if verdict is _FAILURE:
            self._move(Event.PROBE_FAILED, now)
        elif verdict is not _IGNORED:
            self._successes += 1
            self._slow += verdict is Verdict.SLOW
            if self._successes >= self._settings.successes:
                is_slow = self._slow > 0 and self._slow / self._successes >= self._settings.slow_share
                self._move(Event.SLOW_SHARE if is_slow else Event.ENOUGH_SUCCESSES, now)

    def _note_bad(self, verdict: Verdict, now: float) -> None:
        """Count a failure or a slow call of a closed one, and open it where that is one too many."""
        settings = self._settings
        if verdict is _FAILURE:
            self._consecutive += 1
            self._window.note_failure(now)
        else:
            self._consecutive = 0
            self._window.note_slow(now)
        if self.forced is not Force.AUTO:
            return
        calls, failures, slow = self._window.read(now)
        # Divided, not multiplied: only so is a share that equals the limit exactly at the limit in floating point, too.
        if verdict is _FAILURE:
            if self._consecutive >= settings.consecutive:
                self._move(Event.CONSECUTIVE_FAILURES, now)
            elif calls >= settings.calls_min and failures / calls >= settings.error_share:
                self._move(Event.ERROR_SHARE, now)
        elif calls >= settings.calls_min and slow / calls >= settings.slow_share:
            self._move(Event.SLOW_SHARE, now)

    def _move(self, event: Event, now: float) -> bool:
        """Go where the table leads; False where it leads nowhere."""
        move = TRANSITIONS.get((self._state, event))
        if move is None:
            return False
        before = self._state
        if move.after is _OPEN and self.forced is Force.AUTO:
            self._until = now + self._draw_open_s(before, now)
        elif move.after is _CLOSED:
            self._closed_at = now
        self._enter(move.after)
        self._publish(Transition(now, self.upstream, self.group, before, move.after, move.reason))
        return True

    def _enter(self, state: State) -> None:
        """Begin a new era, in which nothing has been counted."""
        self._state = state
        self._era += 1
        self._consecutive = self._successes = self._slow = 0
        self._window.clear()
        self._probes.clear()
        self._kept = None if state is not _CLOSED else _UNMEASURED if self.forced is Force.DISABLED else Permit(self._era, False)
        if self.forced is Force.OPEN:
            self._until = float("inf")

    def _draw_open_s(self, before: State, now: float) -> float:
        """Return how long to stay open, seconds: in [t, 1.1 t), where t doubles from `open` to `open_max`."""
        settings = self._settings
        if before is _CLOSED:
            self._openings = max(0, self._openings - int((now - self._closed_at) // settings.open_max))
        usual_s = max(settings.open, min(settings.open * 2.0**self._openings, settings.open_max))
        self._openings = min(self._openings + 1, self._doublings_max)
        return usual_s * (1.0 + JITTER * self._draw())


def _tell_nobody(transition: Transition) -> None:
    """Nobody is left who would want to know."""


def _count_doublings(open_s: float, open_max_s: float) -> int:
    """Return after how many doublings the longest open time is reached: more need not be remembered, or forgotten again."""
    return next(count for count in range(_DOUBLINGS_MAX + 1) if open_s * 2.0**count >= open_max_s or count == _DOUBLINGS_MAX)
