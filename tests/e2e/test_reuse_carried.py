"""Cache, shared work, limits and budgets under real calls, as operators see them: one sidecar with all of it on, and a Redis that dies.

A real Prometheus scrapes it. What panels say of made records, to the digit, is in test_reuse_seen.py; here it is shown that calls
make such records, that every query of both boards has data, and that alerts fire for what happened, once, and for nothing else.
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
from tests.e2e.test_resilience_seen import await_scrapes
from tests.e2e.test_reuse_seen import PANELS, WINDOW_S, Watched, shorten_rules
from tests.rig.pools import Scrape
from tests.rig.process import RunningSidecar, run_sidecar, run_simulator
from tests.rig.prometheus import needs_prometheus, scraping
from tests.rig.redis import RedisServer, needs_redis, run_redis

pytestmark = [needs_prometheus, needs_redis]

SEED: Final = 11
ROUTES: Final = ("openai", "anthropic", "gemini", "ollama", "openrouter")
HABITS: Final = Habits(repeats=0.45, tool=0.15, indexes_every=25, tenants=(("shop", 50), ("support", 25), ("reports", 25)))
ODD_EVERY: Final = 12
SHARED_S: Final = 9.0
ALONE_S: Final = 9.0
# What a ledger on a disk that works never shows.
HEALTHY: Final = {"Ledger failures by reason"}


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

    watched: Watched
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
        scraping(folder, side.admin_url.removeprefix("http://"), shorten_rules(folder)) as prometheus,
    ):  # fmt: skip
        await_scrapes(prometheus)
        began_s = time.time()
        asyncio.run(call(side, redis, sights))
        time.sleep(1.5)  # one more scrape
        scrape = Scrape(side.scrape())
        lines = [json.loads(line) for line in side.program.output.splitlines()]
        yield Carried(Watched(prometheus, began_s, time.time()), scrape, sights, lines)


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


@pytest.mark.parametrize("title", PANELS)
def test_every_panel_has_data(carried: Carried, title: str) -> None:
    """Each query of each panel is answered with a number."""
    for target in PANELS[title]["targets"]:
        assert bool(carried.watched.ask(target["expr"])) is (title not in HEALTHY), target["expr"]


@pytest.mark.parametrize(
    ("title", "labels"),
    [
        *(("Hits by level", {"level": level}) for level in ("hot", "shared")),
        ("Lookups", {}), ("Saved per hour", {}), ("Share of cost saved", {}), ("Calls saved by sharing", {}), ("Kept answers", {}),
        ("Hit ratio by tool", {"tool": TOOL}), ("Bypass by reason", {"reason": "not_deterministic"}), ("Stored by kind", {"kind": "tools"}),
        ("Evictions", {"level": "warm", "reason": "full"}), ("Refreshes and warming", {"outcome": "succeeded"}),
        ("Saved per hour by model", {"model": "sim-small"}), ("Saved tokens by type", {"type": "input"}),
        ("Coalesced calls by role", {"role": "leader"}), ("Embeddings in batches", {}),
        ("Commands by outcome", {"outcome": "ok"}), ("Commands by outcome", {"outcome": "away"}), ("Shared store away", {}),
        ("Budgets near their end", {}), ("Stopped", {}), ("Stopped spending", {"tenant": "reports"}),
        ("Calls refused by limit", {"tenant": "reports", "limit": "requests_second"}),
        ("Calls refused by limit", {"tenant": "support", "limit": "budget_day"}),
        ("Share refused by tenant", {"tenant": "reports"}), ("Cost per hour by tenant", {"tenant": "warming"}),
    ],
    ids=lambda told: told if isinstance(told, str) else "-".join(told.values()),
)  # fmt: skip
def test_panels_say_what_happened(carried: Carried, title: str, labels: dict[str, str]) -> None:
    """What has happened is above 0, with the labels by which it is told apart."""
    assert max(carried.watched.peak(title, number, **labels) for number in range(len(PANELS[title]["targets"]))) > 0


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
    found = carried.watched.prometheus.query_range('ALERTS{alertstate="firing"}', carried.watched.began_s, carried.watched.ended_s)
    times = {
        (series["metric"]["alertname"], series["metric"].get("tenant", "")): [float(at) for at, _ in series["values"]] for series in found
    }  # fmt: skip
    assert times.keys() >= {("LLMBudgetNearlySpent", "support"), ("LLMSharedStoreDown", ""), ("LLMSpendingStopped", "reports")}
    for name in ("LLMBudgetNearlySpent", "LLMSharedStoreDown"):
        ((_, at_s),) = [each for each in times.items() if each[0][0] == name]
        assert all(after - before < 1.5 for before, after in pairwise(at_s)), name  # without a break
        assert at_s[-1] > carried.watched.ended_s - WINDOW_S, name
    assert times["LLMSharedStoreDown", ""][0] > carried.watched.began_s + SHARED_S
    assert not {name for name, _ in times} & {"LLMLedgerFailing", "LLMRetryBudgetExhausted", "LLMCallsShed"}


def test_the_log_tells_of_it(carried: Carried) -> None:
    """The soft limit once, that the store is away once, and who was stopped."""
    told = [line["event"] for line in carried.log]
    assert told.count("budget_soft_limit_reached") == 1
    assert told.count("shared_store_away") == 1 and "shared_store_back" not in told
    assert [line["tenant"] for line in carried.log if line["event"] == "spending_stopped"] == ["reports"]
