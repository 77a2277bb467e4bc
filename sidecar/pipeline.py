"""THE PATH: what happens to a call, in order, and the only place that knows the order.

`carry` is the story; the steps below it stand in the order in which it takes them. Decisions are
taken in `core`, doing is behind the protocols of `ports`; a step here only passes things on.
"""

from asyncio import CancelledError
from collections.abc import Callable, Mapping, Sequence
from typing import TYPE_CHECKING

from sidecar.attempts import Attempts
from sidecar.batch import carry_together
from sidecar.config import Settings
from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.compose import LAST_CHUNK, compose_malformed, compose_refusal, compose_response, frame_chunk, own_fields
from sidecar.core.attempt.deadlines import set_deadlines
from sidecar.core.attempt.endings import end_with_answer, end_with_fault, is_cut
from sidecar.core.attempt.heads import client_framing
from sidecar.core.choose.places import Place
from sidecar.core.identify.batch import OWN_PATHS
from sidecar.core.identify.peek import peek
from sidecar.core.identify.router import Router
from sidecar.core.identify.targets import split_target
from sidecar.core.identify.tenants import NOBODY, Tenancy
from sidecar.core.identify.tools import identify_tool
from sidecar.core.identify.tracecontext import begin_trace
from sidecar.core.identify.wishes import read_timeout, read_wishes
from sidecar.core.observe.asking import UsageRemover
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.overhearing import Listening
from sidecar.core.observe.pricing import PriceTable
from sidecar.errands import Errand
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
from sidecar.limiting import Limiting
from sidecar.ports import Client, Clock, Level, Sink
from sidecar.progress import NOTHING_ASKED, Exchange
from sidecar.reading import open_observer
from sidecar.sealing import seal, seal_malformed
from sidecar.sessions import Sessions
from sidecar.spending import Spending

if TYPE_CHECKING:
    from sidecar.reuse import Reuse  # what is off stays out of memory

# Looking a member up on its class is ten times the cost of a name of the module.
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE


class Pipeline:
    """Carries calls. One instance serves all of them; what changes on the way is in `Exchange`.

    `has_room`: whether one more trace can be exported, an important or an ordinary one; None: no tracing.
    """

    def __init__(
        self, settings: Settings, router: Router, places: Mapping[str, Place], prices: PriceTable, tenancy: Tenancy, attempts: Attempts,
        clock: Clock, in_flight: Level, websockets: Level, sinks: Sequence[Sink], draw: Callable[[int], int],
        report: Callable[[str, Exception], None], *, has_room: Callable[[bool], bool] | None, listening: Listening | None,
        limiting: Limiting | None = None, spending: Spending | None = None, reuse: "Reuse | None" = None,
    ) -> None:  # fmt: skip
        self._settings = settings
        self._router = router
        self._places = places
        self._prices = prices
        self._attempts = attempts
        self._clock = clock
        self._in_flight = in_flight
        self._sessions = Sessions(settings, prices, clock, websockets)
        self._sinks = sinks
        self._draw = draw
        self._report = report
        self._has_room = has_room or _always
        self._traces = has_room is not None
        self._listening = listening
        self._tenancy = tenancy
        self._anybody = None if tenancy.reads_all else tenancy.default  # whose a call is that has none of our headers
        self._limiting = limiting
        self._spending = spending
        self._reuse = reuse
        self._is_closed = False

    def close(self) -> None:
        """Refuse every call that comes from here on: the sidecar stops, and there is no time left for them."""
        self._is_closed = True

    async def carry(self, client: Client, *, batched: bool = False, errand: Errand | None = None) -> None:
        """Carry one call from accept to record. Raises nothing but CancelledError.

        `batched`: it is an entry of a batch. `errand`: it is the sidecar's own.
        """
        exchange = self._accept(client, batched, errand)
        try:
            if client.call.target.startswith(OWN_PATHS):
                await carry_together(exchange, self._carry_entry, self._clock, self._settings.limits, own=self._own_fields(exchange))
                return
            self._identify(exchange)
            await self._receive(exchange)
            if exchange.tool is not None:
                self._identify_tool(exchange, exchange.tool)
            if self._limiting is not None:
                await self._limiting.admit(exchange)
            if self._reuse is None or not await self._reuse.answer(exchange, self._own_fields):
                await self._attempts.make(exchange)
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

    def _accept(self, client: Client, batched: bool, errand: Errand | None) -> Exchange:
        self._in_flight.inc()
        call = client.call
        trace = None
        if self._traces and errand is None:
            trace = begin_trace(call.headers if call.wanted.traced else (), self._draw, self._settings.tracing.ratio)
        exchange = Exchange(client, call, trace, batched=batched)
        if errand is not None:
            exchange.origin, exchange.tenant = errand.origin, errand.tenant
        return exchange

    def _identify(self, exchange: Exchange) -> None:
        call = exchange.call
        exchange.path, exchange.query = split_target(call.target)
        if exchange.tenant is NOBODY:
            if self._anybody is None or call.wanted.own:
                exchange.tenant, exchange.path = self._tenancy.identify(call, exchange.path, exchange.query)
            else:
                exchange.tenant = self._anybody
        match = self._router.match(call.method, exchange.path)
        if match is None:
            raise ClientFault(NO_ROUTE, f"{NO_ROUTE.summary} Routes: {', '.join(self._router.prefixes)}.")
        exchange.match = match
        exchange.tool = match.tool
        if exchange.batched and match.tool is None:
            raise ClientFault(NOT_BATCHABLE)
        exchange.dialect = match.dialect
        if self._is_closed:  # not before it is known in which dialect to say so
            raise SidecarFault(STOPPING)
        if len(match.upstreams) == 1:  # else nobody knows yet
            exchange.trial.place = self._places[match.upstreams[0]]
        wanted = call.wanted
        timeout_s = None
        if wanted.own:
            timeout_s, exchange.wishes = read_timeout(wanted.own), read_wishes(wanted.own)
        exchange.deadlines = set_deadlines(self._settings.timeouts, call.accepted, timeout_s)
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
        exchange.held = exchange.whole
        if not exchange.whole or exchange.dialect is OPAQUE:
            return
        coding = exchange.call.wanted.content_encoding
        exchange.asked = peek(exchange.dialect, exchange.body, exchange.path, coding, self._settings.limits.observed)

    def _identify_tool(self, exchange: Exchange, name: str) -> None:
        call, settings = exchange.call, self._settings
        body = exchange.body if exchange.whole else None
        exchange.dialect, exchange.asked, endless = identify_tool(name, call, body, settings.limits.observed)
        if endless and not exchange.batched:
            exchange.endless = True
            exchange.client.outlast()
            exchange.deadlines = set_deadlines(settings.timeouts, call.accepted, read_timeout(call.wanted.own), endless=True)

    async def _relay(self, exchange: Exchange) -> None:
        """Send the answer on as it comes, and see whether it came to its own end."""
        client, call, trial = exchange.client, exchange.call, exchange.trial
        answer, head = trial.answer, trial.head
        if answer is None or head is None:
            raise SidecarFault(INTERNAL, "nothing to relay")
        if head.status == 101:
            self._attempts.note_session(exchange)
            await self._sessions.carry(exchange, self._own_fields(exchange))
            return
        exchange.status = head.status
        observer = trial.observer or open_observer(exchange, trial, self._settings.limits, self._listening)
        streamed = trial.streamed
        exchange.speakable = streamed and not head.content_encoding
        framing = exchange.framing = client_framing(head.framing, call.http_version, endless=streamed)
        data, keeps = compose_response(call, head, framing, self._own_fields(exchange))
        judged = streamed or head.framing is _CLOSE  # the end of all else is told by the transport
        exchange.committed = True
        body_filter = UsageRemover() if trial.usage_added and exchange.speakable else None
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
                event = exchange.dialect.stream_error(fault.kind, message, exchange.asked, exchange.trial.media_type)
            if event and exchange.framing is not Framing.LENGTH:
                client.write(frame_chunk(event) if exchange.framing is _CHUNKED else event)
            client.break_off(unmistakably=exchange.framing is _CLOSE)

    def _own_fields(self, exchange: Exchange) -> Sequence[bytes]:
        told: list[bytes] = []
        if self._settings.response_headers:
            trial = exchange.trial
            degraded = None if trial.decision is None else exchange.degraded
            told = own_fields(exchange.call.id, trial.place.name, exchange.attempts_made, degraded, exchange.cache)
        return told if self._limiting is None else [*told, *self._limiting.fields(exchange)]

    def _leave(self, exchange: Exchange) -> None:
        """The caller is gone: an ending, not an error, unless it has had the end of the answer, or an error in its place."""
        exchange.kind, exchange.ending = None, Ending.CLIENT_GONE
        if exchange.status is not None and exchange.reader is not None:
            seen = exchange.reader.seen
            if seen.answered or seen.error_type is not None:
                exchange.ending = end_with_answer(exchange.status, seen.error_type)
        # Who reads too slowly is still there: where closing is the end of an answer, it must not take this for one.
        exchange.client.break_off(unmistakably=exchange.framing is _CLOSE and exchange.ending is Ending.CLIENT_GONE)

    def _record(self, exchange: Exchange) -> None:
        """Let go of everything the exchange held, seal what happened, and show it to every sink."""
        now = self._clock.now()
        self._in_flight.dec()
        self._attempts.end(exchange, now)
        self._sessions.dismiss(exchange)
        record = seal(exchange, now, self._prices, slow_s=self._settings.tracing.slow, has_room=self._has_room, listening=self._listening)
        if self._limiting is not None:
            self._limiting.settle(exchange, None if record.usage is None else sum(record.usage), now)
        if self._spending is not None:
            self._spending.settle(exchange, record.cost, now)
        for sink in self._sinks:
            sink.observe(record)


def _always(important: bool) -> bool:
    return True
