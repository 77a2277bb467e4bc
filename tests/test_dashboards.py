"""dashboards/: boards that any Grafana from 10.4 on can load, over metrics that exist, for whatever thresholds they are rendered."""

import json
import re
from collections.abc import Iterator
from itertools import combinations
from pathlib import Path
from typing import Any

import pytest

from sidecar.catalogue import BREAKER_STATES, METRICS, PROCESS_METRICS
from sidecar.exchange import SERVICE_ERRORS, Ending
from sidecar.render.alerting import list_alerts
from sidecar.render.board import render_board
from sidecar.render.boards import list_boards
from sidecar.render.figures import print_share
from sidecar.render.rules import list_groups, list_optional
from sidecar.render.signals import CLASSES, GRADES
from sidecar.thresholds import FAILING_ERROR_RATIO, Terms, Threshold
from tests.linter import list_panels
from tests.promql import SERVER_METRICS, find_unknown, read_names
from tests.promql_values import check_values, needs_promtool
from tests.rendered import TERMS, build_boards

ROOT = Path(__file__).resolve().parent.parent
NAMES = ("overview", "latency", "cost", "resilience", "cache", "sidecar")
CORE_PANELS = {"stat", "timeseries", "table", "heatmap", "bargauge", "gauge", "barchart", "state-timeline", "text", "row"}
SOURCE = {"type": "prometheus", "uid": "${datasource}"}
COLUMNS = 24
# A ConfigMap applied by kubectl keeps a copy in an annotation of at most this size.
BYTES_MAX = 256 * 1024
# What other processes have under the same names, as series.
OFTEN = (*(metric.name for metric in PROCESS_METRICS), *(f"http_server_request_duration_seconds_{end}" for end in ("sum", "count")))
every_terms = pytest.mark.parametrize("terms", TERMS)
every_name = pytest.mark.parametrize("name", NAMES)

Json = dict[str, Any]


@pytest.fixture
def board(terms: str, name: str) -> Json:
    """One board, for one set of terms."""
    return build_boards(terms)[name]


def find_panel(board: Json, title: str) -> Json:
    """Return the panel of that title."""
    return next(panel for panel in list_panels(board) if panel["title"] == title)


def expressions(board: Json) -> Iterator[tuple[str, str]]:
    """Yield where an expression stands, and the expression: targets, annotations and variables."""
    for panel in list_panels(board):
        yield from ((panel["title"], target["expr"]) for target in panel["targets"])
    yield from ((note["name"], note["expr"]) for note in board["annotations"]["list"])
    for variable in board["templating"]["list"]:
        if variable["type"] == "query":
            yield variable["name"], re.sub(r"label_values\((.*), \w+\)", r"\1", variable["definition"])


def limits(panel: Json) -> list[float]:
    """Return the values at which a panel changes colour."""
    return steps(panel["fieldConfig"]["defaults"])


def steps(field: Json) -> list[float]:
    """Return the values at which a field changes colour."""
    return [step["value"] for step in field.get("thresholds", {}).get("steps", ()) if step["value"] is not None]


def ends(threshold: Threshold) -> list[float]:
    """Return the ends of a threshold's bands, ascending."""
    return sorted(band.limit for band in threshold.bands if band.limit is not None)


@every_name
def test_committed_boards_are_rendered(name: str) -> None:
    """The files are what comes of the terms that hold where nobody says otherwise, and there are no others."""
    folder = ROOT / "dashboards"
    assert (folder / f"{name}.json").read_text(encoding="utf-8") == render_board(list_boards(Terms())[name])
    assert {file.stem for file in folder.glob("*.json")} == set(NAMES)


def test_there_are_boards() -> None:
    """The one that people look at first and those it leads to exist, under addresses that do not change."""
    assert {name: board["uid"] for name, board in build_boards("committed").items()} == {name: f"llm-sidecar-{name}" for name in NAMES}


@every_terms
@every_name
def test_shape(board: Json) -> None:
    """Classic JSON of a version that Grafana 10.4 to 13 read, read-only, without what only the import dialogue fills in."""
    assert board["schemaVersion"] == 39 and board["id"] is None and board["editable"] is False
    assert not {"__inputs", "__requires"} & board.keys()
    assert "llm-sidecar" in board["tags"]
    assert board["description"] and len(board["uid"]) <= 40
    assert len(json.dumps(board, indent=2)) < BYTES_MAX


@every_terms
@every_name
def test_panels_say_what_they_show(board: Json) -> None:
    """Each panel has a title of its own, a description that names its metrics, and a text for no data; series have names."""
    titles = [panel["title"] for panel in list_panels(board)]
    assert len(set(titles)) == len(titles)
    assert {panel["type"] for panel in (*board["panels"], *list_panels(board))} <= CORE_PANELS
    for panel in list_panels(board):
        assert panel["fieldConfig"]["defaults"]["noValue"], panel["title"]
        assert panel["type"] == "stat" or all(target["legendFormat"] for target in panel["targets"]), panel["title"]
        used = {re.sub(r"_(bucket|sum|count)$", "", name) for target in panel["targets"] for name in read_names(target["expr"]).selected}
        # By this one sidecars are told from other targets.
        shown = used - {"llm_sidecar_build_info"} or used
        assert shown and all(name in panel["description"] for name in shown), panel["title"]
        assert len(panel["description"]) > len(" ()") + sum(map(len, shown)) + 20, panel["title"]


@every_name
def test_panels_do_not_overlap(name: str) -> None:
    """Every panel has a place of its own within the 24 columns, and an id of its own; those of a row that is open, too."""
    board = build_boards("committed")[name]
    ids = [panel["id"] for row in board["panels"] for panel in (row, *row.get("panels", ()))]
    assert len(set(ids)) == len(ids)
    check_places([panel["gridPos"] for panel in board["panels"]])
    for row in board["panels"]:
        check_places([panel["gridPos"] for panel in row.get("panels", ())])
        assert all(panel["gridPos"]["y"] > row["gridPos"]["y"] for panel in row.get("panels", ()))


def check_places(places: list[dict[str, int]]) -> None:
    """Check that no place reaches over another or over the edge."""
    assert all(place["x"] >= 0 and place["x"] + place["w"] <= COLUMNS for place in places)
    for one, other in combinations(places, 2):
        apart_x = one["x"] + one["w"] <= other["x"] or other["x"] + other["w"] <= one["x"]
        apart_y = one["y"] + one["h"] <= other["y"] or other["y"] + other["h"] <= one["y"]
        assert apart_x or apart_y, (one, other)


@every_name
def test_the_data_source_can_be_chosen(name: str) -> None:
    """Everything asks the one variable: a board that is provisioned has no dialogue to fill in a data source."""
    board = build_boards("committed")[name]
    queries = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    targets = [target for panel in list_panels(board) for target in panel["targets"]]
    shown = [*list_panels(board), *board["annotations"]["list"], *queries, *targets]
    assert [item for item in shown if item["datasource"] != SOURCE] == []


@every_name
def test_variables_are_chained(name: str) -> None:
    """Job and instance match every target by default, other choices series without the label too; each is narrowed by those before."""
    board = build_boards("committed")[name]
    variables = [variable for variable in board["templating"]["list"] if variable["type"] == "query"]
    names = [variable["name"] for variable in variables]
    assert (names[:2], names[-1]) == (["namespace", "job"], "instance")
    for place, variable in enumerate(variables):
        assert variable["allValue"] == (".+" if variable["name"] in ("job", "instance") else ".*")
        assert variable["includeAll"] and variable["multi"] and variable["sort"]
        assert set(re.findall(r"\$(\w+)", variable["definition"])) >= set(names[: min(place, 2)])
        assert set(re.findall(r"\$(\w+)", variable["definition"])) <= set(names[:place])
    used = set(re.findall(r"\$([a-z]+)\b", json.dumps([text for _, text in expressions(board)])))
    assert used == set(names)


@every_terms
@every_name
def test_every_name_is_known(board: Json) -> None:
    """Boards use only metrics and labels of the catalogue."""
    assert {place: unknown for place, expression in expressions(board) if (unknown := find_unknown(expression))} == {}


def test_every_metric_is_on_a_board() -> None:
    """What is measured can be looked at."""
    used = {name for board in build_boards("committed").values() for _, text in expressions(board) for name in read_names(text).selected}
    shown = {re.sub(r"_(bucket|sum|count)$", "", name) for name in used} | used
    assert {metric.name for metric in (*METRICS, *PROCESS_METRICS)} - shown == set()


@every_name
def test_others_are_not_shown(name: str) -> None:
    """Metrics that other processes have under the same names are only shown of targets that are sidecars."""
    for place, text in expressions(build_boards("committed")[name]):
        foreign = [metric for metric in read_names(text).selected if not metric.startswith(("llm_sidecar_", "ALERTS"))]
        joined = text.count(" and on (job, instance) ") + text.count(" * on (job, instance) ") + (" / llm_sidecar_memory_limit" in text)
        joined += text.count(" / process_max_fds")  # whose part is joined
        assert joined >= sum(len(re.findall(rf"\b{metric}\b", text)) for metric in foreign), (place, text)


@every_terms
@every_name
def test_edges_exist(board: Json) -> None:
    """Where a query picks a bucket, there is one with that edge."""
    for place, text in expressions(board):
        for series, edge in re.findall(r'(\w+)_bucket\{[^}]*\ble="([^"]*)"', text):
            metric = next(metric for metric in METRICS if metric.name == series)
            assert edge in map(str, map(float, metric.buckets)), (place, edge)


@every_name
def test_what_happens_once_is_drawn(name: str) -> None:
    """Where a query leaves out what is zero, a moment between two gaps is a bar or a point: a line of one moment cannot be seen."""
    panels = list_panels(build_boards("committed")[name])
    shown = [panel for panel in panels if any(target["expr"].endswith("> 0") for target in panel["targets"])]
    drawn = {panel["title"]: panel["fieldConfig"]["defaults"].get("custom", {}) for panel in shown if panel["type"] == "timeseries"}
    assert [title for title, custom in drawn.items() if custom["drawStyle"] != "bars" and custom["showPoints"] != "auto"] == []


@needs_promtool
@every_name
def test_nothing_is_made_up(name: str, tmp_path: Path) -> None:
    """Where no sidecar is, no panel has a number, whatever else is scraped: but for alerts, of which none is zero."""
    others = {f'{metric}{{job="a",instance="app"}}': "1+1x20" for metric in ("up", "scrape_samples_scraped", *OFTEN)}
    none = 'count(ALERTS{namespace=~"$namespace",job=~"$job",alertname=~"LLM.+",alertstate="firing",severity!="none"}) or vector(0)'
    queries = [target["expr"] for panel in list_panels(build_boards("committed")[name]) for target in panel["targets"]]
    check_values(tmp_path, {query: {"{}": 0} if query == none else {} for query in queries}, others, "10m")
    assert (none in queries) is (name == "overview")


@every_name
def test_links_lead_to_boards_that_exist(name: str) -> None:
    """From each board to all others, and from panels and cells to one: with the time range, and the variables as they are or one set."""
    boards = build_boards("committed")
    board, addresses = boards[name], {f"/d/{each['uid']}" for each in boards.values()}
    (others,) = board["links"]
    assert (others["type"], others["tags"], others["includeVars"], others["keepTime"]) == ("dashboards", ["llm-sidecar"], True, True)
    for link in (link for panel in list_panels(board) for link in panel.get("links", ())):
        path, _, query = link["url"].partition("?")
        assert (path in addresses, query) == (True, "${__url_time_range}&${__all_variables}")
    for panel in list_panels(board):
        check_cells(panel, addresses)


def check_cells(panel: Json, addresses: set[str]) -> None:
    """Check that the links of a table's cells lead to boards or traces, by columns that the table has."""
    properties = [prop for override in panel["fieldConfig"]["overrides"] for prop in override["properties"]]
    for link in (link for prop in properties if prop["id"] == "links" for link in prop["value"]):
        assert link["url"].partition("?")[0] in {"/explore", *addresses}
        (organised,) = (each["options"] for each in panel["transformations"] if each["id"] == "organize")
        named = set(re.findall(r"\$\{__data\.fields\.(\w+)\}", link["url"]))
        assert named and named <= set(organised["renameByName"].values()), link["url"]


def test_tables_lead_to_traces() -> None:
    """From a model or an upstream to its spans, by an attribute that spans have."""
    for name in ("overview", "latency", "resilience"):
        text = json.dumps(build_boards("committed")[name])
        assert "/explore?" in text and "${tempo_datasource}" in text, name


def test_an_open_breaker_is_seen_at_first_sight() -> None:
    """The board that people look at first says so, and leads to the one that tells more."""
    panel = find_panel(build_boards("committed")["overview"], "Open breakers")
    assert panel["gridPos"]["y"] == 0
    assert [link["url"].partition("?")[0] for link in panel["links"]] == ["/d/llm-sidecar-resilience"]


def test_latency_panels_lead_to_traces() -> None:
    """Where quantiles of latency or of the first token are shown over time, exemplars are asked for once per panel; nowhere else."""
    asked = {
        (name, panel["title"]): [target.get("exemplar", False) for target in panel["targets"]].count(True)
        for name, board in build_boards("committed").items() for panel in list_panels(board)
    }  # fmt: skip
    assert {place: count for place, count in asked.items() if count} == {
        ("overview", "Latency"): 1, ("latency", "Latency"): 1, ("latency", "Time to first token"): 1,
    }  # fmt: skip


@every_name
def test_errors_are_the_errors_of_the_service(name: str) -> None:
    """Where a panel is about the share of calls that failed, it counts the endings that the code counts."""
    shown = [panel for panel in list_panels(build_boards("committed")[name]) if panel["title"].startswith("Error ratio")]
    texts = [target["expr"] for panel in shown for target in panel["targets"] if "ending" in target["expr"]]
    told = [set(match.split("|")) for text in texts for match in re.findall(r'ending=~"([^"]*)"', text)]
    assert all(endings == set(map(str, SERVICE_ERRORS)) for endings in told)
    assert bool(told) is (name in ("overview", "resilience"))


def test_kinds_of_failure_are_all_there_are() -> None:
    """Each ending but completed is of exactly one kind, and the first kinds are the errors of the service."""
    told = [ending for endings in CLASSES.values() for ending in endings]
    assert sorted(told) == sorted(set(Ending) - {Ending.COMPLETED})
    assert set(told[: len(SERVICE_ERRORS)]) == SERVICE_ERRORS


@every_terms
def test_colours_change_at_the_thresholds(terms: str) -> None:
    """Colours follow the table of thresholds, whatever it says."""
    boards, table = build_boards(terms), TERMS[terms].thresholds
    latency, mean, errors, memory = ([each.warning, each.critical] for each in (
        table.latency_p95, table.mean_latency, table.error_ratio, table.memory_used,
    ))  # fmt: skip
    first, speed = ends(table.time_to_first_token_p95), ends(table.output_tokens_per_second)
    assert {panel["title"]: limits(panel) for panel in list_panels(boards["overview"]) if limits(panel)} == {
        "Error ratio": errors, "Error ratio by route": errors, "Error ratio by model": errors,
        "Latency, p95": latency, "Latency": latency, "First token, p95": first, "First token by model": first,
        "Generation speed": speed, "Error ratio by tool": [table.tool_error_ratio.warning], "CPU and memory used": memory,
        "Room used at upstreams": [1], "Open breakers": [1], "Firing alerts": [1], "Targets down": [1],
        "Quality by model": [table.quality.warning],
    }  # fmt: skip
    assert {panel["title"]: limits(panel) for panel in list_panels(boards["latency"]) if limits(panel)} == {
        "Latency": latency, "Latency by model": latency, "Mean latency by provider": mean, "Time to first token": first,
        "First token by model": first, "Generation speed by model": speed, "Added by the sidecar": [table.overhead_p99.warning],
    }  # fmt: skip
    timelines = {"Features": [1, 2], "Reloads": [1]}
    assert {panel["title"]: limits(panel) for panel in list_panels(boards["sidecar"]) if limits(panel)} == timelines | {
        "Targets down": [1], "Restarts": [1], "Memory of limit": memory, "Memory of limit by sidecar": memory,
        "Spans lost": [table.spans_dropped_ratio.warning], "Overhead, p99, by sidecar": [table.overhead_p99.warning],
    }  # fmt: skip


@every_terms
@pytest.mark.parametrize(("name", "title"), [("overview", "Top models"), ("latency", "Latency of models")])
def test_columns_are_coloured_as_panels_are(terms: str, name: str, title: str) -> None:
    """In a table, too."""
    table = TERMS[terms].thresholds
    overrides = find_panel(build_boards(terms)[name], title)["fieldConfig"]["overrides"]
    fields = {override["matcher"]["options"]: {prop["id"]: prop["value"] for prop in override["properties"]} for override in overrides}
    coloured = {column: steps(field) for column, field in fields.items() if steps(field)}
    latency = [table.latency_p95.warning, table.latency_p95.critical]
    assert coloured.get("Latency, p95", coloured.get("p95")) == latency
    assert coloured["First token, p95"] == ends(table.time_to_first_token_p95)
    assert coloured["Speed"] == ends(table.output_tokens_per_second)


@every_terms
def test_the_grade_is_of_the_table(terms: str) -> None:
    """The query compares with each limit of the grades and with the share beyond which most calls fail."""
    panel, table = find_panel(build_boards(terms)["overview"], "Grade"), TERMS[terms].thresholds
    (target,) = panel["targets"]
    assert table.mean_latency.grades and table.error_ratio.grades
    wanted = [f"{limit:g}" for limit in (*table.mean_latency.grades, *table.error_ratio.grades)]
    assert re.findall(r"vector\(([0-9.]+)\), \"limit\"", target["expr"]) == wanted
    assert f"> bool {FAILING_ERROR_RATIO:g})" in target["expr"]
    words = panel["fieldConfig"]["defaults"]["mappings"][0]["options"]
    assert [(word["text"], word["color"]) for word in words.values()] == list(GRADES)


@every_terms
def test_texts_tell_the_same_limits(terms: str) -> None:
    """Descriptions say the numbers that the colours and the rules have."""
    boards, table = build_boards(terms), TERMS[terms].thresholds
    assert f"LLMSlowFirstToken fires above {table.time_to_first_token_p95.warning:g}s" in json.dumps(boards["overview"])
    assert f"LLMSlowGeneration fires below {table.output_tokens_per_second.warning:g} tok/s" in json.dumps(boards["latency"])
    assert f"fires above {print_share(table.spans_dropped_ratio.warning)}" in find_panel(boards["sidecar"], "Spans lost")["description"]
    for title, threshold in (("Calls by response time", table.response_time), ("Streams by first token", table.time_to_first_token_p95)):
        names = [target["legendFormat"] for target in find_panel(boards["latency"], title)["targets"]]
        assert names[0] == f"{threshold.bands[0].name} (below {threshold.bands[0].limit:g}s)"
        assert names[-1] == f"{threshold.bands[-1].name} (above {threshold.bands[-2].limit:g}s)"


@every_name
def test_alerts_that_are_named_exist(name: str) -> None:
    """A description that names an alert names one that there is, by choice or not."""
    terms = Terms()
    groups = [group for part in (list_groups(terms), *list_optional(terms).values()) for group in part]
    named = set(re.findall(r"\bLLM[A-Z]\w+", json.dumps(build_boards("committed")[name])))
    assert named - {alert.name for alert in list_alerts(groups)} == set()


@every_name
def test_states_have_words_and_colours(name: str) -> None:
    """A timeline of states shows each as a word, in the colour of its number."""
    panels = list_panels(build_boards("committed")[name])
    for panel in (panel for panel in panels if panel["type"] == "state-timeline"):
        defaults = panel["fieldConfig"]["defaults"]
        words = {int(number): word["color"] for mapping in defaults["mappings"] for number, word in mapping["options"].items()}
        colours = [step["color"] for step in defaults["thresholds"]["steps"]]
        assert list(words) == list(range(len(words))) and list(words.values()) == colours, panel["title"]


def test_states_of_breakers_are_the_catalogues() -> None:
    """The words of the timeline are the states, in the order of their numbers."""
    panel = find_panel(build_boards("committed")["resilience"], "Circuit breaker state")
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
    assert set(SERVER_METRICS) == {"up", "scrape_samples_scraped", "ALERTS"}
