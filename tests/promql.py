"""Which names a PromQL expression uses: as much of the language as our own boards and rules need."""

import re
from collections.abc import Mapping
from types import MappingProxyType
from typing import Final, NamedTuple

from sidecar.catalogue import METRICS, PROCESS_METRICS, Kind

WORDS: Final = {"and", "or", "unless", "by", "without", "on", "ignoring", "group_left", "group_right", "bool", "offset", "inf", "nan"}
# Labels of the target, set by whoever scrapes.
TARGET_LABELS: Final = {"job", "instance", "namespace", "pod", "container", "endpoint"}
# What Prometheus itself makes.
SERVER_METRICS: Final = {"up": set[str](), "scrape_samples_scraped": set[str](), "ALERTS": {"alertname", "alertstate", "severity"}}

_NAME: Final = r"[a-zA-Z_:][a-zA-Z0-9_:]*"
_STRING: Final = re.compile(r'"(?:[^"\\]|\\.)*"')
_SELECTOR: Final = re.compile(rf"({_NAME})\s*\{{([^}}]*)\}}")
_GROUPING: Final = re.compile(r"\b(?:by|without|on|ignoring|group_left|group_right)\s*\(([^)]*)\)")
_RANGE: Final = re.compile(r"\[[^\]]*\]")
_MADE: Final = re.compile(r',\s*"(\w+)",\s*"[^"]*",\s*"\w*"(?:,\s*"[^"]*")?\)')  # by label_replace or label_join
_BARE: Final = re.compile(rf"(?<![\w:.])({_NAME})\b(?!\s*\()")


class Names(NamedTuple):
    """Metrics and the labels that select among their series, and labels by which results are grouped or matched."""

    selected: dict[str, set[str]]
    grouped: set[str]


def read_names(expression: str) -> Names:
    """Return the names that `expression` uses."""
    rest = _RANGE.sub("", _STRING.sub('""', expression))
    selected: dict[str, set[str]] = {}
    for metric, matchers in _SELECTOR.findall(rest):
        selected.setdefault(metric, set()).update(re.findall(rf"({_NAME})\s*(?:=~|!~|!=|=)", matchers))
    grouped = {label.strip() for labels in _GROUPING.findall(rest) for label in labels.split(",") if label.strip()}
    rest = _GROUPING.sub(" ", _SELECTOR.sub(" ", rest))
    for metric in _BARE.findall(rest):
        if metric not in WORDS:
            selected.setdefault(metric, set())
    return Names(selected, grouped)


def list_series() -> dict[str, set[str]]:
    """Return every series name that a scrape of the sidecar can hold, and its labels."""
    found: dict[str, set[str]] = {}
    for metric in (*METRICS, *PROCESS_METRICS):
        labels = {label.name for label in metric.labels}
        if metric.kind is Kind.HISTOGRAM:
            found |= {f"{metric.name}_bucket": {*labels, "le"}, f"{metric.name}_sum": labels, f"{metric.name}_count": labels}
        else:
            found[metric.name] = labels
    return found


def find_unknown(expression: str, recorded: Mapping[str, set[str]] = MappingProxyType({})) -> list[str]:
    """Return what `expression` names that neither the catalogue, Prometheus nor `recorded` series and their labels know."""
    known = list_series() | SERVER_METRICS | recorded
    names = read_names(expression)
    unknown = [f"metric {metric}" for metric in names.selected if metric not in known]
    for metric, labels in names.selected.items():
        unknown += [f"{metric}{{{label}}}" for label in sorted(labels - known.get(metric, labels) - TARGET_LABELS)]
    groupable = TARGET_LABELS.union(_MADE.findall(expression), *(known.get(metric, set()) for metric in names.selected))
    return unknown + [f"label {label}" for label in sorted(names.grouped - groupable)]
