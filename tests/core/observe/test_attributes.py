"""Values of request attributes: what is one, and what is as if it were absent."""

from typing import Any

import msgspec
import pytest

from sidecar.core.observe.attributes import INTEGER_MAX, read_attributes, read_integer, read_number, read_stops


class _Request(msgspec.Struct, omit_defaults=True):
    first: Any = None
    second: Any = None
    other: Any = None


@pytest.mark.parametrize(
    ("value", "integer", "number"),
    [
        (3, 3, 3.0),
        (0, 0, 0.0),
        (-INTEGER_MAX, -INTEGER_MAX, float(-INTEGER_MAX)),
        (INTEGER_MAX + 1, None, None),
        (0.5, None, 0.5),
        (True, None, None),
        ("3", None, None),
        (None, None, None),
    ],
)
def test_numbers(value: object, integer: int | None, number: float | None) -> None:
    """Numbers are numbers, and neither truth nor text is one."""
    assert read_integer(value) == integer
    assert read_number(value) == number


@pytest.mark.parametrize(
    ("value", "stops"),
    [
        ("x\n", ("x\n",)),
        (["a", 7, "b"], ("a", "b")),
        ([], None),
        ({}, None),
        (["\ud800"], ("?",)),
        (["x" * 999] * 99, ("x" * 256,) * 16),
    ],
)
def test_stops(value: object, stops: tuple[str, ...] | None) -> None:
    """One or several, bounded, and such as can be encoded."""
    assert read_stops(value) == stops


def test_attributes() -> None:
    """Of two members of one meaning the later wins, where it has a value; unknown members are left out."""
    readers = {"first": ("same", read_integer), "second": ("same", read_integer)}
    assert read_attributes(_Request(first=1, second=2, other=3), readers) == {"same": 2}
    assert read_attributes(_Request(first=1, second="x"), readers) == {"same": 1}
    assert read_attributes(_Request(), readers) == {}
