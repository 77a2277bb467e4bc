"""W3C Trace Context: read the caller's, fix the identities of our own spans, write the upstream's.

What is malformed is ignored and a new trace begins: a broken header never costs a call. Rules are
those of the W3C Recommendation (level 1), sections 3.2 and 3.3.
"""

import re
from collections.abc import Callable
from typing import Final, NamedTuple

from sidecar.exchange import Header, Headers, TraceContext

_TRACEPARENT: Final = re.compile(rb"(?!ff)[0-9a-f]{2}-[0-9a-f]{32}-[0-9a-f]{16}-[0-9a-f]{2}")
_TRACEPARENT_BYTES: Final = 55  # of version 00; a later one may go on after another dash
_SAMPLED: Final = frozenset(b"13579bdf")  # last digits of flags with the lowest bit set
_TRACEPARENT_BYTES_MAX: Final = 512  # a future version may append fields; nothing sane is longer
_MEMBER: Final = re.compile(
    rb"(?:[a-z][a-z0-9_\-*/]{0,255}|[a-z0-9][a-z0-9_\-*/]{0,240}@[a-z][a-z0-9_\-*/]{0,13})"  # key
    rb"=[ -+\--<>-~]{0,255}[!-+\--<>-~]"  # value: no comma, no equals sign, no space at its end
)
_MEMBERS_MAX: Final = 32  # section 3.3.1.1
_TRACESTATE_BYTES_MAX: Final = 8192
_SPAN_BITS: Final = 64
_SPAN_MASK: Final = (1 << _SPAN_BITS) - 1


class RemoteParent(NamedTuple):
    """What a valid traceparent says."""

    trace_id: int
    span_id: int
    sampled: bool


def begin_trace(headers: Headers, draw: Callable[[int], int], ratio: float) -> TraceContext:
    """Fix the identities of one exchange's spans.

    `draw(bits)` returns a random integer of so many bits. A valid remote parent's trace is
    continued and its sampled flag respected; a root trace is sampled for `ratio` of all trace ids
    (the rule of TraceIdRatioBased, so that services of equal ratio agree).
    """
    parent: bytes | None = None
    parents = 0
    states: list[bytes] | None = None
    for name, value in headers:
        size = len(name)
        if size == 11 and name.lower() == b"traceparent":
            parent = value
            parents += 1
        elif size == 10 and name.lower() == b"tracestate":
            states = [value] if states is None else [*states, value]
    remote = parse_traceparent(parent) if parent is not None and parents == 1 else None
    if remote is None:
        drawn = draw(128 + 3 * _SPAN_BITS)
        trace_id = (drawn >> 3 * _SPAN_BITS) or 1
        sampled = ratio >= 1.0 or (trace_id & _SPAN_MASK) < ratio * (1 << _SPAN_BITS)
        return TraceContext(
            trace_id, None, (drawn & _SPAN_MASK) or 1, (drawn >> _SPAN_BITS & _SPAN_MASK) or 2,
            (drawn >> 2 * _SPAN_BITS & _SPAN_MASK) or 3, sampled,
        )  # fmt: skip
    drawn = draw(3 * _SPAN_BITS)
    return TraceContext(
        remote.trace_id, remote.span_id, (drawn & _SPAN_MASK) or 1, (drawn >> _SPAN_BITS & _SPAN_MASK) or 2,
        (drawn >> 2 * _SPAN_BITS) or 3, remote.sampled, "" if states is None else join_tracestate(states),
    )  # fmt: skip


def parse_traceparent(value: bytes) -> RemoteParent | None:
    """Return what `value` says, or None where it is malformed, of version ff, or all-zero."""
    if len(value) != _TRACEPARENT_BYTES:
        value = value.strip(b" \t")
        goes_on = value[:2] != b"00" and value[_TRACEPARENT_BYTES : _TRACEPARENT_BYTES + 1] == b"-"
        if len(value) > _TRACEPARENT_BYTES_MAX or not (goes_on or len(value) == _TRACEPARENT_BYTES):
            return None
    if _TRACEPARENT.match(value) is None:
        return None
    trace_id = int(value[3:35], 16)
    span_id = int(value[36:52], 16)
    if not trace_id or not span_id:
        return None
    return RemoteParent(trace_id, span_id, value[54] in _SAMPLED)


def join_tracestate(values: list[bytes]) -> str:
    """Return several tracestate lines as one value, in order; "" where any of it is not valid."""
    joined = b",".join(values)
    if len(joined) > _TRACESTATE_BYTES_MAX:
        return ""
    members = [member for member in (part.strip(b" \t") for part in joined.split(b",")) if member]
    if len(members) > _MEMBERS_MAX:
        return ""
    keys = set()
    for member in members:
        key = member.partition(b"=")[0]
        if key in keys or _MEMBER.fullmatch(member) is None:
            return ""
        keys.add(key)
    return b",".join(members).decode("ascii")


def format_traceparent(trace: TraceContext, attempt: int = 0) -> bytes:
    """Return the traceparent that attempt number `attempt` (from 0) sends upstream."""
    return b"00-%032x-%016x-%02x" % (trace.trace_id, attempt_span_id(trace, attempt), trace.sampled)


def attempt_span_id(trace: TraceContext, attempt: int) -> int:
    """Return the span id of attempt number `attempt` (from 0), without drawing again."""
    return trace.attempt_span_id if attempt == 0 else (trace.attempt_span_id - 1 + attempt) % _SPAN_MASK + 1


def format_parent(trace: TraceContext) -> list[Header]:
    """Return the fields by which a call that is made within an exchange continues its trace, under its server span."""
    fields = [(b"traceparent", b"00-%032x-%016x-%02x" % (trace.trace_id, trace.server_span_id, trace.sampled))]
    return [*fields, (b"tracestate", trace.tracestate.encode("ascii"))] if trace.tracestate else fields
