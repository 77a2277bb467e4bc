"""What happened, sealed."""

from collections.abc import Sequence

import msgspec

from sidecar.decision import Decision
from sidecar.exchange.answer import Attempt, Said, Session
from sidecar.exchange.call import Asked, TraceContext
from sidecar.exchange.endings import Ending
from sidecar.exchange.seen import Seen
from sidecar.exchange.usage import Cost, Saved, Usage, UsageSource


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
    tenant: str = ""  # as metrics show it: a known one, or "other"
    cache: str | None = None  # one of catalogue.CACHE_STATUSES; None where nothing is ever kept or shared
    cache_level: str | None = None  # of a hit: one of catalogue.CACHE_LEVELS
    bypass: str | None = None  # why nothing kept was looked for: one of catalogue.BYPASS_REASONS
    saved: Saved | None = None  # by an answer that was another call's
    limited: str | None = None  # which limit refused it: one of catalogue.LIMITS
    origin: str = "caller"  # one of catalogue.ORIGINS
    bundled: int = 0  # inputs of all the calls that went out together, where it was one of several

    @property
    def duration_s(self) -> float:
        """From accept to the last byte, error or cancellation."""
        return self.ended - self.accepted
