"""Connections between calls: closed by the upstream while they wait, or in the very moment of their reuse."""

import asyncio
from collections import Counter

import pytest

from tests.rig.caller import Caller, compose
from tests.rig.side import CHAT, facing
from tests.rig.upstream import End, Script, Visit

CALLS = 400
WHOLE = {"model": "m", "messages": []}
GOOD = b'{"model":"m","choices":[{"index":0,"finish_reason":"stop"}]}'
ANSWER = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(GOOD), GOOD)


async def test_a_connection_closed_while_idle_is_never_used() -> None:
    """The upstream closes a connection that it had promised to keep: the next call takes another, and nobody notices."""
    async with facing() as (upstream, side):
        upstream.scripts["it"] = Script([ANSWER, 0.002], End.FIN)
        caller = await Caller.connect(side.url)
        for _ in range(100):
            answer = await caller.ask(compose(CHAT, WHOLE, name="it"))
            assert answer.status == 200
            await asyncio.sleep(0.006)
        caller.leave()
        assert side.records.endings == {"completed": 100}
        assert len(upstream.visits) == 100


@pytest.mark.parametrize("method", ["GET", "POST"])
async def test_a_connection_closed_around_its_reuse(method: str) -> None:
    """The news of a close may cross the next request: what may be repeated is, what may not is told, nothing runs twice."""
    statuses: Counter[int] = Counter()
    async with facing() as (upstream, side):
        delays = [0, 0.0001, 0.0003, 0.0006, 0.001, 0.002]

        def choose(visit: Visit) -> Script:
            return Script([ANSWER, delays[len(upstream.visits) % len(delays)]], End.FIN)

        upstream.otherwise = choose
        caller = await Caller.connect(side.url)
        for number in range(CALLS):
            target, body = (CHAT, WHOLE) if method == "POST" else ("/openai/v1/models", None)
            answer = await caller.ask(compose(target, body, method=method, name=f"n{number}"))
            statuses[answer.status] += 1
            if answer.status != 200:
                assert answer.field("x-sidecar-error") == "upstream_reset"
            await asyncio.sleep(delays[number * 7 % len(delays)])
        caller.leave()
        await side.records.until(CALLS)
        assert len(side.records.all) == CALLS
        times = Counter(visit.name for visit in upstream.visits)
        assert (await side.gauges())["in_flight"] == 0
    print(f"\n{method} around the close of a kept connection: {dict(statuses)} of {CALLS}; {upstream.accepted} connections")
    assert set(statuses) <= {200, 502}
    if method == "GET":
        assert statuses == {200: CALLS}
    else:
        assert max(times.values()) == 1, "a POST that may have been taken is not sent again"


@pytest.mark.parametrize(("method", "status", "times"), [("GET", 200, 2), ("POST", 502, 1)])
async def test_a_request_taken_and_not_answered_on_a_kept_connection(method: str, status: int, times: int) -> None:
    """Whether it was carried out nobody knows: what HTTP calls idempotent is repeated once, a POST never."""
    async with facing() as (upstream, side):
        upstream.scripts["first"] = Script([ANSWER])
        upstream.otherwise = lambda visit: Script([], End.FIN) if len(upstream.visits_of(visit.name)) == 1 else Script([ANSWER])
        caller = await Caller.connect(side.url)
        assert (await caller.ask(compose(CHAT, WHOLE, name="first"))).status == 200
        target, body = (CHAT, WHOLE) if method == "POST" else ("/openai/v1/models", None)
        answer = await caller.ask(compose(target, body, method=method, name="second"))
        caller.leave()
        record = await side.records.of(answer.request_id)
    assert (answer.status, len(upstream.visits_of("second")), len(record.attempts)) == (status, times, times)
    assert answer.field("x-sidecar-attempts") == str(times)
    assert [attempt.reused for attempt in record.attempts] == [True, False][:times]
