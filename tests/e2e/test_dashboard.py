"""Boards and rules against a real Prometheus that scrapes a real sidecar under traffic with every kind of fault.

Grafana itself is not run: what is proven is that each query of each panel has data.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.edge.telemetry.receiver import receive
from tests.rig.agent import list_routes, run_agent
from tests.rig.process import find_port, run_sidecar, run_simulator
from tests.rig.prometheus import Prometheus, needs_prometheus, scraping

pytestmark = needs_prometheus

ROOT: Final = Path(__file__).resolve().parents[2]
RULES: Final = ROOT / "alerts" / "rules.yml"
BOARDS: Final = {
    name: json.loads((ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in ("overview", "resilience")
}
BOARD: Final = BOARDS["overview"]
LOAD_S: Final = 8.0
REDACT: Final = {"patterns": [{"name": "order", "pattern": r"order \d+"}]}
_SETTLE_S: Final = 2.5  # two more scrapes and evaluations
# What stays empty, and why.
EMPTY: Final[dict[str, str]] = {"Alerts": "no alert fires within seconds: each waits for minutes"}
# Panels that only show what this traffic need not bring about.
QUIET: Final[dict[str, str]] = {
    "Circuit breaker transitions": "failures come one at a time",
    "Openings by reason": "failures come one at a time",
    "Queue wait": "there is room for all",
}
# Recordings that are there only while an upstream is left alone (tests/e2e/test_resilience_seen.py).
OUTAGES: Final = {
    "job_route:llm_sidecar_request_errors_mostly_unavailable:rate5m",
    "job_upstream:llm_sidecar_circuit_breaker_state_in_use:max5m",
}
# Those that are there only where answers are kept and calls limited (tests/e2e/test_reuse_seen.py).
REUSE: Final = {
    "job:llm_sidecar_cache_hits_per_lookups:ratio_increase30m",
    "job_tenant:llm_sidecar_limited_requests_per_requests:ratio_rate5m",
}
RESILIENCE: Final[dict[str, Any]] = {
    "pools": {"both": {"upstreams": ["openai", "openrouter"]}},
    "breaker": {"groups": {"large": {"models": ["*-large"]}}},
}


class Watched(NamedTuple):
    """A Prometheus that has seen some traffic, and when it began and ended (Unix time)."""

    prometheus: Prometheus
    began_s: float
    ended_s: float
    sights: list[Sight]

    def ask(self, expression: str) -> list[dict[str, Any]]:
        """Return the series with a number in them that a panel would show."""
        text = re.sub(r"\$(?:job|instance)\b", ".+", expression.replace("$__rate_interval", "10s"))
        found = self.prometheus.query_range(re.sub(r"\$(?:model|upstream)\b", ".*", text), self.began_s, self.ended_s)
        return [series for series in found if any(math.isfinite(float(value)) for _, value in series["values"])]


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """Provider, sidecar, collector and Prometheus, after callers were at work for a while."""
    folder, tools_port = tmp_path_factory.mktemp("board"), find_port()
    with (
        receive() as receiver,
        run_simulator(folder, {"speed": 20, "seed": 3}) as provider,
        run_sidecar(
            folder,
            provider,
            {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url},
            **list_routes(provider, f"http://127.0.0.1:{tools_port}"),
            timeouts={"idle": "2s"},
            usage={"estimate": True},
            content={"capture": "file", "file": "content.jsonl", "redact": REDACT},
            **RESILIENCE,
        ) as side,
        scraping(folder, side.admin_url.removeprefix("http://"), RULES) as prometheus,
    ):
        began_s, sights = time.time(), list[Sight]()
        traffic = Traffic(f"{side.url}/openai", seed=3, duration_s=LOAD_S, callers=12, odd_every=4, patience_s=4)
        asyncio.run(_run_both(traffic, sights, side.url, tools_port))
        time.sleep(_SETTLE_S)
        yield Watched(prometheus, began_s, time.time(), sights)


async def _run_both(traffic: Traffic, sights: list[Sight], url: str, tools_port: int) -> None:
    """Callers of models, and an agent."""
    await asyncio.gather(run_traffic(traffic, sights.append), run_agent(url, tools_port, LOAD_S))


TARGETS: Final = [
    pytest.param(target["expr"], id=f"{name}: {panel['title']} {target['refId']}")
    for name, board in BOARDS.items()
    for panel in board["panels"]
    if panel["title"] not in QUIET
    for target in panel.get("targets", ())
]


@pytest.mark.parametrize("expression", TARGETS)
def test_every_query_of_every_panel_has_data(watched: Watched, expression: str) -> None:
    """Prometheus understands each query, and answers it with at least one number."""
    assert watched.ask(expression)


@pytest.mark.parametrize("title", QUIET)
def test_every_query_is_understood(watched: Watched, title: str) -> None:
    """Those of quiet panels, too, whether or not they have anything to show."""
    for target in next(panel for panel in BOARDS["resilience"]["panels"] if panel["title"] == title)["targets"]:
        watched.ask(target["expr"])


def test_panels_show_what_happened(watched: Watched) -> None:
    """The traffic had failures, and the panels that are about them are above 0, not only there."""
    expressions = {panel["title"]: panel["targets"][0]["expr"] for panel in BOARD["panels"] if panel["type"] != "row"}
    for title in (
        "Error ratio",
        "Calls that did not complete",
        "Failed attempts by upstream",
        "Cost per hour",
        "Generation speed",
        "Estimated tokens by type",
        "Estimated cost per hour",
        "Answers repeated by the provider",
        "Share left of rate limits",
        "Left of rate limits",
        "Calls by tool",
        "Error ratio by tool",
        "Tool latency, p95",
        "Tool errors by type",
        "Calls in batches",
        "Open WebSocket sessions",
        "WebSocket session length",
        "WebSocket messages",
        "Captured content that was lost",
        "Spans",
    ):
        values = [float(value) for series in watched.ask(expressions[title]) for _, value in series["values"]]
        assert max(value for value in values if math.isfinite(value)) > 0, title
    endings = {series["metric"]["ending"] for series in watched.ask(expressions["Calls by ending"])}
    assert {"completed", "client_gone", "rejected", "rate_limited", "upstream_error", "idle_timeout", "reset", "cut"} <= endings
    ratio = max(float(value) for series in watched.ask(expressions["Error ratio"]) for _, value in series["values"] if value != "NaN")
    assert 0 < ratio < 0.5


def test_annotations_and_variables_have_data(watched: Watched) -> None:
    """Starts are marked, and there is something to choose from."""
    for note in BOARD["annotations"]["list"]:
        assert bool(watched.ask(note["expr"])) is (note["name"] not in EMPTY), note["name"]
    for variable in (variable for board in BOARDS.values() for variable in board["templating"]["list"]):
        if variable["type"] == "query":
            series, label = re.findall(r"label_values\((.*), (\w+)\)", variable["definition"])[0]
            assert [found for found in watched.ask(series) if found["metric"].get(label)], variable["name"]


def test_every_rule_evaluates_and_every_recording_has_data(watched: Watched) -> None:
    """Rules run without errors beside the scrape, and each recorded series is there."""
    groups = watched.prometheus.get("rules")["groups"]
    told = {rule["name"]: (rule["health"], rule.get("lastError", "")) for group in groups for rule in group["rules"]}
    written = [rule for group in yaml.safe_load(RULES.read_text(encoding="utf-8"))["groups"] for rule in group["rules"]]
    assert told == {rule.get("alert") or rule["record"]: ("ok", "") for rule in written}
    assert {rule["record"] for rule in written if "record" in rule and not watched.ask(rule["record"])} == OUTAGES | REUSE


def test_prometheus_counts_what_callers_saw(watched: Watched) -> None:
    """Nothing is lost between the callers and the board: as many calls as callers made. Sessions have no part in it."""
    asked = 'sum(llm_sidecar_requests_total{route="openai"}) - sum(llm_sidecar_websocket_session_duration_seconds_count)'
    assert sum(float(series["value"][1]) for series in watched.prometheus.query(asked)) == len(watched.sights)
