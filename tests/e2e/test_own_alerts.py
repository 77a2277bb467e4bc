"""An alert of the sidecar's own: at the admin port, in the log, and at a webhook."""

import itertools
import json
import queue
import signal
import threading
import time
from collections.abc import Iterator
from http.server import BaseHTTPRequestHandler, ThreadingHTTPServer
from pathlib import Path
from typing import Any, TypeAlias

import httpx
import pytest

from tests.rig.process import run_sidecar, run_simulator

TOKEN = "canary-token"
CALL = {"model": "sim-large", "messages": [{"role": "user", "content": "hello"}]}

Got: TypeAlias = "queue.Queue[tuple[str, str | None, Any]]"
Hook: TypeAlias = tuple[str, Got]


@pytest.fixture
def hook() -> Iterator[Hook]:
    """A receiver's address, and what it gets: it refuses the first message with 503."""
    got: Got = queue.Queue()
    statuses = itertools.chain((503,), itertools.repeat(200))

    class Handler(BaseHTTPRequestHandler):
        def do_POST(self) -> None:
            body = json.loads(self.rfile.read(int(self.headers["Content-Length"])))
            self.send_response(next(statuses))
            got.put((self.path, self.headers["Authorization"], body))
            self.end_headers()

        def log_message(self, *_: object) -> None:
            """Say nothing."""

    server = ThreadingHTTPServer(("127.0.0.1", 0), Handler)
    threading.Thread(target=server.serve_forever, daemon=True).start()
    yield f"http://127.0.0.1:{server.server_port}/canary-path?canary=1", got
    server.shutdown()
    server.server_close()


def arrange(folder: Path, url: str) -> dict[str, Any]:
    """Return settings by which the first call brings an alert, which is sent to this address."""
    (folder / "url").write_text(url)
    (folder / "token").write_text(TOKEN)
    return {
        "features": {"budgets": True}, "budgets": {"all": {"month": 1}, "soft": 0.000001}, "log": {"format": "json"},
        "alerts": {"webhook_file": str(folder / "url"), "token_file": str(folder / "token")},
    }  # fmt: skip


def test_an_alert_is_told_everywhere(tmp_path: Path, hook: Hook) -> None:
    """A budget that is nearly spent holds at once: within one judgement it is told, and what is secret stays so."""
    settings, got = arrange(tmp_path, hook[0]), hook[1]
    with run_simulator(tmp_path, {"speed": 20}) as provider, run_sidecar(tmp_path, provider, **settings) as side:
        httpx.post(f"{side.url}/openai/v1/chat/completions", json=CALL, trust_env=False).raise_for_status()
        messages = [got.get(timeout=30) for _ in range(2)]
        assert messages[0] == messages[1]
        path, authorization, message = messages[0]
        assert (path, authorization) == ("/canary-path?canary=1", f"Bearer {TOKEN}")
        assert (message["version"], message["status"], message["groupLabels"]) == ("4", "firing", {"alertname": "LLMBudgetNearlySpent"})
        deadline = time.monotonic() + 10
        told = httpx.get(f"{side.admin_url}/api/alerts", trust_env=False).json()
        while told["webhook"] != {"sent": 1, "waiting": 0, "lost": 0} and time.monotonic() < deadline:
            told = httpx.get(f"{side.admin_url}/api/alerts", trust_env=False).json()
            time.sleep(0.05)
        assert told["webhook"] == {"sent": 1, "waiting": 0, "lost": 0} and told["past"] == []
        (alarm,) = told["active"]
        assert (alarm["alert"], alarm["level"], alarm["labels"]) == ("LLMBudgetNearlySpent", "medium", {"tenant": "*", "window": "month"})
        assert alarm["labels"].items() <= message["alerts"][0]["labels"].items()
        log = side.program.output
    events = [line.get("event") for line in map(json.loads, filter(lambda line: line.startswith("{"), log.splitlines()))]
    assert events.count("alert_fired") == events.count("alert_webhook_failed") == 1
    assert "canary" not in log and "canary" not in json.dumps(told)


def test_what_waits_to_be_told_is_told_at_the_end(tmp_path: Path, hook: Hook) -> None:
    """The receiver refused it a moment ago, and the process is told to stop: it is not left to wait for a time that does not come."""
    settings, got = arrange(tmp_path, hook[0]), hook[1]
    with run_simulator(tmp_path, {"speed": 20}) as provider, run_sidecar(tmp_path, provider, **settings) as side:
        httpx.post(f"{side.url}/openai/v1/chat/completions", json=CALL, trust_env=False).raise_for_status()
        refused = got.get(timeout=30)
        side.program.signal(signal.SIGTERM)
        assert side.program.wait() == 0
        assert got.get(timeout=1) == refused and got.empty()
        assert '"lost": true' not in side.program.output and '"lost":true' not in side.program.output
