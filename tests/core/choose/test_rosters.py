"""Whose turn it is in a pool, and who gets less for a while."""

from sidecar.core.choose.standings import SLOW_START_MIN
from tests.core.choose.pools import Rig, plain


def test_the_share_grows_from_a_tenth_to_all() -> None:
    """In a straight line, over the time of slow start."""
    rig = Rig(plain("a", "b"))
    seat = rig.seat_of("a")
    seat.standing.come_back(1000.0)
    assert [round(seat.share(30.0, 1000.0 + after), 3) for after in (0.0, 1.0, 15.0, 29.7, 30.0, 99.0)] == [
        SLOW_START_MIN, SLOW_START_MIN, 0.5, 0.99, 1.0, 1.0,
    ]  # fmt: skip


def test_the_end_of_an_ejection_is_a_return() -> None:
    """Not the ejection itself: during it the share is what it was."""
    rig = Rig(plain("a", "b"))
    seat = rig.seat_of("a")
    seat.ejected_until = 1030.0
    assert seat.share(30.0, 1029.0) == 1.0
    assert seat.share(30.0, 1045.0) == 0.5


def test_no_slow_start_where_none_is_wanted() -> None:
    """Zero seconds are over at once."""
    rig = Rig(plain("a", "b"))
    seat = rig.seat_of("a")
    seat.standing.come_back(1000.0)
    assert seat.share(0.0, 1000.0) == 1.0


def test_turns_are_counted() -> None:
    """Who was chosen last has the latest turn."""
    rig = Rig(plain("a", "b"))
    roster = rig.seat_of("a").roster
    first, second = roster.seats
    roster.give_turn(second)
    roster.give_turn(first)
    assert first.turn > second.turn


def test_it_is_known_until_when_somebody_may_be_starting() -> None:
    """The latest return counts."""
    rig = Rig(plain("a", "b"))
    roster = rig.seat_of("a").roster
    roster.expect_starters(2000.0)
    roster.expect_starters(1000.0)
    assert roster.starters_until == 2000.0 + roster.balancing.slow_start
