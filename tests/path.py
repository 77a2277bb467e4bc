"""The path with everything around it played: a caller, an upstream, a clock and readers of records."""

import asyncio
import itertools
from collections.abc import Callable, Sequence
from typing import Any

from sidecar.app import load_prices
from sidecar.config import BUILT_IN_UPSTREAMS, Route, Settings, Upstream
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.compose import LAST_CHUNK, frame_chunk
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.attempt.heads import read_answer
from sidecar.core.choose.places import read_places
from sidecar.core.identify.router import Router
from sidecar.core.observe.overhearing import read_listening
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ClientGone
from sidecar.exchange import Call, Record
from sidecar.pipeline import Pipeline
from sidecar.switchboard import Switchboard

UPSTREAMS = {
    "openai": BUILT_IN_UPSTREAMS["openai"],
    "other": Upstream("http://other.test:8080/base", provider="mistral_ai"),
}
SETTINGS = Settings(upstreams=UPSTREAMS, routes=(Route("/openai/", "openai"), Route("/other/", "other")))
PRICES = load_prices(SETTINGS)
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
    """An upstream that gives a head, a body in pieces, and then ends or fails."""

    def __init__(
        self, status: int = 200, *headers: tuple[bytes, bytes], body: Sequence[bytes] = (), at_head: Any = None, at_end: Any = None,
        reused: bool = False, after_pieces: int = 0, framing: bytes = b"length",
    ) -> None:  # fmt: skip
        self.status, self.headers, self.body, self.at_head, self.at_end = status, headers, body, at_head, at_end
        self.reused = reused
        self.after_pieces = after_pieces  # of a streamed request, before it answers
        self.told_framing = framing
        self.clock: Any = None
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
        await settle(self.at_head)
        self.head_at = self.clock.now()
        framing = {
            b"length": ((b"Content-Length", b"%d" % sum(map(len, self.body))),), b"chunked": ((b"Transfer-Encoding", b"chunked"),),
        }.get(self.told_framing, ())  # fmt: skip
        fields = [name + b": " + value for name, value in (*self.headers, *framing)]
        return read_answer(self.method, self.status, b"\r\n".join([b"HTTP/1.1 %d Said" % self.status, *fields]))

    def commit(self, client: Any, head: bytes, framing: Framing, observer: Any, body_filter: Any, *, ends_itself: bool) -> None:
        client.write(head)
        self.filtered = body_filter is not None
        for piece in self.body:
            out = piece if body_filter is None else body_filter.feed(piece)
            if out:
                self.first_byte_at = self.first_byte_at or self.clock.now()
                self.sent_bytes += len(out)
                client.write(frame_chunk(out) if framing is Framing.CHUNKED else out)
            observer.feed(piece, self.clock.now())
        if self.at_end is None:
            observer.finish(self.clock.now())
            self.ended = True
            if ends_itself and framing is Framing.CHUNKED:
                client.write(LAST_CHUNK)

    def open_tunnel(self, client: Any, head: bytes, observer: Any, idle_s: float) -> "PlayedTunnel":
        client.write(head)
        client.ends.append("handed over")
        self.tunnel = PlayedTunnel(self, observer, idle_s)
        return self.tunnel

    async def until_end(self) -> None:
        await settle(self.at_end)

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
        await settle(self.answer.at_end)
        return self.answer.departure

    def dismiss(self, departure: Any, kind: Any) -> None:
        self.dismissals.append((departure, kind))


async def settle(event: Any) -> None:
    """Raise an exception, wait for a future, or do nothing."""
    if isinstance(event, BaseException):
        raise event
    if event is not None:
        await event


class Played:
    """One path with a caller, upstreams that answer in turn, and two readers of records."""

    def __init__(self, *answers: Any, settings: Settings = SETTINGS, traces: bool = False) -> None:
        self.answers = list(answers)
        self.used: list[PlayedAnswer] = []
        self.asked: list[tuple[str, bool]] = []
        self.deadlines: list[Deadlines] = []
        self.clock = TickingClock()
        self.room = True
        self.in_flight = 0
        self.in_flight_most = 0
        self.records: list[list[Record]] = [[], []]
        self.reports: list[tuple[str, Exception]] = []
        self.websockets = Count()
        self.rests: list[float] = []  # backed off, seconds
        numbers = itertools.count(0x1234567)
        places = read_places(settings.upstreams, {})
        read = read_listening(settings)
        listening = read if read.is_on else None
        meter = Meter(settings.limits, settings.upstreams, version="0", python="3")
        meter.resilience.prepare(settings)
        self.switchboard = Switchboard(
            settings, places, PRICES, self, self, self.clock, lambda: 0.5, meter.resilience, Announcements(EventLog("error")), listening,
            self._rest,
        )  # fmt: skip
        self.pipeline = Pipeline(
            settings, Router(settings.routes, settings.pools), places, PRICES, self.switchboard.attempts, self.clock, self, self.websockets,
            [_Sink(records) for records in self.records], lambda bits: next(numbers) * 0x9E3779B97F4A7C15 & ((1 << bits) - 1),
            lambda call_id, error: self.reports.append((call_id, error)), has_room=(lambda important: self.room) if traces else None,
            listening=listening,
        )  # fmt: skip

    def inc(self) -> None:
        self.in_flight += 1
        self.in_flight_most = max(self.in_flight_most, self.in_flight)

    def dec(self) -> None:
        self.in_flight -= 1

    async def _rest(self, seconds: float) -> None:
        self.rests.append(seconds)
        self.clock.time += seconds

    async def knock(self, name: str, request: bytes, timeout_s: float) -> int | None:
        raise AssertionError("nobody probes")

    async def reach(self, name: str, deadlines: Deadlines, *, fresh: bool) -> Any:
        self.asked.append((name, fresh))
        self.deadlines.append(deadlines)
        answer = self.answers[0]
        if isinstance(answer, PlayedAnswer) or len(self.answers) > 1:  # what fails last fails as often as it is tried
            del self.answers[0]
        if not isinstance(answer, PlayedAnswer):
            await settle(answer)
        answer.clock = self.clock
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
        assert (self.in_flight, self.in_flight_most) == (0, 1)
        assert all(answer.released for answer in self.used), "nothing is held on to"
        assert len(client.ends) == 1, "the caller's side has exactly one end"
        record = first[0]
        assert len(record.attempts) == len(self.asked)
        assert record.ended >= record.accepted
        return record


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
