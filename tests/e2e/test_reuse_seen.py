"""Cache, shared work, limits and budgets are seen where operators look: a real Prometheus scrapes what records and views amount to.

Records are made, not carried: what is proven is that each query of the two boards has data, and that the numbers are those that
went in. That calls make such records is shown where they are carried.
"""

import asyncio
import json
import math
import re
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final, NamedTuple

import pytest
import yaml

from sidecar import catalogue
from sidecar.config import Budget, Budgets, Features, Limits, Rate, RateLimits, Rates, Redis, Settings, Tenants
from sidecar.edge.inbound.admin import AdminServer
from sidecar.edge.inbound.pages import make_pages
from sidecar.edge.telemetry.exposition import Exposition
from sidecar.edge.telemetry.meter import Meter
from sidecar.exchange import Asked, Cost, Ending, Record, Saved, Usage, UsageSource
from tests.edge.telemetry.records import make_attempt, make_record, make_streamed
from tests.edge.telemetry.test_accounts import View
from tests.rig.prometheus import Prometheus, needs_prometheus, scraping

pytestmark = needs_prometheus

ROOT: Final = Path(__file__).resolve().parents[2]
BOARDS: Final = {name: json.loads((ROOT / "dashboards" / f"{name}.json").read_text(encoding="utf-8")) for name in ("cache", "spending")}
PANELS: Final[dict[str, Any]] = {panel["title"]: panel for board in BOARDS.values() for panel in board["panels"] if panel["type"] != "row"}
LOAD_S: Final = 12.0
BEAT_S: Final = 0.25
WINDOW_S: Final = 6  # in place of minutes
SETTINGS: Final = Settings(
    tenants=Tenants(names=("acme",)),
    limits=Limits(rates=RateLimits(tenant=Rates(requests=Rate(per_minute=60.0)))),
    budgets=Budgets(all=Budget(month=100.0), tenants={"acme": Budget(day=5.0)}),
    redis=Redis(url="redis://there:6379/0"),
    features=Features(cache=True, coalescing=True, limits=True, budgets=True),
)
NOTHING_USED: Final[dict[str, Any]] = {"attempts": (), "usage": None, "usage_source": UsageSource.ABSENT, "cost": None}
TOLD: Final[dict[str, Any]] = {**NOTHING_USED, "saved": Saved(Usage(10, 0, 0, 30, 0), Cost(0.5, "table"))}
REFUSED: Final[dict[str, Any]] = {**NOTHING_USED, "upstream": "", "ending": Ending.REFUSED, "status": 429}
TOOL: Final[dict[str, Any]] = {"operation": catalogue.EXECUTE_TOOL, "asked": Asked(tool="weather"), "usage": None, "cost": None}
BATCH: Final[dict[str, Any]] = {"operation": "embeddings", "usage": Usage(4), "usage_source": UsageSource.APPORTIONED, "bundled": 5}


def list_records() -> list[Record]:
    """Return what happens again and again: three hits of ten lookups, and one of everything else."""
    hits = [make_record(tenant="acme", cache="hit", cache_level=level, **TOLD) for level in ("hot", "warm")]
    misses = [make_streamed(tenant="default", cache="miss") for _ in range(5)]
    return [
        *hits, *misses,
        make_record(tenant="acme", cache="stale", **TOLD),
        make_record(tenant="acme", cache="coalesced", **TOLD),
        make_record(tenant="acme", cache="bypass", bypass="tools"),
        make_record(tenant="acme", limited="requests_minute", **REFUSED),
        make_record(tenant="other", limited="all_budget_month", **REFUSED),
        make_record(tenant="acme", cache="miss", **TOOL),
        make_record(tenant="acme", cache="hit", cache_level="shared", **{**TOOL, "attempts": ()}),
        make_record(tenant="acme", origin="warming", cache="miss"),
        make_record(tenant="acme", origin="refresh", cache="miss", ending=Ending.UPSTREAM_ERROR, status=503),
        make_record(tenant="acme", **BATCH, attempts=(make_attempt(),)),
        make_record(tenant="acme", **BATCH, attempts=()),
    ]  # fmt: skip


def note_everything(meter: Meter) -> None:
    """Tell what no record tells."""
    reuse, accounts = meter.reuse, meter.accounts
    reuse.note_stored("answers")
    reuse.note_not_stored("unfit")
    reuse.note_evicted("warm", "idle", 2)
    reuse.note_joined(is_first=True)
    reuse.note_detached()
    reuse.note_shared("late")
    reuse.note_damaged()
    reuse.note_put_dropped()
    reuse.note_state(False)
    accounts.note_ledger_failure("write")


def refresh(meter: Meter) -> None:
    """Bring the gauges to what is looked for below."""
    meter.reuse.show_levels({"hot": (3, 900), "warm": (40, 5000)})
    meter.accounts.show_budgets([View("acme", "day", 5.25, 0.5, 5.0, True), View("", "month", 30.0, 1.0, 100.0, False)])
    meter.accounts.show_stopped({"default"})


class Watched(NamedTuple):
    """A Prometheus that has seen all of it, and when. Times are Unix seconds."""

    prometheus: Prometheus
    began_s: float
    ended_s: float

    def ask(self, expression: str) -> list[tuple[dict[str, str], float]]:
        """Return the series with a number in them that a panel would show, and the highest number of each."""
        text = re.sub(r"\$(?:job|instance)\b", ".+", expression.replace("$__rate_interval", f"{WINDOW_S}s")).replace("$tenant", ".*")
        found = []
        for series in self.prometheus.query_range(text, self.began_s, self.ended_s):
            values = [float(value) for _, value in series["values"] if math.isfinite(float(value))]
            if values:
                found.append((series["metric"], max(values)))
        return found

    def peak(self, title: str, target: int = 0, **labels: str) -> float:
        """Return the highest value that a query of a panel shows of the series with these labels."""
        found = self.ask(PANELS[title]["targets"][target]["expr"])
        return max((value for has, value in found if labels.items() <= has.items()), default=math.nan)


@pytest.fixture(scope="module")
def watched(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Watched]:
    """A scrape, and a Prometheus that has read it for a while."""
    folder = tmp_path_factory.mktemp("reuse")
    meter = Meter(Limits(), ["openai"], version="1.0", python="3.11")
    for part in (meter.resilience, meter.reuse, meter.accounts):
        part.prepare(SETTINGS)
    meter.before_scrape(lambda: refresh(meter))
    with asyncio.Runner() as runner:
        server, host, port = runner.run(serve(meter))
        with scraping(folder, f"{host}:{port}", shorten_rules(folder)) as prometheus:
            began_s = time.time()
            runner.run(feed(meter))
            yield Watched(prometheus, began_s, time.time())
        runner.run(server.stop())


async def serve(meter: Meter) -> tuple[AdminServer, str, int]:
    """Return an admin port that is open, and where."""
    server = AdminServer(make_pages(Exposition(meter), lambda: True, [], lambda: ""))
    return server, *await server.start("127.0.0.1", 0)


async def feed(meter: Meter) -> None:
    """Let the same happen with each beat, from the first scrapes on."""
    await asyncio.sleep(2.5)
    ends_s = time.monotonic() + LOAD_S
    while time.monotonic() < ends_s:
        for record in list_records():
            meter.observe(record)
        note_everything(meter)
        await asyncio.sleep(BEAT_S)


def shorten_rules(folder: Path) -> Path:
    """Write the rules with seconds in place of minutes."""
    tree = yaml.safe_load((ROOT / "alerts" / "rules.yml").read_text(encoding="utf-8"))
    for rule in (rule for group in tree["groups"] for rule in group["rules"]):
        rule["expr"] = re.sub(r"\[(?:5|15|30)m\]", f"[{WINDOW_S}s]", rule["expr"])
        rule.update({name: "1s" for name in ("for", "keep_firing_for") if name in rule})
    path = folder / "rules.yml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


TARGETS: Final = [
    pytest.param(target["expr"], id=f"{panel['title']} {target['refId']}") for panel in PANELS.values() for target in panel["targets"]
]


@pytest.mark.parametrize("expression", TARGETS)
def test_every_query_of_every_panel_has_data(watched: Watched, expression: str) -> None:
    """Prometheus understands each query, and answers it with at least one number."""
    assert watched.ask(expression)


def test_variables_have_data(watched: Watched) -> None:
    """There is something to choose from."""
    for variable in (variable for board in BOARDS.values() for variable in board["templating"]["list"]):
        if variable["type"] == "query":
            series, label = re.findall(r"label_values\((.*), (\w+)\)", variable["definition"])[0]
            assert [has for has, _ in watched.ask(series) if has.get(label)], variable["name"]


def test_panels_say_what_happened(watched: Watched) -> None:
    """Shares are those that went in; what happened is above 0."""
    assert watched.peak("Hit ratio") == pytest.approx(0.3, abs=0.001)
    assert watched.peak("Hit ratio by tool", tool="weather") == pytest.approx(0.5, abs=0.001)
    assert watched.peak("Refused by limits") == pytest.approx(2 / 18, abs=0.001)
    # Four answers of 0.5 USD each told again; five misses, one bypass, and four errands and batches were paid for.
    assert watched.peak("Share of cost saved") == pytest.approx(2.0 / (2.0 + 10 * 0.25), abs=0.001)
    assert (watched.peak("Kept answers"), watched.peak("Memory of kept answers")) == (43, 5900)
    assert watched.peak("Without the shared store") == 1
    for title, labels in (
        ("Hits by level", {"level": "shared"}),
        ("Bypass by reason", {"reason": "tools"}),
        ("Evictions", {"level": "warm", "reason": "idle"}),
        ("Refreshes and warming", {"outcome": "failed"}),
        ("Saved tokens by type", {"type": "output"}),
        ("Saved per hour by model", {"model": "gpt-4o"}),
        ("Coalesced calls by role", {"role": "leader"}),
        ("Commands by outcome", {"outcome": "late"}),
        ("Calls refused by limit", {"tenant": "other", "limit": "all_budget_month"}),
        ("Ledger failures by reason", {"reason": "write"}),
        ("Tokens by tenant", {"tenant": "acme"}),
        ("Cost per hour by tenant", {"tenant": "default"}),
    ):
        assert watched.peak(title, **labels) > 0, title


def test_budgets_are_told(watched: Watched) -> None:
    """Which is spent, which is not, and who is stopped."""
    title = "Budget spent of limit"
    assert watched.peak(title, tenant="acme", window="day") == pytest.approx(1.05)
    assert watched.peak(title, tenant="*", window="month") == pytest.approx(0.3)
    assert (watched.peak("Budgets spent"), watched.peak("Budgets near their end"), watched.peak("Stopped")) == (1, 1, 1)
    assert watched.peak("Stopped spending", tenant="default") == 1 and watched.peak("Stopped spending", tenant="acme") == 0


def test_alerts_fire(watched: Watched) -> None:
    """Each that is about this, for whom it is about; and the rules run without errors."""
    rules = [rule for group in watched.prometheus.get("rules")["groups"] for rule in group["rules"]]
    assert {(rule["health"], rule.get("lastError", "")) for rule in rules} == {("ok", "")}
    firing = watched.prometheus.query_range('ALERTS{alertstate="firing"}', watched.began_s, watched.ended_s)
    told = {(series["metric"]["alertname"], series["metric"].get("tenant") or series["metric"].get("reason") or "") for series in firing}
    assert told >= {
        ("LLMTenantLimited", "acme"), ("LLMBudgetNearlySpent", "acme"), ("LLMBudgetSpent", "acme"), ("LLMBudgetSpent", "other"),
        ("LLMSpendingStopped", "default"), ("LLMSharedStoreDown", ""), ("LLMLedgerFailing", "write"),
    }  # fmt: skip
    assert not {("LLMTenantLimited", "other"), ("LLMBudgetSpent", "*"), ("LLMLowCacheHitRatio", "")} & told
