"""What the admin port tells programs, as JSON, and what it lets them change."""

import asyncio
from collections.abc import Callable, Iterable, Mapping, Sequence
from typing import Any, Final

import msgspec

from sidecar.config import Force, Settings
from sidecar.core.admit.spending_sums import ALL, Balance
from sidecar.core.admit.stops import read_stop
from sidecar.core.choose.forcing import read_force
from sidecar.core.choose.places import Place
from sidecar.core.choose.views import ProbeView, UpstreamView
from sidecar.core.reckon.exchanges import show_choice, show_exchange
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.upstreams import show_upstream
from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import Change, Respond
from sidecar.edge.telemetry.recent import Recent
from sidecar.ports import Clock

# Shown in a row before calls get their turn on the event loop: 0.1 ms, or 3 where each was tried three times among twenty upstreams.
_SHOWN_TOGETHER: Final = 5


def make_history(recent: Recent) -> Mapping[str, Respond]:
    """Return the answer of each path that tells of calls that have ended."""

    async def exchanges(request: web.Request) -> web.Response:
        calls, failed = recent.calls, recent.failed
        return answer({"calls": await _show(map(show_exchange, calls)), "failed": await _show(map(show_exchange, failed))})

    async def decisions(request: web.Request) -> web.Response:
        taken = recent.decisions
        return answer({"decisions": await _show(show_choice(*one) for one in taken)})

    return {"/debug/exchanges": exchanges, "/api/decisions": decisions}


def make_comparison(
    settings: Settings, places: Mapping[str, Place], clock: Clock,
    describe: Callable[[float], Sequence[UpstreamView]], describe_probes: Callable[[], Mapping[str, ProbeView | None]],
) -> Mapping[str, Respond]:  # fmt: skip
    """Return the answer of the path that compares upstreams. `describe`: them all, at a moment; `describe_probes`: by name."""
    pools = {name: pool.upstreams for name, pool in settings.pools.items()}

    async def upstreams(request: web.Request) -> web.Response:
        present = Present(clock.now(), clock.wall_ns())
        probes = describe_probes()
        shown = (show_upstream(view, places[view.name], pools, probes.get(view.name), present) for view in describe(present.now))
        return answer({"upstreams": await _show(shown)})

    return {"/api/upstreams": upstreams}


def make_changes(names: Iterable[str], force: Callable[[str, Force], None]) -> Mapping[str, Change]:
    """Return what a POST to each path does. `names`: of the upstreams; `force`: what makes something of one's circuit breakers."""

    def make(name: str) -> Change:
        def change(body: bytes) -> web.Response:
            wanted = read_force(body)
            force(name, wanted)
            return answer({"upstream": name, "force": wanted.value})

        return change

    return {f"/api/upstreams/{name}/breaker": make(name) for name in names}


def make_budgets(
    accounts: tuple[str, ...], describe: Callable[[], tuple[Sequence[Balance], frozenset[str]]], halt: Callable[[str, bool], None]
) -> tuple[Mapping[str, Respond], Mapping[str, Change]]:
    """Return the answer of the path that tells what is spent, and what a POST to it does: it stops spending, or lets it go on.

    `accounts`: whose spending can be stopped. `describe`: all budgets, and whose spending is stopped.
    """

    def tell() -> web.Response:
        balances, stopped = describe()
        tree = {"budgets": [_show_balance(each) for each in balances], "stopped": [account or None for account in sorted(stopped)]}
        return answer(tree)

    async def respond(request: web.Request) -> web.Response:
        return tell()

    def change(body: bytes) -> web.Response:
        halt(*read_stop(body, accounts))
        return tell()

    return {"/api/budgets": respond}, {"/api/budgets": change}


def _show_balance(balance: Balance) -> dict[str, Any]:
    """Everybody together is null."""
    return {**balance._asdict(), "tenant": None if balance.tenant == ALL else balance.tenant}


async def _show(items: Iterable[dict[str, Any]]) -> list[msgspec.Raw]:
    """Return items as JSON, a few at a time: calls go on in between."""
    shown: list[msgspec.Raw] = []
    for item in items:
        shown.append(msgspec.Raw(msgspec.json.encode(item)))
        if len(shown) % _SHOWN_TOGETHER == 0:
            await asyncio.sleep(0)
    return shown


def answer(tree: object) -> web.Response:
    """Return a tree as JSON."""
    return web.Response(body=msgspec.json.encode(tree), content_type="application/json")
