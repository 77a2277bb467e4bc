"""What sidecars would have been scraped of: series in promtool's notation, and who fires when.

Values stand as near to their limits as they can: a rule with another limit, another least traffic or another hold is found out.
All sums come out alike in ranges that are open on the left (Prometheus 3) and in closed ones: a counter grows evenly up to a minute,
then stands still, and where that is to end an alert it was near enough to the least traffic to fall below it at once.
"""

from collections.abc import Iterable, Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Check, Firing
from sidecar.render.figures import print_duration, print_number, print_percentage, write_number
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Side, Threshold

Series = tuple[str, str]
Phase = tuple[float, int]  # so much per minute, for so many minutes
MINUTES: Final = 60  # of a case, unless it says otherwise
# How far beyond its limit a value is that just passes it, and short of it one that just does not.
NEAR: Final = 0.05
_HAIR: Final = 1e-9


def name_series(metric: str, job: str = "app", instance: str = "a:9464", **labels: str) -> str:
    """Return a series' name with the labels of its target and its own."""
    pairs = {"job": job, "instance": instance, **labels}
    return f"{metric}{{{','.join(f'{name}={chr(34)}{value}{chr(34)}' for name, value in pairs.items())}}}"


def grow(series: str, per_minute: float, until: int | None = None, minutes: int = MINUTES) -> Series:
    """Return a counter that grows evenly from 0, and stands still after minute `until`."""
    end = minutes if until is None else until
    values = f"0+{write_number(per_minute)}x{end}"
    if end < minutes:
        values += f" {_reach(float(write_number(per_minute)), end)}x{minutes - end - 1}"
    return series, values


def climb(series: str, *phases: Phase) -> Series:
    """Return a counter that grows from 0 in phases, each as evenly as can be."""
    value, parts = 0.0, list[str]()
    for place, (per_minute, minutes) in enumerate(phases):
        # As promtool adds: a hair less than its sum would be a counter that starts anew. The first phase has minute 0 besides.
        first, steps = (value + per_minute, minutes - 1) if place else (value, minutes)
        parts.append(f"{first!r}+{per_minute!r}x{steps}")
        value = first
        for _ in range(steps):
            value += per_minute
    return series, " ".join(parts)


def stand(series: str, value: float, minutes: int = MINUTES) -> Series:
    """Return a series that has the same value all the time: a counter of which nothing is counted."""
    return series, f"{write_number(value)}x{minutes}"


def step(series: str, *levels: tuple[float, int]) -> Series:
    """Return a gauge: each value for so many minutes."""
    return series, " ".join(f"{write_number(value)}x{minutes - 1}" for value, minutes in levels)


def grow_histogram(
    metric: str, labels: Mapping[str, str], shares: Sequence[tuple[float, float]], per_minute: float, until: int | None = None
) -> tuple[Series, ...]:
    """Return the buckets and the count of a histogram: `shares` are upper edges and the share of values up to each, ascending."""
    buckets = [(repr(float(edge)), share) for edge, share in shares] + [("+Inf", 1.0)]
    return (
        *(grow(name_series(f"{metric}_bucket", **labels, le=edge), per_minute * share, until) for edge, share in buckets),
        grow(name_series(f"{metric}_count", **labels), per_minute, until),
    )


def spread(edges: Sequence[float], q: float, value: float, inside: float = 0.02) -> tuple[tuple[float, float], ...]:
    """Return shares of values at the edges around `value` that make it the quantile `q`, and another quantile far from it.

    The share `inside` of all values lies in the bucket that holds `value`, evenly as histogram_quantile assumes; the rest below and above.
    """
    above = next(place for place, edge in enumerate(edges) if edge >= value)
    high = edges[above]
    if not above:
        # No bucket is below that could hold the rest; as near to `value` as it can be.
        return ((high, min(1.0, q * high / value)),)
    low = edges[above - 1]
    below = q - inside * (value - low) / (high - low)
    return (low, below), (high, below + inside)


def list_edges_around(edges: Sequence[float], limit: float) -> tuple[float, float, float]:
    """Return the edges below and above a limit, which is an edge, and the limit between them."""
    place = edges.index(limit)
    return (edges[place - 1] if place else 0.0), limit, edges[place + 1]


def just_enough(count: float, minutes: int = 5) -> float:
    """Return hardly more than the least number of events within some minutes; a minute less of it is not enough."""
    return count + min(0.5, count / (4 * minutes))


def too_few(count: float) -> float:
    """Return hardly less than the least number of events."""
    return count - min(0.5, NEAR * count)


def list_passed(threshold: Threshold, value: float) -> tuple[Severity, ...]:
    """Return the severities whose limit `value` has passed."""
    above = threshold.bad is Side.ABOVE
    return tuple(severity for severity, limit in list_limits(threshold).items() if (value > limit if above else value < limit))


def list_near(threshold: Threshold) -> tuple[tuple[str, float], ...]:
    """Return a value just beyond and one just short of each limit, each with a name: none is beyond two limits at once."""
    return tuple(near for severity, limit in list_limits(threshold).items() for near in _list_near(threshold, severity, limit))


def _list_near(threshold: Threshold, severity: Severity, limit: float) -> Iterable[tuple[str, float]]:
    sign = 1 if threshold.bad is Side.ABOVE else -1
    near = min((NEAR * limit, *(abs(other - limit) / 2 for other in list_limits(threshold).values() if other != limit)))
    # A share is at most 1: there is nothing beyond all of them.
    beyond = min(near, (1 - limit) / 2) if threshold.unit == "1" and sign > 0 and limit <= 1 else near
    if beyond:
        yield f"beyond-{severity}", limit + _settle(limit, sign * beyond)
    yield f"short-of-{severity}", limit + _settle(limit, -sign * near)


def _settle(limit: float, near: float) -> float:
    """Return `near`, or hardly less, so that what is printed of `limit` + `near` does not hang on the last bit of the reckoning."""
    while not _is_steady(limit + near):
        near *= 0.99
    return near


def _is_steady(value: float) -> bool:
    """Tell whether a value is at no edge between two prints: rounded digits, and whole seconds of durations beyond a minute."""
    return all(show(value * (1 - _HAIR)) == show(value * (1 + _HAIR)) for show in (print_number, print_percentage, print_duration))


def _reach(per_minute: float, minutes: int) -> str:
    """Return where a counter stands. promtool adds step by step; a hair less than its sum would be a counter that starts anew."""
    reached = 0.0
    for _ in range(minutes):
        reached += per_minute
    rounded = round(reached, 6)
    return f"{rounded if rounded >= reached else rounded + 1e-6:.6f}".rstrip("0").rstrip(".")


class Subject(NamedTuple):
    """What an alert may fire about: which severities apply from minute `start` to minute `end`, none where it must stay silent."""

    labels: Mapping[str, str]
    severities: tuple[Severity, ...] = ()
    value: str = ""
    start: int = 5
    end: int | None = None


def watch(alert: str, subjects: Sequence[Subject], holds: Mapping[Severity, int], keep: int = 0) -> tuple[Check, ...]:
    """Return what is firing at each minute at which something should change, and the minute before. `holds` and `keep` are minutes.

    An alert fires once it has applied for its hold, and for `keep` more after it was last seen to apply (Prometheus, alerting rules).
    """
    moments = set[int]()
    for subject in subjects:
        firsts = [subject.start + holds[severity] for severity in subject.severities]
        lasts = [subject.end + keep for _ in subject.severities if subject.end is not None]
        moments.update(moment for first in firsts for moment in (first - 1, first))
        moments.update(moment for last in lasts for moment in (last, last + 1))
    return tuple(Check(f"{moment}m", alert, tuple(_list_firing(subjects, holds, keep, moment))) for moment in sorted(moments))


def _list_firing(subjects: Iterable[Subject], holds: Mapping[Severity, int], keep: int, moment: int) -> Iterable[Firing]:
    for subject in subjects:
        for severity in subject.severities:
            if subject.start + holds[severity] <= moment and (subject.end is None or moment <= subject.end + keep):
                yield Firing(severity, subject.labels, subject.value)
