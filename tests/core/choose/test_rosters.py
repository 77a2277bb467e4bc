"""Whose turn it is in a pool, and who gets less for a while."""

from sidecar.config import Balancing, Strategy
from sidecar.core.choose.rosters import Roster
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


def test_a_roster_goes_on_where_another_was() -> None:
    """For those who are in both: turns, ejections, what was saved up, whose favourite it is; and who is in slow start is found again."""
    rig = Rig(plain("a", "b", "c"))
    before = rig.seat_of("a").roster
    a, b, c = before.seats
    for seat in (b, a, c, a):
        before.give_turn(seat)
    b.current, b.ejected_until, b.ejections = 2.5, 1030.0, 3
    c.standing.come_back(995.0)
    before.favourite = b
    after = Roster("chat", Strategy.ADAPTIVE, [c.standing, b.standing], Balancing(slow_start=60.0))
    after.inherit(before)
    assert [(seat.turn, seat.current, seat.ejected_until, seat.ejections) for seat in after.seats] == [
        (3, 0.0, float("-inf"), 0), (1, 2.5, 1030.0, 3),
    ]  # fmt: skip
    assert (after.turn, after.favourite, after.starters_until) == (4, after.seats[1], 1090.0)


def test_a_favourite_that_left_is_none() -> None:
    """Another one is chosen."""
    rig = Rig(plain("a", "b"))
    before = rig.seat_of("a").roster
    before.favourite = before.seats[0]
    after = Roster("chat", Strategy.ADAPTIVE, [before.seats[1].standing], Balancing())
    after.inherit(before)
    assert after.favourite is None
