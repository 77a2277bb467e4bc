"""What counts against an upstream."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue import ATTEMPT_OUTCOMES_ONLY
from sidecar.core.choose.verdicts import Verdict, judge, mark_slow
from sidecar.exchange import Ending

SUCCESS, FAILURE, SLOW, IGNORED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.SLOW, Verdict.IGNORED
EXPECTED = {
    "completed": SUCCESS,
    "client_gone": IGNORED,
    "client_fault": IGNORED,
    "rejected": SUCCESS,
    "rate_limited": IGNORED,
    "upstream_error": FAILURE,
    "in_band_error": FAILURE,
    "connect_failed": FAILURE,
    "connect_timeout": FAILURE,
    "first_byte_timeout": FAILURE,
    "idle_timeout": FAILURE,
    "total_timeout": FAILURE,
    "reset": FAILURE,
    "malformed": FAILURE,
    "cut": FAILURE,
    "unavailable": IGNORED,
    "overloaded": IGNORED,
    "refused": IGNORED,
    "sidecar_fault": IGNORED,
    "hedge_lost": IGNORED,
}


def test_every_ending_of_an_attempt_is_judged() -> None:
    """A new ending is judged on purpose."""
    assert {outcome: judge(outcome, None, None) for outcome in (*(ending.value for ending in Ending), *ATTEMPT_OUTCOMES_ONLY)} == EXPECTED


@pytest.mark.parametrize("status", [500, 501, 502, 503, 504, 524, 529])
def test_server_errors_count(status: int) -> None:
    """All of 5xx, a provider's own inventions too."""
    assert judge("upstream_error", status, None) is FAILURE


@pytest.mark.parametrize("status", [400, 401, 402, 403, 404, 408, 413, 422])
def test_the_callers_mistakes_do_not_count(status: int) -> None:
    """An upstream that says so is at work, even where the mistake has a name that looks like a server's."""
    assert judge("rejected", status, "server_error") is SUCCESS


@pytest.mark.parametrize(
    "error_type",
    [
        "overloaded_error", "api_error", "timeout_error", "server_error", "UNAVAILABLE", "INTERNAL", "DEADLINE_EXCEEDED", "500", "503",
        "529", "provider_overloaded", "provider_unavailable", "server", "timeout", "vector_store_timeout", "_OTHER", "websocket_1011",
        "jsonrpc_-32603", "", None,
    ],
)  # fmt: skip
def test_the_providers_errors_within_an_answer_count(error_type: str | None) -> None:
    """Overload, server errors, and what has no known name."""
    assert judge("in_band_error", 200, error_type) is FAILURE


@pytest.mark.parametrize(
    "error_type",
    [
        "content_filter", "content_policy_violation", "image_content_policy_violation", "misalignment_policy_violation", "refusal",
        "context_length_exceeded", "invalid_request_error", "invalid_prompt", "invalid_image_url", "INVALID_ARGUMENT", "NOT_FOUND",
        "PERMISSION_DENIED", "authentication_error", "400", "404", "tool_error", "jsonrpc_-32602", "jsonrpc_other", "unsupported_value",
    ],
)  # fmt: skip
def test_others_errors_within_an_answer_do_not(error_type: str) -> None:
    """Content that is refused, what the caller got wrong, a tool's own result."""
    assert judge("in_band_error", 200, error_type) is SUCCESS


@pytest.mark.parametrize("error_type", ["rate_limit_exceeded", "rate_limit_error", "RESOURCE_EXHAUSTED", "insufficient_quota", "429"])
def test_limits_within_an_answer_say_nothing(error_type: str) -> None:
    """As a 429 says nothing."""
    assert judge("in_band_error", 200, error_type) is IGNORED


def test_a_total_deadline_counts_only_before_an_answer() -> None:
    """Callers set deadlines of their own: who was still answering may have been slow or may not."""
    assert judge("total_timeout", None, None) is FAILURE
    assert judge("total_timeout", 200, None) is IGNORED


def test_slow_is_a_success_that_took_longer() -> None:
    """Exactly as long is not longer; unknown times and other verdicts stay what they are."""
    assert mark_slow(SUCCESS, 30.1, 30.0) is SLOW
    assert mark_slow(SUCCESS, 30.0, 30.0) is SUCCESS
    assert mark_slow(SUCCESS, None, 30.0) is SUCCESS
    assert [mark_slow(verdict, 99.0, 30.0) for verdict in (FAILURE, IGNORED)] == [FAILURE, IGNORED]


@given(st.text(), st.none() | st.integers(), st.none() | st.text())
def test_anything_is_judged(outcome: str, status: int | None, error_type: str | None) -> None:
    """What nobody knows says nothing of the upstream, and raises nothing."""
    assert outcome in EXPECTED or judge(outcome, status, error_type) is IGNORED
    assert judge("in_band_error", status, error_type) in (SUCCESS, FAILURE, IGNORED)
