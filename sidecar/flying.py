"""Flights: upstream calls in tasks of their own, for whoever waits for the answer.

A call that may be kept or shared is made for a flight, by a carrier: an exchange that has no caller, and no record of its
own. What it comes to is told in the record of the caller whose call it is when that is over. Nobody's departure harms
anybody else; when the last caller leaves, the upstream call is cancelled, but for an answer that only has its end still to come.
"""

import asyncio
from collections.abc import Callable, Coroutine
from copy import copy
from typing import Any, Final, Protocol

from sidecar.attempts import Attempts
from sidecar.config import Settings
from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.deadlines import set_deadlines
from sidecar.core.attempt.endings import end_with_answer, end_with_fault, is_cut
from sidecar.core.observe.asking import UsageRemover
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.overhearing import Listening
from sidecar.core.reuse.flights import Flight
from sidecar.core.reuse.levels import Found
from sidecar.core.reuse.policy import Terms
from sidecar.errands import HeldClient
from sidecar.errors import INTERNAL, STOPPING, STREAM_CUT, ClientGone, Fault, Origin, SidecarFault, UpstreamFault
from sidecar.exchange import Call, Ending
from sidecar.journeys import Journey
from sidecar.larder import Larder
from sidecar.ports import Clock
from sidecar.progress import Exchange, Trial
from sidecar.reading import open_observer

_ERRORS: Final = 500  # and above: of the upstream's making
_CLOSE, _NONE = Framing.CLOSE, Framing.NONE


class Spawn(Protocol):
    """What starts tasks."""

    def __call__(self, work: Coroutine[Any, Any, None], *, name: str) -> "asyncio.Task[None]":
        """Start one."""
        ...


class Recorder(HeldClient):
    """The caller's side of a carrier (ports.Client): what is written goes to the flight."""

    __slots__ = ("_clock", "flight")

    gone: Final = False
    fault: Final[Fault | None] = None

    def __init__(self, call: Call, flight: Flight, clock: Clock) -> None:
        super().__init__(call, b"")
        self.flight = flight
        self._clock = clock

    def write(self, data: bytes) -> None:
        """Pass a piece on to everybody (ports.Client)."""
        self.flight.add(data, self._clock.now())

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Be told when nobody takes any more (ports.Client)."""
        self.flight.watch(pause, go_on)

    def finish(self, *, keep: bool) -> None:
        """Do nothing (ports.Client)."""


class Together(Protocol):
    """What carries several calls as one."""

    async def carry(self, journey: Journey) -> bytes | None:
        """Have a call answered together with others; return its body. None: it has to be made on its own. Raises Fault."""
        ...


class Flying:
    """Carries flights out. One instance serves all."""

    def __init__(
        self, settings: Settings, attempts: Attempts, clock: Clock, spawn: Spawn,
        report: Callable[[str, Exception], None], listening: Listening | None,
        bundling: Together | None, larder: Larder,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._attempts = attempts
        self._clock = clock
        self._spawn = spawn
        self._report = report
        self._listening = listening
        self._bundling = bundling
        self._larder = larder
        self._flights: dict[str, Journey] = {}  # that can be joined, by key

    def find(self, terms: Terms) -> Journey | None:
        """Return a call in progress that one more caller may join."""
        if not (terms.shares and self._settings.features.coalescing):
            return None
        journey = self._flights.get(terms.key)
        return journey if journey is not None and journey.flight.is_joinable else None

    def take_off(self, exchange: Exchange, terms: Terms) -> Journey:
        """Begin the upstream call of `exchange`, for it and for whoever joins."""
        flight = Flight(terms.key, bytes_max=self._settings.cache.entry, lag_max=self._settings.coalescing.lag_max)
        carrier = copy(exchange)
        carrier.client = Recorder(exchange.call, flight, self._clock)
        carrier.trial = Trial(exchange.trial.place)
        carrier.attempts = []
        # A caller in a hurry leaves; it must not take the others' answer along.
        carrier.deadlines = set_deadlines(self._settings.timeouts, exchange.call.accepted, None)
        journey = Journey(flight, carrier, exchange, terms)
        if terms.shares and self._settings.features.coalescing:
            self._flights[terms.key] = journey
        journey.task = self._spawn(self._fly(journey), name="flight")
        return journey

    async def _fly(self, journey: Journey) -> None:
        flight, carrier = journey.flight, journey.carrier
        try:
            body = None if self._bundling is None else await self._bundling.carry(journey)
            if body is None:
                await self._attempts.make(carrier)
                await self._bring(journey)
            else:
                self._hand_out(journey, body)
        except Fault as fault:
            carrier.kind, carrier.ending = fault.kind, end_with_fault(fault.kind)
            stale = self._find_stale(journey) if fault.kind.origin in (Origin.UPSTREAM, Origin.SIDECAR) and not carrier.committed else None
            self._end(journey)
            if stale is None:
                flight.fail(fault)
            else:
                flight.replace(stale)
        except asyncio.CancelledError:
            carrier.ending = Ending.CLIENT_GONE
            flight.fail(SidecarFault(STOPPING))
            raise
        except ClientGone:  # all of them
            carrier.ending = Ending.CLIENT_GONE
            flight.strand()
        except Exception as error:
            self._report(carrier.call.id, error)
            carrier.kind, carrier.ending = INTERNAL, end_with_fault(INTERNAL)
            flight.fail(SidecarFault(INTERNAL))
        finally:
            self._end(journey)

    def _find_stale(self, journey: Journey) -> Found | None:
        """Return what may stand in for an error: nothing for a caller that wants nothing kept."""
        return self._larder.find_stale(journey.terms) if journey.terms.reads else None

    def _end(self, journey: Journey) -> None:
        """The upstream call is over: so are its attempts, and nobody can join any more."""
        if self._flights.get(journey.flight.key) is journey:  # never the entry of one that came after it
            del self._flights[journey.flight.key]
        self._attempts.end(journey.carrier, self._clock.now())

    async def _bring(self, journey: Journey) -> None:
        """Send the answer on to everybody as it comes, and see whether it came to its own end. Raises Fault."""
        flight, carrier = journey.flight, journey.carrier
        trial = carrier.trial
        answer, head = trial.answer, trial.head
        if answer is None or head is None:
            raise SidecarFault(INTERNAL, "nothing to relay")
        if self._stands_in(journey, head.status):
            return
        carrier.status = head.status
        observer = trial.observer or open_observer(carrier, trial, self._settings.limits, self._listening)
        streamed = trial.streamed
        judged = streamed or head.framing is _CLOSE
        carrier.committed = True
        flight.begin()
        body_filter = UsageRemover() if trial.usage_added and streamed and not head.content_encoding else None
        framing = _NONE if head.framing is _NONE else _CLOSE
        answer.commit(carrier.client, b"", framing, observer, body_filter, ends_itself=False)
        if not answer.ended:
            await answer.until_end()
        if (
            judged
            and not answer.observer_failed
            and is_cut(observer, is_understood=carrier.dialect is not OPAQUE, body_bytes=answer.sent_bytes)
        ):
            raise UpstreamFault(STREAM_CUT, "the answer ended before its own end mark")
        carrier.ending = end_with_answer(head.status, observer.seen.error_type)
        self._land(journey)

    def _hand_out(self, journey: Journey, body: bytes) -> None:
        """Give everybody an answer that is whole already."""
        flight, carrier = journey.flight, journey.carrier
        head = carrier.trial.head
        if head is None:
            raise SidecarFault(INTERNAL, "nothing to hand out")
        if self._stands_in(journey, head.status):
            return
        carrier.status, carrier.committed = head.status, True
        flight.begin()
        flight.add(body, self._clock.now())
        self._land(journey)

    def _stands_in(self, journey: Journey, status: int) -> bool:
        """Give everybody a stale answer where that which came is an error; return whether there is one."""
        stale = self._find_stale(journey) if status >= _ERRORS else None
        if stale is None:
            return False
        journey.carrier.ending = end_with_answer(status, None)
        self._end(journey)
        journey.flight.replace(stale)
        return True

    def _land(self, journey: Journey) -> None:
        self._end(journey)
        self._larder.keep(journey)
        journey.flight.land()
