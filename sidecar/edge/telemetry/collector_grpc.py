"""Spans to a collector over OTLP/gRPC, through the official exporter.

Imported only where gRPC was asked for: it costs 10 MB. The exporter reads the OTEL_EXPORTER_OTLP_*
variables of certificates, compression and `_INSECURE` itself, and repeats what may pass.
"""

import threading
from collections.abc import Mapping, Sequence

from opentelemetry.exporter.otlp.proto.grpc.trace_exporter import OTLPSpanExporter
from opentelemetry.sdk.resources import Resource
from opentelemetry.sdk.trace import ReadableSpan
from opentelemetry.sdk.trace.export import SpanExportResult
from opentelemetry.sdk.util.instrumentation import InstrumentationScope
from opentelemetry.trace import SpanContext, SpanKind, Status, StatusCode, TraceFlags, TraceState

from sidecar.edge.telemetry.collector import SCHEMA_URL, SCOPE, Outcome
from sidecar.edge.telemetry.otlp import Export
from sidecar.edge.telemetry.span import Span
from sidecar.edge.telemetry.span import SpanKind as Kind

_KINDS = {Kind.SERVER: SpanKind.SERVER, Kind.CLIENT: SpanKind.CLIENT}


class GrpcCollector:
    """A collector that takes OTLP/gRPC."""

    batch_records: int | None = 16  # the exporter encodes a batch in one go: 2 ms of the interpreter lock

    def __init__(self, export: Export, resource: Mapping[str, str], version: str) -> None:
        self._resource = Resource(dict(resource))
        self._scope = InstrumentationScope(SCOPE, version, SCHEMA_URL)
        self._pending: list[ReadableSpan] = []
        self._exporter = OTLPSpanExporter(endpoint=export.endpoint, headers=list(export.headers), timeout=export.timeout_s)

    def add(self, spans: Sequence[Span]) -> None:
        """Make spans of the SDK's model for the next `send`."""
        self._pending.extend(map(self._translate, spans))

    def send(self, stopping: threading.Event) -> Outcome:
        """Export what was added; `stopping` is known to the exporter by its own shutdown."""
        pending, self._pending = self._pending, []
        result = self._exporter.export(pending)
        return Outcome("" if result is SpanExportResult.SUCCESS else "not taken over gRPC")

    def discard(self) -> None:
        """Forget what was added and not sent."""
        self._pending.clear()

    def close(self) -> None:
        """Close the channel."""
        self._exporter.shutdown(timeout_millis=0)

    def _translate(self, span: Span) -> ReadableSpan:
        state = TraceState.from_header([span.tracestate]) if span.tracestate else None
        flags = TraceFlags(TraceFlags.SAMPLED)
        parent = None if span.parent_id is None else SpanContext(span.trace_id, span.parent_id, span.parent_is_remote, flags, state)
        return ReadableSpan(
            span.name, SpanContext(span.trace_id, span.span_id, False, flags, state), parent, self._resource, span.attributes,
            kind=_KINDS[span.kind], status=Status(StatusCode.ERROR if span.is_error else StatusCode.UNSET),
            start_time=span.start_ns, end_time=span.end_ns, instrumentation_scope=self._scope,
        )  # fmt: skip
