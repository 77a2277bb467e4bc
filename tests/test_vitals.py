"""Where each check finds what it needs: in the parts of a sidecar that runs."""

import asyncio
import re
from collections.abc import Mapping
from dataclasses import replace
from pathlib import Path
from typing import Any

import httpx

from sidecar.app import Sidecar
from sidecar.config import Admin, Breaker, Budget, Budgets, Features, Redis, Reload, Route, Settings, Timeouts, Upstream
from sidecar.core.settings.resolution import Loaded
from tests.edge.sockets import serving
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
NOBODY = "http://127.0.0.1:9"
BASE = Settings(
    listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"), upstreams={"up": Upstream(NOBODY)}, routes=(Route("/", "up"),),
    timeouts=Timeouts(shutdown=0.2), breaker=Breaker(consecutive=2), features=Features(probes=False),
)  # fmt: skip


async def ask(sidecar: Sidecar) -> tuple[int, dict[str, Any]]:
    """Return the status and the report."""
    async with httpx.AsyncClient(trust_env=False) as client:
        response = await client.get(f"{sidecar.admin_url}/health")
    return response.status_code, response.json()


def find_bad(told: dict[str, Any]) -> set[str]:
    """Return the checks that found something."""
    return {name for name, check in told["checks"].items() if check["status"] != "healthy"}


async def look(settings: Settings, environ: Mapping[str, str] | None = None, source: str = "no file", calls: int = 0) -> dict[str, Any]:
    """Run a sidecar, make some calls, and return its report."""
    sidecar = Sidecar(settings, environ or {}, source=source)
    await sidecar.start()
    try:
        async with httpx.AsyncClient(base_url=sidecar.data_url, trust_env=False) as client:
            for _ in range(calls):
                await client.post("/v1/chat/completions", json={"model": "m", "messages": []})
        return (await ask(sidecar))[1]
    finally:
        await sidecar.stop()


async def test_a_sidecar_that_has_just_started_is_healthy() -> None:
    """Every check is there, each with its time, and none finds anything."""
    told = await look(BASE)
    assert find_bad(told) == set() and told["status"] == "healthy"
    assert list(told["checks"]) == [
        "serving", "configuration", "upstreams", "breakers", "cache", "shared_store", "budgets", "memory", "event_loop", "telemetry",
        "journal", "reach", "admin_port", "features",
    ]  # fmt: skip
    assert all(check["status"] == "healthy" and check["since"].endswith("Z") for check in told["checks"].values())
    part = README[README.index("\nThe checks are ") : README.index("They say what calls")]
    assert re.findall(r"`(\w+)`", part) == list(told["checks"])
    assert told["checks"]["configuration"]["source"] == "no file"
    assert told["checks"]["memory"]["rssBytes"] > 1_000_000


async def test_it_is_unhealthy_when_nobody_can_be_asked_and_when_it_stops() -> None:
    """Its only upstream refuses, so that its circuit breaker opens; then, while it drains, it is not serving."""
    told = await look(BASE, calls=2)
    assert (told["status"], told["checks"]["upstreams"]["status"]) == ("unhealthy", "unhealthy")
    assert told["checks"]["upstreams"]["closedRoutes"] == ["/"]
    assert told["checks"]["breakers"]["notClosed"][0]["upstream"] == "up"
    held = asyncio.Event()

    async def hold(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        held.set()
        await reader.read(-1)

    async with serving(hold) as port:
        sidecar = Sidecar(replace(BASE, upstreams={"up": Upstream(f"http://127.0.0.1:{port}")}, timeouts=Timeouts(shutdown=5.0)), {})
        await sidecar.start()
        async with httpx.AsyncClient(trust_env=False) as client:
            call = asyncio.create_task(client.post(f"{sidecar.data_url}/v1/chat/completions", json={"model": "m"}))
            await asyncio.wait_for(held.wait(), 5)
            stopping = asyncio.create_task(sidecar.stop())
            await asyncio.sleep(0.05)
            status, told = await ask(sidecar)
            assert (status, told["status"], told["checks"]["serving"]["status"]) == (503, "unhealthy", "unhealthy")
            call.cancel()
            await asyncio.wait([stopping, call])


async def test_what_it_needs_and_cannot_have_degrades_it(tmp_path: Path) -> None:
    """A shared store, a collector, a file that the configuration names: calls go on without."""
    file, token = tmp_path / "sidecar.yaml", tmp_path / "token"
    for each in (file, token):
        each.write_text("secret-token", encoding="utf-8")
    settings = replace(
        BASE, redis=Redis(url="redis://127.0.0.1:1/0"), features=Features(probes=False, breakers=False, cache=True),
        admin=replace(BASE.admin, token_file=str(token)), reload=Reload(interval=0.1, debounce=0.01),
    )  # fmt: skip
    environ = {"OTEL_EXPORTER_OTLP_ENDPOINT": NOBODY, "OTEL_BSP_SCHEDULE_DELAY": "10", "OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"}
    sidecar = Sidecar(settings, environ, source=str(file), load=lambda _: Loaded(settings, {}, str(file)))
    await sidecar.start()
    token.unlink()
    file.write_text("changed", encoding="utf-8")
    async with httpx.AsyncClient(trust_env=False) as client:
        await client.post(f"{sidecar.data_url}/v1/chat/completions", json={"model": "m", "messages": []})
    async with asyncio.timeout(20):
        while not find_bad((await ask(sidecar))[1]) >= {"shared_store", "telemetry", "configuration"}:
            await asyncio.sleep(0.02)
        while not (await ask(sidecar))[1]["checks"]["configuration"]["problems"]:
            await asyncio.sleep(0.02)
    status, told = await ask(sidecar)
    await sidecar.stop()
    assert find_bad(told) == {"shared_store", "telemetry", "configuration", "upstreams"} and (status, told["status"]) == (200, "degraded")
    configuration = told["checks"]["configuration"]
    assert configuration["changedSince"] is True and configuration["problems"][0].startswith("admin.token_file: ")
    assert "secret-token" not in str(told)


async def test_a_ledger_is_told_of(tmp_path: Path) -> None:
    """Where there is one."""
    budgets = Budgets(file=str(tmp_path / "ledger"), tenant=Budget(day=1.0))
    told = await look(replace(BASE, features=Features(probes=False, budgets=True), budgets=budgets))
    assert told["checks"]["budgets"]["ledger"] == {"problem": None}


async def test_ports_that_others_reach_are_told_until_it_is_meant() -> None:
    """On all addresses; with `gateway` it is as it should be."""
    opened = replace(BASE, listen="0.0.0.0:0", admin=Admin("0.0.0.0:0"), features=Features(probes=False))
    told = await look(opened)
    assert find_bad(told) == {"reach"} and told["checks"]["reach"]["dataUrl"].startswith("http://0.0.0.0:")
    assert find_bad(await look(replace(opened, gateway=True))) == set()


async def test_the_web_configuration_is_told(tmp_path: Path) -> None:
    """What is in force of it."""
    file = tmp_path / "web.yml"
    file.write_text("http_server_config: {http2: true}\n")
    told = await look(replace(BASE, admin=Admin("127.0.0.1:0", web_config_file=str(file))))
    check = told["checks"]["admin_port"]
    assert (check["status"], check["source"], check["tls"], check["users"]) == ("healthy", str(file), False, 0)
    assert len(check["remarks"]) == 1
