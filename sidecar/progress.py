"""An exchange in progress."""

from typing import Final

import msgspec

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.choose.places import NOWHERE, Place
from sidecar.core.identify.router import Match
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.contract import Dialect, Observer, Reading
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.overhearing import overhear
from sidecar.core.observe.sessions import SessionObserver
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Attempt, Call, Ending, Session, TraceContext
from sidecar.ports import Answer, Client

NOTHING_ASKED: Final = Asked()
_NO_DEADLINES: Final = Deadlines(0.0, 0.0, 0.0, 0.0)


class Exchange(msgspec.Struct):
    """One call from accept to record; every step of the path reads it and adds to it."""

    client: Client
    call: Call
    trace: TraceContext | None
    path: str = ""
    query: str = ""
    match: Match | None = None
    dialect: Dialect = OPAQUE
    place: Place = NOWHERE
    deadlines: Deadlines = _NO_DEADLINES
    body: bytes = b""
    tool: str | None = None  # on a tool route: the tool's name as the path tells it
    whole: bool = True  # the body was read to its end; False: the rest is still to come
    request_bytes: int = 0
    asked: Asked = NOTHING_ASKED
    usage_added: bool = False  # we asked for usage on the caller's behalf
    waited_s: float = 0.0  # for the request's body
    began: float | None = None  # the current attempt
    answer: Answer | None = None
    attempts: list[Attempt] = msgspec.field(default_factory=list)
    head: AnswerHead | None = None
    observer: Observer | SessionObserver | None = None
    transcript: Transcript | None = None  # of what the answer says, where somebody listens
    framing: Framing = Framing.NONE  # towards the client
    media_type: str = ""  # of the answer
    streamed: bool = False  # the answer is a stream of events
    speakable: bool = False  # and one into which we can put an event of our own
    committed: bool = False
    committed_at: float | None = None
    status: int | None = None  # what the client got
    ending: Ending | None = None
    kind: ErrorKind | None = None  # of the fault that ended it
    batched: bool = False  # it is an entry of a batch
    endless: bool = False  # its answer is a stream of what may happen some time
    session: SessionObserver | None = None  # a WebSocket is asked for
    became: Session | None = None  # and it became one, which has ended

    @property
    def attempts_made(self) -> int:
        """How many attempts have begun."""
        return len(self.attempts) + (self.began is not None)

    def begin_attempt(self, now: float) -> None:
        """Note that another try is made."""
        self.answer = None
        self.began = now

    def close_attempt(self, now: float, outcome: Ending) -> None:
        """Note how the current attempt went, and let go of its connection."""
        if self.began is None:
            return
        answer, head = self.answer, self.head
        if answer is None:
            attempt = Attempt(self.place.name, self.began, None, None, None, now, False, None, outcome.value)
        else:
            answer.release()
            attempt = Attempt(
                self.place.name, self.began, answer.connected_at, answer.sent_at, answer.head_at, now, answer.reused,
                None if head is None else head.status, outcome.value,
            )  # fmt: skip
        self.attempts.append(attempt)
        self.began = None

    def listen(self, chars_max: int) -> Reading:
        """Return what reads the answer and takes down what it says, if that is known of its form."""
        reading, self.transcript = overhear(self.dialect, chars_max)
        return reading
