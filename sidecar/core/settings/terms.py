"""The file of `llm-sidecar render --thresholds`: from a parsed tree to Terms, every problem at once.

It is for rendering only. What a sidecar itself does is set in its configuration, whatever this file says.
"""

import math
import re
from collections.abc import Iterator, Mapping, Sequence
from itertools import pairwise
from typing import Any, Final, NamedTuple, TypeVar

from sidecar.catalogue import COMPARED
from sidecar.config import Unit
from sidecar.core.settings.decode import convert, suggest
from sidecar.core.settings.forms import Form
from sidecar.core.settings.merge import Merged
from sidecar.core.settings.redaction import show
from sidecar.core.settings.resolution import locate
from sidecar.core.settings.shapes import is_base_url
from sidecar.core.settings.tree import Document, Fault, KeyPath
from sidecar.core.settings.units import format_duration
from sidecar.errors import ConfigError
from sidecar.thresholds import FAILING_ERROR_RATIO, Band, Links, Objective, Side, Terms, Threshold, Thresholds, Traffic

Section = TypeVar("Section", Traffic, Objective, Links)
# Where a limit stands under its signal: ("warning",), ("grades", 0), ("bands", "good").
Key = tuple[str | int, ...]
Limits = Mapping[Key, float | None]

_LARGEST: Final = 1_000_000
# From the best side to the worst; each signal has some of them.
_SEVERITIES: Final = ("target", "info", "warning", "critical")
_MEMBERS: Final = (*_SEVERITIES, "grades", "bands")
_GRADES: Final = "ABCF"
# What RFC 3986 allows, without what means something where links are put: templates, YAML and shells.
_PATH: Final = re.compile(r"(?:[A-Za-z0-9._~%-]+(?:/|$)|/(?!/))*")
_ADDRESS: Final = re.compile(r"[A-Za-z0-9._~%/:\[\]+,;=-]+")


class _Kind(NamedTuple):
    """The type of a value, and what it must be like."""

    scalar: type | Unit
    form: Form


_SECONDS: Final = _Kind(Unit.DURATION, Form("a duration above zero, such as 250ms or 3s, or seconds", lambda seconds: seconds is not None))
_RATIO: Final = _Kind(float, Form("a ratio above 0, at most 1, such as 0.05", lambda ratio: 0 < ratio <= 1))
_MULTIPLE: Final = _Kind(float, Form(f"a number above 1, at most {_LARGEST}", lambda times: 1 < times <= _LARGEST))
_NUMBER: Final = _Kind(float, Form(f"a number above 0, at most {_LARGEST}", lambda number: 0 < number <= _LARGEST))
_COUNT: Final = _Kind(int, Form(f"a whole number from 1 to {_LARGEST}", lambda count: 1 <= count <= _LARGEST))
_SECTIONS: Final[Mapping[tuple[str, str], _Kind]] = {
    ("traffic", "cost_usd_per_hour"): _NUMBER,
    # The gravest burn rate is 14.4: below 1 - 1/14.4 it could not be reached if every call failed.
    ("objective", "success_ratio"): _Kind(
        float, Form("a ratio from 0.95 to 0.99999: the share of calls that do not fail", lambda ratio: 0.95 <= ratio <= 0.99999)
    ),
    ("links", "runbook"): _Kind(
        str,
        Form("an http or https URL or a path, without query or fragment", lambda text: text != "" and _is_link(text)),
    ),
    ("links", "dashboards"): _Kind(
        str, Form("an http or https URL or a path, without query or fragment, or nothing between quotes", lambda text: _is_link(text))
    ),
}


def read_terms(document: Document) -> Terms:
    """Return the defaults with what a file says in their place. Raises ConfigError with every problem of it."""
    reader = _Reader()
    terms = reader.read(document.tree)
    as_written = Merged(document.tree, dict(document.lines))
    problems = [locate(fault, as_written, document.source) for fault in (*document.faults, *reader.faults)]
    if problems:
        raise ConfigError(document.source, sorted(problems, key=lambda problem: problem.line or math.inf))
    return terms


class _Reader:
    def __init__(self) -> None:
        self.faults: list[Fault] = []

    def read(self, tree: Any) -> Terms:
        """Return the terms. `faults` fills up; what is faulty keeps its default."""
        default = Terms()
        found = self._select(tree, default._fields, ())
        signals = self._select(found.get("thresholds"), default.thresholds._fields, ("thresholds",))
        return Terms(
            default.thresholds._replace(**{name: self._read_threshold(name, value) for name, value in signals.items()}),
            self._read_section(default.traffic, found.get("traffic"), "traffic"),
            self._read_section(default.objective, found.get("objective"), "objective"),
            self._read_section(default.links, found.get("links"), "links"),
        )

    def _select(self, value: Any, known: Sequence[str], path: KeyPath) -> dict[str, Any]:
        """Return the entries of a mapping that are known, in their order; of a heading with nothing under it, none."""
        if value is None:
            return {}
        if not isinstance(value, dict):
            self.faults.append(Fault(path, show(value), "a mapping of " + ", ".join(known)))
            return {}
        for key in value:
            if not isinstance(key, str):
                self.faults.append(Fault(path, f"the key {show(key)}, which is not text", "one of " + ", ".join(known)))
            elif key not in known:
                found = "a limit that this signal does not have" if key in _MEMBERS else "a key that is not known"
                self.faults.append(Fault((*path, key), found, ", ".join(known) + suggest(key, known)))
        return {key: value[key] for key in known if key in value}

    def _read_section(self, default: Section, value: Any, name: str) -> Section:
        found = self._select(value, default._fields, (name,))
        read = {key: self._read_value(part, _SECTIONS.get((name, key), _COUNT), (name, key)) for key, part in found.items()}
        return default._replace(**{key: part for key, part in read.items() if part is not None})

    def _read_value(self, value: Any, kind: _Kind, path: KeyPath) -> Any:
        """Return the value, or None where it is faulty."""
        read = convert(kind.scalar, value)
        if read is not None and kind.form.accepts(read):
            return read
        self.faults.append(Fault(path, show(value), kind.form.allowed))
        return None

    def _read_threshold(self, name: str, value: Any) -> Threshold:
        path: KeyPath = ("thresholds", name)
        default: Threshold = getattr(Thresholds(), name)
        limits = _list_limits(default)
        kind, edges = _kind_of(default), _list_edges(name)
        written: dict[Key, float | None] = {}
        for key, part in self._find_parts(value, limits, path):
            limit: float | None = self._read_value(part, kind, (*path, *key))
            if limit is not None and edges and limit not in edges:
                self.faults.append(Fault((*path, *key), show(part), _name_nearest(limit, edges, name, kind)))
                limit = None
            written[key] = limit
        effective = {**limits, **written}
        self.faults += _find_disorder(name, default.bad, effective, written, kind)
        return _build_threshold(default, {key: limits[key] if limit is None else limit for key, limit in effective.items()})

    def _find_parts(self, value: Any, limits: Limits, path: KeyPath) -> Iterator[tuple[Key, Any]]:
        """Yield what is written for each limit that the signal has."""
        members = [member for member in _MEMBERS if any(key[0] == member for key in limits)]
        for member, part in self._select(value, members, path).items():
            if member == "bands":
                names = [str(key[1]) for key in limits if key[0] == member]
                yield from ((("bands", name), limit) for name, limit in self._select(part, names, (*path, member)).items())
            elif member == "grades":
                yield from self._list_grades(part, (*path, member))
            else:
                yield (member,), part

    def _list_grades(self, value: Any, path: KeyPath) -> list[tuple[Key, Any]]:
        if isinstance(value, list) and len(value) == 3:
            return [(("grades", at), limit) for at, limit in enumerate(value)]
        found = f"a list of {len(value)}" if isinstance(value, list) else show(value)
        self.faults.append(Fault(path, found, "a list of three limits, where A, B and C end"))
        return []


def _is_link(text: str) -> bool:
    return _PATH.fullmatch(text) is not None or (_ADDRESS.fullmatch(text) is not None and is_base_url(text))


def _kind_of(threshold: Threshold) -> _Kind:
    if threshold.statistic == "multiple":
        return _MULTIPLE
    return {"s": _SECONDS, "1": _RATIO}.get(threshold.unit, _NUMBER)


def _list_limits(threshold: Threshold) -> dict[Key, float]:
    """Return every limit that a signal has, best first within severities, grades and bands."""
    severities = {(name,): getattr(threshold, name) for name in _SEVERITIES}
    found: dict[Key, float] = {key: limit for key, limit in severities.items() if limit is not None}
    found |= {("grades", at): limit for at, limit in enumerate(threshold.grades or ())}
    return found | {("bands", band.name): band.limit for band in threshold.bands if band.limit is not None}


def _list_edges(name: str) -> list[float]:
    """Return the edges that all histograms have on which the signal is compared; none where it is compared on none.

    Neither the first nor the last: a quantile is never found above the last, and only guessed below the first.
    """
    metrics = COMPARED.get(name, ())
    return sorted(set.intersection(*(set(metric.buckets[1:-1]) for metric in metrics))) if metrics else []


def _name_nearest(limit: float, edges: Sequence[float], name: str, kind: _Kind) -> str:
    below, above = [edge for edge in edges if edge < limit][-2:], [edge for edge in edges if edge > limit][:2]
    metrics = " and ".join(metric.name for metric in COMPARED[name])
    return f"an inner edge of the buckets of {metrics}; the nearest are {', '.join(_format(edge, kind) for edge in (*below, *above))}"


def _find_disorder(name: str, bad: Side, limits: Limits, written: Limits, kind: _Kind) -> Iterator[Fault]:
    """Yield a fault for each limit that is not on the bad side of the one before it."""
    # Grade F begins where most calls fail, whatever the other limits are.
    known: Limits = {**limits, ("grades", 3): FAILING_ERROR_RATIO} if name == "error_ratio" else limits
    severities: list[Key] = [(severity,) for severity in _SEVERITIES if (severity,) in known]
    for keys in (severities, *([key for key in known if key[0] == member] for member in ("grades", "bands"))):
        for better, worse in pairwise(keys):
            near, far = known[better], known[worse]
            if near is None or far is None or (far > near if bad is Side.ABOVE else far < near):
                continue
            at_fault, other = (worse, better) if worse in written else (better, worse)
            is_above = (at_fault is worse) is (bad is Side.ABOVE)
            found, limit = (_format(known[key] or 0.0, kind) for key in (at_fault, other))
            yield Fault(("thresholds", name, *at_fault), found, f"{'above' if is_above else 'below'} {_name(other)} at {limit}")


def _name(key: Key) -> str:
    """Return what a limit is called beside others of its signal."""
    match key:
        case ("grades", int(at)):
            return f"grade {_GRADES[at]}"
        case ("bands", name):
            return f"band {name}"
        case _:
            return str(key[0])


def _format(limit: float, kind: _Kind) -> str:
    if kind is not _SECONDS:
        return f"{limit:g}"
    return f"{limit:g}s" if limit >= 1 else format_duration(limit)


def _build_threshold(default: Threshold, limits: Mapping[Key, float]) -> Threshold:
    first, second, third = (limits.get(("grades", at), 0.0) for at in range(3))
    return default._replace(
        info=limits.get(("info",)),
        warning=limits.get(("warning",)),
        critical=limits.get(("critical",)),
        target=limits.get(("target",)),
        grades=(first, second, third) if default.grades else None,
        bands=tuple(Band(band.name, limits.get(("bands", band.name))) for band in default.bands),
    )
