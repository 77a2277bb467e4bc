"""One record becomes spans: what came in, what it meant, and each attempt.

Layout: an HTTP SERVER span, under it the logical GenAI CLIENT span where the form is understood,
under that an HTTP CLIENT span per attempt (OpenTelemetry HTTP conventions, GenAI conventions
v1.41). A record holds no query string, and content only where that is captured: it is shown as composed.
"""

from collections.abc import Callable, Mapping
from typing import Final, NamedTuple
from urllib.parse import urlsplit

from sidecar import catalogue
from sidecar.catalogue import CONTENT
from sidecar.config import Upstream
from sidecar.core.identify.renaming import rename_in_path
from sidecar.core.identify.tracecontext import attempt_span_id
from sidecar.core.observe.contents.contract import Content
from sidecar.edge.telemetry.attempt_attributes import describe_attempt, has_failed
from sidecar.edge.telemetry.exchange_attributes import (
    describe_genai,
    describe_server,
    describe_tool,
    is_failure,
    is_service_error,
    show_method,
)
from sidecar.edge.telemetry.span import Span, SpanKind
from sidecar.exchange import Attempt, Record, Said, TraceContext

_MAPS_MAX: Final = 8  # of settings that calls in progress may have begun with
_OPERATIONS: Final = frozenset(catalogue.OPERATION_DURATION.labels[0].values)


class _Target(NamedTuple):
    """Where an upstream is, for spans."""

    address: str
    port: int
    base: str


class _Map(NamedTuple):
    """What names stand for, of calls that came in from a moment on."""

    from_ns: int
    targets: Mapping[str, _Target]  # by upstream
    prefixes: Mapping[str, str]  # by route


_NO_MAP: Final = _Map(0, {}, {})


class SpanBuilder:
    """Builds the spans of records."""

    def __init__(
        self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str], compose: Callable[[Said], Content] | None = None
    ) -> None:
        """`prefixes`: each route's prefix by its name. `compose`: makes content presentable, where it goes on spans."""
        self._compose = compose
        self._maps: tuple[_Map, ...] = (_read_map(0, upstreams, prefixes),)

    def adopt(self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str], from_ns: int) -> None:
        """Tell calls that came in from `from_ns` (Unix time) on by these. May be called from another thread than builds."""
        self._maps = (*self._maps[-_MAPS_MAX + 1 :], _read_map(from_ns, upstreams, prefixes))

    def build(self, record: Record) -> list[Span]:
        """Return the spans of a record with a trace, parents first."""
        trace = record.trace
        if trace is None:
            return []
        start_ns, end_ns = record.accepted_ns, _at_ns(record, record.ended)
        spans = [
            Span(
                trace.trace_id, trace.server_span_id, trace.remote_span_id, trace.remote_span_id is not None, trace.tracestate,
                f"{show_method(record.method)} {record.template}".strip(), SpanKind.SERVER, start_ns, end_ns,
                describe_server(record), is_service_error(record),
            )
        ]  # fmt: skip
        parent_id = trace.server_span_id
        if is_genai(record):
            parent_id = trace.client_span_id
            model = record.asked.model
            described = describe_genai(record)
            if self._compose is not None and record.said is not None:
                said = zip(CONTENT, self._compose(record.said), strict=False)
                described.update((name, text) for (name, _), text in said if isinstance(text, str))
            spans.append(
                Span(
                    trace.trace_id, parent_id, trace.server_span_id, False, trace.tracestate,
                    f"{record.operation} {model}" if model else record.operation, SpanKind.CLIENT, start_ns, end_ns,
                    described, is_failure(record),
                )
            )  # fmt: skip
        elif is_tool(record):
            parent_id = trace.client_span_id
            spans.append(
                Span(
                    trace.trace_id, parent_id, trace.server_span_id, False, trace.tracestate, f"{record.operation} {record.asked.tool}",
                    SpanKind.INTERNAL, start_ns, end_ns, describe_tool(record), is_failure(record),
                )
            )  # fmt: skip
        for index, attempt in enumerate(record.attempts):
            spans.append(self._build_attempt(record, trace, parent_id, index, attempt))
        return spans

    def _build_attempt(self, record: Record, trace: TraceContext, parent_id: int, index: int, attempt: Attempt) -> Span:
        known = next((one for one in reversed(self._maps) if record.accepted_ns >= one.from_ns), _NO_MAP)
        target = known.targets.get(attempt.upstream) or _Target(record.server_address, record.server_port, "")
        attributes = describe_attempt(record, attempt)
        attributes["server.address"], attributes["server.port"] = target.address, target.port
        if target.base:
            path = record.path.removeprefix(known.prefixes.get(record.route, "/")[:-1])
            attributes["url.full"] = target.base + (path if attempt.model is None else rename_in_path(record.dialect, path, attempt.model))
        if index:
            attributes["http.request.resend_count"] = index
        return Span(
            trace.trace_id, attempt_span_id(trace, index), parent_id, False, trace.tracestate, show_method(record.method), SpanKind.CLIENT,
            _at_ns(record, attempt.started), _at_ns(record, attempt.ended), attributes, has_failed(attempt),
        )  # fmt: skip


def is_genai(record: Record) -> bool:
    """Return whether a record has a GenAI span: its form is understood, and it was answered by a chosen upstream or by a kept answer."""
    return record.operation in _OPERATIONS and (record.upstream != "" or record.cache in catalogue.CACHE_TOLD)


def is_tool(record: Record) -> bool:
    """Return whether a record has the span of a tool's execution: one was called, and an upstream was chosen.

    A kept result is no execution.
    """
    return record.operation == catalogue.EXECUTE_TOOL and record.upstream != "" and record.cache not in catalogue.CACHE_TOLD


def count_spans(record: Record) -> int:
    """Return how many spans a record becomes."""
    return 1 + (is_genai(record) or is_tool(record)) + len(record.attempts)


def _at_ns(record: Record, moment: float) -> int:
    """Return a monotonic moment as wall time, by the one reading of both clocks at accept."""
    return record.accepted_ns + round((moment - record.accepted) * 1e9)


def _read_map(from_ns: int, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str]) -> _Map:
    return _Map(from_ns, {name: _locate(upstream.url) for name, upstream in upstreams.items()}, dict(prefixes))


def _locate(url: str) -> _Target:
    parts = urlsplit(url)
    return _Target(parts.hostname or "", parts.port or (443 if parts.scheme == "https" else 80), url.rstrip("/"))
