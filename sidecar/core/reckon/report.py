"""What a journal comes to: all of it, its days, and its hours."""

from collections.abc import Iterable, Sequence
from itertools import groupby
from typing import Any, Final, NamedTuple

from sidecar.core.reckon.grades import grade
from sidecar.core.reckon.moments import show_wall
from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, VERSION, Snapshot, add_up, show_second, show_tally
from sidecar.core.reckon.tally import Tally
from sidecar.thresholds import Thresholds

_HOURLY_S_MAX: Final = 3 * DAY_S  # up to here hours tell more than days


class LeftOut(NamedTuple):
    """A file of the journal that could not be read, and why."""

    name: str
    problem: str


class Report(NamedTuple):
    """The calls of a journal. Days and hours ascend; there is none where no call is known of."""

    whole: Snapshot | None  # None: there is no call at all
    days: Sequence[Snapshot]
    hours: Sequence[Snapshot]  # of days whose hours are still there
    left_out: Sequence[LeftOut]
    thresholds: Thresholds
    made_ns: int  # since the epoch

    @property
    def is_hourly(self) -> bool:
        """Whether it is told by the hour: a short time, all of whose hours are there."""
        if self.whole is None or self.whole.ended - self.whole.began > _HOURLY_S_MAX:
            return False
        return {day.began for day in self.days} == {_find_day(hour) for hour in self.hours}

    @property
    def steps(self) -> Sequence[Snapshot]:
        """The hours or the days."""
        return self.hours if self.is_hourly else self.days


def make_report(snapshots: Iterable[Snapshot], left_out: Iterable[tuple[str, str]], thresholds: Thresholds, made_ns: int) -> Report:
    """Return the report on snapshots, oldest first, no two of which tell of the same call. Those without calls tell nothing."""
    told = [snapshot for snapshot in snapshots if snapshot.total.requests]
    days = [add_up(began, began + DAY_S, parts) for began, parts in groupby(told, _find_day)]
    hours = [snapshot for snapshot in told if snapshot.ended - snapshot.began == HOUR_S]
    whole = add_up(told[0].began, told[-1].ended, days) if told else None
    return Report(whole, days, hours, [LeftOut(*problem) for problem in left_out], thresholds, made_ns)


def sort_models(snapshot: Snapshot) -> list[tuple[str, Tally]]:
    """Return providers and models, with most calls first."""
    return sorted(snapshot.calls.items(), key=lambda one: (-one[1].requests, one[0]))


def show_report(report: Report) -> dict[str, Any]:
    """Return it as a program reads it: with the members of a journal's file; milliseconds, null for what was not measured."""
    whole, thresholds = report.whole, report.thresholds
    return {
        "version": VERSION,
        "made_at": show_wall(report.made_ns),
        "began": show_second(whole.began) if whole else None,
        "ended": show_second(whole.ended) if whole else None,
        "total": _show(whole.total, thresholds) if whole else None,
        "by_model": _show_models(whole, thresholds) if whole else {},
        "by_day": [{**_show_step(day, thresholds), "by_model": _show_models(day, thresholds)} for day in report.days],
        "by_hour": [_show_step(hour, thresholds) for hour in report.hours],
        "left_out": [{"file": left_out.name, "problem": left_out.problem} for left_out in report.left_out],
    }


def _show_step(step: Snapshot, thresholds: Thresholds) -> dict[str, Any]:
    return {"began": show_second(step.began), "ended": show_second(step.ended), **_show(step.total, thresholds)}


def _show_models(snapshot: Snapshot, thresholds: Thresholds) -> dict[str, Any]:
    return {whose: _show(tally, thresholds) for whose, tally in sort_models(snapshot)}


def _show(tally: Tally, thresholds: Thresholds) -> dict[str, Any]:
    graded = grade(tally, thresholds)
    return {
        **show_tally(tally), "error_rate": tally.error_ratio, "unpriced_requests": tally.usages - tally.costs,
        "grade": None if graded is None else graded.letter,
    }  # fmt: skip


def _find_day(snapshot: Snapshot) -> int:
    return snapshot.began - snapshot.began % DAY_S
