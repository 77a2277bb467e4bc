"""What a breaker is compared with: it keeps all that ever happened, and works each answer out anew from that.

Nothing of the breaker's own is used but its vocabulary: no counters, no ring of buckets, no table of transitions.
"""

from collections.abc import Callable
from dataclasses import dataclass, field
from fractions import Fraction

from sidecar.config import Breaker as BreakerSettings
from sidecar.config import Force
from sidecar.core.choose.transitions import State
from sidecar.core.choose.verdicts import Verdict


@dataclass
class Lent:
    """One permit that was given."""

    spell: "Spell"
    at: float
    settled: bool = False


@dataclass
class Spell:
    """One stay in one state."""

    state: State
    force: Force
    began: float
    until: float | None = None  # of an open one that will ask again
    results: list[tuple[float, Verdict]] = field(default_factory=list)
    lent: list[Lent] = field(default_factory=list)


@dataclass
class BreakerModel:
    """The rules, said as plainly as possible."""

    settings: BreakerSettings
    force_now: Force
    draw: Callable[[], float]
    spells: list[Spell] = field(default_factory=list)
    told: list[tuple[float, State, State, str]] = field(default_factory=list)

    def __post_init__(self) -> None:
        self.spells.append(Spell(State.OPEN if self.force_now is Force.OPEN else State.CLOSED, self.force_now, 0.0))

    @property
    def spell(self) -> Spell:
        """The present one."""
        return self.spells[-1]

    def is_due(self, now: float) -> bool:
        """Whether an open one may be asked again."""
        return self.spell.state is State.OPEN and self.spell.until is not None and now >= self.spell.until

    def state(self, now: float) -> State:
        """The state as it would be found."""
        return State.HALF_OPEN if self.is_due(now) else self.spell.state

    def outstanding(self, now: float) -> list[Lent]:
        """Probes that hold a place, and have not had it for too long."""
        return [lent for lent in self.spell.lent if not lent.settled and now < lent.at + self.settings.open_max]

    def admits(self, now: float) -> bool:
        """Whether a permit would be given."""
        if self.spell.state is State.CLOSED or self.is_due(now):
            return True
        return self.spell.state is State.HALF_OPEN and self.free(now) > 0

    def free(self, now: float) -> int:
        """Places left while half-open."""
        return self.settings.probes - len(self.outstanding(now))

    def acquire(self, now: float) -> Lent | None:
        """Lend a permit, or not."""
        if not self.admits(now):
            return None
        if self.is_due(now):
            self.go(State.HALF_OPEN, "open_time_over", now)
        lent = Lent(self.spell, now)
        self.spell.lent.append(lent)
        return lent

    def settle(self, lent: Lent, verdict: Verdict, now: float) -> None:
        """Take a permit back."""
        lent.settled = True
        if lent.spell is not self.spell or self.force_now is Force.DISABLED or verdict is Verdict.IGNORED:
            return
        self.spell.results.append((now, verdict))
        reason = self.half_open_ends() if self.spell.state is State.HALF_OPEN else self.closed_ends(now)
        if reason is not None and self.force_now is Force.AUTO:
            self.go(State.CLOSED if reason == "enough_successes" else State.OPEN, reason, now)

    def half_open_ends(self) -> str | None:
        """Why a half-open one goes on, if it does."""
        verdicts = [verdict for _, verdict in self.spell.results]
        if verdicts[-1] is Verdict.FAILURE:
            return "probe_failed"
        if len(verdicts) < self.settings.successes:
            return None
        slow = verdicts.count(Verdict.SLOW)
        return "slow_share" if slow and Fraction(slow, len(verdicts)) >= exact(self.settings.slow_share) else "enough_successes"

    def closed_ends(self, now: float) -> str | None:
        """Why a closed one opens, if it does."""
        latest = self.spell.results[-1][1]
        if latest is Verdict.SUCCESS:
            return None
        calls, failures, slow, consecutive = self.counts(now)
        if latest is Verdict.FAILURE and consecutive >= self.settings.consecutive:
            return "consecutive_failures"
        if calls < self.settings.calls_min:
            return None
        if latest is Verdict.FAILURE:
            return "error_share" if Fraction(failures, calls) >= exact(self.settings.error_share) else None
        return "slow_share" if Fraction(slow, calls) >= exact(self.settings.slow_share) else None

    def counts(self, now: float) -> tuple[int, int, int, int]:
        """Calls, failures and slow calls of the last ten buckets, and failures in a row. Only a closed one counts."""
        results = self.spell.results if self.spell.state is State.CLOSED else []
        width = Fraction(self.settings.window / 10)
        first = Fraction(now) // width - 9
        verdicts = [verdict for at, verdict in results if Fraction(at) // width >= first]
        row = 0
        for _, verdict in results:
            row = row + 1 if verdict is Verdict.FAILURE else 0
        return len(verdicts), verdicts.count(Verdict.FAILURE), verdicts.count(Verdict.SLOW), row

    def note_probe(self, succeeded: bool, now: float) -> None:
        """An active probe."""
        if succeeded and self.spell.state is State.OPEN and self.force_now is Force.AUTO:
            self.go(State.HALF_OPEN, "probe_succeeded", now)

    def force(self, force: Force, now: float) -> None:
        """An operator's word."""
        if force is self.force_now:
            return
        self.force_now = force
        self.go(State.OPEN if force is Force.OPEN else State.CLOSED, "released" if force is Force.AUTO else "forced", now)

    def go(self, after: State, reason: str, now: float) -> None:
        """Begin the next spell."""
        before = self.spell.state
        until = now + self.open_time(now) if after is State.OPEN and self.force_now is Force.AUTO else None
        self.spells.append(Spell(after, self.force_now, now, until))
        if after is not before:
            self.told.append((now, before, after, reason))

    def open_time(self, now: float) -> float:
        """How long to be open from now on: from all earlier openings since somebody last forced anything."""
        settings, penalty, closed_at = self.settings, 0, None
        longest = 0
        while settings.open * 2**longest < settings.open_max:
            longest += 1
        since = max(index for index, spell in enumerate(self.spells) if index == 0 or spell.force is not self.spells[index - 1].force)
        for spell in [*self.spells[since:], None]:
            if spell is not None and spell.state is State.CLOSED:
                closed_at = spell.began
            elif spell is None or spell.state is State.OPEN:
                if closed_at is not None:
                    at = now if spell is None else spell.began
                    forgotten = Fraction(at - closed_at) // Fraction(settings.open_max)
                    penalty = max(0, penalty - int(forgotten))
                if spell is not None:
                    penalty, closed_at = min(penalty + 1, longest), None
        return max(settings.open, min(settings.open * 2**penalty, settings.open_max)) * (1 + 0.1 * self.draw())


def exact(share: float) -> Fraction:
    """A share as it was written."""
    return Fraction(str(share))
