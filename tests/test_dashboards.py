"""dashboards/: boards that any Grafana from 10.4 on can load, over metrics that exist."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue import ACCOUNT_METRICS, BREAKER_STATES, REUSE_METRICS
from sidecar.exchange import SERVICE_ERRORS
from sidecar.thresholds import (
    BUDGET_SPENT,
    CACHE_HIT_RATIO,
    ERROR_RATIO,
    LATENCY_P95,
    OUTPUT_TOKENS_PER_SECOND,
    RATELIMIT_REMAINING,
    TIME_TO_FIRST_TOKEN_P95,
)
from tests.promql import SERVER_METRICS, find_unknown, read_names

FILES = sorted((Path(__file__).resolve().parent.parent / "dashboards").glob("*.json"))
BOARDS = {file.name: json.loads(file.read_text(encoding="utf-8")) for file in FILES}
CORE_PANELS = {"stat", "timeseries", "table", "heatmap", "bargauge", "gauge", "barchart", "state-timeline", "text", "row"}
UNITS = {"s", "reqps", "cps", "cpm", "percentunit", "currencyUSD", "bytes", "short", "none", "suffix: tok/s"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# A ConfigMap applied by kubectl keeps a copy in an annotation of at most this size.
BYTES_MAX = 256 * 1024
every_board = pytest.mark.parametrize("board", BOARDS.values(), ids=BOARDS.keys())

Json = dict[str, Any]


def panels(board: Json) -> list[Json]:
    """Panels that show something."""
    return [panel for panel in board["panels"] if panel["type"] != "row"]


def expressions(board: Json) -> Iterator[tuple[str, str]]:
    """Yield where an expression stands, and the expression: targets, annotations and variables."""
    for panel in panels(board):
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((note["name"], note["expr"]) for note in board["annotations"]["list"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.sub(r"label_values\((.*), \w+\)", r"\1", variable["definition"])


def limits(panel: Json) -> list[float]:
    """Return the values at which a panel changes colour."""
    steps = panel["fieldConfig"]["defaults"].get("thresholds", {}).get("steps", ())
    return [step["value"] for step in steps if step["value"] is not None]


def test_there_are_boards() -> None:
    """The one that people look at first and those it leads to exist, under addresses that do not change."""
    assert {name: board["uid"] for name, board in BOARDS.items()} == {
        "overview.json": "llm-sidecar-overview", "resilience.json": "llm-sidecar-resilience", "cache.json": "llm-sidecar-cache",
        "spending.json": "llm-sidecar-spending",
    }  # fmt: skip


@every_board
def test_shape(board: Json) -> None:
    """Classic JSON of a version that Grafana 10.4 to 13 read, read-only, without what only the import dialogue fills in."""
    assert board["schemaVersion"] == 39 and board["id"] is None and board["editable"] is False
    assert not {"__inputs", "__requires"} & board.keys()
    assert "llm-sidecar" in board["tags"]
    assert len(board["uid"]) <= 40
    assert len(json.dumps(board, indent=2)) < BYTES_MAX


@every_board
def test_panels_say_what_they_show(board: Json) -> None:
    """Each panel has a title of its own, a description that names its metrics, a unit, and a text for no data."""
    titles = [panel["title"] for panel in panels(board)]
    assert len(set(titles)) == len(titles)
    for panel in board["panels"]:
        assert panel["type"] in CORE_PANELS, panel["title"]
    for panel in panels(board):
        defaults = panel["fieldConfig"]["defaults"]
        assert defaults["unit"] in UNITS, panel["title"]
        assert defaults["noValue"], panel["title"]
        used = {name for target in panel["targets"] for name in read_names(target["expr"]).selected}
        assert used, panel["title"]
        for name in used:
            assert re.sub(r"_(bucket|sum|count)$", "", name) in panel["description"], (panel["title"], name)


@every_board
def test_panels_do_not_overlap(board: Json) -> None:
    """Every panel has a place of its own within the 24 columns, and an id of its own."""
    ids = [panel["id"] for panel in board["panels"]]
    assert len(set(ids)) == len(ids)
    places = [panel["gridPos"] for panel in board["panels"]]
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@every_board
def test_the_data_source_can_be_chosen(board: Json) -> None:
    """Everything asks the one variable: a board that is provisioned has no dialogue to fill in a data source."""
    sources = [variable for variable in board["templating"]["list"] if variable["type"] == "datasource"]
    assert [(source["name"], source["query"], source["label"]) for source in sources] == [("datasource", "prometheus", "Data source")]
    queries = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    shown = [*panels(board), *board["annotations"]["list"], *queries, *(target for panel in panels(board) for target in panel["targets"])]
    assert [item for item in shown if item["datasource"] != SOURCE] == []


@every_board
def test_variables(board: Json) -> None:
    """Job and instance match every target by default, other choices series without the label too; all follow the time range."""
    variables = {variable["name"]: variable for variable in board["templating"]["list"] if variable["type"] == "query"}
    assert {"job", "instance"} <= variables.keys()
    for name, variable in variables.items():
        assert variable["allValue"] == (".+" if name in ("job", "instance") else ".*")
        assert variable["multi"] and variable["includeAll"] and variable["refresh"] == 2 and variable["label"]
    used = {name for text in [json.dumps(board)] for name in re.findall(r"\$([a-z]+)\b", text)}
    assert used == variables.keys()


@every_board
def test_every_name_is_known(board: Json) -> None:
    """Boards use only metrics and labels of the catalogue."""
    assert {place: unknown for place, expression in expressions(board) if (unknown := find_unknown(expression))} == {}


@every_board
def test_queries_are_of_the_chosen_targets(board: Json) -> None:
    """Every selector is bound to job and instance; counters are only read as rates, over the range that fits the step."""
    shown = [*(target for panel in panels(board) for target in panel["targets"]), *board["annotations"]["list"]]
    for text in (item["expr"] for item in shown):
        for matchers in re.findall(r"\{([^}]*)\}", text):
            # Alerts are about a job, not about one of its instances.
            wanted = ['job=~"$job"'] if "ALERTS{" in text else ['job=~"$job"', 'instance=~"$instance"']
            assert all(each in matchers for each in wanted), text
        assert set(re.findall(r"\[([^\]]*)\]", text)) <= {"$__rate_interval"}, text
        assert set(re.findall(r"(\w*)\(?\b\w+_(?:total|bucket|sum|count)\{", text)) <= {"rate"}, text


@every_board
def test_what_happens_once_is_drawn(board: Json) -> None:
    """Where a query leaves out what is zero, a moment between two gaps is a bar or a point: a line of one moment cannot be seen."""
    shown = [panel for panel in panels(board) if any(target["expr"].endswith("> 0") for target in panel["targets"])]
    drawn = {panel["title"]: panel["fieldConfig"]["defaults"].get("custom", {}) for panel in shown if panel["type"] == "timeseries"}
    assert drawn
    assert [title for title, custom in drawn.items() if custom["drawStyle"] != "bars" and custom["showPoints"] != "auto"] == []


@every_board
def test_no_data_is_not_shown_as_zero(board: Json) -> None:
    """Where no sidecar is there, nothing is made up: only alerts, of which there is no series while none fires, are zero then."""
    assert [text for _, text in expressions(board) if text.endswith("or vector(0)") and not text.startswith("count(ALERTS{")] == []


@every_board
def test_links_lead_to_boards_that_exist(board: Json) -> None:
    """From each board to all others, and from panels to one: with the time range and the variables as they are."""
    (others,) = board["links"]
    assert (others["type"], others["tags"], others["includeVars"], others["keepTime"]) == ("dashboards", ["llm-sidecar"], True, True)
    for link in (link for panel in panels(board) for link in panel.get("links", ())):
        path, _, query = link["url"].partition("?")
        assert path in {f"/d/{other['uid']}" for other in BOARDS.values()}
        assert query == "${__url_time_range}&${__all_variables}"


def test_an_open_breaker_is_seen_at_first_sight() -> None:
    """The board that people look at first says so, and leads to the one that tells more."""
    panel = next(panel for panel in panels(BOARDS["overview.json"]) if panel["title"] == "Open breakers")
    assert panel["gridPos"]["y"] == 0
    assert [link["url"].partition("?")[0] for link in panel["links"]] == ["/d/llm-sidecar-resilience"]


@every_board
def test_latency_panels_lead_to_traces(board: Json) -> None:
    """Where a board shows quantiles of latency or of the first token over time, exemplars are asked for once per panel."""
    shown = [panel for panel in panels(board) if panel["title"] in ("Latency", "Time to first token")]
    assert len(shown) == (2 if board is BOARDS["overview.json"] else 0)
    for panel in shown:
        assert [target.get("exemplar", False) for target in panel["targets"]].count(True) == 1


@pytest.mark.parametrize("name", ["overview.json", "resilience.json"])
def test_errors_are_the_errors_of_the_service(name: str) -> None:
    """The error ratio counts the endings that the code counts."""
    board = BOARDS[name]
    told = [set(match.split("|")) for _, text in expressions(board) for match in re.findall(r'ending=~"([^"]*)"', text)]
    assert told and all(endings == set(map(str, SERVICE_ERRORS)) for endings in told)


def test_colours_change_at_the_thresholds() -> None:
    """Colours follow the table of thresholds."""
    shown = {panel["title"]: limits(panel) for panel in panels(BOARDS["overview.json"]) if limits(panel)}
    first = [band.limit for band in TIME_TO_FIRST_TOKEN_P95.bands if band.limit is not None]
    speed = sorted(band.limit for band in OUTPUT_TOKENS_PER_SECOND.bands if band.limit is not None)
    latency, errors = ([each.warning, each.critical] for each in (LATENCY_P95, ERROR_RATIO))
    assert shown == {
        "Error ratio": errors, "Error ratio by route": errors,
        "Latency, p95": latency, "Latency": latency, "Latency by model": latency,
        "First token, p95": first, "Time to first token": first,
        "Generation speed": speed, "Generation speed by model": speed,
        "Share left of rate limits": [RATELIMIT_REMAINING.warning, RATELIMIT_REMAINING.info],
        "Error ratio by tool": [ERROR_RATIO.critical],
        "Open breakers": [1], "Firing alerts": [1],
    }  # fmt: skip
    shown = {panel["title"]: limits(panel) for panel in panels(BOARDS["resilience.json"])}
    assert shown["Error ratio"] == errors
    shown = {panel["title"]: limits(panel) for panel in panels(BOARDS["cache.json"])}
    assert shown["Hit ratio"] == shown["Hit ratio over time"] == [CACHE_HIT_RATIO.info]
    shown = {panel["title"]: limits(panel) for panel in panels(BOARDS["spending.json"])}
    assert shown["Budget spent of limit"] == [BUDGET_SPENT.warning, BUDGET_SPENT.critical]
    assert shown["Budgets spent"] == [1] and f">= bool {BUDGET_SPENT.critical:g}" in json.dumps(BOARDS["spending.json"])
    assert shown["Refused by limits"] == shown["Share refused by tenant"] == [ERROR_RATIO.warning]


def test_every_metric_of_reuse_and_accounts_is_on_a_board() -> None:
    """What is measured can be looked at."""
    used = {name for board in BOARDS.values() for _, text in expressions(board) for name in read_names(text).selected}
    assert {metric.name for metric in (*REUSE_METRICS, *ACCOUNT_METRICS)} - used == set()


def test_budgets_are_bars() -> None:
    """How much of a budget is spent is seen at one look: bars from nothing to the limit."""
    panel = next(panel for panel in panels(BOARDS["spending.json"]) if panel["title"] == "Budget spent of limit")
    defaults = panel["fieldConfig"]["defaults"]
    assert (panel["type"], defaults["unit"], defaults["min"], defaults["max"]) == ("bargauge", "percentunit", 0, 1)


@every_board
def test_states_have_words_and_colours(board: Json) -> None:
    """A timeline of states shows each as a word, in the colour of its number."""
    for panel in (panel for panel in panels(board) if panel["type"] == "state-timeline"):
        defaults = panel["fieldConfig"]["defaults"]
        words = {int(number): word["color"] for mapping in defaults["mappings"] for number, word in mapping["options"].items()}
        colours = [step["color"] for step in defaults["thresholds"]["steps"]]
        assert list(words) == list(range(len(words))) and list(words.values()) == colours, panel["title"]


def test_states_of_breakers_are_the_catalogues() -> None:
    """The words of the timeline are the states, in the order of their numbers."""
    panel = next(panel for panel in panels(BOARDS["resilience.json"]) if panel["title"] == "Circuit breaker state")
    (mapping,) = panel["fieldConfig"]["defaults"]["mappings"]
    assert tuple(word["text"].replace("-", "_") for word in mapping["options"].values()) == BREAKER_STATES


@pytest.mark.parametrize(
    ("expression", "unknown"),
    [
        ('sum by (ending) (rate(llm_sidecar_requests_total{job="a"}[5m])) > 0', []),
        ("llm_sidecar_request_total", ["metric llm_sidecar_request_total"]),
        ('rate(llm_sidecar_requests_total{end="cut"}[5m])', ["llm_sidecar_requests_total{end}"]),
        ("sum by (upstream) (rate(llm_sidecar_requests_total[5m]))", ["label upstream"]),
        ("rate(llm_sidecar_overhead_seconds[5m])", ["metric llm_sidecar_overhead_seconds"]),
        ("up == 0 and on (job) last_over_time(llm_sidecar_build_info[1d])", []),
    ],
)
def test_unknown_names_are_found(expression: str, unknown: list[str]) -> None:
    """The check of names sees metrics, labels in selectors and labels in groupings."""
    assert find_unknown(expression) == unknown
    assert set(SERVER_METRICS) == {"up", "ALERTS"}
