"""Who is asked, when and how often: everything that takes part in choosing, put together for one sidecar."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from sidecar.attempts import Attempts
from sidecar.config import Force, Settings
from sidecar.core.admit.admission import Admission
from sidecar.core.choose.breakers import Breakers
from sidecar.core.choose.holds import Holds
from sidecar.core.choose.places import Place
from sidecar.core.choose.routing import Routing
from sidecar.core.choose.transitions import Transition
from sidecar.core.observe.overhearing import Listening
from sidecar.core.observe.pricing import PriceTable
from sidecar.edge.outbound.probes import Knocker, Probes
from sidecar.edge.tasks import spawn
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.resilience import Resilience
from sidecar.openings import Openings
from sidecar.ports import Clock, Reach
from sidecar.queueing import Queueing
from sidecar.sealing import price_lost
from sidecar.spending import Spending

_SALT_BYTES = 16


class Switchboard:
    """The parts, by name. `upstreams` reaches them; `resilience` counts, `announcements` writes lines."""

    def __init__(
        self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, upstreams: Reach, knocker: Knocker, clock: Clock,
        draw: Callable[[], float], resilience: Resilience, announcements: Announcements, listening: Listening | None,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep, spending: Spending | None = None,
    ) -> None:  # fmt: skip
        self._clock = clock
        self._resilience = resilience
        self._announcements = announcements
        self._admission = Admission(settings)
        self._breakers = Breakers(settings, draw, self._note_transition)
        holds = Holds()
        self.routing = Routing(settings, self._breakers, holds, self._admission, draw)
        queueing = Queueing(self._admission, clock)
        openings = Openings(places, self.routing, queueing, clock, resilience, settings.usage.ask)
        self.attempts = Attempts(
            settings, openings, self.routing, holds, upstreams, clock, rest, draw, resilience, listening,
            partial(price_lost, prices), spawn, spending, salt=os.urandom(_SALT_BYTES),
        )  # fmt: skip
        self.probes = Probes(settings, places, knocker, clock, draw, self._note_health, resilience.note_probe)

    def force(self, upstream: str, force: Force) -> None:
        """Hold an upstream's breakers in a state, or leave them to themselves."""
        self._breakers.force(upstream, force, self._clock.now())

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        self._resilience.show_upstreams(self.routing.describe(self._clock.now()))
        self._resilience.queued.set(self._admission.queued())

    def _note_transition(self, transition: Transition) -> None:
        self._resilience.note_transition(transition)
        self._announcements.note_transition(transition)

    def _note_health(self, upstream: str, healthy: bool, at: float) -> None:
        self.routing.note_probe(upstream, healthy, at)
        self._announcements.note_health(upstream, healthy, at)
