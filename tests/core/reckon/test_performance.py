"""The last hour in one object."""

import pytest

from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.performance import Sums, show_performance
from sidecar.core.reckon.tally import Tally
from sidecar.core.reckon.window import Who
from sidecar.exchange import Cost, Ending, Usage
from sidecar.thresholds import Terms
from tests.edge.telemetry.records import make_record, make_seen, make_streamed

PRESENT = Present(1000.0, 1_705_314_600_000_000_000)


def test_the_object_has_the_contracts_shape() -> None:
    """Milliseconds, ratios, dollars; by upstream, model and tenant apart."""
    sums, tally = Sums.start(), Tally()
    for _ in range(3):
        tally.add(make_record(accepted=100.0, ended=101.0, cache="miss", cost=Cost(0.01, "table"), usage=Usage(10, 0, 0, 5, 0)))
    seen = make_seen(first_token=100.5, last_chunk=102.5)
    tally.add(make_streamed(accepted=100.0, ended=103.0, seen=seen, usage=Usage(1, 0, 0, 40, 0), cost=None, ending=Ending.CUT))
    sums.add(Who("openai", "gpt-4o", "acme"), tally)
    shown = show_performance(sums, 120.0, PRESENT, 45, Terms())
    metrics = shown["metrics"]
    assert (metrics["requestCount"], metrics["averageLatency"], metrics["errorRate"], metrics["requestsPerMinute"]) == (
        4,
        1500.0,
        0.25,
        2.0,
    )
    assert metrics["latency"] == {
        "p50": pytest.approx(1000, rel=0.01), "p90": pytest.approx(1000, rel=0.01), "p95": pytest.approx(1000, rel=0.01),
        "p99": pytest.approx(1000, rel=0.01), "min": 1000.0, "max": 3000.0,
    }  # fmt: skip
    assert metrics["timeToFirstToken"] == {"p50": 500.0, "p95": 500.0}
    assert metrics["tokens"] == {"input": 31, "output": 55, "perSecond": 20.0} and metrics["costUsd"] == 0.03
    assert shown["cache"] == {"size": 45, "hitRate": 0.0, "hits": 0, "misses": 3}
    assert shown["insights"]["performanceGrade"] == "D" and shown["insights"]["status"] == "degraded"
    assert shown["timestamp"] == "2024-01-15T10:30:00.000Z"
    assert shown["upstreams"].keys() == {"openai"} and shown["models"].keys() == {"gpt-4o"} and shown["tenants"].keys() == {"acme"}
    assert shown["upstreams"]["openai"]["requestCount"] == 4 and shown["upstreams"]["openai"]["grade"] == "D"


def test_what_was_not_measured_is_null() -> None:
    """Never zero, of an idle sidecar nor of one whose calls had no tokens; names of nobody are left out."""
    shown = show_performance(Sums.start(), 0.0, PRESENT, 0, Terms())
    metrics = shown["metrics"]
    assert metrics["requestCount"] == 0 and metrics["averageLatency"] is None and metrics["errorRate"] is None
    assert set(metrics["latency"].values()) == set(metrics["timeToFirstToken"].values()) == set(metrics["tokens"].values()) == {None}
    assert metrics["costUsd"] is None and metrics["cacheHitRate"] is None and metrics["requestsPerMinute"] is None
    assert shown["insights"] == {"status": "healthy", "performanceGrade": None, "reasons": [], "recommendations": []}
    sums, tally = Sums.start(), Tally()
    tally.add(make_record(upstream="", usage=None, cost=None))
    sums.add(Who("", "", ""), tally)
    assert show_performance(sums, 1.0, PRESENT, 0, Terms())["upstreams"] == {}
