"""Who may be asked, what an attempt takes there, and waiting for room where there is none."""

import json
from dataclasses import replace
from typing import Any

import pytest

from sidecar.config import Breaker, Force, Queue
from sidecar.core.choose import reasons
from sidecar.exchange import Ending
from tests.edge.virtual import virtually
from tests.pooled import (
    CHAT,
    SETTINGS,
    Pooled,
    begin,
    caller,
    counted,
    failure,
    leave,
    names,
    narrow_settings,
    never,
    settings_of,
    whole,
)  # fmt: skip

# -- who may be asked at all -----------------------------------------------------------------


@virtually
async def test_an_open_breaker_refuses_and_says_when_to_come_again() -> None:
    """At once, in the caller's form, and counted; the upstream hears nothing of it."""
    settings = replace(SETTINGS, breaker=Breaker(consecutive=2, open=20.0))
    path = Pooled(failure(500), failure(500), whole(), settings=settings)
    for _ in range(2):
        await path.pipeline.carry(caller("/one/" + CHAT))
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    record = path.records[0][-1]
    assert (client.status, record.error_id, record.ending, record.attempts) == (503, "circuit_open", Ending.UNAVAILABLE, ())
    assert b"Retry-After: 21" in client.head
    assert record.decision is not None
    assert record.decision.reason == reasons.CIRCUIT_OPEN
    assert (counted(path, "breaker_rejected", "a"), counted(path, "breaker_openings", "a", "consecutive_failures")) == (1, 1)
    assert names(path) == ["a", "a"]
    await path._rest(21.0)
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert (client.status, path.records[0][-1].attempts[0].breaker) == (200, "half_open")
    path.check_rest()


@virtually
async def test_only_the_breaker_that_refused_is_counted() -> None:
    """Who was not to be asked in any case has refused nothing, nor does its readiness tell when to come again."""
    path = Pooled(settings=SETTINGS)
    path.switchboard.force("a", Force.OPEN)
    await path.carry(client := caller("/two/" + CHAT, (b"x-sidecar-exclude", b"b")))
    assert (client.status, path.records[0][0].error_id) == (503, "circuit_open")
    assert [counted(path, "breaker_rejected", name) for name in "ab"] == [1, 0]
    assert b"Retry-After: 60" in client.head


@virtually
async def test_where_all_breakers_of_a_pool_are_open_a_call_a_second_is_risked() -> None:
    """And said to be an emergency."""
    settings = replace(SETTINGS, breaker=Breaker(consecutive=1, open=20.0))
    path = Pooled(*(failure(500) for _ in range(3)), whole(), settings=settings)
    await path.pipeline.carry(caller())
    clients = [caller() for _ in range(3)]
    for client in clients:
        await path.pipeline.carry(client)
        await path._rest(0.6)
    assert ([client.status for client in clients], len(path.asked)) == ([500, 503, 200], 4)
    assert b"x-sidecar-degraded: emergency" in clients[0].head
    assert [record.degraded for record in path.records[0]] == [None, "emergency", None, "emergency"]
    path.check_rest()


@virtually
async def test_wishes_are_kept_to_or_refused_with_the_reason() -> None:
    """Urgent ones get the nearest."""
    settings = settings_of(a={"quality": 0.5}, b={"quality": 0.7})
    path = Pooled(whole(), settings=settings)
    await path.carry(caller("/two/" + CHAT, (b"x-sidecar-min-quality", b"0.6")))
    assert names(path) == ["b"]
    path = Pooled(settings=settings)
    record = await path.carry(client := caller("/two/" + CHAT, (b"x-sidecar-min-quality", b"0.9"), (b"x-sidecar-exclude", b"b")))
    assert (client.status, record.error_id, record.ending, record.attempts) == (503, "wish_unmet", Ending.REFUSED, ())
    assert "a: min_quality (0.5), b: exclude." in json.loads(client.body)["error"]["message"]
    assert record.decision is not None
    assert counted(path, "wishes_refused", "min_quality") == 1
    assert [counted(path, "breaker_rejected", name) for name in "ab"] == [0, 0]
    urgent = ((b"x-sidecar-min-quality", b"0.9"), (b"x-sidecar-urgency", b"high"))
    path = Pooled(whole(), settings=settings)
    record = await path.carry(client := caller("/two/" + CHAT, *urgent))
    assert (client.status, record.degraded) == (200, "simple")
    assert b"x-sidecar-degraded: simple" in client.head


@virtually
async def test_wishes_hold_for_every_attempt() -> None:
    """Who is excluded is so after a failure too."""
    path = Pooled(at={"a": [failure(500)], "b": [whole()], "c": [whole()]})
    await path.carry(caller("/three/" + CHAT, (b"x-sidecar-exclude", b"b")))
    assert names(path) == ["a", "c"]


# -- waiting for room ------------------------------------------------------------------------


@virtually
async def test_a_call_waits_for_room() -> None:
    """The wait is on record, and none of our doing."""
    gate = never()
    path = Pooled(whole(at_head=gate), whole(), settings=narrow_settings())
    first = await begin(path, caller("/one/" + CHAT))
    second = await begin(path, client := caller("/one/" + CHAT))
    assert (len(path.asked), client.got) == (1, b"")
    await path._rest(2.0)
    gate.set_result(None)
    await first
    await second
    record = path.records[0][-1]
    assert (client.status, record.queued_s, record.attempts[0].started, record.overhead_request_s) == (200, 2.0, 1002.0, 0.0)
    assert record.attempts[0].decision is not None
    assert record.attempts[0].decision.reason == reasons.QUEUED
    path.check_rest()


@pytest.mark.parametrize(
    ("queue", "headers", "reason", "after_s"),
    [
        (Queue(size=0), (), "queue_full", 0.0),
        (Queue(wait=3.0), (), "gave_up", 3.0),
        (Queue(wait=3.0), ((b"x-sidecar-timeout", b"1"),), "gave_up", 1.0),
    ],
)
@virtually
async def test_a_call_that_finds_no_room_is_shed(queue: Queue, headers: Any, reason: str, after_s: float) -> None:
    """With the reason on record, and when to come again."""
    path = Pooled(whole(at_head=never()), settings=narrow_settings(queue=queue))
    first = await begin(path, occupant := caller("/one/" + CHAT))
    await path.pipeline.carry(client := caller("/one/" + CHAT, *headers))
    (record,) = path.records[0]
    assert (client.status, record.error_id, record.ending, record.shed) == (503, "overloaded", Ending.OVERLOADED, reason)
    assert (record.duration_s, record.attempts) == (after_s, ())
    assert b"\r\nRetry-After: " in client.head
    assert record.decision is not None
    assert counted(path, "shed", reason) == 1
    await leave(occupant, first)
    path.check_rest()


@virtually
async def test_a_breaker_that_opens_meanwhile_is_kept_to() -> None:
    """The slot that had come free is given back."""
    settings = narrow_settings(breaker=Breaker(consecutive=1))
    gate = never()
    path = Pooled(failure(500, at_head=gate), settings=settings)
    first = await begin(path, caller("/one/" + CHAT))
    second = await begin(path, client := caller("/one/" + CHAT))
    gate.set_result(None)
    await first
    await second
    assert (client.status, path.records[0][-1].error_id, len(path.asked)) == (503, "circuit_open", 1)
    path.check_rest()


@virtually
async def test_who_fails_makes_room_before_the_next_attempt() -> None:
    """With one slot in all, a failover does not wait for itself."""
    path = Pooled(at={"a": [failure(500)], "b": [whole()]}, settings=narrow_settings())
    record = await path.carry(caller())
    assert (names(path), record.queued_s, record.ending) == (["a", "b"], 0.0, Ending.COMPLETED)


@virtually
async def test_a_request_that_cannot_be_addressed_gives_back_what_was_taken(monkeypatch: pytest.MonkeyPatch) -> None:
    """Between what is reserved and the first thing done with it nothing may be lost."""

    def fail(*args: Any) -> None:
        raise ZeroDivisionError

    settings = narrow_settings(breaker=Breaker(consecutive=1, open=1.0, probes=1))
    path = Pooled(failure(500), whole(), settings=settings)
    await path.pipeline.carry(caller("/one/" + CHAT))
    await path._rest(1.2)
    with monkeypatch.context() as patch:
        patch.setattr("sidecar.openings.address", fail)
        await path.pipeline.carry(caller("/one/" + CHAT))
    assert path.records[0][-1].ending is Ending.SIDECAR_FAULT
    path.check_rest()
    await path.pipeline.carry(client := caller("/one/" + CHAT))
    assert client.status == 200
    path.check_rest()
