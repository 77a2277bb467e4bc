"""Alerts on answers as they stream: whether they end, when they begin, how fast they are written."""

from typing import Final

from sidecar.render.alerting import Alert, Article, Severity
from sidecar.render.figures import print_duration, print_number, print_percentage
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, make_tiers, print_limits
from sidecar.thresholds import Terms

_WARNING: Final = Severity.WARNING
_MODEL: Final = (("provider", "provider"), ("model", "model"))


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on cut answers, late first tokens and slow generation."""
    return _alert_cut(terms), _alert_first_token(terms), _alert_speed(terms)


def _alert_cut(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.cut_ratio, terms.traffic.cut_answers
    return Alert(
        name="LLMAnswersCut",
        tiers=make_tiers(
            threshold, recordings.CUT_RATIO, f"and {recordings.CUT} >= {least}", print_percentage,
            {_WARNING: Step("5m", "Answers break off before their end.")},
        ),
        description="{{ $value | humanizePercentage }} of the answers on route {{ $labels.route }} of {{ $labels.job }} broke off in the "
        "last 15 minutes, above the limit of {limit}.",
        board="llm-sidecar-overview",
        keep="10m",
        article=Article(
            meaning=f"""\
More than {print_limits(threshold, print_percentage)} of the answers on a route broke off before their end, at least {least} in 15
minutes. The caller was told so: by an error event in the stream and an aborted connection, never by a clean end.""",
            impact="Answers are incomplete; callers repeat them and pay twice.",
            diagnosis="""\
In the traces, compare where they break off: always after the same time points to an idle limit of a proxy or load balancer on the
way, at random to the provider. Check deployments of anything between the sidecar and the provider.""",
            mitigation="Raise the idle limit of the middlebox; otherwise the provider has to mend it.",
            queries=(
                'sum by (job, route, provider, model) (increase(llm_sidecar_requests_total{ending="cut"}[15m])) > 0',
                'sum by (job, upstream) (rate(llm_sidecar_attempts_total{outcome="cut"}[15m])) > 0',
            ),
        ),
    )  # fmt: skip


def _alert_first_token(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.time_to_first_token_p95, terms.traffic.timed_calls
    return Alert(
        name="LLMSlowFirstToken",
        tiers=make_tiers(
            threshold, recordings.FIRST_TOKEN_P95, f"and {recordings.FIRST_TOKEN_STREAMS} * 300 >= {least}", print_duration,
            {_WARNING: Step("10m", "Streams begin late.")},
        ),
        description="5 % of the streams of {{ $labels.model }} ({{ $labels.provider }}) for {{ $labels.job }} took longer than "
        "{{ $value | humanizeDuration }} to their first token in the last 5 minutes, above the limit of {limit}.",
        board="llm-sidecar-latency",
        choose=_MODEL,
        keep="10m",
        article=Article(
            meaning=f"""\
One stream in twenty of a model took longer than {print_limits(threshold, print_duration)} to its first token, in at least {least}
streams over 5 minutes. Role-only and empty chunks do not count as tokens.""",
            impact="Users look at an empty answer.",
            diagnosis="""\
"Time to first token" against "Tokens by type": longer prompts and fewer cache reads mean a slower start. Reasoning models think
before they write.""",
            mitigation="""\
Shorten prompts, keep their beginning stable so that the provider's prompt cache works, lower the reasoning effort, or choose another
model.""",
            queries=(
                "histogram_quantile(0.95, sum by (job, provider, model, le) (rate(llm_sidecar_time_to_first_token_seconds_bucket[5m])))",
                "sum by (job, provider, model, type) (rate(llm_sidecar_tokens_total[5m]))",
            ),
        ),
    )  # fmt: skip


def _alert_speed(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.output_tokens_per_second, terms.traffic.timed_calls
    limit = print_limits(threshold, print_number)
    return Alert(
        name="LLMSlowGeneration",
        tiers=make_tiers(
            threshold, recordings.SPEED_MEDIAN, f"and {recordings.SPEED_STREAMS} * 300 >= {least}", print_number,
            {_WARNING: Step("10m", "Streams write slowly.")},
        ),
        description="Half of the streams of {{ $labels.model }} ({{ $labels.provider }}) for {{ $labels.job }} wrote at most "
        "{{ $value | humanize }} tokens per second in the last 5 minutes, below the limit of {limit}.",
        board="llm-sidecar-latency",
        choose=_MODEL,
        keep="10m",
        article=Article(
            meaning=f"""\
Half of the streams of a model wrote fewer than {limit} output tokens per second, in at least {least} streams over 5 minutes. Answers
of fewer than 10 tokens are not counted.""",
            impact="Answers appear slower than they can be read.",
            diagnosis="""\
"Generation speed by model" and "Gaps between chunks". If all models are slow at once, look at the way to the provider and at
"Event-loop lag".""",
            mitigation="Another model or provider. There is nothing to set in the sidecar.",
            queries=(
                "histogram_quantile(0.5, sum by (job, provider, model, le) (rate(llm_sidecar_output_tokens_per_second_bucket[5m])))",
                "histogram_quantile(0.99, sum by (job, instance, le) (rate(llm_sidecar_event_loop_lag_seconds_bucket[5m])))",
            ),
        ),
    )  # fmt: skip
