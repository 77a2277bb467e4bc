"""Identical calls in progress share one upstream call: over real sockets, in every interface, whoever of them leaves when."""

import asyncio
import contextlib
import time
from collections import Counter
from collections.abc import AsyncIterator
from hashlib import sha256
from pathlib import Path
from typing import Any, Final

import pytest

from sidecar.config import Coalescing
from sidecar.exchange import Record
from tests.rig.caller import Caller
from tests.rig.pools import PoolSide, call, running_settings
from tests.rig.process import run_sidecar
from tests.rig.sharing import (
    BOTH,
    IS_DEEP,
    Door,
    Gate,
    Pace,
    Reply,
    ask_for,
    check_nothing_flies,
    connect_all,
    list_journeys,
    settle_sharing,
    sharing,
    tell_delays,
    until_joined,
    write_reply,
)
from tests.rig.talks import INPUT_TOKENS, OUTPUT_TOKENS, STREAMS, TALKS, Talk
from tests.rig.upstream import End, Script, Upstream, Visit

CALLERS: Final = 100
EARLY: Final = 40  # of them, before the head
ROUNDS: Final = 100 if IS_DEEP else 8
AT_ONCE: Final = 25
FOLLOWERS: Final = 3
READING: Final = 3
STALLED: Final = 15  # of each version of HTTP
PATIENCE_S: Final = 40.0
CLOSED_WITHIN_S: Final = 0.25
USD: Final = (INPUT_TOKENS * 0.15 + OUTPUT_TOKENS * 0.60) / 1e6  # of sim-small
BY_TALK: Final = {"argnames": "talk", "argvalues": TALKS, "ids": [talk.name for talk in TALKS]}
PHASES: Final = ("head", "after head", "between chunks", "last chunk")


def owners(records: list[Record]) -> list[Record]:
    """Return those whose call it was."""
    return [record for record in records if record.attempts]


def check_told_once(records: list[Record], calls: int) -> None:
    """Attempts, usage and cost of each upstream call stand in one record, and those of who shared it tell what they saved."""
    paying = owners(records)
    assert len(paying) == calls
    assert {(record.cache, len(record.attempts), record.usage is not None) for record in paying} == {("miss", 1, True)}
    assert sum(record.cost.usd for record in records if record.cost) == pytest.approx(USD * calls)
    sharers = [record for record in records if record.ending == "completed" and not record.attempts]
    assert {(record.cache, record.usage, record.cost) for record in sharers} <= {("coalesced", None, None)}
    saved = [record.saved for record in sharers]
    assert all(each is not None and each.usage is not None and each.cost is not None for each in saved)


@pytest.mark.parametrize("gzips", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize(**BY_TALK)
async def test_a_hundred_at_once_are_one_call(talk: Talk, gzips: bool) -> None:
    """Some join before the head and some within the answer, some speak HTTP/1.0: each gets every byte that a direct call gets."""
    reply = write_reply(talk, gzips=gzips)
    before, within = Gate(is_open=True), Gate(is_open=True)
    async with sharing() as (upstream, side):
        upstream.otherwise = lambda visit: reply.perform({0: before, reply.ends[2]: within})
        direct, _ = await call(upstream.url, talk.path, talk.request)
        upstream.visits.clear()
        before.is_open = within.is_open = False
        requests = [ask_for(talk, number=number, version="1.0" if number % 10 == 9 else "1.1") for number in range(CALLERS)]
        callers = await connect_all(side.url, requests[:EARLY])
        await until_joined(side, EARLY - 1)
        before.is_open = True
        await callers[0].until_bytes(1)
        callers += await connect_all(side.url, requests[EARLY:])
        await until_joined(side, CALLERS - 1)
        within.is_open = True
        answers = [await caller.until_end() for caller in callers]
        for caller in callers:
            caller.leave()
        records = await side.records.until(CALLERS)
        scrape = await side.settle()
        assert len(upstream.visits) == 1
    assert {(answer.status, answer.whole) for answer in answers} == {(200, True)}
    assert {sha256(answer.body).hexdigest() for answer in answers} == {sha256(direct.body).hexdigest()}
    for name in ("content-type", "content-encoding"):
        assert {answer.field(name) for answer in answers} == {direct.field(name)}
    assert Counter(answer.field("x-sidecar-cache") for answer in answers) == {"miss": 1, "coalesced": CALLERS - 1}
    assert len({record.id for record in records}) == len(records) == CALLERS
    check_told_once(records, 1)
    assert scrape.count_by("requests_total", "ending") == {"completed": CALLERS}
    assert scrape.sum("coalesced_calls_saved_total") == CALLERS - 1
    assert scrape.sum("coalesced_requests_total", role="leader") == 1
    assert scrape.sum("tokens_total") == INPUT_TOKENS + OUTPUT_TOKENS
    assert scrape.sum("cost_usd_total") == pytest.approx(USD)
    assert scrape.sum("cache_saved_usd_total") == pytest.approx(USD * (CALLERS - 1))


def find_place(reply: Reply, phase: str) -> int:
    """Return how much of the wire is sent before the leader is killed."""
    ends = reply.ends
    return {"head": 0, "after head": ends[0], "between chunks": ends[2], "last chunk": (ends[-3] + ends[-2]) // 2}[phase]


class Round:
    """One answer for several callers, of which the first is killed."""

    def __init__(self, number: int, phase: str) -> None:
        self.talk = STREAMS[number % len(STREAMS)]
        self.name = f"{phase}{number}"
        self.reply = write_reply(self.talk, gzips=number % 8 >= 4)
        self.place = find_place(self.reply, phase)
        self.gate = Gate()
        self.callers: list[Caller] = []

    @property
    def script(self) -> Script:
        """What the upstream does."""
        return self.reply.perform({self.place: self.gate})

    def ask(self, number: int) -> bytes:
        """Return the request of one of the callers."""
        return ask_for(self.talk, self.name, number=number)


async def kill_leaders(side: PoolSide, rounds: list[Round], joined: int) -> None:
    """Have followers join, kill who came first, and see that all others get everything."""
    known = len(side.records.all)
    for each in rounds:
        each.callers += await connect_all(side.url, [each.ask(number + 1) for number in range(FOLLOWERS)])
    await until_joined(side, joined + FOLLOWERS * len(rounds))
    for each in rounds:
        each.callers[0].leave(reset=True)
    await side.records.until(known + len(rounds))
    for each in rounds:
        each.gate.is_open = True


async def check_followers(rounds: list[Round]) -> None:
    """Everybody but the leader has the whole answer."""
    for each in rounds:
        expected = sha256(each.reply.body).hexdigest()
        for follower in each.callers[1:]:
            answer = await follower.until_end()
            assert (answer.status, answer.whole, sha256(answer.body).hexdigest()) == (200, True, expected), each.name
            follower.leave()


async def check_records(side: PoolSide, upstream: Upstream) -> None:
    """One record per call; the leaders' tell that they left; each upstream call is told once, by who was still there."""
    records = await side.records.until(ROUNDS * (FOLLOWERS + 1))
    assert Counter(str(record.ending) for record in records) == {"client_gone": ROUNDS, "completed": ROUNDS * FOLLOWERS}
    assert len(side.records.by_id) == len(records)
    assert Counter(visit.name for visit in upstream.visits).most_common(1)[0][1] == 1
    assert len(upstream.visits) == ROUNDS
    check_told_once(records, ROUNDS)
    gone = [record for record in records if record.ending == "client_gone"]
    assert {(record.usage, record.cost, record.attempts) for record in gone} == {(None, None, ())}
    scrape = await side.settle()
    assert scrape.sum("cost_usd_total") == pytest.approx(USD * ROUNDS)


@pytest.mark.parametrize("phase", PHASES)
async def test_a_killed_leader_harms_nobody(phase: str) -> None:
    """Its connection is reset while the upstream has sent nothing, the head, some, or nearly all: the others get all of it."""
    async with sharing() as (upstream, side):
        for start in range(0, ROUNDS, AT_ONCE):
            rounds = [Round(number, phase) for number in range(start, min(start + AT_ONCE, ROUNDS))]
            for each in rounds:
                upstream.scripts[each.name] = each.script
                each.callers = await connect_all(side.url, [each.ask(0)])
            for each in rounds:
                await until_sent(upstream, each)
            await kill_leaders(side, rounds, start * FOLLOWERS)
            await check_followers(rounds)
        await check_records(side, upstream)


async def until_sent(upstream: Upstream, each: Round) -> Visit:
    """Wait until the upstream has sent all that comes before the gate, and it is here."""
    async with asyncio.timeout(5):
        while not (visits := upstream.visits_of(each.name)) or visits[0].sent_bytes < each.place:
            await asyncio.sleep(0.001)
        await asyncio.sleep(0.01)
    return visits[0]


async def test_a_leader_killed_while_the_connection_is_made_harms_nobody() -> None:
    """The upstream's handshake is answered only after the leader is gone."""
    upstream, door, others = Upstream(), Door(), list_journeys()
    async with contextlib.AsyncExitStack() as stack:
        side = await stack.enter_async_context(running_settings(settle_sharing(door.url)))
        stack.push_async_callback(upstream.stop)
        stack.callback(door.close)
        rounds = [Round(number, "head") for number in range(ROUNDS)]
        for each in rounds:
            each.gate.is_open = True
            upstream.scripts[each.name] = each.script
            each.callers = await connect_all(side.url, [each.ask(0)])
        await door.until_waiting(ROUNDS)
        await kill_leaders(side, rounds, 0)
        assert upstream.visits == []
        await door.open(upstream)
        await check_followers(rounds)
        await check_records(side, upstream)
        await check_nothing_flies(side, others)


@pytest.mark.parametrize("reset", [False, True], ids=["fin", "rst"])
@pytest.mark.parametrize("phase", PHASES)
async def test_the_last_one_to_leave_takes_the_upstream_call_along(phase: str, reset: bool) -> None:
    """Not those before, in whatever order they came."""
    delays: list[float] = []
    async with sharing() as (upstream, side):
        for number in range(ROUNDS // 2 if IS_DEEP else 5):
            each = Round(number, phase)
            upstream.scripts[each.name] = Script(each.script.steps, End.HANG)
            each.callers = await connect_all(side.url, [each.ask(0)])
            visit = await until_sent(upstream, each)
            each.callers += await connect_all(side.url, [each.ask(1), each.ask(2)])
            await until_joined(side, 2 * (number + 1))
            order = each.callers[number % 3 :] + each.callers[: number % 3]
            for caller in order[:2]:
                caller.leave(reset=reset)
                await asyncio.sleep(0.01)
            assert visit.closed_at is None
            left_at = time.monotonic()
            order[2].leave(reset=reset)
            async with asyncio.timeout(5):
                while visit.closed_at is None:
                    await asyncio.sleep(0.001)
            delays.append(visit.closed_at - left_at)
        records = await side.records.until(3 * len(delays))
        assert {str(record.ending) for record in records} == {"client_gone"}
        assert len(owners(records)) == len(delays)
        assert upstream.connections == set()
    assert tell_delays(f"last leaver, {phase}", delays) <= CLOSED_WITHIN_S


@pytest.mark.parametrize("gzips", [False, True], ids=["plain", "gzip"])
@pytest.mark.parametrize("end", [End.FIN, End.RST])
@pytest.mark.parametrize("talk", STREAMS, ids=[talk.name for talk in STREAMS])
async def test_an_answer_that_breaks_off_does_so_for_everybody(talk: Talk, end: End, gzips: bool) -> None:
    """Each is told within the stream, where that can be, none is shown an end; the next caller asks anew."""
    reply = write_reply(talk, gzips=gzips)
    gate = Gate()
    callers_count = 30
    async with sharing() as (upstream, side):
        upstream.otherwise = lambda visit: reply.perform({reply.ends[2]: gate}, end=end, stop=reply.ends[3])
        requests = [ask_for(talk, number=number, version="1.0" if number % 5 == 4 else "1.1") for number in range(callers_count)]
        callers = await connect_all(side.url, requests)
        await until_joined(side, callers_count - 1)
        gate.is_open = True
        answers = [await caller.until_end() for caller in callers]
        records = list(await side.records.until(callers_count))
        assert len(upstream.visits) == 1
        upstream.otherwise = lambda visit: reply.perform()
        after, _ = await call(side.url, f"/{talk.provider}{talk.path}", talk.request)
    assert {str(record.ending) for record in records} == {"cut"}
    assert len(owners(records)) == 1
    for answer in answers:
        assert not answer.whole
        assert answer.body.startswith(b"".join(reply.pieces[:3]))
        assert (b"stream_cut" in answer.body) is not gzips
    assert len({bytes(answer.body) for answer in answers}) == 1
    assert (bytes(after.body), after.field("x-sidecar-cache")) == (reply.body, "miss")


PIECE: Final = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"' + b"x" * 65_536 + b'"}}]}\n\n'
END: Final = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\ndata: [DONE]\n\n'
MIB: Final = 2**20
AHEAD: Final = 8  # pieces, half of what a caller may lag behind


def write_large(pieces: int) -> Reply:
    """Return a stream of so many large pieces."""
    return Reply(write_reply(STREAMS[0]).head, (*[PIECE] * pieces, END))


def share_large(lag_mib: int, entry_mib: int) -> dict[str, Any]:
    """Return the configuration of a sidecar that shares streams."""
    return {
        "features": {"breakers": False, "probes": False, "coalescing": True, "cache": True},
        "cache": {"what": "all", "entry": f"{entry_mib}MiB"}, "coalescing": {"lag_max": f"{lag_mib}MiB"},
    }  # fmt: skip


@contextlib.asynccontextmanager
async def stalling(url: str, count: int, reading: int = 0, *, count_old: int = 0) -> AsyncIterator[tuple[list[Caller], list[Caller]]]:
    """Have callers of one stream that do not read, and some that do; all have its beginning. `count_old`: as many by HTTP/1.0."""
    callers = [await Caller.connect(url, receive_bytes=64 * 1024) for _ in range(count + count_old)]
    try:
        for number, caller in enumerate(callers):
            caller.send(ask_for(STREAMS[0], version="1.1" if number < count else "1.0"))
        callers += await connect_all(url, [ask_for(STREAMS[0])] * reading)
        for caller in callers:
            await caller.until_bytes(1)
        for caller in callers[: count + count_old]:
            caller.stop_reading()
        yield callers[: count + count_old], callers[count + count_old :]
    finally:
        for caller in callers:
            caller.leave()


@pytest.mark.parametrize("entry_mib", [1, 4], ids=["entry 1 MiB", "entry 4 MiB"])
async def test_who_does_not_read_is_let_go_and_costs_little(tmp_path: Path, entry_mib: int) -> None:
    """Of callers of one long stream many stall: the others get it at full speed, memory stays bounded, none is shown an end."""
    upstream, gate, reply = Upstream(), Gate(), write_large(240)
    readers: list[Caller] = []
    paces = {reply.ends[sent]: Pace(readers, (sent - AHEAD) * len(PIECE)) for sent in range(2, 241)}
    await upstream.start()
    upstream.otherwise = lambda visit: reply.perform({reply.ends[1]: gate, **paces})
    with run_sidecar(tmp_path, upstream.url, **share_large(1, entry_mib)) as side:
        before = side.rss_bytes
        async with stalling(side.url, STALLED, READING, count_old=STALLED) as (stalled, reading):
            readers += reading
            gate.is_open = True
            began, most = time.monotonic(), before
            while not all(caller.answer.whole for caller in reading):
                assert time.monotonic() - began < PATIENCE_S
                most = max(most, side.rss_bytes)
                await asyncio.sleep(0.01)
            lasted_s = time.monotonic() - began
            digests = {sha256(caller.answer.body).digest() for caller in reading}
            for caller in stalled:
                caller.read_on()
            answers = [await caller.until_gone(PATIENCE_S) for caller in stalled]
            page = await asyncio.to_thread(side.scrape)
    await upstream.stop()
    body = reply.body
    sizes_mib = sorted(len(answer.body) / MIB for answer in answers)
    print(
        f"\n{len(stalled)} of {len(stalled) + READING} stall within {len(body) / MIB:.0f} MiB: RSS {before / MIB:.1f} MiB, at most "
        f"{most / MIB:.1f} MiB; the others took {lasted_s:.2f} s; stalled ones got {sizes_mib[0]:.2f} to {sizes_mib[-1]:.2f} MiB"
    )  # fmt: skip
    assert digests == {sha256(body).digest()}
    assert len(upstream.visits) == 1
    assert f"llm_sidecar_coalescing_detached_total {len(stalled)}" in page
    assert [answer.whole for answer in answers] == [False] * len(stalled)
    assert all(body.startswith(answer.body) for answer in answers)
    assert most - before < 64 * MIB


async def test_who_reads_on_in_time_catches_up() -> None:
    """Within the lag that is allowed nobody is let go, even if the answer has ended meanwhile."""
    gate, reply = Gate(), write_large(60)
    async with sharing(coalescing=Coalescing(lag_max=8 * MIB), features=BOTH) as (upstream, side):
        upstream.otherwise = lambda visit: reply.perform({reply.ends[1]: gate})
        async with stalling(side.url, 1, READING) as ([late], reading):
            gate.is_open = True
            for caller in reading:
                assert sha256((await caller.until_end()).body).digest() == sha256(reply.body).digest()
            assert not late.answer.whole
            late.read_on()
            answer = await late.until_end()
        assert answer.whole and sha256(answer.body).digest() == sha256(reply.body).digest()
        records = await side.records.until(READING + 1)
        assert {str(record.ending) for record in records} == {"completed"}
        assert len(owners(records)) == 1
        assert len(upstream.visits) == 1


async def test_all_that_stall_hold_the_upstream_up() -> None:
    """Where nobody reads the upstream waits, and as soon as one does it goes on; everybody gets everything."""
    reply = write_large(320)
    async with sharing(coalescing=Coalescing(lag_max=32 * MIB)) as (upstream, side):
        upstream.send_buffer_bytes = 256 * 1024
        gate = Gate()
        upstream.otherwise = lambda visit: reply.perform({reply.ends[1]: gate})
        async with stalling(side.url, 3) as (callers, _):
            gate.is_open = True
            sent = -1
            while sent != upstream.visits[0].sent_bytes:
                sent = upstream.visits[0].sent_bytes
                await asyncio.sleep(0.5)
            assert sent < len(reply.wire), "the upstream was held up"
            for caller in callers:
                caller.read_on()
            answers = [await caller.until_end() for caller in callers]
    assert [(answer.whole, sha256(answer.body).digest()) for answer in answers] == [(True, sha256(reply.body).digest())] * 3
