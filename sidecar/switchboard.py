"""Who is asked, when and how often: everything that takes part in choosing, put together for one sidecar."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from functools import partial

from sidecar.attempts import Attempts
from sidecar.config import Force, Settings
from sidecar.core.admit.admission import Admission
from sidecar.core.attempt.hedging import Hedger
from sidecar.core.attempt.retry_budget import RetryBudget
from sidecar.core.choose.breakers import Breakers
from sidecar.core.choose.holds import Holds
from sidecar.core.choose.places import Place, list_kept
from sidecar.core.choose.routing import Routing
from sidecar.core.choose.transitions import Transition
from sidecar.core.choose.views import UpstreamView
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
    """The parts, by name. `upstreams` reaches them; `resilience` counts, `announcements` writes lines.

    What it is made of changes with the settings: `attempts` are of one set of them, and so is `routing`. Keep neither.
    """

    def __init__(
        self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, upstreams: Reach, knocker: Knocker, clock: Clock,
        draw: Callable[[], float], resilience: Resilience, announcements: Announcements, listening: Listening | None,
        rest: Callable[[float], Awaitable[None]] = asyncio.sleep, spending: Spending | None = None,
    ) -> None:  # fmt: skip
        self._places = places
        self._clock = clock
        self._draw = draw
        self._rest = rest
        self._resilience = resilience
        self._announcements = announcements
        self._salt = os.urandom(_SALT_BYTES)
        self._admission = Admission(settings)
        self._breakers = Breakers(settings, draw, self._note_transition)
        self._holds = Holds()
        self._queueing = Queueing(self._admission, clock)
        retries = settings.retries
        self._budget = RetryBudget(retries.budget_share, retries.budget_floor, retries.budget_expiry)
        self._hedger = Hedger(settings.hedging, self._budget)
        self.routing = Routing(settings, self._breakers, self._holds, self._admission, draw)
        self.attempts = self._make_attempts(settings, places, prices, upstreams, listening, spending)
        self.probes = Probes(settings, places, knocker, clock, draw, self._note_health, resilience.note_probe)

    def adopt(
        self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, upstreams: Reach, knocker: Knocker,
        listening: Listening | None, spending: Spending | None, now: float,
    ) -> None:  # fmt: skip
        """Go by other settings from now on; calls in progress go on with the `attempts` that they began with.

        What is known of upstreams that are the same places stays. One step: nothing is seen half-way.
        """
        kept = list_kept(self._places, places)
        rekeyed = [name for name in kept if self._places[name].credential != places[name].credential]
        self._places = places
        self._admission = self._admission.succeed(settings, kept, now)
        self._queueing = self._queueing.succeed(self._admission)
        self._breakers = self._breakers.succeed(settings, kept, now)
        self.routing = self.routing.succeed(settings, self._breakers, self._admission, kept, now)
        retries = settings.retries
        self._budget.adopt(retries.budget_share, retries.budget_floor, retries.budget_expiry, now)
        self._hedger.adopt(settings.hedging)
        for name in rekeyed:
            self.routing.forget_pauses(name)
        for name in self.probes.adopt(settings, places, knocker, kept):
            self.routing.forget_probes(name, now)
        self._announcements.adopt(kept.intersection(self.probes.names))
        self.attempts = self._make_attempts(settings, places, prices, upstreams, listening, spending)

    def _make_attempts(
        self, settings: Settings, places: Mapping[str, Place], prices: PriceTable, upstreams: Reach, listening: Listening | None,
        spending: Spending | None,
    ) -> Attempts:  # fmt: skip
        openings = Openings(places, self.routing, self._queueing, self._clock, self._resilience, settings.usage.ask)
        return Attempts(
            settings, openings, self.routing, self._holds, upstreams, self._clock, self._rest, self._draw, self._resilience, listening,
            partial(price_lost, prices), spawn, spending, salt=self._salt, budget=self._budget, hedger=self._hedger,
        )  # fmt: skip

    def describe(self, now: float) -> list[UpstreamView]:
        """Return what there is to see of each upstream."""
        return self.routing.describe(now)

    def note_quality(self, upstream: str, quality: float, now: float) -> None:
        """Take notice of how good one of an upstream's answers was, from 0 to 1."""
        self.routing.note_quality(upstream, quality, now)

    def force(self, upstream: str, force: Force) -> None:
        """Hold an upstream's breakers in a state, or leave them to themselves."""
        self._breakers.force(upstream, force, self._clock.now())

    def refresh(self) -> None:
        """Bring the gauges up to date."""
        self._resilience.show_upstreams(self.describe(self._clock.now()))
        self._resilience.queued.set(self._admission.queued())

    def _note_transition(self, transition: Transition) -> None:
        self._resilience.note_transition(transition)
        self._announcements.note_transition(transition)

    def _note_health(self, upstream: str, healthy: bool, at: float) -> None:
        self.routing.note_probe(upstream, healthy, at)
        self._announcements.note_health(upstream, healthy, at)
