"""Cases of the alerts on how calls go."""

from collections.abc import Mapping
from typing import Final

from sidecar.catalogue import HTTP_EDGES
from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check
from sidecar.render.cases.judged import Judged, judge
from sidecar.render.cases.series import Series, Subject, grow, grow_histogram, just_enough, list_near, name_series, spread, watch
from sidecar.render.figures import print_duration, print_percentage
from sidecar.thresholds import Terms

_WARNING, _CRITICAL = Severity.WARNING, Severity.CRITICAL
_HTTP: Final = {"http_request_method": "POST", "http_response_status_code": "200", "url_scheme": "http", "error_type": ""}
_DURATION: Final = "http_server_request_duration_seconds"
_REQUESTS: Final = "llm_sidecar_requests_total"
_TOOL: Final = "gen_ai_execute_tool_duration_seconds_count"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases of latency, failures and refusals of calls, and of tools."""
    return (
        *_judge_latency(terms),
        *_judge_errors(terms),
        _check_errors(terms),
        _check_whose_errors(terms),
        *_judge_rate_limited(terms),
        _check_whose_calls(terms),
        *_judge_tools(terms),
        _check_tool_errors(terms),
    )


def draw_calls(labels: Mapping[str, str], endings: Mapping[Ending, float], until: int | None = None) -> tuple[Series, ...]:
    """Return calls of a route, so many per minute of each ending."""
    common = {"provider": "openai", "model": "m", **labels}
    return tuple(grow(name_series(_REQUESTS, **common, ending=ending), per_minute, until) for ending, per_minute in endings.items())


def _judge_latency(terms: Terms) -> tuple[Case, ...]:
    thresholds, least = terms.thresholds, terms.traffic.timed_calls
    mean = Judged(
        "LLMHighAverageLatency", "Calls that are slow on average", thresholds.mean_latency, least, print_duration,
        {_WARNING: 5, _CRITICAL: 5}, 10, "http_route", _draw_mean, {},
    )  # fmt: skip
    p95 = Judged(
        "LLMHighLatencyP95", "Calls of which the slowest twentieth is slow", thresholds.latency_p95, least, print_duration,
        {_WARNING: 10, _CRITICAL: 5}, 10, "http_route", _draw_p95, {},
    )  # fmt: skip
    return *judge(mean), *judge(p95)


def _draw_mean(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    common = {**_HTTP, **labels}
    return (
        grow(name_series(f"{_DURATION}_count", **common), per_minute, until),
        grow(name_series(f"{_DURATION}_sum", **common), per_minute * value, until),
    )


def _draw_p95(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
    return grow_histogram(_DURATION, {**_HTTP, **labels}, spread(HTTP_EDGES, 0.95, value), per_minute, until)


def _check_whose_calls(terms: Terms) -> Case:
    """Another application may have metrics of the same names, which the conventions gave them: its calls are not ours to judge."""
    slow = 2 * max(terms.thresholds.mean_latency.limits + terms.thresholds.latency_p95.limits)
    labels, per_minute = {"job": "other", "http_route": "/", **_HTTP}, float(terms.traffic.timed_calls)
    series = (*_draw_mean(labels, slow, per_minute)[1:], *_draw_p95(labels, slow, per_minute))
    checks = tuple(Check("40m", name) for name in ("LLMHighAverageLatency", "LLMHighLatencyP95"))
    return Case("Slow calls of an application that is no sidecar are nobody's alarm.", series, checks, foreign=True)


def _judge_errors(terms: Terms) -> tuple[Case, ...]:
    def draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
        return draw_calls(labels, {Ending.UPSTREAM_ERROR: value * per_minute, Ending.COMPLETED: (1 - value) * per_minute}, until)

    errors = Judged(
        "LLMHighErrorRatio", "Calls that fail", terms.thresholds.error_ratio, terms.traffic.calls, print_percentage,
        {_WARNING: 5, _CRITICAL: 2}, 5, "route", draw, {},
    )  # fmt: skip
    return judge(errors)


def _check_errors(terms: Terms) -> Case:
    """Each ending that is the service's fault counts, by itself."""
    share, per_minute = dict(list_near(terms.thresholds.error_ratio))["beyond-warning"], just_enough(terms.traffic.calls) / 5
    # Calls that find nobody are told otherwise where they are most of those that fail: here they are half.
    alone: list[Ending] = [ending for ending in sorted(SERVICE_ERRORS) if ending is not Ending.UNAVAILABLE]
    mixes: dict[str, dict[Ending, float]] = {str(ending): {ending: share} for ending in alone}
    mixes["unavailable"] = {Ending.UNAVAILABLE: share / 2, Ending.RESET: share / 2}
    series, subjects = list[Series](), list[Subject]()
    for route, mix in mixes.items():
        good: dict[Ending, float] = {Ending.COMPLETED: 1 - share}
        series += draw_calls({"route": route}, {ending: part * per_minute for ending, part in (good | mix).items()})
        subjects.append(Subject({"job": "app", "route": route}, (_WARNING,), print_percentage(share)))
    name = "Every way in which a call can fail counts, but for what is told by an alert of its own."
    return Case(name, tuple(series), watch("LLMHighErrorRatio", subjects, {_WARNING: 5}))


def _check_whose_errors(terms: Terms) -> Case:
    """What the caller did, what policy refused and what the provider refused for its limits are no errors."""
    per_minute, share = 2 * terms.traffic.calls, dict(list_near(terms.thresholds.error_ratio))["beyond-warning"]
    theirs = [ending for ending in Ending if ending not in SERVICE_ERRORS]
    series = [
        *draw_calls({"route": "theirs"}, dict.fromkeys(theirs, per_minute)),
        *draw_calls({"route": "well"}, {Ending.COMPLETED: per_minute}),
        *draw_calls({"route": "failing"}, {Ending.COMPLETED: (1 - share) * per_minute, Ending.RESET: share * per_minute}),
    ]
    # With so many calls there are enough of them after a minute: two samples.
    failing = Subject({"job": "app", "route": "failing"}, (_WARNING,), print_percentage(share), start=1)
    name = "Callers that err or hang up, refusals by policy and limits of the provider are no failures."
    return Case(name, tuple(series), watch("LLMHighErrorRatio", [failing], {_WARNING: 5}))


def _judge_rate_limited(terms: Terms) -> tuple[Case, ...]:
    def draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
        return draw_calls(labels, {Ending.RATE_LIMITED: value * per_minute, Ending.COMPLETED: (1 - value) * per_minute}, until)

    limited = Judged(
        "LLMUpstreamRateLimited", "Calls that the provider refuses for its limits", terms.thresholds.rate_limited_ratio,
        terms.traffic.calls, print_percentage, {_WARNING: 10}, 5, "route", draw, {},
    )  # fmt: skip
    return judge(limited)


def _draw_tool(labels: Mapping[str, str], errors: Mapping[str, float], until: int | None = None) -> tuple[Series, ...]:
    return tuple(grow(name_series(_TOOL, **labels, error_type=error), per_minute, until) for error, per_minute in errors.items())


def _judge_tools(terms: Terms) -> tuple[Case, ...]:
    def draw(labels: Mapping[str, str], value: float, per_minute: float, until: int | None = None) -> tuple[Series, ...]:
        return _draw_tool(labels, {"tool_error": value * per_minute, "": (1 - value) * per_minute}, until)

    tools = Judged(
        "LLMToolFailing", "Tools that fail", terms.thresholds.tool_error_ratio, terms.traffic.calls, print_percentage,
        {_WARNING: 5}, 5, "gen_ai_tool_name", draw, {},
    )  # fmt: skip
    return judge(tools)


def _check_tool_errors(terms: Terms) -> Case:
    """A tool's own word for a failure, errors of JSON-RPC and of its server count; a 4xx does not."""
    share, per_minute = dict(list_near(terms.thresholds.tool_error_ratio))["beyond-warning"], just_enough(terms.traffic.calls) / 5
    series, subjects = list[Series](), list[Subject]()
    for error in ("500", "jsonrpc_-32603", "first_byte_timeout", "404", "429"):
        series += _draw_tool({"gen_ai_tool_name": f"tool {error}"}, {"": (1 - share) * per_minute, error: share * per_minute})
        told = () if error.startswith("4") else (_WARNING,)
        subjects.append(Subject({"job": "app", "gen_ai_tool_name": f"tool {error}"}, told, print_percentage(share)))
    return Case("Whoever asks a tool wrongly is no failure of the tool.", tuple(series), watch("LLMToolFailing", subjects, {_WARNING: 5}))
