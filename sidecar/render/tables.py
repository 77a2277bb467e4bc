"""Tables of what has the same labels: one row for each set of labels, one column for each query."""

from collections.abc import Mapping, Sequence
from typing import Final, NamedTuple

from sidecar.render.panels import NO_TRAFFIC, Json, Panel, Step, Target, table

ROWS_MAX: Final = 20
_LETTERS: Final = "ABCDEFGHIJKLMNOP"


class Column(NamedTuple):
    """A query, under its title. All queries of a table yield the same labels."""

    title: str
    expr: str
    unit: str
    colors: tuple[Step, ...] = ()  # of the number
    words: tuple[tuple[str, str], ...] = ()  # text and colour of 0, 1, 2 …
    decimals: int | None = None


def tabulate(
    title: str, description: str, keys: Sequence[str], columns: Sequence[Column], *, links: Mapping[str, Sequence[Json]],
    empty: str = NO_TRAFFIC, width: int = 24, height: int = 8,
) -> Panel:  # fmt: skip
    """Return a table by the labels `keys`, the rows with most of the first column on top. `links` are of cells of these labels."""
    renamed = {f"Value #{letter}": column.title for letter, column in zip(_LETTERS, columns, strict=False)}
    order = {name: number for number, name in enumerate((*keys, *renamed))}
    transformations: list[Json] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": {"excludeByName": {"Time": True}, "indexByName": order, "renameByName": renamed}},
        {"id": "sortBy", "options": {"fields": {}, "sort": [{"field": columns[0].title, "desc": True}]}},
        {"id": "limit", "options": {"limitField": ROWS_MAX}},
    ]
    linked = [_override(key, {"links": list(links[key])}) for key in keys if key in links]
    return table(
        title, description, [Target(column.expr) for column in columns], transformations=transformations,
        overrides=[*linked, *map(_show, columns)], empty=empty, width=width, height=height,
    )  # fmt: skip


def _show(column: Column) -> Json:
    shown: Json = {"unit": column.unit}
    if column.decimals is not None:
        shown["decimals"] = column.decimals
    if column.words:
        texts = {str(number): {"text": text, "color": color, "index": number} for number, (text, color) in enumerate(column.words)}
        shown["mappings"] = [{"type": "value", "options": texts}]
    if column.colors:
        shown["thresholds"] = {"mode": "absolute", "steps": [{"color": step.color, "value": step.value} for step in column.colors]}
    if column.colors or column.words:
        shown["custom.cellOptions"] = {"type": "color-text"}
    return _override(column.title, shown)


def _override(name: str, shown: Json) -> Json:
    properties = [{"id": key, "value": value} for key, value in shown.items()]
    return {"matcher": {"id": "byName", "options": name}, "properties": properties}
