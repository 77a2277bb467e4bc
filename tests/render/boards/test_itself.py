"""What the board of the sidecar's own queries come to."""

from pathlib import Path

from sidecar.config import Features
from sidecar.render.board import build_board
from sidecar.render.boards.itself import make_board
from sidecar.thresholds import Terms
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool

BOARD = build_board(make_board(Terms()))
TARGET = 'job="a",instance="1"'
BUILD = {f'llm_sidecar_build_info{{{TARGET},version="1.2",python="3.13"}}': "1x60"}


@needs_promtool
def test_restarts_are_of_sidecars(tmp_path: Path) -> None:
    """A start at another time under the same address is one; that of a process beside it is none."""
    starts = {f"process_start_time_seconds{{{TARGET}}}": "100x20 700x40", 'process_start_time_seconds{job="a",instance="app"}': "1+1x60"}
    check_value(tmp_path, find_query(BOARD, "Restarts"), BUILD | starts, "60m", {"{}": 1})


@needs_promtool
def test_spans_lost_are_a_share(tmp_path: Path) -> None:
    """Of all that should have reached the collector; where there are none, there is no share."""
    series = {
        f"llm_sidecar_spans_exported_total{{{TARGET}}}": "0+90x20",
        f'llm_sidecar_spans_dropped_total{{{TARGET},reason="queue_full"}}': "0+10x20",
    }
    check_value(tmp_path, find_query(BOARD, "Spans lost"), series, "10m", {"{}": 0.1})
    check_value(tmp_path, find_query(BOARD, "Spans lost"), dict.fromkeys(series, "0x20"), "10m", {})


@needs_promtool
def test_versions_tell_since_when(tmp_path: Path) -> None:
    """Seconds since the start, and when the configuration was loaded in the milliseconds that Grafana counts in."""
    series = BUILD | {
        f"process_start_time_seconds{{{TARGET}}}": "120x60",
        f"llm_sidecar_config_last_reload_success_timestamp_seconds{{{TARGET}}}": "180x60",
        f"llm_sidecar_config_last_reload_successful{{{TARGET}}}": "0x60",
    }
    row = '{instance="1",version="1.2",python="3.13"}'
    for number, value in enumerate((480, 180_000, 0)):
        check_value(tmp_path, find_query(BOARD, "Versions", number), series, "10m", {row: value})


@needs_promtool
def test_one_failed_reload_is_seen(tmp_path: Path) -> None:
    """Of several sidecars the worst counts, and each has a line of its own."""
    name = "llm_sidecar_config_last_reload_successful"
    series = {f'{name}{{job="a",instance="1"}}': "1x20", f'{name}{{job="a",instance="2"}}': "0x20"}
    check_value(tmp_path, find_query(BOARD, "Last reload"), series, "10m", {"{}": 0})
    check_value(tmp_path, find_query(BOARD, "Reloads"), series, "10m", {'{instance="1"}': 1, '{instance="2"}': 0})


@needs_promtool
def test_features_are_off_on_some_or_on(tmp_path: Path) -> None:
    """Where sidecars differ, that is said."""
    told = {"cache": "11", "limits": "01", "probes": "00"}
    series = {
        f'llm_sidecar_feature_enabled{{job="a",instance="{instance}",feature="{feature}"}}': f"{state}x20"
        for feature, states in told.items()
        for instance, state in enumerate(states)
    }
    expected = {f'{{feature="{feature}"}}': sum(map(int, states)) for feature, states in told.items()}
    check_value(tmp_path, find_query(BOARD, "Features"), series, "10m", expected)


def test_every_feature_has_a_line() -> None:
    """By the label that features are told by: on or off."""
    panel = next(panel for panel in list_panels(BOARD) if panel["title"] == "Features")
    assert "by (feature)" in panel["targets"][0]["expr"]
    # A line takes about 20 px of the 30 px of each row of the grid, beside head and time.
    assert len(Features.__dataclass_fields__) * 20 <= (panel["gridPos"]["h"] - 2) * 30
