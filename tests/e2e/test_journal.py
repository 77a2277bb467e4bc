"""The journal of sidecars as they are run: against the provider's own account, after kill -9, and where nothing can be written."""

import asyncio
import json
import os
import random
import signal
import subprocess
import sys
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import httpx
import pytest

from sidecar.core.reckon.snapshots import Snapshot, add_up
from sidecar.edge.journal import read_snapshots
from sidecar.simulator.sight import Sight
from sidecar.simulator.traffic import Traffic, run_traffic
from tests.rig.payers import Paid, compose_chat, get_json, list_events, pay, read_costs
from tests.rig.process import ROOT, Program, find_port, run_sidecar, run_simulator, write_config

IS_DEEP: Final = os.environ.get("HYPOTHESIS_PROFILE") == "deep"
KILLS: Final = 200 if IS_DEEP else 5
INTERVAL_S: Final = 0.1
SAVING_S: Final = 0.5  # and what passes between the last byte of an answer and its record, on a busy machine
CALLERS: Final = 8
JSON_LOG: Final = {"format": "json"}


@pytest.fixture(scope="module")
def provider(tmp_path_factory: pytest.TempPathFactory) -> Iterator[str]:
    """A provider that waits only as scripts tell it to."""
    with run_simulator(tmp_path_factory.mktemp("provider"), {"speed": 0}) as url:
        yield url


def read(directory: Path) -> Snapshot:
    """Return all that a journal has. Every file of it can be read, and none was set aside."""
    snapshots, problems = read_snapshots(directory, 0)
    assert problems == [] and not list(directory.glob("*damaged*"))
    return add_up(0, 0, snapshots)


def test_two_hundred_processes_that_are_killed(tmp_path: Path) -> None:
    """Each keeps the journal until it is killed at some moment, while hours and days turn: no call is there twice, the last are lost."""
    command = [sys.executable, "-m", "tests.rig.journalist", str(tmp_path), "200", "7"]
    done = subprocess.run(command, cwd=ROOT, capture_output=True, timeout=300, check=False, text=True)
    assert (done.returncode, done.stderr) == (0, ""), done.stdout + done.stderr
    print(done.stdout)
    assert done.stdout.startswith("200 kills") and not done.stdout.rstrip().endswith(" 0 days")


def test_it_tells_what_the_api_tells(tmp_path: Path) -> None:
    """After traffic with every kind of fault, stopped by SIGTERM: the same calls, errors, tokens, cost and latencies, by model too."""
    journal = {"directory": str(tmp_path / "journal"), "interval": "1s"}
    with (
        run_simulator(tmp_path, {"speed": 20, "seed": 5}) as provider,
        run_sidecar(tmp_path, provider, timeouts={"idle": "2s"}, journal=journal) as side,
    ):
        traffic = Traffic(f"{side.url}/openai", seed=5, duration_s=3.0, callers=8, odd_every=4, patience_s=4)
        asyncio.run(run_traffic(traffic, list[Sight]().append))
        told = settle(side.admin_url)
        assert side.program.stop() == 0
    metrics, kept = told["metrics"], read(tmp_path / "journal")
    total = kept.total
    assert total.requests == metrics["requestCount"] > 100 and total.error_ratio == metrics["errorRate"] > 0
    assert (total.input_tokens, total.output_tokens) == (metrics["tokens"]["input"], metrics["tokens"]["output"])
    assert total.cost_usd == pytest.approx(metrics["costUsd"])
    shown = [metrics["latency"][name] / 1000 for name in ("p50", "p95", "p99")]
    assert total.durations.quantiles(0.5, 0.95, 0.99) == pytest.approx(shown, abs=1e-6)  # rounded
    models = {model: each["requestCount"] for model, each in told["models"].items()}
    assert {f"openai/{model}": calls for model, calls in models.items()}.items() <= {
        whose: tally.requests for whose, tally in kept.calls.items()
    }.items()
    shown = [json.loads(path.read_bytes()) for path in (tmp_path / "journal").glob("hourly_*.json")]
    assert sum(each["requests"] for each in shown) == total.requests
    assert sum(each["token_usage"]["total_tokens"] or 0 for each in shown) == total.input_tokens + total.output_tokens


def settle(admin_url: str) -> Any:
    """Return what /api/performance tells once no call is in progress any more."""
    with httpx.Client(base_url=admin_url, trust_env=False) as admin:
        for _ in range(100):
            scrape = admin.get("/metrics", headers={"Accept": "text/plain"}).text
            if not any(float(line.split()[-1]) for line in scrape.splitlines() if line.startswith("llm_sidecar_in_flight_requests")):
                return admin.get("/api/performance").json()
            time.sleep(0.1)
    raise AssertionError("calls go on")


async def call_on(url: str, tag: str, dice: random.Random, paid: list[Paid]) -> None:
    """Make calls, whole and streamed, until one of them is not answered."""
    while True:
        request = compose_chat(
            tag, tokens=dice.randrange(4, 40), stream=dice.random() < 0.5, ttft_ms=dice.random() * 20, gap_ms=dice.random() * 2
        )
        paid.append(await pay(url, tag, request))
        if not paid[-1].is_answered:
            return


async def test_kill_9_amid_traffic(tmp_path: Path, provider: str) -> None:
    """Again and again: what was answered earlier than an interval before is there, and nothing that the provider has not answered."""
    dice, before, paid, lost = random.Random(20), 0, list[Paid](), 0
    journal = {"directory": str(tmp_path / "journal"), "interval": f"{INTERVAL_S * 1000:.0f}ms"}
    for number in range(KILLS):
        with run_sidecar(tmp_path, provider, journal=journal) as side:
            mine: list[Paid] = []
            callers = [asyncio.create_task(call_on(side.url, f"kill {number}", dice, mine)) for _ in range(CALLERS)]
            await asyncio.sleep(0.05 + dice.random() * 0.6)
            killed = time.monotonic()
            side.program.signal(signal.SIGKILL)
            side.program.wait()
            await asyncio.gather(*callers)
        paid += mine
        gained = read(tmp_path / "journal").total.requests - before
        before += gained
        answered = [each.ended_at for each in mine if each.is_answered]
        due = sum(ended_at < killed - INTERVAL_S - SAVING_S for ended_at in answered)
        assert due <= gained <= len(mine), f"{gained} calls, of {len(answered)} answered, {due} long ago"
        lost += len(answered) - min(gained, len(answered))
    total = read(tmp_path / "journal").total
    costs = await read_costs(provider)
    billed = sum(nano for tag, nano in costs.items() if tag.startswith("kill ")) / 1e9
    print(f"{KILLS} kills, {len(paid)} calls, {total.requests} in the journal, {lost} answered and lost; USD {total.cost_usd} of {billed}")
    assert 0 < total.requests <= len(paid) and 0 < total.cost_usd <= billed + 1e-9


@pytest.mark.parametrize("directory", ["/proc/journal", "/sys/journal", "/dev/null/journal"])
async def test_a_directory_that_cannot_be_written_costs_no_call(tmp_path: Path, provider: str, directory: str) -> None:
    """One line in the log, a check of health that is not well, and answers as ever."""
    journal = {"directory": directory, "interval": "100ms"}
    with run_sidecar(tmp_path, provider, journal=journal, log=JSON_LOG) as side:
        for _ in range(20):
            assert (await pay(side.url, "unwritable", compose_chat("unwritable", tokens=4))).is_answered
            await asyncio.sleep(0.02)
        health = await get_json(side.admin_url, "/health")
        assert health["checks"]["journal"]["status"] == "degraded" and health["status"] != "unhealthy"
        assert side.program.stop() == 0
        (event,) = list_events(side.program.output, "journal_failed")
    assert event["level"] == "warning" and event["directory"] == directory and event["problem"]


def test_a_second_sidecar_is_refused(tmp_path: Path, provider: str) -> None:
    """It says which setting is wrong, and leaves the journal of the first alone."""
    journal = {"directory": str(tmp_path / "journal")}
    with run_sidecar(tmp_path, provider, journal=journal):
        config = write_config(tmp_path, provider, find_port(), find_port(), journal=journal)
        second = Program(["run", "--config", str(config)], tmp_path)
        assert second.wait() == 1
        assert "journal.directory" in second.output and "another sidecar writes to" in second.output
    assert read(tmp_path / "journal").total.requests == 0
