"""An exchange in progress, and each attempt of it."""

from typing import Final

from sidecar.catalogue import DEGRADATION_STEPS
from sidecar.core.admit.rates import Admitted
from sidecar.core.admit.spending_sums import Reservation
from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.deadlines import Deadlines
from sidecar.core.choose.needs import Grant
from sidecar.core.choose.places import NOWHERE, Place
from sidecar.core.identify.router import Match
from sidecar.core.identify.tenants import NOBODY, Tenant
from sidecar.core.identify.wishes import NO_WISHES, Wishes
from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.contract import Dialect, Observer
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.sessions import SessionObserver
from sidecar.decision import Decision
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Attempt, Call, Cost, Ending, Saved, Seen, Session, TraceContext, Usage
from sidecar.ports import Answer, Client

NOTHING_ASKED: Final = Asked()
_FULL: Final = DEGRADATION_STEPS[0]
_NO_DEADLINES: Final = Deadlines(0.0, 0.0, 0.0, 0.0)


class Trial:
    """One attempt in progress: against whom, with what, and what has come of it."""

    asked_at: float = 0.0  # when the last of a request's body was sent that came piece by piece
    path: str = ""  # that is asked for there
    body: bytes = b""  # that is sent there
    usage_added: bool = False  # we asked for usage on the caller's behalf
    model: str | None = None  # what this upstream is asked for, where it has a name of its own for it
    asked_model: str | None = None  # what the caller calls it
    decision: Decision | None = None  # where there was a choice
    is_closed: bool = False
    cost: Cost | None = None  # of one that lost against a rival, as far as it is known
    observer: Observer | None = None
    transcript: Transcript | None = None  # of what the answer says, where somebody listens

    def __init__(
        self, place: Place, began: float = 0.0, index: int = 0, *, grant: Grant | None = None, breaker: str = "", waited_s: float = 0.0,
        answer: Answer | None = None, head: AnswerHead | None = None, media_type: str = "", streamed: bool = False,
    ) -> None:  # fmt: skip
        """`index`: among the attempts of its exchange; `grant`: by which it may be made.

        `breaker`: the state of the one that let it through; `waited_s`: backed off before it; `media_type`: of the answer;
        `streamed`: that is a stream of events.
        """
        self.place = place
        self.began = began
        self.index = index
        self.grant = grant
        self.breaker = breaker
        self.waited_s = waited_s
        self.answer = answer
        self.head = head
        self.media_type = media_type
        self.streamed = streamed

    def __getnewargs__(self) -> tuple[Place]:
        """Return what a copy is made with, which gets all other members too (copy.copy)."""
        return (self.place,)

    @property
    def has_sent(self) -> bool:
        """Whether the upstream may have seen something of the request."""
        return self.answer is not None and self.answer.sent_at is not None

    def close(self, now: float, outcome: str, cause: str | None = None) -> Attempt:
        """Let go of the connection; return how it went. `cause`: why another is made."""
        self.is_closed = True
        answer, head, grant = self.answer, self.head, self.grant
        status = None if head is None else head.status
        if answer is None:
            times: tuple[float | None, float | None, float | None] = (None, None, None)
        else:
            answer.release()
            times = (answer.connected_at, answer.sent_at, answer.head_at)
        return Attempt(
            self.place.name, self.began, *times, now, answer is not None and answer.reused, status, outcome, self.model,
            self.breaker, cause, self.waited_s, grant is not None and grant.is_hedge, self.decision,
            self.cost,
        )  # fmt: skip


class Exchange:
    """One call from accept to record; every step of the path reads it and adds to it."""

    path: str = ""
    query: str = ""
    match: Match | None = None
    dialect: Dialect = OPAQUE
    deadlines: Deadlines = _NO_DEADLINES
    body: bytes = b""
    tool: str | None = None  # on a tool route: the tool's name as the path tells it
    whole: bool = True  # the body was read to its end; False: the rest is still to come
    held: bool = True  # and all of it is in `body`
    request_bytes: int = 0
    asked: Asked = NOTHING_ASKED
    wishes: Wishes = NO_WISHES
    waited_s: float = 0.0  # for the request's body
    queued_s: float = 0.0  # for room at an upstream
    rival: Trial | None = None  # one beside it
    attempts_made: int = 0
    decision: Decision | None = None  # the one that found nobody
    shed: str | None = None  # why there was no room for it
    framing: Framing = Framing.NONE  # towards the client
    speakable: bool = False  # the answer is a stream of events, and one into which we can put an event of our own
    committed: bool = False
    committed_at: float | None = None
    status: int | None = None  # what the client got
    ending: Ending | None = None
    kind: ErrorKind | None = None  # of the fault that ended it
    endless: bool = False  # its answer is a stream of what may happen some time
    session: SessionObserver | None = None  # a WebSocket is asked for
    became: Session | None = None  # and it became one, which has ended
    tenant: Tenant = NOBODY
    origin: str = "caller"  # one of catalogue.ORIGINS
    cache: str | None = None  # one of catalogue.CACHE_STATUSES
    cache_level: str | None = None  # of a hit
    bypass: str | None = None  # why nothing kept was looked for
    is_shared: bool = False  # its answer is, or could have been, another call's too
    first_byte_at: float | None = None  # sent to this caller, of such an answer
    sent_bytes: int = 0
    told: Seen | None = None  # what the answer says, where it is another call's
    saved: Saved | None = None  # by that
    share: Usage | None = None  # of what was used for several calls together
    bundled: int = 0  # inputs of those
    limited: str | None = None  # which limit refused it
    admitted: Admitted | None = None  # what limits counted for it, until that is settled
    reserved: Reservation | None = None  # of what may be spent

    def __init__(self, client: Client, call: Call, trace: TraceContext | None, *, batched: bool = False) -> None:
        """`batched`: it is an entry of a batch."""
        self.client = client
        self.call = call
        self.trace = trace
        self.batched = batched
        self.trial = Trial(NOWHERE)  # the current attempt, or the one that answers
        self.attempts: list[Attempt] = []  # that are over

    def __getnewargs__(self) -> tuple[Client, Call, TraceContext | None]:
        """Return what a copy is made with, which gets all other members too (copy.copy)."""
        return self.client, self.call, self.trace

    def reopen(self) -> bool:
        """Go back to the attempt that was given up last, if the whole of its answer is still held; tell whether it is."""
        answer = self.trial.answer
        if answer is None or not answer.ended or not self.attempts:
            return False
        self.attempts.pop()
        self.trial.is_closed = False
        return True

    @property
    def degraded(self) -> str | None:
        """The step below the full policy at which it is served: that of the attempt which answers."""
        decision = self.trial.decision
        return None if decision is None or decision.step == _FULL else decision.step

    @property
    def reader(self) -> Observer | SessionObserver | None:
        """Who has read the answer, or the session that it became."""
        observer = self.trial.observer
        return self.session if observer is None and self.committed else observer
