"""Upstream calls in tasks of their own: how they begin, how they end, and who finds them."""

import asyncio
import gc
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Budget, Budgets, Timeouts
from sidecar.core.reuse.flights import Flight, Stage
from sidecar.core.reuse.origins import NONE
from sidecar.core.reuse.policy import Terms
from sidecar.errors import UPSTREAM_RESET, ClientGone, UpstreamFault
from sidecar.exchange import Ending
from sidecar.flying import Recorder
from sidecar.journeys import Journey
from tests.core.attempt.calls import make_call
from tests.edge.virtual import turn, virtually
from tests.flown import COST_USD, PIECES, SETTINGS, TOLD, Flown, Slow, featuring, paused, told_usage
from tests.path import TickingClock
from tests.pooled import ANSWER, DONE, FIRST, LAST, ROLE, USAGE, failure, stream, whole

FUNDED = replace(featuring(budgets=True), budgets=Budgets(tenant=Budget(day=1.0)))
TERMS = Terms("key", "answers", None, 60.0, 60.0, NONE, True, True, False, None, None, True)


class Waiting:
    """A passenger that notes what it is told."""

    is_slow = False
    passed = passed_bytes = 0

    def __init__(self) -> None:
        self.got: list[tuple[bytes, float]] = []

    def note_begin(self) -> None: ...
    def note_over(self) -> None: ...
    def note_detached(self) -> None: ...
    def note_piece(self, piece: bytes, now: float) -> None:
        self.got.append((piece, now))


def test_a_recorder_is_a_caller_that_passes_all_on() -> None:
    """Pieces with the time at which they came; the upstream waits where all who are aboard do."""
    flight, clock, waiting = Flight("k", bytes_max=100, lag_max=100), TickingClock(), Waiting()
    recorder = Recorder(make_call(), flight, clock)
    flight.board(waiting)
    flight.begin()
    recorder.write(b"")
    recorder.write(b"one")
    assert waiting.got == [(b"one", pytest.approx(100.002))] and flight.pieces == [b"one"]
    told: list[str] = []
    recorder.watch(lambda: told.append("pause"), lambda: told.append("go on"))
    waiting.is_slow = True
    flight.weigh()
    waiting.is_slow = False
    flight.weigh()
    assert told == ["pause", "go on"] and not recorder.gone and recorder.fault is None
    recorder.finish(keep=True)
    assert flight.stage is Stage.FLYING, "who carries the call says when it has landed"


@virtually
async def test_a_flight_is_found_while_it_can_be_joined() -> None:
    """By who may share it: not after its end, not once a part of it is gone."""
    path = Flown(paused())
    assert path.flying.find(TERMS) is None
    task = await path.begin(path.listener())
    (journey,) = path.journeys
    terms = journey.terms
    assert path.flying.find(terms) is journey
    assert path.flying.find(terms._replace(shares=False)) is None
    assert path.flying.find(terms._replace(key="other")) is None
    await task
    assert path.flying.find(terms) is None
    path.check_rest()


@virtually
async def test_without_the_feature_no_flight_is_found() -> None:
    """Whatever the terms say."""
    path = Flown(paused(), settings=featuring(coalescing=False))
    task = await path.begin(path.listener())
    assert path.flying.find(path.journeys[0].terms._replace(shares=True)) is None
    await task


@virtually
async def test_a_flight_that_ends_leaves_a_later_one_where_it_is() -> None:
    """The earlier cannot be joined any more, and the later one has its place."""
    big = FIRST.replace(b"hi", b"x" * 3000)
    cached = replace(SETTINGS, cache=replace(SETTINGS.cache, entry=2000))
    path = Flown(paused(ROLE, big, LAST, DONE), paused(ROLE, FIRST, LAST, DONE, pause_s=5.0), settings=cached)
    first = await path.begin(path.listener())
    await asyncio.sleep(2.5)
    second = await path.begin(path.listener())
    await first
    assert path.flying.find(path.journeys[1].terms) is path.journeys[1]
    third = path.listener()
    joining = await path.begin(third)
    await asyncio.gather(second, joining)
    assert path.record_of(third).cache == "coalesced" and len(path.asked) == 2
    path.check_rest()


@virtually
async def test_who_does_not_share_is_not_joined_and_is_in_nobodys_way() -> None:
    """A call that is made anew beside one that is shared: who comes next joins the shared one."""
    path = Flown(paused(pause_s=5.0), paused())
    first = await path.begin(path.listener())
    second = await path.begin(path.listener((b"Cache-Control", b"no-cache")))
    third = path.listener()
    joining = await path.begin(third)
    assert path.flying.find(path.journeys[0].terms) is path.journeys[0] and len(path.journeys) == 2
    await asyncio.gather(first, second, joining)
    assert path.record_of(third).cache == "coalesced"
    path.check_rest()


@virtually
async def test_a_flight_has_a_time_of_its_own() -> None:
    """That of the settings, from when its caller came; a caller in a hurry shortens its own wait only."""
    path = Flown(paused(), settings=replace(SETTINGS, timeouts=Timeouts(total=20.0)))
    task = await path.begin(path.listener((b"x-sidecar-timeout", b"1.5")))
    journey = path.journeys[0]
    assert journey.carrier.deadlines.total_at == journey.leader.call.accepted + 20.0
    assert journey.leader.deadlines.total_at == journey.leader.call.accepted + 1.5
    await task
    await turn()
    path.check_rest()


@virtually
async def test_what_nobody_thought_of_is_told_and_reported() -> None:
    """To all alike; once to us. Nothing is left behind, and the next call is made anew."""

    async def break_down() -> None:
        await asyncio.sleep(1)
        raise RuntimeError("unheard of")

    path = Flown(stream(at_head=break_down()), stream(), settings=FUNDED)
    clients = [path.listener() for _ in range(2)]
    records = await path.serve(*clients)
    assert [client.status for client in clients] == [500, 500] and {record.error_id for record in records} == {"internal"}
    assert [str(error) for _, error in path.reports] == ["unheard of"]
    path.check_rest()
    assert (await path.serve(path.listener())).ending is Ending.COMPLETED


@virtually
async def test_a_flight_that_is_ended_with_the_sidecar_says_so() -> None:
    """Its task is cancelled, and nobody is left to wait."""
    path = Flown(stream(at_head=50.0))
    clients = [path.listener() for _ in range(2)]
    tasks = [await path.begin(client) for client in clients]
    assert path.journeys[0].task is not None
    path.journeys[0].task.cancel()
    await asyncio.gather(*tasks)
    assert {path.record_of(client).error_id for client in clients} == {"stopping"} and {client.status for client in clients} == {503}
    path.check_rest()


@virtually
async def test_when_all_have_stopped_reading_all_are_let_go() -> None:
    """The upstream was made to wait for too long: none of them reads."""
    path = Flown(stream(ROLE, 1.0, ClientGone("the client stopped reading")))
    clients = [path.listener(kind=Slow) for _ in range(2)]
    records = await path.serve(*clients)
    assert [(record.ending, len(record.attempts)) for record in records] == [(Ending.CLIENT_GONE, 1), (Ending.CLIENT_GONE, 0)]
    assert all(client.ends == ["broken off"] for client in clients)
    path.check_rest()


@virtually
async def test_what_is_refused_is_refused_to_all_and_never_stale() -> None:
    """A budget that is spent is no failure of an upstream; nobody is asked. What is kept costs nothing and is told."""
    path = Flown(whole(), settings=replace(FUNDED, features=replace(FUNDED.features, stale=True)))
    assert path.spending is not None
    await path.serve(path.caller())
    path.spending.halt("default", True)
    assert (await path.serve(path.caller())).cache == "hit"
    await asyncio.sleep(301)
    records = await path.serve(path.caller(), path.caller())
    assert {(record.error_id, record.degraded, record.attempts) for record in records} == {("spending_stopped", None, ())}
    assert [record.cache for record in records] in (["miss", "miss"], ["miss", "coalesced"]) and len(path.asked) == 1
    path.check_rest()


@pytest.mark.parametrize("left_s", [None, 0.5, 3.5])
@virtually
async def test_who_has_the_call_in_the_end_settles_it(left_s: float | None) -> None:
    """Once, at what it cost; who left or joined pays nothing."""
    path = Flown(paused(at_head=1.0), settings=FUNDED)
    clients = [path.listener() for _ in range(3)]
    tasks = [await path.begin(client) for client in clients]
    if left_s is not None:
        await asyncio.sleep(left_s)
        await path.leave(clients[0], tasks[0])
        assert path.spent_usd() == 0
    await asyncio.gather(*tasks, return_exceptions=True)
    assert path.spent_usd() == pytest.approx(COST_USD, abs=2e-9)
    assert told_usage(path) == ["call 1" if left_s is None else "call 2"]
    path.check_rest()


@virtually
async def test_what_the_last_leaves_behind_is_settled_at_what_has_come() -> None:
    """Its prompt, and the pieces until then."""
    path = Flown(paused(), settings=FUNDED)
    client = path.listener()
    task = await path.begin(client)
    await asyncio.sleep(2.5)
    await path.leave(client, task)
    assert 0 < path.spent_usd() < COST_USD * 5
    path.check_rest()


@virtually
async def test_what_has_failed_costs_nothing() -> None:
    """What was reserved is given back."""
    path = Flown(failure(503), settings=FUNDED)
    await path.serve(path.caller(), path.caller())
    assert path.spent_usd() == 0
    path.check_rest()


@virtually
async def test_usage_is_removed_where_we_asked_for_it_and_nowhere_else() -> None:
    """Who asked for it gets it."""
    path = Flown(stream(*PIECES))
    client = path.listener()
    record = await path.serve(client)
    assert USAGE in client.body and not record.usage_added and path.used[0].filtered is False
    assert path.journeys[0].flight.size_bytes == len(TOLD)


@virtually
async def test_an_answer_that_ends_with_its_connection_is_shared_and_not_kept() -> None:
    """Nobody knows whether it was whole."""
    path = Flown(whole(framing=b"close", at_head=1.0), whole())
    clients = [path.caller(), path.caller()]
    await path.serve(*clients)
    assert [client.body.count(ANSWER) for client in clients] == [1, 1] and not path.levels.entries["hot"]
    path.check_rest()


@virtually
async def test_flights_leave_nothing_behind() -> None:
    """Whatever became of them, none is held on to."""
    others = [each for each in gc.get_objects() if isinstance(each, Journey)]
    path = Flown(paused(), failure(500), stream(ROLE, 1.0, UpstreamFault(UPSTREAM_RESET)), paused())
    for leaves in (False, False, False, True):
        await asyncio.sleep(301)
        client = path.listener()
        task = await path.begin(client)
        if leaves:
            await path.leave(client, task)
        await asyncio.gather(task, return_exceptions=True)
    path.check_rest()
    path.journeys.clear()
    path.used.clear()
    del task, client
    await turn()
    gc.collect()
    left: list[Any] = [each for each in gc.get_objects() if isinstance(each, Journey) and each not in others]
    assert not left
