"""Where panels stand, what chooses, where links lead."""

import json
import re
from urllib.parse import unquote

from sidecar.render.board import AS_CHOSEN, Board, Row, build_board, link_board, link_cell, link_traces, render_board
from sidecar.render.panels import Target, stat

TARGET = Target("sum(llm_sidecar_in_flight_requests)", "calls")


def make_board(*rows: Row, variables: tuple[str, ...] = ("provider", "model")) -> Board:
    """Return a board of these rows."""
    return Board("llm-sidecar-one", "One", "What it is for", variables, rows)


def places(board: Board) -> list[tuple[str, int, int, int, int]]:
    """Return title and place of each panel and heading, those of collapsed rows behind their heading."""
    every = [inner for panel in build_board(board)["panels"] for inner in (panel, *panel.get("panels", ()))]
    return [(panel["title"], *(panel["gridPos"][key] for key in "xywh")) for panel in every]


def test_panels_wrap_at_the_width_of_the_grid() -> None:
    """From left to right; a new line begins below the highest of the one before, a heading takes one row."""
    wide, high = stat("Wide", "", "s", [TARGET], width=16, height=4), stat("High", "", "s", [TARGET], width=8, height=6)
    assert places(make_board(Row("", (wide, high, wide)), Row("More", (high,)))) == [
        ("Wide", 0, 0, 16, 4), ("High", 16, 0, 8, 6), ("Wide", 0, 6, 16, 4), ("More", 0, 10, 24, 1), ("High", 0, 11, 8, 6),
    ]  # fmt: skip


def test_collapsed_rows_hold_their_panels() -> None:
    """They take the room of their heading, and their panels are within; ids are unique all the same."""
    panel = stat("Low", "", "s", [TARGET], width=8, height=4)
    board = make_board(Row("Shut", (panel, panel), collapsed=True), Row("Open", (panel,)))
    assert places(board) == [
        ("Shut", 0, 0, 24, 1), ("Low", 0, 1, 8, 4), ("Low", 8, 1, 8, 4), ("Open", 0, 1, 24, 1), ("Low", 0, 2, 8, 4),
    ]  # fmt: skip
    shut, opened, _ = build_board(board)["panels"]
    assert (shut["collapsed"], len(shut["panels"]), opened["collapsed"], opened["panels"]) == (True, 2, False, [])
    ids = [inner["id"] for top in build_board(board)["panels"] for inner in (top, *top.get("panels", ()))]
    assert len(set(ids)) == len(ids)


def test_choices_are_narrowed_by_those_before() -> None:
    """Namespace, job, what the board is about, instance; a model only of the providers that are chosen."""
    variables = build_board(make_board())["templating"]["list"]
    assert [variable["name"] for variable in variables] == [
        "datasource", "tempo_datasource", "namespace", "job", "provider", "model", "instance",
    ]  # fmt: skip
    told = {variable["name"]: variable.get("definition", "") for variable in variables}
    assert told["job"] == 'label_values(llm_sidecar_build_info{namespace=~"$namespace"}, job)'
    assert told["model"] == 'label_values(llm_sidecar_requests_total{namespace=~"$namespace",job=~"$job",provider=~"$provider"}, model)'
    assert told["instance"].endswith('{namespace=~"$namespace",job=~"$job"}, instance)')
    assert {variable["allValue"] for variable in variables if variable["name"] in ("namespace", "provider", "model")} == {".*"}


def test_annotations_mark_starts_reloads_and_alerts() -> None:
    """Starts of sidecars and not of other processes; alerts that fire, of the jobs that are chosen."""
    notes = {note["name"]: note for note in build_board(make_board())["annotations"]["list"]}
    assert notes.keys() == {"Starts", "Reloads", "Alerts"}
    assert "and on (job, instance) llm_sidecar_build_info" in notes["Starts"]["expr"]
    assert 'alertstate="firing"' in notes["Alerts"]["expr"] and 'job=~"$job"' in notes["Alerts"]["expr"]
    assert notes["Starts"]["useValueForTime"] == notes["Reloads"]["useValueForTime"] == "on"
    assert all(re.search(r"\* 1000\b", notes[name]["expr"]) for name in ("Starts", "Reloads"))


def test_links_keep_what_is_chosen() -> None:
    """Time range and variables as they are; from a cell, one variable as the cell says."""
    assert link_board("two", "Two") == {"title": "Two", "url": f"/d/two?{AS_CHOSEN}", "targetBlank": False}
    assert link_cell("two", "Two", "model", "Model")["url"] == (
        "/d/two?${__url_time_range}&${datasource:queryparam}&var-model=${__data.fields.Model}"
    )


def test_traces_are_asked_for_by_an_attribute() -> None:
    """Explore opens with a TraceQL query, the range of the board, and the data source that is chosen; Grafana's variables stay readable."""
    url = link_traces("Traces", "span.gen_ai.request.model", "Model")["url"]
    assert "${__data.fields.Model}" in url and "${tempo_datasource}" in url
    (text,) = re.findall(r"panes=(.*)$", url)
    pane = json.loads(unquote(text))["traces"]
    assert pane["queries"][0]["query"] == '{span.gen_ai.request.model="${__data.fields.Model}"}'
    assert pane["range"] == {"from": "${__from}", "to": "${__to}"}


def test_the_file_is_json_that_ends_in_a_line() -> None:
    """Readable and the same each time."""
    board = make_board(Row("", (stat("One", "…", "s", [TARGET]),)))
    text = render_board(board)
    assert json.loads(text) == build_board(board) and text.endswith("}\n") and "…" in text
    assert render_board(board) == text
