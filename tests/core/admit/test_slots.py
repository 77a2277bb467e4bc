"""Slots: what is in use, and how soon the next one comes free."""

import pytest

from sidecar.core.admit.slots import Slots


def use(slots: Slots, *, count: int, held_s: float, begun: float) -> float:
    """Hold slots at the same time; return when they are free again."""
    for _ in range(count):
        slots.take(begun)
    for _ in range(count):
        slots.release(begun + held_s)
    return begun + held_s


def test_slots_in_use_are_counted() -> None:
    """What is taken is in use until it is given back."""
    slots = Slots(3)
    slots.take(1.0)
    slots.take(1.0)
    slots.release(2.0)
    assert (slots.in_use, slots.limit) == (1, 3)


def test_nothing_is_known_at_the_start() -> None:
    """A few calls that have ended are no measurement yet; as many as there are slots are."""
    slots = Slots(20)
    use(slots, count=9, held_s=0.1, begun=0.0)
    assert slots.interval_s(1.0) is None
    use(slots, count=1, held_s=0.1, begun=1.0)
    assert slots.interval_s(2.0) == pytest.approx(0.1 / 20)
    few = Slots(2)
    use(few, count=2, held_s=4.0, begun=0.0)
    assert few.interval_s(10.0) == pytest.approx(2.0)


def test_little_traffic_does_not_make_slots_look_slow() -> None:
    """One call a minute of 100 ms: twenty slots would still free 200 a second."""
    slots = Slots(20)
    for number in range(60):
        use(slots, count=1, held_s=0.1, begun=number * 60.0)
    assert slots.interval_s(3600.0) == pytest.approx(0.005)


def test_bursts_do_not_make_slots_look_slow() -> None:
    """Twenty calls at once every ten seconds, no more: the rate of a burst is that of the slots, not of the bursts."""
    slots = Slots(20)
    for number in range(10):
        use(slots, count=20, held_s=0.1, begun=number * 10.0)
    assert slots.interval_s(100.0) == pytest.approx(0.005)


def test_long_calls_count_as_the_slots_they_keep() -> None:
    """Of ten slots five hold endless streams: the rest frees as many as five slots do."""
    slots = Slots(10)
    for _ in range(5):
        slots.take(0.0)
    now = 0.0
    for _ in range(5):
        slots.take(now)
    for _ in range(1000):
        now += 0.02
        slots.release(now)
        slots.take(now)
    assert slots.interval_s(now) == pytest.approx(0.02, rel=0.05)


def test_a_change_shows_within_some_fifty_calls() -> None:
    """An upstream that has become ten times slower is believed soon, and one that has recovered, too."""
    slots = Slots(5)
    now = 0.0
    for held_s in (0.1, 1.0, 0.1):
        for _ in range(200):
            now = use(slots, count=1, held_s=held_s, begun=now)
        assert slots.interval_s(now) == pytest.approx(held_s / 5, rel=0.2)


def test_an_upstream_that_went_silent_frees_nothing() -> None:
    """While all slots are in use and none comes free, the time that passes counts; a slot that is free ends that."""
    slots = Slots(4)
    use(slots, count=4, held_s=0.1, begun=0.0)
    for _ in range(4):
        slots.take(50.0)
    assert slots.interval_s(50.0) == pytest.approx(0.025)
    assert slots.interval_s(58.0) == pytest.approx(2.0)
    slots.release(58.0)
    assert slots.interval_s(60.0) is not None
    slots.take(90.0)
    assert slots.interval_s(90.5) == pytest.approx(0.6, rel=0.5)


def test_a_limit_that_comes_down_on_what_is_in_use_is_met_from_then_on() -> None:
    """Nothing came free for a minute because nothing had to: that is no silence."""
    slots = Slots(100, adaptive=True)
    now = 0.0
    for _ in range(200):
        now = use(slots, count=1, held_s=0.2, begun=now)
    for _ in range(15):
        slots.take(now)
    now += 60.0
    for number in range(500):
        slots.note_first_token(0.1 if number < 11 else 5.0, now + number * 0.02)
        if slots.limit == slots.in_use:
            break
    assert slots.limit == slots.in_use == 15
    assert slots.interval_s(now + number * 0.02) == pytest.approx(0.2 / 15)


def test_another_limit() -> None:
    """Slots in use stay; how long they are held is known still; full since then, if they are."""
    slots = Slots(20)
    now = use(slots, count=20, held_s=1.0, begun=0.0)
    for _ in range(4):
        slots.take(now)
    slots.adopt(2, adaptive=False, now=now + 5.0)
    assert (slots.in_use, slots.limit, slots.interval_s(now + 6.0)) == (4, 2, 0.5)
    assert slots.interval_s(now + 10.0) == 2.5, "none has come free for the five seconds in which there were too few"
    for _ in range(4):
        slots.release(now + 10.0)
    slots.adopt(10, adaptive=True, now=now + 10.0)
    assert slots.gradient is not None and slots.limit == 10
    slots.adopt(7, adaptive=False, now=now + 10.0)
    assert (slots.gradient, slots.limit, slots.in_use) == (None, 7, 0)


def test_calls_that_began_uncounted_are_counted() -> None:
    """They are given back as any others."""
    slots = Slots(2)
    slots.occupy(3, 5.0)
    assert slots.in_use == 3
    for _ in range(3):
        slots.release(6.0)
    assert slots.in_use == 0
