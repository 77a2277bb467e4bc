"""What came back: attempts, what was seen of the answer, what was said."""

from enum import Enum
from typing import NamedTuple

import msgspec

from sidecar.decision import Decision
from sidecar.exchange.usage import Cost


class Attempt(msgspec.Struct, frozen=True, gc=False):
    """One try against one upstream."""

    upstream: str
    started: float
    connected: float | None  # a connection was there (dialled or reused)
    sent: float | None  # the request was handed to the socket
    head: float | None  # the response head had arrived
    ended: float
    reused: bool
    status: int | None
    outcome: str  # an Ending's value, or one of catalogue.ATTEMPT_OUTCOMES_ONLY
    model: str | None = None  # what this upstream was asked for, where it has a name of its own for it
    breaker: str = ""  # the state of the breaker that let it through: "closed", "half_open"
    cause: str | None = None  # why another was made after it, as core.attempt.causes names it
    waited_s: float = 0.0  # backed off before it
    hedge: bool = False  # made beside another one
    decision: Decision | None = None  # where there was a choice
    cost: Cost | None = None  # of one that lost, where it is known: the record's own is that of the answer


class Session(msgspec.Struct, frozen=True, gc=False):
    """What a call became that was upgraded to a WebSocket."""

    opened: float  # the handshake's answer had been sent on: up to here it was an HTTP call
    close_code: int | None  # of the first Close frame (RFC 6455 section 7.4); None where there was none
    to_upstream: int  # whole messages
    to_client: int


class Departure(Enum):
    """Who left a WebSocket session first, by closing its connection."""

    CLIENT = "client"
    UPSTREAM = "upstream"
    IDLE = "idle"  # neither: we closed it
    STOPPING = "stopping"  # likewise


class Spoken(NamedTuple):
    """One part of a streamed answer, joined from its pieces: nothing redacted yet."""

    choice: int
    kind: str  # "text", "reasoning", "refusal", "tool_call", or another part's type
    text: str
    id: str = ""  # of a tool call
    name: str = ""  # of the tool
    is_cut: bool = False  # there was more than is kept


class Said(msgspec.Struct):
    """What was said in one exchange, unread and unredacted. There only where content is captured.

    It has one reader, which forgets it when it is done: the record may live on elsewhere.
    """

    dialect: str
    request: bytes  # the body as it came
    coding: bytes  # its content coding
    answer: bytes  # a whole answer, decoded
    spoken: tuple[Spoken, ...]  # a streamed one

    @property
    def size_bytes(self) -> int:
        """About what it holds in memory."""
        return len(self.request) + len(self.answer) + sum(len(part.text) for part in self.spoken)

    def forget(self) -> None:
        """Hold nothing any more."""
        self.request = self.answer = b""
        self.spoken = ()

    def __repr__(self) -> str:
        return f"Said(dialect={self.dialect!r}, {self.size_bytes} bytes)"  # never what was said
