"""Counters, gauges, histograms and families."""

from hypothesis import given
from hypothesis import strategies as st

from sidecar.catalogue import Kind, Label, LabelKind, Metric
from sidecar.edge.telemetry.instruments import Counter, Family, Gauge, Histogram, TracePoint

EDGES = (1.0, 2.0, 5.0)
METRIC = Metric("m_total", Kind.COUNTER, "M.", "", (Label("route", LabelKind.KNOWN), Label("model", LabelKind.OPEN, bound="model")))


def test_a_counter_adds() -> None:
    """A counter is the sum of what was added."""
    counter = Counter("")
    counter.add()
    counter.add(2.5)
    assert counter.value == 3.5


def test_a_gauge_comes_and_goes() -> None:
    """A gauge can be set, raised and lowered."""
    gauge = Gauge("")
    gauge.set(5)
    gauge.inc()
    gauge.dec()
    gauge.dec()
    assert gauge.value == 4


@given(st.lists(st.floats(0, 10) | st.sampled_from(EDGES)))
def test_buckets_hold_what_does_not_exceed_their_edge(values: list[float]) -> None:
    """A value on an edge counts below it, and no value is lost."""
    histogram = Histogram("", EDGES)
    for value in values:
        histogram.observe(value)
    for index, edge in enumerate(EDGES):
        assert sum(histogram.counts[: index + 1]) == sum(value <= edge for value in values)
    assert sum(histogram.counts) == len(values)
    assert abs(histogram.sum - sum(values)) < 1e-6


def test_counted_buckets_are_merged() -> None:
    """What was counted elsewhere is added bucket by bucket."""
    histogram = Histogram("", EDGES)
    histogram.observe(1.5)
    histogram.merge([1, 2, 0, 3], 20.0)
    assert histogram.counts == [1, 3, 0, 3]
    assert histogram.sum == 21.5


def test_the_last_exemplar_of_a_bucket_wins() -> None:
    """Each bucket keeps the trace of its last observation that had one."""
    histogram = Histogram("", EDGES)
    first, second = TracePoint(1, 1, 1.0), TracePoint(2, 2, 2.0)
    histogram.observe(1.5, first)
    histogram.observe(1.6, second)
    histogram.observe(1.7)
    histogram.observe(9.0, first)
    assert histogram.exemplars == [None, (1.6, second), None, (9.0, first)]


def test_children_are_found_again() -> None:
    """The same values lead to the same child, others to another."""
    family = Family(METRIC, Counter, 10)
    assert family.child("r", "a") is family.child("r", "a")
    assert family.child("r", "b") is not family.child("r", "a")
    assert [child.labels for child in family.children] == ['route="r",model="a"', 'route="r",model="b"']


def test_a_full_family_drops_open_labels() -> None:
    """Beyond the bound new combinations share a child whose open labels are other."""
    family = Family(METRIC, Counter, 2)
    kept = [family.child("r", "a"), family.child("r", "b")]
    shared = family.child("r", "c")
    assert shared.labels == 'route="r",model="other"'
    assert family.child("r", "d") is shared
    assert family.child("r", "a") is kept[0]
    assert family.collapsed == 2


def test_a_copy_of_the_children_does_not_change() -> None:
    """Children that come while the copy is read are not in it."""
    family = Family(METRIC, Counter, 10)
    family.child("r", "a")
    copy = family.children
    family.child("r", "b")
    assert len(copy) == 1


def test_what_is_not_kept_is_shown_no_more() -> None:
    """And is a new one if it comes again; what is kept stays the same."""
    family = Family(METRIC, Counter, 10)
    kept, gone = family.child("a", "m"), family.child("b", "m")
    kept.add(2)
    gone.add(3)
    family.keep(lambda values: values[0] == "a")
    assert family.children == [kept]
    assert family.child("a", "m") is kept
    assert family.child("b", "m").value == 0
