"""What is said to upstreams and callers: request heads, response heads, answers of our own."""

from collections.abc import Sequence
from math import ceil
from typing import Final

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.heads import dropped_names, forwarded_fields, narrow_codings
from sidecar.core.choose.places import Place
from sidecar.core.identify.tracecontext import format_traceparent
from sidecar.core.observe.inflate import CODINGS
from sidecar.errors import ErrorKind, Fault, Origin
from sidecar.exchange import Call, TraceContext

_READABLE_CODINGS: Final = CODINGS | {"identity"}
_CHUNKED, _CLOSE = Framing.CHUNKED, Framing.CLOSE
_NOTHING: Final[frozenset[bytes]] = frozenset()
# An SDK retries a 429, and waits for it: OpenAI's no longer than this, Anthropic's until the month ends if it is told to.
_RETRIED_S_MAX: Final = 120.0
_TOLD_MAX: Final = 1024  # upstreams are few, attempts fewer
_told: dict[tuple[str, int, str | None, str | None], bytes] = {}
# Hop by hop, and so set anew on each of the two connections (RFC 9110 section 7.8).
SWITCH_FIELDS: Final = (b"Connection: Upgrade", b"Upgrade: websocket")
LAST_CHUNK: Final = b"0\r\n\r\n"
_TOO_MANY: Final = 429
_PHRASES: Final = {
    400: b"Bad Request", 403: b"Forbidden", 404: b"Not Found", 413: b"Content Too Large", 429: b"Too Many Requests",
    500: b"Internal Server Error", 501: b"Not Implemented", 502: b"Bad Gateway", 503: b"Service Unavailable", 504: b"Gateway Timeout",
}  # fmt: skip


def frame_chunk(data: bytes) -> bytes:
    """Return one chunk of the chunked transfer coding (RFC 9112 section 7.1). `data` must not be empty."""
    return b"%x\r\n%b\r\n" % (len(data), data)


def replaced_fields(call: Call, place: Place, trace: bytes | None, *, observed: bool, plain: bool) -> tuple[list[bytes], frozenset[bytes]]:
    """Return the fields that we set on a request, and the names of those they stand in for.

    `trace`: a traceparent and tracestate as fields, b"" to send none in place of the caller's, None
    to leave the caller's. `observed`: only codings that can be read may be offered. `plain`: none.
    """
    accept = call.wanted.accept_encoding
    if trace is None and not plain and not place.credential and not (observed and accept):
        return [], _NOTHING
    extra = list(place.credential)
    codings = b"identity" if plain else narrow_codings(accept, _READABLE_CODINGS) if observed and accept else None
    if codings is not None:
        extra.append(b"Accept-Encoding: " + codings)
    if trace:
        extra.append(trace)
    if codings is None and not place.credential and not call.wanted.traced:
        return extra, _NOTHING
    return extra, dropped_names(trace=trace is not None, codings=codings is not None, credential=bool(place.credential))


def trace_fields(trace: TraceContext, attempt: int) -> bytes:
    """Return traceparent and tracestate of attempt number `attempt` (from 0), as fields."""
    field = b"traceparent: " + format_traceparent(trace, attempt)
    return field + b"\r\ntracestate: " + trace.tracestate.encode("ascii") if trace.tracestate else field


def address_request(
    call: Call, place: Place, path: str, query: str, extra: Sequence[bytes], dropped: frozenset[bytes], body_bytes: int | None
) -> bytes:
    """Return the head of the request to `place`. `body_bytes` None: the body follows in chunks."""
    target = place.base_path + path.encode("ascii") + (b"?" + query.encode("ascii") if query else b"")
    lines = [b"%b %b HTTP/1.1\r\nHost: %b" % (call.method.encode("ascii"), target, place.authority)]
    lines += forwarded_fields(call.wanted.fields, dropped)
    lines += extra
    if body_bytes is None:
        lines.append(b"Transfer-Encoding: chunked")
    elif call.has_body or call.wanted.content_length is not None:  # an empty body told as such stays so: servers ask for it (411)
        lines.append(b"Content-Length: %d" % body_bytes)
    lines.append(b"\r\n")
    return b"\r\n".join(lines)


def own_fields(call_id: str, upstream: str, attempts: int, degraded: str | None = None, cache: str | None = None) -> list[bytes]:
    """Return the fields by which an answer tells how it came about.

    `degraded`: the step below the full policy. `cache`: one of catalogue.CACHE_STATUSES.
    """
    key = (upstream, attempts, degraded, cache)
    known = _told.get(key)
    if known is None:
        known = b"\r\nx-sidecar-upstream: %b\r\nx-sidecar-attempts: %d" % (upstream.encode("ascii"), attempts)
        if degraded is not None:
            known += b"\r\nx-sidecar-degraded: " + degraded.encode("ascii")
        if cache is not None:
            known += b"\r\nx-sidecar-cache: " + cache.encode("ascii")
        if len(_told) < _TOLD_MAX:
            _told[key] = known
    return [b"x-sidecar-request-id: " + call_id.encode("ascii") + known]


def compose_response(call: Call, head: AnswerHead, framing: Framing, own: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return the response head for the caller, and whether its connection may be kept."""
    is_plain = head.status == 200 and head.reason == b"OK"
    lines = [b"HTTP/1.1 200 OK" if is_plain else b"HTTP/1.1 %d %b" % (head.status, head.reason), *head.fields]
    if framing is _CHUNKED:
        lines.append(b"Transfer-Encoding: chunked")
    elif head.length_field is not None and framing is not _CLOSE:
        lines.append(head.length_field)
    lines += own
    keeps = call.keep_alive and framing is not _CLOSE
    if not keeps or call.http_version < (1, 1):
        lines.append(b"Connection: keep-alive" if keeps else b"Connection: close")
    lines.append(b"\r\n")
    return b"\r\n".join(lines), keeps


def compose_switch(head: AnswerHead, own: Sequence[bytes]) -> bytes:
    """Return the head that tells the caller that its connection is a WebSocket from here on (RFC 6455 section 4.2.2)."""
    lines = [b"HTTP/1.1 101 " + head.reason, *head.fields, *SWITCH_FIELDS, *own, b"\r\n"]
    return b"\r\n".join(lines)


def compose_refusal(call: Call, fault: Fault, body: bytes, *, own: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return a whole answer of our own, and whether the caller's connection may be kept."""
    # After a malformed request nobody knows where the next one begins, nor what speaks after one to upgrade.
    keeps = call.keep_alive and fault.kind.status != 400 and not call.wanted.upgrade
    lines = _refusal_lines(fault.kind, body, own)
    if fault.retry_after_s is not None:
        lines.append(b"Retry-After: %d" % max(1, ceil(fault.retry_after_s)))
    if _is_final(fault):
        lines.append(b"x-should-retry: false")  # SDKs of OpenAI and Anthropic follow it
    if not keeps or call.http_version < (1, 1):
        lines.append(b"Connection: keep-alive" if keeps else b"Connection: close")
    lines.append(b"\r\n")
    return b"\r\n".join(lines) + (b"" if call.method == "HEAD" else body), keeps


def compose_answer(call: Call, body: bytes, *, own: Sequence[bytes]) -> tuple[bytes, bool]:
    """Return a whole answer of our own that is no refusal, and whether the caller's connection may be kept."""
    lines = [b"HTTP/1.1 200 OK", b"Content-Type: application/json", b"Content-Length: %d" % len(body), *own]
    if not call.keep_alive or call.http_version < (1, 1):
        lines.append(b"Connection: keep-alive" if call.keep_alive else b"Connection: close")
    return b"\r\n".join((*lines, b"", body)), call.keep_alive


def compose_malformed(kind: ErrorKind, body: bytes) -> bytes:
    """Return a whole answer to what never became a call: it says nothing of the input."""
    return b"\r\n".join((*_refusal_lines(kind, body, ()), b"Connection: close", b"", body))


def _is_final(fault: Fault) -> bool:
    """Whether nobody should wait for what is refused: what was spent, or how often was asked, will be so for long."""
    if fault.kind.origin is not Origin.POLICY or fault.kind.status != _TOO_MANY:
        return False
    return fault.retry_after_s is None or fault.retry_after_s > _RETRIED_S_MAX


def _refusal_lines(kind: ErrorKind, body: bytes, own: Sequence[bytes]) -> list[bytes]:
    return [
        b"HTTP/1.1 %d %b" % (kind.status, _PHRASES.get(kind.status, b"Error")), b"Content-Type: application/json",
        b"Content-Length: %d" % len(body), *own, b"x-sidecar-error: " + kind.id.encode("ascii"),
    ]  # fmt: skip
