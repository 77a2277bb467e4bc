"""Every board drawn with Grafana's own components and the data of a real Prometheus: nothing on it is empty or cannot be read.

Heatmaps and timelines of states are not in Grafana's packages: these two are drawn by components of tests/viewer.
Where LLM_SIDECAR_TEST_PICTURES names a folder, the pictures are kept there.
"""

from pathlib import Path
from typing import Any, Final

import pytest

from tests.rig.boards import BOARDS
from tests.rig.everything import Everything
from tests.rig.prometheus import needs_prometheus
from tests.rig.redis import needs_redis
from tests.rig.viewer import BoardSeen, PanelSeen, count_rows, draw, draw_boards, needs_viewer

pytestmark = needs_viewer

every_board = pytest.mark.parametrize("name", BOARDS)

BEGAN_MS: Final = 1_700_000_000_000
STEP_S: Final = 60
POINTS: Final = 10


def make_answer(values: list[str], **labels: str) -> dict[str, Any]:
    """Return what Prometheus says of one series over time."""
    times = [BEGAN_MS / 1000 + STEP_S * number for number in range(POINTS)]
    return {"resultType": "matrix", "result": [{"metric": labels, "values": [list(point) for point in zip(times, values, strict=False)]}]}


def make_panel(number: int, kind: str, title: str, width: int = 6, height: int = 8, **more: Any) -> dict[str, Any]:
    """Return a panel with a place of its own and with one target that is answered by `make_answer`."""
    defaults = {"unit": "s", "noValue": "Nothing yet", "custom": {"drawStyle": "line"}, **more.pop("defaults", {})}
    options = {
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True, "calcs": []},
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False}, "graphMode": "none", "colorMode": "value",
        **more.pop("options", {}),
    }  # fmt: skip
    place = {"x": (number - 1) % 3 * 8, "y": (number - 1) // 3 * 9, "w": width, "h": height}
    return {
        "id": number, "type": kind, "title": title, "description": "What it is.", "options": options,
        "gridPos": place, "fieldConfig": {"defaults": defaults, "overrides": []},
        "targets": [{"refId": "A", "expr": "up", "legendFormat": "{{name}}", "range": True}], **more,
    }  # fmt: skip


def draw_panels(folder: Path, panels: list[dict[str, Any]], answers: dict[int, Any]) -> tuple[BoardSeen, dict[str, PanelSeen]]:
    """Draw a board of these panels; return it, and the panels by title. What has no answer gets a rising line."""
    good = make_answer([str(number / 10) for number in range(POINTS)], name="good")
    board = {
        "uid": "drawn", "title": "Drawn", "description": "", "panels": panels, "templating": {"list": []}, "annotations": {"list": []},
    }  # fmt: skip
    asked = {
        "board": board, "from": BEGAN_MS, "to": BEGAN_MS + 1000 * STEP_S * POINTS, "step": 1000 * STEP_S, "annotations": [],
        "answers": {str(panel["id"]): {"A": answers.get(panel["id"], good)} for panel in panels},
    }  # fmt: skip
    seen = draw(folder, {"drawn": asked})["drawn"]
    return seen, {panel.title: panel for panel in seen.panels}


@pytest.fixture(scope="module")
def drawn(everything: Everything, tmp_path_factory: pytest.TempPathFactory) -> dict[str, BoardSeen]:
    """All boards with the data of everything that can be seen."""
    return draw_boards(tmp_path_factory.mktemp("drawn"), everything.prometheus.url, BOARDS, everything.began_s, everything.ended_s)


@needs_prometheus
@needs_redis
@every_board
def test_every_panel_can_be_read(drawn: dict[str, BoardSeen], name: str) -> None:
    """Each panel has data, and nothing of its text is cut, too small or on top of something else."""
    board = drawn[name]
    assert board.problems == {}
    assert [panel.title for panel in board.panels if not panel.drawn or not panel.text] == []


@needs_prometheus
@needs_redis
@every_board
def test_the_browser_has_nothing_to_complain_about(drawn: dict[str, BoardSeen], name: str) -> None:
    """No error, no warning, no file that is missing; and the picture is not of one colour."""
    assert drawn[name].console == []
    assert count_rows(drawn[name].picture) > 100


def test_values_are_shown_as_the_board_says(tmp_path: Path) -> None:
    """Units, words for values, names of series, and texts for no value come from the board."""
    words = [{"type": "value", "options": {"0": {"text": "down", "color": "red"}, "1": {"text": "up", "color": "green"}}}]
    states = {"mappings": words, "unit": "none"}
    buckets = [make_answer([count] * POINTS, le=le)["result"][0] for le, count in (("0.5", "1"), ("2.5", "4"), ("+Inf", "4"))]
    scheme = {"mode": "scheme", "scheme": "Oranges", "exponent": 0.5, "scale": "exponential", "reverse": False}
    heat = make_panel(5, "heatmap", "Heat", options={"color": scheme, "yAxis": {"unit": "s"}, "legend": {"show": True}})
    heat["targets"][0]["format"] = "heatmap"
    rows = make_panel(6, "table", "Rows", transformations=[{"id": "organize", "options": {"excludeByName": {"Time": True}}}])
    rows["targets"][0] |= {"format": "table", "instant": True}
    panels = [
        make_panel(1, "timeseries", "Line"),
        make_panel(2, "stat", "Number"),
        make_panel(3, "state-timeline", "States", defaults=states),
        make_panel(4, "bargauge", "Bar", options={"displayMode": "basic", "orientation": "horizontal"}),
        heat,
        rows,
        make_panel(7, "text", "Text", options={"mode": "markdown", "content": "Some **words**"}),
    ]
    now = {"resultType": "vector", "result": [{"metric": {"name": "one"}, "value": [BEGAN_MS / 1000, "1.5"]}]}
    answers = {3: make_answer(["1"] * 5 + ["0"] * 5, name="side"), 5: {"result": buckets}, 6: now}
    seen, shown = draw_panels(tmp_path, panels, answers)
    assert seen.console == [] and seen.problems == {}
    assert all(panel.drawn and not panel.empty for panel in seen.panels if panel.type != "text")
    wanted = {
        "Line": ("good", "800 ms"), "Number": ("900", "ms"), "States": ("side", "up", "down"), "Bar": ("900", " ms"),
        "Heat": ("500 ms", "2.50 s", "+Inf", "3 s"), "Rows": ("name", "one", "1.50 s"), "Text": ("words",),
    }  # fmt: skip
    for title, texts in wanted.items():
        assert [text for text in texts if text not in shown[title].text] == [], (title, shown[title].text)


def test_what_cannot_be_read_is_noticed(tmp_path: Path) -> None:
    """A title that is cut, values beyond the edge, no data, no number, a failed query, and what nothing draws are problems."""
    answers = {
        2: {"resultType": "matrix", "result": []},
        3: make_answer(["NaN"] * POINTS, name="nan"),
        4: {"error": "parse error"},
    }
    value = {"textMode": "value"}
    panels = [
        make_panel(1, "stat", "Open circuit breakers", width=3),
        make_panel(2, "timeseries", "Silent"),
        make_panel(3, "timeseries", "Not a number"),
        make_panel(4, "timeseries", "Failed"),
        make_panel(5, "piechart", "Pie"),
        make_panel(6, "timeseries", "Low", height=4),
        make_panel(7, "stat", "Small", defaults={"unit": "suffix:" + "very " * 20}, width=3, height=5, options=value),
        make_panel(8, "table", "Nothing in it", transformations=[{"id": "no-such-step", "options": {}}]),
    ]
    _, shown = draw_panels(tmp_path, panels, answers)
    assert not any(panel.drawn for panel in shown.values())
    for title, problem in {
        "Open circuit breakers": "is cut",
        "Silent": "no data",
        "Not a number": "no data",
        "Failed": "parse error",
        "Pie": "no drawing for panels of the type piechart",
        "Low": "px high",
        "Small": "too small",
        "Nothing in it": "unknown transformation",
    }.items():
        assert any(problem in one for one in shown[title].problems), (title, shown[title].problems)
    assert shown["Silent"].empty == ["A"] and "Nothing yet" in shown["Silent"].text


def test_pictures_show_something(tmp_path: Path) -> None:
    """The picture is one of pixels that differ."""
    seen, _ = draw_panels(tmp_path, [make_panel(1, "timeseries", "Line")], {})
    assert count_rows(seen.picture) > 50
