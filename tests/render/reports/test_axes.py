"""Where things stand in a plot."""

from itertools import pairwise

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reckon.snapshots import DAY_S, Snapshot
from sidecar.render.reports.axes import BOTTOM, HEIGHT, LEFT, RIGHT, TOP, WIDTH, fit_scale, list_labels, place_steps
from tests.core.reckon.journals import make_day, make_hour


@given(st.floats(min_value=1e-6, max_value=1e15), st.sampled_from([0.0, 1.0]))
def test_the_highest_value_is_within(highest: float, least_step: float) -> None:
    """Nothing is drawn outside, few lines are drawn, and not much room is left empty."""
    scale = fit_scale(highest, least_step)
    assert highest <= scale.top * (1 + 1e-6)
    assert scale.top <= max(2.5 * highest, scale.step)
    assert 1 <= len(list(scale.list_ticks())) <= 5 and scale.step >= least_step
    assert TOP - 0.01 <= scale.place(highest) <= HEIGHT - BOTTOM


@pytest.mark.parametrize(
    ("highest", "least_step", "ticks"),
    [
        (4.0, 0.0, [1, 2, 3, 4]), (9.1, 0.0, [2.5, 5, 7.5, 10]), (1500, 1.0, [500, 1000, 1500]), (1, 1.0, [1]), (0, 1.0, [1]),
        (3, 1.0, [1, 2, 3]), (0.012, 0.0, [0.005, 0.01, 0.015]),
    ],
)  # fmt: skip
def test_steps_are_round(highest: float, least_step: float, ticks: list[float]) -> None:
    """And whole for what is counted, even where there is none of it."""
    assert list(fit_scale(highest, least_step).list_ticks()) == pytest.approx(ticks)


def test_the_bottom_is_zero() -> None:
    """Bars are as long as what they stand for."""
    scale = fit_scale(8.0)
    assert scale.place(0) == HEIGHT - BOTTOM and scale.place(scale.top) == pytest.approx(TOP)
    assert scale.place(4) == pytest.approx((scale.place(0) + scale.place(8)) / 2)


def test_time_goes_from_left_to_right() -> None:
    """A missing hour leaves its room empty; the last ends at the edge."""
    slots = place_steps([make_hour(0), make_hour(1), make_hour(3)])
    width = (WIDTH - LEFT - RIGHT) / 4
    assert [slot.left for slot in slots] == pytest.approx([LEFT, LEFT + width, LEFT + 3 * width])
    assert slots[2].left + slots[2].width == pytest.approx(WIDTH - RIGHT) and slots[0].middle == pytest.approx(LEFT + width / 2)


def test_one_day_that_is_far_off_is_still_seen() -> None:
    """A file from a clock that stood wrong makes bars thin, not unseen."""
    slots = place_steps([Snapshot(0, DAY_S), make_day(0)])
    assert min(slot.width for slot in slots) >= 1


def test_labels_do_not_touch() -> None:
    """Some of the steps have theirs, the first one always."""
    days = [make_day(number) for number in range(30)]
    labels = list(list_labels(days, place_steps(days)))
    places = [place for place, _ in labels]
    assert labels[0][1] == "03-29" and 5 <= len(labels) <= 8
    assert min(b - a for a, b in pairwise(places)) >= 65
    hours = [make_hour(13)]
    assert [label for _, label in list_labels(hours, place_steps(hours))] == ["03-29 13h"]
