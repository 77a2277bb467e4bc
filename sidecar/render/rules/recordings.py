"""What is recorded: rates and ratios of the last minutes, summed over the sidecars of a job.

Names are level:metric:operations (Prometheus, recording rules). The level names what is left of the labels; what the target has
besides, such as a namespace, stays as well. Sums are divided, ratios never averaged. A share of errors is 0
where nothing failed; no ratio is there where there was no traffic: NaN would look like a value.
"""

from typing import Final

from sidecar.exchange import SERVICE_ERRORS
from sidecar.render.alerting import TARGET, Recording
from sidecar.render.figures import write_number
from sidecar.render.rules.forms import list_bands, of_sidecars, sum_over_target
from sidecar.thresholds import FAILING_ERROR_RATIO, Terms

_CALL: Final = ("provider", "model", "ending")
_HTTP: Final = ("http_request_method", "http_response_status_code", "url_scheme", "error_type")
_ERRORS: Final = "|".join(sorted(SERVICE_ERRORS))
_HTTP_COUNT: Final = of_sidecars("rate(http_server_request_duration_seconds_count[5m])")
_HTTP_SUM: Final = of_sidecars("rate(http_server_request_duration_seconds_sum[5m])")
_FIRST_TOKEN: Final = "llm_sidecar_time_to_first_token_seconds"
_TOKENS_PER_SECOND: Final = "llm_sidecar_output_tokens_per_second"

REQUESTS: Final = "job_route:llm_sidecar_requests:rate5m"
ERROR_RATIO: Final = "job_route:llm_sidecar_request_errors_per_requests:ratio_rate5m"
UNAVAILABLE: Final = "job_route:llm_sidecar_requests_unavailable:rate5m"
MOSTLY_UNAVAILABLE: Final = "job_route:llm_sidecar_request_errors_mostly_unavailable:rate5m"
RATE_LIMITED_RATIO: Final = "job_route:llm_sidecar_rate_limited_per_requests:ratio_rate5m"
CUT: Final = "job_route:llm_sidecar_cut_answers:increase15m"
CUT_RATIO: Final = "job_route:llm_sidecar_cut_answers_per_requests:ratio_increase15m"
ATTEMPTS: Final = "job_upstream:llm_sidecar_attempts:rate5m"
BREAKER: Final = "job_upstream:llm_sidecar_circuit_breaker_state:max"
BREAKER_IN_USE: Final = "job_upstream:llm_sidecar_circuit_breaker_state_in_use:max5m"
RATELIMIT_LEFT: Final = "job_upstream_kind:llm_sidecar_upstream_ratelimit_remaining_per_limit:ratio_avg5m"
TOOL_CALLS: Final = "job_tool:gen_ai_execute_tool_duration_seconds_count:rate5m"
TOOL_ERROR_RATIO: Final = "job_tool:gen_ai_execute_tool_errors_per_executions:ratio_rate5m"
HTTP_CALLS: Final = "job_http_route:http_server_request_duration_seconds_count:rate5m"
HTTP_MEAN: Final = "job_http_route:http_server_request_duration_seconds:mean5m"
HTTP_P95: Final = "job_http_route:http_server_request_duration_seconds:p95_5m"
FIRST_TOKEN_STREAMS: Final = f"job_provider_model:{_FIRST_TOKEN}_count:rate5m"
FIRST_TOKEN_P95: Final = f"job_provider_model:{_FIRST_TOKEN}:p95_5m"
SPEED_STREAMS: Final = f"job_provider_model:{_TOKENS_PER_SECOND}_count:rate5m"
SPEED_MEDIAN: Final = f"job_provider_model:{_TOKENS_PER_SECOND}:p50_5m"
CACHE_LOOKUPS: Final = "job:llm_sidecar_cache_lookups:increase30m"
CACHE_HIT_RATIO: Final = "job:llm_sidecar_cache_hits_per_lookups:ratio_increase30m"
TENANT_REQUESTS: Final = "job_tenant:llm_sidecar_tenant_requests:rate5m"
TENANT_LIMITED_RATIO: Final = "job_tenant:llm_sidecar_limited_requests_per_requests:ratio_rate5m"
SHARED_COMMANDS: Final = "job:llm_sidecar_shared_commands:rate5m"
SPANS_DROPPED: Final = "job:llm_sidecar_spans_dropped:rate10m"
SPANS_DROPPED_RATIO: Final = "job:llm_sidecar_spans_dropped_per_spans:ratio_rate10m"
GRADE: Final = "job:llm_sidecar_grade:rate5m"
# Read by no rule and no board of ours: boards compute the grade for what they show. For other boards, and for whoever asks Prometheus.
OFFERED: Final = frozenset({GRADE})

_ERRORS_RATE: Final = "job_route:llm_sidecar_request_errors:rate5m"
_OPENINGS: Final = "job_upstream:llm_sidecar_circuit_breaker_openings_and_rejected:increase5m"
JOB_ERROR_RATIO: Final = "job:llm_sidecar_request_errors_per_requests:ratio_rate5m"
JOB_MEAN: Final = "job:http_server_request_duration_seconds:mean5m"


def list_recordings(terms: Terms) -> tuple[Recording, ...]:
    """Return all recordings, each after those that it reads."""
    return (
        *_record_calls(terms),
        *_record_endings(),
        *_record_upstreams(),
        *_record_tools(),
        *_record_latency(),
        *_record_streams(),
        *_record_reuse(),
        *_record_itself(),
        *_record_grade(terms),
    )


def _count_calls(ending: str = "", over: str = "rate(%s[5m])") -> str:
    selector = f"{{{ending}}}" if ending else ""
    return sum_over_target(over % f"llm_sidecar_requests_total{selector}", *_CALL)


def _record_calls(terms: Terms) -> tuple[Recording, ...]:
    return (
        Recording(REQUESTS, _count_calls()),
        Recording(_ERRORS_RATE, _count_calls(f'ending=~"{_ERRORS}"')),
        Recording(ERROR_RATIO, f"({_ERRORS_RATE} or 0 * {REQUESTS})\n/ ({REQUESTS} > 0)"),
        Recording(UNAVAILABLE, _count_calls('ending="unavailable"')),
        Recording(
            MOSTLY_UNAVAILABLE, f"{UNAVAILABLE} * 300 >= {terms.traffic.events}\nand {UNAVAILABLE} > 0.5 * {_ERRORS_RATE}"
        ),
    )  # fmt: skip


def _record_endings() -> tuple[Recording, ...]:
    limited, cut, all_calls = (
        _count_calls('ending="rate_limited"'),
        _count_calls('ending="cut"', "increase(%s[15m])"),
        _count_calls("", "increase(%s[15m])"),
    )
    return (
        Recording(RATE_LIMITED_RATIO, f"{limited}\n/ ({REQUESTS} > 0)"),
        Recording(CUT, cut),
        Recording(CUT_RATIO, f"{CUT}\n/ (\n{_indent(all_calls)} > 0\n)"),
    )


def _record_upstreams() -> tuple[Recording, ...]:
    left = (
        f"min without ({TARGET}) (\n  avg_over_time(llm_sidecar_upstream_ratelimit_remaining[5m])\n"
        "  / (avg_over_time(llm_sidecar_upstream_ratelimit_limit[5m]) > 0)\n)"
    )
    openings = sum_over_target('increase(llm_sidecar_circuit_breaker_openings_total{reason!="forced"}[5m])', "reason")
    rejected = sum_over_target("increase(llm_sidecar_circuit_breaker_rejected_total[5m])")
    return (
        Recording(ATTEMPTS, sum_over_target("rate(llm_sidecar_attempts_total[5m])", "outcome")),
        Recording(_OPENINGS, f"{openings}\n+ {rejected}"),
        Recording(BREAKER, f"max without ({TARGET}) (llm_sidecar_circuit_breaker_state)"),
        Recording(BREAKER_IN_USE, f"{BREAKER} > 0\nand {_OPENINGS} > 0"),
        Recording(RATELIMIT_LEFT, left),
    )


def _record_tools() -> tuple[Recording, ...]:
    failed = sum_over_target(of_sidecars('rate(gen_ai_execute_tool_duration_seconds_count{error_type!~"|4.."}[5m])'), "error_type")
    return (
        Recording(TOOL_CALLS, sum_over_target(of_sidecars("rate(gen_ai_execute_tool_duration_seconds_count[5m])"), "error_type")),
        Recording(TOOL_ERROR_RATIO, f"(\n{_indent(failed)}\n  or 0 * {TOOL_CALLS}\n)\n/ ({TOOL_CALLS} > 0)"),
    )


def _record_latency() -> tuple[Recording, ...]:
    return (
        Recording(HTTP_CALLS, sum_over_target(_HTTP_COUNT, *_HTTP)),
        Recording(HTTP_MEAN, f"{sum_over_target(_HTTP_SUM, *_HTTP)}\n/ ({HTTP_CALLS} > 0)"),
        Recording(HTTP_P95, _quantile(0.95, of_sidecars("rate(http_server_request_duration_seconds_bucket[5m])"), *_HTTP)),
    )


def _record_streams() -> tuple[Recording, ...]:
    return (
        Recording(FIRST_TOKEN_STREAMS, sum_over_target(f"rate({_FIRST_TOKEN}_count[5m])")),
        Recording(FIRST_TOKEN_P95, _quantile(0.95, f"rate({_FIRST_TOKEN}_bucket[5m])")),
        Recording(SPEED_STREAMS, sum_over_target(f"rate({_TOKENS_PER_SECOND}_count[5m])")),
        Recording(SPEED_MEDIAN, _quantile(0.5, f"rate({_TOKENS_PER_SECOND}_bucket[5m])")),
    )


def _record_reuse() -> tuple[Recording, ...]:
    hits = sum_over_target("increase(llm_sidecar_cache_hits_total[30m])", "level")
    limited = sum_over_target('rate(llm_sidecar_rate_limited_requests_total{limit!~"(all_)?budget_.+|stopped"}[5m])', "limit")
    return (
        Recording(CACHE_LOOKUPS, sum_over_target("increase(llm_sidecar_cache_lookups_total[30m])")),
        Recording(CACHE_HIT_RATIO, f"{hits}\n/ ({CACHE_LOOKUPS} > 0)"),
        Recording(TENANT_REQUESTS, sum_over_target("rate(llm_sidecar_tenant_requests_total[5m])")),
        Recording(TENANT_LIMITED_RATIO, f"{limited}\n/ ({TENANT_REQUESTS} > 0)"),
        Recording(SHARED_COMMANDS, sum_over_target("rate(llm_sidecar_shared_commands_total[5m])", "outcome")),
    )


def _record_itself() -> tuple[Recording, ...]:
    exported = sum_over_target("rate(llm_sidecar_spans_exported_total[10m])")
    return (
        Recording(SPANS_DROPPED, sum_over_target("rate(llm_sidecar_spans_dropped_total[10m])", "reason")),
        Recording(SPANS_DROPPED_RATIO, f"{SPANS_DROPPED}\n/ (\n  (\n    {SPANS_DROPPED}\n    + {_indent(exported, 4).strip()}\n  ) > 0\n)"),
    )


def _record_grade(terms: Terms) -> tuple[Recording, ...]:
    """Record 4 for A, 3 for B, 2 for C, 1 for D and 0 for F, of a whole job: the worse of its latency and its errors, where it has traffic.

    Bands lie within each other, so that each one kept adds one. F is for most calls failing, whatever the latency.
    """
    kept = [
        f"  + ({JOB_MEAN} < bool {write_number(slow)}) * ({JOB_ERROR_RATIO} < bool {write_number(failing)})"
        for slow, failing in reversed(list_bands(terms))
    ]
    grade = f"(\n  1\n{chr(10).join(kept)}\n)\n* ({JOB_ERROR_RATIO} <= bool {write_number(FAILING_ERROR_RATIO)})"
    all_calls = f"sum without (route) ({REQUESTS})"
    calls_ratio = f"(\n  sum without (route) ({_ERRORS_RATE})\n  or 0 * {all_calls}\n)\n/ ({all_calls} > 0)"
    mean = f"{sum_over_target(_HTTP_SUM, 'http_route', *_HTTP)}\n/ (sum without (http_route) ({HTTP_CALLS}) > 0)"
    return Recording(JOB_ERROR_RATIO, calls_ratio), Recording(JOB_MEAN, mean), Recording(GRADE, grade)


def _quantile(q: float, buckets: str, *labels: str) -> str:
    inner = sum_over_target(buckets, *labels)
    return f"histogram_quantile({q:g},\n{_indent(inner)}\n)"


def _indent(text: str, by: int = 2) -> str:
    return "\n".join(f"{' ' * by}{line}" for line in text.splitlines())
