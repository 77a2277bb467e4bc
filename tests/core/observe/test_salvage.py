"""Reading what the strict way refuses."""

from typing import Any

import msgspec
import pytest

from sidecar.core.observe.salvage import BYTES_MAX, parse_leniently, salvage


class Inner(msgspec.Struct):
    """A part with a type of its own."""

    size: int = 0


class Outer(msgspec.Struct):
    """What is looked for."""

    name: Any = None
    inner: Inner | None = None
    count: int = 5


@pytest.mark.parametrize(
    ("data", "value"),
    [
        (b'{"a": NaN}', None),
        (b'{"a": "\\ud83d"}', {"a": "\ud83d"}),
        (b'{"a": "\xff"}', {"a": "\N{REPLACEMENT CHARACTER}"}),
        (b'{"a": "x\ny"}', {"a": "x\ny"}),
        (b"7", 7),
    ],
)
def test_what_is_taken(data: bytes, value: Any) -> None:
    """Lone surrogates, NaN, control characters and bytes that are not UTF-8 are taken."""
    found = parse_leniently(data)
    assert found == value or (value is None and str(found) == "{'a': nan}")


@pytest.mark.parametrize("data", [b"", b"{", b"hello", b"[" * 100_000, b'{"a":' * 50_000, b'"' + b"x" * BYTES_MAX + b'"', b"9" * 5000])
def test_what_is_not(data: bytes) -> None:
    """All else raises ValueError and nothing worse."""
    with pytest.raises(ValueError):
        parse_leniently(data)


def test_fields_that_fit_are_kept() -> None:
    """One surprising member costs only itself."""
    assert salvage({"name": "n", "inner": "x", "count": 7, "more": 1}, Outer) == Outer("n", None, 7)
    assert salvage({"inner": {"size": 3}, "count": "many"}, Outer) == Outer(None, Inner(3), 5)


@pytest.mark.parametrize("value", [None, 7, "x", [], {}])
def test_no_object_is_empty(value: object) -> None:
    """What is no object has no members."""
    assert salvage(value, Outer) == Outer()
