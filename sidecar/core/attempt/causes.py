"""Why an attempt failed: one of a closed list, and the key to what is done then (`conduct.CONDUCT`).

A status tells most. Where several causes share one, names and messages of the error's body decide. Names are read first:
providers say that the wording of messages may change, but some give the cause nowhere else. Where in doubt, the cause is
taken after which less is done: a refusal of content must not be routed around, a failed call may always be passed on.
"""

from enum import StrEnum
from typing import Final

from sidecar.core.attempt.error_bodies import ErrorBody, read_error_body
from sidecar.errors import (
    CONNECT_TIMEOUT,
    FIRST_BYTE_TIMEOUT,
    FIRST_TOKEN_TIMEOUT,
    IDLE_TIMEOUT,
    POOL_FULL,
    STREAM_CUT,
    TLS_FAILED,
    TOTAL_TIMEOUT,
    TUNNEL_REFUSED,
    UNREACHABLE,
    UNRESOLVED,
    UPSTREAM_MALFORMED,
    UPSTREAM_RESET,
    ErrorKind,
)


class Cause(StrEnum):
    """Why an attempt failed."""

    __hash__ = str.__hash__  # Enum's own is a call into Python

    NEVER_SENT = "never_sent"  # nothing of the request reached the upstream
    RESET = "reset"  # the connection ended before there was anything of an answer that counts
    SILENCE = "silence"  # no head, or no token, in time
    MALFORMED = "malformed"  # what came is not HTTP
    IN_BAND = "in_band"  # the provider's own failure, within an answer that began as a success
    RATE_LIMITED = "rate_limited"  # 429
    OVERLOADED = "overloaded"  # 503, 529
    SERVER_ERROR = "server_error"  # another 5xx; 408 and 409, which SDKs repeat as well
    CREDENTIALS = "credentials"  # 401, 402, 403, and a quota or credit that is used up, whatever the status
    CONTEXT_TOO_LONG = "context_too_long"
    CONTENT_REFUSED = "content_refused"  # by the provider's policy
    REJECTED = "rejected"  # another 4xx: the request itself is at fault
    NO_ROOM = "no_room"  # no connection to the upstream fell free in time


_FAULTS: Final = {
    UNRESOLVED: Cause.NEVER_SENT, UNREACHABLE: Cause.NEVER_SENT, CONNECT_TIMEOUT: Cause.NEVER_SENT, TLS_FAILED: Cause.NEVER_SENT,
    TUNNEL_REFUSED: Cause.NEVER_SENT, UPSTREAM_RESET: Cause.RESET, STREAM_CUT: Cause.RESET, FIRST_BYTE_TIMEOUT: Cause.SILENCE,
    FIRST_TOKEN_TIMEOUT: Cause.SILENCE, IDLE_TIMEOUT: Cause.SILENCE, TOTAL_TIMEOUT: Cause.SILENCE, UPSTREAM_MALFORMED: Cause.MALFORMED,
    POOL_FULL: Cause.NO_ROOM,
}  # fmt: skip
# A name, a certificate or a proxy that says no says so again a moment later; where nobody answered for seconds, nobody will; and an
# answer that broke off had been begun.
_LASTING: Final = frozenset({UNRESOLVED, TLS_FAILED, TUNNEL_REFUSED, CONNECT_TIMEOUT, STREAM_CUT})

# Waiting does not help, another account does. OpenAI, Anthropic (with 429 and 400), Google (with 400).
_ACCOUNT_NAMES: Final = frozenset({
    "insufficient_quota", "billing_hard_limit_reached", "billing_not_active", "credit_balance_exhausted", "usage_limit_exceeded",
    "project_spend_limit_exceeded", "organization_spend_limit_exceeded", "organization_usage_limit_exceeded",
    "enforced_spend_limit_reached", "contract_spend_limit_reached", "linked_organization_spend_limit_reached",
    "linked_organization_billing_unavailable", "organization_on_hold", "api_key_invalid", "payment_required",
})  # fmt: skip
_ACCOUNT_PHRASES: Final = ("credit balance is too low", "reached your specified api usage limits")
# OpenAI, OpenRouter, Groq; llama.cpp; LiteLLM.
_CONTEXT_NAMES: Final = frozenset({"context_length_exceeded", "exceed_context_size_error", "contextwindowexceedederror"})
_CONTEXT_PHRASES: Final = (
    "maximum context length",  # OpenAI, vLLM, DeepSeek, Mistral, OpenRouter, Ollama
    "context window",  # OpenAI's responses, llama-cpp-python
    "maximum model length",  # vLLM
    "prompt is too long", "exceed context limit",  # Anthropic
    "exceeds the maximum number of tokens allowed",  # Google
    "available context size", "context size has been exceeded",  # llama.cpp
    "exceeds the context length",  # Ollama
)  # fmt: skip
# Azure; OpenAI; OpenRouter; Google.
_REFUSED_NAMES: Final = frozenset({
    "content_filter", "responsibleaipolicyviolation", "content_policy_violation", "image_content_policy_violation", "moderation_blocked",
    "bio_policy", "cyber_policy", "misalignment_policy_violation", "flagged_input", "refusal", "safety", "prohibited_content", "blocklist",
})  # fmt: skip
_REFUSED_PHRASES: Final = (
    "content management policy",  # Azure
    "content filtering policy",  # Anthropic
    "usage policy", "usage policies", "safety system",  # OpenAI
    "input was flagged", "guardrail",  # OpenRouter
    "responsible ai",  # Google
)  # fmt: skip
# What the rest of the names mean within an answer that began as a success, where no status tells it.
_RATE_NAMES: Final = frozenset({
    "429", "rate_limit_exceeded", "rate_limit_error", "ratelimiterror", "resource_exhausted", "too_many_requests", "concurrency_limit",
})  # fmt: skip
_CREDENTIAL_NAMES: Final = frozenset({
    "401", "402", "403", "authentication_error", "authentication", "permission_error", "permission_denied", "billing_error",
    "unauthenticated", "invalid_api_key", "unauthorized",
})  # fmt: skip
_REJECTED_NAMES: Final = frozenset({
    "400", "404", "413", "422", "badrequesterror", "notfounderror", "not_found", "not_found_error", "model_not_found", "request_too_large",
    "failed_to_download_image", "empty_image_file", "failed_precondition", "out_of_range", "string_too_long", "unprocessable",
    # Of a tool: it has answered, and its answer is that it failed or was asked wrongly (JSON-RPC 2.0, section 5.1).
    "tool_error", "jsonrpc_other", "jsonrpc_-32700", "jsonrpc_-32600", "jsonrpc_-32601", "jsonrpc_-32602",
})  # fmt: skip
_REJECTED_PREFIXES: Final = ("invalid_", "image_", "unsupported_")

_CREDENTIAL_STATUSES: Final = frozenset({401, 402, 403})
_OVERLOAD_STATUSES: Final = frozenset({503, 529})
_PASSING_STATUSES: Final = frozenset({408, 409, 499})  # 499: what stands before the model gave it up, not our caller


def classify_fault(kind: ErrorKind, *, sent: bool) -> Cause:
    """Return why an attempt failed that ended with a fault of `kind`. `sent`: some of the request was.

    What is no failure of an attempt (a refusal of ours, a fault of ours) is as if rejected: passed on.
    """
    cause = _FAULTS.get(kind, Cause.REJECTED)
    return Cause.NEVER_SENT if cause is Cause.RESET and not sent else cause


def is_worth_same(kind: ErrorKind, *, reused: bool, sent: bool, idempotent: bool) -> bool:
    """Tell whether the same upstream may be asked again at once, after a fault of `kind`.

    `reused`: it was a kept connection, which the upstream may just have been closing (RFC 9112 section 9.3.1). It may also have
    begun to work on the request, so that HTTP has only `idempotent` ones repeated then (RFC 9110 section 9.2.2).
    """
    if kind is UPSTREAM_RESET:
        return not sent or (reused and idempotent)
    return kind not in _LASTING


def classify_answer(status: int, error_type: str | None, body: bytes) -> Cause | None:
    """Return why an answer is a failure; None where it is none. Never raises.

    `error_type`: as the observer names it; `body`: what is held of the answer, decoded; only an error in it is read.
    """
    if status < 400 and error_type is None:
        return None
    told = read_error_body(body, is_error=status >= 400)
    names = told.names if error_type is None else told.names | {error_type.lower()}
    told = ErrorBody(names, told.messages)
    cause = _classify_named(told)
    if cause is not None:
        return cause
    return _classify_status(status, told) if status >= 400 else _classify_in_band(told)


def _classify_named(told: ErrorBody) -> Cause | None:
    if told.names & _REFUSED_NAMES:
        return Cause.CONTENT_REFUSED
    if told.names & _CONTEXT_NAMES:
        return Cause.CONTEXT_TOO_LONG
    if told.names & _ACCOUNT_NAMES:
        return Cause.CREDENTIALS
    return None


def _classify_status(status: int, told: ErrorBody) -> Cause:
    if status == 429:
        return Cause.RATE_LIMITED
    if status in _OVERLOAD_STATUSES:
        return Cause.OVERLOADED
    if status in _PASSING_STATUSES:
        return Cause.SERVER_ERROR
    if status >= 500:
        # llama.cpp has told so with 500.
        return Cause.CONTEXT_TOO_LONG if status == 500 and _has(told, _CONTEXT_PHRASES) else Cause.SERVER_ERROR
    cause = _classify_message(told) if status not in (401, 402) else None
    if cause is not None:
        return cause
    return Cause.CREDENTIALS if status in _CREDENTIAL_STATUSES else Cause.REJECTED


def _classify_in_band(told: ErrorBody) -> Cause:
    names = told.names
    cause = _classify_message(told)
    if cause is not None:
        return cause
    if names & _RATE_NAMES:
        return Cause.RATE_LIMITED
    if names & _CREDENTIAL_NAMES:
        return Cause.CREDENTIALS
    if names & _REJECTED_NAMES or any(name.startswith(_REJECTED_PREFIXES) for name in names):
        return Cause.REJECTED
    return Cause.IN_BAND


def _classify_message(told: ErrorBody) -> Cause | None:
    if _has(told, _REFUSED_PHRASES):
        return Cause.CONTENT_REFUSED
    if _has(told, _CONTEXT_PHRASES):
        return Cause.CONTEXT_TOO_LONG
    if _has(told, _ACCOUNT_PHRASES):
        return Cause.CREDENTIALS
    return None


def _has(told: ErrorBody, phrases: tuple[str, ...]) -> bool:
    return any(phrase in told.messages for phrase in phrases)
