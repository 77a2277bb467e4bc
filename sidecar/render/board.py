"""A board: rows of panels on Grafana's grid, the variables that choose, the links and annotations that all boards share."""

import json
from collections.abc import Iterator, Sequence
from typing import Any, Final, NamedTuple
from urllib.parse import quote

from sidecar.render.panels import SOURCE, Json, Panel
from sidecar.render.queries import LABELS

TAG: Final = "llm-sidecar"
COLUMNS: Final = 24
_FIRING: Final = 'ALERTS{namespace=~"$namespace",job=~"$job",alertname=~"LLM.+",alertstate="firing"}'
_MARK: Final = "__VALUE__"
# Panels lead to another board with the time range and all that is chosen as it is.
AS_CHOSEN: Final = "${__url_time_range}&${__all_variables}"
_TARGET: Final = 'namespace=~"$namespace",job=~"$job",instance=~"$instance"'
# Where the values of a variable are found: a metric that has the label.
_FOUND_IN: Final = {
    "provider": "llm_sidecar_requests_total",
    "model": "llm_sidecar_requests_total",
    "tenant": "llm_sidecar_tenant_requests_total",
    "upstream": "llm_sidecar_circuit_breaker_state",
}


class Row(NamedTuple):
    """Panels under a heading, in the order of reading; they wrap at the width of the grid. Without a title: no heading."""

    title: str
    panels: tuple[Panel, ...]
    collapsed: bool = False  # what only some have switched on


class Board(NamedTuple):
    """One dashboard. `variables` are of queries.CHOSEN_BY, in the order in which they are chosen."""

    uid: str
    title: str
    description: str
    variables: tuple[str, ...]
    rows: tuple[Row, ...]


def link_board(uid: str, title: str) -> Json:
    """Return a panel's link to another board."""
    return {"title": title, "url": f"/d/{uid}?{AS_CHOSEN}", "targetBlank": False}


def link_cell(uid: str, title: str, variable: str, column: str) -> Json:
    """Return a table cell's link to a board, with `variable` set to what stands in `column` of the same row."""
    url = f"/d/{uid}?${{__url_time_range}}&${{datasource:queryparam}}&var-{variable}=${{__data.fields.{column}}}"
    return {"title": title, "url": url, "targetBlank": False}


def link_traces(title: str, attribute: str, column: str) -> Json:
    """Return a table cell's link to the traces whose spans have `attribute` (TraceQL, such as span.gen_ai.request.model) as in `column`."""
    query = {"refId": "A", "queryType": "traceql", "query": f'{{{attribute}="{_MARK}"}}'}
    pane = {"datasource": "${tempo_datasource}", "queries": [query], "range": {"from": "${__from}", "to": "${__to}"}}
    panes = quote(json.dumps({"traces": pane}, separators=(",", ":")), safe="${}")
    return {
        "title": title,
        "url": f"/explore?schemaVersion=1&panes={panes.replace(_MARK, f'${{__data.fields.{column}}}')}",
        "targetBlank": True,
    }


def render_board(board: Board) -> str:
    """Return the board as the text of a JSON file."""
    return json.dumps(build_board(board), indent=2, ensure_ascii=False) + "\n"


def build_board(board: Board) -> Json:
    """Return the board as Classic JSON. No `__inputs`: a provisioned board has no dialogue that would fill them in."""
    return {
        "uid": board.uid, "title": f"LLM sidecar / {board.title}", "description": board.description, "tags": [TAG], "schemaVersion": 39,
        "version": 1, "id": None, "editable": False, "graphTooltip": 1, "refresh": "30s", "timezone": "browser", "weekStart": "",
        "time": {"from": "now-1h", "to": "now"}, "timepicker": {}, "fiscalYearStartMonth": 0, "liveNow": False,
        "links": [_link_all()], "annotations": {"list": list(_list_annotations())},
        "templating": {"list": list(_list_variables(board.variables))}, "panels": list(_place(board.rows)),
    }  # fmt: skip


def _place(rows: Sequence[Row]) -> Iterator[Json]:
    number, y = 0, 0
    for row in rows:
        heading, top = number + 1, y
        if row.title:
            number, y = number + 1, y + 1
        placed, x, height = list[Json](), 0, 0
        for panel in row.panels:
            if x + panel.width > COLUMNS:
                x, y, height = 0, y + height, 0
            number, height = number + 1, max(height, panel.height)
            placed.append({"id": number, "gridPos": {"h": panel.height, "w": panel.width, "x": x, "y": y}, **panel.body})
            x += panel.width
        if row.title:
            yield {
                "id": heading, "type": "row", "title": row.title, "collapsed": row.collapsed,
                "gridPos": {"h": 1, "w": COLUMNS, "x": 0, "y": top}, "panels": placed if row.collapsed else [],
            }  # fmt: skip
        if not row.collapsed:
            yield from placed
        # What is collapsed takes no room but its heading.
        y = top + 1 if row.collapsed else y + height


def _link_all() -> Json:
    return {
        "type": "dashboards", "title": "LLM sidecar", "tags": [TAG], "asDropdown": True, "includeVars": True, "keepTime": True,
        "targetBlank": False, "icon": "external link", "tooltip": "", "url": "",
    }  # fmt: skip


def _list_annotations() -> Iterator[Json]:
    # Other processes have a start, too.
    sidecars = f"and on (job, instance) llm_sidecar_build_info{{{_TARGET}}}"
    common = {"datasource": SOURCE, "enable": True, "hide": False, "step": "60s"}
    yield common | {
        "name": "Starts", "iconColor": "blue", "expr": f"process_start_time_seconds{{{_TARGET}}} * 1000 {sidecars}",
        "useValueForTime": "on", "titleFormat": "Sidecar started", "textFormat": "{{instance}}", "tagKeys": "job",
    }  # fmt: skip
    yield common | {
        "name": "Reloads", "iconColor": "purple", "useValueForTime": "on",
        "expr": f"llm_sidecar_config_last_reload_success_timestamp_seconds{{{_TARGET}}} * 1000",
        "titleFormat": "Configuration loaded", "textFormat": "{{instance}}", "tagKeys": "job",
    }  # fmt: skip
    yield common | {
        "name": "Alerts", "iconColor": "red",
        # One of each name: Grafana lays the regions of all series over each other, and a storm would paint panels red.
        "expr": f"max by (alertname, severity) ({_FIRING})", "titleFormat": "{{alertname}}", "textFormat": "{{severity}}",
        "tagKeys": "severity",
    }  # fmt: skip


def _list_variables(chosen: Sequence[str]) -> Iterator[Json]:
    yield _source("datasource", "prometheus", "Data source")
    yield _source("tempo_datasource", "tempo", "Tempo data source")
    yield _query("namespace", "label_values(llm_sidecar_build_info, namespace)", ".*")
    yield _query("job", 'label_values(llm_sidecar_build_info{namespace=~"$namespace"}, job)', ".+")
    for number, variable in enumerate(chosen):
        # What was chosen before narrows the choice, where the metric that has the values has that label, too.
        metric = _FOUND_IN[variable]
        before = [f'{name}=~"${name}"' for name in chosen[:number] if name in LABELS[metric]]
        bound = ",".join(('namespace=~"$namespace"', 'job=~"$job"', *before))
        yield _query(variable, f"label_values({metric}{{{bound}}}, {variable})", ".*")
    yield _query("instance", 'label_values(llm_sidecar_build_info{namespace=~"$namespace",job=~"$job"}, instance)', ".+")


def _source(name: str, kind: str, label: str) -> Json:
    return {
        "type": "datasource", "name": name, "label": label, "query": kind, "regex": "", "hide": 0, "includeAll": False, "multi": False,
        "options": [], "refresh": 1, "current": {},
    }  # fmt: skip


def _query(name: str, text: str, everything: str) -> Json:
    current: dict[str, Any] = {"selected": True, "text": ["All"], "value": ["$__all"]}
    return {
        "type": "query", "name": name, "label": name.capitalize(), "datasource": SOURCE, "definition": text,
        "query": {"qryType": 1, "query": text, "refId": f"variable-{name}"}, "refresh": 2, "sort": 1, "multi": True, "includeAll": True,
        "allValue": everything, "hide": 0, "regex": "", "options": [], "current": current,
    }  # fmt: skip
