"""What the spans of a whole exchange carry: the server's, the logical GenAI call's, a tool's execution's."""

from typing import Final

from sidecar import catalogue
from sidecar.edge.telemetry.decision_attributes import describe_decision
from sidecar.edge.telemetry.span import Attributes
from sidecar.exchange import SERVICE_ERRORS, Ending, Record, UsageSource

_NO_FAILURE: Final = frozenset((str(Ending.COMPLETED), str(Ending.CLIENT_GONE)))
_ESTIMATED: Final = UsageSource.ESTIMATED
_METHODS: Final = frozenset(catalogue.METHODS)
_SERVICE_ERRORS: Final = frozenset(map(str, SERVICE_ERRORS))
# Endings after which a finish reason can no longer come; operations that have one.
_REASONED: Final = frozenset(("chat", "text_completion", "generate_content"))
# openai.api.type, for providers of OpenAI's own interfaces (GenAI conventions, OpenAI).
_API_TYPES: Final = {"openai_chat": "chat_completions", "openai_responses": "responses", "openai_responses_fetch": "responses"}
_OPENAI: Final = frozenset(("openai", "azure.ai.openai"))


def describe_server(record: Record) -> Attributes:
    """Return what the span of a call that came in carries."""
    method = show_method(record.method)
    attributes: Attributes = {
        "http.request.method": method,
        "url.scheme": "http",
        "url.path": record.path,
        "http.request.body.size": record.request_bytes,
        "http.response.body.size": record.response_bytes,
        "llm_sidecar.request.id": record.id,
        "llm_sidecar.ending": str(record.ending),
    }
    if method != record.method:
        attributes["http.request.method_original"] = record.method
    if record.route:
        attributes["llm_sidecar.route"] = record.route
    if record.template:
        attributes["http.route"] = record.template
    if record.asked.mcp_method is not None:
        attributes["mcp.method.name"] = record.asked.mcp_method
    if record.status is not None:
        attributes["http.response.status_code"] = record.status
    if record.error_id is not None:
        attributes["llm_sidecar.error.id"] = record.error_id
    if is_service_error(record):
        attributes["error.type"] = name_failure(record)
    session = record.session
    if session is not None:
        attributes["llm_sidecar.websocket.messages.to_upstream"] = session.to_upstream
        attributes["llm_sidecar.websocket.messages.to_client"] = session.to_client
        if session.close_code is not None:
            attributes["llm_sidecar.websocket.close_code"] = session.close_code
    _add_way(record, attributes)
    if record.shed is not None:
        attributes["llm_sidecar.queue.shed"] = record.shed
    if record.decision is not None:
        describe_decision(record.decision, attributes)
    if record.overhead_request_s is not None:
        attributes["llm_sidecar.overhead.request"] = record.overhead_request_s
    if record.overhead_response_s is not None:
        attributes["llm_sidecar.overhead.response"] = record.overhead_response_s
    return attributes


def describe_genai(record: Record) -> Attributes:
    """Return what the span of a call in an understood form carries."""
    asked, seen = record.asked, record.seen
    attributes: Attributes = {
        "gen_ai.operation.name": record.operation,
        "gen_ai.provider.name": record.provider,
        "llm_sidecar.usage.source": str(record.usage_source),
    }
    if record.server_address:  # of a kept answer there may be none any more
        attributes["server.address"], attributes["server.port"] = record.server_address, record.server_port
    attributes.update(asked.params)
    if asked.model is not None:
        attributes["gen_ai.request.model"] = asked.model
    if asked.stream:
        attributes["gen_ai.request.stream"] = True
    if seen.model is not None:
        attributes["gen_ai.response.model"] = seen.model
    if seen.response_id is not None:
        attributes["gen_ai.response.id"] = seen.response_id
    if record.provider in _OPENAI and record.dialect in _API_TYPES:
        attributes["openai.api.type"] = _API_TYPES[record.dialect]
    if seen.service_tier is not None:
        is_openai = record.dialect.startswith("openai")
        attributes["openai.response.service_tier" if is_openai else "llm_sidecar.response.service_tier"] = seen.service_tier
    if seen.replayed:
        attributes["llm_sidecar.response.replayed"] = True
    if seen.served_by is not None:
        attributes["llm_sidecar.response.served_by"] = seen.served_by
    if record.streamed and seen.first_chunk is not None and record.cache not in catalogue.CACHE_TOLD:  # those are another call's times
        attributes["gen_ai.response.time_to_first_chunk"] = seen.first_chunk - record.accepted
    reasons = _finish_reasons(record)
    if reasons:
        attributes["gen_ai.response.finish_reasons"] = reasons
    if is_failure(record):
        attributes["error.type"] = name_failure(record)
    _add_way(record, attributes)
    _add_usage(record, attributes)
    return attributes


def describe_tool(record: Record) -> Attributes:
    """Return what the span of a tool's execution carries."""
    asked = record.asked
    attributes: Attributes = {"gen_ai.operation.name": record.operation, "gen_ai.tool.name": asked.tool or ""}
    if asked.mcp_method is not None:
        attributes["mcp.method.name"] = asked.mcp_method
    if is_failure(record):
        attributes["error.type"] = name_failure(record)
    return attributes


def _add_way(record: Record, attributes: Attributes) -> None:
    """Tell among whom there was a choice, and what the call came through."""
    if record.pool:
        attributes["llm_sidecar.pool"] = record.pool
    if record.degraded is not None:
        attributes["llm_sidecar.degraded"] = record.degraded
    if record.queued_s:
        attributes["llm_sidecar.queue.wait"] = record.queued_s
    if record.tenant:
        attributes["llm_sidecar.tenant"] = record.tenant
    if record.limited is not None:
        attributes["llm_sidecar.limited"] = record.limited
    if record.origin != catalogue.CALLER:
        attributes["llm_sidecar.origin"] = record.origin
    if record.cache is not None:
        _add_reuse(record, record.cache, attributes)


def _add_reuse(record: Record, status: str, attributes: Attributes) -> None:
    """Tell whether the answer was another call's, and what that saved."""
    attributes["llm_sidecar.cache"] = status
    if record.cache_level is not None:
        attributes["llm_sidecar.cache.level"] = record.cache_level
    if record.saved is not None and record.saved.cost is not None:
        attributes["llm_sidecar.saved_usd"] = record.saved.cost.usd


def _add_usage(record: Record, attributes: Attributes) -> None:
    usage = record.usage
    if usage is not None and record.usage_source is _ESTIMATED:
        attributes["llm_sidecar.usage.estimated_input_tokens"] = usage.input_total
        attributes["llm_sidecar.usage.estimated_output_tokens"] = usage.output_total
    elif usage is not None:
        attributes["gen_ai.usage.input_tokens"] = usage.input_total
        attributes["gen_ai.usage.output_tokens"] = usage.output_total
        if usage.cache_read:
            attributes["gen_ai.usage.cache_read.input_tokens"] = usage.cache_read
        if usage.cache_write:
            attributes["gen_ai.usage.cache_write.input_tokens"] = usage.cache_write
        if usage.reasoning:
            attributes["gen_ai.usage.reasoning.output_tokens"] = usage.reasoning
    if record.cost is not None:
        attributes["llm_sidecar.cost_usd"] = record.cost.usd
        attributes["llm_sidecar.cost.source"] = record.cost.source


def _finish_reasons(record: Record) -> list[str]:
    """Return one reason per choice, `error` where an expected one never arrived."""
    reasons = list(record.seen.finish_reasons)
    if record.operation not in _REASONED or record.ending is Ending.COMPLETED or record.session is not None:
        return reasons
    asked = record.asked.params.get("gen_ai.request.choice.count", 1)
    choices = min(asked, 128) if isinstance(asked, int) else 1
    return reasons + ["error"] * (choices - len(reasons))


def is_failure(record: Record) -> bool:
    """Return whether the calling side did not get what it asked for, whoever is to blame."""
    return str(record.ending) not in _NO_FAILURE


def is_service_error(record: Record) -> bool:
    """Return whether a call failed by the service's fault."""
    return str(record.ending) in _SERVICE_ERRORS


def name_failure(record: Record) -> str:
    """Return `error.type`."""
    return record.error_type or record.error_id or str(record.ending)


def show_method(method: str) -> str:
    """Return a method of a known name, `_OTHER` for any other."""
    return method if method in _METHODS else "_OTHER"
