"""What grafana/dashboard-linter would say: nothing about our boards, and something about each fault that it knows."""

import json
from collections.abc import Callable
from typing import Any

import pytest

from tests.linter import RULES, Finding, lint, list_panels, list_variables
from tests.rendered import TERMS, build_boards

Json = dict[str, Any]
# What a rule would have otherwise, and why it is not.
EXCLUDED = {
    Finding("target-instance-rule", "Firing alerts A"): "alerts are about a job, not about one of its instances",
}  # fmt: skip


@pytest.mark.parametrize("terms", TERMS)
def test_boards_are_clean(terms: str) -> None:
    """No rule is broken but for a reason, and no reason is left over."""
    found = {name: lint(board) for name, board in build_boards(terms).items()}
    assert {name: [finding for finding in findings if finding not in EXCLUDED] for name, findings in found.items()} == {
        name: [] for name in found
    }
    assert EXCLUDED.keys() <= {finding for findings in found.values() for finding in findings}


def change_target(panel: str, old: str, new: str) -> Callable[[Json], None]:
    """Return what changes the first query of a panel."""

    def change(board: Json) -> None:
        target = next(each for each in list_panels(board) if each["title"] == panel)["targets"][0]
        assert old in target["expr"]
        target["expr"] = target["expr"].replace(old, new)

    return change


def change_variable(variable_name: str, /, **values: object) -> Callable[[Json], None]:
    """Return what changes a variable."""

    def change(board: Json) -> None:
        next(variable for variable in board["templating"]["list"] if variable["name"] == variable_name).update(values)

    return change


def drop_variables(kind: str) -> Callable[[Json], None]:
    """Return what takes away the variables of a kind."""

    def change(board: Json) -> None:
        gone = list_variables(board, kind)
        board["templating"]["list"] = [variable for variable in board["templating"]["list"] if variable not in gone]

    return change


def change_panel(**values: object) -> Callable[[Json], None]:
    """Return what changes the panel of latency."""

    def change(board: Json) -> None:
        next(each for each in list_panels(board) if each["title"] == "Latency").update(values)

    return change


FAULTS: list[tuple[str, Callable[[Json], None]]] = [
    ("template-datasource-rule", drop_variables("datasource")),
    ("template-datasource-rule", change_variable("datasource", name="source")),
    ("template-datasource-rule", change_variable("tempo_datasource", label="Traces")),
    ("template-job-rule", change_variable("job", allValue=".*")),
    ("template-job-rule", drop_variables("query")),
    ("template-instance-rule", change_variable("instance", multi=False)),
    ("template-instance-rule", change_variable("instance", label="Pod")),
    ("template-label-promql-rule", change_variable("model", query={"query": "label_values(sum(, model)"})),
    ("template-on-time-change-reload-rule", change_variable("model", refresh=1)),
    ("panel-datasource-rule", change_panel(datasource={"type": "prometheus", "uid": "prometheus"})),
    ("panel-title-description-rule", change_panel(description="")),
    ("panel-units-rule", change_panel(fieldConfig={"defaults": {"unit": "seconds"}})),
    ("panel-no-targets-rule", change_panel(targets=[])),
    ("target-promql-rule", change_target("Calls by ending", "rate(", "rate((")),
    ("target-promql-rule", change_target("Calls by ending", "[$__rate_interval]", "")),
    ("target-rate-interval-rule", change_target("Calls by ending", "$__rate_interval", "5m")),
    ("target-job-rule", change_target("Calls by ending", 'job=~"$job"', 'job="$job"')),
    ("target-instance-rule", change_target("Calls by ending", ',instance=~"$instance"', "")),
    ("target-counter-agg-rule", change_target("Calls by ending", "rate(", "max_over_time(")),
    ("uneditable-dashboard", lambda board: board.update(editable=True)),
]  # fmt: skip


@pytest.mark.parametrize(("rule", "change"), FAULTS, ids=[f"{number} {rule}" for number, (rule, _) in enumerate(FAULTS)])
def test_each_rule_finds_its_fault(rule: str, change: Callable[[Json], None]) -> None:
    """A board with one fault breaks that rule."""
    board = json.loads(json.dumps(build_boards("committed")["overview"]))
    assert rule not in {finding.rule for finding in lint(board) if finding not in EXCLUDED}
    change(board)
    assert rule in {finding.rule for finding in lint(board) if finding not in EXCLUDED}


def test_every_rule_has_a_fault() -> None:
    """No rule is there that cannot fail."""
    assert {rule for rule, _ in FAULTS} == RULES.keys()
