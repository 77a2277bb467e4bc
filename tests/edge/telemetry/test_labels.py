"""Label values under control."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.edge.telemetry.labels import LabelBounds, clean, render


@pytest.mark.parametrize(
    ("value", "cleaned"),
    [
        ("gpt-4o", "gpt-4o"),
        ("a\nb\x00c\x7f\u2028d\u202e", "abcd"),
        ("x" * 500, "x" * 128),
        ("modèle 7", "modèle 7"),
        ("\ud800", "?"),
    ],
)
def test_values_are_cleaned(value: str, cleaned: str) -> None:
    """Control characters go, length is bounded, what is not Unicode is replaced."""
    assert clean(value) == cleaned


@given(st.text(st.characters(codec=None), max_size=300))
def test_any_text_becomes_a_value(value: str) -> None:
    """Whatever comes from the traffic can be written as UTF-8 on one line."""
    assert len(clean(value)) <= 128
    assert clean(value).encode("utf-8").decode("utf-8").isprintable()


def test_labels_are_escaped() -> None:
    """Quotes, backslashes and line breaks cannot end a value."""
    assert render(("a", "b"), ('x"y', "c\\d\ne")) == 'a="x\\"y",b="c\\\\d\\ne"'


def test_values_beyond_the_bound_are_other() -> None:
    """The first values keep their names for ever, further ones become other and say so."""
    bounds = LabelBounds(2)
    assert [bounds.admit("model", value) for value in ("a", "b", "a")] == [("a", False), ("b", False), ("a", False)]
    assert bounds.admit("model", "c") == ("other", True)
    assert bounds.admit("model", "b") == ("b", False)


def test_absent_and_other_take_no_room() -> None:
    """An absent value and "other" itself are always shown as they are."""
    bounds = LabelBounds(1)
    assert bounds.admit("model", "other") == ("other", False)
    assert bounds.admit("model", "") == ("", False)
    assert bounds.admit("model", "a") == ("a", False)


def test_bounds_are_apart() -> None:
    """One label's values take no room from another's."""
    bounds = LabelBounds(1)
    assert bounds.admit("model", "a") == ("a", False)
    assert bounds.admit("response_model", "b") == ("b", False)
