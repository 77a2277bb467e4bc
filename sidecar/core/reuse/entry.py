"""What is kept of an answer: the answer itself, who gave it, and what it cost."""

from collections.abc import Iterable, Sequence
from typing import Final

import msgspec

from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.core.choose.places import Place
from sidecar.exchange import Cost, Seen, Usage

# Fields of an answer that are true of the moment, of one caller or of one connection, and of nobody who is told the answer later.
_PASSING: Final = frozenset({
    # the moment (RFC 9110, RFC 9111, RFC 7838) and the clock of who answered
    b"date", b"age", b"retry-after", b"retry-after-ms", b"x-should-retry", b"alt-svc", b"server-timing", b"x-runtime",
    b"openai-processing-ms", b"x-envoy-upstream-service-time", b"x-kong-upstream-latency", b"x-kong-proxy-latency",
    b"x-kong-response-latency", b"x-compute-time", b"x-total-time", b"x-queue-time", b"x-inference-time", b"x-validation-time",
    b"x-time-per-token", b"azureml-model-session",
    # the caller
    b"set-cookie", b"set-cookie2", b"clear-site-data", b"authentication-info", b"mcp-session-id",
    # the call, in somebody's logs
    b"x-request-id", b"request-id", b"x-correlation-id", b"x-client-request-id", b"x-trace-id", b"traceparent", b"tracestate",
    b"traceresponse", b"apim-request-id", b"x-ms-request-id", b"x-ms-client-request-id", b"x-amzn-requestid", b"x-amzn-trace-id",
    b"x-amz-cf-id", b"x-cloud-trace-context", b"x-inference-id", b"x-kong-request-id",
    # caches and networks between
    b"cf-ray", b"cf-cache-status", b"x-cache", b"x-cache-hits", b"x-served-by", b"x-timer", b"x-amz-cf-pop", b"nel", b"report-to",
})  # fmt: skip
# All that tells of rate limits, the moment of their reset included; and a trace of the call.
_PASSING_PREFIXES: Final = (b"x-ratelimit-", b"ratelimit", b"anthropic-ratelimit-", b"anthropic-priority-", b"x-tokenlimit-", b"x-b3-")

# What objects take in memory, in bytes: CPython 3.11 or later on a 64-bit machine.
_POINTER: Final = 8
_NUMBER: Final = 32
_SMALL_NUMBER_MAX: Final = 256  # up to here numbers are made once
_BYTES: Final = 33 + 7  # on average what allocators round up is half of their step of 16
_TEXT: Final = 49 + 7
_WIDE_TEXT: Final = 74 + 7  # of other letters than ASCII's, each of which may then take four
_TUPLE: Final = 56  # with what garbage collection keeps beside it
_ENTRY: Final = 16 + 24 * _POINTER + 5 * _NUMBER  # the struct, its floats and its status


class Entry(msgspec.Struct, frozen=True, gc=False, array_like=True, forbid_unknown_fields=True):
    """One answer that may be given again. Immutable: levels, flights and callers share it."""

    kind: str  # one of catalogue.CACHE_KINDS
    status: int
    reason: bytes
    fields: tuple[bytes, ...]  # of its head, as `Name: value`, without the length and without what was true of the moment only
    content_type: str  # in lower case
    content_encoding: str
    streamed: bool
    media_type: str
    pieces: tuple[bytes, ...]  # the body: of a stream in the pieces in which it came, else in one; none is empty
    delays_ms: tuple[int, ...]  # of each piece since the first
    stored_at: float  # seconds since the epoch
    ttl_s: float
    stale_s: float  # for so long after that it may stand in for an error
    upstream: str
    provider: str
    model: str | None  # that answered
    response_id: str | None
    finish_reasons: tuple[str, ...]
    usage: Usage | None
    usage_source: str
    cost_usd: float | None
    cost_source: str  # "" where there is no cost
    life_s: float  # what `ttl_s` would have been by the settings alone
    origin: str  # core.reuse.origins.mark_place of the upstream

    @property
    def body_bytes(self) -> int:
        """How long the body is."""
        return sum(map(len, self.pieces))

    @property
    def size_bytes(self) -> int:
        """About what it holds in memory, the overhead of its objects included. Takes time with the number of pieces."""
        texts = (
            self.kind, self.content_type, self.content_encoding, self.media_type, self.upstream, self.provider, self.model,
            self.response_id, self.usage_source, self.cost_source, self.origin, *self.finish_reasons,
        )  # fmt: skip
        delays = len(self.delays_ms) * _POINTER + sum(_NUMBER for delay in self.delays_ms if delay > _SMALL_NUMBER_MAX)
        size = _ENTRY + _measure(self.pieces) + _measure(self.fields) + _BYTES + len(self.reason)
        size += 2 * _TUPLE + delays + len(self.finish_reasons) * _POINTER
        size += sum(_measure_text(text) for text in texts if text)
        return size if self.usage is None else size + _TUPLE + len(self.usage) * (_POINTER + _NUMBER)


def compose_entry(
    *, kind: str, head: AnswerHead, media_type: str, streamed: bool, pieces: Sequence[bytes], times: Sequence[float], seen: Seen,
    usage: Usage | None, usage_source: str, cost: Cost | None, place: Place, wall_s: float, ttl_s: float, life_s: float,
    stale_s: float, origin: str,
) -> Entry:  # fmt: skip
    """Return what is kept of an answer that has come to its end.

    `times`: when each of `pieces` came, seconds on the monotonic clock. Only a stream is kept in pieces:
    those of another answer are an accident of the network.
    """
    if streamed:
        came = [(piece, at) for piece, at in zip(pieces, times, strict=True) if piece]  # an empty chunk would be the end of a stream
        body = tuple(bytes(piece) for piece, _ in came)
        delays_ms = tuple(max(0, round((at - came[0][1]) * 1000)) for _, at in came)
    else:
        whole = b"".join(pieces)
        body, delays_ms = ((whole,), (0,)) if whole else ((), ())
    return Entry(
        kind, head.status, head.reason, _choose_fields(head.fields), head.content_type, head.content_encoding, streamed, media_type,
        body, delays_ms, wall_s, ttl_s, stale_s, place.name, place.provider, _encodable(seen.model), _encodable(seen.response_id),
        tuple(_encodable(reason) or "" for reason in seen.finish_reasons),
        usage, str(usage_source), None if cost is None else cost.usd, "" if cost is None else cost.source, life_s, origin,
    )  # fmt: skip


def _choose_fields(fields: Iterable[bytes]) -> tuple[bytes, ...]:
    return tuple(line for line in fields if not _is_passing(line.partition(b":")[0].strip().lower()))


def _is_passing(name: bytes) -> bool:
    return name in _PASSING or name.startswith(_PASSING_PREFIXES)


def _encodable(text: str | None) -> str | None:
    """Return a text without lone surrogates, which JSON can hold and UTF-8 cannot."""
    return None if text is None else text.encode("utf-8", "replace").decode("utf-8")


def _measure(pieces: tuple[bytes, ...]) -> int:
    return _TUPLE + len(pieces) * (_POINTER + _BYTES) + sum(map(len, pieces))


def _measure_text(text: str) -> int:
    return _TEXT + len(text) if text.isascii() else _WIDE_TEXT + 4 * len(text)
