"""Calls as they are shown to whoever asks what happened: a timeline, and nothing of what was said.

A call's times are seconds after it was accepted. What did not happen is null.
"""

from typing import Any

from sidecar.catalogue import CACHE_TOLD
from sidecar.core.reckon.decisions import round_or_none, show_decision
from sidecar.core.reckon.moments import show_wall
from sidecar.decision import Decision
from sidecar.exchange import Attempt, Record


def show_exchange(record: Record) -> dict[str, Any]:
    """Return a call as JSON has it: no content, no headers, no query."""
    accepted = record.accepted
    first_token = None if record.cache in CACHE_TOLD else record.seen.first_token  # what was told again has another call's times
    return {
        "id": record.id,
        "at": show_wall(record.accepted_ns),
        "trace_id": None if record.trace is None else f"{record.trace.trace_id:032x}",
        "route": record.route,
        "pool": record.pool or None,
        "upstream": record.upstream or None,
        "provider": record.provider or None,
        "operation": record.operation,
        "model": record.asked.model,
        "response_model": record.seen.model,
        "method": record.method,
        "path": record.path,
        "streamed": record.streamed,
        "status": record.status,
        "ending": record.ending.value,
        "error": record.error_id,
        "error_type": record.error_type,
        "degraded": record.degraded,
        "tenant": record.tenant or None,
        "origin": record.origin,
        "cache": record.cache,
        "cache_level": record.cache_level,
        "bypass": record.bypass,
        "limited": record.limited,
        "queued_s": round_or_none(record.queued_s),
        "first_byte_s": _since(accepted, record.first_byte),
        "first_token_s": _since(accepted, first_token),
        "ended_s": _since(accepted, record.ended),
        "attempts": [_show_attempt(attempt, accepted) for attempt in record.attempts],
        "decision": None if record.decision is None else show_decision(record.decision),
    }


def show_choice(record: Record, decision: Decision, taken: float) -> dict[str, Any]:
    """Return a decision as JSON has it, with the call it was taken for. `taken`: when, on the monotonic clock."""
    return {
        "at": show_wall(record.accepted_ns + round((taken - record.accepted) * 1e9)),
        "exchange": record.id,
        "route": record.route,
        "model": record.asked.model,
        **show_decision(decision),
    }


def _show_attempt(attempt: Attempt, accepted: float) -> dict[str, Any]:
    return {
        "upstream": attempt.upstream,
        "model": attempt.model,
        "outcome": attempt.outcome,
        "status": attempt.status,
        "cause": attempt.cause,
        "breaker": attempt.breaker or None,
        "hedge": attempt.hedge,
        "reused": attempt.reused,
        "waited_s": round_or_none(attempt.waited_s),
        "started_s": _since(accepted, attempt.started),
        "connected_s": _since(accepted, attempt.connected),
        "sent_s": _since(accepted, attempt.sent),
        "head_s": _since(accepted, attempt.head),
        "ended_s": _since(accepted, attempt.ended),
        "decision": None if attempt.decision is None else show_decision(attempt.decision),
    }


def _since(accepted: float, moment: float | None) -> float | None:
    return None if moment is None else round(moment - accepted, 6)
