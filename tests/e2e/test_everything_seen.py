"""Everything that boards, rules and runbook ask for is there: a real Prometheus over real sidecars, each feature on, through faults.

Grafana itself is not run: what is proven is that each query of each panel has data, and that each name in it exists.
"""

import re
from collections.abc import Iterator
from typing import Any, Final

import promql_parser as promql
import pytest
import yaml

from sidecar import catalogue
from sidecar.catalogue import Kind, Metric
from tests.rig.boards import BOARDS, QUERIES, Query, find_peak, list_annotations, list_variables, read_names, show
from tests.rig.everything import ALERTS, LABELS, Everything, list_rule_files
from tests.rig.prometheus import needs_prometheus
from tests.rig.redis import needs_redis

pytestmark = [needs_prometheus, needs_redis]

DECLARED: Final = (*catalogue.METRICS, *catalogue.PROCESS_METRICS)
TARGET: Final = {"job", "instance", *LABELS}
# What stays at 0 through all of it, and why.
NEVER: Final = {
    "llm_sidecar_observer_failures_total": "observers raise on no input that is known",
    "llm_sidecar_sink_failures_total": "readers of records raise on none that is known",
}
_SUFFIXES: Final = {Kind.HISTOGRAM: ("_bucket", "_sum", "_count")}
every = pytest.mark.parametrize


def name(query: Query) -> str:
    """Return where a query stands, as the name of its case."""
    return query.place


def list_rules() -> list[dict[str, Any]]:
    """Return every rule of every file."""
    trees = [yaml.safe_load(file.read_text(encoding="utf-8")) for file in list_rule_files()]
    return [rule for tree in trees for group in tree["groups"] for rule in group["rules"]]


def list_expressions() -> Iterator[Query]:
    """Yield every expression that is written anywhere: on boards, in rules, in the runbook."""
    yield from (*QUERIES, *list_annotations(), *list_variables())
    for rule in list_rules():
        yield Query(f"rules: {rule.get('alert') or rule['record']}", rule["expr"])
    text = (ALERTS / "runbook.md").read_text(encoding="utf-8")
    for number, block in enumerate(re.findall(r"^```promql\n(.*?)^```", text, re.MULTILINE | re.DOTALL)):
        yield Query(f"runbook: {number}", block)


EXPRESSIONS: Final = tuple(list_expressions())


@pytest.fixture(scope="module")
def live(everything: Everything) -> dict[str, list[set[str]]]:
    """The names of all series that Prometheus has, and the names of the labels of each of them."""
    times = {"start": str(everything.began_s), "end": str(everything.ended_s)}
    found: dict[str, list[set[str]]] = {}
    for labels in everything.prometheus.get("series", **{"match[]": '{__name__!=""}'}, **times):
        found.setdefault(labels["__name__"], []).append(labels.keys() - {"__name__"})
    return found


@every("metric", DECLARED, ids=lambda metric: metric.name)
def test_every_metric_is_there_with_its_labels(live: dict[str, list[set[str]]], metric: Metric) -> None:
    """A series of each metric of the catalogue, and all of them with the labels it declares; an empty one is none to Prometheus."""
    labels = {label.name for label in metric.labels}
    for suffix in _SUFFIXES.get(metric.kind, ("",)):
        of_series = labels | ({"le"} if suffix == "_bucket" else set())
        found = live.get(metric.name + suffix, [])
        assert found, "no series"
        assert set().union(*found) == of_series | TARGET
        assert all(each >= TARGET for each in found)


def test_nothing_is_there_that_is_not_declared(everything: Everything) -> None:
    """Each sidecar exposes the families of the catalogue, and no others."""
    for name, text in everything.scrapes.items():
        told = re.findall(r"^# TYPE (\S+) (\S+)$", text, re.MULTILINE)
        assert sorted(told) == sorted((metric.name, str(metric.kind)) for metric in DECLARED), name


def test_every_metric_has_happened(everything: Everything) -> None:
    """No counter stays at 0 all along and no gauge but for those of moments: panels were not only there, they had something to show."""
    silent = set()
    for metric in DECLARED:
        series = metric.name + ("_count" if metric.kind is Kind.HISTOGRAM else "")
        if not everything.query_end(f"max_over_time({series}[2m]) > 0"):
            silent.add(metric.name)
    assert silent == set(NEVER)


@every("query", QUERIES, ids=name)
def test_every_query_of_every_panel_has_data(everything: Everything, query: Query) -> None:
    """Prometheus understands each query, and answers it with at least one number."""
    assert show(everything, query), query.text


@every("query", [*list_annotations(), *list_variables()], ids=name)
def test_annotations_and_variables_have_data(everything: Everything, query: Query) -> None:
    """Starts and alerts are marked, and there is something to choose from."""
    assert [labels for labels, _ in show(everything, query) if query.label is None or labels.get(query.label)], query.text


def test_every_rule_evaluates(everything: Everything) -> None:
    """All rules of all files run without errors beside the scrape."""
    groups = everything.prometheus.get("rules")["groups"]
    told = [(rule["name"], rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]]
    assert sorted(told) == sorted((rule.get("alert") or rule["record"], "ok", "") for rule in list_rules())


@every("record", sorted({rule["record"] for rule in list_rules() if "record" in rule}))
def test_every_recording_has_data(everything: Everything, record: str) -> None:
    """Each recorded series was there at some time, with a number."""
    assert show(everything, Query(record, record)), record


@every("query", EXPRESSIONS, ids=name)
def test_every_name_exists(live: dict[str, list[set[str]]], query: Query) -> None:
    """Each expression is PromQL to a parser of other authors, and each metric and label that it names is among the live series."""
    promql.parse(query.text)
    names = read_names(query.text)
    labels = {metric: set().union(*live[metric]) for metric in names.selected if metric in live}
    assert names.selected.keys() - labels.keys() == set()
    assert {metric: selected - labels[metric] for metric, selected in names.selected.items() if selected - labels[metric]} == {}
    assert names.grouped - set().union(*labels.values()) == set()


# What odd callers, an agent and its tools brought about: above 0, for these series of these metrics.
SHOWN: Final[list[tuple[str, dict[str, str]]]] = [
    *(
        ("llm_sidecar_requests_total", {"ending": ending})
        for ending in ("completed", "client_gone", "rejected", "rate_limited", "upstream_error", "idle_timeout", "reset", "cut")
    ),
    ("llm_sidecar_cost_usd_total", {}),
    ("llm_sidecar_output_tokens_per_second", {}),
    ("llm_sidecar_tokens_total", {"type": "output"}),
    ("llm_sidecar_replayed_answers_total", {}),
    ("llm_sidecar_upstream_ratelimit_remaining llm_sidecar_upstream_ratelimit_limit", {"upstream": "openai"}),
    ("gen_ai_execute_tool_duration_seconds", {"gen_ai_tool_name": "fail"}),
    ("gen_ai_execute_tool_duration_seconds", {"error_type": "500"}),
    ("llm_sidecar_batched_requests_total", {}),
    ("llm_sidecar_websocket_sessions", {}),
    ("llm_sidecar_websocket_session_duration_seconds", {}),
    ("llm_sidecar_websocket_messages_total", {"direction": "to_upstream"}),
    ("llm_sidecar_content_dropped_total", {}),
    ("llm_sidecar_spans_exported_total", {}),
]


@every(("metrics", "labels"), SHOWN, ids=lambda told: told if isinstance(told, str) else "-".join(told.values()))
def test_panels_show_what_happened(everything: Everything, metrics: str, labels: dict[str, str]) -> None:
    """The traffic had failures, and the panels that are about them are above 0, not only there."""
    assert find_peak(everything, metrics.replace("llm_sidecar_", ""), **labels) > 0


def test_panels_tell_the_share_of_errors(everything: Everything) -> None:
    """Some calls failed, most did not: shares of errors are above 0, and none above 1."""
    asked = [query for query in QUERIES if " / " in query.text and 'ending=~"connect_failed|' in query.text]
    ratios = [query for query in asked if read_names(query.text).selected.keys() == {"llm_sidecar_requests_total"}]
    assert ratios
    for query in ratios:
        values = [value for _, numbers in show(everything, query) for value in numbers]
        assert 0 < max(values) <= 1 and min(values) >= 0, query.place


def test_prometheus_counts_what_callers_saw(everything: Everything) -> None:
    """Nothing is lost between the callers and the board: as many calls as callers made. Sessions have no part in it."""
    asked = (
        'sum(llm_sidecar_requests_total{job="front",route="openai"})'
        ' - sum(llm_sidecar_websocket_session_duration_seconds_count{job="front"})'
    )
    assert everything.count(asked) == len(everything.sights) > 0
    for metric in ("tokens", "cost_usd"):
        assert everything.count(f'llm_sidecar_{metric}_total{{source="estimated"}}') > 0, metric


def test_there_are_boards() -> None:
    """What is asked for above is not nothing."""
    assert len(BOARDS) >= 4 and len(QUERIES) > 100 and len(list_rules()) > 40
