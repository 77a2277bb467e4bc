"""In which phase of a call its time ran out, and how much of it had passed there."""

from typing import Final

from sidecar.exchange import Attempt, Ending, Record, Seen

REQUEST: Final = "request"  # its body was still coming
QUEUE: Final = "queue"  # it waited for room at an upstream
CONNECT: Final = "connect"
FIRST_BYTE: Final = "first_byte"  # the request was sent, and no answer began
IDLE: Final = "idle"  # the answer had begun, and nothing more came of it
ANSWER: Final = "answer"  # the answer had begun, and took too long

_TIMEOUTS: Final = frozenset((Ending.CONNECT_TIMEOUT, Ending.FIRST_BYTE_TIMEOUT, Ending.IDLE_TIMEOUT, Ending.TOTAL_TIMEOUT))


def find_phase(record: Record) -> tuple[str, float] | None:
    """Return the phase in which a call's time ran out, and the seconds it spent there; None where that is not what ended it."""
    if record.ending not in _TIMEOUTS:
        return None
    if record.attempts:
        return find_attempt_phase(record.attempts[-1], record.seen)
    return (QUEUE, record.queued_s) if record.queued_s else (REQUEST, record.duration_s)


def find_attempt_phase(attempt: Attempt, seen: Seen | None = None) -> tuple[str, float] | None:
    """Return the same of one attempt. `seen`: what was seen of its answer, where that is known."""
    if attempt.outcome not in _TIMEOUTS:
        return None
    if attempt.connected is None:
        return CONNECT, attempt.ended - attempt.started
    if attempt.head is None:
        return FIRST_BYTE, attempt.ended - (attempt.sent or attempt.connected)
    last = None if seen is None else seen.last_chunk
    if attempt.outcome == Ending.IDLE_TIMEOUT and last is not None and last >= attempt.head:
        return IDLE, attempt.ended - last
    return ANSWER, attempt.ended - attempt.head  # when its last byte came is not known, or does not matter
