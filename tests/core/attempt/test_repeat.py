"""When an attempt may be made again without asking."""

import pytest

from sidecar.core.attempt.repeat import may_repeat
from sidecar.errors import ERRORS, UPSTREAM_RESET


@pytest.mark.parametrize("method", ["GET", "HEAD", "OPTIONS", "PUT", "DELETE", "TRACE"])
def test_an_idempotent_request_lost_on_a_kept_connection_is_repeated(method: str) -> None:
    """The one safe case, for every method that HTTP calls idempotent."""
    assert may_repeat(UPSTREAM_RESET, method, reused=True, body_held=True)


@pytest.mark.parametrize("method", ["POST", "PATCH", "CONNECT", "get", ""])
def test_what_may_have_done_something_is_not_repeated(method: str) -> None:
    """A request that might be processed twice is never sent twice."""
    assert not may_repeat(UPSTREAM_RESET, method, reused=True, body_held=True)


def test_a_new_connection_or_a_body_that_is_gone_is_not_repeated() -> None:
    """Only a kept connection can have been closing, and a body that was streamed on cannot be sent again."""
    assert not may_repeat(UPSTREAM_RESET, "GET", reused=False, body_held=True)
    assert not may_repeat(UPSTREAM_RESET, "PUT", reused=True, body_held=False)


@pytest.mark.parametrize("kind", [kind for kind in ERRORS if kind is not UPSTREAM_RESET], ids=lambda kind: kind.id)
def test_no_other_failure_is_repeated(kind: object) -> None:
    """Timeouts, refusals and malformed answers are told, not tried again."""
    assert not may_repeat(kind, "GET", reused=True, body_held=True)  # type: ignore[arg-type]
