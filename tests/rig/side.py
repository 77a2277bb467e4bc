"""A sidecar within the test's own process, and every record that it seals."""

import asyncio
import contextlib
from collections import Counter
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from sidecar.app import Sidecar
from sidecar.config import Admin, Features, Route, Settings, Upstream
from sidecar.exchange import Record
from sidecar.simulator.accounts import read_samples
from tests.rig.caller import compose, fetch
from tests.rig.upstream import Upstream as Told

PREFIX: Final = "/openai"
CHAT: Final = "/openai/v1/chat/completions"
_STEP_S: Final = 0.002


class Records:
    """Every record of a sidecar, in the order in which they were sealed (ports.Sink)."""

    def __init__(self) -> None:
        self.all: list[Record] = []
        self.by_id: dict[str, Record] = {}

    def observe(self, record: Record) -> None:
        """Keep a record."""
        self.all.append(record)
        self.by_id[record.id] = record

    @property
    def endings(self) -> Counter[str]:
        """How many exchanges ended in which way."""
        return Counter(str(record.ending) for record in self.all)

    async def until(self, count: int, patience_s: float = 10.0) -> list[Record]:
        """Wait for so many records, and return all there are."""
        async with asyncio.timeout(patience_s):
            while len(self.all) < count:
                await asyncio.sleep(_STEP_S)
        return self.all

    async def of(self, call_id: str, patience_s: float = 10.0) -> Record:
        """Wait for the record of one call."""
        async with asyncio.timeout(patience_s):
            while call_id not in self.by_id:
                await asyncio.sleep(_STEP_S)
        return self.by_id[call_id]


class Side:
    """A running sidecar with one route, `/openai/`, to one upstream."""

    def __init__(self, sidecar: Sidecar, records: Records) -> None:
        self.sidecar = sidecar
        self.records = records

    @property
    def url(self) -> str:
        """The data port."""
        return self.sidecar.data_url

    async def scrape(self) -> str:
        """Return the exposition in the text format."""
        answer = await fetch(self.sidecar.admin_url, compose("/metrics", method="GET", fields=[("accept", "text/plain;version=0.0.4")]))
        return answer.body.decode()

    async def gauges(self) -> Mapping[str, float]:
        """Return calls in flight, and connections by state."""
        found: dict[str, float] = {}
        for name, labels, value in read_samples(await self.scrape()):
            if name == "llm_sidecar_in_flight_requests":
                found["in_flight"] = value
            elif name == "llm_sidecar_upstream_connections" and labels["upstream"] == "openai":
                found[labels["state"]] = value
        return found


def settle(url: str, **changes: Any) -> Settings:
    """Return settings for one upstream. `connections` is the upstream's; all else are Settings' own members.

    Each call is for itself: no breaker adds failures up, and nothing is probed.
    """
    changes.setdefault("features", Features(breakers=False, probes=False))
    connections = changes.pop("connections", 100)
    routes = changes.pop("routes", (Route("/openai/", "openai"),))
    return Settings(
        listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"),
        upstreams={"openai": Upstream(url, provider="openai", connections=connections)},
        routes=routes, **changes,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running(url: str, *, environ: Mapping[str, str] | None = None, **changes: Any) -> AsyncIterator[Side]:
    """Run a sidecar in front of `url`; it is stopped at the end, calls in progress at once."""
    records = Records()
    sidecar = Sidecar(settle(url, **changes), environ or {}, sinks=[records])
    await sidecar.start()
    try:
        yield Side(sidecar, records)
    finally:
        await sidecar.stop(grace_s=0)


@contextlib.asynccontextmanager
async def facing(**changes: Any) -> AsyncIterator[tuple[Told, Side]]:
    """Run an upstream of the rig, and a sidecar in front of it."""
    upstream = Told()
    await upstream.start()
    try:
        async with running(upstream.url, **changes) as side:
            yield upstream, side
    finally:
        await upstream.stop()
