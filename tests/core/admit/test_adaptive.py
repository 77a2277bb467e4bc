"""Adaptive concurrency: the limit finds what an upstream takes, whatever it started from."""

import heapq
import random
from collections.abc import Callable
from typing import NamedTuple

import pytest

from sidecar.core.admit.adaptive import Gradient
from sidecar.core.admit.slots import Slots


class Course(NamedTuple):
    """What a simulation showed: calls begun in each second, and the limit at its end."""

    begun: list[int]
    limits: list[int]


def simulate(
    slots: Slots, ttft: Callable[[int, float], float], *, seconds: int, rate: float = 1e9,
    streamed: Callable[[float], float] = lambda now: 0.0,
) -> Course:  # fmt: skip
    """Play calls against an upstream whose time to first token is `ttft(calls in it, now)`, after which they last `streamed(now)`.

    `rate`: calls that come in a second, evenly; the default leaves no slot free. Those that find no room are gone.
    """
    course = Course([0] * seconds, [0] * seconds)
    events: list[tuple[float, int, str, float]] = [(0.0, 0, "come", 0.0)]
    number = 0
    gap_s = max(1 / rate, 0.002)
    while events:
        now, _, kind, value = heapq.heappop(events)
        second = int(now)
        if second >= seconds:
            break
        course.limits[second] = slots.limit
        assert slots.in_use <= slots.limit
        number += 1
        if kind == "first":
            slots.note_first_token(value, now)
            heapq.heappush(events, (now + streamed(now), number, "end", 0.0))
            continue
        if kind == "end":
            slots.release(now)
        else:
            heapq.heappush(events, (now + gap_s, number, "come", 0.0))
        while slots.in_use < slots.limit and (kind == "come" or rate > 1e6):
            slots.take(now)
            course.begun[second] += 1
            took_s = ttft(slots.in_use, now)
            number += 1
            heapq.heappush(events, (now + took_s, number, "first", took_s))
            if rate <= 1e6:
                break
    return course


def queued(capacity: int, base_s: float) -> Callable[[int, float], float]:
    """Return an upstream that works on `capacity` calls at once and lets the rest wait their share."""
    return lambda in_use, now: base_s * max(1.0, in_use / capacity)


def mean(values: list[int]) -> float:
    """Return the mean."""
    return sum(values) / len(values)


def test_the_limit_starts_low_and_never_passes_the_configured_one() -> None:
    """Nothing is known at first, and what is configured is the most there is."""
    assert Gradient(100).limit == 20
    assert Gradient(2).limit == 2
    slots = Slots(50, adaptive=True)
    course = simulate(slots, lambda in_use, now: 0.1, seconds=60)
    assert max(course.limits) == 50
    assert mean(course.limits[10:]) > 40


@pytest.mark.parametrize("capacity", [10, 20, 60])
def test_the_limit_finds_the_capacity(capacity: int) -> None:
    """The upstream is kept busy, and the queue within it short, where far more would be allowed."""
    course = simulate(Slots(500, adaptive=True), queued(capacity, 0.1), seconds=120)
    assert capacity * 0.8 < mean(course.limits[30:]) < capacity * 2
    assert mean(course.begun[30:]) > 0.93 * capacity / 0.1  # what a call takes grows as the number under way: the rate is constant


def test_an_upstream_that_was_overloaded_from_the_start_is_found_out() -> None:
    """The first measurement was taken in the queue of an upstream with five slots; the next one, soon after, is not."""
    upstream = queued(5, 0.2)
    course = simulate(Slots(200, adaptive=True), lambda in_use, now: upstream(max(in_use, 40 if now < 3 else 0), now), seconds=300)
    assert mean(course.limits[40:60]) < 12
    assert mean(course.limits[60:]) < 12


def test_a_changed_upstream_is_measured_again() -> None:
    """It became three times slower for good: that is no queue, and after a while the limit is as high as before."""
    before, after = queued(30, 0.1), queued(30, 0.3)
    course = simulate(Slots(500, adaptive=True), lambda in_use, now: (before if now < 100 else after)(in_use, now), seconds=400)
    usual = mean(course.limits[50:99])
    assert mean(course.limits[102:115]) < usual / 1.5
    assert mean(course.limits[300:]) > 0.8 * usual


def test_measuring_again_starves_nobody() -> None:
    """In no second fewer than a fifth of the calls begin, and over the minutes nineteen of twenty."""
    course = simulate(Slots(500, adaptive=True), queued(20, 0.1), seconds=400)
    settled = course.begun[60:]
    assert min(course.limits[60:]) < mean(course.limits[60:]) * 0.6, "nothing was measured"
    assert min(settled) > 0.2 * 200
    assert mean(settled) > 0.95 * 200


def test_measuring_again_starves_nobody_where_answers_are_long() -> None:
    """Slots are held for 20 s after the first token: calls go on to begin at half their rate, and nine tenths of them over the minutes."""
    course = simulate(Slots(60, adaptive=True), lambda in_use, now: 0.1, seconds=2000, streamed=lambda now: 20.0)
    settled = course.begun[200:]
    assert min(course.limits[200:]) <= 30, "nothing was measured"
    assert min(sum(settled[at : at + 60]) for at in range(0, 1700, 10)) > 0.25 * 60 * 3
    assert mean(settled) > 0.9 * 3


def test_only_the_time_to_first_token_counts() -> None:
    """Answers that take longer and longer to write change nothing."""
    course = simulate(
        Slots(400, adaptive=True), lambda in_use, now: 0.1, seconds=200, streamed=lambda now: 0.0 if now < 50 else 1.0 if now < 100 else 4.0
    )
    assert max(course.limits[:50]) == max(course.limits[100:]) == 400


def test_a_limit_that_nobody_meets_stays() -> None:
    """With two calls at once the first token may come when it wants."""
    chance = random.Random(7)
    slots = Slots(100, adaptive=True)
    course = simulate(slots, lambda in_use, now: chance.uniform(0.1, 1.0), seconds=300, rate=3)
    assert set(course.limits[:300]) == {20}


def test_natural_variance_is_no_queue() -> None:
    """First tokens vary by prompt (log-normal, a standard deviation of half): where nothing queues, the limit does not sink."""
    chance = random.Random(11)
    slots = Slots(60, adaptive=True)
    course = simulate(slots, lambda in_use, now: 0.3 * chance.lognormvariate(0, 0.5), seconds=600)
    assert mean(course.limits[60:600]) > 40


def test_going_down_spares_every_second_slot() -> None:
    """However far the limit has to go, half of what comes free is given on."""
    slots = Slots(400, adaptive=True)
    simulate(slots, lambda in_use, now: 0.1, seconds=4)
    now = 4.0
    while slots.in_use < slots.limit:
        slots.take(now)
    before = slots.limit
    now += 20.0
    for _ in range(20):
        now += 0.1
        slots.note_first_token(9.0, now)
    assert slots.limit == before == slots.in_use
    given = 0
    for number in range(60):
        slots.release(now + number)
        if slots.in_use < slots.limit:
            slots.take(now + number)
            given += 1
    assert given == 30
    assert slots.limit == before - 30


def test_only_calls_that_met_the_limit_speak_of_it() -> None:
    """First tokens of calls that began before the limit changed are left out: they tell of what was before."""
    gradient = Gradient(100)
    now = 100.0
    for _ in range(20):
        now += 0.1
        gradient.note(1.0, 20, now)
    grown = gradient.limit
    assert grown > 20
    for _ in range(200):
        now += 0.004
        gradient.note(5.0, grown, now)
    assert gradient.limit == grown


def test_first_tokens_that_took_no_time_do_no_harm() -> None:
    """A clock that stands divides by nothing."""
    gradient = Gradient(30)
    for number in range(2000):
        gradient.note(0.0, 20, number * 0.1)
        gradient.glide()
    assert 3 <= gradient.limit <= 30


def test_a_first_token_that_is_told_late_belongs_to_when_its_call_was_made() -> None:
    """A stream is over long after its first token: what began under another limit tells nothing of this one."""
    limits = []
    for began in (0.0, None):
        gradient = Gradient(100)
        for number in range(20):
            gradient.note(0.1, 20, 2.0 + number * 0.1)
        grown = gradient.limit
        assert grown > 20
        for number in range(150):
            gradient.note(0.5, grown, 6.0 + number * 0.01, began)
        for _ in range(grown * 2):
            gradient.glide()
        limits.append(gradient.limit - grown)
    assert limits[0] == 0 > limits[1]


def test_another_configured_limit_bounds_what_was_found() -> None:
    """Below it at once; above it, it grows as before; what unloaded means is not found out again."""
    gradient = Gradient(100)
    now = 0.0

    def teach(count: int) -> None:
        nonlocal now
        for _ in range(count):
            now += 0.03
            gradient.note(0.1, gradient.limit, now, now)

    teach(150)
    assert gradient.limit > 60
    assert gradient.adopt(30, 50) == gradient.limit == 30
    teach(10)
    assert gradient.limit == 30
    assert gradient.adopt(200, 30) == 30
    teach(10)
    assert gradient.limit > 30
    assert gradient.adopt(2, 40) == 2
    for _ in range(50):
        gradient.glide()
    assert gradient.limit == 2


def test_a_measurement_under_way_returns_to_no_more_than_the_new_limit() -> None:
    """It had gone down to find out what unloaded is, from a limit that is no longer allowed."""
    slots = Slots(100, adaptive=True)
    lowest, now = 100, 0.0
    for number in range(4000):
        now += 0.02
        while slots.in_use < slots.limit:
            slots.take(now)
        slots.note_first_token(0.1, now, now)
        slots.release(now)
        lowest = min(lowest, slots.limit) if number > 250 else 100
        if lowest < 60 and number > 250:
            break
    assert lowest < 60, "it measures"
    slots.adopt(10, adaptive=True, now=now)
    for _ in range(4000):
        now += 0.02
        if slots.in_use:
            slots.release(now)
        while slots.in_use < slots.limit:
            slots.take(now)
        slots.note_first_token(0.1, now, now)
        assert slots.limit <= 10
