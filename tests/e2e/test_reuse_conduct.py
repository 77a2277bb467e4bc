"""What is easily got wrong where answers are shared: sessions, long answers of tools, refusals, who came late, who leaves, the end."""

import asyncio
import json
from collections.abc import Callable
from copy import copy
from dataclasses import replace
from pathlib import Path
from typing import Any, Final

from sidecar.config import Budget, Budgets, Cache, Features, Limits, Queue, Route, RouteKind, Settings, Timeouts, Warming
from sidecar.core.admit.ledger_lines import read_ledger
from sidecar.core.admit.spending_sums import Reservation
from sidecar.core.attempt.deadlines import set_deadlines
from sidecar.core.identify.router import Match
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.flights import Flight
from sidecar.core.reuse.levels import Levels
from sidecar.core.reuse.origins import Origins
from sidecar.core.reuse.policy import Terms
from sidecar.exchange import Record
from sidecar.journeys import Journey
from sidecar.larder import Larder
from sidecar.progress import Exchange
from sidecar.reuse import Reuse
from tests.core.attempt.calls import make_call
from tests.core.reuse.entries import make_entry
from tests.path import PRICES, PlayedClient
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.pools import running_settings, single, upstreams_of
from tests.rig.side import settle
from tests.rig.streams import write_chunk
from tests.rig.talks import BY_NAME
from tests.rig.upstream import Script, Visit
from tests.rig.websocket import compose_handshake, dial, listening


class StillClock:
    """Time that stands."""

    def now(self) -> float:
        """Return seconds."""
        return 1.0

    def wall_ns(self) -> int:
        """Return nanoseconds."""
        return 1_795_176_000_000_000_000


SHARING: Final = Features(cache=True, coalescing=True, probes=False, breakers=False)
TALK: Final = BY_NAME["openai_stream"]
CHAT: Final = "/openai/v1/chat/completions"
ASKED: Final = {"model": "sim-small", "temperature": 0, "messages": [{"role": "user", "content": "Why?"}]}
STREAM_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: text/event-stream\r\nTransfer-Encoding: chunked\r\n\r\n"
JSON_HEAD: Final = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n"


def speak(pause_s: float = 0.0, before_s: float = 0.0) -> Callable[[Visit], Script]:
    """Return an upstream's conduct: a good stream, with a pause between its pieces."""
    spoken = TALK.speak("word")
    steps: list[bytes | float] = [before_s, STREAM_HEAD]
    for piece in (spoken.opening, *spoken.tokens, spoken.ending):
        steps += [write_chunk(piece), pause_s]
    return lambda visit: Script([*steps, b"0\r\n\r\n"])


def told_whole(before_s: float = 0.0) -> Callable[[Visit], Script]:
    """Return an upstream's conduct: a good whole answer, after a while."""
    body = BY_NAME["openai_whole"].speak("word").body
    return lambda visit: Script([before_s, JSON_HEAD % len(body) + body])


async def test_a_session_on_a_route_with_a_cache_is_a_session() -> None:
    """A tool's answers are kept; a WebSocket to it is nobody else's, and is joined as ever."""
    async with listening() as upstream:
        routes = (Route("/openai/", "openai", kind=RouteKind.TOOL, cache=60.0),)
        changes: dict[str, Any] = {"routes": routes, "features": SHARING, "timeouts": Timeouts(total=3.0)}
        async with running_settings(settle(upstream.url, **changes)) as side:
            client = await dial(side.url)
            await client.send(compose_handshake("/openai/tool"))
            server = await upstream.take()
            assert (await client.read_head()).startswith(b"HTTP/1.1 101")
            await client.send(b"\x81\x80\x00\x00\x00\x00")
            assert await server.read(6) == b"\x81\x80\x00\x00\x00\x00"
            client.close()
            server.close()
            (record,) = await side.records.until(1)
            assert (record.status, record.cache, record.session is not None) == (101, None, True)


async def test_a_tools_answer_too_long_to_hold_is_asked_for_by_each() -> None:
    """Who waits for the whole of it, to be told it with an id of its own, does not wait for more than is held."""
    async with upstreams_of(1) as (upstream,):

        def answer(visit: Visit) -> Script:
            asked = json.loads(visit.body)
            body = json.dumps(
                {"jsonrpc": "2.0", "id": asked["id"], "result": {"content": [{"type": "text", "text": "x" * 20_000}]}}
            ).encode()
            return Script([JSON_HEAD % len(body), body[:1000], 0.15, body[1000:9000], 0.15, body[9000:18000], 0.3, body[18000:]])

        upstream.otherwise = answer
        routes = (Route("/openai/", "openai", kind=RouteKind.TOOL, cache=60.0),)
        changes: dict[str, Any] = {"routes": routes, "features": SHARING, "cache": Cache(entry=4096)}
        async with running_settings(settle(upstream.url, **changes)) as side:
            answers = await gather_calls(side.url, [call_tool(number) for number in (1, 2)])
            assert [json.loads(answer.body)["id"] for answer in answers] == [1, 2]
            assert upstream.visits[1].begun_at < (upstream.visits[0].ended_at or 0.0), "it was waited for until its end"
            records = await side.records.until(2)
            assert [len(record.attempts) for record in records] == [1, 1] and [record.cache for record in records] == ["miss", "miss"]


def call_tool(number: int) -> bytes:
    """Return a call of a tool over MCP."""
    return compose("/openai/mcp", {"jsonrpc": "2.0", "id": number, "method": "tools/call", "params": {"name": "find", "arguments": {}}})


async def gather_calls(url: str, requests: list[bytes], apart_s: float = 0.05) -> list[Answer]:
    """Make calls one shortly after the other, and wait for all of them."""
    tasks = []
    for request in requests:
        tasks.append(asyncio.create_task(fetch(url, request)))
        await asyncio.sleep(apart_s)
    return list(await asyncio.gather(*tasks))


async def test_each_who_is_refused_is_told_as_refused() -> None:
    """Three who wait for one call, for which there is no room: three of them are turned away."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = told_whole(1.0)
        settings = single(upstream, features=SHARING, limits=Limits(concurrency=1), queue=Queue(size=5, wait=0.3))
        async with running_settings(settings) as side:
            other = asyncio.create_task(fetch(side.url, compose("/only/v1/chat/completions", {**ASKED, "seed": 1})))
            await asyncio.sleep(0.1)
            answers = await gather_calls(side.url, [compose("/only/v1/chat/completions", ASKED)] * 3)
            await other
            assert [answer.status for answer in answers] == [503, 503, 503]
            records = [record for record in await side.records.until(4) if record.status == 503]
            assert [record.cache for record in records] == ["miss", "coalesced", "coalesced"]
            assert all(record.shed is not None for record in records)
            assert (await side.settle()).sum("shed_requests_total") == 3


async def test_who_inherits_a_call_says_nothing_of_its_beginning() -> None:
    """Its first token was there before it came: no time to it, and no pace from it, is measured on it."""
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = speak(0.15)
        settings = single(upstream, features=SHARING)
        request = compose("/only/v1/chat/completions", {**ASKED, "stream": True, "stream_options": {"include_usage": True}})
        async with running_settings(settings) as side:
            leader = await Caller.connect(side.url)
            leader.send(request)
            await leader.until_bytes(400)
            heir = asyncio.create_task(fetch(side.url, request))
            await asyncio.sleep(0.05)
            leader.leave()
            answer = await heir
            assert answer.whole and bytes(answer.body) == TALK.speak("word").body
            records: list[Record] = await side.records.until(2)
            left, inherited = records
            assert (left.ending, inherited.ending, inherited.cache) == ("client_gone", "completed", "miss")
            assert inherited.usage is not None and left.usage is None
            assert (inherited.seen.first_token, inherited.seen.first_chunk) == (None, None)
            assert (await side.settle()).sum("attempts_total") == 1


ANYWHERE = Origins({}, frozenset({make_entry().origin}), "")


class Nobody:
    """Somebody who is told of what is kept, and whose answers are never there at first."""

    levels: Levels
    entry: Entry

    def note_joined(self, *, is_first: bool) -> None:
        """Fine."""

    def note_detached(self) -> None:
        """Fine."""

    async def get(self, key: str) -> None:
        """Find nothing; meanwhile a call that was in progress comes to its end, and its answer is kept here."""
        self.levels.put(key, self.entry, 1.0)


async def test_what_is_kept_while_others_are_asked_is_found() -> None:
    """An answer that comes between the look into memory and the shared store's word is not asked for once more."""
    nobody = Nobody()
    nobody.levels, nobody.entry = Levels(Cache(), keeps_stale=False, refreshes=False), make_entry()
    terms = Terms("k", "answers", None, 60.0, 60.0, ANYWHERE, True, True, False, None, None, True)
    larder = Larder(Settings(features=SHARING), nobody.levels, nobody, PRICES, StillClock(), nobody)  # type: ignore[arg-type]
    found = await larder.find(terms)
    assert found is not None and found.level == "hot"


async def test_who_is_ended_twice_gives_back_all_the_same() -> None:
    """A caller leaves, and then the sidecar stops, while the last one's upstream call is being ended: what it reserved is not lost."""
    exchange = Exchange(PlayedClient(make_call()), make_call(), None)
    carrier = copy(exchange)
    carrier.reserved = reservation = Reservation(1, "a", "2026-11-20", 5)
    terms = Terms("k", "answers", None, 60.0, 60.0, ANYWHERE, False, False, False, None, None, True)
    flight = Flight("k", bytes_max=100, lag_max=100)
    carrier.deadlines = exchange.deadlines = set_deadlines(Timeouts(), 0.0, None)
    journey = Journey(flight, carrier, exchange, terms)

    async def fly() -> None:
        try:
            await asyncio.sleep(10)
        finally:
            await asyncio.sleep(0.05)  # an upstream that takes its time to be let go of

    class Played:
        judge = find = take_off = staticmethod(lambda *more: None)

    played: Any = Played()
    played.judge, played.take_off = lambda request: terms, lambda *more: journey
    larder = Larder(Settings(features=SHARING), Levels(Cache(), keeps_stale=False, refreshes=False), None, PRICES, StillClock(), Nobody())  # type: ignore[arg-type]
    reuse = Reuse(Settings(features=SHARING), played, larder, played, {}, StillClock(), asyncio.sleep, Nobody(), played.find)  # type: ignore[arg-type]
    exchange.match = Match("r", ("a",), "/r/", OPAQUE, "/v1/models")
    journey.task = asyncio.create_task(fly())
    caller = asyncio.create_task(reuse.answer(exchange, lambda _: ()))
    for _ in range(2):
        await asyncio.sleep(0.01)
        caller.cancel()
    await asyncio.wait((caller,))
    assert caller.cancelled() and exchange.reserved is reservation and carrier.reserved is None
    await asyncio.wait((journey.task,))


async def test_at_the_end_nothing_is_asked_on_our_own_account(tmp_path: Path) -> None:
    """While callers are let end: prompts are not warmed, what is being fetched anew is given up, and the ledger has nothing open."""
    (tmp_path / "prompts").write_text(
        "\n".join(json.dumps({"path": CHAT, "body": {**ASKED, "seed": n}}) for n in range(100)), encoding="utf-8"
    )
    async with upstreams_of(1) as (upstream,):
        upstream.otherwise = told_whole(0.4)
        settings = settle(
            upstream.url, features=replace(SHARING, warming=True, refresh=True, budgets=True),
            warming=Warming(str(tmp_path / "prompts"), pace=0.05), cache=Cache(refresh_hits=1, refresh_share=1.0),
            budgets=Budgets(str(tmp_path / "ledger"), all=Budget(day=100.0), sync=0.05),
        )  # fmt: skip
        async with running_settings(settings) as side:
            request = compose(CHAT, ASKED)
            await fetch(side.url, request)
            assert (await fetch(side.url, request)).field("x-sidecar-cache") == "hit"  # and it is fetched anew
            last = asyncio.create_task(fetch(side.url, compose(CHAT, {**ASKED, "seed": 1000})))
            await until(lambda: any(b"1000" in visit.body for visit in upstream.visits))
            asked = len(upstream.visits)
            await side.sidecar.stop(grace_s=3.0)
            assert (await last).status == 200
            assert len(upstream.visits) == asked
            assert {record.origin for record in side.records.all} == {"caller", "warming", "refresh"}
    told = read_ledger((tmp_path / "ledger").read_bytes().splitlines(keepends=True))
    assert (told.damaged, told.state.open) == (0, [])


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so."""
    async with asyncio.timeout(5):
        while not is_so():
            await asyncio.sleep(0.005)
