"""The rules of grafana/dashboard-linter (June 2026), each under its name there: what it would say about a board.

https://github.com/grafana/dashboard-linter/blob/main/docs/index.md
"""

import re
from collections.abc import Callable, Iterator
from typing import Any, Final, NamedTuple

import promql_parser

from tests.promql import read_names

Json = dict[str, Any]

_DESCRIBED: Final = ("stat", "timeseries", "table", "gauge")
_SOURCED: Final = ("timeseries", "table")
_SELECTOR: Final = re.compile(r"[\w:]+\{([^}]*)\}")
# Ids of units as @grafana/data knows them, and the forms that make new ones.
UNITS: Final = {
    "s", "reqps", "cps", "cpm", "percentunit", "currencyUSD", "bytes", "short", "none", "dtdurations", "dateTimeFromNow",
}  # fmt: skip
_MADE_UNITS: Final = ("suffix:", "prefix:", "count:")


class Finding(NamedTuple):
    """What breaks which rule where."""

    rule: str
    place: str


def lint(board: Json) -> list[Finding]:
    """Return everything that the linter would report, in the order of its rules."""
    return [Finding(rule, place) for rule, check in RULES.items() for place in check(board)]


def list_panels(board: Json) -> list[Json]:
    """Return the panels that show something, those of collapsed rows included."""
    every = (inner for panel in board["panels"] for inner in (panel, *panel.get("panels", ())))
    return [panel for panel in every if panel["type"] != "row"]


def list_variables(board: Json, kind: str) -> list[Json]:
    """Return the variables of a kind: query, datasource."""
    return [variable for variable in board["templating"]["list"] if variable["type"] == kind]


def expand(expression: str) -> str:
    """Return an expression as it is asked for: with values in place of the variables."""
    text = expression.replace("$__rate_interval", "5m").replace("$__range", "1h")
    return re.sub(r"\$[a-z]+\b", ".+", text)


def _lint_datasource(board: Json) -> Iterator[str]:
    sources = list_variables(board, "datasource")
    if not sources:
        yield "no variable"
    for source in sources:
        name, kind, label = source["name"], source["query"], source["label"]
        if (name, label) not in (("datasource", "Data source"), (f"{kind}_datasource", f"{kind.capitalize()} data source")):
            yield name


def _lint_target_variable(name: str) -> Callable[[Json], Iterator[str]]:
    def check(board: Json) -> Iterator[str]:
        found = next((variable for variable in list_variables(board, "query") if variable["name"] == name), None)
        if found is None:
            yield "missing"
        elif found["datasource"]["uid"] not in ("$datasource", "${datasource}") or found["label"] != name.capitalize():
            yield "data source or label"
        elif not found["multi"] or found["allValue"] != ".+":
            yield "choice"

    return check


def _lint_variables_promql(board: Json) -> Iterator[str]:
    for variable in list_variables(board, "query"):
        asked = re.fullmatch(r"label_values\((.+), (\w+)\)", variable["query"]["query"])
        if asked is None or not _is_promql(asked[1]):
            yield variable["name"]


def _lint_refresh(board: Json) -> Iterator[str]:
    return (variable["name"] for variable in list_variables(board, "query") if variable["refresh"] != 2)


def _lint_panel_source(board: Json) -> Iterator[str]:
    for panel in list_panels(board):
        if panel["type"] in _SOURCED and panel["datasource"]["uid"] not in ("$datasource", "${datasource}"):
            yield panel["title"]


def _lint_words(board: Json) -> Iterator[str]:
    described = (panel for panel in list_panels(board) if panel["type"] in _DESCRIBED)
    return (panel["title"] or str(panel["id"]) for panel in described if not panel["title"] or not panel["description"])


def _lint_units(board: Json) -> Iterator[str]:
    for panel in list_panels(board):
        unit = panel["fieldConfig"]["defaults"]["unit"]
        if unit not in UNITS and not unit.startswith(_MADE_UNITS):
            yield panel["title"]


def _lint_no_targets(board: Json) -> Iterator[str]:
    return (panel["title"] for panel in list_panels(board) if not panel["targets"])


def _lint_expressions(is_wrong: Callable[[str], bool]) -> Callable[[Json], Iterator[str]]:
    def check(board: Json) -> Iterator[str]:
        for panel in list_panels(board):
            yield from (f"{panel['title']} {target['refId']}" for target in panel["targets"] if is_wrong(target["expr"]))

    return check


def _is_promql(expression: str) -> bool:
    try:
        promql_parser.parse(expand(expression))
    except ValueError:
        return False
    return True


def _has_other_range(expression: str) -> bool:
    return any(found != "$__rate_interval" for found in re.findall(r"\bi?rate\([^[]*\[([^\]]*)\]", expression))


def _lacks(matcher: str) -> Callable[[str], bool]:
    def check(expression: str) -> bool:
        bare = [name for name, labels in read_names(expression).selected.items() if not labels]
        return bool(bare) or any(matcher not in matchers for matchers in _SELECTOR.findall(expression))

    return check


def _reads_raw_counter(expression: str) -> bool:
    text = re.sub(r'"[^"]*"', "", expression)
    return len(re.findall(r"\b\w+_total\b", text)) != len(re.findall(r"\b(?:rate|irate|increase)\(\w+_total\b", text))


RULES: Final[dict[str, Callable[[Json], Iterator[str]]]] = {
    "template-datasource-rule": _lint_datasource,
    "template-job-rule": _lint_target_variable("job"),
    "template-instance-rule": _lint_target_variable("instance"),
    "template-label-promql-rule": _lint_variables_promql,
    "template-on-time-change-reload-rule": _lint_refresh,
    "panel-datasource-rule": _lint_panel_source,
    "panel-title-description-rule": _lint_words,
    "panel-units-rule": _lint_units,
    "panel-no-targets-rule": _lint_no_targets,
    "target-promql-rule": _lint_expressions(lambda expression: not _is_promql(expression)),
    "target-rate-interval-rule": _lint_expressions(_has_other_range),
    "target-job-rule": _lint_expressions(_lacks('job=~"$job"')),
    "target-instance-rule": _lint_expressions(_lacks('instance=~"$instance"')),
    "target-counter-agg-rule": _lint_expressions(_reads_raw_counter),
    "uneditable-dashboard": lambda board: iter(() if board["editable"] is False else ("editable",)),
}
