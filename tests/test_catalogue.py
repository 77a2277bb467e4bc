"""The catalogue's own laws."""

import re

import pytest

from sidecar import catalogue, thresholds
from sidecar.catalogue import Kind, LabelKind, Metric

SECONDS = (catalogue.OPERATION_DURATION, catalogue.HTTP_SERVER_DURATION)
METRICS = pytest.mark.parametrize("metric", catalogue.METRICS, ids=lambda metric: metric.name)


@pytest.mark.parametrize(
    ("limits", "metrics"),
    [
        (thresholds.MEAN_LATENCY, SECONDS),
        (thresholds.LATENCY_P95, SECONDS),
        (thresholds.RESPONSE_TIME, SECONDS),
        (thresholds.TIME_TO_FIRST_TOKEN_P95, (catalogue.TIME_TO_FIRST_TOKEN, catalogue.TIME_TO_FIRST_CHUNK)),
        (thresholds.OUTPUT_TOKENS_PER_SECOND, (catalogue.TOKENS_PER_SECOND,)),
    ],
)
def test_every_threshold_is_an_exact_edge(limits: thresholds.Threshold, metrics: tuple[Metric, ...]) -> None:
    """Shares above and below a threshold can be read from the buckets without interpolation."""
    for metric in metrics:
        assert set(limits.limits) <= set(metric.buckets), metric.name


@METRICS
def test_edges_ascend_and_belong_to_histograms(metric: Metric) -> None:
    """Histograms have ascending finite edges, nothing else has any."""
    assert bool(metric.buckets) == (metric.kind is Kind.HISTOGRAM)
    assert list(metric.buckets) == sorted(set(metric.buckets))


@METRICS
def test_names_follow_prometheus(metric: Metric) -> None:
    """Counters and only counters end in _total, units are whole words, our own names have our prefix."""
    assert re.fullmatch(r"[a-z][a-z0-9_]*", metric.name)
    assert metric.name.endswith("_total") == (metric.kind is Kind.COUNTER)
    assert metric.name.startswith(("llm_sidecar_", "gen_ai_", "http_"))
    assert metric.help.endswith((".", "1; what is running."))


@METRICS
def test_no_label_belongs_to_the_scraper(metric: Metric) -> None:
    """Labels that Prometheus and operators attach to targets are left to them."""
    names = [label.name for label in metric.labels]
    assert not {"job", "instance", "service", "env", "region", "le", "quantile"} & set(names)
    assert len(names) == len(set(names))


@METRICS
def test_each_label_says_what_bounds_it(metric: Metric) -> None:
    """A closed label lists its values, an open one names a bound that is counted when reached."""
    for label in metric.labels:
        assert bool(label.values) == (label.kind is LabelKind.CLOSED)
        assert (label.bound in catalogue.BOUNDS) == (label.kind is LabelKind.OPEN)


def test_every_declared_name_is_listed_once() -> None:
    """The tuples hold each declared metric, span and log event exactly once, under different names."""
    for kind, listed in (
        (Metric, catalogue.METRICS),
        (catalogue.Span, catalogue.SPANS),
        (catalogue.LogEvent, catalogue.LOG_EVENTS),
    ):
        declared = [value for value in vars(catalogue).values() if isinstance(value, kind)]
        assert sorted(map(id, declared)) == sorted(map(id, listed))
        names = [value[0] for value in (*listed, *(catalogue.PROCESS_METRICS if kind is Metric else ()))]
        assert len(names) == len(set(names))


def test_no_span_declares_an_attribute_twice() -> None:
    """Each span's attributes have different names."""
    for span in catalogue.SPANS:
        names = [attribute.name for attribute in span.attributes]
        assert len(names) == len(set(names)), span.id


def test_gaps_share_the_edges_of_their_metric() -> None:
    """What observers count by GAP_EDGES can be added to the histogram as it is."""
    assert catalogue.TIME_PER_OUTPUT_CHUNK.buckets == catalogue.GAP_EDGES
