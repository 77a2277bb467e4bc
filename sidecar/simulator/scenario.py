"""What `llm-sidecar demo` shows: settings with everything switched on that is worth seeing, and traffic for them."""

import dataclasses
from pathlib import Path
from typing import Final, NamedTuple
from urllib.parse import urlsplit

import msgspec

from sidecar.config import (
    BUILT_IN_ROUTES,
    BUILT_IN_UPSTREAMS,
    Admin,
    Balancing,
    Batches,
    Breaker,
    Budget,
    Budgets,
    Cache,
    Calls,
    Features,
    Hedging,
    Limits,
    Log,
    Pool,
    Probes,
    Probing,
    Rate,
    RateLimits,
    Rates,
    Route,
    RouteKind,
    Settings,
    Tenants,
    Timeouts,
    Upstream,
    Warming,
)  # fmt: skip
from sidecar.simulator.errands import KEY, Habits, list_usual
from sidecar.simulator.tools import TOOL, TOOLS_ROUTE
from sidecar.simulator.traffic import Traffic

ROUTES: Final = tuple(BUILT_IN_UPSTREAMS)
SEED: Final = 20_260_101
SPEED: Final = 4.0  # of the simulated models in a short run
_HOST: Final = "127.0.0.1"
_ONCE_CALLS: Final = 300
_IDLE_S: Final = 6.0  # longer than any pause the simulated models make, short enough to see a stall end
_ONCE_IDLE_S: Final = 4.0  # they are faster there, but for pauses that a script asks for
_FIRST_BYTE_S: Final = 12.0  # a reasoning model thinks for a while
# The calls of the OpenAI form go to two providers, of which the first fails now and then.
_POOL: Final = "chat"
FIRST: Final = "openai"
STANDBY: Final = "standby"
# On whose account calls run: with nothing in the way, with a budget, with a limit.
UNHELD: Final = "shop"
FRUGAL: Final = "support"
LIMITED: Final = "reports"
_HABITS: Final = Habits(repeats=0.35, tool=0.08, indexes_every=50, tenants=((UNHELD, 50), (FRUGAL, 30), (LIMITED, 20)))
_WARMED: Final = 3  # of the usual questions


class Places(NamedTuple):
    """What the sidecar is put in front of, and where files may be made for it."""

    first: str
    standby: str
    tool: str
    folder: Path


class Plan(NamedTuple):
    """What kind of demonstration it is to be."""

    settings: Settings
    traffic: Traffic
    is_live: bool  # a line per second


def plan_demo(places: Places, duration_s: float | None, port: int | None, once: bool, *, is_terminal: bool) -> Plan:
    """Settings of the sidecar and traffic for it; port None takes a free one."""
    # What takes half a minute otherwise is to be seen here.
    pace_s = 0.4 if once else 2.0
    settings = Settings(
        listen=f"{_HOST}:{port or 0}",
        admin=Admin(listen=f"{_HOST}:0"),
        upstreams=_place_upstreams(places),
        pools={_POOL: Pool((FIRST, STANDBY))},
        routes=(
            *(
                dataclasses.replace(route, upstream=None, pool=_POOL, name=FIRST) if route.upstream == FIRST else route
                for route in BUILT_IN_ROUTES
            ),
            Route(f"/{TOOLS_ROUTE}/", TOOL, kind=RouteKind.TOOL, idempotent=True, cache=pace_s),
        ),
        balancing=Balancing(ejection=pace_s, slow_start=pace_s),
        breaker=Breaker(consecutive=2, successes=1, open=pace_s, open_max=pace_s),
        hedging=Hedging(percentile=0.8, calls_min=5, share_max=0.2),
        probes=Probes(interval=2.0),
        features=Features(hedging=True, cache=True, coalescing=True, stale=True, warming=True, batches=True, limits=True, budgets=True),
        cache=Cache(ignore_headers=("x-sim-seed", "x-sim-tag")),  # by these the provider knows a call
        batches=Batches(wait=0.3, wait_max=1.0),
        tenants=Tenants(names=(UNHELD,)),
        limits=Limits(rates=RateLimits(tenants={LIMITED: Rates(requests=Rate(per_second=5.0 if once else 1.5, burst=6.0))})),
        budgets=Budgets(tenants={FRUGAL: Budget(day=0.03 if once else 0.07)}, output_tokens=256),
        warming=_prepare_warming(places.folder),
        timeouts=Timeouts(first_byte=_FIRST_BYTE_S, idle=_ONCE_IDLE_S if once else _IDLE_S),
        log=Log(level="info" if is_terminal else "error", format="text", calls=Calls.OFF),  # there is a line per second
    )
    traffic = Traffic("", seed=SEED, duration_s=duration_s, routes=ROUTES, habits=_HABITS)
    if once:
        traffic = traffic._replace(calls=_ONCE_CALLS, callers=24, odd_every=9, think_s=0.25)
    else:
        traffic = traffic._replace(callers=16, odd_every=25, think_s=0.4)
    return Plan(settings, traffic, is_live=is_terminal)


def _place_upstreams(places: Places) -> dict[str, Upstream]:
    upstreams = {
        name: dataclasses.replace(usual, url=places.first + urlsplit(usual.url).path) for name, usual in BUILT_IN_UPSTREAMS.items()
    }
    upstreams[FIRST] = dataclasses.replace(upstreams[FIRST], probe=Probing.ON)
    upstreams[STANDBY] = dataclasses.replace(upstreams[FIRST], url=places.standby)
    upstreams[TOOL] = Upstream(f"{places.tool}/{TOOLS_ROUTE}", provider=TOOL)
    return upstreams


def _prepare_warming(folder: Path) -> Warming:
    """Write down the first of the usual questions, as the callers of one tenant ask them."""
    key, prompts = folder / "key", folder / "prompts.jsonl"
    key.write_text(KEY, encoding="utf-8")
    with prompts.open("wb") as file:
        for errand in list_usual(SEED, _WARMED, ROUTES):
            fields = {name: value for name, value in errand.headers if KEY not in value} | {"accept": "*/*"}
            line = {"path": f"/{errand.route}{errand.path}", "body": msgspec.Raw(errand.body), "tenant": UNHELD, "headers": fields}
            file.write(msgspec.json.encode(line) + b"\n")
    return Warming(file=str(prompts), key_file=str(key), pace=0.2)
