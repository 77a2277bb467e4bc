"""Cases that alerts must pass, and how they become test files of promtool.

A case is what Prometheus scraped and what fires at which time. Cases come from the same terms as the rules: whoever changes a
threshold has tests that hold, and that fail when the rule says something else.
"""

import re
from collections.abc import Iterable, Mapping, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote_plus

from sidecar.render.alerting import Alert, Group, Severity, Tier, annotate, list_alerts
from sidecar.render.yaml_text import dump_yaml
from sidecar.thresholds import Links

_ACTION: Final = re.compile(r"\{\{\s*(.*?)\s*\}\}")
# Of a metric that is not ours alone: the labels of its target.
_SHARED_NAME: Final = re.compile(r'(?:http_server|gen_ai)_\w+\{(job="[^"]*",instance="[^"]*")')
_BUILD: Final = "llm_sidecar_build_info"
_ALL_THE_TIME: Final = "1x5000"
_LABEL: Final = re.compile(r"(urlquery )?\$labels\.(\w+)")


class Firing(NamedTuple):
    """One firing alert: `labels` beside severity, `value` as its description prints it."""

    severity: Severity
    labels: Mapping[str, str]
    value: str = ""


class Check(NamedTuple):
    """All that fires under one name at one time after the start, such as `12m`."""

    at: str
    alert: str
    firing: tuple[Firing, ...] = ()


class Reading(NamedTuple):
    """What an expression returns at one time: each series, with its labels, and its value."""

    at: str
    expr: str
    samples: tuple[tuple[str, float], ...] = ()


class Case(NamedTuple):
    """What was scraped, each series with its values in promtool's notation, one per interval, and what comes of it."""

    name: str  # a sentence
    series: tuple[tuple[str, str], ...]
    checks: tuple[Check, ...]
    interval: str = "1m"
    readings: tuple[Reading, ...] = ()
    foreign: bool = False  # another application's: no sidecar is there


def render_cases(cases: Sequence[Case], groups: Sequence[Group], links: Links, rule_file: str) -> str:
    """Return a file for `promtool test rules`. `rule_file`: what `groups` are written to, seen from the test file."""
    alerts = {alert.name: alert for alert in list_alerts(groups)}
    tests = [_build_case(case, alerts, links) for case in cases]
    # What is recorded comes before who reads it; promtool takes groups in any order otherwise.
    order = [group.name for group in groups]
    tree = {"rule_files": [rule_file], "evaluation_interval": "1m", "group_eval_order": order, "tests": tests}
    return dump_yaml(tree, "For promtool test rules: for each alert what makes it fire, and what must not.")


def expand(template: str, labels: Mapping[str, str], value: str) -> str:
    """Return an annotation as Prometheus would. `value` stands for whatever is done with $value."""
    return _ACTION.sub(lambda found: _expand_action(found[1], labels, value), template)


def _expand_action(action: str, labels: Mapping[str, str], value: str) -> str:
    if action.startswith("$value"):
        return value
    found = _LABEL.fullmatch(action)
    if found is None:
        raise ValueError(f"an action that is not understood: {action}")
    text = labels.get(found[2], "")
    return quote_plus(text) if found[1] else text


def _build_case(case: Case, alerts: Mapping[str, Alert], links: Links) -> dict[str, Any]:
    found: dict[str, Any] = {
        "name": case.name,
        "interval": case.interval,
        "input_series": [{"series": series, "values": values} for series, values in (*case.series, *_list_sidecars(case))],
        "alert_rule_test": [_build_check(check, alerts[check.alert], links) for check in case.checks],
    }
    if case.readings:
        found["promql_expr_test"] = [_build_reading(reading) for reading in case.readings]
    return found


def _list_sidecars(case: Case) -> list[tuple[str, str]]:
    """Return what tells the targets of a case to be sidecars, where it has metrics that others may have as well."""
    if case.foreign or any(series.startswith(_BUILD) for series, _ in case.series):
        return []
    targets = dict.fromkeys(found[1] for series, _ in case.series if (found := _SHARED_NAME.match(series)))
    return [(f'{_BUILD}{{{target},version="1",python="3"}}', _ALL_THE_TIME) for target in targets]


def _build_check(check: Check, alert: Alert, links: Links) -> dict[str, Any]:
    return {
        "eval_time": check.at,
        "alertname": alert.name,
        "exp_alerts": [_build_firing(firing, alert, links) for firing in check.firing],
    }


def _build_firing(firing: Firing, alert: Alert, links: Links) -> dict[str, Any]:
    notes = annotate(alert, _find_tier(alert.tiers, firing), links)
    return {
        "exp_labels": {**firing.labels, "severity": str(firing.severity)},
        "exp_annotations": {name: expand(text, firing.labels, firing.value) for name, text in notes.items()},
    }


def _find_tier(tiers: Iterable[Tier], firing: Firing) -> Tier:
    return next(tier for tier in tiers if tier.severity is firing.severity and dict(tier.labels).items() <= firing.labels.items())


def _build_reading(reading: Reading) -> dict[str, Any]:
    return {
        "expr": reading.expr,
        "eval_time": reading.at,
        "exp_samples": [{"labels": labels, "value": value} for labels, value in reading.samples],
    }
