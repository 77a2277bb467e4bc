"""OTLP over gRPC, against an in-process server."""

import threading
from collections.abc import Iterator
from concurrent.futures import ThreadPoolExecutor

import grpc
import pytest
from msgspec.structs import replace
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTraceServiceRequest, ExportTraceServiceResponse
from opentelemetry.proto.collector.trace.v1.trace_service_pb2_grpc import TraceServiceServicer, add_TraceServiceServicer_to_server

from sidecar.config import BUILT_IN_UPSTREAMS, Tracing
from sidecar.edge.telemetry.collector import HttpCollector, Outcome
from sidecar.edge.telemetry.collector_grpc import GrpcCollector
from sidecar.edge.telemetry.otlp import Export, read_export
from sidecar.edge.telemetry.spans import SpanBuilder
from tests.edge.telemetry.receiver import receive
from tests.edge.telemetry.records import TRACE, make_record, make_streamed

BUILDER = SpanBuilder(BUILT_IN_UPSTREAMS, {"openai": "/openai/"})


class Servicer(TraceServiceServicer):
    """Keeps what comes in, or refuses it."""

    def __init__(self) -> None:
        self.requests: list[ExportTraceServiceRequest] = []
        self.metadata: dict[str, str] = {}
        self.refusal: grpc.StatusCode | None = None

    def Export(self, request: ExportTraceServiceRequest, context: grpc.ServicerContext) -> ExportTraceServiceResponse:
        """Take a batch."""
        if self.refusal is not None:
            context.abort(self.refusal, "no")
        self.requests.append(request)
        self.metadata = {item.key: item.value for item in context.invocation_metadata()}
        return ExportTraceServiceResponse()


@pytest.fixture
def servicer() -> Iterator[tuple[Servicer, str]]:
    """Run a gRPC server on a free port."""
    servicer = Servicer()
    server = grpc.server(ThreadPoolExecutor(2))
    add_TraceServiceServicer_to_server(servicer, server)
    port = server.add_insecure_port("127.0.0.1:0")
    server.start()
    try:
        yield servicer, f"http://127.0.0.1:{port}"
    finally:
        server.stop(None).wait()


def read(endpoint: str, protocol: str, **environ: str) -> Export:
    """Return the export of this endpoint."""
    export = read_export(Tracing(endpoint=endpoint, protocol=protocol), environ)
    assert export is not None
    return export


def test_both_protocols_carry_the_same(servicer: tuple[Servicer, str]) -> None:
    """Spans over gRPC, encoded by the official exporter, equal those over HTTP, encoded by us."""
    running, endpoint = servicer
    spans = [*BUILDER.build(make_streamed()), *BUILDER.build(make_record(trace=replace(TRACE, remote_span_id=None, tracestate="")))]
    over_grpc = GrpcCollector(read(endpoint, "grpc"), {"service.name": "s"}, "1.0")
    over_grpc.add(spans)
    assert over_grpc.send(threading.Event()) == Outcome("")
    over_grpc.close()
    with receive() as receiver:
        over_http = HttpCollector(read(receiver.url, "http/protobuf"), {"service.name": "s"}, "1.0", lambda: 0.0)
        over_http.add(spans)
        assert over_http.send(threading.Event()) == Outcome("")
        over_http.close()
        official, ours = running.requests[0], receiver.requests[0]
    for request in (official, ours):
        for span in request.resource_spans[0].scope_spans[0].spans:
            span.flags &= ~0xFF  # the official exporter leaves out the sampled flag, which OTLP has there
            span.status.SetInParent()  # and writes an empty status, which says as much as none
    assert ours.resource_spans[0].resource == official.resource_spans[0].resource
    assert list(ours.resource_spans[0].scope_spans[0].spans) == list(official.resource_spans[0].scope_spans[0].spans)
    assert ours.resource_spans[0].scope_spans[0].scope == official.resource_spans[0].scope_spans[0].scope


def test_headers_are_sent_as_metadata(servicer: tuple[Servicer, str]) -> None:
    """Configured headers arrive."""
    running, endpoint = servicer
    collector = GrpcCollector(read(endpoint, "grpc", OTEL_EXPORTER_OTLP_HEADERS="x-key=abc"), {}, "1.0")
    collector.add(BUILDER.build(make_record()))
    assert collector.send(threading.Event()) == Outcome("")
    collector.close()
    assert running.metadata["x-key"] == "abc"


def test_a_refusal_loses_the_batch(servicer: tuple[Servicer, str]) -> None:
    """What the collector does not take is a failure, and not sent with the next batch."""
    running, endpoint = servicer
    running.refusal = grpc.StatusCode.INVALID_ARGUMENT
    collector = GrpcCollector(read(endpoint, "grpc"), {}, "1.0")
    collector.add(BUILDER.build(make_record()))
    assert collector.send(threading.Event()).failure
    running.refusal = None
    collector.add(BUILDER.build(make_record(operation="http")))
    assert collector.send(threading.Event()) == Outcome("")
    collector.close()
    assert len(running.requests[0].resource_spans[0].scope_spans[0].spans) == 2


def test_what_was_discarded_is_not_sent(servicer: tuple[Servicer, str]) -> None:
    """Spans of a batch given up do not appear in the next."""
    running, endpoint = servicer
    collector = GrpcCollector(read(endpoint, "grpc"), {}, "1.0")
    collector.add(BUILDER.build(make_record()))
    collector.discard()
    collector.add(BUILDER.build(make_record())[:1])
    assert collector.send(threading.Event()) == Outcome("")
    collector.close()
    assert len(running.requests[0].resource_spans[0].scope_spans[0].spans) == 1
