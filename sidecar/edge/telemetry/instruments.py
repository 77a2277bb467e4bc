"""Counters, gauges and histograms for one event loop: plain numbers, no locks.

Every child is written by one thread only: the loop's, or for exported spans the exporter's. The
scrape reads them between two steps of the loop, so a histogram's sum and counts always agree.
"""

from bisect import bisect_left
from collections.abc import Callable, Sequence
from typing import Generic, NamedTuple, TypeVar

from sidecar import catalogue
from sidecar.catalogue import LabelKind, Metric
from sidecar.edge.telemetry.labels import render


class TracePoint(NamedTuple):
    """Where an exemplar leads: a span of a kept trace, and when (Unix time, seconds)."""

    trace_id: int
    span_id: int
    at_s: float


Exemplar = tuple[float, TracePoint]  # one observed value and the trace it belongs to


class Counter:
    """A number that only grows."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: str) -> None:
        self.labels = labels
        self.value = 0.0

    def add(self, amount: float = 1) -> None:
        """Grow by `amount`, which is not negative."""
        self.value += amount


class Gauge:
    """A number that comes and goes."""

    __slots__ = ("labels", "value")

    def __init__(self, labels: str) -> None:
        self.labels = labels
        self.value = 0.0

    def set(self, value: float) -> None:
        """Become `value`."""
        self.value = value

    def inc(self) -> None:
        """Grow by one."""
        self.value += 1

    def dec(self) -> None:
        """Shrink by one."""
        self.value -= 1


class Histogram:
    """Counts per bucket, the last one above all edges, and the sum of what was observed."""

    __slots__ = ("counts", "edges", "exemplars", "labels", "sum")

    def __init__(self, labels: str, edges: tuple[float, ...]) -> None:
        self.labels = labels
        self.edges = edges
        self.counts = [0] * (len(edges) + 1)
        self.sum = 0.0
        self.exemplars: list[Exemplar | None] | None = None

    def observe(self, value: float, point: TracePoint | None = None) -> None:
        """Count `value` in the first bucket whose edge it does not exceed; the last exemplar wins."""
        index = bisect_left(self.edges, value)
        self.counts[index] += 1
        self.sum += value
        if point is not None:
            if self.exemplars is None:
                self.exemplars = [None] * len(self.counts)
            self.exemplars[index] = (value, point)

    def merge(self, counts: Sequence[int], total: float) -> None:
        """Take over what was already counted per bucket of the same edges, and its sum."""
        mine = self.counts
        for index, count in enumerate(counts):
            if count:
                mine[index] += count
        self.sum += total


Child = TypeVar("Child", bound=Counter | Gauge | Histogram)


class Family(Generic[Child]):
    """All children of one metric, at most `series_max` of them.

    Beyond that every open label of a new child is "other", so what cannot have its own series is
    still in the sums.
    """

    def __init__(self, metric: Metric, make: Callable[[str], Child], series_max: int) -> None:
        self.metric = metric
        self.collapsed = 0  # how often a new combination of values had no room
        self._make = make
        self._names = tuple(label.name for label in metric.labels)
        self._open = tuple(label.kind is LabelKind.OPEN for label in metric.labels)
        self._series_max = series_max
        self._children: dict[tuple[str, ...], Child] = {}

    @property
    def children(self) -> list[Child]:
        """A copy of what there is now: children may come while it is read."""
        return list(self._children.values())

    def keep(self, is_kept: Callable[[tuple[str, ...]], bool]) -> None:
        """Show no more the children whose label values, in the metric's order, are not to be kept."""
        self._children = {values: child for values, child in self._children.items() if is_kept(values)}

    def child(self, *values: str) -> Child:
        """Return the child of these label values, in the metric's order, making it if need be."""
        found = self._children.get(values)
        if found is not None:
            return found
        if len(self._children) >= self._series_max and any(self._open):
            self.collapsed += 1
            values = tuple(catalogue.OTHER if is_open else value for value, is_open in zip(values, self._open, strict=True))
            found = self._children.get(values)
            if found is not None:
                return found
        child = self._children[values] = self._make(render(self._names, values))
        return child
