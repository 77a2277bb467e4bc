"""The catalogue's own laws."""

import re
from collections.abc import Collection
from typing import get_args

import pytest

from sidecar import catalogue
from sidecar.catalogue import Kind, LabelKind, Metric
from sidecar.config import Features, Settings
from sidecar.core.admit import queue
from sidecar.core.attempt.causes import Cause
from sidecar.core.attempt.compose import compose_refusal, own_fields
from sidecar.core.attempt.retry_after import RetryAfter
from sidecar.core.choose import choices, probing, reasons, transitions
from sidecar.core.choose.transitions import State
from sidecar.core.identify.tenants import Tenancy
from sidecar.core.identify.wishes import read_timeout, read_wishes
from sidecar.core.settings.kinds import members
from sidecar.errors import NO_ROUTE, ClientFault
from sidecar.thresholds import Thresholds
from tests.core.attempt.calls import make_call
from tests.edge.telemetry.records import make_record
from tests.house.source import ROOT

CACHE_HEADER = {"x-sidecar-cache"}  # in a request: what is not understood in it is ignored; in an answer: where something may be kept
_NAMED = re.compile(r"x-sidecar-[a-z-]*[a-z]\b")
METRICS = pytest.mark.parametrize("metric", catalogue.METRICS, ids=lambda metric: metric.name)


@pytest.mark.parametrize("name", catalogue.COMPARED)
def test_every_threshold_is_an_exact_edge(name: str) -> None:
    """Shares above and below a threshold can be read from the buckets without interpolation."""
    limits = getattr(Thresholds(), name).limits
    assert limits
    for metric in catalogue.COMPARED[name]:
        assert set(limits) <= set(metric.buckets[1:-1]), metric.name  # no quantile is found above the last, or sharply below the first


def test_every_threshold_on_a_histogram_is_compared() -> None:
    """Limits in seconds and of pace are those of histograms: none is left out."""
    of_histograms = {name for name, limits in Thresholds()._asdict().items() if limits.unit in ("s", "{token}/s")}
    assert of_histograms == catalogue.COMPARED.keys()


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


@pytest.mark.parametrize(
    ("listed", "used"),
    [
        (catalogue.BREAKER_STATES, [state.label for state in State]),
        (catalogue.BREAKER_REASONS, transitions.REASONS),
        (catalogue.OPENING_REASONS, {move.reason for move in transitions.TRANSITIONS.values() if move.after is State.OPEN}),
        (catalogue.CAUSES, list(Cause)),
        (catalogue.SHED_REASONS, [queue.QUEUE_FULL, queue.TOO_LONG, queue.GAVE_UP]),
        (catalogue.PROBE_OUTCOMES, probing.OUTCOMES),
        (catalogue.DEGRADATION_STEPS, [choices.FULL, choices.SIMPLE, choices.EMERGENCY]),
        (catalogue.RETRY_AFTER_PROBLEMS, get_args(get_args(RetryAfter.__annotations__["problem"])[0])),
        (catalogue.WISHES, reasons.ESTIMATED_WISHES | {reasons.EXCLUDED}),
        (catalogue.FEATURES, members(Features)),
        (
            {*catalogue.CHOICE_REASONS, *catalogue.REFUSAL_REASONS, *catalogue.CANDIDATE_REASONS},
            {value for value in vars(reasons).values() if isinstance(value, str) and re.fullmatch("[a-z_]+", value)},
        ),
    ],
    ids=["states", "movements", "openings", "causes", "sheds", "probes", "steps", "pauses", "wishes", "features", "decisions"],
)
def test_words_are_those_in_use(listed: Collection[str], used: Collection[str]) -> None:
    """Each closed list of words holds those that the code can say, each once, and no others."""
    assert sorted(listed) == sorted(used)


def test_reasons_are_in_their_lists() -> None:
    """Why one was chosen, why nobody was, and why one was not are told apart; only what is true of one and of all is in two lists."""
    assert set(catalogue.CHOICE_REASONS).isdisjoint((*catalogue.REFUSAL_REASONS, *catalogue.CANDIDATE_REASONS))
    assert set(catalogue.REFUSAL_REASONS) & set(catalogue.CANDIDATE_REASONS) == {reasons.CIRCUIT_OPEN, reasons.NO_ROOM}
    assert set(catalogue.CANDIDATE_REASONS) >= reasons.PER_CALL | reasons.ESTIMATED_WISHES


def test_tokens_have_the_same_types_everywhere() -> None:
    """What is used, what is saved and what tenants use can be compared, in the order of a record's usage."""
    typed = [label.values for metric in catalogue.METRICS for label in metric.labels if label.name == "type"]
    assert typed == [catalogue.TOKEN_TYPES] * 3


def test_statuses_levels_and_origins_are_told_in_their_order() -> None:
    """What is told again is a status, what is in this process a level; an ordinary call's origin is a record's default."""
    assert set(catalogue.CACHE_TOLD) < set(catalogue.CACHE_STATUSES) and set(catalogue.OWN_LEVELS) < set(catalogue.CACHE_LEVELS)
    assert catalogue.ORIGINS[0] == catalogue.CALLER == make_record().origin


def test_headers_of_requests_are_the_ones_read() -> None:
    """Each header that is listed is read, as what cannot be understood in it shows, and no other name of ours stands in the code."""
    for header in catalogue.REQUEST_HEADERS:
        if header.name in CACHE_HEADER:
            continue
        with pytest.raises(ClientFault, match=header.name):
            read_timeout({header.name: ","})
            read_wishes({header.name: ","})
            Tenancy(Settings()).identify(make_call((header.name.encode(), b",")), "/", "")
    named = {name for path in (ROOT / "sidecar/core").rglob("*.py") for name in _NAMED.findall(path.read_text(encoding="utf-8"))}
    assert named | CACHE_HEADER == {header.name for header in catalogue.HEADERS}


def test_headers_of_responses_are_the_ones_sent() -> None:
    """What an answer of the sidecar's own carries, and one that was served in an emergency, is what is listed."""
    refusal = compose_refusal(make_call(), ClientFault(NO_ROUTE), b"", own=own_fields("0" * 16, "a", 1, "simple"))[0]
    sent = {field.partition(b":")[0].decode() for field in refusal.split(b"\r\n") if field.startswith(b"x-sidecar-")}
    assert sent | CACHE_HEADER == {header.name for header in catalogue.RESPONSE_HEADERS}


def test_gaps_share_the_edges_of_their_metric() -> None:
    """What observers count by GAP_EDGES can be added to the histogram as it is."""
    assert catalogue.TIME_PER_OUTPUT_CHUNK.buckets == catalogue.GAP_EDGES
