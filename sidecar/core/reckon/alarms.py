"""What fires, since when, and what has ended: alerts as Prometheus keeps them, for those who have none.

A condition must have held for its `hold_s` before it fires ("for" of a rule), and must have been gone for its `keep_s` before it ends
("keep_firing_for"): a value that swings around its limit is one alert. Each severity of an alert is judged by itself. A lighter one is
silent while a graver one of the same alert and labels fires, as an inhibition in Alertmanager would have it.
"""

from collections import deque
from collections.abc import Iterable, Mapping
from enum import StrEnum
from typing import Final, NamedTuple

from sidecar.core.reckon.moments import Present
from sidecar.thresholds import Side

PAST_MAX: Final = 100
ALARMS_MAX: Final = 1000  # pending ones among them: as many rules as there are names of upstreams and models


class Severity(StrEnum):
    """As in the rules for Prometheus: somebody is paged, a ticket is opened, nobody is told at once."""

    INFO = "info"
    WARNING = "warning"
    CRITICAL = "critical"


# How grave each one is for people, from low to critical.
LEVELS: Final[Mapping[Severity, str]] = {Severity.INFO: "low", Severity.WARNING: "medium", Severity.CRITICAL: "critical"}
_RANKS: Final = {severity: rank for rank, severity in enumerate(LEVELS)}

Labels = tuple[tuple[str, str], ...]


class Tier(NamedTuple):
    """One severity of a rule: for how long its condition must have held, and one static sentence."""

    hold_s: float
    summary: str


class Rule(NamedTuple):
    """One alert under the name that it has in the rules for Prometheus."""

    name: str
    tiers: Mapping[Severity, Tier]
    keep_s: float = 0.0
    bad: Side = Side.ABOVE


class Finding(NamedTuple):
    """A condition that holds now."""

    rule: Rule
    severity: Severity
    labels: Labels
    value: float | None  # None: there is nothing to measure, it is so or it is not
    limit: float | None
    reason: str  # a sentence with the numbers in it


class Alarm:
    """One condition from the moment it began to hold. `fired`, `ended`: None where that has not happened."""

    __slots__ = ("ended", "finding", "fired", "gone_since", "is_told", "peak", "since")

    def __init__(self, finding: Finding, since: Present) -> None:
        self.finding = finding
        self.since = since
        self.fired: Present | None = None
        self.ended: Present | None = None
        self.gone_since: float | None = None
        self.peak = finding.value  # the worst value so far
        self.is_told = False

    def renew(self, finding: Finding, present: Present) -> None:
        """The condition holds still, or again."""
        self.finding = finding
        self.gone_since = None
        value, peak = finding.value, self.peak
        if value is not None:
            self.peak = value if peak is None else (max if finding.rule.bad is Side.ABOVE else min)(value, peak)
        if self.fired is None and present.now - self.since.now >= finding.rule.tiers[finding.severity].hold_s:
            self.fired = present

    def lapse(self, present: Present) -> bool:
        """The condition does not hold. Return whether that is its end."""
        if self.gone_since is None:
            self.gone_since = present.now
        if self.fired is not None and present.now - self.gone_since < self.finding.rule.keep_s:
            return False
        self.ended = present
        return True


class Turns(NamedTuple):
    """What is news: alarms that fire now, and those that do no more."""

    fired: list[Alarm]
    ended: list[Alarm]


class Alarms:
    """All of one sidecar. Memory is bounded: so many at once, and so many of the past."""

    def __init__(self) -> None:
        self._alarms: dict[tuple[str, Labels, Severity], Alarm] = {}
        self.past: deque[Alarm] = deque(maxlen=PAST_MAX)  # the oldest first

    def update(self, findings: Iterable[Finding], present: Present) -> Turns:
        """Take note of all conditions that hold at this moment."""
        alarms, held = self._alarms, set[tuple[str, Labels, Severity]]()
        for finding in findings:
            key = (finding.rule.name, finding.labels, finding.severity)
            alarm = alarms.get(key)
            if alarm is None:
                if len(alarms) >= ALARMS_MAX:
                    continue
                alarm = alarms[key] = Alarm(finding, present)
            alarm.renew(finding, present)
            held.add(key)
        over = [key for key, alarm in alarms.items() if key not in held and alarm.lapse(present)]
        ended = [alarm for alarm in map(alarms.pop, over) if alarm.is_told]
        self.past += ended
        fired = [alarm for alarm in self.active() if not alarm.is_told]
        for alarm in fired:
            alarm.is_told = True
        return Turns(fired, ended)

    def active(self) -> list[Alarm]:
        """Return what fires, the gravest first and then the oldest.

        Not what a graver severity of the same stands for, nor what nobody was told of before its condition was gone.
        """
        firing = {
            key: alarm for key, alarm in self._alarms.items()
            if alarm.fired is not None and (alarm.is_told or alarm.gone_since is None)
        }  # fmt: skip
        shown = [
            alarm for (name, labels, severity), alarm in firing.items()
            if not any((name, labels, graver) in firing for graver in LEVELS if _RANKS[graver] > _RANKS[severity])
        ]  # fmt: skip
        return sorted(shown, key=lambda alarm: (-_RANKS[alarm.finding.severity], alarm.since.now))
