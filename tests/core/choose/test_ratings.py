"""How good answers are said to be."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.choose.ratings import CONFIGURED_WEIGHT, HALF_LIFE_S, WEIGHT_MAX, Ratings


def test_few_ratings_say_nothing_unless_something_is_configured() -> None:
    """Five do; then their mean is what is expected."""
    ratings = Ratings(None)
    for number in range(4):
        ratings.note(number / 4, 0.0)
    assert ratings.estimate(0.0) is None
    ratings.note(1.0, 0.0)
    assert ratings.estimate(0.0) == pytest.approx((0.25 + 0.5 + 0.75 + 1.0) / 5)


def test_what_is_configured_counts_as_ten() -> None:
    """Alone it is the whole; ten ratings weigh as much; and it does not age."""
    ratings = Ratings(0.8)
    assert ratings.estimate(0.0) == pytest.approx(0.8)
    for _ in range(int(CONFIGURED_WEIGHT)):
        ratings.note(0.2, 0.0)
    assert ratings.estimate(0.0) == pytest.approx(0.5)
    assert ratings.estimate(100 * HALF_LIFE_S) == pytest.approx(0.8)


def test_a_rating_loses_half_its_weight_in_an_hour() -> None:
    """One of now weighs as much as two of then; and at last nothing is known again."""
    ratings = Ratings(None)
    for _ in range(20):
        ratings.note(0.0, 0.0)
    for _ in range(10):
        ratings.note(1.0, HALF_LIFE_S)
    assert ratings.estimate(HALF_LIFE_S) == pytest.approx(0.5)
    assert ratings.estimate(5 * HALF_LIFE_S) is None


def test_many_ratings_hold_nobody_for_long() -> None:
    """However many there were, the next hundred outweigh them."""
    ratings = Ratings(None)
    for _ in range(10_000):
        ratings.note(0.0, 0.0)
    for _ in range(int(WEIGHT_MAX)):
        ratings.note(1.0, 0.0)
    assert (ratings.estimate(0.0) or 0.0) > 0.6


@given(st.one_of(st.none(), st.floats(0, 1)), st.lists(st.tuples(st.floats(0, 1), st.floats(-10, 1e6)), max_size=50))
def test_what_is_expected_is_always_a_quality(configured: float | None, said: list[tuple[float, float]]) -> None:
    """From 0 to 1, whatever is said and whenever."""
    ratings, now = Ratings(configured), 0.0
    for quality, later_s in said:
        now += later_s
        ratings.note(quality, now)
        estimate = ratings.estimate(now)
        assert estimate is None or -1e-9 <= estimate <= 1 + 1e-9


def test_another_configured_quality_changes_nothing_that_was_said() -> None:
    """Five ratings of 1 against ten of what is configured."""
    ratings = Ratings(0.1)
    for _ in range(5):
        ratings.note(1.0, 0.0)
    ratings.adopt(0.4)
    assert ratings.estimate(0.0) == pytest.approx(9 / 15)
    ratings.adopt(None)
    assert ratings.estimate(0.0) == 1.0
