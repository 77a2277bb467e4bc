"""Hedging: whose first token is late gets a rival; the first to speak answers, the other is hung up on."""

import asyncio
import time
from typing import Any, Final

import pytest

from sidecar.config import Features, Hedging, Settings
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.faults import script_error, script_good
from tests.rig.pools import PoolSide, pair, running_settings, upstreams_of
from tests.rig.talks import BY_NAME, Talk
from tests.rig.upstream import End, Script
from tests.rig.upstream import Upstream as Told

STREAM: Final = BY_NAME["openai_stream"]
WARM_UP: Final = 20
DELAY_S: Final = 0.1
LATE_S: Final = 1.0
HEDGING: Final = Hedging(delay_min=DELAY_S, calls_min=5, share_max=0.5)
ON: Final = Features(probes=False, hedging=True)


def settle(upstreams: list[Told], **changes: Any) -> Settings:
    """Return settings with hedging, for a pool that prefers its first upstream."""
    return pair(*upstreams, **{"features": ON, "hedging": HEDGING, **changes})


def delayed(talk: Talk, word: str, seconds: float) -> Script:
    """Return a good answer whose head comes at once, and whose first token comes after some seconds."""
    head = b"HTTP/1.1 200 OK\r\nContent-Type: %b\r\nContent-Length: %d\r\n\r\n"
    spoken = talk.speak(word)
    return Script([head % (talk.media_type.encode(), len(spoken.body)) + spoken.opening, seconds, b"".join(spoken.tokens) + spoken.ending])


async def ask(side: PoolSide, talk: Talk = STREAM) -> Answer:
    """Make one call."""
    return await fetch(side.url, compose(f"/pool{talk.path}", talk.request))


async def warm_up(side: PoolSide, upstreams: list[Told]) -> None:
    """Let it learn how long a first token takes."""
    for upstream, word in zip(upstreams, ("first", "second"), strict=True):
        upstream.otherwise = lambda visit, word=word: script_good(STREAM, word)  # type: ignore[misc]
    for _ in range(WARM_UP):
        assert (await ask(side)).field("x-sidecar-upstream") == "first"
    assert not upstreams[1].visits


async def test_the_second_answers_where_the_first_is_late() -> None:
    """Its answer is the caller's, once; the late one sees the connection closed, and is counted as lost."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", LATE_S)
        began = time.monotonic()
        answer = await ask(side)
        lasted = time.monotonic() - began
        scrape = await side.settle()
        late, rival = upstreams[0].visits[-1], upstreams[1].visits[0]
        await asyncio.sleep(0.02)
        assert len(upstreams[1].visits) == 1
        record = side.records.all[-1]
    assert (answer.whole, bytes(answer.body)) == (True, STREAM.speak("second").body)
    assert (answer.field("x-sidecar-upstream"), answer.field("x-sidecar-attempts")) == ("second", "2")
    assert lasted < LATE_S / 2
    assert DELAY_S * 0.9 <= rival.begun_at - late.begun_at <= DELAY_S + 0.1
    assert late.closed_at is not None and late.ended_at is None, "the late one was not hung up on"
    assert late.closed_at - rival.begun_at < 0.1
    assert scrape.count_by("hedges_total", "outcome") == {"won": 1}
    assert scrape.count_by("attempts_total", "outcome", upstream="first") == {"completed": WARM_UP, "hedge_lost": 1}
    assert scrape.count_by("attempts_total", "outcome", upstream="second") == {"completed": 1}
    assert scrape.sum("failovers_total") == 0
    assert scrape.count_by("requests_total", "ending") == {"completed": WARM_UP + 1}
    assert {(each.upstream, each.hedge, each.outcome) for each in record.attempts} == {
        ("first", False, "hedge_lost"), ("second", True, "completed"),
    }  # fmt: skip
    assert scrape.sum("circuit_breaker_transitions_total") == 0


async def test_the_first_answers_after_all() -> None:
    """Where the rival is later still it loses."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", DELAY_S * 2)
        upstreams[1].otherwise = lambda visit: delayed(STREAM, "second", LATE_S)
        answer = await ask(side)
        scrape = await side.settle()
        rival = upstreams[1].visits[0]
        assert rival.closed_at is not None and rival.ended_at is None
    assert (answer.whole, bytes(answer.body)) == (True, STREAM.speak("first").body)
    assert scrape.count_by("hedges_total", "outcome") == {"lost": 1}
    assert scrape.count_by("attempts_total", "outcome", upstream="second") == {"hedge_lost": 1}


@pytest.mark.parametrize("what", ["500", "reset"])
async def test_a_rival_that_fails_harms_nobody(what: str) -> None:
    """The first goes on as if nothing had been."""
    failing = script_error(STREAM, 500) if what == "500" else Script([], End.RST)
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", DELAY_S * 3)
        upstreams[1].otherwise = lambda visit: failing
        answer = await ask(side)
        scrape = await side.settle()
    assert (answer.whole, bytes(answer.body)) == (True, STREAM.speak("first").body)
    assert scrape.count_by("hedges_total", "outcome") == {"failed": 1}


async def test_a_first_that_fails_leaves_the_rival() -> None:
    """While both are asked, the failure of one is not the caller's."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: Script([DELAY_S * 2], End.RST)
        upstreams[1].otherwise = lambda visit: delayed(STREAM, "second", DELAY_S * 3)
        answer = await ask(side)
        await side.settle()
        assert len(upstreams[1].visits) == 1
    assert (answer.whole, bytes(answer.body)) == (True, STREAM.speak("second").body)


async def test_both_fail() -> None:
    """Then the caller has an error, once, and nothing is left behind."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: Script([DELAY_S * 2], End.RST)
        upstreams[1].otherwise = lambda visit: Script([DELAY_S * 2, *script_error(STREAM, 500).steps])
        answer = await ask(side)
        await side.settle()
    assert answer.whole and answer.status in (500, 502)


async def test_a_caller_that_leaves_takes_both_along() -> None:
    """Neither upstream works for nobody."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", 5)
        upstreams[1].otherwise = lambda visit: delayed(STREAM, "second", 5)
        caller = await Caller.connect(side.url)
        caller.send(compose(f"/pool{STREAM.path}", STREAM.request))
        async with asyncio.timeout(2):
            while not upstreams[1].visits:
                await asyncio.sleep(0.01)
        caller.leave()
        left_at = time.monotonic()
        scrape = await side.settle()
        closed = [upstream.visits[-1].closed_at for upstream in upstreams]
    assert all(each is not None and each - left_at < 0.2 for each in closed), closed
    assert scrape.sum("requests_total", ending="client_gone") == 1


async def test_few_calls_are_hedged() -> None:
    """However late everything is, the share of calls with a rival stays below hedging.share_max."""
    calls = 40
    hedging = Hedging(delay_min=0.02, calls_min=5, share_max=0.1)
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams, hedging=hedging)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", 0.1)
        answers = await asyncio.gather(*(ask(side) for _ in range(calls)))
        scrape = await side.settle()
        rivals = len(upstreams[1].visits)
    assert all(answer.whole and answer.status == 200 for answer in answers)
    hedged = scrape.count_by("hedges_total", "outcome")
    print(hedged)
    made = hedged.get("won", 0) + hedged.get("lost", 0) + hedged.get("failed", 0)
    assert 1 <= made <= (WARM_UP + calls) * 0.1 + 1
    assert rivals <= made  # on a busy machine one may have lost before anything of it arrived
    assert hedged.get("refused", 0) >= calls - made - 5


async def test_nothing_is_hedged_unless_it_is_asked_for() -> None:
    """Off from the start, and a single late call waits."""
    settings = pair("http://127.0.0.1:1", "http://127.0.0.1:1").features
    assert not settings.hedging
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams, features=Features(probes=False))) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: delayed(STREAM, "first", DELAY_S * 3)
        assert (await ask(side)).field("x-sidecar-upstream") == "first"
        assert not upstreams[1].visits
        assert (await side.settle()).sum("hedges_total") == 0


async def test_what_may_not_be_made_twice_is_not_hedged() -> None:
    """A form that nobody understands may do something: it has no rival."""
    async with upstreams_of(2) as upstreams, running_settings(settle(upstreams)) as side:
        await warm_up(side, upstreams)
        upstreams[0].otherwise = lambda visit: Script([DELAY_S * 3, *script_error(STREAM, 404).steps])
        assert (await fetch(side.url, compose("/pool/v1/fine_tuning/jobs", {"a": 1}))).status == 404
        assert not upstreams[1].visits
