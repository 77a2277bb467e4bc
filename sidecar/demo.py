"""`llm-sidecar demo`: provider, sidecar and callers alive in one process, and their accounts compared."""

import asyncio
import sys
import time
from collections.abc import AsyncIterator, Callable, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from typing import TYPE_CHECKING, Final, Protocol, TextIO

from msgspec.structs import replace

from sidecar.config import Settings
from sidecar.ports import Sink
from sidecar.simulator.accounts import count_unasked, read_ledger, read_samples, read_scrape
from sidecar.simulator.borrowed import Borrowed
from sidecar.simulator.efforts import read_efforts, read_replaced
from sidecar.simulator.ledger import Ledger
from sidecar.simulator.profile import Outages, Profile
from sidecar.simulator.savings import read_savings
from sidecar.simulator.scenario import FIRST, FRUGAL, LIMITED, ROUTES, SEED, SPEED, STANDBY, UNHELD, Places, Plan, plan_demo
from sidecar.simulator.script import Fault
from sidecar.simulator.server import Simulator, start
from sidecar.simulator.summary import Pulse, summarise
from sidecar.simulator.tools import TOOL, TOOLS_ROUTE
from sidecar.simulator.traffic import run_traffic

if TYPE_CHECKING:
    from aiohttp import ClientSession

_HOST: Final = "127.0.0.1"
_OUTAGES: Final = Outages(healthy=10, failing=3, provider="openai")
# The tool fails now and then, too.
_TOOL_OUTAGES: Final = Outages(healthy=5, failing=2, provider=TOOL, faults=(Fault.UNAVAILABLE,))
_SETTLE_S: Final = 15.0
_END_S: Final = 60.0  # of everything, once it was told to end
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


def run_demo(duration_s: float | None, port: int | None, once: bool) -> int:
    """Demonstrate for so long, or until interrupted; with `once` a fixed amount of traffic.

    The first SIGINT or SIGTERM ends the traffic and shows the summary. Returns 0 if the sidecar's
    account equals the provider's, else 1. Raises ConfigError where the port cannot be had.
    """
    from sidecar.app import Sidecar
    from sidecar.edge.signals import Signals
    from sidecar.edge.telemetry.logs import set_up
    from sidecar.process import run

    signals = Signals()

    async def main() -> int:
        speed = SPEED if once else 1.0
        return await demonstrate(
            lambda settings, sinks: Sidecar(settings, environ={}, log=set_up(settings.log, sys.stderr), sinks=sinks),
            Profile(seed=SEED, speed=speed),
            lambda places: plan_demo(places, duration_s, port, once, is_terminal=sys.stdout.isatty()),
            signals.attend(lambda: _END_S), sys.stdout,
        )  # fmt: skip

    return run(main())


async def demonstrate(
    make_sidecar: Callable[[Settings, Sequence[Sink]], Running], profile: Profile, make_plan: Callable[[Places], Plan],
    stop: asyncio.Event, out: TextIO,
) -> int:  # fmt: skip
    """Start everything, let the traffic run, stop everything, and print what both sides counted.

    `make_plan` is told where the two providers and the tool are; `profile` is that of the first and of the tool but for their
    outages, and of the second but for its seed.
    """
    from aiohttp import ClientSession

    ledger = Ledger()  # of all: what was asked of one after the other is one call
    borrowed = Borrowed()
    failing, other = replace(profile, outages=_OUTAGES), replace(profile, seed=profile.seed + 1)  # as fast, but not in each answer
    async with (
        _provide(failing, ledger, FIRST) as first, _provide(other, ledger, STANDBY) as standby,
        _provide(replace(profile, outages=_TOOL_OUTAGES), ledger, TOOL) as tool,
    ):  # fmt: skip
        with TemporaryDirectory() as folder:
            plan = make_plan(Places(first.url, standby.url, tool.url, Path(folder)))
            side = make_sidecar(plan.settings, [borrowed])
            await side.start()
            try:
                _show_places(side, first, standby, tool, out)
                async with ClientSession() as session:
                    scrape = _Scrape(session, side.admin_url, borrowed)
                    await _drive(plan, side, scrape, stop, out)
                    scraped = await _settle(ledger, scrape)
            finally:
                await side.stop()
    rows, apart = ledger.rows, borrowed.endings
    text, agrees = summarise(
        read_ledger(rows), read_ledger(rows, true=True), read_scrape(scraped, apart), read_replaced(rows), read_efforts(scraped, apart),
        read_savings(scraped), count_unasked(scraped),
    )  # fmt: skip
    print(f"\n{text}", file=out, flush=True)
    return 0 if agrees else 1


@asynccontextmanager
async def _provide(profile: Profile, ledger: Ledger, name: str) -> AsyncIterator[Simulator]:
    simulator = await start(_HOST, 0, profile, ledger=ledger, name=name)
    try:
        yield simulator
    finally:
        await simulator.stop()


class _Scrape:
    """The sidecar's own metrics, read as Prometheus reads them."""

    def __init__(self, session: "ClientSession", admin_url: str, borrowed: Borrowed) -> None:
        self._session = session
        self.borrowed = borrowed
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
        text = await scrape.read()
        apart = scrape.borrowed.endings
        line = pulse.tell(time.monotonic(), read_scrape(text), read_efforts(text, apart), read_savings(text))
        print(line, file=out, flush=True)


async def _settle(ledger: Ledger, scrape: _Scrape) -> str:
    """Wait until nothing is in flight on either side, then return what the sidecar has counted."""
    deadline_s = time.monotonic() + _SETTLE_S
    while True:
        text = await scrape.read()
        in_flight = sum(value for name, _, value in read_samples(text) if name == "llm_sidecar_in_flight_requests")
        if (not in_flight and not ledger.open_count) or time.monotonic() > deadline_s:
            return text
        await asyncio.sleep(_SETTLE_STEP_S)


def _show_places(side: Running, first: Simulator, standby: Simulator, tool: Simulator, out: TextIO) -> None:
    others = ", ".join(f"/{name}" for name in ROUTES if name != "openai")
    print(
        f"sidecar     {side.data_url}/openai/v1   (point OPENAI_BASE_URL here; also: {others})\n"
        f"admin page  {side.admin_url}/\n"
        f"metrics     {side.admin_url}/metrics\n"
        f"provider    {first.url}   (simulated; what it did: {first.url}/_sim/ledger)\n"
        f"standby     {standby.url}   (for /openai, where the first one fails now and then)\n"
        f"tool        {tool.url}   (behind /{TOOLS_ROUTE}/{TOOL}; it fails now and then, too)\n"
        f"tenants     {UNHELD}; {FRUGAL}, which has a budget; {LIMITED}, which has a limit\n",
        file=out, flush=True,
    )  # fmt: skip
