"""Waiting for room: whoever waits is woken, shed or leaves, and no slot is lost on the way; what an overload comes to."""

import asyncio
import random
from collections.abc import Awaitable, Callable, Coroutine
from typing import Any, NamedTuple

import pytest

from sidecar.catalogue import SHED_REASONS
from sidecar.config import Queue, Settings, Upstream
from sidecar.core.admit.admission import Admission
from sidecar.errors import OVERLOADED
from sidecar.queueing import NoRoom, Queueing
from tests.edge.virtual import VirtualLoop, turn

MEDIUM, HIGH = 1, 2
NEVER = float("inf")


class Place(NamedTuple):
    """One upstream with its slots and its queue."""

    loop: VirtualLoop
    admission: Admission
    queueing: Queueing

    def wait(self, urgency: int = MEDIUM, deadline_at: float = NEVER) -> asyncio.Task[str]:
        """Let a call wait."""
        return self.loop.create_task(self.queueing.wait(("up",), urgency, deadline_at))


def play(main: Callable[[Place], Coroutine[Any, Any, None]], *, slots: int = 1, size: int = 1000, wait: float = 3.0) -> Place:
    """Run a play on virtual time; afterwards nothing may be in use and nobody wait."""
    loop = VirtualLoop()
    settings = Settings(upstreams={"up": Upstream("http://up.test", concurrency=slots)}, queue=Queue(size, wait))
    admission = Admission(settings)
    place = Place(loop, admission, Queueing(admission, loop))
    try:
        loop.run_until_complete(main(place))
    finally:
        loop.close()
    assert (admission.in_use("up"), admission.queued()) == (0, 0)
    return place


async def refusal(call: Awaitable[str]) -> tuple[str, float | None]:
    """Return why a call was refused, and when it may come again."""
    with pytest.raises(NoRoom) as raised:
        await call
    assert raised.value.kind is OVERLOADED
    assert raised.value.reason in SHED_REASONS
    return raised.value.reason, raised.value.retry_after_s


def test_a_slot_that_comes_free_wakes_the_first() -> None:
    """The slot is its own from then on; the next one waits for it."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        first, second = place.wait(), place.wait()
        await turn()
        assert place.admission.queued() == 2
        place.admission.release("up", place.loop.now())
        assert (place.admission.in_use("up"), place.admission.queued()) == (1, 1)
        assert await first == "up"
        assert not second.done()
        place.admission.release("up", place.loop.now())
        assert await second == "up"
        place.admission.release("up", place.loop.now())

    play(main)


def test_where_there_is_room_nobody_waits() -> None:
    """Not even for a turn of the loop."""

    async def main(place: Place) -> None:
        waiting = place.queueing.wait(("up",), MEDIUM, NEVER)
        with pytest.raises(StopIteration) as ended:
            waiting.send(None)
        assert ended.value.value == "up"
        place.admission.release("up", place.loop.now())

    play(main)


def test_who_has_waited_long_enough_is_told() -> None:
    """After queue.wait, or at the caller's deadline where that is sooner; with when to come again."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        began = place.loop.now()
        patient, hasty = place.wait(), place.wait(deadline_at=began + 0.5)
        assert (await refusal(hasty))[0] == "gave_up"
        assert place.loop.now() - began == pytest.approx(0.5, abs=0.01)
        assert await refusal(patient) == ("gave_up", 3.0)
        assert place.loop.now() - began == pytest.approx(3.0, abs=0.01)
        place.admission.release("up", place.loop.now())

    play(main)


def test_who_cannot_wait_is_told_at_once() -> None:
    """A full queue, and no time at all."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        began = place.loop.now()
        waiting = place.wait()
        await turn()
        assert await refusal(place.queueing.wait(("up",), MEDIUM, NEVER)) == ("queue_full", 3.0)
        assert await refusal(place.queueing.wait(("up",), HIGH, began)) == ("too_long", 3.0)
        assert place.loop.now() == began
        place.admission.release("up", began)
        place.admission.release(await waiting, began)

    play(main, size=1)


def test_who_makes_room_for_a_more_urgent_one_is_told() -> None:
    """The less urgent one is woken and refused."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        medium = place.wait()
        await turn()
        high = place.wait(HIGH)
        assert await refusal(medium) == ("queue_full", 3.0)
        place.admission.release("up", place.loop.now())
        place.admission.release(await high, place.loop.now())

    play(main, size=1)


def test_a_caller_that_leaves_gives_up_its_place() -> None:
    """The one behind it is served in its stead."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        leaving, staying = place.wait(), place.wait()
        await turn()
        leaving.cancel()
        await turn()
        assert place.admission.queued() == 1
        place.admission.release("up", place.loop.now())
        place.admission.release(await staying, place.loop.now())
        assert leaving.cancelled()

    play(main)


@pytest.mark.parametrize("woken_first", [True, False])
def test_woken_and_cancelled_at_the_same_moment_passes_the_slot_on(woken_first: bool) -> None:
    """In either order: the next one gets it, or nobody holds it."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        leaving, staying = place.wait(), place.wait()
        await turn()
        if woken_first:
            place.admission.release("up", place.loop.now())
            leaving.cancel()
        else:
            leaving.cancel()
            place.admission.release("up", place.loop.now())
        assert await staying == "up"
        assert leaving.cancelled()
        place.admission.release("up", place.loop.now())
        last = place.wait()
        await turn()
        assert last.result() == "up"
        place.admission.release("up", place.loop.now())

    play(main)


@pytest.mark.parametrize("released_first", [True, False])
def test_woken_when_its_time_is_over_is_served(released_first: bool) -> None:
    """A slot that comes in the very moment in which it would give up is not lost, and it is not refused either."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        over_at = place.loop.now() + 3.0

        def release() -> None:
            place.admission.release("up", place.loop.now())

        if released_first:
            place.loop.call_at(over_at, release)
        waiting = place.wait()
        await turn()
        if not released_first:
            place.loop.call_at(over_at, release)
        assert await waiting == "up"
        place.admission.release("up", place.loop.now())

    play(main)


class Overload(NamedTuple):
    """What became of calls that came faster than they could be carried."""

    done: int
    shed_at_once: int
    shed_late: int
    waits_s: list[float]  # of those that were carried
    retry_after_s: list[float]
    queued_max: int
    recovered_s: float  # after the overload until a call found room at once


def overload(times: float, *, seconds: float, random_holds: bool) -> Overload:
    """Let calls come in at `times` what 20 slots of 100 ms carry, and then at a tenth of that."""
    slots, held_s = 20, 0.1
    chance = random.Random(3)
    done, waits, retries, late, at_once, found = 0, list[float](), list[float](), 0, 0, list[float]()
    queued_max = 0
    recovered = 0.0

    async def call(place: Place) -> None:
        nonlocal done, late, at_once, queued_max
        came = place.loop.now()
        if place.admission.has_room("up"):
            place.admission.take("up", came)
            found.append(came)
        else:
            try:
                await place.queueing.wait(("up",), MEDIUM, came + 600)
            except NoRoom as fault:
                assert fault.retry_after_s is not None
                retries.append(fault.retry_after_s)
                if place.loop.now() > came:
                    late += 1
                else:
                    at_once += 1
                return
        queued_max = max(queued_max, place.admission.queued())
        assert place.admission.in_use("up") <= slots
        waits.append(place.loop.now() - came)
        await asyncio.sleep(chance.expovariate(1 / held_s) if random_holds else held_s)
        place.admission.release("up", place.loop.now())
        done += 1

    async def come(place: Place, rate: float, for_s: float) -> list[asyncio.Task[None]]:
        calls = []
        over_at = place.loop.now() + for_s
        while place.loop.now() < over_at:
            calls.append(place.loop.create_task(call(place)))
            await asyncio.sleep(chance.expovariate(rate))
        return calls

    async def main(place: Place) -> None:
        nonlocal done, recovered
        calls = await come(place, times * slots / held_s, seconds)
        in_time, over_at = done, place.loop.now()
        found.clear()
        calls += await come(place, 0.1 * slots / held_s, 10.0)
        recovered = found[0] - over_at
        await asyncio.gather(*calls)
        done = in_time

    play(main, slots=slots)
    return Overload(done, at_once, late, waits, retries, queued_max, recovered)


@pytest.mark.parametrize("random_holds", [False, True])
@pytest.mark.parametrize(("times", "seconds"), [(2, 20.0), (10, 8.0)])
def test_an_overload_is_carried_at_capacity_and_the_rest_refused_at_once(times: int, seconds: float, random_holds: bool) -> None:
    """Nothing of the capacity is lost, nearly all who are refused are told at once, the queue is bounded, and it is over soon after."""
    result = overload(times, seconds=seconds, random_holds=random_holds)
    assert result.done >= 0.97 * 200 * seconds
    assert result.shed_at_once > (times - 1) * 200 * seconds * 0.8
    assert result.shed_late <= 0.01 * result.shed_at_once
    assert max(result.waits_s) <= 3.0
    assert all(1 <= retry_s <= 5 for retry_s in result.retry_after_s)
    assert result.queued_max <= 1000
    assert result.recovered_s <= 4


def test_who_waits_is_served_under_whatever_settings() -> None:
    """One waits under the old ones and one under the new, and a place of another name makes no difference: who came first goes first."""

    async def main(place: Place) -> None:
        place.admission.take("up", place.loop.now())
        first = place.wait()
        await turn()
        settings = Settings(upstreams={"up": Upstream("http://up.test", concurrency=1), "new": Upstream("http://new.test")})
        admission = place.admission.succeed(settings, frozenset({"up"}), place.loop.now())
        queueing = place.queueing.succeed(admission)
        second = place.loop.create_task(queueing.wait(("up",), MEDIUM, NEVER))
        leaving = place.loop.create_task(queueing.wait(("up",), HIGH, NEVER))
        await turn()
        leaving.cancel()
        await turn()
        assert admission.queued() == place.admission.queued() == 2
        admission.release("up", place.loop.now())
        assert await first == "up" and not second.done()
        place.admission.release("up", place.loop.now())
        assert await second == "up"
        admission.release("up", place.loop.now())

    play(main)
