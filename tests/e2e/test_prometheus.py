"""A real Prometheus scrapes the sidecar under load, and answers queries for every metric of the catalogue."""

import asyncio
import re
import subprocess
import time
from pathlib import Path

from sidecar import catalogue
from sidecar.catalogue import Kind
from sidecar.simulator.accounts import read_samples
from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.edge.telemetry.receiver import receive
from tests.rig.process import run_sidecar, run_simulator
from tests.rig.prometheus import PROMTOOL, needs_prometheus, scraping

pytestmark = needs_prometheus

LOAD_S = 6.0
# The conventions' and the catalogue's latency histograms that carry exemplars of kept traces.
WITH_EXEMPLARS = (
    catalogue.OPERATION_DURATION, catalogue.TIME_TO_FIRST_CHUNK, catalogue.HTTP_SERVER_DURATION, catalogue.TIME_TO_FIRST_TOKEN,
)  # fmt: skip

# What this traffic cannot show, and why; each has labels whose values are not known before.
SILENT = {
    "gen_ai_execute_tool_duration_seconds": "no tool is called",
    "llm_sidecar_circuit_breaker_group_state": "no groups of models are configured",
    "llm_sidecar_content_withheld_total": "no pattern of one's own is configured",
    "llm_sidecar_failovers_total": "no pool is configured",
    "llm_sidecar_replayed_answers_total": "no broker repeats an answer",
    "llm_sidecar_websocket_session_duration_seconds": "no session is begun",
    "llm_sidecar_cache_saved_tokens_total": "nothing is kept",
    "llm_sidecar_cache_saved_usd_total": "nothing is kept",
    "llm_sidecar_tool_cache_lookups_total": "nothing is kept",
    "llm_sidecar_tool_cache_hits_total": "nothing is kept",
    "llm_sidecar_shared_up": "there is no shared store",
    "llm_sidecar_rate_limited_requests_total": "nobody is limited",
    "llm_sidecar_budget_spent_usd": "there are no budgets",
    "llm_sidecar_budget_reserved_usd": "there are no budgets",
    "llm_sidecar_budget_limit_usd": "there are no budgets",
    "llm_sidecar_budget_soft_limit_reached": "there are no budgets",
    "llm_sidecar_spending_stopped": "there are no budgets",
    "llm_sidecar_events_total": "no application tells of any",
    "llm_sidecar_quality_score": "no answer is rated",
}


def load(url: str) -> list[Sight]:
    """Have callers at work for a while, one call in seven going wrong in some way."""
    sights: list[Sight] = []
    traffic = Traffic(f"{url}/openai", seed=7, duration_s=LOAD_S, callers=16, odd_every=7, patience_s=4)
    asyncio.run(run_traffic(traffic, sights.append))
    return sights


def expose_once(metric: catalogue.Metric) -> str:
    """Return the name of a series that shows whether a metric is there."""
    return metric.name + "_count" if metric.kind is Kind.HISTOGRAM else metric.name


def test_prometheus_gets_every_metric_and_exemplars_of_real_traces(tmp_path: Path) -> None:
    """Under load each scrape succeeds, each metric answers a query, and exemplars point at traces that a collector has."""
    settings = {"timeouts": {"idle": "2s"}, "tracing": {"slow": "5s"}}
    with (
        receive() as receiver,
        run_simulator(tmp_path, {"speed": 20, "seed": 7}) as provider,
        run_sidecar(tmp_path, provider, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, **settings) as side,
        scraping(tmp_path, side.admin_url.removeprefix("http://")) as prometheus,
    ):
        began = time.time()
        sights = load(side.url)
        time.sleep(2.5)  # two more scrapes, and what is left of the spans
        target, scrapes = prometheus.target, prometheus.query("count_over_time(up[1m])")[0]["value"][1]
        failed = prometheus.query("sum_over_time(up[1m]) != count_over_time(up[1m])")
        lasted = prometheus.query("max_over_time(scrape_duration_seconds[1m])")[0]["value"][1]
        metrics = (*catalogue.METRICS, *catalogue.PROCESS_METRICS)
        silent = sorted(metric.name for metric in metrics if not prometheus.query(expose_once(metric)))
        busy = [metric.name for metric in metrics if any(float(series["value"][1]) for series in prometheus.query(expose_once(metric)))]
        counted = sum(float(series["value"][1]) for series in prometheus.query("sum(llm_sidecar_requests_total)"))
        quantile = prometheus.query("histogram_quantile(0.95, sum by (le) (rate(gen_ai_client_operation_duration_seconds_bucket[1m])))")
        exemplars = {
            metric.name: prometheus.get("query_exemplars", query=f"{metric.name}_bucket", start=str(began - 5), end=str(time.time() + 5))
            for metric in WITH_EXEMPLARS
        }
        text, exported = side.scrape(), {span.trace_id.hex() for span in receiver.spans}
    traced = {
        name: {exemplar["labels"]["trace_id"] for series in found for exemplar in series["exemplars"]} for name, found in exemplars.items()
    }
    print(
        f"\n{len(sights)} calls, {scrapes} scrapes, the longest {float(lasted) * 1e3:.1f} ms; "
        f"{len(metrics) - len(silent)} of {len(metrics)} metrics answer, {len(busy)} of them above 0; "
        f"exemplars {sum(map(len, traced.values()))}, traces at the collector {len(exported)}"
    )
    assert (target["health"], target["lastError"], failed) == ("up", "", [])
    assert silent == sorted(SILENT)
    assert counted == len(sights)
    assert quantile and 0 < float(quantile[0]["value"][1]) < 10
    assert {name: len(ids) for name, ids in traced.items() if len(ids) < 3} == {}
    assert set().union(*traced.values()) - exported == set(), "an exemplar points at a trace that nobody has"
    check_with_promtool(text)
    assert {name for name, _, _ in read_samples(text) if re.search(r"_created$", name)} == set()


def check_with_promtool(text: str) -> None:
    """Have Prometheus' own linter read a scrape: it says nothing."""
    done = subprocess.run([PROMTOOL, "check", "metrics"], input=text.encode(), capture_output=True, check=False)
    assert (done.returncode, done.stdout + done.stderr) == (0, b"")
