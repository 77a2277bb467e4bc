"""Every dialect's numbers against the provider's own ledger: tokens, cost and ending of each scripted exchange."""

from pathlib import Path

import httpx
import pytest

from tests.rig.exchanges import Watcher, ask_provider, carry, list_exchanges, list_upstreams
from tests.rig.process import run_sidecar, run_simulator

EXCHANGES_MIN = 60


async def test_the_accounts_agree(tmp_path: Path) -> None:
    """For each exchange the sidecar's scrape grew by what the provider's ledger says, and by nothing else."""
    exchanges = list_exchanges()
    differences = []
    with run_simulator(tmp_path, {"speed": 0}) as provider:
        upstreams = list_upstreams(provider)
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(tmp_path, provider, upstreams=upstreams, routes=routes) as side:
            async with httpx.AsyncClient(timeout=30) as client:
                watcher = Watcher(client, side.admin_url)
                for number, exchange in enumerate(exchanges):
                    await carry(exchange, client, side.url, f"t{number}")
                    theirs, ours = await ask_provider(client, provider, f"t{number}"), await watcher.wait()
                    told = (ours.ending, ours.tokens) == (theirs.ending, theirs.tokens)
                    if not told or ours.cost_usd != pytest.approx(theirs.cost_usd, abs=1e-9):
                        differences.append((exchange.name, theirs, ours))
    assert differences == []
    assert len(exchanges) >= EXCHANGES_MIN
