"""The page of names."""

import json

from sidecar import catalogue
from sidecar.errors import ERRORS
from sidecar.render.reference import render_json, render_markdown
from sidecar.thresholds import THRESHOLDS

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
    assert [threshold["signal"] for threshold in page["thresholds"]] == [threshold.signal for threshold in THRESHOLDS]
