"""The mixin, evaluated by Jsonnet itself."""

import json
from pathlib import Path
from typing import Any

import pytest

from sidecar.render.mixin import render_mixin

_jsonnet = pytest.importorskip("_jsonnet")

RULES = """
groups:
  - name: recordings
    rules: [{record: "job:up:sum", expr: sum(up)}]
  - name: alerts
    rules:
      - alert: LLMOne
        expr: up == 0
        annotations: {summary: Down., runbook_url: "alerts/runbook.md#llmone", dashboard_url: "/d/one?var-job={{ $labels.job }}"}
"""
BURN = """
groups:
  - name: burn
    rules: [{alert: LLMBurn, expr: up == 0, annotations: {summary: Burns.}}]
"""


def evaluate(folder: Path, config: str = "") -> dict[str, Any]:
    """Return what the mixin exposes, under a configuration."""
    for name, text in (("alerts/rules.yml", RULES), ("alerts/burn-rate.yml", BURN), ("dashboards/overview.json", '{"uid": "one"}')):
        (folder / name).parent.mkdir(exist_ok=True)
        (folder / name).write_text(text, encoding="utf-8")
    (folder / "alerts/mixin.libsonnet").write_text(render_mixin(["overview"], ["burn-rate"]), encoding="utf-8")
    text = _jsonnet.evaluate_snippet("mixin", f"(import '{folder}/alerts/mixin.libsonnet') + {{ _config+:: {{ {config} }} }} + {{ out: {{"
        " boards: $.grafanaDashboards, rules: $.prometheusRules, alerts: $.prometheusAlerts } }")  # fmt: skip
    out: dict[str, Any] = json.loads(text)["out"]
    return out


def test_boards_recordings_and_alerts_are_where_mixins_have_them(tmp_path: Path) -> None:
    """By default only the rules that everybody wants, with their links as they are."""
    out = evaluate(tmp_path)
    assert out["boards"] == {"llm-sidecar-overview.json": {"uid": "one"}}
    assert [group["name"] for group in out["rules"]["groups"]] == ["recordings"]
    ((alert,),) = [group["rules"] for group in out["alerts"]["groups"]]
    assert alert["annotations"] == {
        "summary": "Down.", "runbook_url": "alerts/runbook.md#llmone", "dashboard_url": "/d/one?var-job={{ $labels.job }}",
    }  # fmt: skip


def test_the_configuration_adds_rules_and_addresses(tmp_path: Path) -> None:
    """Optional files come by a switch, links get the addresses of the house."""
    out = evaluate(tmp_path, "burnRate: true, runbookUrl: 'https://wiki.example/book', grafanaUrl: 'https://grafana.example'")
    alerts = {rule["alert"]: rule["annotations"] for group in out["alerts"]["groups"] for rule in group["rules"]}
    assert alerts.keys() == {"LLMOne", "LLMBurn"}
    assert alerts["LLMOne"]["runbook_url"] == "https://wiki.example/book#llmone"
    assert alerts["LLMOne"]["dashboard_url"] == "https://grafana.example/d/one?var-job={{ $labels.job }}"
    assert alerts["LLMBurn"] == {"summary": "Burns."}
