"""What the span of one attempt carries, but for where it went: that is known where upstreams are."""

from typing import Final

from sidecar import catalogue
from sidecar.edge.telemetry.decision_attributes import describe_decision
from sidecar.edge.telemetry.exchange_attributes import show_method
from sidecar.edge.telemetry.span import Attributes
from sidecar.exchange import Attempt, Ending, Record

_NO_FAILURE: Final = frozenset((str(Ending.COMPLETED), str(Ending.CLIENT_GONE), catalogue.HEDGE_LOST))


def has_failed(attempt: Attempt) -> bool:
    """Return whether an attempt came to nothing of itself: one that was given up did not."""
    return attempt.outcome not in _NO_FAILURE


def describe_attempt(record: Record, attempt: Attempt) -> Attributes:
    """Return what the span of an attempt carries."""
    method = show_method(record.method)
    attributes: Attributes = {
        "http.request.method": method,
        "llm_sidecar.upstream": attempt.upstream,
        "llm_sidecar.attempt.outcome": attempt.outcome,
        "llm_sidecar.connection.reused": attempt.reused,
    }
    if method != record.method:
        attributes["http.request.method_original"] = record.method
    if attempt.status is not None:
        attributes["http.response.status_code"] = attempt.status
    if attempt.connected is not None:
        attributes["llm_sidecar.attempt.time_to_connection"] = attempt.connected - attempt.started
    if attempt.head is not None:
        attributes["llm_sidecar.attempt.time_to_head"] = attempt.head - attempt.started
    if has_failed(attempt):
        is_answer = attempt.status is not None and attempt.status >= 400
        attributes["error.type"] = str(attempt.status) if is_answer else attempt.outcome
    _add_why(attempt, attributes)
    return attributes


def _add_why(attempt: Attempt, attributes: Attributes) -> None:
    """Tell why it was made, there and then, and what followed from it."""
    if attempt.breaker:
        attributes["llm_sidecar.circuit_breaker.state"] = attempt.breaker
    if attempt.model is not None:
        attributes["llm_sidecar.attempt.model"] = attempt.model
    if attempt.hedge:
        attributes["llm_sidecar.attempt.hedge"] = True
    if attempt.waited_s:
        attributes["llm_sidecar.attempt.backoff"] = attempt.waited_s
    if attempt.cause is not None:
        attributes["llm_sidecar.attempt.cause"] = str(attempt.cause)
    if attempt.cost is not None:
        attributes["llm_sidecar.attempt.cost_usd"] = attempt.cost.usd
    if attempt.decision is not None:
        describe_decision(attempt.decision, attributes)
