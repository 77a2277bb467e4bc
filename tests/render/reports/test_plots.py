"""Plots of what is known, and nothing beyond."""

from xml.etree import ElementTree

import pytest

from sidecar.render.reports.columns import print_count, print_seconds
from sidecar.render.reports.plots import Limit, Plot, Ranking, Series, draw_bars, draw_lines, draw_ranking
from tests.core.reckon.journals import make_hour
from tests.render.reports.figures import find, read_figure

HOURS = [make_hour(number) for number in (0, 1, 2, 3)]


def read_points(tree: ElementTree.Element, kind: str) -> list[list[tuple[float, float]]]:
    """Return the corners of each line of a class."""
    lines = [line.get("points", "").split() for line in find(tree, "polyline", kind)]
    return [[(float(x), float(y)) for x, y in (point.split(",") for point in points)] for points in lines]


def test_lines() -> None:
    """One for each series, higher where the value is; and a point for each value."""
    tree = read_figure(draw_lines(Plot("Latency", HOURS, [Series("p50", [1, 2, 3, 4]), Series("p95", [4, 4, 4, 4])], print_seconds)))
    (first,), (second,) = read_points(tree, "l0"), read_points(tree, "l1")
    heights = [y for _, y in first]
    assert heights == sorted(heights, reverse=True) and len({y for _, y in second}) == 1 and heights[3] == second[3][1]
    assert len(find(tree, "circle", "f0")) == 4
    assert [text.text for text in find(tree, "text")][:5] == ["0", "1.00 s", "2.00 s", "3.00 s", "4.00 s"]
    assert tree.find("figcaption").text == "Latency"  # type: ignore[union-attr]


@pytest.mark.parametrize("values", [[1.0, None, 3.0, 4.0], [None, 2.0, None, None], [None, None, 3.0, 4.0]])
def test_a_line_breaks_where_nothing_was_measured(values: list[float | None]) -> None:
    """It never goes down to zero, and never across what is not known; a value alone is a point."""
    tree = read_figure(draw_lines(Plot("Latency", HOURS, [Series("p50", values)], print_seconds)))
    assert len(find(tree, "circle")) == sum(value is not None for value in values)
    assert [len(points) for points in read_points(tree, "l0")] == ([2] if values[-1] is not None else [])


def test_a_line_breaks_where_an_hour_is_missing() -> None:
    """No call is known of for that hour."""
    steps = [make_hour(number) for number in (0, 1, 5, 6)]
    tree = read_figure(draw_lines(Plot("Latency", steps, [Series("p50", [1, 1, 1, 1])], print_seconds)))
    assert [len(points) for points in read_points(tree, "l0")] == [2, 2]


def test_limits_are_drawn_where_they_are_within() -> None:
    """One far above would make the rest flat."""
    limits = [Limit("warning", 3.0), Limit("critical", 10.0)]
    tree = read_figure(draw_lines(Plot("Latency", HOURS, [Series("p95", [1, 2, 3.5, 2])], print_seconds, limits)))
    assert [text.text for text in find(tree, "text", "limit")] == ["warning"]


def test_bars_stand_upon_one_another() -> None:
    """Each as high as its value; none for what is zero or not known."""
    series = [Series("in", [10, 20, None, 0]), Series("out", [5, 0, None, 5])]
    tree = read_figure(draw_bars(Plot("Tokens", HOURS, series, print_count)))
    first = [(float(bar.get("y", "")), float(bar.get("height", ""))) for bar in find(tree, "rect", "f0")]
    second = [(float(bar.get("y", "")), float(bar.get("height", ""))) for bar in find(tree, "rect", "f1")]
    assert (len(first), len(second)) == (2, 2)
    assert first[1][1] == pytest.approx(2 * first[0][1], abs=0.2) and second[0][1] == pytest.approx(first[0][1] / 2, abs=0.2)
    assert second[0][0] + second[0][1] == pytest.approx(first[0][0], abs=0.2)


def test_what_is_said_under_the_pointer() -> None:
    """The hour and every value, also that there is none."""
    tree = read_figure(draw_bars(Plot("Tokens", HOURS, [Series("in", [1500, None, 0, 1])], print_count)))
    said = [title.text for title in find(tree, "title")]
    assert said[:3] == ["2026-03-29 00:00 UTC\nin: 1,500", "2026-03-29 01:00 UTC\nin: -", "2026-03-29 02:00 UTC\nin: 0"]


def test_nothing_is_drawn_of_nothing() -> None:
    """It is said instead; zeros are something."""
    nothing, zeros = [Series("s", [None] * 4)], [Series("s", [0] * 4)]
    drawn = [draw_lines(Plot("T", HOURS, nothing, print_count)), draw_bars(Plot("T", HOURS, nothing, print_count))]
    drawn.append(draw_ranking(Ranking("T", ["m"] * 4, nothing, ["-"] * 4)))
    assert all("Nothing was measured." in figure and "<svg" not in figure for figure in drawn)
    assert "<svg" in draw_bars(Plot("T", HOURS, zeros, print_count, least_step=1))
    assert "<ol" in draw_ranking(Ranking("T", ["m"] * 4, zeros, ["0"] * 4))


def test_a_ranking() -> None:
    """The longest bar fills its room, the others are as long as they are beside it."""
    parts = [Series("in", [30, None, 10]), Series("out", [10, None, 0])]
    tree = read_figure(draw_ranking(Ranking("Tokens", ["a", "b", "c"], parts, ["40", "-", "10"])))
    rows = find(tree, "ol")[0]
    widths = [[bar.get("style") for bar in row.iter("i")] for row in rows]
    assert widths == [["width:75.00%", "width:25.00%"], [], ["width:25.00%"]]
    assert [[span.text for span in row.iter("span")] for row in rows] == [["a", "40"], ["b", "-"], ["c", "10"]]


def test_names_are_text() -> None:
    """Whatever a model is called, it is shown and does nothing."""
    evil = '"><script>alert(1)</script>&'
    figures = [
        draw_lines(Plot(evil, HOURS, [Series(evil, [1] * 4), Series("b", [1] * 4)], print_count, [Limit(evil, 1)])),
        draw_ranking(Ranking(evil, [evil], [Series(evil, [1])], [evil])),
    ]
    for figure in figures:
        tree = read_figure(figure)
        assert find(tree, "script") == [] and evil in "".join(tree.itertext())


def test_many_points_are_a_line_alone() -> None:
    """Points would run into one another."""
    steps = [make_hour(number) for number in range(60)]
    tree = read_figure(draw_lines(Plot("Latency", steps, [Series("p50", [1.0] * 60)], print_seconds)))
    assert find(tree, "circle") == [] and len(read_points(tree, "l0")[0]) == 60
