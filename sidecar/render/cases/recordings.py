"""Cases of what is recorded for readers that are no alerts: the grade, and that nothing is no number."""

import re
from typing import Final

from sidecar.exchange import Ending
from sidecar.render.cases.calls import draw_calls
from sidecar.render.cases.case import Case, Reading
from sidecar.render.cases.series import NEAR, Series, grow, grow_histogram, name_series
from sidecar.render.rules import recordings
from sidecar.render.rules.forms import list_bands
from sidecar.thresholds import FAILING_ERROR_RATIO, Terms

_DURATION: Final = "http_server_request_duration_seconds"
_DIVIDED: Final = re.compile(r":(?:ratio|mean)")
# What is divided by: of these nothing is counted, and NaN would look like a value.
_IDLE: Final[tuple[tuple[str, dict[str, str]], ...]] = (
    (f"{_DURATION}_count", {"http_route": "/chat"}),
    (f"{_DURATION}_sum", {"http_route": "/chat"}),
    ("llm_sidecar_upstream_ratelimit_remaining", {"upstream": "openai", "kind": "tokens"}),
    ("llm_sidecar_upstream_ratelimit_limit", {"upstream": "openai", "kind": "tokens"}),
    ("llm_sidecar_cache_lookups_total", {}),
    ("llm_sidecar_cache_hits_total", {"level": "hot"}),
    ("llm_sidecar_tenant_requests_total", {"tenant": "acme"}),
    ("llm_sidecar_rate_limited_requests_total", {"tenant": "acme", "limit": "requests_minute"}),
    ("llm_sidecar_spans_dropped_total", {"reason": "queue_full"}),
    ("llm_sidecar_spans_exported_total", {}),
)
_TOOL: Final = "gen_ai_execute_tool_duration_seconds_count"


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the cases."""
    return _check_grade(terms), _check_idle(terms), _check_others()


def _draw_job(job: str, latency_s: float, errors: float, calls: float = 1.0) -> tuple[Series, ...]:
    """Return a job of two routes: no route has its mean latency or its share of errors alone."""
    found = list[Series]()
    for route, swing, weight in (("quick", 0.5, 2 / 3), ("slow", 2.0, 1 / 3)):
        share = errors if errors > FAILING_ERROR_RATIO / 2 else errors * swing
        endings = {Ending.COMPLETED: calls * weight * (1 - share)} | ({Ending.RESET: calls * weight * share} if errors else {})
        found += draw_calls({"job": job, "route": route}, endings)
        labels = {"job": job, "http_route": f"/{route}", "http_request_method": "POST"}
        found.append(grow(name_series(f"{_DURATION}_count", **labels), calls * weight))
        found.append(grow(name_series(f"{_DURATION}_sum", **labels), calls * weight * latency_s * swing))
    return tuple(found)


def _check_grade(terms: Terms) -> Case:
    """Just within each band and just beyond it, by latency and by errors; the worse of the two counts."""
    bands = list_bands(terms)
    quick_s = 0.5 * bands[0][0]
    series, samples = list[Series](), list[tuple[str, float]]()

    def expect(job: str, latency_s: float, errors: float, grade: int) -> None:
        series.extend(_draw_job(job, latency_s, errors))
        samples.append((f'{recordings.GRADE}{{job="{job}"}}', grade))

    for place, (slow_s, failing) in enumerate(bands):
        letter, grade = "ABC"[place], 4 - place
        expect(f"{letter} by latency", (1 - NEAR) * slow_s, 0.0, grade)
        expect(f"not {letter} by latency", (1 + NEAR) * slow_s, 0.0, grade - 1)
        expect(f"{letter} by errors", quick_s, (1 - NEAR) * failing, grade)
        expect(f"not {letter} by errors", quick_s, (1 + NEAR) * failing, grade - 1)
    expect("D by errors", quick_s, (1 - NEAR) * FAILING_ERROR_RATIO, 1)
    expect("F by errors", quick_s, (1 + NEAR) * FAILING_ERROR_RATIO, 0)
    series += _draw_job("idle", quick_s, 0.0, calls=0.0)
    name = "A job has the grade of the worse of its latency and its errors, F where most calls fail, and none where there are no calls."
    return Case(name, tuple(series), (), readings=(Reading("30m", recordings.GRADE, tuple(samples)),))


def _check_idle(terms: Terms) -> Case:
    """Where nothing was called there is no ratio, where nothing failed it is 0; it takes no more than a part of a call for one."""
    series = list[Series]()
    for job, calls in (("idle", 0.0), ("well", 5.0), ("seldom", 0.01)):
        series += draw_calls({"job": job, "route": "chat"}, {Ending.COMPLETED: calls})
        series.append(grow(name_series(_TOOL, job=job, gen_ai_tool_name="search", error_type=""), calls))
    for job, calls in (("idle", 0.0), ("seldom", 0.01)):
        series += draw_calls({"job": job, "route": "chat"}, {Ending.RESET: calls, Ending.CUT: calls, Ending.RATE_LIMITED: calls})
        series += [grow(name_series(metric, job=job, **labels), calls) for metric, labels in _IDLE]
    zeros = {
        recordings.ERROR_RATIO: f'{recordings.ERROR_RATIO}{{job="well",route="chat"}}',
        recordings.JOB_ERROR_RATIO: f'{recordings.JOB_ERROR_RATIO}{{job="well"}}',
        recordings.TOOL_ERROR_RATIO: f'{recordings.TOOL_ERROR_RATIO}{{job="well",gen_ai_tool_name="search"}}',
    }
    divided = [rule.record for rule in recordings.list_recordings(terms) if _DIVIDED.search(rule.record)]
    readings = (
        *(Reading("45m", f'{record}{{job="idle"}}') for record in divided),
        *(Reading("45m", f'count({record}{{job="seldom"}})', (("{}", 1.0),)) for record in divided),
        *(Reading("45m", f'{record}{{job="well"}}', ((sample, 0.0),)) for record, sample in zeros.items()),
    )
    return Case("What nobody called has no ratio, and what never failed has one of 0.", tuple(series), (), readings=readings)


def _check_others() -> Case:
    """Another application of the same job may have metrics that the conventions name: what it serves is not counted."""
    http, tool = {"http_route": "/chat", "http_request_method": "POST"}, {"gen_ai_tool_name": "search"}
    other = {"instance": "other:80"}
    series = (
        (name_series("llm_sidecar_build_info", version="1", python="3"), "1x60"),
        *grow_histogram(_DURATION, http, ((1.0, 0.0), (2.0, 1.0)), 60),
        grow(name_series(f"{_DURATION}_sum", **http), 120),
        *grow_histogram(_DURATION, http | other, ((1.0, 0.0), (2.0, 0.0)), 60),
        grow(name_series(f"{_DURATION}_sum", **http, **other), 600),
        grow(name_series(_TOOL, **tool, error_type=""), 30),
        grow(name_series(_TOOL, **tool, error_type="500"), 30),
        grow(name_series(_TOOL, **tool, **other, error_type="500"), 60),
    )
    route, job, search = '{job="app",http_route="/chat"}', '{job="app"}', '{job="app",gen_ai_tool_name="search"}'
    found = {
        f"{recordings.HTTP_CALLS}{route}": 1.0,
        f"{recordings.HTTP_MEAN}{route}": 2.0,
        f"{recordings.HTTP_P95}{route}": 1.95,
        f"{recordings.JOB_MEAN}{job}": 2.0,
        f"{recordings.TOOL_CALLS}{search}": 1.0,
        f"{recordings.TOOL_ERROR_RATIO}{search}": 0.5,
    }
    readings = tuple(Reading("30m", sample.partition("{")[0], ((sample, value),)) for sample, value in found.items())
    return Case("Of a job whose targets are not all sidecars, only these are counted.", series, (), readings=readings)
