"""A sidecar with routes to pools, within the test's own process, and what its scrape says route by route, upstream by upstream."""

import asyncio
import contextlib
import math
import time
from collections import Counter
from collections.abc import AsyncIterator, Callable, Mapping, Sequence
from functools import partial
from pathlib import Path
from typing import Any, Final

from sidecar.app import Sidecar
from sidecar.config import Admin, Features, Pool, Route, Settings, Strategy, Upstream
from sidecar.simulator.accounts import read_samples
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.side import Records
from tests.rig.sockets import list_sockets
from tests.rig.upstream import Upstream as Told

_PREFIX: Final = "llm_sidecar_"
_STEP_S: Final = 0.01
_SETTLED_S: Final = 5.0
_LEVELS: Final = ("in_flight_requests", "queued_requests", "upstream_pending")

Counts = dict[str, int]


class Scrape:
    """The samples of one scrape, those that are not zero."""

    def __init__(self, text: str) -> None:
        self.text = text
        self._samples: list[tuple[str, dict[str, str], float]] = []
        self.names: set[str] = set()
        for name, labels, value in read_samples(text):
            self.names.add(name)
            if value and not math.isnan(value):
                self._samples.append((name, labels, value))

    def sum(self, name: str, **labels: str) -> float:
        """Return the sum of a metric over all children with these labels."""
        found = (value for told, has, value in self._samples if told == _PREFIX + name and labels.items() <= has.items())
        return sum(found)

    def count_by(self, name: str, label: str, **labels: str) -> Counts:
        """Return a counter by one of its labels, without what is zero."""
        counts: Counts = {}
        for told, has, value in self._samples:
            if told == _PREFIX + name and labels.items() <= has.items():
                counts[has[label]] = counts.get(has[label], 0) + round(value)
        return counts

    def has(self, name: str, **labels: str) -> bool:
        """Whether there is such a series, zero or not."""
        return any(told == _PREFIX + name and labels.items() <= has.items() for told, has, _ in read_samples(self.text))


class PoolSide:
    """A running sidecar, and every record that it seals."""

    def __init__(self, sidecar: Sidecar, records: Records) -> None:
        self.sidecar = sidecar
        self.records = records

    @property
    def url(self) -> str:
        """The data port."""
        return self.sidecar.data_url

    @property
    def admin_url(self) -> str:
        """The admin port."""
        return self.sidecar.admin_url

    async def scrape(self) -> Scrape:
        """Return what the admin port shows now."""
        fields = [("accept", "text/plain;version=0.0.4")]
        return Scrape((await fetch(self.admin_url, compose("/metrics", method="GET", fields=fields))).body.decode())

    async def settle(self) -> Scrape:
        """Wait until nothing is in progress, queued, pending or on a connection; return the scrape that says so."""
        async with asyncio.timeout(_SETTLED_S):
            while True:
                scrape = await self.scrape()
                if not any(scrape.sum(name) for name in _LEVELS) and not scrape.sum("upstream_connections", state="active"):
                    return scrape
                await asyncio.sleep(_STEP_S)

    async def until(self, is_so: Callable[[Scrape], Any], patience_s: float = _SETTLED_S) -> Scrape:
        """Scrape until something is so."""
        async with asyncio.timeout(patience_s):
            while True:
                scrape = await self.scrape()
                if is_so(scrape):
                    return scrape
                await asyncio.sleep(_STEP_S)


@contextlib.asynccontextmanager
async def running_settings(settings: Settings, environ: Mapping[str, str] | None = None) -> AsyncIterator[PoolSide]:
    """Run a sidecar of these settings; at the end it is stopped at once, and holds no descriptor any more."""
    records = Records()
    before = list_descriptors()
    sidecar = Sidecar(settings, environ or {}, sinks=[records])
    await sidecar.start()
    try:
        yield PoolSide(sidecar, records)
    finally:
        await sidecar.stop(grace_s=0)
    await until_equal(
        lambda: len(list_descriptors()), len(before), "descriptors after the sidecar has stopped", name_new=partial(_name_new, before)
    )


def configure(upstreams: Mapping[str, Upstream], pools: Mapping[str, Pool], routes: Sequence[Route], **changes: Any) -> Settings:
    """Return settings for pools. Nothing is probed unless that is asked for."""
    changes.setdefault("features", Features(probes=False))
    return Settings(
        listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"), upstreams=dict(upstreams), pools=dict(pools), routes=tuple(routes), **changes
    )


def pair(
    first: Told | str, second: Told | str, *, provider: str = "openai", strategy: Strategy = Strategy.WEIGHTED,
    one: Mapping[str, Any] | None = None, two: Mapping[str, Any] | None = None, **changes: Any,
) -> Settings:  # fmt: skip
    """Return settings for the pool `both` of `first`, which is asked as long as it can be, and `second`; its route is `/pool/`.

    `one` and `two`: more of each upstream.
    """
    urls = [each if isinstance(each, str) else each.url for each in (first, second)]
    upstreams = {
        "first": Upstream(urls[0], **{"provider": provider, "weight": 1000.0, **(one or {})}),
        "second": Upstream(urls[1], **{"provider": provider, "weight": 0.001, **(two or {})}),
    }
    return configure(upstreams, {"both": Pool(("first", "second"), strategy)}, [Route("/pool/", pool="both")], **changes)


def single(upstream: Told | str, *, provider: str = "openai", more: Mapping[str, Any] | None = None, **changes: Any) -> Settings:
    """Return settings for one upstream, `only`, behind the route `/only/`."""
    url = upstream if isinstance(upstream, str) else upstream.url
    return configure({"only": Upstream(url, provider=provider, **(more or {}))}, {}, [Route("/only/", "only")], **changes)


@contextlib.asynccontextmanager
async def upstreams_of(count: int) -> AsyncIterator[list[Told]]:
    """Run upstreams of the rig."""
    upstreams = [Told() for _ in range(count)]
    for upstream in upstreams:
        await upstream.start()
    try:
        yield upstreams
    finally:
        for upstream in upstreams:
            await upstream.stop()


async def call(url: str, path: str, body: bytes, fields: Sequence[tuple[str, str]] = ()) -> tuple[Answer, float]:
    """Make one call on a connection of its own; return what the caller saw, and how many seconds it took."""
    caller = await Caller.connect(url)
    try:
        began = time.monotonic()
        answer = await caller.ask(compose(path, body, fields=fields))
        return answer, (answer.ended_at or time.monotonic()) - began
    finally:
        caller.leave()


def list_descriptors() -> dict[str, str]:
    """Return what this process has open, by descriptor (Linux, proc(5)), but for one that the event loop keeps in reserve."""
    found = {}
    for entry in Path("/proc/self/fd").iterdir():
        with contextlib.suppress(OSError):  # closed meanwhile: the one by which they are listed
            target = str(entry.readlink())
            if target != "/dev/null":
                found[entry.name] = target
    return found


def _name_new(before: Mapping[str, str]) -> str:
    """Return which descriptors there are that were not there before, with what the kernel says of those that are sockets."""
    new = sorted(target for number, target in list_descriptors().items() if before.get(number) != target)
    sockets = {f"socket:[{each.inode}]": each for each in list_sockets()}
    return ", ".join(str(sockets.get(target, target)) for target in new)


async def until_equal(
    count: Callable[[], int], expected: int, what: str, patience_s: float = 3.0, name_new: Callable[[], str] = str
) -> None:
    """Wait until a count is what it was; AssertionError says what was not, and what `name_new` says then."""
    deadline_s = time.monotonic() + patience_s
    while (found := count()) > expected:
        assert time.monotonic() < deadline_s, f"{what}: {found}, were {expected}; {name_new()}"
        await asyncio.sleep(_STEP_S)


def count_tasks() -> int:
    """Return how many tasks there are."""
    return len(asyncio.all_tasks())


def name_tasks() -> Counter[str]:
    """Return what the tasks are that there are, for a message."""
    return Counter(getattr(task.get_coro(), "__qualname__", str(task)) for task in asyncio.all_tasks())
