"""Cases of quantiles over sidecars that see different calls: of all calls together, not of any sidecar's."""

from collections.abc import Callable, Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.catalogue import FIRST_TOKEN_EDGES, HTTP_EDGES, RATE_EDGES
from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.render.cases.series import grow_histogram, list_edges_around, list_passed
from sidecar.render.figures import print_duration, print_number
from sidecar.render.rules.forms import list_limits
from sidecar.thresholds import Terms, Threshold

_WARNING: Final = Severity.WARNING
# Of all calls, those that the first of two sidecars has; all of them end within the edge that is a limit, those of the other beyond it.
_MOST, _MORE = 0.9, 0.6


class _Mixed(NamedTuple):
    alert: str
    histogram: str
    labels: Mapping[str, str]
    threshold: Threshold
    edges: Sequence[float]
    show: Callable[[float], str]


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return a case for each alert on a quantile."""
    thresholds, per_minute = terms.thresholds, 10.0 * terms.traffic.timed_calls
    model = {"provider": "openai", "model": "m"}
    latency = _Mixed(
        "LLMHighLatencyP95", "http_server_request_duration_seconds", {"http_route": "/chat"}, thresholds.latency_p95, HTTP_EDGES,
        print_duration,
    )  # fmt: skip
    first_token = _Mixed(
        "LLMSlowFirstToken", "llm_sidecar_time_to_first_token_seconds", model, thresholds.time_to_first_token_p95, FIRST_TOKEN_EDGES,
        print_duration,
    )  # fmt: skip
    speed = _Mixed(
        "LLMSlowGeneration", "llm_sidecar_output_tokens_per_second", model, thresholds.output_tokens_per_second, RATE_EDGES, print_number,
    )  # fmt: skip
    return (
        _check_slow_few(latency, "One sidecar's slow calls are the slowest twentieth of all.", per_minute),
        _check_slow_few(first_token, "One sidecar's late streams are the latest twentieth of all.", per_minute),
        _check_slow_half(speed, "Half of the streams of all sidecars are told of, not half of one sidecar's.", per_minute),
    )


def _check_slow_few(mixed: _Mixed, name: str, per_minute: float) -> Case:
    _, limit, high = list_edges_around(mixed.edges, list_limits(mixed.threshold)[_WARNING])
    value = limit + (high - limit) * (0.95 - _MOST) / (1 - _MOST)
    return _check(mixed, name, value, ((limit, 1.0), (high, 1.0)), ((limit, 0.0), (high, 1.0)), _MOST, per_minute)


def _check_slow_half(mixed: _Mixed, name: str, per_minute: float) -> Case:
    low, limit, high = list_edges_around(mixed.edges, list_limits(mixed.threshold)[_WARNING])
    slow, fast = ((low, 0.0), (limit, 1.0), (high, 1.0)), ((low, 0.0), (limit, 0.0), (high, 1.0))
    return _check(mixed, name, low + (limit - low) * 0.5 / _MORE, slow, fast, _MORE, per_minute)


def _check(
    mixed: _Mixed,
    name: str,
    value: float,
    first: Sequence[tuple[float, float]],
    second: Sequence[tuple[float, float]],
    share: float,
    per_minute: float,
) -> Case:
    series = (
        *grow_histogram(mixed.histogram, mixed.labels, first, share * per_minute),
        *grow_histogram(mixed.histogram, {**mixed.labels, "instance": "b:9464"}, second, (1 - share) * per_minute),
    )
    labels = {"job": "app", **mixed.labels}
    firing = tuple(Firing(severity, labels, mixed.show(value)) for severity in list_passed(mixed.threshold, value))
    return Case(name, series, (Check("30m", mixed.alert, firing),))
