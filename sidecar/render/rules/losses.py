"""Alerts on what is not seen: spans, content and measurements that were lost, labels beyond their bound."""

from typing import Final

from sidecar.render.alerting import TARGET, Alert, Article, Severity, Tier
from sidecar.render.figures import print_percentage
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, make_tiers, print_limits
from sidecar.thresholds import Terms

_SIDECAR: Final = "llm-sidecar-sidecar"


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on telemetry that is lost. None of them touches calls."""
    return (_spans_dropped(terms), _content_dropped(terms), _observation_failing(), _label_overflow())


def _spans_dropped(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.spans_dropped_ratio, terms.traffic.events
    steps = {Severity.WARNING: Step("10m", "Spans of kept traces are lost.")}
    guard = f"and {recordings.SPANS_DROPPED} * 600 >= {least}"
    return Alert(
        "LLMSpansDropped",
        make_tiers(threshold, recordings.SPANS_DROPPED_RATIO, guard, print_percentage, steps),
        "{{ $value | humanizePercentage }} of the spans of {{ $labels.job }} were lost in the last 10 minutes, above the limit of {limit}.",
        _SIDECAR,
        Article(
            f"More than {print_limits(threshold, print_percentage)} of the spans of kept traces were lost, at least {least} in 10 minutes; "
            "and that for 10 minutes.",
            "Traces are missing. Calls and metrics are not touched.",
            "`llm_sidecar_spans_dropped_total` by reason. `export_failed`: the collector is down, refuses or is misaddressed (log line "
            "`span_export_failed`). `queue_full`: more spans than it takes, or than `tracing.cpu_share` allows. `shutdown`: the collector "
            "was slow while the sidecar stopped.",
            "Mend the collector; lower `tracing.ratio` (errors and slow calls are still kept); raise `tracing.queue`.",
            (
                "sum by (job, reason) (rate(llm_sidecar_spans_dropped_total[10m])) > 0",
                "sum by (job) (rate(llm_sidecar_spans_exported_total[10m]))",
            ),
        ),
        keep="10m",
    )


def _content_dropped(terms: Terms) -> Alert:
    # Content that cannot be read as text, and what a stop leaves behind, is no fault.
    expr = (
        f"sum without ({TARGET}) (\n"
        '  increase(llm_sidecar_content_dropped_total{reason=~"queue_full|too_large|write_failed"}[15m])\n'
        f") >= {terms.traffic.events}"
    )
    return Alert(
        "LLMContentDropped",
        (Tier(Severity.WARNING, expr, "5m", "Captured content is lost.", str(terms.traffic.events)),),
        "The content of {{ $value | humanize }} calls of {{ $labels.job }} was lost, wholly or in part, in the last 15 minutes "
        "({{ $labels.reason }}); {limit} or more are told.",
        _SIDECAR,
        Article(
            f"The captured content of at least {terms.traffic.events} calls was lost, wholly or in part, within 15 minutes. It can only "
            "fire where `content.capture` is on. Calls themselves and their metrics are not touched.",
            "The record of what was said has gaps.",
            'The label `reason`, and "Captured content that was lost". `queue_full`: more content than redaction can go through within '
            "`content.cpu_share`. `too_large`: a request above `limits.body`, or a call above `content.queue`. `write_failed`: the file "
            "cannot be written (log line `content_dropped`).",
            "Make room on the disk; raise `content.cpu_share` or `content.queue`.",
            ("sum by (job, reason) (increase(llm_sidecar_content_dropped_total[15m])) > 0",),
        ),
    )


def _observation_failing() -> Alert:
    expr = (
        f"sum without ({TARGET}, sink) (increase(llm_sidecar_sink_failures_total[15m]))\n"
        f"+ sum without ({TARGET}) (increase(llm_sidecar_observer_failures_total[15m])) > 0"
    )
    return Alert(
        "LLMObservationFailing",
        (Tier(Severity.WARNING, expr, "", "Calls were carried but not wholly measured."),),
        "{{ $value | humanize }} answers or records of {{ $labels.job }} could not be read in the last 15 minutes; none should be.",
        _SIDECAR,
        Article(
            "The sidecar could not read an answer, or could not count or trace a call that it carried.",
            "The caller got its answer unchanged; metrics or traces of those calls are missing.",
            "The log lines `observer_failed` and `sink_failed`.",
            "This is a fault of the sidecar: please report it with the log line.",
            (
                "sum by (job, instance, sink) (increase(llm_sidecar_sink_failures_total[15m])) > 0",
                "sum by (job, instance) (increase(llm_sidecar_observer_failures_total[15m])) > 0",
            ),
        ),
    )


def _label_overflow() -> Alert:
    expr = f"sum without ({TARGET}) (increase(llm_sidecar_label_overflow_total[1h])) > 0"
    return Alert(
        "LLMLabelOverflow",
        (Tier(Severity.INFO, expr, "", "A bound on labels was reached."),),
        "{{ $value | humanize }} calls of {{ $labels.job }} in the last hour were counted with {{ $labels.label }} as other; "
        "none should be.",
        _SIDECAR,
        Article(
            "More distinct models, error types or the like came in than `limits.labels` or `limits.series` allow. The rest are counted "
            "together as `other`.",
            "Totals stay right; the split by the named label does not.",
            "The label `label` names the bound. Look at which values callers send: a model name made up per call fills any bound.",
            "Mend the caller, or raise the limit, at the price of more series in Prometheus. Values admitted stay until a restart.",
            (
                "sum by (job, label) (increase(llm_sidecar_label_overflow_total[1h])) > 0",
                "count by (job) (count by (job, model) (llm_sidecar_requests_total))",
            ),
        ),
    )
