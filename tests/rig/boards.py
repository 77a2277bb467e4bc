"""The dashboards as they are committed: their panels and queries, filled in as Grafana fills them in, and what they show."""

import json
import math
import re
from collections.abc import Iterator
from functools import cache
from pathlib import Path
from typing import Any, Final, NamedTuple

import promql_parser as promql

from sidecar.render.queries import find_metric
from tests.rig.everything import WINDOW, Everything, Phase, hasten

FOLDER: Final = Path(__file__).resolve().parents[2] / "dashboards"
Json = dict[str, Any]
BOARDS: Final[dict[str, Json]] = {file.stem: json.loads(file.read_text(encoding="utf-8")) for file in sorted(FOLDER.glob("*.json"))}
_VALUES: Final = re.compile(r"label_values\((.*), *(\w+)\)")
_RANGE: Final = "60s"  # longer than all that was watched


_PREFIX: Final = "llm_sidecar_"
_WHOSE: Final = {"build_info"}  # by which a query keeps to sidecars: others have metrics of the same name


class Query(NamedTuple):
    """One query of a board, filled in. `place`: where it stands."""

    place: str
    text: str
    instant: bool = False
    label: str | None = None  # of a variable: whose values are asked for


class Names(NamedTuple):
    """What a query names: metrics with the labels that select among their series, and labels that group, match or are kept."""

    selected: dict[str, set[str]]
    grouped: set[str]


def list_panels(board: Json) -> Iterator[Json]:
    """Yield what shows something, in collapsed rows as well."""
    for panel in board["panels"]:
        yield from panel.get("panels", ()) if panel["type"] == "row" else (panel,)


def list_targets() -> Iterator[Query]:
    """Yield every query of every panel."""
    for name, board in BOARDS.items():
        for panel in list_panels(board):
            for target in panel.get("targets", ()):
                place = f"{name}: {panel['title']} {target['refId']}"
                yield Query(place, fill_in(target["expr"], board), target.get("instant", False))


def list_annotations() -> Iterator[Query]:
    """Yield the queries of annotations."""
    for name, board in BOARDS.items():
        for note in board["annotations"]["list"]:
            yield Query(f"{name}: {note['name']}", fill_in(note["expr"], board))


def list_variables() -> Iterator[Query]:
    """Yield the queries by which there is something to choose."""
    for name, board in BOARDS.items():
        for variable in board["templating"]["list"]:
            if variable["type"] == "query":
                text, label = _VALUES.fullmatch(variable["definition"]).groups()  # type: ignore[union-attr]
                yield Query(f"{name}: ${variable['name']}", fill_in(text, board), label=label)


def fill_in(expression: str, board: Json) -> str:
    """Return a query as Grafana sends it where all is chosen; with a window of seconds, and seconds in place of a day ago."""
    known = {"__rate_interval": WINDOW, "__interval": "1s", "__range": _RANGE}
    known |= {variable["name"]: variable.get("allValue") or ".*" for variable in board["templating"]["list"]}
    text = re.sub(r"\$(?:(\w+)|\{(\w+)(?::\w+)?\})", lambda found: known[found[1] or found[2]], expression)
    return re.sub(r" offset \w+", lambda found: hasten(found[0]), text)


def show(watched: Everything, query: Query, phase: Phase | None = None) -> list[tuple[dict[str, str], list[float]]]:
    """Return the series of a query with all that is a number in them: over all of it or a phase, or as of its end."""
    if query.instant:
        found = [{**series, "values": [series["value"]]} for series in watched.query_end(query.text, phase)]
    else:
        found = watched.query_range(query.text, phase)
    numbers = ((series["metric"], [float(value) for _, value in series["values"] if math.isfinite(float(value))]) for series in found)
    return [(labels, values) for labels, values in numbers if values]


def show_metrics(watched: Everything, metrics: str, phase: Phase | None = None, **labels: str) -> list[list[float]]:
    """Return what all panels that ask for these metrics, named without `llm_sidecar_`, and no others, show of series with these labels."""
    found = []
    for query in QUERIES:
        named = {find_family(name).removeprefix(_PREFIX) for name in read_names(query.text).selected}
        if named - _WHOSE == set(metrics.split()):
            found += [values for has, values in show(watched, query, phase) if labels.items() <= has.items()]
    return found


def find_peak(watched: Everything, metrics: str, phase: Phase | None = None, **labels: str) -> float:
    """Return the highest value that panels about these metrics show of the series with these labels; NaN: they show none."""
    return max(map(max, show_metrics(watched, metrics, phase, **labels)), default=math.nan)


def find_family(series: str) -> str:
    """Return the metric of a series; of one that the catalogue does not declare, its own name."""
    try:
        return find_metric(series)
    except KeyError:
        return series


@cache
def read_names(text: str) -> Names:
    """Return what an expression names. One that is none raises ValueError."""
    selected: dict[str, set[str]] = {}
    grouped: set[str] = set()

    def read(part: promql.Expr) -> None:
        match part:
            case promql.VectorSelector():
                labels = {matcher.name for matcher in part.matchers.matchers}
                assert part.name is not None and not part.matchers.or_matchers, f"a selector without a name: {text}"
                selected.setdefault(part.name, set()).update(labels)
            case promql.MatrixSelector():
                pass  # its selector is a part of its own
            case promql.AggregateExpr() if part.modifier is not None:
                grouped.update(part.modifier.labels)
            case promql.BinaryExpr() if part.modifier is not None:
                matching = part.modifier.matching
                grouped.update(() if matching is None else matching.labels, part.modifier.group_labels or ())

    promql.walk(promql.parse(text), read)
    return Names(selected, grouped)


QUERIES: Final = tuple(list_targets())
