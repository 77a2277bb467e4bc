"""A finished span, as exporters take it."""

from collections.abc import Sequence
from enum import IntEnum
from typing import NamedTuple

Value = str | bool | int | float | Sequence[str]
Attributes = dict[str, Value]


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
