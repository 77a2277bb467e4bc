"""The path with everything around it played: a caller, an upstream, a clock and readers of records."""

import asyncio
import itertools
from collections.abc import Awaitable, Callable, Mapping, Sequence
from typing import Any

from sidecar.config import BUILT_IN_UPSTREAMS, Route, Settings, Upstream
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.compose import LAST_CHUNK, frame_chunk
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.attempt.heads import read_answer
from sidecar.core.choose.needs import Grant
from sidecar.core.choose.places import Place, read_places
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.identify.router import Router
from sidecar.core.identify.tenants import Tenancy
from sidecar.core.observe.overhearing import Listening, read_listening
from sidecar.edge.prices import load_prices
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import CONNECT_TIMEOUT, FIRST_TOKEN_TIMEOUT, ClientGone, ErrorKind, UpstreamFault
from sidecar.exchange import Call, Record
from sidecar.pipeline import Pipeline
from sidecar.reuse import Reuse
from sidecar.spending import Spending
from sidecar.switchboard import Switchboard
from tests.edge.virtual import VirtualLoop

UPSTREAMS = {
    "openai": BUILT_IN_UPSTREAMS["openai"],
    "other": Upstream("http://other.test:8080/base", provider="mistral_ai"),
}
SETTINGS = Settings(upstreams=UPSTREAMS, routes=(Route("/openai/", "openai"), Route("/other/", "other")))
PRICES = load_prices(SETTINGS)
SILENT = Announcements(EventLog("error"))
JSON = (b"Content-Type", b"application/json")
STREAM = (b"Content-Type", b"text/event-stream")


class TickingClock:
    """Each look at it takes a millisecond."""

    def __init__(self) -> None:
        self.time = 100.0

    def now(self) -> float:
        self.time += 0.001
        return self.time

    def wall_ns(self) -> int:
        return 1_700_000_000_000_000_000


class PlayedClient:
    """A caller whose request comes in `pieces`, and who may leave or stop in the middle of it."""

    def __init__(self, call: Call, pieces: Sequence[bytes | Exception] = ()) -> None:
        self.call = call
        self.pieces = list(pieces)
        self.gone = False
        self.fault = None
        self.outlasts = False
        self.got = b""
        self.ends: list[str] = []

    def take_body(self, bytes_max: int) -> bytes | None:
        """It has not come yet."""
        return None

    async def read_body(self, bytes_max: int) -> tuple[bytes, bool]:
        body = b""
        while len(body) <= bytes_max:
            piece = await self.read_more()
            if not piece:
                return body, True
            body += piece
        return body, False

    async def read_more(self) -> bytes:
        piece = self.pieces.pop(0) if self.pieces else b""
        if isinstance(piece, Exception):
            self.gone = isinstance(piece, ClientGone)
            raise piece
        return piece

    def write(self, data: bytes) -> None:
        assert not self.ends, "bytes after the end"
        self.got += data

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Never slow."""

    def outlast(self) -> None:
        self.outlasts = True

    def hand_over(self, receiver: Any) -> Any:
        raise AssertionError("nobody plays the connection itself")

    def finish(self, *, keep: bool) -> None:
        assert not self.ends
        self.ends.append("kept" if keep else "closed")

    def break_off(self, *, unmistakably: bool) -> None:
        self.ends.append("reset" if unmistakably else "broken off")

    @property
    def head(self) -> bytes:
        """The head of what it got."""
        return self.got.partition(b"\r\n\r\n")[0]

    @property
    def body(self) -> bytes:
        """All behind the head."""
        return self.got.partition(b"\r\n\r\n")[2]

    @property
    def status(self) -> int | None:
        """The status it got."""
        return int(self.got.split(b" ", 2)[1]) if self.got else None


class PlayedAnswer:
    """An upstream that gives a head, a body in pieces, and then ends or fails.

    What happens `at_head`, between the pieces of `body`, and `at_end`: seconds that pass, an exception, or something to wait for.
    """

    def __init__(
        self, status: int = 200, *headers: tuple[bytes, bytes], body: Sequence[Any] = (), at_head: Any = None, at_end: Any = None,
        reused: bool = False, after_pieces: int = 0, framing: bytes = b"length",
    ) -> None:  # fmt: skip
        self.status, self.headers, self.body, self.at_head, self.at_end = status, headers, body, at_head, at_end
        self.reused = reused
        self.after_pieces = after_pieces  # of a streamed request, before it answers
        self.told_framing = framing
        self.clock: Any = None
        self.deadlines: Any = None
        self.previews: list[tuple[int, float, bool]] = []  # most bytes, when it is due, whether whole
        self._next = 0  # of the body
        self._held: list[bytes] = []
        self._observer: Any = None
        self._forward: Callable[[bytes], None] | None = None
        self._end: Callable[[], None] | None = None
        self.request = b""
        self.ended = False
        self.released = 0
        self.connected_at = 0.0
        self.sent_at: float | None = None
        self.head_at: float | None = None
        self.first_byte_at: float | None = None
        self.last_at = 0.0
        self.sent_bytes = 0
        self.observer_failed = False
        self.method = ""
        self.pieces = 0
        self.whole = True
        self.filtered = False
        self.asked = b""  # what a client sends in a session
        self.departure: Any = None  # who leaves it first
        self.tunnel: PlayedTunnel | None = None
        self.upgrades = False

    def start(self, method: str, data: bytes, *, whole: bool, upgrades: bool = False) -> None:
        self.method, self.request, self.whole, self.upgrades = method, data, whole, upgrades
        self.sent_at = self.clock.now()

    async def send_more(self, data: bytes) -> None:
        assert not self.whole
        self.pieces += 1
        self.request += data

    def end_request(self, data: bytes) -> None:
        self.whole = True
        self.request += data

    @property
    def answering(self) -> bool:
        return 0 < self.after_pieces <= self.pieces

    async def until_head(self) -> AnswerHead:
        due, kind = self.deadlines.next_due(head_seen=False, since=self.sent_at) if self.deadlines else (0.0, FIRST_TOKEN_TIMEOUT)
        await within(self.clock, settle(self.at_head, self.clock), due, kind)
        self.head_at = self.clock.now()
        size = sum(len(piece) for piece in self.body if isinstance(piece, bytes))
        framing = {
            b"length": ((b"Content-Length", b"%d" % size),), b"chunked": ((b"Transfer-Encoding", b"chunked"),),
        }.get(self.told_framing, ())  # fmt: skip
        fields = [name + b": " + value for name, value in (*self.headers, *framing)]
        return read_answer(self.method, self.status, b"\r\n".join([b"HTTP/1.1 %d Said" % self.status, *fields]))

    async def preview(self, observer: Any, bytes_max: int, due: float, *, whole: bool) -> bytes:
        self.previews.append((bytes_max, due, whole))
        self._observer = observer
        await within(self.clock, self._look(bytes_max, whole), due, FIRST_TOKEN_TIMEOUT)
        return b"".join(self._held)

    async def _look(self, bytes_max: int, whole: bool) -> None:
        seen = self._observer.seen
        while (piece := await self._take()) is not None:
            self._observer.feed(piece, self.clock.now())
            self._held.append(piece)
            told = seen.first_token is not None or seen.error_type is not None or seen.terminated or seen.answered
            if sum(map(len, self._held)) >= bytes_max or (told and not whole):
                return
        self._close()

    async def _take(self) -> bytes | None:
        """Return the next piece of the body when it has come, None at its end."""
        while self._next < len(self.body):
            piece = self.body[self._next]
            self._next += 1
            if isinstance(piece, bytes):
                return piece
            await settle(piece, self.clock)
        await settle(self.at_end, self.clock)
        return None

    def _close(self) -> None:
        self._observer.finish(self.clock.now())
        self.ended = True
        if self._end is not None:
            self._end()

    def commit(self, client: Any, head: bytes, framing: Framing, observer: Any, body_filter: Any, *, ends_itself: bool) -> None:
        assert self._forward is None, "committed once"
        assert observer is (self._observer or observer), "who has read the beginning reads the rest"
        is_chunked = framing is Framing.CHUNKED

        def forward(piece: bytes) -> None:
            out = piece if body_filter is None else body_filter.feed(piece)
            if out:
                self.first_byte_at = self.first_byte_at or self.clock.now()
                self.sent_bytes += len(out)
                client.write(frame_chunk(out) if is_chunked else out)

        def end() -> None:
            if ends_itself and is_chunked:
                client.write(LAST_CHUNK)

        client.write(head)
        self.filtered = body_filter is not None
        self._observer, self._forward, self._end = observer, forward, end
        for piece in self._held:  # looked at already
            forward(piece)
        if self.ended:
            end()
            return
        while self._next < len(self.body) and isinstance(self.body[self._next], bytes):
            self._pass_on(self.body[self._next])
            self._next += 1
        if self._next == len(self.body) and self.at_end is None:
            self._close()

    def _pass_on(self, piece: bytes) -> None:
        if self._forward is not None:
            self._forward(piece)
        self._observer.feed(piece, self.clock.now())

    def open_tunnel(self, client: Any, head: bytes, observer: Any, idle_s: float) -> "PlayedTunnel":
        client.write(head)
        client.ends.append("handed over")
        self.tunnel = PlayedTunnel(self, observer, idle_s)
        return self.tunnel

    async def until_end(self) -> None:
        while (piece := await self._take()) is not None:
            self._pass_on(piece)
        self._close()

    def release(self) -> None:
        self.released += 1


class PlayedTunnel:
    """A session in which `said` comes from the server and `asked` from the client, until somebody leaves (`at_end`)."""

    def __init__(self, answer: PlayedAnswer, observer: Any, idle_s: float) -> None:
        self.answer, self.observer, self.idle_s = answer, observer, idle_s
        self.observer_failed = False
        self.request_bytes, self.sent_bytes = len(answer.asked), len(b"".join(answer.body))
        self.dismissals: list[tuple[Any, Any]] = []

    async def until_closed(self) -> Any:
        self.observer.read_client(self.answer.asked)
        for piece in self.answer.body:
            self.observer.read_server(piece)
        await settle(self.answer.at_end, self.answer.clock)
        return self.answer.departure

    def dismiss(self, departure: Any, kind: Any) -> None:
        self.dismissals.append((departure, kind))


async def settle(event: Any, clock: Any) -> None:
    """Raise an exception, let seconds pass, wait for a future, or do nothing."""
    if isinstance(event, BaseException):
        raise event
    if isinstance(event, float):
        await let_pass(clock, event)
    elif event is not None:
        await event


async def let_pass(clock: Any, seconds: float) -> None:
    """Let time pass."""
    if isinstance(clock, TickingClock):
        clock.time += seconds
    else:
        await asyncio.sleep(seconds)  # of a virtual loop


async def within(clock: Any, work: Awaitable[Any], due: float, kind: ErrorKind) -> Any:
    """Give work up at a moment of virtual time."""
    if not isinstance(clock, VirtualLoop):
        return await work
    try:
        async with asyncio.timeout_at(due):
            return await work
    except TimeoutError:
        raise UpstreamFault(kind) from None


class Played:
    """One path with callers, upstreams that answer in turn, and two readers of records.

    `at`: what each upstream answers, by its name, where it matters who is asked; `keys`: their own. On a virtual loop, time is its time.
    """

    def __init__(
        self, *answers: Any, settings: Settings = SETTINGS, traces: bool = False, at: Mapping[str, Sequence[Any]] | None = None,
        draw: Callable[[], float] = lambda: 0.5, keys: Mapping[str, str] | None = None,
        announcements: Announcements | None = None,
    ) -> None:  # fmt: skip
        self.answers = list(answers)
        self.at = {name: list(each) for name, each in (at or {}).items()}
        self.used: list[PlayedAnswer] = []
        self.asked: list[tuple[str, bool]] = []
        self.deadlines: list[Deadlines] = []
        self.clock: Any = find_clock()
        self.grants: list[Grant] = []
        self.settled: list[tuple[Grant, Verdict, float | None]] = []
        self.room = True
        self.in_flight = 0
        self.in_flight_most = 0
        self.records: list[list[Record]] = [[], []]
        self.reports: list[tuple[str, Exception]] = []
        self.websockets = Count()
        self.health: dict[str, int] = {}  # what probes are answered with
        self.knocked: list[str] = []
        self.rests: list[float] = []  # backed off, seconds
        self.at_rest: Callable[[float], Awaitable[None]] | None = None  # what happens meanwhile
        self.spending: Spending | None = None
        self._numbers = itertools.count(0x1234567)
        self._traces = traces
        places = read_places(settings.upstreams, keys or {})
        read = read_listening(settings)
        listening = read if read.is_on else None
        self.meter = Meter(settings.limits, settings.upstreams, version="0", python="3")
        self.meter.resilience.prepare(settings)
        self.switchboard = Switchboard(
            settings, places, PRICES, self, self, self.clock, draw, self.meter.resilience, announcements or SILENT, listening,
            self._rest, self.make_spending(settings, places),
        )  # fmt: skip
        self.pipeline = self._make_pipeline(settings, places, listening)

    def adopt(self, settings: Settings, keys: Mapping[str, str] | None = None) -> None:
        """Let other settings come: calls from now on go by them."""
        places = read_places(settings.upstreams, keys or {})
        read = read_listening(settings)
        listening = read if read.is_on else None
        self.switchboard.adopt(settings, places, PRICES, self, self, listening, self.make_spending(settings, places), self.clock.now())
        self.pipeline = self._make_pipeline(settings, places, listening)

    def _make_pipeline(self, settings: Settings, places: Mapping[str, Place], listening: Listening | None) -> Pipeline:
        self._watch_grants()
        numbers = self._numbers
        return Pipeline(
            settings, Router(settings.routes, settings.pools), places, PRICES, Tenancy(settings), self.switchboard.attempts,
            self.clock, self, self.websockets, [*(_Sink(records) for records in self.records), self.meter],
            lambda bits: next(numbers) * 0x9E3779B97F4A7C15 & ((1 << bits) - 1),
            self.report, has_room=(lambda important: self.room) if self._traces else None,
            listening=listening, spending=self.spending, reuse=self.make_reuse(settings, places, listening),
        )  # fmt: skip

    def make_spending(self, settings: Settings, places: Mapping[str, Place]) -> Spending | None:
        """Return what reserves and settles: nothing here (tests.flown)."""
        return self.spending

    def make_reuse(self, settings: Settings, places: Mapping[str, Place], listening: Listening | None) -> Reuse | None:
        """Return what answers without asking anew: nothing here (tests.flown)."""
        return None

    def report(self, call_id: str, error: Exception) -> None:
        self.reports.append((call_id, error))

    def inc(self) -> None:
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self.in_flight)

    def dec(self) -> None:
        self.in_flight -= 1

    def _watch_grants(self) -> None:
        routing = self.switchboard.routing
        end = routing.settle

        def noting(begin: Callable[..., Grant | None]) -> Callable[..., Grant | None]:
            def note_begin(*args: Any, **more: Any) -> Grant | None:
                grant = begin(*args, **more)
                if grant is not None:
                    self.grants.append(grant)
                return grant

            return note_begin

        def note_end(grant: Grant, verdict: Verdict, now: float, *, response_time_s: float | None) -> None:
            self.settled.append((grant, verdict, response_time_s))
            end(grant, verdict, now, response_time_s=response_time_s)

        routing.begin, routing.begin_alone = noting(routing.begin), noting(routing.begin_alone)  # type: ignore[method-assign]
        routing.settle = note_end  # type: ignore[method-assign]

    def verdicts(self) -> list[tuple[str, Verdict]]:
        """What was said of each upstream, in the order in which it was."""
        return [(grant.upstream, verdict) for grant, verdict, _ in self.settled]

    def check_rest(self) -> None:
        """See that all that was taken has been given back, once."""
        ended = [grant for grant, _, _ in self.settled]
        assert len(ended) == len(self.grants) == len({id(grant) for grant in ended}), "each grant is settled exactly once"
        assert all(grant.settled for grant in self.grants)
        for view in self.switchboard.routing.describe(self.clock.now()):
            assert (view.pending, view.in_use) == (0, 0), view.name
        assert all(grant.standing.post.active == 0 for grant in self.grants)
        self.switchboard.refresh()
        assert self.meter.resilience.queued.value == 0
        assert self.in_flight == 0
        assert all(answer.released for answer in self.used), "nothing is held on to"

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        if self.at_rest is not None:
            await self.at_rest(seconds)
        await let_pass(self.clock, seconds)

    async def knock(self, name: str, request: bytes, timeout_s: float) -> int | None:
        self.knocked.append(name)
        return self.health.get(name, 200)

    async def reach(self, name: str, deadlines: Deadlines, *, fresh: bool) -> Any:
        self.asked.append((name, fresh))
        self.deadlines.append(deadlines)
        answers = self.at.get(name, self.answers)
        answer = answers[0]
        if isinstance(answer, PlayedAnswer) or len(answers) > 1:  # what fails last fails as often as it is tried
            del answers[0]
        if not isinstance(answer, PlayedAnswer):
            await within(self.clock, settle(answer, self.clock), self.clock.now() + deadlines.connect_s, CONNECT_TIMEOUT)
            answer = answers.pop(0)  # behind what has happened on the way
        answer.clock, answer.deadlines = self.clock, deadlines
        answer.connected_at = self.clock.now()
        self.used.append(answer)
        return answer

    async def carry(self, client: Any) -> Record:
        """Carry a call to its end and return its one record, having looked at everything that must hold at every end."""
        try:
            await self.pipeline.carry(client)
        except asyncio.CancelledError:
            pass
        first, second = self.records
        assert len(first) == 1, "exactly one record"
        assert second == first, "the same to every sink"
        assert self.in_flight_most == 1
        self.check_rest()
        assert len(client.ends) == 1, "the caller's side has exactly one end"
        record = first[0]
        assert len(record.attempts) == len(self.asked)
        assert record.ended >= record.accepted
        return record


def find_clock() -> Any:
    """Return the running loop where its time is virtual, else a clock that ticks."""
    try:
        loop = asyncio.get_running_loop()
    except RuntimeError:
        return TickingClock()
    return loop if isinstance(loop, VirtualLoop) else TickingClock()


class Count:
    """A level (ports.Level)."""

    def __init__(self) -> None:
        self.value = 0

    def inc(self) -> None:
        self.value += 1

    def dec(self) -> None:
        self.value -= 1


class _Sink:
    def __init__(self, records: list[Record]) -> None:
        self.records = records

    def observe(self, record: Record) -> None:
        self.records.append(record)
