"""sidecar/demo.py"""

import asyncio
import io
from collections.abc import Sequence
from pathlib import Path

import httpx
import pytest
import yaml
from aiohttp import web

from sidecar.config import Settings
from sidecar.core.observe.pricing import read_prices
from sidecar.demo import Places, Plan, demonstrate, plan_demo
from sidecar.exchange import Usage
from sidecar.ports import Sink
from sidecar.simulator.accounts import read_ledger, total
from sidecar.simulator.errands import NO_HABITS
from sidecar.simulator.ledger import Row, Tokens
from sidecar.simulator.profile import Profile
from sidecar.simulator.reply import Outcome


class Echo:
    """In place of a sidecar: calls go straight to the provider, metrics repeat its ledger, perhaps wrongly."""

    def __init__(self, settings: Settings, *, forgets: str = "") -> None:
        self._provider = settings.upstreams["openai"].url
        self._forgets = forgets
        self._runner: web.AppRunner | None = None
        self.data_url = self._provider
        self.admin_url = ""
        self.is_stopped = False

    async def start(self) -> None:
        """Serve /metrics."""
        app = web.Application()
        app.router.add_get("/metrics", self._scrape)
        self._runner = web.AppRunner(app)
        await self._runner.setup()
        await web.TCPSite(self._runner, "127.0.0.1", 0).start()
        self.admin_url = f"http://127.0.0.1:{self._runner.addresses[0][1]}"

    async def stop(self) -> None:
        """Close the port."""
        self.is_stopped = True
        if self._runner:
            await self._runner.cleanup()

    async def _scrape(self, _: web.Request) -> web.Response:
        async with httpx.AsyncClient() as client:
            told = (await client.get(f"{self._provider}/_sim/totals")).json()["rows"]
        rows = [
            Row(
                row["provider"], row["model"], row["status"], Outcome(row["outcome"]), row["requests"],
                reported=Tokens(**{name: row["reported"][name] for name in Tokens._fields}), reported_usd=row["reported"]["cost_usd"],
            )
            for row in told
        ]  # fmt: skip
        lines = []
        for (provider, model), tally in read_ledger(rows).items():
            label = f'provider="{provider}",model="{model}"'
            lines += [f'llm_sidecar_requests_total{{route="any",{label},ending="{name}"}} {n}' for name, n in tally.endings.items()]
            lines += [f'llm_sidecar_tokens_total{{{label},type="{kind}",source="reported"}} {n}' for kind, n in tally.tokens.items()]
            lines.append(f'llm_sidecar_cost_usd_total{{{label},source="table"}} {tally.cost_usd}')
        everything = total(read_ledger(rows))
        lines += [f'llm_sidecar_tenant_tokens_total{{tenant="a",type="{kind}"}} {n}' for kind, n in everything.tokens.items()]
        lines.append(f'llm_sidecar_tenant_cost_usd_total{{tenant="a"}} {everything.cost_usd}')
        return web.Response(text="\n".join(line for line in lines if not self._forgets or self._forgets not in line) + "\n")


async def _demonstrate(*, forgets: str = "", calls: int = 40) -> tuple[int, str, Echo]:
    out, made = io.StringIO(), list[Echo]()

    def make(settings: Settings, sinks: Sequence[Sink]) -> Echo:
        made.append(Echo(settings, forgets=forgets))
        return made[-1]

    def plan(places: Places) -> Plan:
        usual = plan_demo(places, None, None, True, is_terminal=False)
        return usual._replace(traffic=usual.traffic._replace(calls=calls, patience_s=0.5, habits=NO_HABITS))

    code = await demonstrate(make, Profile(speed=0), plan, asyncio.Event(), out)
    return code, out.getvalue(), made[0]


async def test_agreement() -> None:
    """Where both count the same the demo says so, shows where to look, and returns 0."""
    code, text, side = await _demonstrate()
    assert code == 0
    assert text.endswith("The sidecar and the provider agree.\n")
    assert f"{side.admin_url}/metrics" in text and f"{side.data_url}/openai/v1" in text
    assert ["total", "sidecar", "40"] in [line.split()[:3] for line in text.splitlines()]
    assert side.is_stopped


@pytest.mark.parametrize("forgets", ['ending="completed"', 'type="output",source', "_cost_usd", "tenant_cost_usd"])
async def test_disagreement(forgets: str) -> None:
    """A count that is missing on one side is told, and the demo returns 1."""
    code, text, side = await _demonstrate(forgets=forgets, calls=10)
    assert code == 1
    assert "The sidecar and the provider differ:" in text
    assert side.is_stopped


async def test_a_sidecar_that_does_not_start() -> None:
    """What was started before is stopped again, and the reason is passed on."""

    class Broken(Echo):
        def __init__(self, settings: Settings, sinks: Sequence[Sink]) -> None:
            super().__init__(settings)

        async def start(self) -> None:
            raise OSError("no such port")

    made: list[str] = []

    def plan(places: Places) -> Plan:
        made.extend(places[:3])
        return plan_demo(places, None, None, True, is_terminal=False)

    with pytest.raises(OSError, match="no such port"):
        await demonstrate(Broken, Profile(speed=0), plan, asyncio.Event(), io.StringIO())
    assert len(set(made)) == 3
    async with httpx.AsyncClient() as client:
        for url in made:
            with pytest.raises(httpx.ConnectError):
                await client.get(f"{url}/_sim/totals")


async def test_live_lines() -> None:
    """Where somebody watches there is a line per second until the traffic is told to stop."""
    out, stop = io.StringIO(), asyncio.Event()
    asyncio.get_running_loop().call_later(1.3, stop.set)

    def plan(places: Places) -> Plan:
        usual = plan_demo(places, None, None, False, is_terminal=True)
        return usual._replace(traffic=usual.traffic._replace(odd_every=0, habits=NO_HABITS))

    assert await demonstrate(lambda settings, sinks: Echo(settings), Profile(speed=0), plan, stop, out) == 0
    assert sum(line.startswith("requests ") for line in out.getvalue().splitlines()) == 1
    assert sum(line.lstrip().startswith("hits ") for line in out.getvalue().splitlines()) == 1


def test_prices_are_those_of_the_table(repository: Path) -> None:
    """The provider charges what the sidecar's price table says."""
    path = repository / "sidecar/data/prices.yaml"
    table = read_prices(yaml.safe_load(path.read_text(encoding="utf-8")), str(path))
    for name, model in Profile().models.items():
        usage = Usage(input=1000, cache_read=2000, output=300, reasoning=50, cache_write=700)
        told = table.price("openai", name, usage)
        tokens = Tokens(prompt=3700, cached=2000, completion=350, reasoning=50, written=700)
        assert told is not None and told.usd == pytest.approx(tokens.cost_usd(model.prices))
