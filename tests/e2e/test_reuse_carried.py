"""Cache, shared work, limits and budgets under real calls, as operators see them: one sidecar with all of it on, and a Redis that dies.

A real Prometheus scrapes it. That every panel has data is in test_everything_seen.py; here it is shown that callers hardly notice, and
that alerts and log lines tell of what happened, once, and of nothing else.
"""

import asyncio
import json
import time
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from sidecar.simulator.errands import KEY, Habits, list_usual
from sidecar.simulator.sight import Sight
from sidecar.simulator.tools import TOOL, TOOLS_ROUTE
from sidecar.simulator.traffic import Traffic, run_traffic
from tests.rig.everything import hasten_rules
from tests.rig.pools import Scrape
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator
from tests.rig.prometheus import Prometheus, needs_prometheus, scraping_jobs
from tests.rig.redis import RedisServer, needs_redis, run_redis

pytestmark = [needs_prometheus, needs_redis]

SEED: Final = 11
ROUTES: Final = ("openai", "anthropic", "gemini", "ollama", "openrouter")
HABITS: Final = Habits(repeats=0.45, tool=0.15, indexes_every=25, tenants=(("shop", 50), ("support", 25), ("reports", 25)))
ODD_EVERY: Final = 12
SHARED_S: Final = 9.0
ALONE_S: Final = 9.0
PATIENCE_S: Final = 20.0
WINDOW_S: Final = 10  # in place of minutes


def configure(folder: Path, simulator: str, redis: RedisServer) -> dict[str, Any]:
    """Return settings with all that this is about; levels are small, so that answers come back from the shared one."""
    (folder / "key").write_text(KEY, encoding="utf-8")
    lines = [
        {"path": f"/{errand.route}{errand.path}", "body": json.loads(errand.body), "tenant": "shop", "headers": {"accept": "*/*"}}
        for errand in list_usual(SEED, 8, ROUTES)
    ]
    (folder / "prompts.jsonl").write_text("".join(f"{json.dumps(line)}\n" for line in lines), encoding="utf-8")
    return {
        "upstreams": {name: {"url": simulator + ("/api" if name == "openrouter" else "")} for name in ROUTES}
        | {TOOL: {"url": f"{simulator}/{TOOLS_ROUTE}", "provider": TOOL}},
        "routes": [{"prefix": f"/{TOOLS_ROUTE}/", "upstream": TOOL, "kind": "tool", "idempotent": True, "cache": "1s"}],
        "features": dict.fromkeys(("cache", "coalescing", "stale", "refresh", "warming", "batches", "limits", "budgets"), True)
        | {"breakers": False, "probes": False},
        "cache": {
            "ignore_headers": ["x-sim-seed", "x-sim-tag"], "expiry": {"answers": "4s"}, "refresh_share": 0.5, "refresh_hits": 2,
            "hot": {"entries": 3}, "warm": {"entries": 4}, "cleanup": "1s",
        },
        "batches": {"wait": "200ms"},
        "tenants": {"names": ["shop"]},
        "limits": {"rates": {"tenants": {"reports": {"requests": {"per_second": 5}}}}},
        "budgets": {"file": str(folder / "budgets"), "all": {"month": 1000}, "tenants": {"support": {"day": 0.03}}, "output_tokens": 128},
        "warming": {"file": str(folder / "prompts.jsonl"), "key_file": str(folder / "key"), "pace": "500ms", "every": "1s"},
        "redis": {"url": redis.url},
    }  # fmt: skip


class Carried(NamedTuple):
    """What Prometheus, the scrape at the end, the callers and the log say."""

    prometheus: Prometheus
    began_s: float
    ended_s: float
    scrape: Scrape
    sights: list[Sight]
    log: list[dict[str, Any]]


@pytest.fixture(scope="module")
def carried(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Carried]:
    """A sidecar that has been called for a while, with Redis and then without."""
    folder = tmp_path_factory.mktemp("carried")
    profile = {"speed": 5, "outages": {"healthy": 6, "failing": 2, "provider": TOOL, "faults": ["unavailable"]}}
    sights: list[Sight] = []
    with (
        run_redis(folder) as redis, run_simulator(folder, profile) as simulator,
        run_sidecar(folder, "", **configure(folder, simulator, redis)) as side,
        scraping_jobs(folder, {"sidecar": [side.admin_url.removeprefix("http://")]}, list(hasten_rules(folder))) as prometheus,
    ):  # fmt: skip
        await_scrapes(prometheus)
        began_s = time.time()
        asyncio.run(call(side, redis, sights))
        time.sleep(1.5)  # one more scrape
        scrape = Scrape(side.scrape())
        lines = [json.loads(line) for line in side.program.output.splitlines()]
        yield Carried(prometheus, began_s, time.time(), scrape, sights, lines)


def await_scrapes(prometheus: Prometheus) -> None:
    """Wait until there are two: what has never been scraped cannot be seen to grow."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not prometheus.query("count_over_time(up[1m]) >= 2"):
        assert time.monotonic() < deadline_s
        time.sleep(0.1)


async def call(side: RunningSidecar, redis: RedisServer, sights: list[Sight]) -> None:
    """Let callers call; in the middle of it Redis dies. One tenant is stopped for the last part."""
    traffic = Traffic(
        f"{side.url}/{{route}}", seed=SEED, duration_s=SHARED_S + ALONE_S, callers=16, odd_every=ODD_EVERY, think_s=0.3, patience_s=4.0,
        routes=ROUTES, habits=HABITS,
    )  # fmt: skip

    async def interfere() -> None:
        await asyncio.sleep(SHARED_S)
        redis.kill()
        await asyncio.sleep(ALONE_S / 2)
        async with httpx.AsyncClient() as client:
            answer = await client.post(f"{side.admin_url}/api/budgets", json={"tenant": "reports", "stopped": True})
            assert answer.status_code == 200, answer.text

    await asyncio.gather(run_traffic(traffic, sights.append), interfere())


def test_callers_were_told_so(carried: Carried) -> None:
    """Nobody's call failed for want of Redis: what was refused is what limits and budgets refused, and that is in the metrics."""
    refused = len([sight for sight in carried.sights if sight.status == 429])
    assert carried.scrape.sum("rate_limited_requests_total") == refused - carried.scrape.sum("requests_total", ending="rate_limited") > 20
    usual = [sight for sight in carried.sights if sight.number % ODD_EVERY != ODD_EVERY - 1 and sight.status != 429]
    # The tool fails now and then; what it has said before stands in, as long as it is still kept.
    assert {sight.status for sight in usual if sight.kind == "tool"} <= {200, 503}
    assert [sight for sight in usual if sight.kind != "tool" and not (sight.is_complete and sight.status == 200)] == []


def test_alerts_fire_once(carried: Carried) -> None:
    """The soft limit warns once and of one budget, the store that died once; nobody is warned of what is well."""
    found = carried.prometheus.query_range('ALERTS{alertstate="firing"}', carried.began_s, carried.ended_s)
    times = {
        (series["metric"]["alertname"], series["metric"].get("tenant", "")): [float(at) for at, _ in series["values"]] for series in found
    }  # fmt: skip
    assert times.keys() >= {("LLMBudgetNearlySpent", "support"), ("LLMSharedStoreDown", ""), ("LLMSpendingStopped", "reports")}
    for name in ("LLMBudgetNearlySpent", "LLMSharedStoreDown"):
        ((_, at_s),) = [each for each in times.items() if each[0][0] == name]
        assert all(after - before < 1.5 for before, after in pairwise(at_s)), name  # without a break
        assert at_s[-1] > carried.ended_s - WINDOW_S, name
    assert times["LLMSharedStoreDown", ""][0] > carried.began_s + SHARED_S
    assert not {name for name, _ in times} & {"LLMLedgerFailing", "LLMRetryBudgetExhausted", "LLMCallsShed"}


def test_the_log_tells_of_it(carried: Carried) -> None:
    """The soft limit once, that the store is away once, and who was stopped."""
    told = [line["event"] for line in carried.log]
    assert told.count("budget_soft_limit_reached") == 1
    assert told.count("shared_store_away") == 1 and "shared_store_back" not in told
    assert [line["tenant"] for line in carried.log if line["event"] == "spending_stopped"] == ["reports"]
