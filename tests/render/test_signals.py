"""What is failed, how well a service does: the queries, asked of Prometheus' own engine."""

from pathlib import Path

import pytest

from sidecar.render.queries import Scope
from sidecar.render.signals import GRADES, NAMED, OPERATION, count_down, error_ratio, grade, rename
from sidecar.thresholds import OUTPUT_TOKENS_PER_SECOND, RESPONSE_TIME, TIME_TO_FIRST_TOKEN_P95, Thresholds
from tests.promql_values import check_value, needs_promtool
from tests.render.terms import OTHER

pytestmark = needs_promtool

SCOPE = Scope(("provider", "model"))
BUILD = {'llm_sidecar_build_info{job="a",instance="1"}': "1x20"}
TARGET = 'job="a",instance="1"'
F, D, C, B, A = range(5)


def make_calls(per_minute: float, failing: float, mean_s: float) -> dict[str, str]:
    """Return the series of calls of which a share fails and that take so long."""
    duration = "http_server_request_duration_seconds"
    return BUILD | {
        f'llm_sidecar_requests_total{{{TARGET},ending="completed"}}': f"0+{per_minute * (1 - failing):g}x20",
        f'llm_sidecar_requests_total{{{TARGET},ending="upstream_error"}}': f"0+{per_minute * failing:g}x20",
        f"{duration}_count{{{TARGET}}}": f"0+{per_minute:g}x20", f"{duration}_sum{{{TARGET}}}": f"0+{per_minute * mean_s:g}x20",
    }  # fmt: skip


@pytest.mark.parametrize(
    ("failing", "mean_s", "expected"),
    [
        (0, 0.5, A), (0.009, 1.99, A), (0.02, 0.5, B), (0, 2.5, B), (0.02, 2.5, B), (0.06, 0.5, C), (0, 4, C), (0.02, 4, C),
        (0, 2, B), (0, 3, C), (0, 5, D), (0.2, 0.5, D), (0, 6, D), (0.5, 0.5, D), (0.51, 0.5, F), (0.51, 6, F), (1, 0.1, F),
    ],
)  # fmt: skip
def test_the_grade_is_the_worse_of_two(tmp_path: Path, failing: float, mean_s: float, expected: int) -> None:
    """Each limit counts, of latency and of errors; F is for most calls failing, whatever the latency."""
    check_value(tmp_path, grade(SCOPE, Thresholds()), make_calls(1000, failing, mean_s), "10m", {"{}": expected})
    assert GRADES[expected][0] == "FDCBA"[expected]


@pytest.mark.parametrize(("failing", "mean_s", "expected"), [(0, 2.5, A), (0.009, 1.0, B), (0, 4, B), (0, 6, C), (0.15, 1, D)])
def test_other_grades(tmp_path: Path, failing: float, mean_s: float, expected: int) -> None:
    """The grade follows the table."""
    check_value(tmp_path, grade(SCOPE, OTHER.thresholds), make_calls(1000, failing, mean_s), "10m", {"{}": expected})


def test_idle_has_no_grade(tmp_path: Path) -> None:
    """Nor has what does not exist, or a model that nobody calls while others are called."""
    other = {f'llm_sidecar_requests_total{{{TARGET},ending="completed"}}': "0x20"}
    for series in ({}, make_calls(0, 0, 0), make_calls(100, 0, 1) | other):
        check_value(tmp_path, grade(SCOPE, Thresholds()), series, "10m", {})
        check_value(tmp_path, error_ratio(SCOPE), series, "10m", {})


def test_others_with_the_same_names_are_left_out(tmp_path: Path) -> None:
    """An application that measures its own HTTP calls under the job of its sidecar does not change the grade."""
    others = {
        f'http_server_request_duration_seconds_{end}{{job="a",instance="app"}}': f"0+{value}x20"
        for end, value in (("count", 1000), ("sum", 9000))
    }
    check_value(tmp_path, grade(SCOPE, Thresholds()), make_calls(10, 0, 0.5) | others, "10m", {"{}": A})


def test_what_callers_did_is_no_error(tmp_path: Path) -> None:
    """A caller's mistake, one that hung up, a 429 and a refusal are calls and no errors; a cut answer is one."""
    told = {"completed": 50, "client_fault": 10, "client_gone": 10, "rejected": 10, "rate_limited": 10, "cut": 5, "refused": 5}
    series = {f'llm_sidecar_requests_total{{{TARGET},ending="{ending}"}}': f"0+{count}x20" for ending, count in told.items()}
    check_value(tmp_path, error_ratio(SCOPE), series, "10m", {"{}": 0.05})


def test_models_without_errors_have_a_ratio_of_0(tmp_path: Path) -> None:
    """Each has its own, and one that nobody calls has none."""
    calls = [("a", "completed", 10), ("b", "completed", 5), ("b", "cut", 5), ("c", "completed", 0)]
    series = {
        f'llm_sidecar_requests_total{{{TARGET},provider="p",model="{model}",ending="{ending}"}}': f"0+{count}x20"
        for model, ending, count in calls
    }
    check_value(tmp_path, error_ratio(SCOPE, "model"), series, "10m", {'{model="a"}': 0, '{model="b"}': 0.5})


def test_names_of_the_conventions_become_ours(tmp_path: Path) -> None:
    """So that a table can hold both in one row."""
    label = f'{TARGET},gen_ai_provider_name="openai",gen_ai_request_model="gpt"'
    series = BUILD | {f"{OPERATION}_{end}{{{label}}}": f"0+{value}x20" for end, value in (("count", 10), ("sum", 25))}
    check_value(tmp_path, rename(SCOPE.mean(OPERATION, by=NAMED)), series, "10m", {'{model="gpt",provider="openai"}': 2.5})


def test_sidecars_that_are_down_are_counted(tmp_path: Path) -> None:
    """What was a sidecar and does not answer; others of the job are none, and where all answer it is 0."""
    builds = {f'llm_sidecar_build_info{{job="a",instance="{instance}"}}': "1x5" for instance in "123"}
    up = {f'up{{job="a",instance="{instance}"}}': value for instance, value in (("1", "1x20"), ("2", "1x5 0x15"), ("app", "0x20"))}
    check_value(tmp_path, count_down(SCOPE), builds | up, "4m", {"{}": 0})
    check_value(tmp_path, count_down(SCOPE), builds | up, "15m", {"{}": 1})
    check_value(tmp_path, count_down(SCOPE), {'up{job="a",instance="app"}': "0x20"}, "15m", {})


def test_bands_add_up(tmp_path: Path) -> None:
    """Each observation is in one band, by the buckets at the bands' ends."""
    within = {"1.0": 50, "3.0": 80, "+Inf": 100}
    name = "llm_sidecar_time_to_first_token_seconds"
    series = {f'{name}_bucket{{{TARGET},le="{edge}"}}': f"0+{count}x20" for edge, count in within.items()}
    series[f"{name}_count{{{TARGET}}}"] = "0+100x20"
    for (_, query), share in zip(SCOPE.bands(name, TIME_TO_FIRST_TOKEN_P95), (0.5, 0.3, 0.2), strict=True):
        check_value(tmp_path, query, series, "10m", {"{}": share})
    name, within = "llm_sidecar_output_tokens_per_second", {"10.0": 10, "20.0": 30, "50.0": 60, "+Inf": 100}
    series = {f'{name}_bucket{{{TARGET},le="{edge}"}}': f"0+{count}x20" for edge, count in within.items()}
    series[f"{name}_count{{{TARGET}}}"] = "0+100x20"
    for (_, query), share in zip(SCOPE.bands(name, OUTPUT_TOKENS_PER_SECOND), (0.4, 0.3, 0.2, 0.1), strict=True):
        check_value(tmp_path, query, series, "10m", {"{}": share})
    for _, query in SCOPE.bands(OPERATION, RESPONSE_TIME):
        check_value(tmp_path, query, {}, "10m", {})
