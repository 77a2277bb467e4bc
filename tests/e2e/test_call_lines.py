"""Lines of calls, of a sidecar in its own process: against its scrape, and with a reader that has stopped."""

import asyncio
import json
import os
import signal
import subprocess
import sys
import time
from collections import Counter
from pathlib import Path
from typing import Any

import httpx
import pytest

from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.e2e.test_performance import add_up, settle
from tests.house.source import ROOT
from tests.rig.process import find_port, run_sidecar, run_simulator, write_config

CALLS = 3000  # whose lines are more than a pipe holds and than may wait


def read_lines(text: str) -> list[dict[str, Any]]:
    """Return the lines of calls."""
    lines = [json.loads(line) for line in text.splitlines()]
    return [line for line in lines if line["event"] in ("call", "call_failed")]


def test_lines_are_what_the_scrape_counts(tmp_path: Path) -> None:
    """Calls by ending, tokens and cost, after traffic with every kind of fault; and the level is changed meanwhile."""
    more = {"timeouts": {"idle": "2s"}, "log": {"calls": "all"}}
    with run_simulator(tmp_path, {"speed": 20, "seed": 7}) as provider, run_sidecar(tmp_path, provider, **more) as side:
        sights = list[Sight]()
        traffic = Traffic(f"{side.url}/openai", seed=7, duration_s=3.0, callers=8, odd_every=4, patience_s=4)
        asyncio.run(run_traffic(traffic, sights.append))
        with httpx.Client(base_url=side.admin_url, trust_env=False) as admin:
            scrape = settle(admin)
            set_to = admin.put("/-/log-level", json={"level": "error"})
            assert (set_to.status_code, set_to.json()) == (200, {"level": "error"})
            assert admin.put("/-/log-level", json={"level": "loud"}).status_code == 400
            assert httpx.post(f"{side.url}/nowhere").status_code == 404
            assert admin.get("/-/log-level").json() == {"level": "error"}
    lines = read_lines(side.program.output)
    assert len(lines) >= len(sights) > 50
    endings = Counter(line["ending"] for line in lines)
    assert len(endings) > 3 and all(add_up(scrape, "llm_sidecar_requests_total", ending={ending}) == n for ending, n in endings.items())
    assert sum(endings.values()) == add_up(scrape, "llm_sidecar_requests_total")
    tokens = "llm_sidecar_tokens_total"
    assert sum(line.get("output_tokens", 0) for line in lines) == add_up(scrape, tokens, type={"output", "reasoning"})
    assert sum(line.get("input_tokens", 0) for line in lines) == add_up(scrape, tokens, type={"input", "cache_read", "cache_write"})
    assert sum(line.get("cost_usd", 0.0) for line in lines) == pytest.approx(add_up(scrape, "llm_sidecar_cost_usd_total"))
    first = "llm_sidecar_time_to_first_token_seconds"
    assert sum("ttft_s" in line for line in lines) == add_up(scrape, f"{first}_count")
    assert sum(line.get("ttft_s", 0.0) for line in lines) == pytest.approx(add_up(scrape, f"{first}_sum"), abs=1e-3)


def test_a_reader_that_stops_holds_no_call_up(tmp_path: Path) -> None:
    """Nobody reads the log: every call is answered as ever, and the process ends when it is told to; what fits is there later."""
    data_port, admin_port = find_port(), find_port()
    config = write_config(tmp_path, "http://127.0.0.1:1", data_port, admin_port, log={"calls": "all"})
    reading, writing = os.pipe()
    with subprocess.Popen(
        [sys.executable, "-m", "sidecar", "run", "--config", str(config)], stderr=writing, cwd=tmp_path,
        env=os.environ | {"PYTHONPATH": str(ROOT)},
    ) as process:  # fmt: skip
        try:
            os.close(writing)
            with httpx.Client(base_url=f"http://127.0.0.1:{data_port}", timeout=5, trust_env=False) as client:
                await_start(client, process)
                slowest_s = 0.0
                for _ in range(CALLS):
                    began = time.monotonic()
                    assert client.get("/nowhere").status_code == 404
                    slowest_s = max(slowest_s, time.monotonic() - began)
            assert slowest_s < 1.0
            began = time.monotonic()
            process.send_signal(signal.SIGTERM)
            assert process.wait(10) == 0
            assert time.monotonic() - began < 5.0
        finally:
            process.kill()
    with os.fdopen(reading, encoding="utf-8") as rest:
        whole, _, _ = rest.read().rpartition("\n")
    assert 50 < len(read_lines(whole)) < CALLS


def await_start(client: httpx.Client, process: subprocess.Popen[bytes]) -> None:
    """Wait until the data port answers."""
    for _ in range(1000):
        try:
            client.get("/")
        except httpx.TransportError:
            assert process.poll() is None
            time.sleep(0.01)
        else:
            return
    raise AssertionError("did not start")
