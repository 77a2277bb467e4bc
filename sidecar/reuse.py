"""What is answered without asking an upstream anew: from what is kept, or together with a call in progress.

`Reuse.answer` is the story. What may be kept or shared, and under which key, is decided by `core.reuse.policy`.
"""

from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Final

from sidecar.catalogue import BYPASS, COALESCED, HIT, MISS, STALE
from sidecar.config import Pace, Settings
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.compose import LAST_CHUNK, compose_response, frame_chunk
from sidecar.core.attempt.endings import end_with_answer
from sidecar.core.attempt.heads import client_framing
from sidecar.core.choose.places import Place
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.levels import Found
from sidecar.core.reuse.policy import Policy, Request, Terms
from sidecar.core.reuse.retelling import needs_retelling, retell
from sidecar.errors import INTERNAL, NOT_CACHED, Refused, SidecarFault
from sidecar.exchange import Cost, Saved, Seen
from sidecar.flying import Flying
from sidecar.journeys import Journey, find_seen, retrace, take_over
from sidecar.larder import Keeper, Larder
from sidecar.ports import Clock
from sidecar.progress import Exchange, Trial
from sidecar.riding import Rider

_CHUNKED, _LENGTH = Framing.CHUNKED, Framing.LENGTH
_EMBEDDINGS: Final = "embeddings"

OwnFields = Callable[[Exchange], Sequence[bytes]]


class Reuse:
    """Answers calls from what is kept, and lets calls share answers. One instance serves all."""

    def __init__(
        self, settings: Settings, policy: Policy, larder: Larder, flying: Flying, places: Mapping[str, Place], clock: Clock,
        rest: Callable[[float], Awaitable[None]], note: Keeper, refresh: Callable[[Exchange, str], None],
    ) -> None:  # fmt: skip
        """`refresh` fetches an answer anew, in the background, for the key it is kept under."""
        self._settings = settings
        self._keeps_or_shares = settings.features.cache or settings.features.coalescing  # else embeddings only, together
        self._policy = policy
        self._larder = larder
        self._flying = flying
        self._places = places
        self._clock = clock
        self._rest = rest
        self._note = note
        self._refresh = refresh

    async def answer(self, exchange: Exchange, own: OwnFields) -> bool:
        """Answer a call, if it is one whose answer may be kept or shared; return whether it was. Raises Fault."""
        if exchange.session is not None:  # what it becomes is nobody else's
            return False
        if not self._keeps_or_shares and exchange.dialect.operation != _EMBEDDINGS:
            return False
        terms = self._judge(exchange)
        if terms.bypass is not None:
            if self._keeps_or_shares:
                exchange.cache, exchange.bypass = BYPASS, terms.bypass
            if terms.only_cached:
                raise Refused(NOT_CACHED)
            return False
        found = await self._larder.find(terms)
        if found is not None:
            if found.refreshes:
                self._refresh(exchange, terms.key)
            await self._tell(exchange, found, own)
            return True
        if self._keeps_or_shares:
            exchange.cache = MISS
        if terms.only_cached:
            raise Refused(NOT_CACHED)
        await self._ride(exchange, terms, own)
        return True

    def _judge(self, exchange: Exchange) -> Terms:
        call, match = exchange.call, exchange.match
        if match is None:
            raise SidecarFault(INTERNAL, "nowhere to go")
        wanted = call.wanted
        return self._policy.judge(Request(
            call.method, match, exchange.query, call.headers, wanted.own, wanted.accept_encoding, wanted.content_encoding,
            exchange.body, exchange.whole and exchange.held, exchange.dialect, exchange.asked, exchange.tenant.name, exchange.wishes,
            exchange.tool,
        ))  # fmt: skip

    # -- from what is kept -----------------------------------------------------------------

    async def _tell(self, exchange: Exchange, found: Found, own: OwnFields) -> None:
        """Send a kept answer."""
        entry = found.entry
        exchange.is_shared = True
        exchange.cache, exchange.cache_level = (STALE if found.is_stale else HIT), found.level
        place = self._places.get(entry.upstream, exchange.trial.place)  # it may have another name elsewhere
        exchange.trial = Trial(place, streamed=entry.streamed, media_type=entry.media_type)
        told = exchange.told = Seen()
        told.model, told.response_id, told.finish_reasons = entry.model, entry.response_id, list(entry.finish_reasons)
        told.terminated = told.answered = True
        exchange.saved = Saved(entry.usage, None if entry.cost_usd is None else Cost(entry.cost_usd, entry.cost_source))
        exchange.status = entry.status
        await self._send(exchange, entry, found.age_s, own)
        exchange.ending = end_with_answer(entry.status, None)

    async def _send(self, exchange: Exchange, entry: Entry, age_s: float | None, own: OwnFields) -> None:
        """Send a whole answer. `age_s`: for how long it was kept."""
        call, client = exchange.call, exchange.client
        pieces: Sequence[bytes] = entry.pieces
        if needs_retelling(exchange.dialect.name):
            pieces = retell(exchange.dialect.name, pieces, exchange.body, streamed=entry.streamed)
        size_bytes = sum(map(len, pieces))
        length = None if entry.streamed else b"Content-Length: %d" % size_bytes
        framing = client_framing(_LENGTH, call.http_version, endless=entry.streamed)
        fields = [*entry.fields] if age_s is None else [*entry.fields, b"Age: %d" % age_s]  # RFC 9111 section 5.1
        head = AnswerHead(entry.status, entry.reason, framing, fields, length, entry.content_type, entry.content_encoding, [])
        data, keeps = compose_response(call, head, framing, own(exchange))
        exchange.framing, exchange.committed = framing, True
        exchange.committed_at = exchange.first_byte_at = self._clock.now()
        exchange.sent_bytes = size_bytes
        last = LAST_CHUNK if framing is _CHUNKED else b""
        framed = [frame_chunk(piece) for piece in pieces if piece] if framing is _CHUNKED else pieces
        if not entry.streamed or age_s is None or self._settings.cache.pace is Pace.AT_ONCE:
            client.write(b"".join((data, *framed, last)))
        else:
            await self._send_paced(exchange, entry, data, framed, last)
        client.finish(keep=keeps)

    async def _send_paced(self, exchange: Exchange, entry: Entry, head: bytes, framed: Sequence[bytes], last: bytes) -> None:
        """Send pieces as they once came."""
        write, now = exchange.client.write, self._clock.now
        write(head)
        began = now()
        for piece, delay_ms in zip(framed, entry.delays_ms, strict=False):
            early_s = began + delay_ms / 1000 - now()  # by the clock: each rest is longer than it should be, and that would add up
            if early_s > 0:
                await self._rest(early_s)
            write(piece)
        write(b"".join((*framed[len(entry.delays_ms) :], last)))

    # -- together with a call in progress --------------------------------------------------

    async def _ride(self, exchange: Exchange, terms: Terms, own: OwnFields) -> None:
        """Wait for the answer of a call in progress, or of a new one. Raises Fault."""
        journey = self._flying.find(terms)
        if journey is None:
            journey = self._flying.take_off(exchange, terms)
        else:
            exchange.cache = COALESCED
            self._note.note_joined(is_first=not journey.is_shared)
            journey.is_shared = True
        flight = journey.flight
        rider = Rider(flight)
        exchange.is_shared = True
        flight.board(rider)
        try:
            is_answered = await self._follow(exchange, journey, rider, own)
        finally:
            was_owner = flight.owner is rider
            is_last = flight.leave(rider)
            claims = not journey.is_claimed and ((was_owner and flight.is_over) or not flight.aboard)
            journey.is_claimed = journey.is_claimed or claims
            try:
                if is_last:
                    await journey.settle()
            finally:  # it may be cancelled again meanwhile: by its connection's end, then by ours
                rider.release()
                self._part(exchange, journey, rider, claims=claims)
        if not is_answered:
            exchange.cache, exchange.told, exchange.status = MISS, None, None
            await self._ride(exchange, terms._replace(shares=False), own)

    async def _follow(self, exchange: Exchange, journey: Journey, rider: Rider, own: OwnFields) -> bool:
        """Send the answer on; return whether it can be this caller's. Raises Fault."""
        flight, carrier, clock = journey.flight, journey.carrier, self._clock
        own_due = exchange.deadlines.total_at if exchange.deadlines.total_at < carrier.deadlines.total_at else None
        is_leader = journey.leader is exchange
        try:
            await rider.until_begun(own_due, clock)
        finally:
            trial = carrier.trial
            exchange.trial = Trial(trial.place, head=trial.head, streamed=trial.streamed, media_type=trial.media_type)
            exchange.attempts_made = carrier.attempts_made
        if flight.substitute is not None:
            await self._tell(exchange, flight.substitute._replace(is_stale=True), own)
            return True
        head = carrier.trial.head
        if head is None:
            raise SidecarFault(INTERNAL, "nothing to follow")
        exchange.status = head.status
        if not is_leader and needs_retelling(exchange.dialect.name):
            return await rider.until_landed(own_due, clock) and await self._repeat(exchange, journey, own)
        exchange.speakable = exchange.trial.streamed and not head.content_encoding
        framing = exchange.framing = client_framing(head.framing, exchange.call.http_version, endless=exchange.trial.streamed)
        data, keeps = compose_response(exchange.call, head, framing, own(exchange))
        exchange.committed, exchange.committed_at = True, clock.now()
        rider.start(exchange.client, data, framing, exchange.committed_at)
        await rider.until_end(own_due, exchange.deadlines.idle_s, clock)
        if framing is _CHUNKED:
            exchange.client.write(LAST_CHUNK)
        exchange.client.finish(keep=keeps)
        exchange.ending = carrier.ending
        return True

    async def _repeat(self, exchange: Exchange, journey: Journey, own: OwnFields) -> bool:
        """Tell a whole answer with what is this caller's own in place of the other's; return whether that can be done."""
        if journey.entry is None:
            return False
        await self._send(exchange, journey.entry, None, own)
        exchange.ending = journey.carrier.ending
        return True

    def _part(self, exchange: Exchange, journey: Journey, rider: Rider, *, claims: bool) -> None:
        """A caller's way ends: note what it got, and what of the upstream call is told in its record."""
        if exchange.first_byte_at is None:
            exchange.first_byte_at, exchange.sent_bytes = rider.first_byte_at, rider.passed_bytes
        if rider.is_detached and journey.is_shared:
            self._note.note_detached()
        carrier = journey.carrier
        if claims:
            take_over(exchange, carrier, is_leader=journey.leader is exchange)
            return
        exchange.limited, exchange.shed = carrier.limited, carrier.shed  # what refused it refused all who waited for it
        if exchange.told is None:
            seen = find_seen(carrier)
            exchange.told = Seen() if seen is None else retrace(seen, exchange.call.accepted, pays=False)
        if exchange.cache == COALESCED and exchange.ending is not None:
            exchange.saved = journey.saved
