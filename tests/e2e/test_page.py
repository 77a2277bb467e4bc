"""The status page of a real process, in Chromium: desktop and phone, light and dark."""

import asyncio
import json
from pathlib import Path
from typing import Any

import httpx

from sidecar.edge.inbound import web
from sidecar.edge.inbound.api import answer
from sidecar.simulator.traffic import Sight, Traffic, run_traffic
from tests.rig.hour import Hour
from tests.rig.page import View, look, needs_browser
from tests.rig.process import find_port, run_sidecar, run_simulator

pytestmark = needs_browser

CHARTS = ("Requests", "Errors", "Latency", "Time to first token", "Output speed", "Cost")


def check(view: View) -> None:
    """What holds of the page whatever it shows."""
    assert (view.console, view.foreign, view.wide, view.barriers) == ([], [], False, [])
    assert 10_000 < view.bytes < 60_000


def test_the_page_shows_how_calls_go(tmp_path: Path) -> None:
    """Every number of the API is there; a circuit breaker that opens is shown within two seconds, and said."""
    headers = {"Content-Type": "application/json"}
    body = json.dumps({"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]})
    with run_simulator(tmp_path, {"speed": 20, "seed": 5}) as provider:
        settings = {
            "upstreams": {"openai": {"url": provider, "provider": "openai"}, "gone": {"url": f"http://127.0.0.1:{find_port()}"}},
            "routes": [{"prefix": "/openai/", "upstream": "openai"}, {"prefix": "/gone/", "upstream": "gone"}],
            "features": {"probes": False, "breakers": True},
        }
        with run_sidecar(tmp_path, provider, **settings) as side:
            traffic = Traffic(f"{side.url}/openai", seed=5, duration_s=4.0, callers=4, odd_every=4, patience_s=4)
            asyncio.run(run_traffic(traffic, list[Sight]().append))
            httpx.post(f"{side.url}/gone/v1/chat/completions", content=body, headers=headers)
            request = {"url": f"{side.url}/gone/v1/chat/completions", "headers": headers, "body": body}
            trigger = {"request": request, "times": 8, "shown": "#upstreams tr:has-text('gone') .pill:has-text('open')"}
            seen = look(tmp_path, f"{side.admin_url}/", "#tiles .value", trigger)
            told = httpx.get(f"{side.admin_url}/api/performance").json()
    for view in seen.views.values():
        check(view)
        assert told["metrics"]["requestCount"] > 50
        for expected in ("sim-small", "connect failed", "Upstreams", "gone", "attempt", *CHARTS):
            assert expected in view.text
        assert [label.split(",")[0] for label in view.labels] == list(CHARTS)
        assert all("between" in label for label in view.labels)
    assert seen.tried is not None
    assert "went well" in seen.tried["keys"] and "failed" in seen.tried["keys"]  # what an arrow key reads from a chart
    hidden, offline = seen.tried["hidden"], seen.tried["offline"]
    assert (hidden["whileHidden"], hidden["state"]) == (0, "paused") and hidden["after"] > 0
    assert offline["state"].startswith("no answer since") and "answers again" in offline["said"]
    assert f"{side.url}/gone/" in seen.tried["plain"] and "JavaScript" in seen.tried["plain"] and "Metrics" in seen.tried["plain"]
    assert seen.shown_ms is not None and seen.shown_ms < 2000
    assert seen.said is not None and "gone: open" in seen.said


async def test_an_hour_with_alerts(tmp_path: Path) -> None:
    """A full hour is as light as a minute; what fires is shown with its reason, what is over beside it."""
    past = make_alert("LlmSidecarUpstreamUnhealthy", "2026-01-01T00:05:00.000Z")
    told = {"active": [make_alert("LlmSidecarErrorRatioHigh", None)], "past": [past]}
    server = Hour().serve({"/api/alerts": lambda request: give(told)})
    host, port = await server.start("127.0.0.1", 0)
    try:
        seen = await asyncio.to_thread(look, tmp_path, f"http://{host}:{port}/", "#alerts:not([hidden]) .alerts", name="hour")
    finally:
        await server.stop()
    for view in seen.views.values():
        check(view)
        for expected in (
            "LlmSidecarErrorRatioHigh · upstream up",
            "critical",
            "20 % of 50 calls failed",
            "Alerts that are over",
            "large",
            "again in 23",
        ):
            assert expected in view.text


def make_alert(name: str, ended: str | None) -> dict[str, Any]:
    """Return an alert as the admin port tells it."""
    return {
        "alert": name, "severity": "critical", "level": "critical", "labels": {"upstream": "up"}, "summary": "Calls fail", "value": 0.2,
        "reason": "20 % of 50 calls failed", "peak": 0.2, "limit": 0.15, "since": "2026-01-01T00:00:00.000Z", "firedAt": None,
        "endedAt": ended, "runbook": "alerts/runbook.md#calls-fail",
    }  # fmt: skip


async def give(tree: object) -> web.Response:
    """Answer with a tree."""
    return answer(tree)


def test_an_idle_sidecar_shows_no_zero(tmp_path: Path) -> None:
    """It says that there are no calls yet, and where they are to be sent."""
    with run_sidecar(tmp_path, "http://127.0.0.1:9") as side:
        seen = look(tmp_path, f"{side.admin_url}/", "#live:not([hidden])", name="idle")
    for view in seen.views.values():
        check(view)
        assert "No calls yet" in view.text and f"{side.url}/openai/v1" in view.text
        assert "off" in view.text.split() and "operator" not in view.text  # breakers, in this configuration
        assert view.labels == [] and "0 ms" not in view.text and "0 %" not in view.text
