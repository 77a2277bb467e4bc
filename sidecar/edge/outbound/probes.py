"""Active probes: upstreams are asked now and then whether they live, so that a recovery is noticed without risking a call."""

import asyncio
from collections.abc import Callable, Mapping
from typing import Final, Protocol

from sidecar.config import Settings
from sidecar.core.choose.places import Place
from sidecar.core.choose.probing import FAILED, SUCCEEDED, Probe, ProbeHistory, plan_probes
from sidecar.core.choose.views import ProbeView
from sidecar.edge.tasks import spawn
from sidecar.errors import INTERNAL, UpstreamFault
from sidecar.ports import Clock

# Intervals are shorter by up to this share, so that many sidecars, or many upstreams, do not stay in step. Never longer:
# a recovery is to be noticed within one interval.
_SPREAD: Final = 0.1
_SERVER_ERROR: Final = 500


class Knocker(Protocol):
    """The way to the upstreams."""

    async def knock(self, name: str, request: bytes, timeout_s: float) -> int | None:
        """Return the status of the answer to `request`, None where it is empty. Raises UpstreamFault within `timeout_s`."""
        ...


class Probes:
    """Probes each upstream that is to be probed, in a task of its own.

    `note` is told what probes say of an upstream's health (name, healthy, moment): after each success, and from the second
    failure in a row on. `count` is told of each probe (name, one of core.choose.probing.OUTCOMES).
    """

    def __init__(
        self, settings: Settings, places: Mapping[str, Place], upstreams: Knocker, clock: Clock, draw: Callable[[], float],
        note: Callable[[str, bool, float], None], count: Callable[[str, str], None] | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._draw = draw
        self._note = note
        self._count = count
        self._tasks: dict[str, asyncio.Task[None]] = {}
        self._is_on = False
        self._read(settings, places, upstreams)
        self._histories = {name: ProbeHistory() for name in self._probes}

    def _read(self, settings: Settings, places: Mapping[str, Place], upstreams: Knocker) -> None:
        self._interval_s, self._timeout_s = settings.probes.interval, settings.probes.timeout
        self._probes = {probe.upstream: probe for probe in plan_probes(settings, places)}
        self._upstreams = upstreams

    @property
    def names(self) -> tuple[str, ...]:
        """Who is probed."""
        return tuple(self._probes)

    def describe(self) -> dict[str, ProbeView | None]:
        """Return the last probe of each upstream that is probed; None: it was not its turn yet."""
        return {name: self._histories[name].last for name in self._probes}

    def start(self) -> None:
        """Probe from now on."""
        self._is_on = True
        self._follow()

    def adopt(self, settings: Settings, places: Mapping[str, Place], upstreams: Knocker, kept: frozenset[str]) -> frozenset[str]:
        """Probe by other settings from now on; return who is there still, and is probed no longer. `kept`: who is what it was.

        Probes under way of those who are not what they were end, and nobody is told of them.
        """
        before, paces = frozenset(self._probes), (self._interval_s, self._timeout_s)
        self._read(settings, places, upstreams)
        same = kept & before
        self._histories = {name: self._histories[name] if name in same else ProbeHistory() for name in self._probes}
        going_on = same.intersection(self._probes) if paces == (self._interval_s, self._timeout_s) else frozenset[str]()
        for name in self._tasks.keys() - going_on:
            self._tasks.pop(name).cancel()
        if self._is_on:
            self._follow()
        return same.difference(self._probes)

    async def stop(self) -> None:
        """Probe no more; return when no probe is under way."""
        self._is_on = False
        tasks, self._tasks = list(self._tasks.values()), {}
        for task in tasks:
            task.cancel()
        await asyncio.gather(*tasks, return_exceptions=True)

    def _follow(self) -> None:
        for name in self._probes:
            if name not in self._tasks:
                self._tasks[name] = spawn(self._repeat(name), name=f"probe {name}")

    async def _repeat(self, name: str) -> None:
        await asyncio.sleep(self._interval_s * self._draw())
        while True:
            due = self._clock.now() + self._interval_s * (1 - _SPREAD * self._draw())
            await self._probe(self._probes[name])
            await asyncio.sleep(max(0.0, due - self._clock.now()))

    async def _probe(self, probe: Probe) -> None:
        began = self._clock.now()
        problem = await self._ask(probe)
        now = self._clock.now()
        verdict = self._histories[probe.upstream].note(began, now - began, problem)
        if self._count is not None:
            self._count(probe.upstream, SUCCEEDED if problem is None else FAILED)
        if verdict is not None:
            self._note(probe.upstream, verdict, now)

    async def _ask(self, probe: Probe) -> str | None:
        """Return what is wrong; None where the upstream lives."""
        try:
            status = await self._upstreams.knock(probe.upstream, probe.request, self._timeout_s)
        except UpstreamFault as fault:
            return fault.kind.id
        except Exception:  # whatever else it was, the upstream has not answered, and probing goes on
            return INTERNAL.id
        return None if status is None or status < _SERVER_ERROR else f"status_{status}"
