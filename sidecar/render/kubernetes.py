"""Boards and rules as Kubernetes objects: ConfigMaps that Grafana's sidecar container picks up, PrometheusRules for the operator."""

import json
from collections.abc import Sequence
from typing import Any, Final

from sidecar.render.alerting import Group, build_rules
from sidecar.render.board import Board, build_board
from sidecar.render.yaml_text import dump_yaml
from sidecar.thresholds import Links

NAME: Final = "llm-sidecar"
_BOARD_HEAD: Final = """\
The board {title} as a ConfigMap, for the container beside Grafana that collects boards by the label grafana_dashboard
(charts of Grafana and of kube-prometheus-stack: sidecar.dashboards.label, .labelValue, .folderAnnotation)."""
_RULES_HEAD: Final = """\
{file} as a PrometheusRule, for the Prometheus operator. Add the labels that your Prometheus selects rules by
(spec.ruleSelector; of kube-prometheus-stack: release: NAME-OF-THE-RELEASE)."""


def render_config_map(board: Board) -> str:
    """Return a ConfigMap with one board. Its JSON is compact: an object has to fit into its own annotation."""
    tree = {
        "apiVersion": "v1",
        "kind": "ConfigMap",
        "metadata": {
            "name": f"{NAME}-dashboard-{board.uid.removeprefix(f'{NAME}-')}",
            "labels": {"grafana_dashboard": "1", **label_object("dashboards")},
            "annotations": {"grafana_folder": "LLM sidecar"},
        },
        "data": {f"{board.uid}.json": json.dumps(build_board(board), separators=(",", ":"), ensure_ascii=False)},
    }
    return dump_yaml(tree, _BOARD_HEAD.format(title=board.title))


def render_rule_object(file: str, groups: Sequence[Group], links: Links) -> str:
    """Return a PrometheusRule (monitoring.coreos.com/v1) with the groups of a rule file, such as rules.yml."""
    name = NAME if file == "rules.yml" else f"{NAME}-{file.removesuffix('.yml')}"
    tree: dict[str, Any] = {
        "apiVersion": "monitoring.coreos.com/v1",
        "kind": "PrometheusRule",
        "metadata": {"name": name, "labels": {"role": "alert-rules", **label_object("rules")}},
        "spec": build_rules(groups, links),
    }
    return dump_yaml(tree, _RULES_HEAD.format(file=file))


def label_object(component: str) -> dict[str, str]:
    """Return the labels of an object of ours: what it is for, and whose it is."""
    return {"app.kubernetes.io/name": NAME, "app.kubernetes.io/component": component, "app.kubernetes.io/part-of": NAME}
