"""One record becomes spans: what came in, what it meant, and each attempt.

Layout: an HTTP SERVER span, under it the logical GenAI CLIENT span where the form is understood,
under that an HTTP CLIENT span per attempt (OpenTelemetry HTTP conventions, GenAI conventions
v1.41). A record holds no query string, and content only where that is captured: it is shown as composed.
"""

from collections.abc import Callable, Mapping, Sequence
from enum import IntEnum
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar import catalogue
from sidecar.catalogue import CONTENT
from sidecar.config import Upstream
from sidecar.core.identify.tracecontext import attempt_span_id
from sidecar.core.observe.contents.contract import Content
from sidecar.exchange import SERVICE_ERRORS, Attempt, Ending, Record, Said, TraceContext, UsageSource

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]

_ESTIMATED: Final = UsageSource.ESTIMATED
_METHODS: Final = frozenset(catalogue.METHODS)
_OPERATIONS: Final = frozenset(catalogue.OPERATION_DURATION.labels[0].values)
_SERVICE_ERRORS: Final = frozenset(map(str, SERVICE_ERRORS))
_NO_FAILURE: Final = frozenset((str(Ending.COMPLETED), str(Ending.CLIENT_GONE)))
# Endings after which a finish reason can no longer come; operations that have one.
_REASONED: Final = frozenset(("chat", "text_completion", "generate_content"))
# openai.api.type, for providers of OpenAI's own interfaces (GenAI conventions, OpenAI).
_API_TYPES: Final = {"openai_chat": "chat_completions", "openai_responses": "responses", "openai_responses_fetch": "responses"}
_OPENAI: Final = frozenset(("openai", "azure.ai.openai"))


class SpanKind(IntEnum):
    """Kinds of spans, with OTLP's numbers."""

    INTERNAL = 1
    SERVER = 2
    CLIENT = 3


class Span(NamedTuple):
    """One finished span. Times are nanoseconds since the epoch."""

    trace_id: int
    span_id: int
    parent_id: int | None
    parent_is_remote: bool
    tracestate: str
    name: str
    kind: SpanKind
    start_ns: int
    end_ns: int
    attributes: Attributes
    is_error: bool


class _Target(NamedTuple):
    """Where an upstream is, for spans."""

    address: str
    port: int
    base: str


class SpanBuilder:
    """Builds the spans of records."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str], compose: Callable[[Said], Content] | None = None
    ) -> None:
        """`prefixes`: each route's prefix by its name. `compose`: makes content presentable, where it goes on spans."""
        self._compose = compose
        self._targets = {name: _locate(upstream.url) for name, upstream in upstreams.items()}
        self._prefixes = dict(prefixes)

    def build(self, record: Record) -> list[Span]:
        """Return the spans of a record with a trace, parents first."""
        trace = record.trace
        if trace is None:
            return []
        start_ns, end_ns = record.accepted_ns, _at_ns(record, record.ended)
        spans = [
            Span(
                trace.trace_id, trace.server_span_id, trace.remote_span_id, trace.remote_span_id is not None, trace.tracestate,
                f"{_method(record.method)} {record.template}".strip(), SpanKind.SERVER, start_ns, end_ns,
                _describe_server(record), str(record.ending) in _SERVICE_ERRORS,
            )
        ]  # fmt: skip
        parent_id = trace.server_span_id
        if is_genai(record):
            parent_id = trace.client_span_id
            model = record.asked.model
            described = _describe_genai(record)
            if self._compose is not None and record.said is not None:
                said = zip(CONTENT, self._compose(record.said), strict=False)
                described.update((name, text) for (name, _), text in said if isinstance(text, str))
            spans.append(
                Span(
                    trace.trace_id, parent_id, trace.server_span_id, False, trace.tracestate,
                    f"{record.operation} {model}" if model else record.operation, SpanKind.CLIENT, start_ns, end_ns,
                    described, _is_failure(record),
                )
            )  # fmt: skip
        elif is_tool(record):
            parent_id = trace.client_span_id
            spans.append(
                Span(
                    trace.trace_id, parent_id, trace.server_span_id, False, trace.tracestate, f"{record.operation} {record.asked.tool}",
                    SpanKind.INTERNAL, start_ns, end_ns, _describe_tool(record), _is_failure(record),
                )
            )  # fmt: skip
        for index, attempt in enumerate(record.attempts):
            spans.append(self._build_attempt(record, trace, parent_id, index, attempt))
        return spans

    def _build_attempt(self, record: Record, trace: TraceContext, parent_id: int, index: int, attempt: Attempt) -> Span:
        method = _method(record.method)
        target = self._targets.get(attempt.upstream) or _Target(record.server_address, record.server_port, "")
        rest = record.path.removeprefix(self._prefixes.get(record.route, "/")[:-1])
        attributes: Attributes = {
            "http.request.method": method,
            "server.address": target.address,
            "server.port": target.port,
            "llm_sidecar.upstream": attempt.upstream,
            "llm_sidecar.attempt.outcome": attempt.outcome,
            "llm_sidecar.connection.reused": attempt.reused,
        }
        if target.base:
            attributes["url.full"] = target.base + rest
        if method != record.method:
            attributes["http.request.method_original"] = record.method
        if attempt.status is not None:
            attributes["http.response.status_code"] = attempt.status
        if attempt.connected is not None:
            attributes["llm_sidecar.attempt.time_to_connection"] = attempt.connected - attempt.started
        if attempt.head is not None:
            attributes["llm_sidecar.attempt.time_to_head"] = attempt.head - attempt.started
        if index:
            attributes["http.request.resend_count"] = index
        is_error = attempt.outcome not in _NO_FAILURE
        if is_error:
            attributes["error.type"] = str(attempt.status) if attempt.status is not None and attempt.status >= 400 else attempt.outcome
        return Span(
            trace.trace_id, attempt_span_id(trace, index), parent_id, False, trace.tracestate, method, SpanKind.CLIENT,
            _at_ns(record, attempt.started), _at_ns(record, attempt.ended), attributes, is_error,
        )  # fmt: skip


def is_genai(record: Record) -> bool:
    """Return whether a record has a GenAI span: its form is understood and an upstream was chosen."""
    return record.operation in _OPERATIONS and record.upstream != ""


def is_tool(record: Record) -> bool:
    """Return whether a record has the span of a tool's execution: one was called, and an upstream was chosen."""
    return record.operation == catalogue.EXECUTE_TOOL and record.upstream != ""


def count_spans(record: Record) -> int:
    """Return how many spans a record becomes."""
    return 1 + (is_genai(record) or is_tool(record)) + len(record.attempts)


def _describe_server(record: Record) -> Attributes:
    method = _method(record.method)
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
    if str(record.ending) in _SERVICE_ERRORS:
        attributes["error.type"] = _error_type(record)
    session = record.session
    if session is not None:
        attributes["llm_sidecar.websocket.messages.to_upstream"] = session.to_upstream
        attributes["llm_sidecar.websocket.messages.to_client"] = session.to_client
        if session.close_code is not None:
            attributes["llm_sidecar.websocket.close_code"] = session.close_code
    if record.overhead_request_s is not None:
        attributes["llm_sidecar.overhead.request"] = record.overhead_request_s
    if record.overhead_response_s is not None:
        attributes["llm_sidecar.overhead.response"] = record.overhead_response_s
    return attributes


def _describe_genai(record: Record) -> Attributes:
    asked, seen = record.asked, record.seen
    attributes: Attributes = {
        "gen_ai.operation.name": record.operation,
        "gen_ai.provider.name": record.provider,
        "server.address": record.server_address,
        "server.port": record.server_port,
        "llm_sidecar.usage.source": str(record.usage_source),
    }
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
    if record.streamed and seen.first_chunk is not None:
        attributes["gen_ai.response.time_to_first_chunk"] = seen.first_chunk - record.accepted
    reasons = _finish_reasons(record)
    if reasons:
        attributes["gen_ai.response.finish_reasons"] = reasons
    if _is_failure(record):
        attributes["error.type"] = _error_type(record)
    _add_usage(record, attributes)
    return attributes


def _describe_tool(record: Record) -> Attributes:
    asked = record.asked
    attributes: Attributes = {"gen_ai.operation.name": record.operation, "gen_ai.tool.name": asked.tool or ""}
    if asked.mcp_method is not None:
        attributes["mcp.method.name"] = asked.mcp_method
    if _is_failure(record):
        attributes["error.type"] = _error_type(record)
    return attributes


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


def _is_failure(record: Record) -> bool:
    return str(record.ending) not in _NO_FAILURE


def _error_type(record: Record) -> str:
    return record.error_type or record.error_id or str(record.ending)


def _method(method: str) -> str:
    return method if method in _METHODS else "_OTHER"


def _at_ns(record: Record, moment: float) -> int:
    """Return a monotonic moment as wall time, by the one reading of both clocks at accept."""
    return record.accepted_ns + round((moment - record.accepted) * 1e9)


def _locate(url: str) -> _Target:
    parts = urlsplit(url)
    return _Target(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), url.rstrip("/"))
