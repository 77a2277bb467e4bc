"""`llm-sidecar demo`: provider, sidecar and callers alive in one process, and their accounts compared."""

import asyncio
import dataclasses
import sys
import time
from collections.abc import Callable
from typing import TYPE_CHECKING, Final, NamedTuple, Protocol, TextIO
from urllib.parse import urlsplit

from sidecar.config import BUILT_IN_ROUTES, BUILT_IN_UPSTREAMS, Admin, Settings, Timeouts
from sidecar.simulator.accounts import Account, read_ledger, read_samples, read_scrape
from sidecar.simulator.profile import Profile
from sidecar.simulator.server import Simulator, start
from sidecar.simulator.summary import Pulse, summarise
from sidecar.simulator.traffic import Traffic, run_traffic

if TYPE_CHECKING:
    from aiohttp import ClientSession

ROUTES: Final = tuple(BUILT_IN_UPSTREAMS)
_HOST: Final = "127.0.0.1"
_SEED: Final = 20_260_101
_ONCE_CALLS: Final = 300
_ONCE_SPEED: Final = 4.0
_IDLE_S: Final = 6.0  # longer than any pause the simulated models make, short enough to see a stall end
_ONCE_IDLE_S: Final = 4.0  # they are faster there, but for pauses that a script asks for
_SETTLE_S: Final = 15.0
_SETTLE_STEP_S: Final = 0.05


class Running(Protocol):
    """A sidecar within this process."""

    data_url: str
    admin_url: str

    async def start(self) -> None:
        """Open both ports."""
        ...

    async def stop(self) -> None:
        """Drain and close."""
        ...


class Plan(NamedTuple):
    """What kind of demonstration it is to be."""

    settings: Settings
    traffic: Traffic
    is_live: bool  # a line per second


def run_demo(duration_s: float | None, port: int | None, once: bool) -> int:
    """Demonstrate for so long, or until interrupted; with `once` a fixed amount of traffic.

    The first SIGINT or SIGTERM ends the traffic and shows the summary. Returns 0 if the sidecar's
    account equals the provider's, else 1. Raises ConfigError where the port cannot be had.
    """
    from sidecar.app import Sidecar, run
    from sidecar.edge.signals import watch_stop

    async def main() -> int:
        speed = _ONCE_SPEED if once else 1.0
        return await demonstrate(
            lambda settings: Sidecar(settings, environ={}), Profile(seed=_SEED, speed=speed),
            lambda url: plan_demo(url, duration_s, port, once, is_terminal=sys.stdout.isatty()), watch_stop(), sys.stdout,
        )  # fmt: skip

    return run(main())


def plan_demo(provider_url: str, duration_s: float | None, port: int | None, once: bool, *, is_terminal: bool) -> Plan:
    """Settings of the sidecar and traffic for it; port None takes a free one."""
    settings = Settings(
        listen=f"{_HOST}:{port or 0}",
        admin=Admin(listen=f"{_HOST}:0"),
        upstreams={
            name: dataclasses.replace(usual, url=provider_url + urlsplit(usual.url).path) for name, usual in BUILT_IN_UPSTREAMS.items()
        },
        routes=BUILT_IN_ROUTES,
        timeouts=Timeouts(idle=_ONCE_IDLE_S if once else _IDLE_S),
    )
    if once:
        traffic = Traffic("", seed=_SEED, calls=_ONCE_CALLS, duration_s=duration_s, callers=24, odd_every=9, routes=ROUTES)
    else:
        traffic = Traffic("", seed=_SEED, duration_s=duration_s, callers=16, odd_every=25, think_s=0.4, routes=ROUTES)
    return Plan(settings, traffic, is_live=is_terminal)


async def demonstrate(
    make_sidecar: Callable[[Settings], Running], profile: Profile, make_plan: Callable[[str], Plan], stop: asyncio.Event, out: TextIO
) -> int:
    """Start everything, let the traffic run, stop everything, and print what both sides counted."""
    from aiohttp import ClientSession

    simulator = await start(_HOST, 0, profile)
    try:
        plan = make_plan(simulator.url)
        side = make_sidecar(plan.settings)
        await side.start()
        try:
            _show_places(side, simulator, out)
            async with ClientSession() as session:
                scrape = _Scrape(session, side.admin_url)
                await _drive(plan, side, scrape, stop, out)
                account = await _settle(simulator, scrape)
        finally:
            await side.stop()
    finally:
        await simulator.stop()
    rows = simulator.ledger.rows
    text, agrees = summarise(read_ledger(rows), read_ledger(rows, true=True), account)
    print(f"\n{text}", file=out, flush=True)
    return 0 if agrees else 1


class _Scrape:
    """The sidecar's own metrics, read as Prometheus reads them."""

    def __init__(self, session: "ClientSession", admin_url: str) -> None:
        self._session = session
        self._url = f"{admin_url}/metrics"

    async def read(self) -> str:
        """One exposition in the text format."""
        async with self._session.get(self._url, headers={"accept": "text/plain;version=0.0.4"}) as response:
            response.raise_for_status()
            return await response.text()


async def _drive(plan: Plan, side: Running, scrape: _Scrape, stop: asyncio.Event, out: TextIO) -> None:
    """Run the traffic, with a line per second beside it where somebody is watching."""
    pulse = Pulse()
    traffic = plan.traffic._replace(base_url=f"{side.data_url}/{{route}}")
    async with asyncio.TaskGroup() as group:
        watching = group.create_task(_watch(pulse, scrape, out)) if plan.is_live else None
        await run_traffic(traffic, pulse.note, stop)
        if watching:
            watching.cancel()


async def _watch(pulse: Pulse, scrape: _Scrape, out: TextIO) -> None:
    while True:
        await asyncio.sleep(1.0)
        print(pulse.tell(time.monotonic(), read_scrape(await scrape.read())), file=out, flush=True)


async def _settle(simulator: Simulator, scrape: _Scrape) -> Account:
    """Wait until nothing is in flight on either side, then take the sidecar's account."""
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        text = await scrape.read()
        in_flight = sum(value for name, _, value in read_samples(text) if name == "llm_sidecar_in_flight_requests")
        if (not in_flight and not simulator.ledger.open_count) or time.monotonic() > deadline_s:
            return read_scrape(text)
        await asyncio.sleep(_SETTLE_STEP_S)


def _show_places(side: Running, simulator: Simulator, out: TextIO) -> None:
    others = ", ".join(f"/{name}" for name in ROUTES if name != "openai")
    print(
        f"sidecar     {side.data_url}/openai/v1   (point OPENAI_BASE_URL here; also: {others})\n"
        f"admin page  {side.admin_url}/\n"
        f"metrics     {side.admin_url}/metrics\n"
        f"provider    {simulator.url}   (simulated; what it did: {simulator.url}/_sim/ledger)\n",
        file=out, flush=True,
    )  # fmt: skip
