"""Cases that all alerts on a threshold have in common: near their limits, with too little traffic, and once it is over."""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple, Protocol

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case
from sidecar.render.cases.series import Series, Subject, just_enough, list_near, list_passed, too_few, watch
from sidecar.thresholds import Threshold

# Labels of two sidecars of one job, with one that is no matter of the sidecars' own.
_PAIR: Final = ({"namespace": "prod", "instance": "a:9464"}, {"namespace": "prod", "instance": "b:9464"})


class Draw(Protocol):
    """Makes the series of one subject, so that its judged value is `value`, of `per_minute` events, until minute `until`."""

    def __call__(self, labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
        """Return the series. `labels` are those of the subject and, where they matter, of the target."""
        ...


class Judged(NamedTuple):
    """An alert on a threshold: what is told in words of a sentence, the label that names a subject, and how it is drawn."""

    alert: str
    said: str  # such as "Slow calls"
    threshold: Threshold
    least: int  # events within `minutes`
    show: Callable[[float], str]
    holds: Mapping[Severity, int]  # minutes
    keep: int  # minutes
    name: str  # of the label
    draw: Draw
    more: Mapping[str, str]  # labels of every subject
    minutes: int = 5
    end: int = 30  # minute until which it applies, where it ends


def judge(judged: Judged) -> tuple[Case, ...]:
    """Return the cases of an alert on a threshold."""
    return _judge_limits(judged), _judge_traffic(judged), _judge_end(judged)


def _judge_limits(judged: Judged) -> Case:
    subjects, series = list[Subject](), list[Series]()
    per_minute = just_enough(judged.least, judged.minutes) / judged.minutes
    for name, value in list_near(judged.threshold):
        labels = {**judged.more, judged.name: name}
        subjects.append(_expect(judged, labels, value))
        series += judged.draw(labels, value, per_minute)
    return _make(judged, f"{judged.said} are told from each limit on, and not short of it.", subjects, series)


def _judge_traffic(judged: Judged) -> Case:
    value = _worst(judged.threshold)
    labels = {name: {**judged.more, judged.name: name} for name in ("rare", "idle", "of two")}
    enough = just_enough(judged.least, judged.minutes) / judged.minutes
    series = [
        *judged.draw(labels["rare"], value, too_few(judged.least) / judged.minutes),
        *judged.draw(labels["idle"], value, 0.0),
        *(series for target in _PAIR for series in judged.draw({**labels["of two"], **target}, value, enough / 2)),
    ]
    subject = _expect(judged, {**labels["of two"], "namespace": "prod"}, value)
    return _make(judged, f"{judged.said} are told of several sidecars together, and not where they are too few or none.", [subject], series)


def _judge_end(judged: Judged) -> Case:
    value, labels = _worst(judged.threshold), {**judged.more, judged.name: "over"}
    series = judged.draw(labels, value, just_enough(judged.least, judged.minutes) / judged.minutes, judged.end)
    subject = _expect(judged, labels, value)._replace(end=judged.end)
    return _make(judged, f"{judged.said} are told a while longer once they are over, and then no more.", [subject], list(series))


def _make(judged: Judged, name: str, subjects: list[Subject], series: list[Series]) -> Case:
    return Case(name, tuple(series), watch(judged.alert, subjects, judged.holds, judged.keep))


def _expect(judged: Judged, labels: Mapping[str, str], value: float) -> Subject:
    return Subject({"job": "app", **labels}, list_passed(judged.threshold, value), judged.show(value), start=judged.minutes)


def _worst(threshold: Threshold) -> float:
    """Return a value beyond all limits that there can be one beyond."""
    return max((value for _, value in list_near(threshold)), key=lambda value: len(list_passed(threshold, value)))
