"""What a case becomes, and that promtool takes it."""

import shutil
import subprocess
from pathlib import Path

import pytest
import yaml

from sidecar.render.alerting import Alert, Article, Group, Severity, Tier, build_rules, render_rules
from sidecar.render.cases.case import Case, Check, Firing, Reading, expand, render_cases
from sidecar.render.figures import print_duration
from sidecar.thresholds import Links

ALERT = Alert(
    name="LLMLate",
    tiers=(
        Tier(Severity.WARNING, "late_seconds > 3", "2m", "Late.", print_duration(3)),
        Tier(Severity.CRITICAL, "late_seconds > 90", "2m", "Very late.", print_duration(90)),
    ),
    description="{{ $labels.route }} of {{ $labels.job }} is {{ $value | humanizeDuration }} late, above the limit of {limit}.",
    board="llm-sidecar-overview",
    article=Article("", "", "", ""),
    choose=(("model", "model"),),
)
GROUPS = (Group("late", (ALERT,)),)
LINKS = Links(dashboards="https://grafana.example")
LABELS = {"job": "a b&c", "route": "chat"}
CASE = Case(
    "What is late is told, by what it is late.",
    (('late_seconds{job="a b&c",route="chat"}', "0x10 91.5x20"), ('late_seconds{job="a b&c",route="good"}', "2x30")),
    (
        Check("10m", "LLMLate"),
        Check("20m", "LLMLate", (Firing(Severity.WARNING, LABELS, "1m 31s"), Firing(Severity.CRITICAL, LABELS, "1m 31s"))),
    ),
    readings=(Reading("20m", "sum(late_seconds)", (("{}", 93.5),)),),
)
needs_promtool = pytest.mark.skipif(shutil.which("promtool") is None, reason="promtool is not installed")


def judge(folder: Path, case: Case) -> subprocess.CompletedProcess[str]:
    """Return what promtool says to a case."""
    (folder / "rules.yml").write_text(render_rules(GROUPS, LINKS, "Rules."), encoding="utf-8")
    (folder / "tests.yml").write_text(render_cases([case], GROUPS, LINKS, "rules.yml"), encoding="utf-8")
    return subprocess.run(["promtool", "test", "rules", "tests.yml"], cwd=folder, capture_output=True, text=True, check=False)


@needs_promtool
def test_promtool_expands_as_we_do(tmp_path: Path) -> None:
    """Labels, values, limits and links come out as Prometheus writes them."""
    done = judge(tmp_path, CASE)
    assert done.returncode == 0, done.stdout + done.stderr


@needs_promtool
@pytest.mark.parametrize(
    "wrong",
    [
        CASE._replace(checks=(Check("20m", "LLMLate"),)),
        CASE._replace(checks=(Check("10m", "LLMLate", (Firing(Severity.WARNING, LABELS, "1m 31s"),)),)),
        CASE._replace(checks=(CASE.checks[1]._replace(firing=CASE.checks[1].firing[:1]),)),
        CASE._replace(readings=(Reading("20m", "sum(late_seconds)", (("{}", 93.6),)),)),
    ],
    ids=["silent", "fires early", "one severity", "another value"],
)
def test_what_is_not_so_fails(tmp_path: Path, wrong: Case) -> None:
    """A case that expects something else is not passed."""
    assert judge(tmp_path, wrong).returncode != 0


def test_expected_annotations_are_the_alerts_own() -> None:
    """Each severity has its summary and its limit; the link chooses what the alert is about, and leaves out what is not there."""
    tree = yaml.safe_load(render_cases([CASE], GROUPS, LINKS, "rules.yml"))
    assert [alert["exp_annotations"] for alert in tree["tests"][0]["alert_rule_test"][1]["exp_alerts"]] == [
        {
            "summary": summary,
            "description": f"chat of a b&c is 1m 31s late, above the limit of {limit}.",
            "runbook_url": "alerts/runbook.md#llmlate",
            "dashboard_url": "https://grafana.example/d/llm-sidecar-overview?var-job=a+b%26c&var-model=",
        }
        for summary, limit in (("Late.", "3s"), ("Very late.", "1m 30s"))
    ]


def test_tiers_of_one_severity_are_told_apart_by_their_labels() -> None:
    """The limit that is expected is that of the tier with the labels that fire."""
    tiers = tuple(Tier(Severity.WARNING, "late", "", "Late.", limit, (("long", limit),)) for limit in ("1h", "6h"))
    group = Group("late", (ALERT._replace(tiers=tiers),))
    case = CASE._replace(checks=(Check("10m", "LLMLate", (Firing(Severity.WARNING, LABELS | {"long": "6h"}, "9s"),)),), readings=())
    (expected,) = yaml.safe_load(render_cases([case], [group], LINKS, "rules.yml"))["tests"][0]["alert_rule_test"][0]["exp_alerts"]
    assert expected["exp_labels"] == LABELS | {"long": "6h", "severity": "warning"}
    assert expected["exp_annotations"]["description"].endswith("above the limit of 6h.")
    assert [rule["labels"] for rule in build_rules([group], LINKS)["groups"][0]["rules"]] == [
        {"severity": "warning", "long": limit} for limit in ("1h", "6h")
    ]


def test_actions_that_are_not_understood_are_refused() -> None:
    """Nothing is made up for a template that we do not expand."""
    with pytest.raises(ValueError, match="if"):
        expand("{{ if $value }}", {}, "1")
