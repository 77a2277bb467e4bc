"""What the board of latency's own queries come to."""

from pathlib import Path

from sidecar.render.board import build_board
from sidecar.render.boards.latency import make_board
from sidecar.thresholds import Terms
from tests.linter import list_panels
from tests.promql_values import check_value, find_query, needs_promtool
from tests.render.terms import OTHER

BOARD = build_board(make_board(Terms()))
TARGET = 'job="a",instance="1"'
BUILD = {f"llm_sidecar_build_info{{{TARGET}}}": "1x20"}
HTTP, OVERHEAD, WAIT = "http_server_request_duration_seconds", "llm_sidecar_overhead_seconds", "llm_sidecar_queue_wait_seconds"


def find_number(title: str, legend: str) -> int:
    """Return which query of a panel has that legend."""
    panel = next(panel for panel in list_panels(BOARD) if panel["title"] == title)
    return [target["legendFormat"] for target in panel["targets"]].index(legend)


@needs_promtool
def test_the_parts_of_a_call_add_up(tmp_path: Path) -> None:
    """Of 2 s of a mean call, what the queue and the sidecar did not take was the upstream's."""
    series = BUILD | {
        f"{HTTP}_count{{{TARGET}}}": "0+10x20", f"{HTTP}_sum{{{TARGET}}}": "0+20x20", f"{WAIT}_sum{{{TARGET}}}": "0+3x20",
        f'{OVERHEAD}_sum{{{TARGET},side="request"}}': "0+2x20", f'{OVERHEAD}_sum{{{TARGET},side="response"}}': "0+1x20",
    }  # fmt: skip
    title, parts = "Time of a call by where it passed", {"upstream": 1.4, "queue": 0.3, "sidecar, request": 0.2, "sidecar, response": 0.1}
    for legend, seconds in parts.items():
        check_value(tmp_path, find_query(BOARD, title, find_number(title, legend)), series, "10m", {"{}": seconds})
    check_value(tmp_path, find_query(BOARD, "Share added by the sidecar"), series, "10m", {"{}": 0.15})


@needs_promtool
def test_the_sidecar_never_takes_more_than_all_of_it(tmp_path: Path) -> None:
    """Where only sessions are, whose handshake alone is a call's time, the upstream's part is nothing and not less."""
    series = BUILD | {
        f"{HTTP}_count{{{TARGET}}}": "0+10x20", f"{HTTP}_sum{{{TARGET}}}": "0+1x20", f"{WAIT}_sum{{{TARGET}}}": "0x20",
        f'{OVERHEAD}_sum{{{TARGET},side="request"}}': "0+2x20", f'{OVERHEAD}_sum{{{TARGET},side="response"}}': "0x20",
    }  # fmt: skip
    check_value(tmp_path, find_query(BOARD, "Time of a call by where it passed", 0), series, "10m", {"{}": 0})


@needs_promtool
def test_models_are_of_the_whole_chosen_time(tmp_path: Path) -> None:
    """A model that was asked an hour ago is in the table, with all its calls; one that was not asked is not."""
    series = {
        f'llm_sidecar_requests_total{{{TARGET},provider="p",model="{model}",ending="completed"}}': values
        for model, values in (("early", "0+60x5 300x55"), ("never", "0x60"))
    }
    check_value(tmp_path, f"round({find_query(BOARD, 'Latency of models')}, 10)", series, "60m", {'{provider="p",model="early"}': 300})


def test_heatmaps_show_buckets() -> None:
    """Each asks for buckets by their bound and has a unit on its axis; distributions stand beside the percentiles of the same."""
    maps = [panel for panel in list_panels(BOARD) if panel["type"] == "heatmap"]
    assert len(maps) == 7
    for panel in maps:
        (target,) = panel["targets"]
        assert "sum by (le)" in target["expr"] and target["format"] == "heatmap" and panel["options"]["yAxis"]["unit"], panel["title"]


def test_bands_have_the_colours_of_their_rank() -> None:
    """The best is green and the worst red, whatever the ends are."""
    for board in (BOARD, build_board(make_board(OTHER))):
        for title in ("Calls by response time", "Streams by first token", "Streams by generation speed"):
            panel = next(panel for panel in list_panels(board) if panel["title"] == title)
            painted = {
                override["matcher"]["options"]: override["properties"][0]["value"]["fixedColor"]
                for override in panel["fieldConfig"]["overrides"]
            }
            names = [target["legendFormat"] for target in panel["targets"]]
            assert list(painted) == names
            assert (painted[names[0]], painted[names[-1]]) == ("green", "red")
            assert (panel["fieldConfig"]["defaults"]["max"], panel["fieldConfig"]["defaults"]["custom"]["stacking"]["mode"]) == (
                1,
                "normal",
            )
