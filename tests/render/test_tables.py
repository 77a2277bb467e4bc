"""Tables of one row per set of labels."""

from sidecar.render.panels import Json, Step, map_words
from sidecar.render.tables import Column, Key, ranking

WORDS = map_words((("bad", "red"), ("good", "green")))
LINK = {"title": "More", "url": "/d/more", "targetBlank": False}
TABLE = ranking(
    "Models", "Which is which", (Key("provider", "Provider"), Key("model", "Model", (LINK,))),
    (
        Column("Calls", "sum by (provider, model) (llm_sidecar_requests_total)", "short", 0),
        Column("p95", "sum by (provider, model) (llm_sidecar_overhead_seconds_sum)", "s", 2, (Step("green"), Step("red", 3))),
        Column("State", "sum by (provider, model) (llm_sidecar_requests_total)", "none", words=WORDS),
    ),
    top=7,
).body  # fmt: skip


def find(title: str) -> Json:
    """Return what is different for a column."""
    (found,) = (each for each in TABLE["fieldConfig"]["overrides"] if each["matcher"] == {"id": "byName", "options": title})
    return {prop["id"]: prop["value"] for prop in found["properties"]}


def test_queries_become_columns() -> None:
    """They are joined by their labels, named, put in order, sorted by the first of them and cut at the most rows."""
    merge, organize, sort, limit = TABLE["transformations"]
    assert (merge["id"], sort["options"]["sort"], limit["options"]) == ("merge", [{"field": "Calls", "desc": True}], {"limitField": 7})
    names = {"provider": "Provider", "model": "Model", "Value #A": "Calls", "Value #B": "p95", "Value #C": "State"}
    assert organize["options"]["renameByName"] == names
    assert sorted(names, key=organize["options"]["indexByName"].__getitem__) == list(names)
    assert organize["options"]["excludeByName"] == {"Time": True}
    assert [target["refId"] for target in TABLE["targets"]] == ["A", "B", "C"]


def test_a_single_query_has_a_column_of_its_own_name() -> None:
    """Grafana calls the values of a single query by no letter."""
    panel = ranking("Models", "Which", (Key("model", "Model"),), (Column("Calls", "llm_sidecar_requests_total", "short"),)).body
    assert panel["transformations"][1]["options"]["renameByName"] == {"model": "Model", "Value": "Calls"}


def test_cells_have_units_colours_and_words() -> None:
    """Each column its own; an empty cell, or one that is not a number, is a dash and not a zero."""
    calls, p95, state, model = map(find, ("Calls", "p95", "State", "Model"))
    assert (calls["unit"], calls["decimals"], p95["unit"], p95["decimals"]) == ("short", 0, "s", 2)
    assert {column["noValue"] for column in (calls, p95, state, model)} == {"-"}
    assert [step["value"] for step in p95["thresholds"]["steps"]] == [None, 3]
    assert state["mappings"][0]["options"]["1"]["text"] == "good"
    assert "thresholds" not in calls and "custom.cellOptions" not in calls
    assert p95["custom.cellOptions"] == state["custom.cellOptions"] == {"type": "color-text"}
    assert model["links"] == [LINK] and "links" not in find("Provider")
