"""What the overview's own queries come to."""

from pathlib import Path

from sidecar.render.board import build_board
from sidecar.render.boards.overview import make_board
from sidecar.thresholds import Terms
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

BOARD = build_board(make_board(Terms()))
TARGET = 'job="a",instance="1"'
BUILD = {f"llm_sidecar_build_info{{{TARGET}}}": "1x20"}
CALLS = "llm_sidecar_requests_total"


@needs_promtool
def test_alerts_are_counted_once_they_fire(tmp_path: Path) -> None:
    """Neither those that wait nor the watchdog, which always fires; none at all is 0."""
    told = {"LLMHighErrorRatio": ("firing", "critical"), "LLMCallsShed": ("pending", "warning"), "LLMWatchdog": ("firing", "none")}
    series = {
        f'ALERTS{{job="a",alertname="{name}",alertstate="{state}",severity="{severity}"}}': "1x20"
        for name, (state, severity) in (*told.items(), ("Other", ("firing", "critical")))
    }
    check_value(tmp_path, find_query(BOARD, "Firing alerts"), series, "10m", {"{}": 1})
    check_value(tmp_path, find_query(BOARD, "Firing alerts"), {}, "10m", {"{}": 0})


@needs_promtool
def test_streams_are_told_from_whole_answers(tmp_path: Path) -> None:
    """What has a first chunk streamed; where nothing ever did, all answers were whole."""
    whole = BUILD | {f"gen_ai_client_operation_duration_seconds_count{{{TARGET}}}": "0+60x20"}
    streams = {f"gen_ai_client_operation_time_to_first_chunk_seconds_count{{{TARGET}}}": "0+12x20"}
    title = "Streamed and whole answers"
    check_value(tmp_path, find_query(BOARD, title, 0), whole | streams, "10m", {"{}": 0.2})
    check_value(tmp_path, find_query(BOARD, title, 1), whole | streams, "10m", {"{}": 0.8})
    check_value(tmp_path, find_query(BOARD, title, 1), whole, "10m", {"{}": 1})


@needs_promtool
def test_kinds_of_failure(tmp_path: Path) -> None:
    """Endings of one kind are added up; a kind that never was is 0 where there are calls, and nothing where there are none."""
    title = "Calls by kind of failure"
    panel = next(panel for panel in list_panels(BOARD) if panel["title"] == title)
    names = [target["legendFormat"] for target in panel["targets"]]
    endings = {"completed": 60, "reset": 6, "cut": 12}
    series = {f'{CALLS}{{{TARGET},ending="{ending}"}}': f"0+{count}x20" for ending, count in endings.items()}
    check_value(tmp_path, find_query(BOARD, title, names.index("cut or reset")), series, "10m", {"{}": 0.3})
    check_value(tmp_path, find_query(BOARD, title, names.index("too slow")), series, "10m", {"{}": 0})
    check_value(tmp_path, find_query(BOARD, title, names.index("too slow")), {}, "10m", {})


@needs_promtool
def test_calls_without_a_status_have_a_name(tmp_path: Path) -> None:
    """A caller that hung up before there was one is none, and not a line without a name."""
    name = "http_server_request_duration_seconds_count"
    series = BUILD | {f'{name}{{{TARGET},http_response_status_code="200"}}': "0+60x20", f"{name}{{{TARGET}}}": "0+6x20"}
    labels = {'{http_response_status_code="200"}': 1.0, '{http_response_status_code="none"}': 0.1}
    check_value(tmp_path, find_query(BOARD, "Status codes"), series, "10m", labels)


@needs_promtool
def test_saturation_is_of_the_fullest_sidecar(tmp_path: Path) -> None:
    """Of several the one that has least left; a process that is no sidecar has no part in it."""
    series = dict[str, str]()
    for instance, cpu, memory in (("1", 6, 50), ("2", 30, 20)):
        target = f'job="a",instance="{instance}"'
        series |= {
            f"llm_sidecar_build_info{{{target}}}": "1x20", f"process_cpu_seconds_total{{{target}}}": f"0+{cpu}x20",
            f"process_resident_memory_bytes{{{target}}}": f"{memory}x20", f"llm_sidecar_memory_limit_bytes{{{target}}}": "100x20",
        }  # fmt: skip
    series |= {
        'process_cpu_seconds_total{job="a",instance="app"}': "0+60x20",
        'process_resident_memory_bytes{job="a",instance="app"}': "99x20",
    }
    check_value(tmp_path, find_query(BOARD, "CPU and memory used", 0), series, "10m", {"{}": 0.5})
    check_value(tmp_path, find_query(BOARD, "CPU and memory used", 1), series, "10m", {"{}": 0.5})


@needs_promtool
def test_room_is_used_by_what_is_pending(tmp_path: Path) -> None:
    """Over all sidecars that have the upstream."""
    series = {
        f'llm_sidecar_upstream_{name}{{job="a",instance="{instance}",upstream="u"}}': f"{value}x20"
        for instance in "12" for name, value in (("pending", 30), ("concurrency_limit", 40))
    }  # fmt: skip
    check_value(tmp_path, find_query(BOARD, "Room used at upstreams"), series, "10m", {'{upstream="u"}': 0.75})


@needs_promtool
def test_quality_is_the_mean_of_what_was_said(tmp_path: Path) -> None:
    """Over all sidecars, of each model by itself."""
    labels = 'provider="p",model="m"'
    series = {
        f'llm_sidecar_quality_score_{name}{{job="a",instance="{instance}",{labels}}}': f"0+{step}x20"
        for instance, rated, total in (("1", 10, 9), ("2", 30, 15)) for name, step in (("count", rated), ("sum", total))
    }  # fmt: skip
    check_value(tmp_path, find_query(BOARD, "Quality by model"), series, "10m", {f"{{{labels}}}": 0.6})


def test_what_only_some_use_is_collapsed() -> None:
    """Rows of tools, batches and sessions, ratings and events are shut: they would be empty for most."""
    rows = {row["title"]: row["collapsed"] for row in BOARD["panels"] if row["type"] == "row"}
    assert {title for title, collapsed in rows.items() if collapsed} == {"Tools", "Batches and WebSockets", "Quality and events"}


def test_the_first_rows_are_numbers() -> None:
    """How the service does is seen before anything else, in two lines of six."""
    strip = [panel for panel in BOARD["panels"] if panel["gridPos"]["y"] < 8]
    assert [panel["type"] for panel in strip] == ["stat"] * 12
    assert BOARD["panels"][0]["title"] == "Grade"
