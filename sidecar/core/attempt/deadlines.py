"""When an attempt is given up: a deadline per phase, and one total over all of them.

The clock is projected, never ticked: whoever holds the timer asks `next_due` when it fires, and
arms it again if the moment has moved on. So a chunk costs one assignment, not a new timer.
"""

from math import inf

from sidecar.config import Timeouts
from sidecar.errors import FIRST_BYTE_TIMEOUT, IDLE_TIMEOUT, TOTAL_TIMEOUT, ErrorKind


class Deadlines:
    """The limits of one exchange: seconds, and the moment after which nothing may go on."""

    __slots__ = ("connect_s", "first_byte_s", "idle_s", "total_at")

    def __init__(self, connect_s: float, first_byte_s: float, idle_s: float, total_at: float) -> None:
        self.connect_s = connect_s
        self.first_byte_s = first_byte_s
        self.idle_s = idle_s
        self.total_at = total_at

    def next_due(self, *, head_seen: bool, since: float) -> tuple[float, ErrorKind]:
        """Return the next moment at which to give up, and what to call it then.

        `since`: when the request was sent, or when the last byte of the answer came.
        """
        kind = IDLE_TIMEOUT if head_seen else FIRST_BYTE_TIMEOUT
        due = since + (self.idle_s if head_seen else self.first_byte_s)
        return (due, kind) if due < self.total_at else (self.total_at, TOTAL_TIMEOUT)


def set_deadlines(timeouts: Timeouts, accepted: float, wanted_s: float | None, *, endless: bool = False) -> Deadlines:
    """Return the deadlines of a call accepted at `accepted`. A caller may only shorten the total.

    `endless`: the answer is a stream of what may happen some time. It has no end, and its silence
    means nothing; only what the caller wants, and whether the answer begins, is left to watch.
    """
    if endless:
        return Deadlines(timeouts.connect, timeouts.first_byte, inf, inf if wanted_s is None else accepted + wanted_s)
    total_s = timeouts.total if wanted_s is None else min(timeouts.total, wanted_s)
    return Deadlines(timeouts.connect, timeouts.first_byte, timeouts.idle, accepted + total_s)
