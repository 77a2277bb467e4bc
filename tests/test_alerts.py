"""alerts/: rules that load, fire when they should and not otherwise, and carry the thresholds of the table."""

import re
import subprocess
from functools import cache
from pathlib import Path
from typing import Any

import pytest
import yaml

from sidecar.config import Budgets
from sidecar.exchange import SERVICE_ERRORS
from sidecar.thresholds import (
    BUDGET_SPENT,
    CACHE_HIT_RATIO,
    ERROR_RATIO,
    LATENCY_P95,
    MEAN_LATENCY,
    OUTPUT_TOKENS_PER_SECOND,
    RATELIMIT_REMAINING,
    THRESHOLDS,
    TIME_TO_FIRST_TOKEN_P95,
    Side,
    Threshold,
)
from tests.promql import find_unknown, list_series, read_names
from tests.rig.prometheus import PROMTOOL, needs_promtool

ALERTS = Path(__file__).resolve().parent.parent / "alerts"
BY_THRESHOLD = {
    "LLMHighAverageLatency": MEAN_LATENCY,
    "LLMHighLatencyP95": LATENCY_P95,
    "LLMHighErrorRatio": ERROR_RATIO,
    "LLMSlowFirstToken": TIME_TO_FIRST_TOKEN_P95,
    "LLMSlowGeneration": OUTPUT_TOKENS_PER_SECOND,
    "LLMRateLimitNearlyUsed": RATELIMIT_REMAINING,
    "LLMLowCacheHitRatio": CACHE_HIT_RATIO,
}


@cache
def rules() -> list[dict[str, Any]]:
    """Every rule, in order."""
    groups = yaml.safe_load((ALERTS / "rules.yml").read_text(encoding="utf-8"))["groups"]
    return [rule for group in groups for rule in group["rules"]]


def alerts() -> list[dict[str, Any]]:
    """The alerting rules."""
    return [rule for rule in rules() if "alert" in rule]


def recorded() -> set[str]:
    """Names that recording rules make."""
    return {rule["record"] for rule in rules() if "record" in rule}


def compared(expression: str) -> tuple[str, float]:
    """Return the first comparison of an alert: its operator and the number."""
    found = re.search(r"([<>=]=?)\s*([0-9.]+)", expression)
    assert found is not None, expression
    return found[1], float(found[2])


def is_apart(series: dict[str, str], alert: dict[str, str]) -> bool:
    """Whether a series cannot have made an alert: they differ in a label that both have."""
    return any(series.get(name, value) != value for name, value in alert.items())


@needs_promtool
def test_rules_load() -> None:
    """Prometheus takes the rules, its lints included."""
    done = subprocess.run(
        [PROMTOOL, "check", "rules", "--lint-fatal", "rules.yml"], cwd=ALERTS, capture_output=True, text=True, check=False
    )
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
def test_rules_fire_when_they_should_and_not_otherwise() -> None:
    """Each case of tests.yml comes out as written."""
    done = subprocess.run([PROMTOOL, "test", "rules", "tests.yml"], cwd=ALERTS, capture_output=True, text=True, check=False)
    assert done.returncode == 0, done.stdout + done.stderr


def test_each_alert_has_a_case_that_fires_and_one_that_does_not() -> None:
    """For each alert and severity there is a firing case, and for each alert series that must leave it silent."""
    firing: set[tuple[str, str]] = set()
    silent: set[str] = set()
    for case in yaml.safe_load((ALERTS / "tests.yml").read_text(encoding="utf-8"))["tests"]:
        given = [dict(re.findall(r'(\w+)="([^"]*)"', series["series"])) for series in case["input_series"]]
        for check in case["alert_rule_test"]:
            expected = [alert["exp_labels"] for alert in check["exp_alerts"]]
            firing |= {(check["alertname"], labels["severity"]) for labels in expected}
            if any(all(is_apart(series, labels) for labels in expected) for series in given):
                silent.add(check["alertname"])
    assert {(alert["alert"], alert["labels"]["severity"]) for alert in alerts()} == firing
    assert {alert["alert"] for alert in alerts()} == silent


def test_every_name_is_known() -> None:
    """Rules use only metrics and labels of the catalogue, or what earlier rules recorded."""
    made: dict[str, set[str]] = {}
    for rule in rules():
        assert find_unknown(rule["expr"], made) == [], rule.get("alert") or rule["record"]
        if "record" in rule:
            known = list_series() | made
            made[rule["record"]] = set().union(*(known[name] for name in read_names(rule["expr"]).selected))


def test_every_recorded_series_is_used() -> None:
    """Nothing is recorded that no other rule reads."""
    assert recorded() - {name for rule in rules() for name in read_names(rule["expr"]).selected} == set()


@pytest.mark.parametrize(("name", "threshold"), BY_THRESHOLD.items())
def test_alerts_have_the_thresholds_of_the_table(name: str, threshold: Threshold) -> None:
    """An alert exists for exactly the severities of its threshold, with its numbers, on its bad side."""
    found = {alert["labels"]["severity"]: compared(alert["expr"]) for alert in alerts() if alert["alert"] == name}
    sign = ">" if threshold.bad is Side.ABOVE else "<"
    limits = {"info": threshold.info, "warning": threshold.warning, "critical": threshold.critical}
    assert found == {severity: (sign, limit) for severity, limit in limits.items() if limit is not None}


def test_every_threshold_has_an_alert() -> None:
    """What the table calls a warning is one, unless it is opt-in."""
    graded = {threshold for threshold in THRESHOLDS if (threshold.info, threshold.warning, threshold.critical) != (None, None, None)}
    assert {threshold for threshold in graded if not threshold.opt_in} == set(BY_THRESHOLD.values())


def test_shared_numbers_of_other_alerts() -> None:
    """Refusals by provider or limits warn at the error ratio that warns, cut answers where grade A ends, tools where calls are critical."""
    others = {alert["alert"]: compared(alert["expr"]) for alert in alerts()}
    assert ERROR_RATIO.grades is not None
    assert others["LLMUpstreamRateLimited"] == (">", ERROR_RATIO.warning)
    assert others["LLMTenantLimited"] == (">", ERROR_RATIO.warning)
    assert others["LLMToolFailing"] == (">", ERROR_RATIO.critical)
    assert others["LLMAnswersCut"] == (">", ERROR_RATIO.grades[0])


def test_what_is_told_of_a_budget_is_what_the_table_says() -> None:
    """It is spent where it is critical; it is warned of where the setting says so, by default where the table does."""
    (spent,) = [alert["expr"] for alert in alerts() if alert["alert"] == "LLMBudgetSpent"]
    assert re.findall(r"\) >= (\S+)\nor", spent) == [f"{BUDGET_SPENT.critical:g}"]
    assert Budgets().soft == BUDGET_SPENT.warning


def test_errors_are_the_errors_of_the_service() -> None:
    """The error ratio counts the endings that the code counts."""
    told = [set(match.split("|")) for rule in rules() for match in re.findall(r'ending=~"([^"]*)"', rule["expr"])]
    assert told == [set(map(str, SERVICE_ERRORS))]


def test_alerts_on_traffic_ask_for_a_least_number_of_calls() -> None:
    """One failed call out of one is no alert: ratios, means and quantiles have a guard."""
    judged = [alert for alert in alerts() if re.search(r"ratio_|:mean|:p\d", alert["expr"])]
    assert len(judged) == 16
    assert [
        alert["alert"] for alert in judged if not re.search(r"\nand (?:ignoring \(kind\) )?job\S+ (?:\* \d+ )?>= \d+$", alert["expr"])
    ] == []


def test_alerts_say_what_to_do() -> None:
    """Each alert has a summary of one sentence, a description that names the job, and a heading of its own in the runbook."""
    text = (ALERTS / "runbook.md").read_text(encoding="utf-8")
    headings = re.findall(r"^## (.+)$", text, re.MULTILINE)
    for alert in alerts():
        notes = alert["annotations"]
        assert re.fullmatch(r"[^{}]+\.", notes["summary"]), alert["alert"]
        assert "{{ $labels.job }}" in notes["description"], alert["alert"]
        assert notes["runbook_url"] == f"alerts/runbook.md#{alert['alert'].lower()}"
        assert alert["labels"].keys() == {"severity"} and alert["labels"]["severity"] in {"info", "warning", "critical"}
    assert sorted(headings) == sorted({alert["alert"] for alert in alerts()})
    for section in text.split("\n## ")[1:]:
        assert re.findall(r"^\*\*(\w+)\.\*\*", section, re.MULTILINE) == ["Meaning", "Impact", "Diagnosis", "Mitigation"], section[:40]


def test_panels_of_the_runbook_exist() -> None:
    """Panels that the runbook names by their titles are on a board."""
    board = "".join(file.read_text(encoding="utf-8") for file in (ALERTS.parent / "dashboards").glob("*.json"))
    named = re.findall(r'"([A-Z][^"]+)"', re.sub(r"\s+", " ", (ALERTS / "runbook.md").read_text(encoding="utf-8")))
    assert len(named) > 10
    assert [title for title in named if f'"title": "{title}"' not in board] == []
