"""OTLP as we write it, read by the official classes."""

import gc

from hypothesis import given
from hypothesis import strategies as st
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import (
    ExportTracePartialSuccess,
    ExportTraceServiceRequest,
    ExportTraceServiceResponse,
)
from opentelemetry.proto.trace.v1.trace_pb2 import Span as Decoded
from opentelemetry.proto.trace.v1.trace_pb2 import Status

from sidecar.catalogue import CONTENT
from sidecar.edge.telemetry.protobuf import encode_request, encode_span, read_rejected
from sidecar.edge.telemetry.span import Attributes, Span, SpanKind, Value

texts = st.text(st.characters(exclude_categories=["Cs"]), max_size=200)
values = st.one_of(
    texts, st.booleans(), st.integers(-(2**63), 2**63 - 1), st.floats(allow_nan=False), st.lists(texts, max_size=4)
)  # fmt: skip
ids = st.integers(1, 2**64 - 1)
times = st.integers(0, 2**64 - 1)
spans = st.builds(
    Span, st.integers(1, 2**128 - 1), ids, st.none() | ids, st.booleans(), st.text("ab=,", max_size=20), texts,
    st.sampled_from(SpanKind), times, times, st.dictionaries(texts, values, max_size=6), st.booleans(),
)  # fmt: skip


def decode(*encoded: bytes) -> ExportTraceServiceRequest:
    """Return what the official classes make of a request of these spans."""
    return ExportTraceServiceRequest.FromString(encode_request({"service.name": "s"}, ("scope", "1.0"), "schema", encoded))


def read_value(value: object) -> Value:
    """Return an AnyValue as the Python value it stands for."""
    kind = value.WhichOneof("value")  # type: ignore[attr-defined]
    found = getattr(value, kind)
    return [read_value(item) for item in found.values] if kind == "array_value" else found  # type: ignore[misc,no-any-return]


def attributes_of(decoded: Decoded) -> Attributes:
    """Return a decoded span's attributes."""
    return {item.key: read_value(item.value) for item in decoded.attributes}


@given(spans)
def test_a_span_comes_back_as_it_was(span: Span) -> None:
    """Every field and attribute of any span survives encoding, with its type."""
    decoded = decode(encode_span(span)).resource_spans[0].scope_spans[0].spans[0]
    assert int.from_bytes(decoded.trace_id, "big") == span.trace_id
    assert int.from_bytes(decoded.span_id, "big") == span.span_id
    assert decoded.parent_span_id == (b"" if span.parent_id is None else span.parent_id.to_bytes(8, "big"))
    assert (decoded.trace_state, decoded.name, decoded.kind) == (span.tracestate, span.name, span.kind)
    assert (decoded.start_time_unix_nano, decoded.end_time_unix_nano) == (span.start_ns, span.end_ns)
    assert decoded.status.code == (Status.STATUS_CODE_ERROR if span.is_error else Status.STATUS_CODE_UNSET)
    assert decoded.flags == 0x101 + 0x200 * span.parent_is_remote
    assert attributes_of(decoded) == span.attributes
    assert [type(value) for value in attributes_of(decoded).values()] == [type(value) for value in span.attributes.values()]


def test_a_repeated_text_is_encoded_alike() -> None:
    """What is kept from one span to the next belongs to that key and that value."""
    one = Span(1, 2, None, False, "", "n", SpanKind.SERVER, 0, 0, {"a": "x", "b": "x"}, False)
    other = one._replace(attributes={"a": "y", "b": "x"})
    decoded = decode(*map(encode_span, (one, other, one))).resource_spans[0].scope_spans[0].spans
    assert [attributes_of(span) for span in decoded] == [one.attributes, other.attributes, one.attributes]


def test_a_lone_surrogate_costs_a_character_not_a_batch() -> None:
    """What is not Unicode is replaced."""
    span = Span(1, 2, None, False, "", "n\ud800", SpanKind.SERVER, 0, 0, {"a": "b\udfff"}, False)
    decoded = decode(encode_span(span)).resource_spans[0].scope_spans[0].spans[0]
    assert (decoded.name, attributes_of(decoded)) == ("n?", {"a": "b?"})


def test_a_request_names_resource_scope_and_schema() -> None:
    """Around the spans stand who sent them and by which conventions."""
    request = decode()
    assert request.resource_spans[0].resource.attributes[0].value.string_value == "s"
    scoped = request.resource_spans[0].scope_spans[0]
    assert (scoped.scope.name, scoped.scope.version, scoped.schema_url) == ("scope", "1.0", "schema")


@given(st.integers(0, 2**40), texts)
def test_rejections_are_read(count: int, message: str) -> None:
    """A partial success says how many spans were turned down."""
    response = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=count, error_message=message))
    assert read_rejected(response.SerializeToString()) == count


@given(st.binary(max_size=60))
def test_any_answer_can_be_read(answer: bytes) -> None:
    """A collector that answers garbage rejects nothing, and never raises."""
    assert read_rejected(answer) >= 0


def test_content_is_not_remembered() -> None:
    """Encoded texts are kept for the next span; what was said never is."""
    for name, _ in (*CONTENT, ("http.route", "")):
        encode_span(Span(1, 1, None, False, "", "s", SpanKind.CLIENT, 1, 2, {name: f"canary of {name}"}, False))
    kept = [held for held in gc.get_objects() if isinstance(held, dict) and ("http.route", "canary of http.route") in held]
    assert len(kept) == 1
    assert [key for key in kept[0] if key[1].startswith("canary of gen_ai")] == []
