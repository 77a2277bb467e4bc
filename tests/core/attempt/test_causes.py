"""Why an attempt failed."""

import gzip
import json
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.causes import Cause, classify_answer, classify_fault, is_worth_same
from sidecar.errors import (
    CONNECT_TIMEOUT,
    ERRORS,
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

GOLDEN = Path(__file__).parents[2] / "data"
C = Cause


@pytest.mark.parametrize(
    ("kind", "cause"),
    [
        (UNRESOLVED, C.NEVER_SENT), (UNREACHABLE, C.NEVER_SENT), (CONNECT_TIMEOUT, C.NEVER_SENT), (TLS_FAILED, C.NEVER_SENT),
        (TUNNEL_REFUSED, C.NEVER_SENT), (UPSTREAM_RESET, C.RESET), (STREAM_CUT, C.RESET), (FIRST_BYTE_TIMEOUT, C.SILENCE),
        (FIRST_TOKEN_TIMEOUT, C.SILENCE), (IDLE_TIMEOUT, C.SILENCE), (TOTAL_TIMEOUT, C.SILENCE), (UPSTREAM_MALFORMED, C.MALFORMED),
        (POOL_FULL, C.NO_ROOM),
    ],
    ids=lambda value: value.id if isinstance(value, ErrorKind) else None,
)  # fmt: skip
def test_each_fault_of_an_attempt_has_its_cause(kind: ErrorKind, cause: Cause) -> None:
    """As it is once some of the request was sent."""
    assert classify_fault(kind, sent=True) is cause


def test_a_reset_before_anything_was_sent_has_done_nothing() -> None:
    """A connection that was closed as soon as it was there never carried the call."""
    assert classify_fault(UPSTREAM_RESET, sent=False) is Cause.NEVER_SENT


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_every_other_fault_is_passed_on(kind: ErrorKind) -> None:
    """No kind raises; what is not the failure of an attempt is no reason for another one."""
    cause = classify_fault(kind, sent=True)
    assert (cause is Cause.REJECTED) == ((kind.origin.value != "upstream" and kind is not POOL_FULL) or kind.id == "circuit_open")


def test_what_is_worth_the_same_again() -> None:
    """A name, a certificate, a proxy's no will be the same in a moment; of resets, only one of a kept connection without an answer."""
    assert [kind.id for kind in ERRORS if not is_worth_same(kind, reused=True, sent=True, idempotent=True)] == [
        "upstream_unresolved", "connect_timeout", "upstream_tls", "egress_proxy_refused", "stream_cut",
    ]  # fmt: skip
    assert not is_worth_same(UPSTREAM_RESET, reused=True, sent=True, idempotent=False)
    assert not is_worth_same(UPSTREAM_RESET, reused=False, sent=True, idempotent=True)
    assert is_worth_same(UPSTREAM_RESET, reused=False, sent=False, idempotent=False)
    assert is_worth_same(UNREACHABLE, reused=False, sent=False, idempotent=False)


# Answers of the providers' APIs as they are recorded for the observers.
GOLDEN_CAUSES = {
    "anthropic_messages/error_529": C.OVERLOADED,
    "anthropic_messages/error_empty": C.OVERLOADED,
    "anthropic_messages/error_html": C.SERVER_ERROR,
    "anthropic_messages/error_spend_limit": C.CREDENTIALS,
    "anthropic_messages/error_at_once": C.IN_BAND,
    "anthropic_messages/unary_error_in_success": C.IN_BAND,
    "anthropic_messages/refusal_at_once": None,
    "anthropic_messages/plain": None,
    "gemini_generate/error_400": C.CREDENTIALS,  # the API key is not valid
    "gemini_generate/error_429": C.RATE_LIMITED,
    "gemini_generate/error_503": C.OVERLOADED,
    "gemini_generate/error_html": C.SERVER_ERROR,
    "gemini_generate/error_in_list": C.RATE_LIMITED,
    "gemini_generate/error_with_status_200": C.IN_BAND,
    "gemini_generate/blocked_prompt": None,  # an answer: its reason is within it
    "gemini_stream/error_as_event": C.IN_BAND,
    "gemini_stream/error_in_stream": C.IN_BAND,
    "gemini_stream/error_429": C.RATE_LIMITED,
    "gemini_embed/error_404": C.REJECTED,
    "mcp/call_failed": C.REJECTED,
    "mcp/call_unknown_tool": C.REJECTED,
    "mcp/several_one_fails": C.IN_BAND,
    "mcp/refused": C.REJECTED,
    "ollama_chat/error_400": C.REJECTED,
    "ollama_chat/error_404": C.REJECTED,
    "ollama_chat/error_500_html": C.SERVER_ERROR,
    "ollama_chat/error_first": C.IN_BAND,
    "ollama_chat/error_object": C.RATE_LIMITED,
    "ollama_embed/error_400": C.CONTEXT_TOO_LONG,
    "ollama_embed/error_500": C.SERVER_ERROR,
    "ollama_generate/error_429": C.RATE_LIMITED,
    "ollama_generate/error_in_success": C.IN_BAND,
    "openai_chat/azure_error_401": C.CREDENTIALS,
    "openai_chat/azure_error_404": C.REJECTED,
    "openai_chat/azure_error_429": C.RATE_LIMITED,
    "openai_chat/azure_filtered_400": C.CONTENT_REFUSED,
    "openai_chat/azure_gateway_429": C.RATE_LIMITED,
    "openai_chat/error_400": C.REJECTED,
    "openai_chat/error_429": C.RATE_LIMITED,
    "openai_chat/error_empty": C.OVERLOADED,
    "openai_chat/error_gemini_list": C.RATE_LIMITED,
    "openai_chat/error_then_done": C.REJECTED,
    "openai_chat/groq_error_in_stream": C.IN_BAND,
    "openai_chat/in_band_error": C.IN_BAND,
    "openai_chat/llama_cpp_error_503": C.OVERLOADED,
    "openai_chat/openrouter_error": C.IN_BAND,
    "openai_chat/openrouter_error_402": C.CREDENTIALS,
    "openai_chat/openrouter_error_429": C.RATE_LIMITED,
    "openai_chat/openrouter_error_code_only": C.IN_BAND,
    "openai_chat/openrouter_error_first": C.IN_BAND,
    "openai_chat/openrouter_error_without_choices": C.RATE_LIMITED,
    "openai_chat/openrouter_unary_error_200": C.IN_BAND,
    "openai_chat/unary_error_in_success": C.RATE_LIMITED,
    "openai_chat/vllm_error_404": C.REJECTED,
    "openai_chat/vllm_error_in_stream": C.IN_BAND,
    "openai_chat/vllm_older_error_400": C.CONTEXT_TOO_LONG,
    "openai_completions/error_500": C.SERVER_ERROR,
    "openai_embeddings/error": C.REJECTED,
    "openai_responses/error_400": C.REJECTED,
    "openai_responses/error_429": C.RATE_LIMITED,
    "openai_responses/error_event": C.RATE_LIMITED,
    "openai_responses/error_nested_then_failed": C.CREDENTIALS,  # insufficient_quota
    "openai_responses/failed": C.IN_BAND,
    "openai_responses/failed_without_error": C.IN_BAND,
    "openai_responses/unary_failed": C.REJECTED,  # invalid_image_format
}


@pytest.mark.parametrize("name", GOLDEN_CAUSES)
def test_golden_answers(name: str) -> None:
    """With the name that the observer gives the error."""
    folder = GOLDEN / name
    meta = json.loads((folder / "meta.json").read_text(encoding="utf-8"))
    error_type = json.loads((folder / "expected.json").read_text(encoding="utf-8"))["seen"]["error_type"]
    (file,) = folder.glob("response.*")
    body = file.read_bytes()
    if meta["content_encoding"] == "gzip":
        body = gzip.decompress(body)
    cause = classify_answer(meta["status"], error_type, body)
    assert cause == GOLDEN_CAUSES[name]
    if cause is not None:
        assert classify_answer(meta["status"], error_type, b"") is not None  # without its body it is no success either


def openai(message: str, kind: str | None = "invalid_request_error", code: object = None, **more: object) -> dict[str, object]:
    """Return a body in OpenAI's form."""
    return {"error": {"message": message, "type": kind, "param": None, "code": code, **more}}


def anthropic(message: str, kind: str = "invalid_request_error") -> dict[str, object]:
    """Return a body in Anthropic's form."""
    return {"type": "error", "error": {"details": None, "type": kind, "message": message}, "request_id": "req_01"}


def google(code: int, status: str, message: str) -> dict[str, object]:
    """Return a body in Google's form."""
    return {"error": {"code": code, "message": message, "status": status}}


# As providers' documentation and reports of their users show them.
BODIES: list[tuple[str, int, object, Cause]] = [
    ("openai_context", 400, openai("This model's maximum context length is 8192 tokens. However, your messages resulted in 8227 tokens.",
     code="context_length_exceeded"), C.CONTEXT_TOO_LONG),
    ("openai_responses_context", 400,
     openai("Your input exceeds the context window of this model. Please adjust your input and try again."),
     C.CONTEXT_TOO_LONG),
    ("deepseek_context", 400, openai("This model's maximum context length is 131072 tokens. However, you requested 131134 tokens.",
     code="invalid_request_error"), C.CONTEXT_TOO_LONG),
    ("vllm_context", 400,
     openai("This model's maximum context length is 4096 tokens. However, you requested 5000.", "BadRequestError", 400),
     C.CONTEXT_TOO_LONG),
    ("vllm_prompt", 400,
     openai("The decoder prompt (length 5000) is longer than the maximum model length of 4096.", "BadRequestError", 400),
     C.CONTEXT_TOO_LONG),
    ("anthropic_context", 400, anthropic("prompt is too long: 208656 tokens > 200000 maximum"), C.CONTEXT_TOO_LONG),
    ("anthropic_context_and_output", 400, anthropic("input length and `max_tokens` exceed context limit: 199759 + 8192 > 200000"),
     C.CONTEXT_TOO_LONG),
    ("gemini_context", 400, google(400, "INVALID_ARGUMENT",
     "The input token count (1200293) exceeds the maximum number of tokens allowed (1048576)."),
     C.CONTEXT_TOO_LONG),
    ("llama_cpp_context", 400, {"error": {"code": 400, "message": "request (4390 tokens) exceeds the available context size (4096 tokens)",
     "type": "exceed_context_size_error", "n_prompt_tokens": 4390, "n_ctx": 4096}}, C.CONTEXT_TOO_LONG),
    ("llama_cpp_context_500", 500, {"error": {"code": 500, "message": "Context size has been exceeded.", "type": "server_error"}},
     C.CONTEXT_TOO_LONG),
    ("ollama_context", 400, {"error": "the input length exceeds the context length"}, C.CONTEXT_TOO_LONG),
    ("openrouter_context", 400, openai("Provider returned error", None, 400, metadata={
        "provider_name": "OpenAI", "raw": json.dumps(openai("Too long", code="context_length_exceeded"))}), C.CONTEXT_TOO_LONG),
    ("openai_usage_policy", 400, openai("Invalid prompt: your prompt was flagged as potentially violating our usage policy.",
     code="invalid_prompt"), C.CONTENT_REFUSED),
    ("openai_image_policy", 400, openai("Your request was rejected as a result of our safety system.", "image_generation_user_error",
     "moderation_blocked"), C.CONTENT_REFUSED),
    ("openai_old_image_policy", 400, openai("Your request was rejected.", code="content_policy_violation"), C.CONTENT_REFUSED),
    ("anthropic_policy", 400, anthropic("Output blocked by content filtering policy"), C.CONTENT_REFUSED),
    ("openrouter_moderation", 403, openai('Input was flagged for "harassment".', None, 403, metadata={
        "reasons": ["harassment"], "flagged_input": "You are", "provider_name": "OpenAI", "model_slug": "openai/gpt-4"}),
     C.CONTENT_REFUSED),
    ("openrouter_moderation_named", 403, openai("Refused", None, 403, metadata={"error_type": "content_policy_violation"}),
     C.CONTENT_REFUSED),
    ("openai_quota", 429, openai("You exceeded your current quota, please check your plan and billing details.", "insufficient_quota",
     "insufficient_quota"), C.CREDENTIALS),
    ("openai_too_large_for_rate", 429, openai("Request too large for gpt-4o on tokens per min (TPM): Limit 30000, Requested 45000. The "
     "maximum context length is not it.", "tokens", "rate_limit_exceeded"), C.RATE_LIMITED),
    ("anthropic_credit", 400, anthropic("Your credit balance is too low to access the Anthropic API."), C.CREDENTIALS),
    ("anthropic_usage_limit", 400, anthropic("You have reached your specified API usage limits."), C.CREDENTIALS),
    ("anthropic_billing", 402, anthropic("Your credit balance is too low.", "billing_error"), C.CREDENTIALS),
    ("anthropic_permission", 403, anthropic("Your API key does not have permission", "permission_error"), C.CREDENTIALS),
    ("anthropic_too_large", 413, anthropic("Request exceeds the maximum size", "request_too_large"), C.REJECTED),
    ("anthropic_invalid", 400, anthropic("max_tokens: Field required"), C.REJECTED),
    ("anthropic_rate", 429, anthropic("This request would exceed your account's rate limit.", "rate_limit_error"), C.RATE_LIMITED),
    ("anthropic_error", 500, anthropic("Internal server error", "api_error"), C.SERVER_ERROR),
    ("anthropic_timeout", 504, anthropic("Request timed out", "timeout_error"), C.SERVER_ERROR),
    ("openai_key", 401, openai("Incorrect API key provided: sk-x.", code="invalid_api_key"), C.CREDENTIALS),
    ("openai_region", 403,
     openai("Country, region, or territory not supported", "request_forbidden", "unsupported_country_region_territory"),
     C.CREDENTIALS),
    ("openai_model", 404, openai("The model `gpt-9` does not exist", code="model_not_found"), C.REJECTED),
    ("openai_slow_down", 503, openai("Slow down", "server_error", "slow_down"), C.OVERLOADED),
    ("gemini_deadline", 504, google(504, "DEADLINE_EXCEEDED", "Deadline expired"), C.SERVER_ERROR),
    ("gemini_permission", 403, google(403, "PERMISSION_DENIED", "Permission denied"), C.CREDENTIALS),
    ("openrouter_no_provider", 503, openai("No instances available", None, 503), C.OVERLOADED),
    ("openrouter_edge_timeout", 524, openai("Edge timed out", None, 524, metadata={"error_type": "timeout"}), C.SERVER_ERROR),
    ("openrouter_overloaded", 529, openai("Overloaded", None, 529, metadata={"error_type": "provider_overloaded"}), C.OVERLOADED),
]  # fmt: skip


@pytest.mark.parametrize(("name", "status", "body", "cause"), BODIES, ids=[row[0] for row in BODIES])
def test_bodies_of_each_provider(name: str, status: int, body: object, cause: Cause) -> None:
    """Without an observer's help, in one line, indented, and in a list as Google sends it."""
    for data in (json.dumps(body), json.dumps(body, indent=2), json.dumps([body])):
        assert classify_answer(status, None, data.encode()) is cause


@pytest.mark.parametrize("status", [401, 402, 403])
def test_what_is_asked_of_other_credentials(status: int) -> None:
    """Whatever the body is, a page of a proxy included."""
    assert [classify_answer(status, None, body) for body in (b"", b"<html>Forbidden</html>", b"{", b'{"error": {}}')] == [
        Cause.CREDENTIALS
    ] * 4


@pytest.mark.parametrize(
    ("status", "cause"),
    [
        (400, C.REJECTED), (404, C.REJECTED), (405, C.REJECTED), (408, C.SERVER_ERROR), (409, C.SERVER_ERROR), (413, C.REJECTED),
        (422, C.REJECTED), (429, C.RATE_LIMITED), (499, C.SERVER_ERROR), (500, C.SERVER_ERROR), (502, C.SERVER_ERROR), (503, C.OVERLOADED),
        (504, C.SERVER_ERROR), (524, C.SERVER_ERROR), (529, C.OVERLOADED), (599, C.SERVER_ERROR),
    ],
)  # fmt: skip
def test_the_status_alone(status: int, cause: Cause) -> None:
    """Where there is no body, or none that says anything."""
    assert classify_answer(status, str(status), b"") is cause
    assert classify_answer(status, None, b"<html></html>") is cause


@pytest.mark.parametrize("status", [200, 201, 204, 206, 304])
def test_nothing_wrong(status: int) -> None:
    """An answer without an error is none, whatever it talks about."""
    assert classify_answer(status, None, b'{"error": {"code": "context_length_exceeded"}}') is None


@pytest.mark.parametrize(
    ("error_type", "cause"),
    [
        ("context_length_exceeded", C.CONTEXT_TOO_LONG), ("content_policy_violation", C.CONTENT_REFUSED), ("refusal", C.CONTENT_REFUSED),
        ("rate_limit_exceeded", C.RATE_LIMITED), ("RESOURCE_EXHAUSTED", C.RATE_LIMITED), ("429", C.RATE_LIMITED),
        ("authentication_error", C.CREDENTIALS), ("payment_required", C.CREDENTIALS), ("402", C.CREDENTIALS),
        ("invalid_request_error", C.REJECTED), ("INVALID_ARGUMENT", C.REJECTED), ("image_too_large", C.REJECTED),
        ("BadRequestError", C.REJECTED),
        ("overloaded_error", C.IN_BAND), ("server_error", C.IN_BAND), ("502", C.IN_BAND), ("provider_unavailable", C.IN_BAND),
        ("_OTHER", C.IN_BAND), ("jsonrpc_-32603", C.IN_BAND), ("jsonrpc_-32601", C.REJECTED), ("tool_error", C.REJECTED),
    ],
)  # fmt: skip
def test_errors_within_an_answer(error_type: str, cause: Cause) -> None:
    """There the observer's name for it stands in the place of a status."""
    assert classify_answer(200, error_type, b"") is cause


def test_a_refusal_within_a_stream_is_not_routed_around() -> None:
    """Its name says only that the request is invalid; the message says why."""
    stream = b"event: error\ndata: " + json.dumps(anthropic("Output blocked by content filtering policy")).encode() + b"\n\n"
    assert classify_answer(200, "invalid_request_error", stream) is Cause.CONTENT_REFUSED


def test_what_the_caller_said_decides_nothing() -> None:
    """Parts of a request that an answer repeats are not read."""
    echo = {
        "error": {"message": "Field required", "input": "prompt is too long", "param": "content_filter"},
        "instructions": "safety system",
    }
    assert classify_answer(422, None, json.dumps(echo).encode()) is Cause.REJECTED
    assert classify_answer(200, "server_error", b'{"message": "prompt is too long", "code": "content_filter"}') is Cause.IN_BAND


@given(st.integers(100, 599), st.none() | st.text(max_size=30), st.binary(max_size=300))
def test_no_answer_makes_it_raise(status: int, error_type: str | None, body: bytes) -> None:
    """An error always has a cause, a success without one never."""
    assert (classify_answer(status, error_type, body) is None) == (status < 400 and error_type is None)


def test_every_cause_can_be_found() -> None:
    """The list is closed, and none of it is idle."""
    faults = {classify_fault(kind, sent=True) for kind in ERRORS}
    assert faults | set(GOLDEN_CAUSES.values()) | {row[3] for row in BODIES} == {*Cause, None}
