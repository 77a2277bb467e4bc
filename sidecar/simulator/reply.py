"""One reply as a list of steps: what bytes after what pause, and what the connection does then.

All faults of the wire are decided here; whoever performs the steps only waits and writes.
"""

from bisect import bisect_right
from enum import StrEnum
from itertools import accumulate
from typing import Final, NamedTuple

from sidecar.simulator.contract import Dialect, Event
from sidecar.simulator.plan import Plan
from sidecar.simulator.script import Fault
from sidecar.simulator.tokens import Tokens
from sidecar.simulator.wire import (
    CONTINUE,
    EARLY_HINTS,
    LAST_CHUNK,
    NOT_HTTP,
    Fields,
    Framing,
    compress_pieces,
    frame,
    render_head,
)  # fmt: skip


class Outcome(StrEnum):
    """What the provider sent, in the end."""

    OPEN = "open"  # still being sent
    COMPLETE = "complete"
    ERROR_EVENT = "error_event"  # complete, but an error stands in place of the answer's end
    CUT = "cut"  # closed, or ended by its framing, before the answer's end
    RESET = "reset"
    STALLED = "stalled"  # went silent until the caller left
    UNANSWERED = "unanswered"  # closed before a head
    GARBAGE = "garbage"  # not HTTP
    CLIENT_GONE = "client_gone"  # the caller left first
    STOPPED = "stopped"  # the simulator was stopped


class End(StrEnum):
    """What the connection does after the last step."""

    KEEP = "keep"
    CLOSE = "close"
    RESET = "reset"
    HANG = "hang"


class Step(NamedTuple):
    """Bytes to write after a pause: as they go to the socket, and the part of them that is body."""

    delay_s: float
    wire: bytes
    body: bytes


class Marks(NamedTuple):
    """Where in the body things stand, as offsets of their last byte: what was told follows from what was sent."""

    token_ends: tuple[int, ...] = ()
    reasoning_ends: tuple[int, ...] = ()
    tellings: tuple[tuple[int, Tokens], ...] = ()  # usage as told at that place; the last that was sent counts
    streamed: bool = False

    def tokens_within(self, sent_bytes: int) -> tuple[int, int]:
        """Output tokens and, of them, reasoning tokens whose bytes were all sent."""
        return bisect_right(self.token_ends, sent_bytes), bisect_right(self.reasoning_ends, sent_bytes)

    def told_within(self, sent_bytes: int) -> Tokens | None:
        """The last usage that went out in full; None where none did."""
        return next((tokens for end, tokens in reversed(self.tellings) if end <= sent_bytes), None)


class Reply(NamedTuple):
    """What to send, and what the ledger is to say of it once it was sent."""

    steps: tuple[Step, ...]
    end: End = End.KEEP
    outcome: Outcome = Outcome.COMPLETE
    status: int | None = None
    marks: Marks = Marks()
    is_billed: bool = False
    steps_per_turn: int = 64  # steps without a pause between them that may be written in one go


_Pieces = tuple[tuple[float, bytes], ...]  # of a body before its framing, with the pause before each


class _Shape(NamedTuple):
    """A body before its framing, and where things stand in it."""

    pieces: _Pieces
    marks: Marks
    strike: int  # the fault's place: bytes of body before it


ERROR_STATUS: Final = {Fault.RATE_LIMITED: 429, Fault.SERVER_ERROR: 500, Fault.UNAVAILABLE: 503}
_RETRY_STATUSES: Final = (429, 503, 529)
_BREAKS: Final = {
    Fault.RESET: (End.RESET, Outcome.RESET),
    Fault.DROP: (End.CLOSE, Outcome.CUT),
    Fault.CUT: (End.KEEP, Outcome.CUT),
    Fault.STALL: (End.HANG, Outcome.STALLED),
    Fault.SHORT_BODY: (End.CLOSE, Outcome.CUT),
}
_BEFORE_HEAD: Final = {
    Fault.RESET_BEFORE_HEAD: Reply((), End.RESET, Outcome.UNANSWERED),
    Fault.CLOSE_BEFORE_HEAD: Reply((), End.CLOSE, Outcome.UNANSWERED),
    Fault.GARBAGE_HTTP: Reply((Step(0.0, NOT_HTTP, b""),), End.CLOSE, Outcome.GARBAGE),
}
_EXCESS_BYTES: Final = 14  # how much more than declared is sent


def compose_plain(status: int, body: bytes, fields: Fields = (), *, delay_s: float = 0.0, outcome: Outcome = Outcome.COMPLETE) -> Reply:
    """A whole JSON answer without any fault of the wire."""
    head = render_head(status, [("content-type", "application/json"), *fields], Framing.LENGTH, len(body), closes=False)
    return Reply((Step(delay_s, head + body, body),), status=status, outcome=outcome)


def compose(dialect: Dialect, plan: Plan, fields: Fields, *, accepts_gzip: bool, can_chunk: bool) -> Reply:
    """The reply to a well-formed request of a known model."""
    status = plan.script.status if plan.fault is Fault.STATUS else ERROR_STATUS.get(plan.fault) if plan.fault else None
    if status is not None:
        return _compose_error(dialect, plan, status, fields)
    if plan.fault in _BEFORE_HEAD:
        reply = _BEFORE_HEAD[plan.fault]
        steps = reply.steps or (Step(0.0, b"", b""),)
        return reply._replace(steps=(steps[0]._replace(delay_s=plan.first_byte_s), *steps[1:]))
    gzips = plan.script.gzip and accepts_gzip
    shape = _shape_stream(dialect, plan, gzips) if plan.ask.stream else _shape_whole(dialect, plan, gzips)
    return _frame_body(dialect, plan, shape, [*fields, *([("content-encoding", "gzip")] if gzips else [])], can_chunk=can_chunk)


def _compose_error(dialect: Dialect, plan: Plan, status: int, fields: Fields) -> Reply:
    told = [*fields, ("retry-after", f"{plan.script.retry_after_s:g}")] if status in _RETRY_STATUSES else fields
    code = {404: "model_not_found", 429: "rate_limit_exceeded"}.get(status)
    return compose_plain(status, dialect.render_error(status, f"Simulated failure {status}.", code=code), told, delay_s=plan.first_byte_s)


def _shape_whole(dialect: Dialect, plan: Plan, gzips: bool) -> _Shape:
    """An unstreamed body: one piece, once all of it is there."""
    body, is_told = dialect.render_whole(plan), plan.is_told
    if plan.fault is Fault.ERROR_EVENT:
        body, is_told = dialect.render_error(500, "Simulated failure within the answer."), False
    elif plan.fault is Fault.GARBAGE_EVENT:
        body, is_told = dialect.garbage, False
    if gzips:
        body = compress_pieces([body])[0]
    marks = Marks((1,) * plan.completion_tokens, (1,) * plan.reasoning_tokens, ((len(body), plan.told_tokens),) if is_told else ())
    after = plan.script.after_bytes
    delay_s = plan.first_byte_s if plan.ask.background else plan.duration_s
    return _Shape(((delay_s, body),), marks, min(len(body), after) if after is not None else len(body) // 2)


def _shape_stream(dialect: Dialect, plan: Plan, gzips: bool) -> _Shape:
    """An event stream: one piece per event."""
    script, events = plan.script, dialect.stream_events(plan)
    at = _place_of_fault(plan, events)
    if plan.fault is Fault.ERROR_EVENT:
        events[at:] = [dialect.error_event(500, "Simulated failure within the stream.")]
    elif plan.fault is Fault.NO_DONE:
        events = [event for event in events if not event.is_optional]
    if script.invalid_utf8:
        events.insert(at, Event(dialect.not_utf8))
    if plan.fault is Fault.GARBAGE_EVENT:
        events.insert(at, Event(dialect.garbage))
    lines = [dialect.frame_event(event, script, first=place == 0, last=place == len(events) - 1) for place, event in enumerate(events)]
    if gzips:
        lines = compress_pieces(lines)
    ends = list(accumulate(map(len, lines)))
    marks = Marks(
        tuple(end for end, event in zip(ends, events, strict=True) for _ in range(event.tokens)),
        tuple(end for end, event in zip(ends, events, strict=True) for _ in range(event.reasoning)),
        tuple((end, event.tells) for end, event in zip(ends, events, strict=True) if event.tells is not None),
        streamed=True,
    )
    strike = script.after_bytes if script.after_bytes is not None else ends[at - 1] if at else 0
    pieces = ((event.delay_s, line) for event, line in zip(events, lines, strict=True))
    return _Shape(tuple(pieces), marks, min(strike, ends[-1]))


def _place_of_fault(plan: Plan, events: list[Event]) -> int:
    """How many events go out before the fault: always before the last choice's finish reason."""
    last = max((place for place, event in enumerate(events) if event.finishes), default=0)
    after = plan.script.after_chunks
    return min(last, after if after is not None else 1 + int(plan.fault_share * last))


def _frame_body(dialect: Dialect, plan: Plan, shape: _Shape, fields: Fields, *, can_chunk: bool) -> Reply:
    """Head, framed body and end, with the faults that strike between them."""
    framing = _framing_of(plan, can_chunk)
    length = sum(len(data) for _, data in shape.pieces)
    declared = max(0, length - _EXCESS_BYTES) if plan.fault is Fault.EXCESS_BODY else length
    pieces, end, outcome = _break_off(plan, shape, framing)
    size = 1 if plan.fault is Fault.TRICKLE else plan.script.chunk_bytes
    if size:
        pieces = _resize(pieces, size)
    kind = dialect.stream_type(plan.ask) if plan.ask.stream else "application/json"
    head = render_head(200, [("content-type", kind), *fields], framing, declared, closes=False)
    tellings = shape.marks.tellings
    if framing is Framing.LENGTH:  # what stands beyond the declared length was not told
        tellings = tuple((end, tokens) for end, tokens in tellings if end <= declared)
    return Reply(
        _steps_of(plan, head, pieces, framing, is_framed_to_end=end is not End.HANG and plan.fault not in (Fault.RESET, Fault.DROP)),
        end, outcome, 200, shape.marks._replace(tellings=tellings), is_billed=True, steps_per_turn=1 if size else 64,
    )  # fmt: skip


def _break_off(plan: Plan, shape: _Shape, framing: Framing) -> tuple[_Pieces, End, Outcome]:
    """What of the body is sent, what the connection does then, and what that amounts to."""
    fault, stall_ms = plan.fault, plan.script.stall_ms
    closes = framing is Framing.CLOSE or fault in (Fault.EXCESS_BODY, Fault.SILENT_CLOSE)
    end = End.CLOSE if closes else End.KEEP
    if fault is Fault.STALL and stall_ms is not None:
        before, after = _split_at(shape.pieces, shape.strike)
        return (*before, (stall_ms / 1000, b""), *after), end, Outcome.COMPLETE
    if fault is None or fault not in _BREAKS:
        is_error = fault is Fault.ERROR_EVENT or (plan.is_failed and (plan.ask.stream or not plan.ask.background))
        return shape.pieces, end, Outcome.ERROR_EVENT if is_error else Outcome.COMPLETE
    end, outcome = _BREAKS[fault]
    if end is End.KEEP and framing is not Framing.CHUNKED:
        end = End.CLOSE  # only chunked framing can end before the answer does and leave the connection usable
    return _split_at(shape.pieces, shape.strike)[0], end, outcome


def _framing_of(plan: Plan, can_chunk: bool) -> Framing:
    if plan.fault is Fault.CLOSE_DELIMITED:
        return Framing.CLOSE
    if not plan.ask.stream or plan.fault in (Fault.SHORT_BODY, Fault.EXCESS_BODY):
        return Framing.LENGTH
    return Framing.CHUNKED if can_chunk else Framing.CLOSE


def _steps_of(plan: Plan, head: bytes, pieces: _Pieces, framing: Framing, *, is_framed_to_end: bool) -> tuple[Step, ...]:
    """Head first; with the body in one write where the answer is small and comes at once."""
    steps = [Step(delay_s, frame(data, framing), data) for delay_s, data in pieces]
    if plan.ask.stream:
        steps.insert(0, Step(plan.first_byte_s, head, b""))
    elif steps:
        steps[0] = Step(steps[0].delay_s, head + steps[0].wire, steps[0].body)
    if plan.fault is Fault.INFORMATIONAL:
        steps.insert(0, Step(0.0, CONTINUE + EARLY_HINTS, b""))
    if framing is Framing.CHUNKED and is_framed_to_end:
        steps.append(Step(0.0, LAST_CHUNK, b""))
    return tuple(steps)


def _split_at(pieces: _Pieces, offset: int) -> tuple[_Pieces, _Pieces]:
    """The pieces before and after so many bytes; at least one before, so that a head has a body to go with."""
    before: list[tuple[float, bytes]] = []
    after: list[tuple[float, bytes]] = []
    for delay_s, data in pieces:
        taken = data[: max(0, offset)]
        waits_s = delay_s
        if taken or not before:
            before.append((delay_s, taken))
            waits_s = 0.0
        if len(taken) < len(data):
            after.append((waits_s, data[len(taken) :]))
        offset -= len(data)
    return tuple(before), tuple(after)


def _resize(pieces: _Pieces, size: int) -> _Pieces:
    """The same bytes in pieces of one size; a piece waits as long as all that it is made of."""
    resized: list[tuple[float, bytes]] = []
    held, held_s = bytearray(), 0.0
    for delay_s, data in pieces:
        held_s += delay_s
        held += data
        whole = len(held) // size * size
        for start in range(0, whole, size):
            resized.append((held_s, bytes(held[start : start + size])))
            held_s = 0.0
        del held[:whole]
    if held or not resized:
        resized.append((held_s, bytes(held)))
    return tuple(resized)
