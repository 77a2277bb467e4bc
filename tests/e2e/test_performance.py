"""The numbers of the admin port against those of the scrape, and of the provider, after traffic with every kind of fault."""

import asyncio
import time
from pathlib import Path
from typing import Any

import httpx
import pytest
from prometheus_client.parser import text_string_to_metric_families

from sidecar.exchange import SERVICE_ERRORS
from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.rig.process import run_sidecar, run_simulator


def add_up(text: str, name: str, **labels: set[str]) -> float:
    """Return the sum of a scrape's samples of that name, of those with one of the values of each label."""
    samples = (sample for family in text_string_to_metric_families(text) for sample in family.samples if sample.name == name)
    return sum(sample.value for sample in samples if all(sample.labels[label] in values for label, values in labels.items()))


def test_the_last_hour_is_what_the_scrape_counts(tmp_path: Path) -> None:
    """Calls, errors, latency, first token, tokens and cost; a reset begins anew."""
    with run_simulator(tmp_path, {"speed": 20, "seed": 5}) as provider, run_sidecar(tmp_path, provider, timeouts={"idle": "2s"}) as side:
        sights = list[Sight]()
        traffic = Traffic(f"{side.url}/openai", seed=5, duration_s=4.0, callers=8, odd_every=4, patience_s=4)
        asyncio.run(run_traffic(traffic, sights.append))
        with httpx.Client(base_url=side.admin_url, trust_env=False) as admin:
            scrape = settle(admin)
            told: dict[str, Any] = admin.get("/api/performance").json()
            compare(told["metrics"], scrape)
            assert told["metrics"]["requestCount"] >= len(sights) > 100
            assert told["insights"]["performanceGrade"] in "ABCDF" and told["upstreams"].keys() == {"openai"}
            assert sum(model["requestCount"] for model in told["models"].values()) <= told["metrics"]["requestCount"]
            assert admin.get("/debug/metrics").json()["performance"]["metrics"]["requestCount"] == told["metrics"]["requestCount"]
            assert admin.get("/api/performance?action=reset").json() == {"reset": True}
            assert admin.get("/api/performance").json()["metrics"]["requestCount"] == 0


def settle(admin: httpx.Client) -> str:
    """Return a scrape after which no call is in progress any more."""
    for _ in range(100):
        scrape = admin.get("/metrics", headers={"Accept": "text/plain"}).text
        if add_up(scrape, "llm_sidecar_in_flight_requests") == 0:
            return admin.get("/metrics", headers={"Accept": "text/plain"}).text
        time.sleep(0.1)
    raise AssertionError("calls go on")


def compare(metrics: dict[str, Any], scrape: str) -> None:
    """The same calls, told twice."""
    calls = add_up(scrape, "llm_sidecar_requests_total")
    failed = add_up(scrape, "llm_sidecar_requests_total", ending=set(map(str, SERVICE_ERRORS)))
    assert metrics["requestCount"] == calls and 0 < metrics["errorRate"] == pytest.approx(failed / calls)
    duration = "http_server_request_duration_seconds"
    assert metrics["averageLatency"] == pytest.approx(
        1000 * add_up(scrape, f"{duration}_sum") / add_up(scrape, f"{duration}_count"), rel=1e-3
    )
    tokens = "llm_sidecar_tokens_total"
    assert metrics["tokens"]["input"] == add_up(scrape, tokens, type={"input", "cache_read", "cache_write"})
    assert metrics["tokens"]["output"] == add_up(scrape, tokens, type={"output", "reasoning"})
    assert metrics["costUsd"] == pytest.approx(add_up(scrape, "llm_sidecar_cost_usd_total"))
    assert metrics["latency"]["p50"] <= metrics["latency"]["p95"] <= metrics["latency"]["p99"] <= metrics["latency"]["max"]
    assert metrics["timeToFirstToken"]["p50"] is not None and metrics["tokens"]["perSecond"] > 0
