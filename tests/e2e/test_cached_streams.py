"""Kept answers told again: byte for byte, in their pace if so set; and nothing is kept of what did not come to a good end."""

import asyncio
import time
from collections.abc import Iterator
from typing import Final

import pytest

from sidecar.config import Cache, Cacheable, Pace
from tests.rig.caller import Answer, Caller, fetch
from tests.rig.pools import PoolSide, Scrape
from tests.rig.sharing import (
    BOTH,
    IS_DEEP,
    KEEPING,
    Gate,
    Reply,
    ask_for,
    check_nothing_flies,
    list_journeys,
    sharing,
    until_joined,
    write_reply,
)
from tests.rig.streams import draw_short_streams, write_chunk
from tests.rig.talks import INPUT_TOKENS, OUTPUT_TOKENS, STREAMS, TALKS, Talk
from tests.rig.upstream import End, Script, Upstream

WORKERS: Final = 12
BY_TALK: Final = {"argnames": "talk", "argvalues": TALKS, "ids": [talk.name for talk in TALKS]}
ONLY_CACHED: Final = (("cache-control", "only-if-cached"),)
PAUSES_S: Final = (0.03, 0.05, 0.02, 0.1, *(0.004,) * 100)
STEP: Final = 1 if IS_DEEP else 9  # of the places at which an answer is cut, but for those near its end
NEAR_BYTES: Final = 40


@pytest.mark.parametrize("gzips", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(**BY_TALK)
async def test_a_hit_is_the_answer_again(talk: Talk, gzips: bool) -> None:
    """Its bytes, its status and its fields, but for those of the moment; its tokens and its cost are told as saved, not as used."""
    reply = write_reply(talk, gzips=gzips, extra=b"x-model-version: 7\r\nset-cookie: a=b\r\nx-request-id: first\r\n")
    async with sharing(features=KEEPING) as (upstream, side):
        upstream.otherwise = lambda visit: reply.perform()
        answers = [await fetch(side.url, ask_for(talk, number=number)) for number in range(3)]
        old = await fetch(side.url, ask_for(talk, version="1.0"))
        records = await side.records.until(4)
        scrape = await side.settle()
        assert len(upstream.visits) == 1
    assert [bytes(answer.body) for answer in (*answers, old)] == [reply.body] * 4
    assert [(answer.status, answer.whole, answer.field("x-sidecar-cache")) for answer in (*answers, old)] == [
        (200, True, told) for told in ("miss", "hit", "hit", "hit")
    ]
    told = [dict(answer.headers) for answer in answers]
    passing = {"x-sidecar-cache", "x-sidecar-request-id", "x-sidecar-attempts", "age", "set-cookie", "x-request-id", "content-length",
               "transfer-encoding"}  # fmt: skip
    for hit in told[1:]:
        assert {name: value for name, value in hit.items() if name not in passing} == {
            name: value for name, value in told[0].items() if name not in passing
        }
        assert hit["x-model-version"] == "7" and "age" in hit and not {"set-cookie", "x-request-id"} & hit.keys()
    assert [(record.cache, record.usage is None, record.cost is None, len(record.attempts)) for record in records] == [
        ("miss", False, False, 1), *[("hit", True, True, 0)] * 3
    ]  # fmt: skip
    assert scrape.sum("tokens_total") == INPUT_TOKENS + OUTPUT_TOKENS
    assert scrape.sum("cache_saved_tokens_total") == 3 * (INPUT_TOKENS + OUTPUT_TOKENS)
    assert scrape.sum("cache_saved_usd_total") == pytest.approx(3 * scrape.sum("cost_usd_total"))


async def watch(url: str, request: bytes, marks: list[int]) -> tuple[Answer, list[float]]:
    """Make one call; return when each of so many bytes of the body had come, in seconds since the first."""
    caller = await Caller.connect(url)
    try:
        caller.send(request)
        times = []
        for mark in marks:
            await caller.until_bytes(mark)
            times.append(time.monotonic())
        return await caller.until_end(), [at - times[0] for at in times]
    finally:
        caller.leave()


def pace(reply: Reply) -> Iterator[bytes | float]:
    """Yield the steps of a script that pauses after each piece."""
    yield reply.head
    for piece, pause_s in zip(reply.pieces, (*PAUSES_S, 0), strict=True):
        yield write_chunk(piece)
        yield pause_s
    yield b"0\r\n\r\n"


@pytest.mark.parametrize("is_paced", [False, True], ids=["at once", "original"])
async def test_a_hit_comes_in_the_pace_that_is_set(is_paced: bool) -> None:
    """At once, or as it came: each piece at its own time, short pauses and long ones, within a fifth."""
    talk = STREAMS[0]
    spoken = talk.speak("paced")
    reply = Reply(write_reply(talk).head, (spoken.opening, *[spoken.tokens[0]] * (len(PAUSES_S) - 1), spoken.ending))
    marks = [sum(map(len, reply.pieces[: index + 1])) for index in range(len(reply.pieces))]
    cache = Cache(what=Cacheable.ALL, pace=Pace.ORIGINAL if is_paced else Pace.AT_ONCE)
    async with sharing(features=KEEPING, cache=cache) as (upstream, side):
        upstream.otherwise = lambda visit: Script(pace(reply))
        first, came = await watch(side.url, ask_for(talk), marks)
        assert first.whole
        hits = [await watch(side.url, ask_for(talk), marks) for _ in range(3)]
        assert len(upstream.visits) == 1
    for answer, _ in hits:
        assert bytes(answer.body) == reply.body and answer.field("x-sidecar-cache") == "hit"
    best = min((times for _, times in hits), key=lambda times: times[-1])
    print(f"\n{len(reply.pieces)} pieces: came in {came[-1]:.3f} s, told again in {[round(times[-1], 3) for _, times in hits]} s")
    if not is_paced:
        assert best[-1] < 0.1
        return
    assert best[-1] == pytest.approx(came[-1], rel=0.05), "what each rest takes too long does not add up"
    off = [abs(now - then) for now, then in zip(best[1:], came[1:], strict=True)]
    assert all(each <= max(0.2 * then, 0.02) for each, then in zip(off, came[1:], strict=True)), max(off)


# -- what is never kept --------------------------------------------------------------------


async def is_kept(side: PoolSide, talk: Talk, name: str) -> bool:
    """Whether a call would be answered from what is kept; asked is nobody."""
    answer = await fetch(side.url, ask_for(talk, name, fields=ONLY_CACHED))
    assert answer.status == 200 or (answer.status, answer.field("x-sidecar-error")) == (504, "not_cached")
    return answer.status == 200


def check_kept(scrape: Scrape, count: int) -> None:
    """So much is kept, and nothing else ever was."""
    assert scrape.sum("cache_stored_total") == count
    assert scrape.sum("cache_entries") == count


def list_places(size: int) -> list[int]:
    """Return the bytes before which an answer is cut."""
    return sorted({*range(0, size, STEP), *range(size - NEAR_BYTES, size)})


async def cut_all(upstream: Upstream, side: PoolSide, cuts: list[tuple[Talk, bytes, int]], end: End) -> list[str]:
    """Have answers break off; return those of which something is kept. `cuts`: interface, wire, and how much of it is sent."""
    todo = iter(enumerate(cuts))
    kept = []

    async def work() -> None:
        for number, (talk, wire, sent_bytes) in todo:
            name = f"cut{number}"
            upstream.scripts[name] = Script([wire[:sent_bytes], 0] if sent_bytes else [], end)
            answer = await fetch(side.url, ask_for(talk, name))
            if sent_bytes < len(wire) and answer.whole and answer.status == 200:
                kept.append(f"{talk.name} {sent_bytes} of {len(wire)} was shown whole")
            if await is_kept(side, talk, name):
                kept.append(f"{talk.name} {sent_bytes} of {len(wire)} is kept")
            del upstream.scripts[name]

    async with asyncio.TaskGroup() as group:
        for _ in range(WORKERS):
            group.create_task(work())
    return kept


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_nothing_is_kept_of_an_answer_cut_at_any_byte(end: End) -> None:
    """Streams and whole answers of every interface, plain and compressed, broken off at each byte of the wire but the last."""
    replies = [(talk, write_reply(talk, gzips=gzips).wire) for talk in TALKS for gzips in (False, True)]
    async with sharing(features=BOTH) as (upstream, side):
        cuts = [(talk, wire, sent_bytes) for talk, wire in replies for sent_bytes in list_places(len(wire))]
        kept = await cut_all(upstream, side, cuts, end)
        check_kept(await side.settle(), 0)
        whole = await cut_all(upstream, side, [(talk, wire, len(wire)) for talk, wire in replies], End.KEEP)
        check_kept(await side.settle(), len(replies))
    print(f"\n{end}: {len(cuts)} cuts", *kept[:20], sep="\n")
    assert kept == []
    assert len(whole) == len(replies), "what is not cut is kept: the test can tell"


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_of_streams_in_any_framing_only_whole_ones_are_kept(end: End) -> None:
    """Chunks, a length, or a close that ends it: of a cut one nothing is kept, nor of one that only lacks its end mark."""
    talk = STREAMS[0]
    streams = draw_short_streams(20 if IS_DEEP else 8)
    cuts = [(talk, stream.wire, sent_bytes) for stream in streams for sent_bytes in list_places(len(stream.wire))]
    by_wire = {stream.wire: stream for stream in streams}
    async with sharing(features=BOTH) as (upstream, side):
        found = [each for each in await cut_all(upstream, side, cuts, end) if each.endswith("is kept")]
        stored = (await side.settle()).sum("cache_stored_total")
    allowed = [
        f"{talk.name} {sent_bytes} of {len(wire)} is kept" for _, wire, sent_bytes in cuts
        if by_wire[wire].expect(sent_bytes, reset=end is End.RST) == "completed" and b"[DONE]" in wire[:sent_bytes]
    ]  # fmt: skip
    print(f"\n{end}: {len(cuts)} cuts, {len(found)} of them after the end of a stream that closing ends")
    assert set(found) <= set(allowed)
    assert stored == len(found)
    assert found == [] or end is End.FIN


def spoil(talk: Talk) -> dict[str, Script]:
    """Return answers that are whole by their framing, and not good."""
    reply = write_reply(talk)
    scripts = {
        f"status {status}": Script([b"HTTP/1.1 %d X\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (
            status, len(talk.error(status)), talk.error(status))])
        for status in (400, 401, 404, 429, 500, 503)
    }  # fmt: skip
    if talk.streamed:
        scripts["error within"] = Reply(reply.head, (*reply.pieces[:3], talk.in_band)).perform()
        scripts["error at end"] = Reply(reply.head, (*reply.pieces[:-1], talk.in_band, reply.pieces[-1])).perform()
        scripts["error first"] = Reply(reply.head, (talk.in_band,)).perform()
        scripts["no end"] = Reply(reply.head, reply.pieces[:-1]).perform()
    for good, bad in ((b'"stop"', b'"content_filter"'), (b'"end_turn"', b'"refusal"'), (b'"STOP"', b'"SAFETY"')):
        if good in reply.body:
            scripts["declined"] = Reply(reply.head, (reply.body.replace(good, bad),)).perform()
    if talk.provider == "openai":
        said = reply.body.replace(b'"content":"f', b'"refusal":"f')
        scripts["refused"] = Reply(reply.head, (said,)).perform()
    scripts["garbage"] = Reply(reply.head, (b"\x00\xff{not json", b"\n\n")).perform()
    return scripts


@pytest.mark.parametrize(**BY_TALK)
async def test_nothing_is_kept_of_what_is_no_good_answer(talk: Talk) -> None:
    """Errors by status and within an answer, what a provider declined, what nobody can read."""
    async with sharing(features=BOTH) as (upstream, side):
        upstream.scripts |= spoil(talk)
        names = list(upstream.scripts)
        kept = []
        for name in names:
            await fetch(side.url, ask_for(talk, name))
            if await is_kept(side, talk, name):
                kept.append(name)
        assert {visit.name for visit in upstream.visits} == set(names)
        check_kept(await side.settle(), 0)
    assert kept == []
    assert {"declined", "garbage"} < set(names)


@pytest.mark.parametrize(**BY_TALK)
async def test_nothing_is_kept_of_an_answer_whose_callers_left(talk: Talk) -> None:
    """Wherever within it the last one leaves; where another stays to the end, it is kept."""
    reply, others = write_reply(talk), list_journeys()
    async with sharing(features=BOTH) as (upstream, side):
        places = reply.ends[:-1]
        for number, place in enumerate(places):
            name, gate = f"left{number}", Gate()
            upstream.scripts[name] = reply.perform({place: gate})
            callers = [await Caller.connect(side.url) for _ in range(2)]
            for caller in callers:
                caller.send(ask_for(talk, name))
            await until_joined(side, number + 1)
            await upstream.until_visits(number + 1)
            await callers[0].until_bytes(max(0, sum(map(len, reply.pieces[:number]))))
            for caller in callers:
                caller.leave()
            await side.records.until(2 * number + 2)
            gate.is_open = True
            await check_nothing_flies(side, others)
        names = [f"left{number}" for number in range(len(places))]
        assert len(upstream.visits) == len(places)
        check_kept(await side.settle(), 0)
        stays, gate = await Caller.connect(side.url), Gate()
        upstream.scripts[names[0]] = reply.perform({places[1]: gate})
        leaves = await Caller.connect(side.url)
        for caller in (leaves, stays):
            caller.send(ask_for(talk, names[0]))
        await until_joined(side, len(places) + 1)
        leaves.leave(reset=True)
        gate.is_open = True
        assert (await stays.until_end()).whole
        assert [await is_kept(side, talk, name) for name in names] == [True, *[False] * (len(names) - 1)]
        stays.leave()
