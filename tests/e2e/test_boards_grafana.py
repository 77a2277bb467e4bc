"""Boards are what Grafana's own libraries know: keys by its foundation SDK, units by @grafana/data."""

import copy
import json
import warnings
from collections.abc import Iterator
from pathlib import Path
from typing import Any, Final

import pytest
from grafana_foundation_sdk.cog.encoder import JSONEncoder
from grafana_foundation_sdk.cog.plugins import register_default_plugins

from tests.rig.boards import BOARDS, Json, list_panels
from tests.rig.viewer import needs_grafana, prepare, run_script

with warnings.catch_warnings():  # that there is a second version of boards, which Grafana 10 to 12 do not read
    warnings.simplefilter("ignore", DeprecationWarning)
    from grafana_foundation_sdk.models.dashboard import Dashboard

# What the SDK cannot hold, and why.
LOST: Final = {
    ("id",): "null is what a board has before Grafana gives it a number; the SDK leaves out what is null",
}
_NOTHING: Final = object()
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())

register_default_plugins()


def list_values(tree: Any, path: tuple[str | int, ...] = ()) -> Iterator[tuple[tuple[str | int, ...], Any]]:
    """Yield every leaf of a tree of JSON with the way to it; empty objects and lists are leaves."""
    items = list(tree.items() if isinstance(tree, dict) else enumerate(tree) if isinstance(tree, list) else ())
    if not items:
        yield path, tree
    for key, value in items:
        yield from list_values(value, (*path, key))


def find_lost(board: Json) -> set[tuple[str | int, ...]]:
    """Return the ways to all that is not the same after the SDK has read and written the board; what was empty may be filled."""
    again = json.loads(json.dumps(Dashboard.from_json(copy.deepcopy(board)), cls=JSONEncoder))
    written = dict(list_values(again))
    return {path for path, value in list_values(board) if value not in ({}, []) and written.get(path, _NOTHING) != value}


@every_board
def test_no_key_is_lost(board: Json) -> None:
    """The SDK knows every key of every panel, query and option, and writes the same values again."""
    assert find_lost(board) - LOST.keys() == set()


@pytest.mark.parametrize("part", [("options",), ("fieldConfig", "defaults"), ("fieldConfig", "defaults", "custom"), ("targets", 0), ()])
def test_misspelt_keys_are_noticed(part: tuple[str | int, ...]) -> None:
    """What no panel of the type has does not pass: neither in its options nor elsewhere."""
    board = copy.deepcopy(BOARDS["overview"])
    at = index = next(number for number, panel in enumerate(board["panels"]) if panel["type"] == "timeseries")
    tree = board["panels"][at]
    for key in part:
        tree = tree[key]
    tree["titel"] = "misspelt"
    assert find_lost(board) - LOST.keys() == {("panels", index, *part, "titel")}


@needs_grafana
def test_units_exist(tmp_path: Path) -> None:
    """Every unit is one that Grafana has, and values of it are not written with two spaces."""
    fields = [panel["fieldConfig"] for board in BOARDS.values() for panel in list_panels(board)]
    units = {field["defaults"]["unit"] for field in fields if "unit" in field["defaults"]}
    overridden = [prop for field in fields for override in field["overrides"] for prop in override["properties"]]
    units |= {prop["value"] for prop in overridden if prop["id"] == "unit"}
    units |= {panel["options"]["yAxis"]["unit"] for board in BOARDS.values() for panel in list_panels(board) if panel["type"] == "heatmap"}
    shown = run_script(prepare(tmp_path), "units.mjs", [*sorted(units), "no-such-unit"])
    assert [unit for unit, text in shown.items() if text is None] == ["no-such-unit"]
    assert {unit: text for unit, text in shown.items() if text and "  " in text} == {}
