"""Requests for embeddings that go out together, as one call: each caller gets its part of the answer.

A request waits until its bundle goes. If the provider rejects a bundle, or its answer cannot be taken apart, each of its
requests is made on its own: one caller's mistake is no other's. Any other failure is the same for all of them.
"""

import asyncio
from collections.abc import Callable
from copy import copy
from typing import Final

import msgspec

from sidecar.attempts import Attempts
from sidecar.config import Settings
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.endings import end_with_answer, end_with_fault
from sidecar.core.observe.inflate import CODINGS, inflate
from sidecar.core.observe.overhearing import Listening
from sidecar.core.reuse.batches import Bundle, Collector, Group
from sidecar.core.reuse.cachekey import Reader, read_scope, spell_offers
from sidecar.core.reuse.embedding_forms import Inputs, Share, join, read_inputs, split
from sidecar.core.reuse.flights import Flight
from sidecar.errors import INTERNAL, Fault, SidecarFault
from sidecar.exchange import Ending, Seen
from sidecar.flying import Recorder, Spawn
from sidecar.journeys import Journey, find_seen, retrace
from sidecar.ports import Clock
from sidecar.progress import Exchange, Trial
from sidecar.reading import open_observer
from sidecar.spending import Spending

# What a provider answers where it does not like what it was sent: it may dislike one input of several.
_DISLIKED: Final = frozenset({400, 404, 405, 409, 411, 413, 415, 422})
_OK: Final = 200
_LENGTH, _CLOSE = Framing.LENGTH, Framing.CLOSE


class Member:
    """One request in a bundle: whose it is, and the body of its answer, None where it has to be made on its own."""

    __slots__ = ("crew", "inputs", "journey", "outcome")

    def __init__(self, journey: Journey, inputs: Inputs, outcome: "asyncio.Future[bytes | None]") -> None:
        self.journey = journey
        self.inputs = inputs
        self.outcome = outcome
        self.crew: Crew | None = None  # that carries its bundle


class Crew:
    """Who carries a bundle, for those who still wait for it. `carrier`: the call that is made for all."""

    __slots__ = ("carrier", "members", "task")

    def __init__(self, members: list[Member], carrier: Exchange) -> None:
        self.members = list(members)
        self.carrier = carrier
        self.task: asyncio.Task[None] | None = None

    @property
    def first(self) -> Member | None:
        """Whose call it is."""
        return self.members[0] if self.members else None

    async def leave(self, member: Member) -> None:
        """One waits no more, and pays for what was asked for it; the last one ends the call, and tells what became of it."""
        if self.members == [member] and self.task is not None and not self.task.done():
            self.task.cancel()
            await asyncio.wait((self.task,))
        if member in self.members:
            self.members.remove(member)
        if self.members:
            _pass_on(member, self.carrier, is_first=False)


class Bundling:
    """Makes bundles, and carries them. One instance serves all calls."""

    def __init__(
        self, settings: Settings, attempts: Attempts, spending: Spending | None, clock: Clock, spawn: Spawn,
        report: Callable[[str, Exception], None], listening: Listening | None,
    ) -> None:  # fmt: skip
        self._report = report
        self._settings = settings
        self._attempts = attempts
        self._spending = spending
        self._clock = clock
        self._spawn = spawn
        self._listening = listening
        self._collector: Collector[Member] = Collector(settings.batches)
        self._reader = Reader(settings.cache.ignore_headers)
        self._timer: asyncio.TimerHandle | None = None

    async def carry(self, journey: Journey) -> bytes | None:
        """Have a request answered together with others; return its body. None: it has to be made on its own. Raises Fault."""
        inputs = self._read(journey.carrier)
        if inputs is None:
            return None
        if self._spending is not None:
            await self._spending.reserve(journey.carrier)
        member = Member(journey, inputs, asyncio.get_running_loop().create_future())
        for bundle in self._collector.add(self._find_group(journey.carrier, inputs), member, inputs, self._clock.now()):
            self._send(bundle)
        self._set_timer()
        try:
            return await member.outcome
        except asyncio.CancelledError:
            self._collector.discard(member)
            if member.crew is not None:
                await member.crew.leave(member)
            raise

    def _read(self, carrier: Exchange) -> Inputs | None:
        match = carrier.match
        if match is None or carrier.call.method != "POST" or not carrier.held or carrier.call.wanted.content_encoding:
            return None
        return read_inputs(carrier.dialect.name, match.path, carrier.body)

    def _find_group(self, carrier: Exchange, inputs: Inputs) -> Group:
        head = self._reader.read(carrier.call.headers)
        scope, query = read_scope(carrier.tenant.name, head.credentials, carrier.query)
        route = "" if carrier.match is None else carrier.match.route
        offers = spell_offers(carrier.call.wanted.accept_encoding, narrowed=True)  # an error is told to all as it came
        return Group(route, query, (scope, carrier.wishes, offers), tuple(head.fields), inputs.form)

    def _send(self, bundle: Bundle[Member]) -> None:
        if len(bundle.members) == 1:
            if not bundle.members[0].outcome.done():  # it is just leaving
                bundle.members[0].outcome.set_result(None)
            return
        crew = Crew(bundle.members, self._compose(bundle.members[0].journey.carrier, bundle))
        for member in bundle.members:
            member.crew = crew
        crew.task = self._spawn(self._carry(bundle, crew), name="bundle")

    def _set_timer(self) -> None:
        if self._timer is not None:
            self._timer.cancel()
        due = self._collector.next_due()
        self._timer = None
        if due is not None:
            self._timer = asyncio.get_running_loop().call_later(max(0.0, due - self._clock.now()), self._send_due)

    def _send_due(self) -> None:
        for bundle in self._collector.due(self._clock.now()):
            self._send(bundle)
        self._set_timer()

    async def _carry(self, bundle: Bundle[Member], crew: Crew) -> None:
        """Make one call for all, and give each its part."""
        carrier = crew.carrier
        shares: list[Share] | None = None
        body: bytes | None = None
        fault: Fault | None = None
        carrier.ending = Ending.CLIENT_GONE  # if nothing else becomes of it
        try:
            await self._attempts.make(carrier)
            body = await self._collect(carrier)
            shares = self._take_apart(carrier, bundle, body)
        except Fault as caught:
            fault, carrier.kind, carrier.ending = caught, caught.kind, end_with_fault(caught.kind)
        except Exception as error:
            self._report(carrier.call.id, error)
            fault, carrier.kind, carrier.ending = SidecarFault(INTERNAL), INTERNAL, end_with_fault(INTERNAL)
        finally:
            self._attempts.end(carrier, self._clock.now())
            first = crew.first
            for member in crew.members:
                _pass_on(member, carrier, is_first=member is first)
        parts = dict(zip(bundle.members, shares, strict=True)) if shares is not None else {}
        for member in tuple(crew.members):
            if member.outcome.done():  # it is just leaving
                continue
            if fault is not None:
                member.outcome.set_exception(fault)
            elif body is None or (shares is None and carrier.status in (_OK, *_DISLIKED)):
                _part(member)
            else:
                member.outcome.set_result(_deliver(member, carrier, bundle.count, parts.get(member, body)))

    def _compose(self, first: Exchange, bundle: Bundle[Member]) -> Exchange:
        """Return the call that is made for all."""
        carrier = copy(first)
        flight = Flight("", bytes_max=self._settings.limits.observed, lag_max=0)
        flight.begin()
        carrier.client = Recorder(first.call, flight, self._clock)
        carrier.trial, carrier.attempts = Trial(first.trial.place), []
        carrier.body = join(bundle.inputs)
        carrier.request_bytes, carrier.bundled = len(carrier.body), bundle.count
        if carrier.match is not None:
            carrier.match = carrier.match._replace(path=bundle.inputs[0].path)
        return carrier

    async def _collect(self, carrier: Exchange) -> bytes | None:
        """Return the whole answer, as it came; None where it is too long. Raises Fault."""
        trial, recorder = carrier.trial, carrier.client
        answer, head = trial.answer, trial.head
        if answer is None or head is None or not isinstance(recorder, Recorder):
            raise SidecarFault(INTERNAL, "nothing to collect")
        observer = trial.observer or open_observer(carrier, trial, self._settings.limits, self._listening)
        carrier.status, carrier.committed = head.status, True
        answer.commit(recorder, b"", Framing.NONE if head.framing is Framing.NONE else _CLOSE, observer, None, ends_itself=False)
        if not answer.ended:
            await answer.until_end()
        carrier.ending = end_with_answer(head.status, observer.seen.error_type)
        return b"".join(recorder.flight.pieces) if recorder.flight.is_whole else None

    def _take_apart(self, carrier: Exchange, bundle: Bundle[Member], body: bytes | None) -> list[Share] | None:
        head = carrier.trial.head
        if head is None or head.status != _OK or body is None:
            return None
        coding = head.content_encoding.strip().lower()
        if coding not in ("", "identity"):
            if coding not in CODINGS:
                return None
            body = inflate(body, coding, self._settings.limits.observed)
        return split(bundle.inputs, body)


def _pass_on(member: Member, carrier: Exchange, *, is_first: bool) -> None:
    """Tell a request what was done for it. The attempts are told of one of them only."""
    own = member.journey.carrier
    trial = carrier.trial
    own.attempts_made = carrier.attempts_made
    if is_first:
        own.attempts, own.queued_s, own.decision, own.shed = carrier.attempts, carrier.queued_s, carrier.decision, carrier.shed
        own.trial = copy(trial)
    else:
        own.trial = Trial(trial.place, head=trial.head, media_type=trial.media_type, answer=trial.answer)
        seen = find_seen(carrier)
        own.told = Seen() if seen is None else retrace(seen, own.call.accepted, pays=False)


def _part(member: Member) -> None:
    """Have a request made on its own. Nothing of what came for all is left with it: it could be taken for its own answer."""
    own = member.journey.carrier
    own.trial, own.told = Trial(own.trial.place), None
    member.outcome.set_result(None)


def _deliver(member: Member, carrier: Exchange, count: int, answer: Share | bytes) -> bytes:
    """Give a request its answer: its share of a common one, or the one that is the same for all. Return the body."""
    own = member.journey.carrier
    head = own.trial.head
    own.ending = carrier.ending
    if not isinstance(answer, Share):
        return answer
    own.told, own.share, own.bundled = answer.seen, answer.seen.usage, count
    own.trial.head = None if head is None else _shorten(head, len(answer.body))
    return answer.body


def _shorten(head: AnswerHead, size_bytes: int) -> AnswerHead:
    """Return the head of one part of an answer, which is sent plain."""
    fields = [field for field in head.fields if not field.lower().startswith(b"content-encoding:")]
    return msgspec.structs.replace(
        head, framing=_LENGTH, fields=fields, length_field=b"Content-Length: %d" % size_bytes, content_encoding=""
    )
