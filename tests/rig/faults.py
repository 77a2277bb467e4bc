"""What an upstream may do wrong, where in its answer, and what must come of it when another could answer instead."""

from collections.abc import Iterator
from enum import StrEnum
from typing import Final, NamedTuple

from tests.rig.streams import write_chunk
from tests.rig.talks import Talk
from tests.rig.upstream import End, Script

FIRST_BYTE_S: Final = 0.5
IDLE_S: Final = 0.7
CONNECT_S: Final = 0.4
_TRICKLE_S: Final = 0.02  # between bytes, where the trickle takes longer than anybody waits
_LAST: Final = b"0\r\n\r\n"
_NOT_HTTP: Final = b"\x16\x03\x01\x00\x2a\x02 this is not HTTP\r\n\r\n"


class Fault(StrEnum):
    """One way to fail."""

    REFUSE = "refuse"
    BLACK_HOLE = "black_hole"  # the SYN is never answered
    TLS = "tls"
    RESET = "reset"
    STALL = "stall"
    TRICKLE = "trickle"  # byte by byte
    CORRUPT = "corrupt"  # bytes that are not HTTP, chunks that cannot be read
    EARLY_FIN = "early_fin"
    RATE_LIMITED = "rate_limited"
    SERVER_ERROR = "server_error"
    WRONG_LENGTH = "wrong_length"  # a Content-Length that is not the body's
    SLOW_CLOSE = "slow_close"  # says that no more will come, and does not close
    IN_BAND = "in_band"  # an error event in place of the rest


class Phase(StrEnum):
    """Where within a call."""

    CONNECT = "connect"
    BEFORE_HEAD = "before_head"
    KEPT = "kept"  # before the head, on a connection that has carried a call
    AFTER_HEAD = "after_head"  # before the first token, or before the body of a whole answer
    MID = "mid"
    AT_END = "at_end"  # all was sent but the end of the framing


class Fate(StrEnum):
    """What becomes of the call."""

    FAILOVER = "failover"  # the second upstream answers
    BROKEN = "broken"  # the caller sees that the answer broke off; nobody else is asked
    PASSED = "passed"  # the first upstream's answer, as it came


class Expected(NamedTuple):
    """What must come of a cell."""

    fate: Fate
    outcomes: frozenset[str]  # that the attempt at the first upstream may be counted as
    after_s: float | None = 0.0  # from the request's arrival to the failure, where time decides; 0: the upstream's own moment


class Cell(NamedTuple):
    """One fault at one place of one exchange."""

    fault: Fault
    phase: Phase
    talk: Talk

    def __str__(self) -> str:
        return f"{self.talk.name}: {self.fault} {self.phase}"


_AT_ONCE: Final = {
    Fault.RESET: "reset", Fault.EARLY_FIN: "reset", Fault.SLOW_CLOSE: "reset", Fault.CORRUPT: "malformed", Fault.WRONG_LENGTH: "malformed",
    Fault.RATE_LIMITED: "rate_limited", Fault.SERVER_ERROR: "upstream_error",
}  # fmt: skip
_CONNECT: Final = {Fault.REFUSE: "connect_failed", Fault.TLS: "connect_failed", Fault.BLACK_HOLE: "connect_timeout"}
_WITHIN: Final = (
    Fault.RESET, Fault.STALL, Fault.TRICKLE, Fault.CORRUPT, Fault.EARLY_FIN, Fault.WRONG_LENGTH, Fault.SLOW_CLOSE, Fault.IN_BAND,
)  # fmt: skip
_HARMLESS_AT_END: Final = (Fault.TRICKLE, Fault.WRONG_LENGTH)  # more than was promised reaches nobody


def list_places() -> list[tuple[Fault, Phase]]:
    """Return every fault at every place where it makes sense."""
    places = [(fault, Phase.CONNECT) for fault in _CONNECT]
    for phase in (Phase.BEFORE_HEAD, Phase.KEPT):
        places += [(fault, phase) for fault in (*_AT_ONCE, Fault.STALL, Fault.TRICKLE)]
    for phase in (Phase.AFTER_HEAD, Phase.MID, Phase.AT_END):
        places += [(fault, phase) for fault in _WITHIN if not (fault is Fault.IN_BAND and phase is Phase.AT_END)]
    return places


def makes_sense(cell: Cell) -> bool:
    """Whether there is such a cell: an error within an answer is a thing of streams."""
    return cell.fault is not Fault.IN_BAND or cell.talk.streamed


def expect(cell: Cell) -> Expected:
    """Return what must come of a cell."""
    fault, phase, streamed = cell.fault, cell.phase, cell.talk.streamed
    if phase is Phase.CONNECT:
        return Expected(Fate.FAILOVER, frozenset({_CONNECT[fault]}), CONNECT_S if fault is Fault.BLACK_HOLE else 0.0)
    if phase in (Phase.BEFORE_HEAD, Phase.KEPT):
        if fault in _AT_ONCE:
            return Expected(Fate.FAILOVER, frozenset({_AT_ONCE[fault]}))
        return Expected(Fate.FAILOVER, frozenset({"first_byte_timeout"}), FIRST_BYTE_S)
    if phase is Phase.AFTER_HEAD and streamed:
        if fault in (Fault.STALL, Fault.TRICKLE):
            return Expected(Fate.FAILOVER, frozenset({"first_byte_timeout"}), FIRST_BYTE_S)
        return Expected(Fate.FAILOVER, frozenset({"in_band_error"} if fault is Fault.IN_BAND else {"cut"}))
    if fault is Fault.TRICKLE or (phase is Phase.AT_END and fault in _HARMLESS_AT_END):
        return Expected(Fate.PASSED, frozenset({"completed"}))
    if fault is Fault.IN_BAND:
        return Expected(Fate.PASSED, frozenset({"in_band_error"}))
    return Expected(Fate.BROKEN, frozenset({"idle_timeout" if fault is Fault.STALL else "cut"}))


def script_good(talk: Talk, word: str) -> Script:
    """Return a good answer."""
    return Script([b"".join([_head(talk), *map(write_chunk, _pieces(talk, word)), _LAST])])


def script_error(talk: Talk, status: int, fields: bytes = b"", body: bytes | None = None) -> Script:
    """Return an answer with an error's status. `fields`: more of its head, each with its line end."""
    told = talk.error(status) if body is None else body
    head = b"HTTP/1.1 %d Failed\r\nContent-Type: application/json\r\nContent-Length: %d\r\n%b\r\n" % (status, len(told), fields)
    return Script([head + told])


def script_fault(cell: Cell, word: str = "first") -> Script:
    """Return what an upstream does that fails. `word`: its own, in what it says before."""
    talk, fault, phase = cell.talk, cell.fault, cell.phase
    if phase in (Phase.BEFORE_HEAD, Phase.KEPT):
        return _script_before_head(talk, fault)
    pieces = _pieces(talk, word)
    # Up to which piece all goes well; in the middle: a third of the tokens, or of the body.
    place = {Phase.AFTER_HEAD: 1 if talk.streamed else 0, Phase.MID: 2, Phase.AT_END: len(pieces)}[phase]
    if fault is Fault.WRONG_LENGTH:
        return _script_wrong_length(talk, pieces, place)
    before = b"".join([_head(talk), *map(write_chunk, pieces[: max(place - 1, 0)])])
    last = write_chunk(pieces[place - 1]) if place else b""
    if fault is Fault.TRICKLE:
        if talk.streamed and phase is Phase.AFTER_HEAD:
            return Script([before, *_drop(last, _TRICKLE_S)], End.HANG)
        rest = last + b"".join(map(write_chunk, pieces[place:])) + _LAST
        return Script([before, *_drop(rest, 0)])
    end = {Fault.RESET: End.RST, Fault.STALL: End.HANG, Fault.EARLY_FIN: End.FIN, Fault.SLOW_CLOSE: End.HALF}.get(fault, End.HANG)
    behind = {Fault.CORRUPT: b"zz\r\n", Fault.IN_BAND: write_chunk(talk.in_band) + _LAST}.get(fault, b"")
    steps: list[bytes | float] = [before + last, 0.02]
    return Script([*steps, behind] if behind else steps, End.KEEP if fault is Fault.IN_BAND else end)


def _script_before_head(talk: Talk, fault: Fault) -> Script:
    json_head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
    match fault:
        case Fault.RESET:
            return Script([], End.RST)
        case Fault.EARLY_FIN:
            return Script([], End.FIN)
        case Fault.SLOW_CLOSE:
            return Script([], End.HALF)
        case Fault.STALL:
            return Script([], End.HANG)
        case Fault.TRICKLE:
            return Script(_drop(_head(talk), _TRICKLE_S), End.HANG)
        case Fault.CORRUPT:
            return Script([_NOT_HTTP], End.HANG)
        case Fault.WRONG_LENGTH:
            return Script([json_head + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], End.HANG)
        case Fault.RATE_LIMITED:
            return script_error(talk, 429)
        case _:
            return script_error(talk, 500)


def _script_wrong_length(talk: Talk, pieces: list[bytes], place: int) -> Script:
    """More is promised than comes; at the end: less, and what follows is another answer that nobody asked for."""
    whole = b"".join(pieces)
    if place == len(pieces):
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
        return Script([_head(talk, len(whole)) + whole + extra])
    sent = b"".join(pieces[:place])
    return Script([_head(talk, len(whole) + 500) + sent, 0.02], End.FIN)


def _head(talk: Talk, length: int | None = None) -> bytes:
    framing = b"Transfer-Encoding: chunked" if length is None else b"Content-Length: %d" % length
    return b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\n%b\r\n\r\n" % (talk.media_type.encode(), framing)


def _pieces(talk: Talk, word: str) -> list[bytes]:
    spoken = talk.speak(word)
    return [*filter(None, [spoken.opening]), *spoken.tokens, spoken.ending]


def _drop(data: bytes, pause_s: float) -> Iterator[bytes | float]:
    for byte in data:
        yield bytes([byte])
        yield pause_s
