"""Rivals: when a second upstream is asked, who is listened to, and what becomes of the other."""

import asyncio
from collections.abc import Sequence
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Features, Force, Limits, Retries, Settings, Strategy
from sidecar.core.choose.verdicts import Verdict
from sidecar.errors import UPSTREAM_RESET, UpstreamFault
from sidecar.exchange import Ending, Record
from tests.edge.virtual import turn, virtually
from tests.path import PlayedAnswer, PlayedClient
from tests.pooled import (
    CHAT,
    DONE,
    FIRST,
    LAST,
    ROLE,
    STREAMED,
    Pooled,
    begin,
    caller,
    counted,
    failure,
    hedging,
    leave,
    listener,
    names,
    never,
    settings_of,
    strategic,
    stream,
    whole,
)  # fmt: skip

PREFERS = (b"x-sidecar-prefer", b"a")
HEDGING = hedging()


def late(after_s: float, *, says: bytes = b"late", **more: Any) -> PlayedAnswer:
    """Return an upstream whose first token comes so many seconds after its head."""
    return stream(ROLE, after_s, FIRST.replace(b"hi", says), LAST, DONE, **more)


def reset(after_s: float) -> PlayedAnswer:
    """Return an upstream that breaks off while it is to answer."""
    return stream(ROLE, after_s, UpstreamFault(UPSTREAM_RESET))


async def warm(
    leader: Sequence[Any], rival: Sequence[Any] = (), third: Sequence[Any] = (), *, settings: Settings = HEDGING, usual_s: float = 0.1
) -> Pooled:
    """Return a path on which it is known how long a's first tokens take."""
    path = Pooled(at={"a": [late(usual_s), *leader], "b": rival, "c": third}, settings=settings)
    await path.pipeline.carry(listener("/three/" + CHAT, PREFERS))
    path.asked.clear()
    return path


async def race(path: Pooled, target: str = "/two/", prefers: bytes = b"a") -> tuple[PlayedClient, Record]:
    """Make a call that begins at a."""
    await path.pipeline.carry(client := listener(target + CHAT, (b"x-sidecar-prefer", prefers)))
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("attempt at")], "nobody is left behind"
    path.check_rest()
    return client, path.records[0][-1]


def outcomes(record: Record) -> list[tuple[str, str, str | None, bool]]:
    """Return what became of each attempt."""
    return [(attempt.upstream, str(attempt.outcome), attempt.cause, attempt.hedge) for attempt in record.attempts]


def hedges(path: Pooled) -> dict[str, float]:
    """Return what was counted."""
    counts = {outcome: counted(path, "hedges", outcome) for outcome in ("won", "lost", "failed", "refused")}
    return {outcome: count for outcome, count in counts.items() if count}


@virtually
async def test_who_is_in_time_has_no_rival() -> None:
    """Nor is there one a moment before it is due."""
    path = await warm([late(0.49)])
    client, record = await race(path)
    assert (names(path), client.status, hedges(path)) == (["a"], 200, {})
    assert outcomes(record) == [("a", "completed", None, False)]


@virtually
async def test_who_is_late_gets_a_rival_and_the_first_token_wins() -> None:
    """The loser is let go at once; what it cost is shown, and nothing is said against it."""
    path = await warm([late(9.0)], [late(1.0, says=b"sooner")])
    client, record = await race(path)
    began = record.accepted
    assert names(path) == ["a", "b"]
    assert b"sooner" in client.body
    assert b"late" not in client.body
    assert (record.upstream, record.ending, record.duration_s) == ("b", Ending.COMPLETED, 1.5)
    assert b"x-sidecar-upstream: b" in client.head
    assert b"x-sidecar-attempts: 2" in client.head
    assert outcomes(record) == [("a", "hedge_lost", None, False), ("b", "completed", None, True)]
    lost, won = record.attempts
    assert (lost.started - began, won.started - began, lost.ended - began) == (0.0, 0.5, 1.5)
    assert lost.cost is not None
    assert (lost.cost.source, lost.cost.usd > 0, won.cost) == ("estimated", True, None)
    assert path.verdicts()[1:] == [("a", Verdict.IGNORED), ("b", Verdict.SUCCESS)]
    assert hedges(path) == {"won": 1}
    assert counted(path, "hedge_cost", "estimated") == lost.cost.usd
    assert counted(path, "failovers", "a", "b") == 0


@virtually
async def test_the_first_may_still_be_the_first() -> None:
    """Then the rival was for nothing."""
    path = await warm([late(1.0, says=b"in the end")], [late(9.0)])
    client, record = await race(path)
    assert b"in the end" in client.body
    assert outcomes(record) == [("a", "completed", None, False), ("b", "hedge_lost", None, True)]
    assert (record.upstream, hedges(path)) == ("a", {"lost": 1})
    assert path.verdicts()[1:] == [("b", Verdict.IGNORED), ("a", Verdict.SUCCESS)]
    assert record.attempts[0].cost is None


@virtually
async def test_how_late_is_late_is_measured() -> None:
    """At this upstream, for this model; what takes longer than usual is late."""
    path = await warm([late(9.0), late(1.5)], [stream()], usual_s=2.0)
    _, record = await race(path)
    assert record.attempts[1].started - record.accepted == 2.0
    other = listener("/two/" + CHAT, PREFERS)
    other.pieces = [STREAMED.replace(b"gpt-4o-mini", b"gpt-4o")]
    await path.pipeline.carry(other)
    assert names(path) == ["a", "b", "a"], "nothing is known of that one"


@virtually
async def test_a_loser_is_let_go_before_the_winner_has_ended() -> None:
    """With its slot: a stream may last."""
    gate = never()
    path = await warm([late(9.0)], [stream(ROLE, FIRST, gate, LAST, DONE)])
    task = await begin(path, client := listener("/two/" + CHAT, PREFERS))
    await path._rest(1.0)
    lost = path.used[1]
    assert (client.status, lost.released) == (200, 1)
    assert {view.name: view.in_use for view in path.switchboard.routing.describe(path.clock.now())} == {"a": 0, "b": 1, "c": 0}
    gate.set_result(None)
    await task
    assert client.body.count(FIRST) == 1
    path.check_rest()


@virtually
async def test_a_rival_that_fails_leaves_the_first_alone() -> None:
    """Its failure is its own; it was no failover."""
    path = await warm([late(2.0)], [failure(500)])
    client, record = await race(path)
    assert (client.status, record.upstream) == (200, "a")
    assert outcomes(record) == [("a", "completed", None, False), ("b", "upstream_error", "server_error", True)]
    assert path.verdicts()[1:] == [("b", Verdict.FAILURE), ("a", Verdict.SUCCESS)]
    assert hedges(path) == {"failed": 1}


@virtually
async def test_the_first_may_fail_while_the_rival_is_at_it() -> None:
    """Then the rival is all there is; nobody else is asked."""
    path = await warm([reset(1.0)], [late(3.0, says=b"at last")], [stream()])
    client, record = await race(path, "/three/")
    assert b"at last" in client.body
    assert names(path) == ["a", "b"]
    assert outcomes(record) == [("a", "reset", "reset", False), ("b", "completed", None, True)]
    assert path.verdicts()[1:] == [("a", Verdict.FAILURE), ("b", Verdict.SUCCESS)]
    assert hedges(path) == {"won": 1}


@pytest.mark.parametrize("first_fails_first", [True, False])
@virtually
async def test_where_both_fail_the_last_failure_is_told(first_fails_first: bool) -> None:
    """Neither is asked again; where there is a third, it is."""
    leader = reset(1.0 if first_fails_first else 3.0)
    path = await warm([leader, stream()], [failure(500, at_head=1.0), stream()])
    client, record = await race(path)
    assert names(path) == ["a", "b"]
    assert client.status == (500 if first_fails_first else 502)
    assert [attempt.hedge for attempt in record.attempts] == [False, True]
    leader = reset(1.0 if first_fails_first else 3.0)
    path = await warm([leader, stream()], [failure(500, at_head=1.0), stream()], [stream()])
    client, record = await race(path, "/three/")
    assert (names(path), client.status) == (["a", "b", "c"], 200)
    assert hedges(path) == {"failed": 1}


@virtually
async def test_a_rival_is_one_of_the_attempts() -> None:
    """Both count: with two allowed, there is no third."""
    path = await warm([reset(1.0)], [failure(500, at_head=1.0)], [stream()], settings=replace(HEDGING, retries=Retries(attempts=2)))
    client, _ = await race(path, "/three/")
    assert (names(path), client.status) == (["a", "b"], 500)


@virtually
async def test_of_two_that_end_at_once_the_good_one_counts() -> None:
    """And where both are good, one of them."""
    path = await warm([reset(1.0)], [late(0.5, says=b"good")])
    client, _ = await race(path)
    assert b"good" in client.body
    path = await warm([late(1.0)], [late(0.5)])
    client, record = await race(path)
    assert (client.body.count(b"late"), sorted(attempt.outcome for attempt in record.attempts)) == (1, ["completed", "hedge_lost"])


@pytest.mark.parametrize("left", [True, False])
@virtually
async def test_who_leaves_ends_both(left: bool) -> None:
    """Nothing is kept of either, and nothing said of them."""
    path = await warm([late(9.0)], [late(9.0)])
    task = await begin(path, client := listener("/two/" + CHAT, PREFERS))
    await path._rest(1.0)
    assert names(path) == ["a", "b"]
    client.gone = left
    task.cancel()
    await turn()
    assert task.cancelled()
    record = path.records[0][-1]
    outcome = "client_gone" if left else "refused"
    assert outcomes(record) == [("a", outcome, None, False), ("b", outcome, None, True)]
    assert path.verdicts()[1:] == [("a", Verdict.IGNORED), ("b", Verdict.IGNORED)]
    path.check_rest()
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("attempt at")]


@virtually
async def test_who_leaves_before_there_is_a_rival_ends_the_one() -> None:
    """The attempt is a task of its own, which must not live on."""
    path = await warm([late(9.0)])
    task = await begin(path, client := listener("/two/" + CHAT, PREFERS))
    await leave(client, task)
    assert outcomes(path.records[0][-1]) == [("a", "client_gone", None, False)]
    path.check_rest()
    assert not [one for one in asyncio.all_tasks() if one.get_name().startswith("attempt at")]


@virtually
async def test_a_rival_may_be_cancelled_at_any_step() -> None:
    """While it dials, and while it waits for its head: a loser that was never sent has cost nothing."""
    for rival, cost in (([never()], False), ([late(1.0, at_head=never())], True)):
        path = await warm([late(2.0)], rival)
        _, record = await race(path)
        assert outcomes(record)[1] == ("b", "hedge_lost", None, True)
        assert (record.attempts[1].cost is not None) is cost


@virtually
async def test_a_fault_of_our_own_in_one_is_made_up_for_by_the_other() -> None:
    """In both it is told, and nothing is lost."""
    path = await warm([stream(ROLE, 1.0, ZeroDivisionError())], [late(2.0)])
    client, _ = await race(path)
    assert client.status == 200
    path = await warm([stream(ROLE, 1.0, ZeroDivisionError())], [stream(2.0, ZeroDivisionError())])
    client, record = await race(path)
    assert (client.status, record.ending, len(path.reports)) == (500, Ending.SIDECAR_FAULT, 1)


@virtually
async def test_a_rival_that_cannot_be_addressed_ends_the_call_and_loses_nothing(monkeypatch: pytest.MonkeyPatch) -> None:
    """Both have been begun by then."""

    def fail(trial: Any, *more: Any) -> None:
        if trial.place.name == "b":
            raise ZeroDivisionError
        address(trial, *more)

    from sidecar.trials import address

    path = await warm([late(9.0)])
    monkeypatch.setattr("sidecar.openings.address", fail)
    client, record = await race(path)
    assert (client.status, len(record.attempts)) == (500, 2)


@pytest.mark.parametrize(
    ("settings", "refused"),
    [
        (hedging(share_max=0.4), 1),
        (hedging(replace(HEDGING, retries=Retries(budget_share=0.0, budget_floor=0.0))), 1),
        (hedging(calls_min=2), 0),
        (hedging(replace(HEDGING, retries=Retries(attempts=1))), 0),
        (replace(HEDGING, features=Features(hedging=False)), 0),
    ],
    ids=["too many", "the budget is spent", "too little is known", "one attempt", "off"],
)
@virtually
async def test_rivals_are_bounded(settings: Settings, refused: int) -> None:
    """By their share of all calls, by the budget of everything that is tried again, by the number of attempts."""
    path = await warm([late(0.1, at_head=2.0)], settings=settings)
    client, _ = await race(path)
    assert (names(path), client.status, hedges(path)) == (["a"], 200, {"refused": refused} if refused else {})


@virtually
async def test_where_nobody_else_can_be_asked_there_is_no_rival() -> None:
    """None waits for room, none goes through an open breaker, and none beside a single upstream."""
    path = await warm([late(2.0)])
    path.switchboard.force("b", Force.OPEN)
    client, _ = await race(path)
    assert (names(path), client.status, hedges(path)) == (["a"], 200, {"refused": 1})
    path = await warm([late(2.0)], settings=replace(HEDGING, limits=Limits(concurrency=1)))
    client, record = await race(path)
    assert (names(path), client.status, record.queued_s, hedges(path)) == (["a"], 200, 0.0, {"refused": 1})
    path = await warm([late(0.1, at_head=2.0)])
    await path.pipeline.carry(listener("/one/" + CHAT))
    assert (names(path), hedges(path)) == (["a"], {})


@virtually
async def test_only_streams_that_may_be_asked_for_twice_have_rivals() -> None:
    """Not a whole answer, whose first token nobody sees; nor what is not held."""
    path = await warm([whole(at_head=2.0)])
    await path.pipeline.carry(caller("/two/" + CHAT, PREFERS))
    assert names(path) == ["a"]
    path = await warm([late(2.0)], settings=replace(HEDGING, limits=Limits(body=len(STREAMED))))
    long = listener("/two/" + CHAT, PREFERS)
    long.pieces = [STREAMED, b" "]
    await path.pipeline.carry(long)
    assert (names(path), long.status) == (["a"], 200)


@virtually
async def test_with_a_rival_even_the_last_attempt_is_held_back() -> None:
    """Else a failure that comes sooner would win."""
    path = await warm([late(2.0)], [failure(500)], settings=replace(HEDGING, retries=Retries(attempts=2)))
    client, record = await race(path)
    assert (client.status, record.upstream, len(path.used[2].previews)) == (200, "a", 1)


@virtually
async def test_a_rival_is_asked_in_its_own_terms() -> None:
    """By its own name for the model, and not among those who failed already."""
    settings = settings_of(HEDGING, b={"models": {"gpt-4o-mini": "theirs"}})
    path = await warm([late(9.0)], [stream()], settings=settings)
    _, record = await race(path)
    assert b'"model": "theirs"' in path.used[2].request or b'"model":"theirs"' in path.used[2].request
    assert [attempt.model for attempt in record.attempts] == [None, "theirs"]


@virtually
async def test_a_failover_may_have_a_rival_too() -> None:
    """Which is nobody who has failed this call."""
    weighted = strategic(Strategy.WEIGHTED, settings_of(HEDGING, a={"weight": 100.0}))
    path = await warm([stream()], [late(0.1)], [stream()], settings=weighted)
    await path.pipeline.carry(listener("/three/" + CHAT, (b"x-sidecar-prefer", b"b")))  # b is known, too
    path.asked.clear()
    path.at["a"], path.at["b"] = [failure(500)], [late(9.0)]
    client, record = await race(path, "/three/", prefers=b"a,b")
    assert (names(path), client.status, record.upstream) == (["a", "b", "c"], 200, "c")
    assert [(attempt.upstream, attempt.hedge) for attempt in record.attempts] == [("a", False), ("b", False), ("c", True)]
