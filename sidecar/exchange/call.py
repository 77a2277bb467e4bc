"""A call as it came in, and what it asks for."""

from collections.abc import Mapping
from typing import Any

import msgspec

Header = tuple[bytes, bytes]
Headers = tuple[Header, ...]


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
