"""What is held against an upstream, and what is not: callers in a hurry, limits of others' keys, room that we have not got."""

import asyncio
import json
import time
from typing import Final

from sidecar.config import Breaker, Features, Queue, Retries, Timeouts
from tests.core.observe.test_frames import frame
from tests.rig.caller import compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.pools import pair, running_settings, single, upstreams_of
from tests.rig.talks import BY_NAME
from tests.rig.upstream import End, Script
from tests.rig.websocket import join, listening

STREAM: Final = BY_NAME["openai_stream"]
WHOLE: Final = BY_NAME["openai_whole"]
GEMINI: Final = BY_NAME["gemini_whole"]
TIMEOUTS: Final = Timeouts(first_byte=0.3, connect=0.3)


async def test_callers_in_a_hurry_open_no_breaker_for_others() -> None:
    """A deadline of the caller's own says nothing of the upstream; that of the operator does."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: Script([], End.HANG)
        settings = single(upstream, timeouts=TIMEOUTS, breaker=Breaker(consecutive=2))
        async with running_settings(settings) as side:
            hurried = compose(f"/only{WHOLE.path}", WHOLE.request, fields=[("x-sidecar-timeout", "0.03")])
            assert {(await fetch(side.url, hurried)).status for _ in range(6)} == {504}
            assert not (await side.settle()).sum("circuit_breaker_state", upstream="only")
            for _ in range(2):
                await fetch(side.url, compose(f"/only{WHOLE.path}", WHOLE.request))
            assert (await side.settle()).sum("circuit_breaker_state", upstream="only") == 2


async def test_the_last_failure_is_told_where_nobody_else_can_be_asked_any_more() -> None:
    """The failure that is to be repeated opens the breaker: the caller gets the provider's own words, not ours."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: script_error(WHOLE, 500)
        settings = single(
            upstream, features=Features(probes=False, retries=True), retries=Retries(base=0.01), breaker=Breaker(consecutive=1, open=5.0)
        )
        async with running_settings(settings) as side:
            answer = await fetch(side.url, compose(f"/only{WHOLE.path}", WHOLE.request))
            await side.settle()
            record = side.records.all[0]
    assert (answer.status, bytes(answer.body), answer.whole) == (500, WHOLE.error(500), True)
    assert (record.ending, record.shed, len(record.attempts)) == ("upstream_error", None, 1)


async def test_who_waited_in_vain_is_counted_as_having_waited() -> None:
    """The time in the queue is there also where no room was found."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: Script([0.6, *script_good(WHOLE, "first").steps])
        async with running_settings(single(upstream, more={"concurrency": 1}, queue=Queue(wait=0.2))) as side:
            request = compose(f"/only{WHOLE.path}", WHOLE.request)
            statuses = sorted(answer.status for answer in await asyncio.gather(fetch(side.url, request), fetch(side.url, request)))
            scrape = await side.settle()
            shed = next(record for record in side.records.all if record.shed is not None)
    assert statuses == [200, 503]
    assert 0.15 < shed.queued_s < 0.5
    assert scrape.sum("queue_wait_seconds_count") == 1


async def test_an_adaptive_limit_follows_first_tokens() -> None:
    """As long as they come as fast as ever, more calls at once are let in."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = lambda visit: Script([0.05, *script_good(STREAM, "first").steps])
        async with running_settings(single(upstream, more={"adaptive_concurrency": True, "concurrency": 60})) as side:
            assert (await side.scrape()).sum("upstream_concurrency_limit", upstream="only") == 20
            began = time.monotonic()
            while (limit := (await side.scrape()).sum("upstream_concurrency_limit", upstream="only")) <= 20:
                assert time.monotonic() - began < 8, "the limit never moved"
                await asyncio.gather(*(fetch(side.url, compose(f"/only{STREAM.path}", STREAM.request)) for _ in range(18)))
    assert 20 < limit <= 60


async def test_a_pause_is_that_of_one_key_in_the_query() -> None:
    """Google's key stands there: another has limits of its own."""
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: (
            script_error(GEMINI, 429, b"Retry-After: 30\r\n") if "key=spent" in visit.target else script_good(GEMINI, "first")
        )
        upstreams[1].otherwise = lambda visit: script_good(GEMINI, "second")
        async with running_settings(pair(*upstreams, provider="gcp.gemini")) as side:
            said = [
                (await fetch(side.url, compose(f"/pool{GEMINI.path}?key={key}", GEMINI.request))).field("x-sidecar-upstream")
                for key in ("spent", "spent", "fresh")
            ]
        asked = [visit.target.partition("key=")[2] for visit in upstreams[0].visits]
    assert said == ["second", "second", "first"]
    assert asked == ["spent", "fresh"]


async def test_a_pause_is_kept_to_also_where_the_answer_that_asked_for_it_was_passed_on() -> None:
    """No attempts were left: the next call goes elsewhere all the same."""
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: script_error(WHOLE, 429, b"Retry-After: 30\r\n")
        upstreams[1].otherwise = lambda visit: script_good(WHOLE, "second")
        async with running_settings(pair(*upstreams, retries=Retries(attempts=1))) as side:
            request = compose(f"/pool{WHOLE.path}", WHOLE.request)
            statuses = [(await fetch(side.url, request)).status for _ in range(3)]
    assert statuses == [429, 200, 200]


async def test_a_session_of_a_pool_is_charged_where_it_is_held() -> None:
    """Who takes it is not known when it is asked for."""
    done = {"type": "response.done", "response": {"status": "completed", "usage": {"input_tokens": 1000, "output_tokens": 100}}}
    async with listening() as first, listening() as second, running_settings(pair(first.url, second.url)) as side:
        client, end = await join(side.url, first, target="/pool/v1/realtime?model=gpt-4o-mini")
        await end.send(frame(json.dumps(done).encode()) + frame(b"\x03\xe8", 0x8))
        await client.read(10)
        client.close()
        end.close()
        await side.settle()
        record = side.records.all[0]
    assert record.usage is not None and record.usage.input_total == 1000
    assert record.cost is not None, record.unpriced


async def test_a_name_that_no_model_has_is_not_kept_in_full() -> None:
    """What callers write must not fill the memory: by the name stand limits, times and records. What is sent on is theirs."""
    asked = json.dumps({"model": "m" * 100_000, "messages": []}).encode()
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: script_good(WHOLE, "first")
        async with running_settings(pair(*upstreams)) as side:
            await fetch(side.url, compose(f"/pool{WHOLE.path}", asked))
            record = side.records.all[0]
        assert bytes(upstreams[0].visits[0].body) == asked
    assert record.asked.model == "m" * 256
