"""The catalogue as a page for people, and as JSON for programs."""

import json
from collections.abc import Iterable, Mapping, Sequence
from itertools import starmap
from typing import Final

from sidecar import catalogue
from sidecar.catalogue import Label, LabelKind, Metric
from sidecar.errors import ERRORS
from sidecar.thresholds import Side, Terms, Threshold

_TERMS: Final = Terms()
# What must have happened at least before an alert says anything.
_LEAST: Final[Mapping[str, str]] = {
    "calls": "calls within 5 minutes, where a share of them is judged",
    "timed_calls": "calls or streams within 5 minutes, where a mean or a quantile is judged",
    "cut_answers": "answers that broke off within 15 minutes",
    "events": "what is counted one by one: calls refused, shed or without a price, spans or content lost",
    "cache_lookups": "lookups within 30 minutes",
    "cost_usd_per_hour": "US dollars an hour, before a rise is a spike",
}


def render_markdown() -> str:
    """Return every metric, span attribute, log event, header, error id and threshold as Markdown tables."""
    return "\n".join(
        (
            "# Reference of names",
            "\n## Metrics\n",
            *_table(("metric", "kind", "labels", "meaning"), map(_metric_row, (*catalogue.METRICS, *catalogue.PROCESS_METRICS))),
            "\nLabels: `a|b` lists every value; *known* values come from configuration or the build; *open* ones from the traffic, "
            "bounded by `limits.labels`, the rest are `other`.",
            "\n## Histogram buckets\n",
            *_table(("metric", "upper edges"), ((f"`{m.name}`", _join(m.buckets)) for m in catalogue.METRICS if m.buckets)),
            "\n## Spans\n",
            *_table(("span", "kind", "name", "when"), ((s.id, s.kind, f"`{s.name}`", s.help) for s in catalogue.SPANS)),
            "\n## Span attributes\n",
            "Those without a meaning here are defined by the OpenTelemetry semantic conventions.\n",
            *_table(
                ("span", "attribute", "type", "meaning"),
                ((s.id, f"`{a.name}`", a.type, a.help) for s in catalogue.SPANS for a in s.attributes),
            ),
            "\n## Log events\n",
            *_table(("event", "level", "meaning"), ((f"`{e.name}`", e.level, e.help) for e in catalogue.LOG_EVENTS)),
            "\n## The line of a call\n",
            *_table(("field", "type", "meaning"), ((f"`{f.name}`", f.type, f.help) for f in catalogue.CALL_FIELDS)),
            "\n## Headers\n",
            *_table(("header", "of the", "value", "meaning"), ((f"`{h.name}`", h.side, h.value, h.help) for h in catalogue.HEADERS)),
            "\n## Errors\n",
            *_table(
                ("id", "status", "origin", "meaning", "advice"),
                ((f"`{e.id}`", str(e.status), e.origin, e.summary, e.advice) for e in ERRORS),
            ),
            "\n## Thresholds\n",
            *_table(
                ("key", "statistic", "unit", "target", "info", "warning", "critical", "A / B / C", "bands", "an edge of"),
                starmap(_threshold_row, _TERMS.thresholds._asdict().items()),
            ),
            "\n## Least traffic\n",
            "Idle is no alert, and one failure out of one is none.\n",
            *_table(("key", "at least", "of"), map(_least_row, _TERMS.traffic._asdict().items())),
            "\n## Objective\n",
            f"`success_ratio`: {_TERMS.objective.success_ratio:g} of the calls of 30 days do not fail.",
            "",
        )
    )  # fmt: skip


def render_json() -> str:
    """Return the same as one JSON object."""
    page = {
        "metrics": [_describe(metric) for metric in (*catalogue.METRICS, *catalogue.PROCESS_METRICS)],
        "spans": [span._asdict() | {"attributes": [attribute._asdict() for attribute in span.attributes]} for span in catalogue.SPANS],
        "log_events": [event._asdict() for event in catalogue.LOG_EVENTS],
        "call_fields": [field._asdict() for field in catalogue.CALL_FIELDS],
        "headers": [header._asdict() for header in catalogue.HEADERS],
        "errors": [kind._asdict() for kind in ERRORS],
        "thresholds": [
            {"key": key, **threshold._asdict(), "bands": [band._asdict() for band in threshold.bands]}
            for key, threshold in _TERMS.thresholds._asdict().items()
        ],
        "traffic": _TERMS.traffic._asdict(),
        "objective": _TERMS.objective._asdict(),
    }
    return json.dumps(page, indent=2)


def _describe(metric: Metric) -> dict[str, object]:
    return metric._asdict() | {"labels": [label._asdict() for label in metric.labels]}


def _metric_row(metric: Metric) -> tuple[str, ...]:
    return f"`{metric.name}`", metric.kind, ", ".join(map(_show_label, metric.labels)), metric.help


def _show_label(label: Label) -> str:
    if label.kind is LabelKind.CLOSED:
        return f"`{label.name}` = " + "\\|".join(label.values)
    return f"`{label.name}` ({label.kind})"


def _threshold_row(key: str, threshold: Threshold) -> tuple[str, ...]:
    sign = ">" if threshold.bad is Side.ABOVE else "<"
    limits = (f"{sign} {limit:g}" if limit is not None else "" for limit in (threshold.info, threshold.warning, threshold.critical))
    bands = ", ".join(f"{band.name} {band.limit:g}" if band.limit is not None else f"{band.name} beyond" for band in threshold.bands)
    target = "" if threshold.target is None else f"{threshold.target:g}"
    edges = ", ".join(f"`{metric.name}`" for metric in catalogue.COMPARED.get(key, ()))
    return f"`{key}`", threshold.statistic, threshold.unit, target, *limits, _join(threshold.grades or (), " / "), bands, edges


def _least_row(guard: tuple[str, float]) -> tuple[str, ...]:
    key, least = guard
    return f"`{key}`", f"{least:g}", _LEAST[key]


def _join(numbers: Sequence[float], separator: str = " ") -> str:
    return separator.join(f"{number:.10g}" for number in numbers)


def _table(head: Sequence[str], rows: Iterable[Sequence[str]]) -> list[str]:
    return [_row(head), _row(["---"] * len(head)), *map(_row, rows)]


def _row(cells: Sequence[str]) -> str:
    return f"| {' | '.join(cells)} |"
