"""Whose record tells what of an upstream call."""

import asyncio
from typing import Any

import pytest

from sidecar.core.reuse.flights import Flight
from sidecar.core.reuse.origins import NONE
from sidecar.core.reuse.policy import Terms
from sidecar.exchange import Attempt, Seen, Usage
from sidecar.journeys import LAST_BYTES_S, Journey, find_seen, retrace, take_over
from sidecar.progress import Exchange, Trial
from tests.core.attempt.calls import PLACE, make_call
from tests.edge.virtual import virtually
from tests.filled import fill
from tests.path import PlayedClient

TERMS = Terms("key", "answers", None, 60.0, 60.0, NONE, True, True, False, None, None, True)
USAGE = Usage(9, output=3)


def exchange_of(*, accepted: float = 100.0, **more: Any) -> Exchange:
    call = make_call(accepted=accepted)
    return fill(Exchange(PlayedClient(call), call, None), **more)


class Reader:
    """An observer that has seen something."""

    skipped = None

    def __init__(self, seen: Seen) -> None:
        self.seen = seen


def carrier_of(seen: Seen | None = None, **more: Any) -> Exchange:
    """Return a carrier whose call is over."""
    trial = fill(Trial(PLACE), observer=None if seen is None else Reader(seen))
    attempt = Attempt("main", 1.0, None, None, None, 2.0, False, 200, "completed")
    return exchange_of(
        trial=trial, attempts=[attempt], attempts_made=1, queued_s=0.5, shed="x", limited="stopped", reserved=object(), **more
    )  # fmt: skip


def test_the_leader_has_all_of_it() -> None:
    """As if it had made the call itself; what it asked for was not there."""
    carrier = carrier_of(fill(Seen(), usage=USAGE))
    reserved = carrier.reserved
    leader = exchange_of(cache="miss")
    take_over(leader, carrier, is_leader=True)
    assert (leader.trial, leader.attempts, leader.attempts_made) == (carrier.trial, carrier.attempts, 1)
    assert (leader.queued_s, leader.shed, leader.limited, leader.cache, leader.told) == (0.5, "x", "stopped", "miss", None)
    assert leader.reserved is reserved and carrier.reserved is None, "it is settled once"


def test_who_comes_into_it_has_it_with_times_of_its_own() -> None:
    """From then on it is no follower: the call and its cost are its own. What came before it did says nothing of how fast that was."""
    seen = fill(Seen(), usage=USAGE, first_chunk=101.0, first_token=102.0, gaps=[1], finish_reasons=["stop"], cost_usd=0.5)
    heir = exchange_of(cache="coalesced", accepted=101.5)
    take_over(heir, carrier_of(seen), is_leader=False)
    assert heir.cache == "miss" and heir.told is not None
    assert (heir.told.usage, heir.told.cost_usd, heir.told.first_chunk, heir.told.first_token) == (USAGE, 0.5, None, 102.0)
    assert heir.told.gaps is None and seen.gaps == [1] and seen.first_chunk == 101.0


def test_who_got_a_stale_answer_has_the_attempts_and_keeps_its_answer() -> None:
    """Whoever it is: what it was told is none of what came."""
    for is_leader in (True, False):
        kept = fill(Seen(), model="old")
        own = exchange_of(cache="stale", told=kept)
        take_over(
            own,
            carrier_of(fill(Seen(), model="failed"), told=fill(Seen(), model="part"), share=USAGE, bundled=3),
            is_leader=is_leader,
        )
        assert (own.cache, own.told, own.share, own.bundled, len(own.attempts)) == ("stale", kept, None, 0, 1)
        assert own.reserved is not None


def test_a_share_of_a_bundle_is_its_callers() -> None:
    """With what the part says."""
    part = fill(Seen(), model="part", usage=USAGE)
    own = exchange_of(cache="miss")
    take_over(own, carrier_of(told=part, share=USAGE, bundled=3), is_leader=True)
    assert (own.share, own.bundled, own.told) == (USAGE, 3, part)


def test_what_a_carrier_saw_is_its_part_or_what_its_observer_saw() -> None:
    """Or nothing."""
    seen, part = fill(Seen(), model="a"), fill(Seen(), model="b")
    assert find_seen(carrier_of(seen)) is seen
    assert find_seen(carrier_of(seen, told=part)) is part
    assert find_seen(carrier_of(told=part)) is part
    assert find_seen(carrier_of()) is None


def test_who_does_not_pay_is_told_no_usage() -> None:
    """And no cost; all else, in lists of its own."""
    seen = fill(Seen(), usage=USAGE, cost_usd=0.5, finish_reasons=["stop"], first_chunk=3.0, model="m")
    own = retrace(seen, 1.0, pays=False)
    assert (own.usage, own.cost_usd, own.first_chunk, own.first_token, own.model) == (None, None, 3.0, None, "m")
    own.finish_reasons.append("x")
    assert seen.finish_reasons == ["stop"] and seen.usage is USAGE


@pytest.mark.parametrize("error", [None, "overloaded_error"])
@pytest.mark.parametrize("answered", [True, False])
@virtually
async def test_only_an_answer_that_has_come_is_waited_for(answered: bool, error: str | None) -> None:
    """A provider that is still writing costs money, and one that has failed has nothing to keep."""
    seen = fill(Seen(), answered=answered, error_type=error)
    journey = Journey(Flight("k", bytes_max=1, lag_max=1), carrier_of(seen), exchange_of(), TERMS)
    for lasts_s in (LAST_BYTES_S / 2, 100.0):
        journey.task = asyncio.ensure_future(asyncio.sleep(lasts_s))
        began = asyncio.get_running_loop().time()
        await journey.settle()
        waits = answered and error is None
        assert journey.task.cancelled() is (not waits or lasts_s == 100.0)
        assert asyncio.get_running_loop().time() - began == pytest.approx(min(lasts_s, LAST_BYTES_S) if waits else 0.0)


@virtually
async def test_who_is_told_twice_to_go_takes_the_call_along() -> None:
    """A connection ends, and then the sidecar."""
    journey = Journey(Flight("k", bytes_max=1, lag_max=1), carrier_of(fill(Seen(), answered=True)), exchange_of(), TERMS)
    journey.task = asyncio.ensure_future(asyncio.sleep(100))
    settling = asyncio.ensure_future(journey.settle())
    await asyncio.sleep(LAST_BYTES_S / 2)
    settling.cancel()
    await asyncio.wait((settling,))
    await asyncio.sleep(0)
    assert settling.cancelled() and journey.task.cancelled()


@virtually
async def test_settling_waits_until_all_is_let_go_of() -> None:
    """A call that is over is left alone."""
    journey = Journey(Flight("k", bytes_max=1, lag_max=1), exchange_of(), exchange_of(), TERMS)
    await journey.settle()
    done: list[str] = []

    async def fly() -> None:
        try:
            await asyncio.sleep(100)
        finally:
            await asyncio.sleep(1)
            done.append("let go")

    journey.task = asyncio.ensure_future(fly())
    await asyncio.sleep(0)
    await journey.settle()
    assert done == ["let go"] and journey.task.cancelled()
    await journey.settle()
