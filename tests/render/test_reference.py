"""The page of names."""

import json

from sidecar import catalogue
from sidecar.errors import ERRORS
from sidecar.render.reference import render_json, render_markdown
from sidecar.thresholds import Objective, Thresholds, Traffic

NAMES = [
    *(metric.name for metric in (*catalogue.METRICS, *catalogue.PROCESS_METRICS)),
    *(attribute.name for span in catalogue.SPANS for attribute in span.attributes),
    *(event.name for event in catalogue.LOG_EVENTS),
    *(header.name for header in catalogue.HEADERS),
    *(kind.id for kind in ERRORS),
]


def test_the_page_names_everything() -> None:
    """Every declared name stands in the Markdown page."""
    page = render_markdown()
    assert [name for name in NAMES if f"`{name}`" not in page] == []


def test_every_table_is_rectangular() -> None:
    """Each row of a table has as many cells as its head: no value breaks a column."""
    width = 0
    for line in render_markdown().splitlines():
        cells = line.replace("\\|", "").count("|")
        if not line.startswith("|"):
            width = 0
        elif not width:
            width = cells
        else:
            assert cells == width, line


def test_the_json_holds_the_same() -> None:
    """The JSON form is one object with every metric, span, event, error and threshold."""
    page = json.loads(render_json())
    assert [metric["name"] for metric in page["metrics"]] == NAMES[: len(page["metrics"])]
    assert {kind["id"] for kind in page["errors"]} == {kind.id for kind in ERRORS}
    assert [header["name"] for header in page["headers"]] == [header.name for header in catalogue.HEADERS]
    assert len(page["spans"]) == len(catalogue.SPANS)
    assert len(page["log_events"]) == len(catalogue.LOG_EVENTS)
    assert {threshold["key"]: threshold["warning"] for threshold in page["thresholds"]} == {
        key: threshold.warning for key, threshold in Thresholds()._asdict().items()
    }
    assert (page["traffic"], page["objective"]) == (Traffic()._asdict(), Objective()._asdict())


def test_the_page_says_what_a_file_of_thresholds_holds() -> None:
    """Each key with the default of its limits, each guard with its number, and the histograms whose edges limits have to be."""
    rows = {cells[0]: cells[1:] for cells in (line.strip("| ").split(" | ") for line in render_markdown().splitlines())}
    assert all(f"`{key}`" in rows for key in (*Thresholds()._fields, *Traffic()._fields))
    assert rows["`error_ratio`"][:7] == ["ratio", "1", "", "", "> 0.05", "> 0.15", "0.01 / 0.05 / 0.15"]
    assert rows["`requests_per_minute`"][:5] == ["rate", "{request}/min", "100", "", "< 10"]
    assert rows["`overhead_p99`"][-1] == "`llm_sidecar_overhead_seconds`"
    assert rows["`cut_answers`"][0] == "3"
    assert "`success_ratio`: 0.99 of the calls" in render_markdown()
