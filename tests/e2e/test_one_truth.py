"""One run with every kind of fault, told by everything that tells of it: they all say the same, and so does the provider."""

import asyncio
import json
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from sidecar.core.reckon.snapshots import add_up
from sidecar.edge.journal import read_snapshots
from sidecar.exchange import SERVICE_ERRORS
from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.e2e import test_performance as scraped
from tests.rig.page import Looked, look, needs_browser
from tests.rig.process import run_sidecar, run_simulator

pytestmark = needs_browser

ERRORS: Final = set(map(str, SERVICE_ERRORS))
INPUTS: Final = {"input", "cache_read", "cache_write"}
OUTPUTS: Final = {"output", "reasoning"}


class Told(NamedTuple):
    """What each of them says."""

    scrape: str
    performance: dict[str, Any]
    live: dict[str, Any]
    page: Looked
    lines: list[dict[str, Any]]
    journal: Path
    sights: list[Sight]
    ledger: list[dict[str, Any]]

    def count(self, name: str, **labels: set[str]) -> float:
        """Return a sum of the scrape, by which the others are judged."""
        return scraped.add_up(self.scrape, name, **labels)


@pytest.fixture(scope="module")
def told(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Told]:
    """Callers call for a while; then everything is read that tells of it."""
    folder = tmp_path_factory.mktemp("told")
    journal, sights = folder / "journal", list[Sight]()
    journal.mkdir()
    more = {"timeouts": {"idle": "2s"}, "log": {"calls": "all", "format": "json"}, "journal": {"directory": str(journal)}}
    with run_simulator(folder, {"speed": 20, "seed": 9}) as provider:
        with run_sidecar(folder, provider, **more) as side:
            traffic = Traffic(f"{side.url}/openai", seed=9, duration_s=4.0, callers=8, odd_every=4, patience_s=4)
            asyncio.run(run_traffic(traffic, sights.append))
            with httpx.Client(base_url=side.admin_url, trust_env=False) as admin:
                scrape = scraped.settle(admin)
                performance, live = admin.get("/api/performance").json(), admin.get("/api/live").json()
                page = look(folder, f"{side.admin_url}/", "#tiles .value", name="one-truth")
        lines = [json.loads(line) for line in side.program.output.splitlines()]
        calls = [line for line in lines if line["event"] in ("call", "call_failed")]
        yield Told(scrape, performance, live, page, calls, journal, sights, httpx.get(f"{provider}/_sim/ledger").json())


def test_how_many_calls_and_how_they_ended(told: Told) -> None:
    """Scrape, API, what the page draws, the page itself, lines and journal; no fewer than callers made."""
    calls, metrics = told.count("llm_sidecar_requests_total"), told.performance["metrics"]
    failed = told.count("llm_sidecar_requests_total", ending=ERRORS)
    assert calls >= len(told.sights) > 100 and failed > 5
    assert metrics["requestCount"] == calls == len(told.lines)
    assert metrics["errorRate"] == pytest.approx(failed / calls)
    assert sum(point[1] for point in told.live["points"]) == calls and sum(point[2] for point in told.live["points"]) == failed
    endings = Counter(line["ending"] for line in told.lines)
    assert sum(count for ending, count in endings.items() if ending in ERRORS) == failed
    files, problems = read_snapshots(told.journal, 0)
    kept = add_up(0, 0, files).total
    assert (problems, kept.requests, kept.errors) == ([], calls, failed)
    assert {str(ending): count for ending, count in kept.endings.items()} == endings
    for view in told.page.views.values():
        assert f"Requests\n{calls:.0f}\n" in view.text


def test_tokens_and_cost(told: Told) -> None:
    """The same in all of them, to the token and to a part of a cent."""
    tokens, usd = "llm_sidecar_tokens_total", told.count("llm_sidecar_cost_usd_total")
    inputs, outputs = told.count(tokens, type=INPUTS), told.count(tokens, type=OUTPUTS)
    metrics = told.performance["metrics"]
    assert (metrics["tokens"]["input"], metrics["tokens"]["output"]) == (inputs, outputs) and metrics["costUsd"] == pytest.approx(usd)
    files, _ = read_snapshots(told.journal, 0)
    kept = add_up(0, 0, files).total
    assert (kept.input_tokens, kept.output_tokens) == (inputs, outputs) and kept.cost_usd == pytest.approx(usd)
    assert sum(line.get("input_tokens", 0) for line in told.lines) == inputs
    assert sum(line.get("output_tokens", 0) for line in told.lines) == outputs
    assert sum(line.get("cost_usd", 0.0) for line in told.lines) == pytest.approx(usd)


def test_the_provider_agrees(told: Told) -> None:
    """What it says it reported of usage is what was counted: no token more, none less."""
    reported = sum(entry["told"]["prompt"] + entry["told"]["completion"] for entry in told.ledger)
    assert told.count("llm_sidecar_tokens_total", source={"reported"}, type=INPUTS | OUTPUTS) == reported > 1000
    assert told.count("llm_sidecar_cost_usd_total") == pytest.approx(sum(entry["told_usd"] for entry in told.ledger))


def test_latency(told: Told) -> None:
    """The exact mean in all of them; quantiles within one percent of one another."""
    duration = "http_server_request_duration_seconds"
    count, total_s = told.count(f"{duration}_count"), told.count(f"{duration}_sum")
    metrics = told.performance["metrics"]
    assert metrics["averageLatency"] == pytest.approx(1000 * total_s / count, rel=1e-4)
    files, _ = read_snapshots(told.journal, 0)
    kept = add_up(0, 0, files).total
    assert kept.durations.count == count and kept.durations.total == pytest.approx(total_s, rel=1e-6)
    assert kept.durations.quantiles(0.95)[0] == pytest.approx(metrics["latency"]["p95"] / 1000, rel=1e-3)
    first = "llm_sidecar_time_to_first_token_seconds"
    assert sum("ttft_s" in line for line in told.lines) == told.count(f"{first}_count") == kept.first_tokens.count > 10
