"""Every file that is rendered, by its path: dashboards/ and alerts/."""

from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import Final

from sidecar.render.alerting import render_rules
from sidecar.render.alertmanager import render_alertmanager
from sidecar.render.alertmanager_config import render_alertmanager_config
from sidecar.render.board import render_board
from sidecar.render.boards import list_boards
from sidecar.render.cases import list_cases
from sidecar.render.cases.case import render_cases
from sidecar.render.kubernetes import render_config_map, render_rule_object
from sidecar.render.kustomization import render_kustomization
from sidecar.render.messages import render_templates
from sidecar.render.mixin import render_mixin
from sidecar.render.monitors import render_pod_monitor, render_service_monitor
from sidecar.render.provisioning import render_board_provider, render_data_sources
from sidecar.render.rules import RULES, list_files, list_groups, list_heads, list_optional
from sidecar.render.runbook import render_runbook
from sidecar.thresholds import Terms

_OBJECTS: Final = "alerts/kubernetes"


def render_files(terms: Terms) -> dict[str, str]:
    """Return the text of each file, by its path from where dashboards/ and alerts/ are."""
    return {**dict(_list_dashboards(terms)), **dict(_list_alerts(terms))}


def _list_dashboards(terms: Terms) -> Iterator[tuple[str, str]]:
    boards = list_boards(terms)
    for name, board in boards.items():
        yield f"dashboards/{name}.json", render_board(board)
        yield f"dashboards/kubernetes/{name}.yaml", render_config_map(board)
    files = [f"{name}.yaml" for name in sorted(boards)]
    yield "dashboards/kubernetes/kustomization.yaml", render_kustomization("Every board as a ConfigMap", files)
    yield "dashboards/provisioning/dashboards.yml", render_board_provider()
    yield "dashboards/provisioning/datasources.yml", render_data_sources()


def _list_alerts(terms: Terms) -> Iterator[tuple[str, str]]:
    heads, cases = list_heads(terms), list_cases(terms)
    for file, groups in list_files(terms).items():
        name = PurePosixPath(file).stem
        yield f"alerts/{file}", render_rules(groups, terms.links, heads[file])
        if file in cases:
            yield f"alerts/{'' if file == RULES else f'{name}.'}tests.yml", render_cases(cases[file], groups, terms.links, file)
    yield from _list_objects(terms)
    optional = list_optional(terms)
    yield "alerts/mixin.libsonnet", render_mixin(list_boards(terms), [PurePosixPath(file).stem for file in optional])
    yield "alerts/runbook.md", render_runbook(list_groups(terms), optional, terms)
    yield "alerts/alertmanager.yml", render_alertmanager()
    yield "alerts/templates/llm-sidecar.tmpl", render_templates(terms)


def _list_objects(terms: Terms) -> Iterator[tuple[str, str]]:
    """Yield what the Prometheus operator takes: what everybody wants in one folder, and what is loaded by choice in one each."""
    rules = {PurePosixPath(file).stem: render_rule_object(file, groups, terms.links) for file, groups in list_files(terms).items()}
    usual = PurePosixPath(RULES).stem
    yield f"{_OBJECTS}/{usual}.yaml", rules.pop(usual)
    yield f"{_OBJECTS}/pod-monitor.yaml", render_pod_monitor()
    what = "Recording rules and alerts, and the scraping of pods that have a sidecar"
    yield f"{_OBJECTS}/kustomization.yaml", render_kustomization(what, [f"{usual}.yaml", "pod-monitor.yaml"])
    chosen = {**rules, "service-monitor": render_service_monitor(), "alertmanager-config": render_alertmanager_config(terms)}
    for name, text in chosen.items():
        yield f"{_OBJECTS}/{name}/{name}.yaml", text
        yield f"{_OBJECTS}/{name}/kustomization.yaml", render_kustomization(f"{name}.yaml", [f"{name}.yaml"])
