"""Alerts on how calls go: how long they take, and whether they fail."""

from typing import Final

from sidecar.render.alerting import Alert, Article, Severity
from sidecar.render.figures import print_duration, print_percentage
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import Step, make_tiers, print_limits
from sidecar.thresholds import Terms

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
_ERROR_ENDINGS: Final = """\
| ending | look at |
|---|---|
| `connect_failed`, `connect_timeout` | DNS, egress rules and proxies, the upstream's `url` |
| `first_byte_timeout`, `idle_timeout`, `total_timeout` | the provider's latency; `timeouts` in the configuration |
| `reset`, `malformed`, `cut` | the provider, or a middlebox on the way to it |
| `upstream_error`, `in_band_error` | the provider's status page; `error_type` of `gen_ai_client_operation_duration_seconds` |
| `unavailable` | "Circuit breaker state", and LLMNoUpstreamAvailable |
| `overloaded` | "Shed calls by reason", and LLMCallsShed |
| `sidecar_fault` | the log line `exchange_failed`; please report it |"""


def list_rules(terms: Terms) -> tuple[Alert, ...]:
    """Return the alerts on latency, failures and refusals of calls, and on tools."""
    return _alert_mean(terms), _alert_p95(terms), _alert_errors(terms), _alert_rate_limited(terms), _alert_tools(terms)


def _alert_mean(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.mean_latency, terms.traffic.timed_calls
    return Alert(
        name="LLMHighAverageLatency",
        tiers=make_tiers(
            threshold, recordings.HTTP_MEAN, f"and {recordings.HTTP_CALLS} * 300 >= {least}", print_duration,
            {_WARNING: Step("5m", "Calls take long on average."), _CRITICAL: Step("5m", "Calls take very long on average.")},
        ),
        description="Calls to {{ $labels.http_route }} of {{ $labels.job }} took {{ $value | humanizeDuration }} on average in the "
        "last 5 minutes, above the limit of {limit}.",
        board="llm-sidecar-latency",
        keep="10m",
        article=Article(
            meaning=f"""\
Calls on one HTTP route took longer than {print_limits(threshold, print_duration)} on average over 5 minutes, in at least {least} calls.
The time runs from accepting the call to the last byte, so long streamed answers count in full.""",
            impact="Users wait, and callers with short deadlines begin to give up.",
            diagnosis="""\
Compare "Latency", "Time to first token" and "Gaps between chunks". A late first token is the provider's queue or a long prompt; wide
gaps are a slow model; neither, and the answers have become longer. "Added by the sidecar" tells whether the sidecar has a part in it.""",
            mitigation="""\
Use a faster model or a shorter `max_tokens`; stream, so that users see the beginning; check the provider's status page. Where long
answers are meant to be, raise the thresholds of this alert or take it out.""",
            queries=(
                "sum by (job, http_route) (rate(http_server_request_duration_seconds_sum[5m]))\n"
                "/ (sum by (job, http_route) (rate(http_server_request_duration_seconds_count[5m])) > 0)",
                "histogram_quantile(0.95, sum by (job, provider, model, le) (rate(llm_sidecar_time_to_first_token_seconds_bucket[5m])))",
                "histogram_quantile(0.99, sum by (job, side, le) (rate(llm_sidecar_overhead_seconds_bucket[5m])))",
            ),
        ),
    )  # fmt: skip


def _alert_p95(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.latency_p95, terms.traffic.timed_calls
    return Alert(
        name="LLMHighLatencyP95",
        tiers=make_tiers(
            threshold, recordings.HTTP_P95, f"and {recordings.HTTP_CALLS} * 300 >= {least}", print_duration,
            {
                _WARNING: Step("10m", "The slowest twentieth of calls takes long."),
                _CRITICAL: Step("5m", "The slowest twentieth of calls takes very long."),
            },
        ),
        description="5 % of the calls to {{ $labels.http_route }} of {{ $labels.job }} took longer than {{ $value | humanizeDuration }} "
        "in the last 5 minutes, above the limit of {limit}.",
        board="llm-sidecar-latency",
        keep="10m",
        article=Article(
            meaning=f"""\
One call in twenty on one HTTP route took longer than {print_limits(threshold, print_duration)}, in at least {least} calls over 5
minutes.""",
            impact="Some users wait long, while the average may look good.",
            diagnosis="""\
Follow an exemplar of the "Latency" panel to its trace, and read the span: model, tokens, time to the response head, time to the first
chunk. Compare models in "Latency by model".""",
            mitigation="As for LLMHighAverageLatency. Large prompts and reasoning models belong on a route of their own.",
            queries=(
                "histogram_quantile(0.95, sum by (job, http_route, le) (rate(http_server_request_duration_seconds_bucket[5m])))",
                "histogram_quantile(0.95,\n"
                "  sum by (job, gen_ai_request_model, le) (rate(gen_ai_client_operation_duration_seconds_bucket[5m]))\n)",
            ),
        ),
    )  # fmt: skip


def _alert_errors(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.error_ratio, terms.traffic.calls
    guard = f"unless {recordings.MOSTLY_UNAVAILABLE}\nand {recordings.REQUESTS} * 300 >= {least}"
    return Alert(
        name="LLMHighErrorRatio",
        tiers=make_tiers(
            threshold, recordings.ERROR_RATIO, guard, print_percentage,
            {_WARNING: Step("5m", "Calls fail."), _CRITICAL: Step("2m", "Many calls fail.")},
        ),
        description="{{ $value | humanizePercentage }} of the calls on route {{ $labels.route }} of {{ $labels.job }} failed in the last "
        "5 minutes, above the limit of {limit}.",
        board="llm-sidecar-overview",
        keep="5m",
        article=Article(
            meaning=f"""\
More than {print_limits(threshold, print_percentage)} of the calls on a route failed, in at least {least} calls over 5 minutes.
Failures are the provider's 5xx, errors within an answer, connections that could not be made or were reset, deadlines, answers that
broke off, calls for which there was no room or no upstream that could be asked, and faults of the sidecar. A caller's own mistake
(4xx), a caller that hung up, a 429 and a refusal by policy are not. A failed attempt after which another one succeeded is no failed
call. Where most of them found no upstream that could be asked, LLMNoUpstreamAvailable fires instead.""",
            impact="Callers get errors, or repeat calls and pay twice.",
            diagnosis=f'"Calls that did not complete" shows which ending it is:\n\n{_ERROR_ENDINGS}',
            mitigation="Send traffic to another provider or model; raise a deadline only where the model is known to be slow.",
            queries=(
                'sum by (job, route, ending) (rate(llm_sidecar_requests_total{ending!="completed"}[5m])) > 0',
                "sum by (job, gen_ai_provider_name, gen_ai_request_model, error_type) (\n"
                '  rate(gen_ai_client_operation_duration_seconds_count{error_type!=""}[5m])\n) > 0',
            ),
        ),
    )  # fmt: skip


def _alert_rate_limited(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.rate_limited_ratio, terms.traffic.calls
    return Alert(
        name="LLMUpstreamRateLimited",
        tiers=make_tiers(
            threshold, recordings.RATE_LIMITED_RATIO, f"and {recordings.REQUESTS} * 300 >= {least}", print_percentage,
            {_WARNING: Step("10m", "The provider refuses calls with status 429.")},
        ),
        description="{{ $value | humanizePercentage }} of the calls on route {{ $labels.route }} of {{ $labels.job }} were answered with "
        "429 in the last 5 minutes, above the limit of {limit}.",
        board="llm-sidecar-resilience",
        keep="5m",
        article=Article(
            meaning=f"""\
The provider answered more than {print_limits(threshold, print_percentage)} of the calls on a route with 429, in at least {least}
calls over 5 minutes.""",
            impact="Calls are refused, or delayed by the SDK's repeats.",
            diagnosis="""\
"Share left of rate limits" shows which limit it is, where the provider tells; "Calls by model" and "Tokens by type" show what uses
it. The provider's own headers, `retry-after` among them, reach the caller unchanged.""",
            mitigation="Ask for a higher quota, spread the load over time, use a smaller model or shorter prompts.",
            queries=(
                'sum by (job, route, provider, model) (rate(llm_sidecar_requests_total{ending="rate_limited"}[5m])) > 0',
                "min by (job, upstream, kind) (\n"
                "  llm_sidecar_upstream_ratelimit_remaining / (llm_sidecar_upstream_ratelimit_limit > 0)\n)",
            ),
        ),
    )  # fmt: skip


def _alert_tools(terms: Terms) -> Alert:
    threshold, least = terms.thresholds.tool_error_ratio, terms.traffic.calls
    return Alert(
        name="LLMToolFailing",
        tiers=make_tiers(
            threshold, recordings.TOOL_ERROR_RATIO, f"and {recordings.TOOL_CALLS} * 300 >= {least}", print_percentage,
            {_WARNING: Step("5m", "A tool fails.")},
        ),
        description="{{ $value | humanizePercentage }} of the executions of tool {{ $labels.gen_ai_tool_name }} for {{ $labels.job }} "
        "failed in the last 5 minutes, above the limit of {limit}.",
        board="llm-sidecar-overview",
        keep="5m",
        article=Article(
            meaning=f"""\
More than {print_limits(threshold, print_percentage)} of the executions of one tool failed, in at least {least} over 5 minutes:
JSON-RPC errors, results with `isError`, status 5xx, deadlines, connections that broke. A 4xx of an HTTP tool and a caller that hung
up are not counted.""",
            impact="The agent works without the tool, repeats calls, or tells its user something wrong.",
            diagnosis="""\
"Tool errors by type": `tool_error` is the tool's own word for a failure, `jsonrpc_-32602` means arguments that it does not take, a
status or an error id means its server or the way to it. Spans `execute_tool NAME` of failed calls are kept.""",
            mitigation="Mend or restart the tool's server. If arguments are wrong, make the tool's description clearer to the model.",
            queries=(
                'sum by (job, gen_ai_tool_name, error_type) (rate(gen_ai_execute_tool_duration_seconds_count{error_type!=""}[5m])) > 0',
            ),
        ),
    )  # fmt: skip
