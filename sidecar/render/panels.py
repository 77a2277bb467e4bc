"""Panels of Grafana's core: what each shows, as Classic JSON (schemaVersion 39, Grafana 10.4 and newer)."""

import re
from collections.abc import Mapping, Sequence
from string import ascii_uppercase
from types import MappingProxyType
from typing import Any, Final, NamedTuple

from sidecar.render.queries import LABELS, SCRAPED
from sidecar.thresholds import Side, Threshold

Json = dict[str, Any]

SOURCE: Final = {"type": "prometheus", "uid": "${datasource}"}
NO_TRAFFIC: Final = "No traffic"
_NAMES: Final = frozenset((*LABELS, *SCRAPED, "ALERTS"))
_NO_PAINT: Final[Mapping[str, str]] = MappingProxyType({})


class Target(NamedTuple):
    """One query of a panel. `instant` asks for now and not for a range: tables and totals."""

    expr: str
    legend: str = ""
    exemplar: bool = False
    instant: bool = False


class Step(NamedTuple):
    """From `value` on (None: from the beginning) a colour holds."""

    color: str
    value: float | None = None


class Panel(NamedTuple):
    """One panel without its place, which the board gives it. Width in the grid's 24 columns, height in its rows of 30 px."""

    body: Json
    width: int
    height: int


PLAIN: Final = (Step("green"),)


def grade_colors(threshold: Threshold) -> tuple[Step, ...]:
    """Return the colours of a signal at its limits: green where good, blue for info, orange for warning, red for critical."""
    limits = [("blue", threshold.info), ("orange", threshold.warning), ("red", threshold.critical)]
    steps = [(color, limit) for color, limit in limits if limit is not None]
    return _order("green", steps, threshold.bad)


def band_colors(threshold: Threshold) -> tuple[Step, ...]:
    """Return the colours of a signal's bands, the best green."""
    colors = ("yellow", "orange", "red") if len(threshold.bands) > 3 else ("orange", "red")
    ends = [band.limit for band in threshold.bands if band.limit is not None]
    return _order("green", list(zip(colors, ends, strict=True)), threshold.bad)


def _order(best: str, steps: Sequence[tuple[str, float]], bad: Side) -> tuple[Step, ...]:
    # Grafana's steps ascend: where little is bad, each limit is where the next better colour begins.
    if bad is Side.ABOVE:
        return Step(best), *(Step(color, limit) for color, limit in steps)
    better = [best, *(color for color, _ in steps)]
    ascending = [Step(color, limit) for color, (_, limit) in zip(better, steps, strict=False)][::-1]
    return Step(steps[-1][0]), *ascending


def map_nothing(text: str) -> Json:
    """Return the mapping of what is not there or not a number, such as a quantile of nothing, to a text.

    Without a colour of its own it would have that of the lowest step: red where little is bad.
    """
    return {"type": "special", "options": {"match": "null+nan", "result": {"text": text, "color": "text", "index": 0}}}


def map_words(words: Sequence[tuple[str, str]]) -> Json:
    """Return the mapping of 0, 1, 2 … to texts and colours."""
    mapped = {str(number): {"text": text, "color": color, "index": number} for number, (text, color) in enumerate(words)}
    return {"type": "value", "options": mapped}


def override(name: str, properties: Json) -> Json:
    """Return what is different for the field that is shown as `name`."""
    changed = [{"id": key, "value": value} for key, value in properties.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": changed}


def stat(
    title: str, description: str, unit: str, targets: Sequence[Target], *, colors: Sequence[Step] = PLAIN, decimals: int | None = None,
    empty: str = NO_TRAFFIC, words: Sequence[tuple[str, str]] = (), links: Sequence[Json] = (), width: int = 3, height: int = 4,
) -> Panel:  # fmt: skip
    """Return one number, coloured by `colors`. `words` are text and colour of 0, 1, 2 …, where the number stands for one."""
    mappings = [*([map_words(words)] if words else ()), map_nothing(empty)]
    defaults = {"unit": unit, "noValue": empty, "mappings": mappings, "thresholds": _steps(colors), "color": {"mode": "thresholds"}}
    options = {
        "colorMode": "value", "graphMode": "none" if words else "area", "justifyMode": "auto", "orientation": "auto", "textMode": "value",
        "wideLayout": True, "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return _panel("stat", title, description, targets, _field(defaults, decimals), options, width, height, links)


def lines(
    title: str, description: str, unit: str, targets: Sequence[Target], *, colors: Sequence[Step] = PLAIN, stacked: bool = False,
    bars: bool = False, rare: bool = False, dashed: str = "", maximum: float | None = None, empty: str = NO_TRAFFIC,
    links: Sequence[Json] = (), paint: Mapping[str, str] = _NO_PAINT, width: int = 12, height: int = 8,
) -> Panel:  # fmt: skip
    """Return values over time. With `colors`, dashed lines at their limits; `rare` shows single moments as points.

    `paint` gives series colours of their own, by what the legend calls them. Those whose legend ends with `dashed` are what
    others are compared with: a limit, yesterday.
    """
    custom = {
        "drawStyle": "bars" if bars else "line", "lineInterpolation": "linear", "lineWidth": 1,
        "fillOpacity": 80 if bars else 30 if stacked else 5, "showPoints": "auto" if rare else "never", "spanNulls": False,
        "stacking": {"mode": "normal" if stacked or bars else "none", "group": "A"},
        "thresholdsStyle": {"mode": "dashed" if len(colors) > 1 else "off"},
    }  # fmt: skip
    defaults = {
        "unit": unit, "noValue": empty, "min": 0, "mappings": [map_nothing(empty)], "custom": custom, "color": {"mode": "palette-classic"},
        "thresholds": _steps(colors),
    }  # fmt: skip
    if maximum is not None:
        defaults["max"] = maximum
    options = {
        "legend": {
            "displayMode": "table", "placement": "bottom", "showLegend": True, "calcs": ["mean", "max", "lastNotNull"],
            "sortBy": "Mean", "sortDesc": True,
        },
        "tooltip": {"mode": "multi", "sort": "desc"},
    }  # fmt: skip
    overrides = [override(name, {"color": {"mode": "fixed", "fixedColor": paint[name]}}) for name in paint]
    if dashed:
        style = {"custom.lineStyle": {"fill": "dash", "dash": [10, 10]}, "custom.fillOpacity": 0}
        properties = [{"id": key, "value": value} for key, value in style.items()]
        overrides.append({"matcher": {"id": "byRegexp", "options": f"/{dashed}$/"}, "properties": properties})
    field = _field(defaults) | {"overrides": overrides}
    return _panel("timeseries", title, description, targets, field, options, width, height, links)


def heatmap(
    title: str, description: str, unit: str, expr: str, *, axis: str, empty: str = NO_TRAFFIC, width: int = 12, height: int = 8
) -> Panel:
    """Return a histogram over time: `expr` yields its buckets by `le`, `unit` is of the cells, `axis` of the bounds."""
    defaults = {"unit": unit, "noValue": empty, "custom": {"scaleDistribution": {"type": "linear"}}}
    color = {
        "mode": "scheme", "scheme": "Oranges", "steps": 64, "exponent": 0.5, "fill": "dark-orange", "scale": "exponential",
        "reverse": False,
    }  # fmt: skip
    options = {
        "calculate": False, "cellGap": 1, "color": color, "filterValues": {"le": 1e-09}, "legend": {"show": True},
        "rowsFrame": {"layout": "auto"}, "tooltip": {"mode": "single", "yHistogram": False},
        "yAxis": {"axisPlacement": "left", "unit": axis, "reverse": False},
    }  # fmt: skip
    panel = _panel("heatmap", title, description, [Target(expr, "{{le}}")], _field(defaults), options, width, height)
    panel.body["targets"][0]["format"] = "heatmap"
    return panel


def table(
    title: str, description: str, targets: Sequence[Target], *, transformations: Sequence[Json] = (), overrides: Sequence[Json] = (),
    unit: str = "none", empty: str = NO_TRAFFIC, width: int = 24, height: int = 8,
) -> Panel:  # fmt: skip
    """Return a table of what holds now: each target is asked for once, all of their labels become columns."""
    defaults = {"unit": unit, "noValue": empty, "custom": {"align": "auto", "filterable": True, "minWidth": 100}}
    field = {"defaults": defaults, "overrides": list(overrides)}
    asked = [target._replace(instant=True) for target in targets]
    panel = _panel("table", title, description, asked, field, {"showHeader": True, "cellHeight": "sm"}, width, height)
    for target in panel.body["targets"]:
        target["format"] = "table"
    panel.body["transformations"] = list(transformations)
    return panel


def bar_gauge(
    title: str, description: str, unit: str, targets: Sequence[Target], *, colors: Sequence[Step] = PLAIN, maximum: float | None = None,
    decimals: int | None = None, empty: str = NO_TRAFFIC, width: int = 12, height: int = 8,
) -> Panel:  # fmt: skip
    """Return one horizontal bar per series, as of now."""
    defaults = {"unit": unit, "noValue": empty, "mappings": [map_nothing(empty)], "color": {"mode": "thresholds"}, "min": 0}
    defaults["thresholds"] = _steps(colors)
    if maximum is not None:
        defaults["max"] = maximum
    options = {
        "displayMode": "basic", "orientation": "horizontal", "showUnfilled": True, "valueMode": "color", "namePlacement": "left",
        "minVizHeight": 16, "minVizWidth": 8, "sizing": "auto",
        "reduceOptions": {"calcs": ["lastNotNull"], "fields": "", "values": False},
    }  # fmt: skip
    return _panel("bargauge", title, description, targets, _field(defaults, decimals), options, width, height)


def states(
    title: str,
    description: str,
    targets: Sequence[Target],
    words: Sequence[tuple[str, str]],
    *,
    empty: str,
    width: int = 12,
    height: int = 8,
) -> Panel:
    """Return a timeline of states: `words` are the text and colour of 0, 1, 2 …"""
    steps = [Step(color, number or None) for number, (_, color) in enumerate(words)]
    defaults = {
        "unit": "none", "noValue": empty, "mappings": [map_words(words)],
        "custom": {"lineWidth": 0, "fillOpacity": 80, "spanNulls": False}, "color": {"mode": "thresholds"}, "thresholds": _steps(steps),
    }  # fmt: skip
    options = {
        "mergeValues": True, "showValue": "auto", "alignValue": "left", "rowHeight": 0.9,
        "legend": {"displayMode": "list", "placement": "bottom", "showLegend": True}, "tooltip": {"mode": "single", "sort": "none"},
    }  # fmt: skip
    return _panel("state-timeline", title, description, targets, _field(defaults), options, width, height)


def _panel(
    kind: str, title: str, description: str, targets: Sequence[Target], field: Json, options: Json, width: int, height: int,
    links: Sequence[Json] = (),
) -> Panel:  # fmt: skip
    about = f"{description.rstrip('.')} ({', '.join(_list_names(targets))})."
    body = {
        "type": kind, "title": title, "description": about, "datasource": SOURCE,
        "targets": [_target(letter, target) for letter, target in zip(ascii_uppercase, targets, strict=False)],
        "fieldConfig": field, "options": options,
    }  # fmt: skip
    return Panel(body | ({"links": list(links)} if links else {}), width, height)


def _list_names(targets: Sequence[Target]) -> list[str]:
    words = [word for target in targets for word in re.findall(r"[a-zA-Z_:][\w:]*", target.expr)]
    named = (re.sub(r"_(?:bucket|sum|count)$", "", word) if word not in _NAMES else word for word in words)
    found = dict.fromkeys(name for name in named if name in _NAMES)
    # By this one others are told apart from sidecars: it is not what is shown, unless nothing else is.
    return [name for name in found if name != "llm_sidecar_build_info"] or list(found)


def _target(letter: str, target: Target) -> Json:
    asked = {"range": not target.instant, "instant": target.instant} | ({"exemplar": True} if target.exemplar else {})
    return {"refId": letter, "datasource": SOURCE, "editorMode": "code", "expr": target.expr, "legendFormat": target.legend} | asked


def _field(defaults: Json, decimals: int | None = None) -> Json:
    return {"defaults": defaults | ({} if decimals is None else {"decimals": decimals}), "overrides": []}


def _steps(colors: Sequence[Step]) -> Json:
    return {"mode": "absolute", "steps": [{"color": step.color, "value": step.value} for step in colors]}
