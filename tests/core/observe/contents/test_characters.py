"""Where texts are cut."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents.characters import cut, find_boundary, join_surrogates, json_bytes

FAMILY, WAVE, FLAG, ACCENT = "👨‍👩‍👧", "👋🏽", "🇩🇪", "é"


@given(st.text(), st.integers(0, 200))
def test_a_cut_text_fits_and_is_a_beginning(text: str, bytes_max: int) -> None:
    """As JSON, quotes and escapes included."""
    shown = cut(text, bytes_max)
    assert text.startswith(shown)
    assert json_bytes(shown) <= bytes_max or shown == ""
    json.loads(json.dumps(shown))


@pytest.mark.parametrize("char", [FAMILY, WAVE, FLAG, ACCENT, "\r\n", "✈️"])
def test_characters_of_several_code_points_stay_whole(char: str) -> None:
    """Wherever the cut would fall, it is before or behind the character."""
    text = f"ab{char}cd"
    inside = range(3, 2 + len(char))
    assert [find_boundary(text, place) for place in inside] == [2] * len(inside)
    assert find_boundary(text, 2) == 2
    assert find_boundary(text, 2 + len(char)) == 2 + len(char)
    assert find_boundary(text, len(text)) == len(text)


def test_flags_are_counted_from_the_first() -> None:
    """Two letters each, in a row of them."""
    text = FLAG * 3
    assert [find_boundary(text, place) for place in range(7)] == [0, 0, 2, 2, 4, 4, 6]


def test_endless_marks_are_cut_somewhere() -> None:
    """What stacks marks without end is not writing, and costs no more than a look back."""
    assert find_boundary("a" + "\u0301" * 1000, 500) == 500


@given(st.text())
def test_halves_are_joined(text: str) -> None:
    """Pairs of surrogates become the character they were split from; a lone one is replaced."""
    halves = "".join(
        text.encode("utf-16-le", "surrogatepass")[i : i + 2].decode("utf-16-le", "surrogatepass") for i in range(0, 2 * _units(text), 2)
    )
    assert join_surrogates(halves) == text
    assert join_surrogates("a\ud83db") == "a�b"


def _units(text: str) -> int:
    return len(text.encode("utf-16-le", "surrogatepass")) // 2
