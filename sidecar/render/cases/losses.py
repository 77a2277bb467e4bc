"""Cases of the alerts on what is not seen."""

from collections.abc import Mapping
from typing import Final

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, Subject, grow, just_enough, name_series, stand, too_few, watch
from sidecar.render.figures import print_number, print_percentage
from sidecar.thresholds import Terms

_INFO, _WARNING = Severity.INFO, Severity.WARNING
_DROPPED: Final = "llm_sidecar_spans_dropped_total"
_EXPORTED: Final = "llm_sidecar_spans_exported_total"
_CONTENT: Final = "llm_sidecar_content_dropped_total"
_SINK: Final = "llm_sidecar_sink_failures_total"
_OBSERVER: Final = "llm_sidecar_observer_failures_total"
_OVERFLOW: Final = "llm_sidecar_label_overflow_total"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    spans = Judged(
        "LLMSpansDropped", "Spans that are lost", terms.thresholds.spans_dropped_ratio, terms.traffic.events,
        print_percentage, {_WARNING: 10}, 10, "job", _draw_spans, {}, minutes=10,
    )  # fmt: skip
    return (*judge(spans), _check_content(terms), _check_observation(), _check_overflow())


def _draw_spans(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    """Draw so many lost spans, and as many that arrived as make them that share."""
    return (
        grow(name_series(_DROPPED, **labels, reason="queue_full"), per_minute / 2, until),
        grow(name_series(_DROPPED, **labels, reason="export_failed"), per_minute / 2, until),
        grow(name_series(_EXPORTED, **labels), per_minute * (1 / value - 1), until),
    )


def _check_content(terms: Terms) -> Case:
    """Each reason counts by itself, and two are no fault."""
    least, minutes, end = terms.traffic.events, 15, 40
    enough = just_enough(least, minutes)
    faults = ("queue_full", "too_large", "write_failed")
    series = [
        *(grow(name_series(_CONTENT, job="many", reason=reason), enough / minutes, end) for reason in faults),
        *(grow(name_series(_CONTENT, job="rare", reason=reason), too_few(least) / minutes) for reason in faults),
        *(grow(name_series(_CONTENT, job="idle", reason=reason), 0) for reason in faults),
        *(grow(name_series(_CONTENT, job="meant", reason=reason), enough) for reason in ("unreadable", "shutdown")),
        *(
            grow(name_series(_CONTENT, job="pair", instance=instance, reason="too_large"), enough / minutes / 2, end)
            for instance in ("a:9464", "b:9464")
        ),
    ]
    labels = [*({"job": "many", "reason": reason} for reason in faults), {"job": "pair", "reason": "too_large"}]
    subjects = [Subject(each, (_WARNING,), print_number(enough), start=minutes, end=end) for each in labels]
    name = "Content that is lost is told by its reason, of several sidecars together, and not where it is little or meant."
    return Case(name, tuple(series), watch("LLMContentDropped", subjects, {_WARNING: 5}))


def _check_observation() -> Case:
    """Whoever fails, the observer or a reader of records: one is too many."""
    series = (
        grow(name_series(_SINK, "sink", sink="metrics"), 1, 30),
        grow(name_series(_SINK, "sink", "b:9464", sink="traces"), 1, 30),
        grow(name_series(_OBSERVER, "sink"), 0),
        grow(name_series(_OBSERVER, "sink", "b:9464"), 0),
        grow(name_series(_SINK, "observer", sink="metrics"), 0),
        grow(name_series(_OBSERVER, "observer"), 1, 30),
        grow(name_series(_OBSERVER, "observer", "b:9464"), 1, 30),
        grow(name_series(_SINK, "seldom", sink="metrics"), 0.05, 30),
        grow(name_series(_OBSERVER, "seldom"), 0),
        stand(name_series(_SINK, "before", sink="metrics"), 3),
        stand(name_series(_OBSERVER, "before"), 4),
    )
    alert = "LLMObservationFailing"

    def tell(**values: float) -> tuple[Firing, ...]:
        return tuple(Firing(_WARNING, {"job": job}, print_number(value)) for job, value in values.items())

    checks = (
        Check("0m", alert),
        Check("1m", alert, tell(sink=2, observer=2, seldom=0.05)),
        Check("20m", alert, tell(sink=30, observer=30, seldom=0.75)),
        Check("46m", alert),
    )
    return Case("Calls that are not wholly measured are told at once, and for a quarter of an hour.", series, checks)


def _check_overflow() -> Case:
    model, tool = {"job": "app", "label": "model"}, {"job": "app", "label": "tool"}
    series = (
        grow(name_series(_OVERFLOW, label="tool"), 0.01, 90, 160),
        grow(name_series(_OVERFLOW, label="model"), 1, 90, 160),
        grow(name_series(_OVERFLOW, label="model", instance="b:9464"), 1, 90, 160),
        grow(name_series(_OVERFLOW, label="error_type"), 0, minutes=160),
        stand(name_series(_OVERFLOW, "before", label="model"), 5, 160),
    )
    alert = "LLMLabelOverflow"
    checks = (
        Check("0m", alert),
        Check("1m", alert, (Firing(_INFO, model, "2"), Firing(_INFO, tool, print_number(0.01)))),
        Check("80m", alert, (Firing(_INFO, model, "120"), Firing(_INFO, tool, print_number(0.6)))),
        Check("152m", alert),
    )
    return Case("A bound on labels that was reached is told at once, by its name, and for an hour.", series, checks)
