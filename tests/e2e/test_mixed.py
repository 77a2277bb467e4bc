"""Every interface at once, with faults, through one sidecar: sums of tokens and cost against the provider's ledger."""

import asyncio
import json
import math
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final, NamedTuple

import httpx
import pytest

from sidecar.config import BUILT_IN_UPSTREAMS
from sidecar.exchange import Ending
from sidecar.simulator import Profile, Simulator, start
from sidecar.simulator.accounts import KINDS, Account, compare, read_ledger, read_samples, read_scrape, sum_by_provider, total
from sidecar.simulator.asking import PROVIDERS, Prompt
from sidecar.simulator.profile import Lognormal, Model, Prices
from sidecar.simulator.sight import Sight
from sidecar.simulator.traffic import Traffic, run_traffic
from tests.rig.exchanges import FORMS, Exchange, carry, list_exchanges
from tests.rig.process import RunningSidecar, run_sidecar

CALLS: Final = 640  # beside the scripted ones
CALLERS: Final = 40
# What no caller of the mixed traffic uses: two more providers, and Gemini's streams as an array.
SCRIPTED: Final = [form for form in FORMS if form.name in ("vLLM chat", "Azure chat", "Gemini, streams as an array")]
_LONG_GAP_MS: Final = 1000  # in which a caller of the scripted ones leaves
_PATIENCE_S: Final = 15.0
_IN_FLIGHT: Final = "llm_sidecar_in_flight_requests"


class Mixed(NamedTuple):
    """Provider and sidecar, running."""

    simulator: Simulator
    side: RunningSidecar

    async def settle(self) -> tuple[Account, Account]:
        """Wait until nothing is under way, and return both accounts, the provider's first."""
        async with asyncio.timeout(_PATIENCE_S):
            while True:
                text = await asyncio.to_thread(self.side.scrape)
                busy = sum(value for name, _, value in read_samples(text) if name == _IN_FLIGHT)
                if not busy and not self.simulator.ledger.open_count:
                    return read_ledger(self.simulator.ledger.rows), read_scrape(text)
                await asyncio.sleep(0.05)


@asynccontextmanager
async def _run(folder: Path, profile: Profile) -> AsyncIterator[Mixed]:
    """Run a provider of every interface in this process, and a sidecar with a route to each in its own."""
    simulator = await start(profile=profile)
    try:
        upstreams = {name: {"url": simulator.url, "provider": usual.provider} for name, usual in BUILT_IN_UPSTREAMS.items()}
        upstreams["openrouter"]["url"] += "/api"  # its prices have a fee: only what it tells of cost equals its ledger
        upstreams |= {name: {"url": simulator.url, "provider": name} for name in ("vllm", "azure.ai.openai")}
        routes = [{"prefix": f"/{name}/", "upstream": name} for name in upstreams]
        with run_sidecar(folder, simulator.url, upstreams=upstreams, routes=routes, timeouts={"idle": "3s"}) as side:
            yield Mixed(simulator, side)
    finally:
        await simulator.stop()


def _list_scripted() -> Iterator[Exchange]:
    for exchange in list_exchanges(SCRIPTED):
        leaves = exchange.leaves_after_bytes is not None
        yield exchange._replace(script={**exchange.script, "gap_ms": _LONG_GAP_MS}) if leaves else exchange


async def test_a_mixed_run(tmp_path: Path) -> None:
    """Of hundreds of calls at once no request, token or cent is lost, moved to another model, or counted twice."""
    scripted = list(_list_scripted())
    async with _run(tmp_path, Profile(seed=5, speed=20)) as mixed:
        sights: list[Sight] = []
        traffic = Traffic(
            mixed.side.url + "/{route}", seed=5, calls=CALLS, callers=CALLERS, odd_every=6, patience_s=30, routes=tuple(PROVIDERS)
        )
        async with httpx.AsyncClient(timeout=30) as client, asyncio.TaskGroup() as group:
            group.create_task(run_traffic(traffic, sights.append))
            for number, exchange in enumerate(scripted):
                group.create_task(carry(exchange, client, mixed.side.url, f"scripted-{number}"))
        provider, sidecar = await mixed.settle()
    assert compare(provider, sidecar) == []
    theirs, ours = total(provider), total(sidecar)
    assert ours.requests == len(sights) + len(scripted) == CALLS + len(scripted) >= 650
    assert ours.tokens == theirs.tokens and all(ours.tokens[kind] > 0 for kind in KINDS)
    assert math.isclose(ours.cost_usd, theirs.cost_usd, rel_tol=0, abs_tol=1e-9) and ours.cost_usd > 0.1
    by_provider = sum_by_provider(sidecar)
    assert set(by_provider) == {"openai", "anthropic", "gcp.gemini", "ollama", "openrouter", "vllm", "azure.ai.openai"}
    assert all(tally.errors and tally.cost_usd for tally in by_provider.values())
    assert {Ending.CUT, Ending.RESET, Ending.IDLE_TIMEOUT, Ending.CLIENT_GONE, Ending.IN_BAND_ERROR, Ending.MALFORMED} <= set(ours.endings)


class Priced(NamedTuple):
    """A model at its list price, and what one call costs before and after its prompt is cached."""

    route: str
    model: str
    prices: Prices
    first_tokens: dict[str, int]
    later_tokens: dict[str, int]
    first_usd: float
    later_usd: float


# A prompt of 4006 tokens, of which 4000 are instructions, and 20 tokens of answer. OpenAI and Gemini cache by
# themselves, here in steps of 128 tokens; Anthropic caches what is marked, and charges for writing it.
PRICED: Final = (
    Priced(
        "openai", "gpt-4o", Prices(input=2.50, output=10.00, cached=1.25),
        {"input": 4006}, {"input": 38, "cache_read": 3968}, 0.010215, 0.005255,
    ),
    Priced(
        "anthropic", "claude-sonnet-4-5", Prices(input=3.00, output=15.00, cached=0.30, written=3.75, written_1h=6.00),
        {"input": 6, "cache_write": 4000}, {"input": 6, "cache_read": 4000}, 0.015318, 0.001518,
    ),
    Priced(
        "gemini", "gemini-3.5-flash", Prices(input=1.50, output=9.00, cached=0.15),
        {"input": 4006}, {"input": 38, "cache_read": 3968}, 0.006189, 0.0008322,
    ),
)  # fmt: skip


@pytest.mark.parametrize("priced", PRICED, ids=lambda priced: priced.route)
async def test_cached_tokens_have_their_own_price(tmp_path: Path, priced: Priced) -> None:
    """A cached prompt costs what the list says, to the last digit, whole and streamed: tokens, cost and ledger agree."""
    model = Model(first_token_ms=Lognormal(1), prices=priced.prices)
    prompt = Prompt(priced.model, (("user", "Why?"),), "x" * 15_980)
    async with _run(tmp_path, Profile(speed=0, models={priced.model: model})) as mixed, httpx.AsyncClient(timeout=10) as client:
        spent = [await _spend(mixed, client, priced.route, prompt._replace(stream=stream)) for stream in (False, False, True)]
        provider, sidecar = await mixed.settle()
    assert compare(provider, sidecar) == []
    told = [({kind: count for kind, count in tokens.items() if count}, pytest.approx(usd, abs=1e-12)) for tokens, usd in spent]
    first, later = ({**priced.first_tokens, "output": 20}, priced.first_usd), ({**priced.later_tokens, "output": 20}, priced.later_usd)
    assert told == [first, later, later]


async def _spend(mixed: Mixed, client: httpx.AsyncClient, route: str, prompt: Prompt) -> tuple[dict[str, int], float]:
    """Make one call; return the tokens and the cost that the sidecar then shows and did not show before."""
    before = total((await mixed.settle())[1])
    path, body = PROVIDERS[route].chat(prompt)
    script: dict[str, Any] = {"tokens": 20}
    answer = await client.post(f"{mixed.side.url}/{route}{path}", json=body, headers={"x-sim-script": json.dumps(script)})
    assert answer.status_code == 200
    after = total((await mixed.settle())[1])
    assert after.requests == before.requests + 1
    return {kind: after.tokens[kind] - before.tokens[kind] for kind in KINDS}, after.cost_usd - before.cost_usd
