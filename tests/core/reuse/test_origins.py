"""Marks of the places that answers come from: equal where the place is, different where any of it is another."""

from dataclasses import replace

import pytest

from sidecar.config import Upstream
from sidecar.core.choose.places import read_place
from sidecar.core.reuse.origins import Atlas, mark_place

ONE = Upstream("https://one.test/base", provider="openai", models={"a": "b"})


@pytest.mark.parametrize(
    "change",
    [
        {"url": "https://two.test/base"}, {"url": "http://one.test/base"}, {"url": "https://one.test:444/base"},
        {"url": "https://one.test/other"}, {"provider": "anthropic"}, {"models": {"a": "c"}}, {"models": {}},
    ],
)  # fmt: skip
def test_another_place_has_another_mark(change: dict[str, object]) -> None:
    """Its address, who it is, and what it makes of a model's name all make a difference."""
    other = replace(ONE, **change)  # type: ignore[arg-type]
    assert mark_place(read_place("a", ONE, None)) != mark_place(read_place("a", other, None))


def test_the_same_place_has_the_same_mark() -> None:
    """Whatever it is called here, whoever pays, however it is spelt, and however many connections there may be."""
    same = replace(ONE, url="https://one.test:443/base/", connections=7, weight=3.0, api_key_file="file")
    assert mark_place(read_place("a", ONE, None)) == mark_place(read_place("b", same, "sk-key"))


def test_a_route_has_the_marks_of_all_who_may_answer() -> None:
    """In any order; one more is another set, and none that is not known is in it."""
    atlas = Atlas({"one": ONE, "two": Upstream("https://two.test")})
    both, turned, alone = atlas.find(("one", "two")), atlas.find(("two", "one")), atlas.find(("one",))
    assert both.members == turned.members == set(both.marks.values()) and len(both.members) == 2
    assert both.together == turned.together != alone.together
    assert alone.members == {both.marks["one"]} and atlas.find(("one", "gone")).members == alone.members
    assert atlas.find(("one",)) is alone
