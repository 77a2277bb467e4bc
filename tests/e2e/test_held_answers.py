"""What is held back until it is known that it need not be replaced: bounded, byte for byte, and each request as its upstream wants it."""

import asyncio
import gzip
import json
import time
from typing import Any, Final

import pytest

from sidecar.config import Features, Limits, Pool, Route, RouteKind, Timeouts, Upstream
from tests.rig.caller import Caller, compose, fetch
from tests.rig.faults import Cell, Fault, Phase, script_error, script_fault, script_good
from tests.rig.pools import configure, pair, running_settings, upstreams_of
from tests.rig.streams import write_chunk, write_head
from tests.rig.talks import BY_NAME, STREAMS, Talk
from tests.rig.upstream import End, Script, Visit

OPENAI: Final = BY_NAME["openai_stream"]
WHOLE: Final = BY_NAME["openai_whole"]
HELD_BYTES: Final = 64 * 1024
COMMENT: Final = b": " + b"x" * 1021 + b"\n"
UNASKED: Final = {"model": "sim-small", "messages": [{"role": "user", "content": "Why?"}], "stream": True}


async def ask(url: str, talk: Talk = OPENAI, body: Any = None) -> Any:
    """Make one call."""
    return await fetch(url, compose(f"/pool{talk.path}", talk.request if body is None else body))


@pytest.mark.parametrize("kibibytes", [10, 63, 64, 65, 300])
async def test_comments_before_the_first_token_arrive(kibibytes: int) -> None:
    """However much comes before the first token, the caller gets every byte of it."""
    spoken = OPENAI.speak("first")
    body = COMMENT * kibibytes + spoken.body
    async with upstreams_of(2) as upstreams:
        steps = [write_head("chunked", 0), *[write_chunk(COMMENT)] * kibibytes, write_chunk(spoken.body), b"0\r\n\r\n"]
        upstreams[0].otherwise = lambda visit: Script(steps)
        async with running_settings(pair(*upstreams)) as side:
            answer = await ask(side.url)
        assert not upstreams[1].visits
    assert (answer.whole, bytes(answer.body)) == (True, body)


async def test_no_more_is_held_than_so_much() -> None:
    """An upstream that says much and nothing is believed in the end: what follows is the caller's to see."""
    async with upstreams_of(2) as upstreams:
        steps = [write_head("chunked", 0), *[write_chunk(COMMENT)] * 200]
        upstreams[0].otherwise = lambda visit: Script([*steps, 0.05], End.RST)
        upstreams[1].otherwise = lambda visit: script_good(OPENAI, "second")
        async with running_settings(pair(*upstreams)) as side:
            answer = await ask(side.url)
        assert not upstreams[1].visits
    assert not answer.whole and len(answer.body) > HELD_BYTES and b"stream_cut" in answer.body


async def test_a_token_is_sent_on_when_it_comes() -> None:
    """Holding ends with the first token, not with the answer."""
    spoken = OPENAI.speak("first")
    async with upstreams_of(2) as upstreams:
        first = [write_head("chunked", 0), write_chunk(spoken.opening), 0.1, write_chunk(spoken.tokens[0]), 0.6]
        rest = [write_chunk(b"".join(spoken.tokens[1:]) + spoken.ending), b"0\r\n\r\n"]
        upstreams[0].otherwise = lambda visit: Script([*first, *rest])
        async with running_settings(pair(*upstreams)) as side:
            caller = await Caller.connect(side.url)
            began = time.monotonic()
            caller.send(compose(f"/pool{OPENAI.path}", OPENAI.request))
            answer = await caller.until_bytes(len(spoken.opening + spoken.tokens[0]))
            assert 0.1 <= time.monotonic() - began < 0.4
            answer = await caller.until_end()
            caller.leave()
    assert (answer.whole, bytes(answer.body)) == (True, spoken.body)


async def test_a_compressed_stream_is_read_and_passed_on_as_it_came() -> None:
    """What is looked into is not what is sent."""
    packed = gzip.compress(OPENAI.speak("first").body)
    head = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nContent-Encoding: gzip\r\nContent-Length: %d\r\n\r\n" % len(packed)
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: Script([head, 0.01, packed[:40], 0.01, packed[40:]])
        async with running_settings(pair(*upstreams)) as side:
            request = compose(f"/pool{OPENAI.path}", OPENAI.request, fields=[("Accept-Encoding", "gzip")])
            answer = await fetch(side.url, request)
            record = side.records.all[0]
    assert (answer.whole, bytes(answer.body), answer.field("content-encoding")) == (True, packed, "gzip")
    assert record.usage is not None and record.usage.output_total == 3


async def test_a_stream_that_has_no_token_at_all() -> None:
    """An answer that ends well without a token is an answer."""
    spoken = OPENAI.speak("first")
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: Script(
            [write_head("length", len(spoken.opening + spoken.ending)) + spoken.opening + spoken.ending]
        )
        async with running_settings(pair(*upstreams)) as side:
            answer = await ask(side.url)
        assert not upstreams[1].visits
    assert (answer.whole, bytes(answer.body)) == (True, spoken.opening + spoken.ending)


@pytest.mark.parametrize("kibibytes", [0, 1, 200])
async def test_a_failure_whose_body_never_ends(kibibytes: int) -> None:
    """What is wanted of it is why it failed: waited for as long as for any answer, read up to a bound, and left."""
    first_byte_s = 0.4
    head = b"HTTP/1.1 500 Failed\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n"
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: Script([head, *[write_chunk(b"x" * 1024)] * kibibytes], End.HANG)
        upstreams[1].otherwise = lambda visit: script_good(OPENAI, "second")
        async with running_settings(pair(*upstreams, timeouts=Timeouts(first_byte=first_byte_s))) as side:
            answer = await ask(side.url)
            await side.settle()
        failed, answered = upstreams[0].visits[0], upstreams[1].visits[0]
        await asyncio.sleep(0.02)
        assert failed.closed_at is not None and failed.closed_at - answered.begun_at < 0.1
    assert (answer.whole, bytes(answer.body)) == (True, OPENAI.speak("second").body)
    assert answered.begun_at - failed.begun_at < (0.15 if kibibytes * 1024 > HELD_BYTES else first_byte_s + 0.15)


# -- what each upstream is sent ------------------------------------------------------------


def read_options(visit: Visit) -> Any:
    """Return the options of a stream that an upstream was asked with."""
    return json.loads(visit.body).get("stream_options")


@pytest.mark.parametrize(("one", "two"), [("openai", "openrouter"), ("openrouter", "openai"), ("openai", "groq")])
async def test_usage_is_asked_of_those_who_answer_it(one: str, two: str) -> None:
    """Each upstream is asked as it is known to understand, and the caller never sees what it did not ask for."""
    answers = {"openai", "groq"}
    spoken = OPENAI.speak("second")
    usage = spoken.ending.split(b"\n\n")[1] + b"\n\n"
    shown = spoken.body if two not in answers else spoken.body.replace(usage, b"").replace(b',"usage":null', b"")
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: script_error(OPENAI, 500)
        upstreams[1].otherwise = lambda visit: script_good(OPENAI, "second")
        async with running_settings(pair(*upstreams, one={"provider": one}, two={"provider": two})) as side:
            body = json.dumps(UNASKED).encode()
            answer = await ask(side.url, body=body)
            record = side.records.all[0]
        visits = [upstream.visits[0] for upstream in upstreams]
    for visit, provider in zip(visits, (one, two), strict=True):
        if provider in answers:
            assert read_options(visit) == {"include_usage": True}
        else:
            assert bytes(visit.body) == body
    assert (answer.whole, bytes(answer.body)) == (True, shown)
    assert record.usage_added is (two in answers)
    assert record.usage is not None and record.provider == two


async def test_a_request_that_is_not_held_is_not_sent_again() -> None:
    """A body larger than limits.body streams through: nobody else could be given the whole of it."""
    body = {**UNASKED, "padding": "x" * 300_000}
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: Script([], End.RST)
        upstreams[1].otherwise = lambda visit: script_good(OPENAI, "second")
        async with running_settings(pair(*upstreams, limits=Limits(body=10_000))) as side:
            answer = await ask(side.url, body=body)
        assert (len(upstreams[0].visits), len(upstreams[1].visits)) == (1, 0)
        assert len(upstreams[0].visits[0].body) > 300_000
    assert (answer.status, answer.field("x-sidecar-error")) == (502, "upstream_reset")


async def test_a_large_request_that_is_held_is_sent_again_whole() -> None:
    """Megabytes of it, and every byte."""
    body = json.dumps({**UNASKED, "stream_options": {"include_usage": True}, "padding": "x" * 3_000_000}).encode()
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: Script([], End.RST)
        upstreams[1].otherwise = lambda visit: script_good(OPENAI, "second")
        async with running_settings(pair(*upstreams)) as side:
            answer = await ask(side.url, body=body)
        assert [bytes(upstream.visits[0].body) == body for upstream in upstreams] == [True, True]
    assert bytes(answer.body) == OPENAI.speak("second").body


@pytest.mark.parametrize("idempotent", [False, True])
async def test_a_tool_is_called_again_where_that_is_allowed(idempotent: bool) -> None:
    """A call that may have been carried out is made again only where the route says that this does no harm."""
    async with upstreams_of(2) as upstreams:
        upstreams[0].otherwise = lambda visit: script_error(WHOLE, 500)
        upstreams[1].otherwise = lambda visit: script_good(WHOLE, "second")
        settings = configure(
            {name: Upstream(each.url, weight=weight) for name, each, weight in zip("ab", upstreams, (1000, 0.001), strict=True)},
            {"both": Pool(("a", "b"))}, [Route("/tools/", pool="both", kind=RouteKind.TOOL, idempotent=idempotent)],
        )  # fmt: skip
        async with running_settings(settings) as side:
            answer = await fetch(side.url, compose("/tools/book", {"seat": 7}))
        assert [len(upstream.visits) for upstream in upstreams] == [1, int(idempotent)]
    assert answer.status == (200 if idempotent else 500)


# -- callers that leave --------------------------------------------------------------------


async def leave_after(url: str, talk: Talk, visits: list[Visit], seconds: float) -> float:
    """Make a call and hang up so long after it has come to an upstream; return the moment."""
    caller = await Caller.connect(url)
    caller.send(compose(f"/pool{talk.path}", talk.request))
    async with asyncio.timeout(5):
        while not visits:
            await asyncio.sleep(0.005)
    await asyncio.sleep(seconds)
    caller.leave()
    return time.monotonic()


@pytest.mark.parametrize("phase", [Phase.BEFORE_HEAD, Phase.AFTER_HEAD])
async def test_a_caller_that_leaves_is_not_answered_by_another(phase: Phase) -> None:
    """Whoever is silent is hung up on at once, and nobody else is asked for a caller that is gone."""
    for talk in STREAMS:
        async with upstreams_of(2) as upstreams:
            script = script_fault(Cell(Fault.STALL, phase, talk))
            upstreams[0].otherwise = lambda visit, script=script: script  # type: ignore[misc]
            settings = pair(*upstreams, provider=talk.provider, timeouts=Timeouts(first_byte=0.4))
            async with running_settings(settings) as side:
                left_at = await leave_after(side.url, talk, upstreams[0].visits, 0.1)
                await asyncio.sleep(0.4)
                closed_at = upstreams[0].visits[0].closed_at
                assert closed_at is not None and closed_at - left_at < 0.1
                assert not upstreams[1].visits
                scrape = await side.settle()
        assert scrape.count_by("requests_total", "ending") == {"client_gone": 1}
        assert scrape.sum("circuit_breaker_transitions_total") == 0


async def test_a_caller_that_leaves_while_we_wait_is_forgotten() -> None:
    """Nothing is sent again for somebody who is not there any more."""
    async with upstreams_of(2) as upstreams:
        for upstream in upstreams:
            upstream.otherwise = lambda visit: script_error(OPENAI, 429, b"Retry-After: 1\r\n")
        settings = pair(*upstreams, features=Features(probes=False, retries=True))
        async with running_settings(settings) as side:
            await leave_after(side.url, OPENAI, upstreams[0].visits, 0.2)
            asked = [len(upstream.visits) for upstream in upstreams]
            await asyncio.sleep(1.1)
            assert [len(upstream.visits) for upstream in upstreams] == asked
            await side.settle()
