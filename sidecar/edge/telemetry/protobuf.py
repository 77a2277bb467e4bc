"""Spans as OTLP's protobuf, written directly.

The message types are few and stable (opentelemetry-proto 1.x, trace/v1), and building them through
generated classes costs five times the processor time and 5 MB of memory that this process does not
have. The tests decode what is written here with the official classes.
"""

from collections.abc import Mapping, Sequence
from struct import Struct
from typing import Final

from sidecar.catalogue import CONTENT
from sidecar.edge.telemetry.span import Span, Value

_DOUBLE: Final = Struct("<d").pack
_FIXED64: Final = Struct("<Q").pack
_FIXED32: Final = Struct("<I").pack
# Tags: field number << 3 | wire type (0 varint, 1 eight bytes, 2 length-delimited, 5 four bytes).
_ERROR_STATUS: Final = b"\x7a\x02\x18\x02"  # Span.status = {code: ERROR}
_SPAN_ATTRIBUTE: Final = b"\x4a"
_FLAGS: Final = b"\x85\x01"  # Span.flags
_SAMPLED: Final = 0x001
_HAS_IS_REMOTE: Final = 0x100
_IS_REMOTE: Final = 0x200
_INT64_MASK: Final = (1 << 64) - 1

_BYTES: Final = tuple(bytes((number,)) for number in range(0x80))
# Most texts are the same from call to call: keep so many, but never those that are new each time.
_KEPT_MAX: Final = 1024
_UNIQUE: Final = frozenset(("llm_sidecar.request.id", "gen_ai.response.id", *(name for name, _ in CONTENT)))

_kept: dict[tuple[str, str], bytes] = {}
_keys: dict[str, bytes] = {}  # attribute keys come from the catalogue: few


def encode_span(span: Span) -> bytes:
    """Return a Span as an element of ScopeSpans.spans."""
    flags = _SAMPLED | _HAS_IS_REMOTE | (_IS_REMOTE if span.parent_is_remote else 0)
    parts = [
        b"\x0a\x10", span.trace_id.to_bytes(16, "big"), b"\x12\x08", span.span_id.to_bytes(8, "big"),
        _text(b"\x2a", span.name), b"\x30", _varint(span.kind), b"\x39", _FIXED64(span.start_ns), b"\x41", _FIXED64(span.end_ns),
        _FLAGS, _FIXED32(flags),
    ]  # fmt: skip
    if span.tracestate:
        parts.append(_text(b"\x1a", span.tracestate))
    if span.parent_id is not None:
        parts += (b"\x22\x08", span.parent_id.to_bytes(8, "big"))
    for key, value in span.attributes.items():
        parts.append((_kept.get((key, value)) if value.__class__ is str else None) or _attribute(_SPAN_ATTRIBUTE, key, value))
    if span.is_error:
        parts.append(_ERROR_STATUS)
    return _message(b"\x12", b"".join(parts))


def encode_request(resource: Mapping[str, Value], scope: tuple[str, str], schema_url: str, spans: Sequence[bytes]) -> bytes:
    """Return an ExportTraceServiceRequest of encoded spans. `scope`: name and version."""
    described = b"".join(_attribute(b"\x0a", key, value) for key, value in resource.items())
    named = _text(b"\x0a", scope[0]) + _text(b"\x12", scope[1])
    scope_spans = b"".join((_message(b"\x0a", named), *spans, _text(b"\x1a", schema_url)))
    return _message(b"\x0a", _message(b"\x0a", described) + _message(b"\x12", scope_spans))


def read_rejected(response: bytes) -> int:
    """Return ExportTraceServiceResponse.partial_success.rejected_spans, 0 where there is none."""
    for field, value in _fields(response):
        if field == 1 and isinstance(value, bytes):
            return sum(count for inner, count in _fields(value) if inner == 1 and isinstance(count, int))
    return 0


def _fields(data: bytes) -> list[tuple[int, int | bytes]]:
    """Return varint and length-delimited fields; stops at what it does not understand."""
    found: list[tuple[int, int | bytes]] = []
    place = 0
    try:
        while place < len(data):
            tag, place = _read_varint(data, place)
            number, place = _read_varint(data, place)
            if tag & 7 == 2:
                found.append((tag >> 3, data[place : place + number]))
                place += number
            elif tag & 7 == 0:
                found.append((tag >> 3, number))
            else:
                break
    except IndexError:
        pass  # cut short: what was whole counts
    return found


def _read_varint(data: bytes, place: int) -> tuple[int, int]:
    number = shift = 0
    while True:
        byte = data[place]
        place += 1
        number |= (byte & 0x7F) << shift
        if byte < 0x80:
            return number, place
        shift += 7


def _varint(number: int) -> bytes:
    if number < 0x80:
        return _BYTES[number]
    parts = bytearray()
    while number >= 0x80:
        parts.append(number & 0x7F | 0x80)
        number >>= 7
    parts.append(number)
    return bytes(parts)


def _message(tag: bytes, body: bytes) -> bytes:
    return b"%b%b%b" % (tag, _varint(len(body)), body)


def _text(tag: bytes, text: str) -> bytes:
    # A lone surrogate from a JSON escape must not cost a whole batch.
    return _message(tag, text.encode("utf-8", "replace"))


def _attribute(tag: bytes, key: str, value: Value) -> bytes:
    named = _keys.get(key)
    if named is None:
        named = _keys[key] = _text(b"\x0a", key)
    written = _any(value)
    body = b"%b\x12%b%b" % (named, _varint(len(written)), written)
    whole = b"%b%b%b" % (tag, _varint(len(body)), body)
    if value.__class__ is str and tag == _SPAN_ATTRIBUTE and len(_kept) < _KEPT_MAX and key not in _UNIQUE:
        _kept[key, value] = whole
    return whole


def _any(value: Value) -> bytes:
    if isinstance(value, str):
        return _text(b"\x0a", value)
    if isinstance(value, bool):
        return b"\x10\x01" if value else b"\x10\x00"
    if isinstance(value, int):
        return b"\x18" + _varint(value & _INT64_MASK)
    if isinstance(value, float):
        return b"\x21" + _DOUBLE(value)
    return _message(b"\x2a", b"".join(_message(b"\x0a", _any(item)) for item in value))
