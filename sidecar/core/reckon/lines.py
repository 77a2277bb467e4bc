"""One call as the line of the log tells it: fields of `catalogue.CALL_FIELDS`, and nothing of what was said.

Counted by the rules by which metrics count, so that lines add up to them: an answer that was another call's used no tokens and
cost nothing, and what was not measured is left out.
"""

from typing import Final

from sidecar import catalogue
from sidecar.core.observe.pace import measure_pace
from sidecar.core.reckon.phases import find_attempt_phase, find_phase
from sidecar.exchange import Record, UsageSource

Value = str | int | float | bool

_OPERATIONS: Final = frozenset(catalogue.OPERATION_DURATION.labels[0].values)
_TOLD: Final = frozenset(catalogue.CACHE_TOLD)
_TRIED_MAX: Final = 8  # attempts that are told one by one


def describe_call(record: Record, repeated: int = 0) -> dict[str, Value]:
    """Return the fields of a call's line. `repeated`: calls like it that have no line of their own."""
    session, trace = record.session, record.trace
    fields: dict[str, Value | None] = {
        "request_id": record.id,
        "trace_id": None if trace is None else f"{trace.trace_id:032x}",
        "span_id": None if trace is None else f"{trace.server_span_id:016x}",
        "route": record.route or None,
        "pool": record.pool or None,
        "upstream": record.upstream or None,
        "provider": record.provider or None,
        "operation": record.operation,
        "model": record.asked.model,
        "response_model": record.seen.model,
        "tool": record.asked.tool,
        "tenant": record.tenant or None,
        "origin": None if record.origin == catalogue.CALLER else record.origin,
        "status": record.status,
        "ending": record.ending.value,
        "error_id": record.error_id,
        "error_type": record.error_type,
        "streamed": record.streamed,
        "duration_s": _round((record.ended if session is None else session.opened) - record.accepted),
        "session_s": None if session is None else _round(record.ended - session.opened),
        "queued_s": _round(record.queued_s) or None,
        "attempts": len(record.attempts),
        "cache": record.cache,
        "cache_level": record.cache_level,
        "limited": record.limited,
        "degraded": record.degraded,
    }
    if record.cache in _TOLD:
        saved = record.saved
        fields["saved_usd"] = None if saved is None or saved.cost is None else saved.cost.usd
    elif record.operation in _OPERATIONS:
        fields |= _describe_answer(record)
    phase = find_phase(record)
    if phase is not None:
        fields |= {"phase": phase[0], "phase_s": _round(phase[1])}
    if len(record.attempts) > 1:
        fields["tried"] = _list_tried(record)
    if repeated:
        fields["repeated"] = repeated
    return {name: value for name, value in fields.items() if value is not None}


def _describe_answer(record: Record) -> dict[str, Value | None]:
    fields: dict[str, Value | None] = {}
    if record.streamed and record.session is None and not record.seen.replayed:
        first_token_s, tokens_per_s = measure_pace(record)
        fields["ttft_s"] = None if first_token_s is None else _round(first_token_s)
        fields["tokens_per_s"] = None if tokens_per_s is None else round(tokens_per_s, 2)
    usage, cost = record.usage, record.cost
    if usage is None or record.usage_source is UsageSource.ABSENT:
        return fields
    fields["input_tokens"], fields["output_tokens"] = usage.input_total, usage.output_total
    fields["tokens_source"] = record.usage_source.value
    if cost is not None:
        fields["cost_usd"], fields["cost_source"] = cost.usd, cost.source
    return fields


def _list_tried(record: Record) -> str:
    """Return whom the call was given to, one after the other, and what came of it."""
    told = []
    for attempt in record.attempts[:_TRIED_MAX]:
        phase = find_attempt_phase(attempt)
        within = "" if phase is None else f" ({phase[0]} {phase[1]:.2f} s)"
        told.append(f"{attempt.upstream} {attempt.outcome}{within}")
    return ", ".join(told)


def _round(seconds: float) -> float:
    return round(seconds, 6)
