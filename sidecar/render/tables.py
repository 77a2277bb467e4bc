"""Tables of what holds now: one row for each set of labels, one column for each query."""

from collections.abc import Iterator, Sequence
from string import ascii_uppercase
from typing import Final, NamedTuple

from sidecar.render.panels import NO_TRAFFIC, Json, Panel, Step, Target, map_nothing, override, table

# What stands where one of the queries has nothing: a cell that is empty looks broken, and 0 would be made up.
_NOTHING: Final = "-"


class Key(NamedTuple):
    """A label that is a column."""

    label: str
    title: str
    links: tuple[Json, ...] = ()


class Column(NamedTuple):
    """A column of values: `expr` yields one for each set of the keys' labels."""

    title: str
    expr: str
    unit: str
    decimals: int | None = None
    colors: tuple[Step, ...] = ()
    words: Json | None = None  # a mapping of panels.map_words


def ranking(
    title: str, description: str, keys: Sequence[Key], columns: Sequence[Column], *, top: int = 25, empty: str = NO_TRAFFIC,
    width: int = 24, height: int = 8,
) -> Panel:  # fmt: skip
    """Return a table in the order of its first column of values, the highest first, of at most `top` rows."""
    order = {"fields": {}, "sort": [{"field": columns[0].title, "desc": True}]}
    transformations: list[Json] = [
        {"id": "merge", "options": {}},
        {"id": "organize", "options": _name_columns(keys, columns)},
        {"id": "sortBy", "options": order},
        {"id": "limit", "options": {"limitField": top}},
    ]
    targets = [Target(column.expr, column.title) for column in columns]
    overrides = [*_style_keys(keys), *map(_style, columns)]
    return table(title, description, targets, transformations=transformations, overrides=overrides, empty=empty, width=width, height=height)


def _name_columns(keys: Sequence[Key], columns: Sequence[Column]) -> Json:
    # A single query's values are called Value, those of several Value #A, Value #B …
    values = ["Value"] if len(columns) == 1 else [f"Value #{letter}" for letter in ascii_uppercase[: len(columns)]]
    names = {key.label: key.title for key in keys} | {value: column.title for value, column in zip(values, columns, strict=True)}
    return {
        "excludeByName": {"Time": True}, "includeByName": {}, "renameByName": names,
        "indexByName": {name: place for place, name in enumerate(names)},
    }  # fmt: skip


def _style_keys(keys: Sequence[Key]) -> Iterator[Json]:
    for key in keys:
        yield override(key.title, {"noValue": _NOTHING} | ({"links": list(key.links)} if key.links else {}))


def _style(column: Column) -> Json:
    properties: Json = {"unit": column.unit, "noValue": _NOTHING}
    properties["mappings"] = [*([column.words] if column.words else ()), map_nothing(_NOTHING)]
    if column.decimals is not None:
        properties["decimals"] = column.decimals
    if column.colors:
        steps = [{"color": step.color, "value": step.value} for step in column.colors]
        properties |= {"thresholds": {"mode": "absolute", "steps": steps}, "color": {"mode": "thresholds"}}
    if column.colors or column.words:
        properties["custom.cellOptions"] = {"type": "color-text"}
    return override(column.title, properties)
