"""Boards and rules as Kubernetes objects."""

import json

import yaml

from sidecar.render.alerting import Alert, Article, Group, Recording, Severity, Tier, build_rules
from sidecar.render.board import Board, Row, build_board
from sidecar.render.boards import list_boards
from sidecar.render.kubernetes import render_config_map, render_rule_object
from sidecar.render.panels import Target, stat
from sidecar.render.rules import list_files
from sidecar.thresholds import Links, Terms

APPLIED_BYTES_MAX = 262_144

BOARD = Board("llm-sidecar-one", "One", "what it is", (), (Row("", (stat("Up", "whether", "none", [Target("up")]),)),))
ALERT = Alert(
    "LLMOne", (Tier(Severity.WARNING, "up == 0\nand up", "5m", "It is down."),), "{{ $labels.job }} is", "one", Article("", "", "", "")
)
GROUPS = (Group("llm-sidecar-group", (Recording("job:up:sum", "sum(up)"), ALERT)),)


def test_a_config_map_holds_one_board_under_the_name_of_its_address() -> None:
    """The container beside Grafana finds it by its label; what it writes to a file is the board."""
    tree = yaml.safe_load(render_config_map(BOARD))
    assert (tree["apiVersion"], tree["kind"], tree["metadata"]["name"]) == ("v1", "ConfigMap", "llm-sidecar-dashboard-one")
    assert tree["metadata"]["labels"]["grafana_dashboard"] == "1"
    ((file, text),) = tree["data"].items()
    assert file == "llm-sidecar-one.json" and json.loads(text) == build_board(BOARD)


def test_a_rule_object_has_the_rules_of_the_file() -> None:
    """Its spec is what the rule file says; each file makes an object of its own name."""
    tree = yaml.safe_load(render_rule_object("rules.yml", GROUPS, Links()))
    assert (tree["apiVersion"], tree["kind"], tree["metadata"]["name"]) == ("monitoring.coreos.com/v1", "PrometheusRule", "llm-sidecar")
    assert tree["spec"] == build_rules(GROUPS, Links())
    other = yaml.safe_load(render_rule_object("burn-rate.yml", GROUPS, Links()))
    assert other["metadata"]["name"] == "llm-sidecar-burn-rate"


def test_each_object_fits_into_its_own_annotation() -> None:
    """`kubectl apply` keeps a copy of it there (last-applied-configuration), and all annotations together have a bound."""
    terms = Terms()
    texts = [render_config_map(board) for board in list_boards(terms).values()]
    texts += [render_rule_object(file, groups, terms.links) for file, groups in list_files(terms).items()]
    assert max(len(text.encode()) for text in texts) < APPLIED_BYTES_MAX


def test_texts_of_several_lines_stay_readable() -> None:
    """An expression is a block, as in the rule file."""
    assert "expr: |-\n            up == 0\n            and up\n" in render_rule_object("rules.yml", GROUPS, Links())
