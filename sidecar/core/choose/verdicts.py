"""What of an attempt counts against the upstream that it was made at."""

from enum import Enum
from typing import Final

from sidecar.exchange import Ending


class Verdict(Enum):
    """What a breaker is told of an attempt."""

    SUCCESS = "success"
    FAILURE = "failure"
    SLOW = "slow"  # a success that was too slow
    IGNORED = "ignored"  # says nothing of the upstream


_SUCCESS, _FAILURE, _IGNORED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.IGNORED

# Whatever else: a caller that left, a rival that was faster, refusals and faults of our own.
_BY_OUTCOME: Final[dict[str, Verdict]] = {
    Ending.COMPLETED: _SUCCESS,
    Ending.REJECTED: _SUCCESS,  # an upstream that finds mistakes in what it is asked is at work
    Ending.RATE_LIMITED: _IGNORED,  # closed for a while, which is another matter: see holds
    Ending.UPSTREAM_ERROR: _FAILURE,
    Ending.CONNECT_FAILED: _FAILURE,
    Ending.CONNECT_TIMEOUT: _FAILURE,
    Ending.FIRST_BYTE_TIMEOUT: _FAILURE,
    Ending.IDLE_TIMEOUT: _FAILURE,
    Ending.RESET: _FAILURE,
    Ending.MALFORMED: _FAILURE,
    Ending.CUT: _FAILURE,
}

# Errors within an answer that say nothing against the upstream, in lower case: what the caller asked for, or who it is. Names are
# those of OpenAI's and Anthropic's SDKs (ResponseError.code, ErrorType), of google.rpc.Code, and OpenRouter's error types.
_CALLERS_OWN: Final = frozenset({
    "already_exists", "authentication_error", "billing_error", "bio_policy", "conflict_error", "content_filter",
    "content_policy_violation", "context_length_exceeded", "data_residency_mismatch", "empty_image_file", "failed_precondition",
    "failed_to_download_image", "image_content_policy_violation", "image_file_not_found", "image_file_too_large", "image_parse_error",
    "image_too_large", "image_too_small", "memory_path_conflict_error", "memory_precondition_failed_error",
    "misalignment_policy_violation", "model_not_found", "moderation", "not_found", "not_found_error", "out_of_range",
    "permission_denied", "permission_error", "refusal", "request_too_large", "string_above_max_length", "tool_error",
    "unauthenticated", "unimplemented",
})  # fmt: skip
_CALLERS_OWN_PREFIXES: Final = ("invalid_", "unsupported_", "jsonrpc_")
_JSONRPC_INTERNAL_ERROR: Final = "jsonrpc_-32603"
_LIMITS: Final = frozenset({
    "cancelled", "insufficient_quota", "quota_exceeded", "rate_limit", "rate_limit_error", "rate_limit_exceeded", "resource_exhausted",
})  # fmt: skip


def judge(outcome: str, status: int | None, error_type: str | None) -> Verdict:
    """Return what an attempt says of its upstream. Never raises.

    `outcome`: an Ending's value, or "hedge_lost". `status`: of the upstream's answer; None where no head came.
    `error_type`: of an error within the answer.

    A total deadline that is over counts against an upstream that had not even begun to answer, and says nothing of one that was
    still answering. It is often the caller's own and short: whoever asks knows whether the upstream had any time at all.
    """
    verdict = _BY_OUTCOME.get(outcome)
    if verdict is not None:
        return verdict
    if outcome == Ending.IN_BAND_ERROR:
        return _judge_error((error_type or "").lower())
    if outcome == Ending.TOTAL_TIMEOUT and status is None:
        return _FAILURE
    return _IGNORED


def mark_slow(verdict: Verdict, response_time_s: float | None, slow_s: float) -> Verdict:
    """Return SLOW for a success whose first token, or whose head, took longer than `slow_s` seconds."""
    is_slow = verdict is _SUCCESS and response_time_s is not None and response_time_s > slow_s
    return Verdict.SLOW if is_slow else verdict


def _judge_error(name: str) -> Verdict:
    """What is wrong with a call is mostly told by its status: an error of no known name, after a good head, is the provider's."""
    if name in _LIMITS or name == "429":
        return _IGNORED
    if name in _CALLERS_OWN:
        return _SUCCESS
    if name.startswith(_CALLERS_OWN_PREFIXES):
        return _FAILURE if name == _JSONRPC_INTERNAL_ERROR else _SUCCESS
    if len(name) == 3 and name[0] == "4" and name.isdecimal():
        return _SUCCESS
    return _FAILURE
