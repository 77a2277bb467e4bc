"""What a call is made of: `Call` came in, `Exchange` is in progress, `Record` is what happened.

Times are seconds on the monotonic clock unless the name ends in `_ns` (wall clock, nanoseconds
since the epoch). What was not measured is `None`, never 0.

Made for every call, so msgspec structs: a tenth of a dataclass's cost, and in no reference cycle.
"""

from collections.abc import Mapping, Sequence
from enum import Enum, StrEnum
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.decision import Decision

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]


class Ending(StrEnum):
    """How an exchange ended: a closed list. Each exchange ends with exactly one of these."""

    __hash__ = str.__hash__  # Enum's own is a call into Python, and sinks look endings up for every call

    COMPLETED = "completed"
    CLIENT_GONE = "client_gone"
    CLIENT_FAULT = "client_fault"  # refused by us, the caller's own mistake
    REJECTED = "rejected"  # the provider answered 4xx (other than 429)
    RATE_LIMITED = "rate_limited"  # the provider answered 429
    UPSTREAM_ERROR = "upstream_error"  # the provider answered 5xx
    IN_BAND_ERROR = "in_band_error"  # an error inside an answer that began as a success
    CONNECT_FAILED = "connect_failed"
    CONNECT_TIMEOUT = "connect_timeout"
    FIRST_BYTE_TIMEOUT = "first_byte_timeout"
    IDLE_TIMEOUT = "idle_timeout"
    TOTAL_TIMEOUT = "total_timeout"
    RESET = "reset"  # the upstream closed before it answered
    MALFORMED = "malformed"  # the upstream's bytes are not HTTP
    CUT = "cut"  # the answer broke off before its end
    UNAVAILABLE = "unavailable"  # no upstream was asked: all that could be have failed too often
    OVERLOADED = "overloaded"  # no upstream was asked: there was no room
    REFUSED = "refused"  # declined by our policy
    SIDECAR_FAULT = "sidecar_fault"


# What error ratios count: not a client's own mistake, nor one that hung up; a provider's 429 has an alert of its own.
SERVICE_ERRORS: Final = frozenset(Ending) - {
    Ending.COMPLETED, Ending.CLIENT_GONE, Ending.CLIENT_FAULT, Ending.REJECTED, Ending.RATE_LIMITED, Ending.REFUSED,
}  # fmt: skip


class UsageSource(StrEnum):
    """Where a token count came from. An estimate is never shown as a report."""

    __hash__ = str.__hash__

    REPORTED = "reported"
    ESTIMATED = "estimated"
    ABSENT = "absent"


class Usage(NamedTuple):
    """Billable tokens of one answer as disjoint kinds: their sum is the total, none counted twice."""

    input: int = 0  # without cache reads and writes
    cache_read: int = 0
    cache_write: int = 0
    output: int = 0  # without reasoning
    reasoning: int = 0

    @property
    def input_total(self) -> int:
        """Everything on the input side, cached included (gen_ai.usage.input_tokens)."""
        return self.input + self.cache_read + self.cache_write

    @property
    def output_total(self) -> int:
        """Everything on the output side, reasoning included (gen_ai.usage.output_tokens)."""
        return self.output + self.reasoning


class Cost(msgspec.Struct, frozen=True, gc=False):
    """What an answer cost: USD, and whether the provider said so, the price table did, or the table for estimated tokens."""

    usd: float
    source: str  # "provider" | "table" | "estimated"


class TraceContext(msgspec.Struct, frozen=True, gc=False):
    """Identities of one exchange's spans (W3C Trace Context), fixed when the call comes in."""

    trace_id: int
    remote_span_id: int | None  # the caller's span, if it sent a valid traceparent
    server_span_id: int
    client_span_id: int
    attempt_span_id: int
    sampled: bool  # what the outgoing traceparent says
    tracestate: str = ""


class Wanted(msgspec.Struct, frozen=True, gc=False):
    """What a request's head tells us, and nobody behind us."""

    own: Mapping[str, str]  # x-sidecar-*, names in lower case
    fields: list[tuple[bytes, bytes]]  # what may go on: the name where it means something to us else b"", and `Name: value`
    expects_continue: bool
    accept_encoding: bytes
    content_encoding: bytes
    content_length: int | None
    chunked: bool  # the body comes in chunks
    upgrade: bool
    traced: bool  # a trace context came along


class Call(msgspec.Struct, frozen=True, gc=False):
    """One request as it came in, before anything was decided about it."""

    id: str
    method: str
    target: str  # path and query as received; the query may hold secrets: never recorded
    headers: Headers
    http_version: tuple[int, int]
    has_body: bool
    keep_alive: bool
    wanted: Wanted
    accepted: float
    accepted_ns: int


class Asked(msgspec.Struct, frozen=True, gc=False):
    """What a peek at the request's body found; all None where it is not JSON or has no such field."""

    model: str | None = None
    stream: bool = False
    usage_asked: bool = False  # stream_options.include_usage is true
    readable: bool = True  # False: the body claims to be JSON and is not
    params: Mapping[str, Any] = msgspec.field(default_factory=dict)  # GenAI request attributes, already validated, no content
    tool: str | None = None  # on a tool route: which one is called; None where none is
    mcp_method: str | None = None  # of a JSON-RPC message to an MCP server


class Seen(msgspec.Struct):
    """What an observer saw of one answer, filled in while it passes."""

    model: str | None = None
    response_id: str | None = None
    service_tier: str | None = None
    finish_reasons: list[str] = msgspec.field(default_factory=list)  # by choice index; "error" where an expected one never came
    choices: dict[int, str | None] = msgspec.field(default_factory=dict)  # of a stream: finish reason by choice index, None while open
    usage: Usage | None = None
    running: Any = None  # what was last told of usage, where each event tells it anew: only the last is worth reading, at the end
    cache_write_1h: int = 0  # of usage.cache_write, what is kept for an hour: it has a price of its own
    cost_usd: float | None = None  # as the provider reported it
    unpriced: str | None = None  # why one model's prices do not tell what the usage cost, as in Record
    error_type: str | None = None  # an error inside the answer
    replayed: bool = False  # the provider repeated an earlier answer from a cache of its own, and billed nothing
    served_by: str | None = None  # whom a broker such as OpenRouter names as the true provider
    terminated: bool = False  # the dialect's own end was seen (finish reason, terminator)
    answered: bool = False  # all that was asked for has come: who leaves now has missed nothing
    resumable: bool = False  # the rest can be asked for by another call, so that it need not come in this one
    first_chunk: float | None = None
    first_token: float | None = None
    last_chunk: float | None = None
    chunks: int = 0
    gaps: list[int] | None = None  # counts per bucket of catalogue.GAP_EDGES, last is +Inf
    gap_sum: float = 0.0


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


class Record(msgspec.Struct, frozen=True, gc=False):
    """What happened: sealed once, read by every sink."""

    id: str
    route: str
    upstream: str  # "" where none was chosen
    server_address: str
    server_port: int
    provider: str
    operation: str  # gen_ai.operation.name, or "http" where nothing is known of the form
    dialect: str
    method: str
    status: int | None  # what the caller got; None if it left before the head
    ending: Ending
    error_id: str | None  # one of errors.ERRORS, where the failure is of our telling
    error_type: str | None  # low-cardinality: provider's code, status, or error id
    streamed: bool
    asked: Asked
    seen: Seen
    usage: Usage | None
    usage_source: UsageSource
    cost: Cost | None
    unpriced: str | None  # why usage could not be priced: "unknown_model", "unknown_service_tier", "modality", "several_models"
    accepted: float
    accepted_ns: int
    ended: float
    first_byte: float | None  # first byte of the answer's body sent on
    request_bytes: int
    response_bytes: int
    overhead_request_s: float | None
    overhead_response_s: float | None
    attempts: tuple[Attempt, ...]
    observer_failed: bool
    usage_added: bool  # we asked for usage on the caller's behalf
    trace: TraceContext | None
    kept: bool  # the trace is exported: exemplars may point at it
    path: str = ""  # as received, without the query
    template: str = ""  # http.route: the route's prefix and a known form's path, never a raw path
    unread: str | None = None  # why the answer, or a part of it, passed unread: "encoding", "too_large", "corrupt", "not_json"
    trace_lost: bool = False  # it would have been kept, but there was no room for it
    limits: Sequence[bytes] = ()  # fields of the answer that tell of rate limits, as `Name: value`
    batched: bool = False  # it came as an entry of a batch
    endless: bool = False  # a stream of what may happen some time: how long it lasted is no latency
    session: Session | None = None  # of a call that became a WebSocket
    said: Said | None = None  # where content is captured; for its one reader, which redacts it
    pool: str = ""
    queued_s: float = 0.0  # waited for room at an upstream
    degraded: str | None = None  # the step below the full policy at which it was served
    decision: Decision | None = None  # the one that found nobody
    shed: str | None = None  # why there was no room for it: one of catalogue.SHED_REASONS

    @property
    def duration_s(self) -> float:
        """From accept to the last byte, error or cancellation."""
        return self.ended - self.accepted
