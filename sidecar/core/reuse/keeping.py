"""Whether an answer may stand in for later calls, and for how long.

Kept is what is known to be whole and good: status 200, read to its own end without an error in it, by an observer that
has missed nothing, and finished for a reason that is known to be a good one. All else is not: what was cut, what failed,
what a provider declined or filtered, what it repeated from a cache of its own, and what nobody could read.
"""

import re
from collections.abc import Sequence
from typing import Final

from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.inflate import inflate
from sidecar.core.reuse.cachekey import IGNORED
from sidecar.core.reuse.directives import AnswerDirectives, read_answer_directives
from sidecar.core.reuse.policy import Terms
from sidecar.core.reuse.retelling import can_retell, needs_retelling
from sidecar.exchange import Seen

# In lower case. A limit that was reached is reached again; a reason that is not here may be anything.
GOOD_REASONS: Final = frozenset({
    "stop", "length", "tool_calls", "function_call",  # OpenAI and Ollama
    "end_turn", "max_tokens", "stop_sequence", "tool_use", "model_context_window_exceeded",  # Anthropic; Gemini's are among them
})  # fmt: skip

_TOOLS: Final = "tools"
_MODELS: Final = "models"
# Of operations whose answers have no reason for their end.
_OPERATIONS_WITHOUT_REASON: Final = frozenset({"embeddings", "http"})
_UNMARKED_OPERATION: Final = "generate_content"
# OpenAI tells a refusal in a member of its own, as if the answer had come to a good end. Within a text its quotes are escaped.
_REFUSAL: Final = re.compile(rb'"refusal"\s*:\s*"[^"]')
_DECODED_BYTES_MAX: Final = 16 * 1024 * 1024
_JSON_TYPE: Final = re.compile(rb"application/(?:[\w.-]+\+)?json\s*(?:;|$)", re.IGNORECASE)
# By what the key has in any case.
_KNOWN_VARIATIONS: Final = frozenset({b"accept-encoding", b"host"})


def may_keep(
    terms: Terms, status: int, fields: Sequence[bytes], seen: Seen, *, dialect: Dialect, streamed: bool, whole: bool,
    observer_failed: bool, skipped: str | None, pieces: Sequence[bytes],
) -> float | None:  # fmt: skip
    """Return for how many seconds an answer may be kept; None: not at all. Never raises.

    `fields`: the answer's, each as `Name: value`. `whole`: the upstream sent all of it, and the transport says so. `skipped`:
    why the observer left some of it unread. `pieces`: the body as it came.
    """
    if not terms.stores or not terms.key or status != 200 or not whole or observer_failed or skipped is not None:
        return None
    if seen.error_type is not None or seen.replayed or seen.resumable:
        return None
    if dialect is OPAQUE:
        if streamed or (terms.kind == _MODELS and not _JSON_TYPE.match(_find(fields, b"content-type"))):
            return None  # where an unknown stream ends, nobody knows
    elif not seen.terminated or (streamed and not _has_end_mark(dialect, seen)) or not _has_ended_well(dialect, seen):
        return None
    said = read_answer_directives(fields)
    if not said.varies_by.isdisjoint((IGNORED - _KNOWN_VARIATIONS) | {b"*"}):
        return None
    ttl_s = _limit(terms, said, streamed=streamed)
    if ttl_s <= 0 or _is_unfit(dialect, b"".join(pieces), _find(fields, b"content-encoding"), streamed=streamed):
        return None
    return ttl_s


def _has_end_mark(dialect: Dialect, seen: Seen) -> bool:
    """Whether a stream's own last event came. After the last finish reason there may be another choice to begin, and usage.

    A caller is shown no error where only that mark is missing, for some servers send none; but such a stream is not kept.
    Gemini's form has no mark.
    """
    return seen.answered or dialect.operation == _UNMARKED_OPERATION


def _has_ended_well(dialect: Dialect, seen: Seen) -> bool:
    if dialect.operation in _OPERATIONS_WITHOUT_REASON:
        return True
    return bool(seen.finish_reasons) and all(reason.lower() in GOOD_REASONS for reason in seen.finish_reasons)


def _limit(terms: Terms, said: AnswerDirectives, *, streamed: bool) -> float:
    """Return for how long the server lets it be kept; 0 for not at all.

    Servers put `no-cache` and `no-store` on every stream, for the proxies in between, and providers put `no-cache` and
    `max-age=0` on every answer. So of a stream nothing counts, of a model's answer `no-store` alone, and all of a tool's.
    """
    if streamed:
        return terms.ttl_s
    if said.no_store or (terms.kind == _TOOLS and said.no_cache):
        return 0.0
    if terms.kind == _TOOLS and said.max_age_s is not None:
        return min(terms.ttl_s, said.max_age_s)
    return terms.ttl_s


def _is_unfit(dialect: Dialect, body: bytes, coding: bytes, *, streamed: bool) -> bool:
    """Whether the body is a refusal, or one that could not be told to another caller."""
    if needs_retelling(dialect.name):
        return not can_retell(dialect.name, body, streamed=streamed)  # not so where it is compressed either
    if dialect is OPAQUE:
        return False
    text = inflate(body, coding.decode("latin-1"), _DECODED_BYTES_MAX) if coding else body
    return _REFUSAL.search(text) is not None


def _find(fields: Sequence[bytes], wanted: bytes) -> bytes:
    values = [line.partition(b":")[2].strip() for line in fields if line[: len(wanted) + 1].lower() == wanted + b":"]
    return b", ".join(values)
