"""THE PATH: what happens to a call, in order, and the only place that knows the order.

`carry` is the story; the steps below it stand in the order in which it takes them. Decisions are
taken in `core`, doing is behind the protocols of `ports`; a step here only passes things on.
"""

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from typing import Final

from sidecar.batch import carry_together
from sidecar.catalogue import GAP_EDGES
from sidecar.config import Ask, Settings
from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.compose import LAST_CHUNK, compose_malformed, compose_refusal, compose_response, frame_chunk, own_fields
from sidecar.core.attempt.deadlines import set_deadlines
from sidecar.core.attempt.endings import end_with_answer, end_with_fault, is_cut
from sidecar.core.attempt.heads import client_framing
from sidecar.core.attempt.repeat import may_repeat
from sidecar.core.choose.places import Place
from sidecar.core.identify.batch import OWN_PATHS
from sidecar.core.identify.peek import peek
from sidecar.core.identify.router import Router
from sidecar.core.identify.targets import split_target
from sidecar.core.identify.tools import identify_tool
from sidecar.core.identify.tracecontext import begin_trace
from sidecar.core.identify.wishes import read_timeout
from sidecar.core.observe.asking import UsageRemover, add_usage_request
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.observer import is_stream, observe, read_media_type
from sidecar.core.observe.overhearing import read_listening
from sidecar.core.observe.pricing import PriceTable
from sidecar.errors import (
    BAD_REQUEST,
    INTERNAL,
    NO_ROUTE,
    NOT_BATCHABLE,
    STOPPING,
    STREAM_CUT,
    ClientFault,
    ClientGone,
    Fault,
    SidecarFault,
    UpstreamFault,
)
from sidecar.exchange import Ending
from sidecar.ports import Client, Clock, Level, Reach, Sink
from sidecar.progress import NOTHING_ASKED, Exchange
from sidecar.sealing import compose_request, seal, seal_malformed
from sidecar.sessions import Sessions

# Looking a member up on its class is ten times the cost of a name of the module.
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE
_ASKING: Final = "openai_chat"  # the one form in which usage comes only if asked for


class Pipeline:
    """Carries calls. One instance serves all of them; what changes on the way is in `Exchange`.

    `has_room`: whether one more trace can be exported, an important or an ordinary one; None: no tracing.
    """

    def __init__(
        self, settings: Settings, router: Router, places: Mapping[str, Place], prices: PriceTable, reach: Reach, clock: Clock,
        in_flight: Level, websockets: Level, sinks: Sequence[Sink], draw: Callable[[int], int],
        report: Callable[[str, Exception], None], *, has_room: Callable[[bool], bool] | None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._router = router
        self._places = places
        self._prices = prices
        self._reach = reach
        self._clock = clock
        self._in_flight = in_flight
        self._sessions = Sessions(settings, prices, clock, websockets)
        self._sinks = sinks
        self._draw = draw
        self._report = report
        self._has_room = has_room or _always
        self._traces = has_room is not None
        listening = read_listening(settings)
        self._listening = listening if listening.is_on else None

    async def carry(self, client: Client, *, batched: bool = False) -> None:
        """Carry one call from accept to record. Raises nothing but CancelledError. `batched`: it is an entry of a batch."""
        exchange = self._accept(client, batched)
        try:
            if client.call.target.startswith(OWN_PATHS):
                await carry_together(exchange, self._carry_entry, self._clock, self._settings.limits, own=self._own_fields(exchange))
                return
            self._identify(exchange)
            await self._receive(exchange)
            if exchange.tool is not None:
                self._identify_tool(exchange, exchange.tool)
            await self._attempt(exchange)
            await self._relay(exchange)
        except Fault as fault:
            self._fail(exchange, fault)
        except ClientGone:
            self._leave(exchange)
        except CancelledError:
            self._fail(exchange, client.fault or SidecarFault(STOPPING))  # or the caller left, which is the usual case
            raise
        except Exception as error:
            self._report(exchange.call.id, error)
            self._fail(exchange, SidecarFault(INTERNAL))
        finally:
            self._record(exchange)

    def refuse_malformed(self) -> bytes:
        """Note a request that never became a call; return the whole answer that tells the caller so."""
        record = seal_malformed(self._clock.now(), self._clock.wall_ns())
        for sink in self._sinks:
            sink.observe(record)
        return compose_malformed(BAD_REQUEST, OPAQUE.refusal(BAD_REQUEST, BAD_REQUEST.summary, NOTHING_ASKED))

    def _accept(self, client: Client, batched: bool) -> Exchange:
        self._in_flight.inc()
        call = client.call
        trace = None
        if self._traces:
            trace = begin_trace(call.headers if call.wanted.traced else (), self._draw, self._settings.tracing.ratio)
        return Exchange(client, call, trace, batched=batched)

    def _identify(self, exchange: Exchange) -> None:
        call = exchange.call
        exchange.path, exchange.query = split_target(call.target)
        match = self._router.match(call.method, exchange.path)
        if match is None:
            raise ClientFault(NO_ROUTE, f"{NO_ROUTE.summary} Routes: {', '.join(self._router.prefixes)}.")
        exchange.match = match
        exchange.tool = match.tool
        if exchange.batched and match.tool is None:
            raise ClientFault(NOT_BATCHABLE)
        exchange.dialect = match.dialect
        exchange.place = self._places[match.upstreams[0]]
        wanted = call.wanted
        exchange.deadlines = set_deadlines(self._settings.timeouts, call.accepted, read_timeout(wanted.own) if wanted.own else None)
        if wanted.upgrade:
            self._sessions.admit(exchange, match)

    async def _receive(self, exchange: Exchange) -> None:
        if not exchange.call.has_body:
            return
        limit = self._settings.limits.body
        body = exchange.client.take_body(limit)  # nearly always: it came with the head
        if body is not None:
            exchange.body = body
        else:
            began = self._clock.now()
            exchange.body, exchange.whole = await exchange.client.read_body(limit)
            exchange.waited_s = self._clock.now() - began
        exchange.request_bytes = len(exchange.body)
        if not exchange.whole or exchange.dialect is OPAQUE:
            return
        coding = exchange.call.wanted.content_encoding
        exchange.asked = asked = peek(exchange.dialect, exchange.body, exchange.path, coding, self._settings.limits.observed)
        if asked.stream and not asked.usage_asked and not coding and self._asks(exchange):
            added = add_usage_request(exchange.body, exchange.place.provider, exchange.query)
            if added is not None:
                exchange.body = added
                exchange.usage_added = True

    def _identify_tool(self, exchange: Exchange, name: str) -> None:
        call, settings = exchange.call, self._settings
        body = exchange.body if exchange.whole else None
        exchange.dialect, exchange.asked, endless = identify_tool(name, call, body, settings.limits.observed)
        if endless and not exchange.batched:
            exchange.endless = True
            exchange.client.outlast()
            exchange.deadlines = set_deadlines(settings.timeouts, call.accepted, read_timeout(call.wanted.own), endless=True)

    def _asks(self, exchange: Exchange) -> bool:
        return exchange.dialect.name == _ASKING and exchange.place.answers_usage and self._settings.usage.ask is Ask.AUTO

    async def _attempt(self, exchange: Exchange) -> None:
        """Get a response head; repeat only an attempt that can have done nothing."""
        fresh = False
        while True:
            exchange.begin_attempt(self._clock.now())
            try:
                await self._try_once(exchange, fresh)
                return
            except UpstreamFault as fault:
                answer = exchange.answer
                again = answer is not None and not fresh and may_repeat(
                    fault.kind, exchange.call.method, reused=answer.reused, body_held=exchange.whole
                )  # fmt: skip
                if not again:
                    raise
                exchange.close_attempt(self._clock.now(), end_with_fault(fault.kind))
                fresh = True

    async def _try_once(self, exchange: Exchange, fresh: bool) -> None:
        answer = exchange.answer = await self._reach.reach(exchange.place.name, exchange.deadlines, fresh=fresh)
        head, chunked = compose_request(exchange, propagates=self._settings.tracing.propagate)
        body = exchange.body
        data = head + (frame_chunk(body) if chunked else body)
        answer.start(exchange.call.method, data, whole=exchange.whole, upgrades=exchange.session is not None)
        while not exchange.whole and not answer.answering:
            piece = await exchange.client.read_more()
            exchange.request_bytes += len(piece)
            if piece:
                await answer.send_more(frame_chunk(piece) if chunked else piece)
            else:
                exchange.whole = True
                answer.end_request(LAST_CHUNK if chunked else b"")
        exchange.head = await answer.until_head()

    async def _relay(self, exchange: Exchange) -> None:
        """Send the answer on as it comes, and see whether it came to its own end."""
        client, call, answer, head = exchange.client, exchange.call, exchange.answer, exchange.head
        if answer is None or head is None:
            raise SidecarFault(INTERNAL, "nothing to relay")
        if head.status == 101:
            await self._sessions.carry(exchange, self._own_fields(exchange))
            return
        exchange.status = head.status
        exchange.media_type = media_type = read_media_type(head.content_type)
        exchange.streamed = streamed = is_stream(exchange.dialect, media_type)
        exchange.speakable = streamed and not head.content_encoding
        reading = exchange.dialect if self._listening is None else exchange.listen(self._listening.chars_max)
        observer = exchange.observer = observe(
            reading, status=head.status, media_type=media_type, content_encoding=head.content_encoding,
            limits=self._settings.limits, gap_edges=GAP_EDGES,
        )  # fmt: skip
        observer.seen.replayed = head.replayed
        framing = exchange.framing = client_framing(head.framing, call.http_version, endless=streamed)
        data, keeps = compose_response(call, head, framing, self._own_fields(exchange))
        judged = streamed or head.framing is _CLOSE  # the end of all else is told by the transport
        exchange.committed = True
        body_filter = UsageRemover() if exchange.usage_added and exchange.speakable else None
        answer.commit(client, data, framing, observer, body_filter, ends_itself=not judged)
        exchange.committed_at = self._clock.now()
        if not answer.ended:
            await answer.until_end()
        if client.fault is not None:
            raise client.fault
        if judged:
            if not answer.observer_failed and is_cut(observer, is_understood=exchange.dialect is not OPAQUE, body_bytes=answer.sent_bytes):
                raise UpstreamFault(STREAM_CUT, "the answer ended before its own end mark")
            if framing is _CHUNKED:
                client.write(LAST_CHUNK)
        client.finish(keep=keeps)
        exchange.ending = end_with_answer(head.status, observer.seen.error_type)

    async def _carry_entry(self, client: Client) -> None:
        await self.carry(client, batched=True)

    def _fail(self, exchange: Exchange, fault: Fault) -> None:
        """Tell the caller: by an answer of our own, or within the stream, and never by a clean end."""
        if exchange.became is not None:  # a session has told its own
            return
        exchange.kind, exchange.ending = fault.kind, end_with_fault(fault.kind)
        client, message = exchange.client, fault.detail or fault.kind.summary
        if client.gone:
            self._leave(exchange)
        elif not exchange.committed:
            exchange.status = fault.kind.status
            refusal = exchange.dialect.refusal(fault.kind, message, exchange.asked)
            data, keeps = compose_refusal(exchange.call, fault, refusal, own=self._own_fields(exchange))
            client.write(data)
            client.finish(keep=keeps and exchange.whole)
        else:
            event = b""
            if exchange.speakable:
                event = exchange.dialect.stream_error(fault.kind, message, exchange.asked, exchange.media_type)
            if event and exchange.framing is not Framing.LENGTH:
                client.write(frame_chunk(event) if exchange.framing is _CHUNKED else event)
            client.break_off(unmistakably=exchange.framing is _CLOSE)

    def _own_fields(self, exchange: Exchange) -> Sequence[bytes]:
        if not self._settings.response_headers:
            return ()
        return own_fields(exchange.call.id, exchange.place.name, exchange.attempts_made)

    def _leave(self, exchange: Exchange) -> None:
        """The caller is gone: an ending, not an error, unless it has had the end of the answer, or an error in its place."""
        exchange.kind, exchange.ending = None, Ending.CLIENT_GONE
        if exchange.status is not None and exchange.observer is not None:
            seen = exchange.observer.seen
            if seen.answered or seen.error_type is not None:
                exchange.ending = end_with_answer(exchange.status, seen.error_type)
        exchange.client.break_off(unmistakably=False)

    def _record(self, exchange: Exchange) -> None:
        """Let go of everything the exchange held, seal what happened, and show it to every sink."""
        now = self._clock.now()
        self._in_flight.dec()
        self._sessions.dismiss(exchange)
        record = seal(exchange, now, self._prices, slow_s=self._settings.tracing.slow, has_room=self._has_room, listening=self._listening)
        for sink in self._sinks:
            sink.observe(record)


def _always(important: bool) -> bool:
    return True
