"""What an entry of the catalogue says: the kinds of entries."""

from enum import StrEnum
from typing import NamedTuple


class Kind(StrEnum):
    """Kinds of metrics."""

    COUNTER = "counter"
    GAUGE = "gauge"
    HISTOGRAM = "histogram"


class LabelKind(StrEnum):
    """Where a label's values come from, and so what bounds them."""

    CLOSED = "closed"  # the listed values and no others
    KNOWN = "known"  # from configuration or the build
    OPEN = "open"  # from the traffic: at most limits.labels values, the rest are "other"


class Label(NamedTuple):
    """One label: its name, what bounds it, and for a closed one every value."""

    name: str
    kind: LabelKind
    values: tuple[str, ...] = ()
    bound: str = ""  # of an open one: labels of the same bound share their limit

    @classmethod
    def closed(cls, name: str, *values: str) -> "Label":
        """Return a label that has these values and no others."""
        return cls(name, LabelKind.CLOSED, values)

    @classmethod
    def known(cls, name: str) -> "Label":
        """Return a label whose values come from configuration or the build."""
        return cls(name, LabelKind.KNOWN)

    @classmethod
    def open(cls, name: str, bound: str) -> "Label":
        """Return a label whose values come from the traffic."""
        return cls(name, LabelKind.OPEN, bound=bound)


class Metric(NamedTuple):
    """One metric family. `unit` is OpenMetrics' word; buckets are upper edges, without +Inf."""

    name: str
    kind: Kind
    help: str
    unit: str = ""
    labels: tuple[Label, ...] = ()
    buckets: tuple[float, ...] = ()


class Attribute(NamedTuple):
    """One span attribute: its type, and what it means where that is not in the conventions."""

    name: str
    type: str
    help: str = ""


class Span(NamedTuple):
    """One kind of span: how it is named, its OpenTelemetry kind, when it is there, what it carries."""

    id: str
    kind: str
    name: str
    help: str
    attributes: tuple[Attribute, ...]


class Header(NamedTuple):
    """One HTTP header of our own: on requests or on responses, what its value is, and what it means."""

    name: str
    side: str  # "request" or "response"
    value: str
    help: str


class LogEvent(NamedTuple):
    """One kind of log line: at most one within `repeat_s` seconds, which tells how many it stands for."""

    name: str
    level: str
    help: str
    repeat_s: float = 0.0


class LogField(NamedTuple):
    """One field of the line of a call: its type, and what it tells. A field that does not apply is not there."""

    name: str
    type: str
    help: str
