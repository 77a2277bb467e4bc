"""Kept and shared answers of tools: by route and by tool, over HTTP and as the official MCP SDK sees them, each with its own id."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator, Iterator
from typing import Any, Final

import httpx
import pytest
from mcp import Client

from sidecar.config import Breaker, Features, Route, RouteKind, Upstream
from tests.rig.caller import Answer, compose, fetch
from tests.rig.pools import PoolSide, configure, running_settings
from tests.rig.sharing import BOTH, Gate
from tests.rig.tools import serving_mcp
from tests.rig.upstream import End, Script
from tests.rig.upstream import Upstream as Told

PREFIX: Final = "/tools/rig/"
LIFETIMES: Final = {"brief": 0.3, "never": 0.0}
CALLERS: Final = 20
SERVERS: Final = [(), ("json",), ("json", "stateless")]
ACCEPT: Final = {"accept": "application/json, text/event-stream"}


@contextlib.asynccontextmanager
async def running(url: str, **changes: Any) -> AsyncIterator[PoolSide]:
    """Run a sidecar with a tool route whose answers are kept for five minutes, but for some tools."""
    changes.setdefault("features", BOTH)
    route = Route(PREFIX, "rig", name="rig", kind=RouteKind.TOOL, cache=300.0, tools={**LIFETIMES, **changes.pop("tools", {})})
    async with running_settings(configure({"rig": Upstream(url)}, {}, [route], **changes)) as side:
        yield side


@contextlib.asynccontextmanager
async def facing(**changes: Any) -> AsyncIterator[tuple[Told, PoolSide]]:
    """Run an upstream that answers each call with its number, and a sidecar in front of it."""
    upstream = Told()
    await upstream.start()

    def answer(visit: Any) -> Script:
        body = json.dumps({"call": len(upstream.visits), "asked": visit.body.decode()}).encode()
        return Script([b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: %d\r\n\r\n%b" % (len(body), body)])

    upstream.otherwise = answer
    try:
        async with running(upstream.url, **changes) as side:
            yield upstream, side
    finally:
        await upstream.stop()


async def use(side: PoolSide, tool: str, query: str = "a", **more: Any) -> Answer:
    """Call a tool over HTTP."""
    return await fetch(side.url, compose(f"{PREFIX}{tool}", {"query": query}, **more))


async def test_answers_of_a_tool_are_kept_as_the_route_says() -> None:
    """For as long as it says, another time for a tool of its own time, never for one with 0; and by arguments."""
    async with facing() as (upstream, side):
        told = [await use(side, "search", query) for query in ("a", "a", "b", "b", "a")]
        assert [answer.field("x-sidecar-cache") for answer in told] == ["miss", "hit", "miss", "hit", "hit"]
        assert told[0].body == told[1].body == told[4].body != told[2].body
        for _ in range(2):
            never = await use(side, "never")
            assert never.field("x-sidecar-cache") == "bypass"
        assert [(await use(side, "brief")).field("x-sidecar-cache") for _ in range(2)] == ["miss", "hit"]
        await asyncio.sleep(LIFETIMES["brief"] + 0.05)
        assert (await use(side, "brief")).field("x-sidecar-cache") == "miss"
        assert len(upstream.visits) == 6
        scrape = await side.settle()
    assert scrape.count_by("tool_cache_lookups_total", "tool") == {"search": 5, "brief": 3}
    assert scrape.count_by("tool_cache_hits_total", "tool") == {"search": 3, "brief": 1}
    assert scrape.count_by("cache_stored_total", "kind") == {"tools": 4}
    assert scrape.count_by("cache_bypass_total", "reason") == {"route": 2}


async def test_calls_of_a_tool_at_once_are_one_call() -> None:
    """Identical ones share; others do not; nor do those of a tool that is never kept."""
    gate = Gate()
    async with facing() as (upstream, side):
        head = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 2\r\n\r\n"

        upstream.otherwise = lambda visit: Script(_hold(gate, head + b"{}"))
        asked = [asyncio.create_task(use(side, "search")) for _ in range(CALLERS)]
        other = asyncio.create_task(use(side, "search", "b"))
        never = [asyncio.create_task(use(side, "never")) for _ in range(2)]
        await side.until(lambda scrape: scrape.sum("coalesced_requests_total", role="follower") == CALLERS - 1)
        async with asyncio.timeout(5):
            while len(upstream.visits) < 4:
                await asyncio.sleep(0.005)
        gate.is_open = True
        answers = await asyncio.gather(*asked, other, *never)
        assert {(each.status, bytes(each.body)) for each in answers} == {(200, b"{}")}
        assert len(upstream.visits) == 4
        await side.settle()


def _hold(gate: Gate, data: bytes) -> Iterator[bytes | float]:
    yield from gate.wait()
    yield data


async def test_a_failing_tool_is_not_kept_and_opens_its_breaker() -> None:
    """Errors are told as they are, again and again asked for, until the breaker opens; what is kept is given all the same."""
    breaker = Breaker(consecutive=5)
    features = Features(probes=False, cache=True, coalescing=True)
    async with facing(features=features, breaker=breaker) as (upstream, side):
        assert (await use(side, "search", "kept")).status == 200
        upstream.otherwise = lambda visit: Script([b"HTTP/1.1 500 No\r\nContent-Length: 0\r\n\r\n"])
        statuses = [(await use(side, "search", "new")).status for _ in range(12)]
        assert statuses[0] == 500 and statuses[-1] == 503
        asked = len(upstream.visits)
        refused = await use(side, "search", "newer")
        assert (refused.status, len(upstream.visits)) == (503, asked)
        kept = await use(side, "search", "kept")
        assert (kept.status, kept.field("x-sidecar-cache")) == (200, "hit")
        assert (await side.settle()).sum("cache_stored_total") == 1


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_nothing_is_kept_of_a_tools_answer_that_breaks_off(end: End) -> None:
    """By a length that is not reached, or chunks that do not end; one that closing ends is never known to be whole."""
    chunked = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"
    sized = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\nContent-Length: 9\r\n\r\n" + b'{"a":"b"}'
    closed = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n\r\n{}"
    async with facing() as (upstream, side):
        cuts = [(wire, sent) for wire in (chunked, sized) for sent in range(len(wire))] + [(closed, len(closed))]
        for number, (wire, sent_bytes) in enumerate(cuts):
            upstream.scripts[f"c{number}"] = Script([wire[:sent_bytes], 0] if sent_bytes else [], end)
            await use(side, "search", name=f"c{number}")
            again = await use(side, "search", name=f"c{number}", fields=[("cache-control", "only-if-cached")])
            assert again.field("x-sidecar-error") == "not_cached", wire[:sent_bytes]
        assert (await side.settle()).sum("cache_stored_total") == 0


# -- MCP -----------------------------------------------------------------------------------


@pytest.mark.parametrize("mode", ["legacy", "auto"])
@pytest.mark.parametrize("options", SERVERS, ids=str)
async def test_a_second_session_gets_a_hit_with_its_own_id(options: tuple[str, ...], mode: Any) -> None:
    """The SDK, which matches answers by their ids, takes it for its own, wherever in its session it asks."""
    async with serving_mcp(*options) as server, running(server.url) as side:
        results = []
        for before in (0, 3):
            async with Client(f"{side.url}{PREFIX}mcp", mode=mode) as client:
                for number in range(before):
                    await client.call_tool("echo", {"text": f"other {number}"})
                results.append((await asyncio.wait_for(client.call_tool("echo", {"text": "héllo"}), 10)).model_dump())
        scrape = await side.settle()
        calls = sorted((each for each in side.records.all if each.operation == "execute_tool"), key=lambda each: each.accepted)
    assert results[0] == results[1]
    assert results[0]["content"][0]["text"] == "héllo"
    assert [(record.cache, record.asked.tool) for record in calls] == [("miss", "echo")] * 4 + [("hit", "echo")]
    assert scrape.count_by("tool_cache_lookups_total", "tool") == {"echo": 5}
    assert scrape.count_by("tool_cache_hits_total", "tool") == {"echo": 1}


@pytest.mark.parametrize("options", SERVERS[:2], ids=str)
async def test_sessions_that_call_at_once_share_and_get_their_own_ids(options: tuple[str, ...]) -> None:
    """One execution, as many answers as callers."""
    async with serving_mcp(*options) as server, running(server.url) as side, contextlib.AsyncExitStack() as stack:
        clients = [await stack.enter_async_context(Client(f"{side.url}{PREFIX}mcp", mode="legacy")) for _ in range(6)]
        for number, client in enumerate(clients):
            for other in range(number):
                await client.call_tool("echo", {"text": f"{number} {other}"})
        calls = (asyncio.wait_for(client.call_tool("wait", {"seconds": 2.0}), 20) for client in clients)
        results = [result.model_dump() for result in await asyncio.gather(*calls)]
        await side.until(lambda _: sum(record.asked.tool == "wait" for record in side.records.all) == 6)
        scrape = await side.scrape()
        waits = [record for record in side.records.all if record.asked.tool == "wait"]
    assert results == [results[0]] * 6
    assert results[0]["content"][0]["text"] == "1", "the most that ran at once"
    # The SDK hangs up as soon as it has its result. Where that is before the answer's end, the call is the next one's.
    assert sorted(len(record.attempts) for record in waits) == [0, 0, 0, 0, 0, 1]
    assert sorted(str(record.cache) for record in waits) in (["coalesced"] * 5 + ["miss"], ["coalesced"] * 4 + ["miss"] * 2)
    assert scrape.sum("coalesced_calls_saved_total") == sum(record.cache == "coalesced" for record in waits)
    assert scrape.sum("coalesced_requests_total", role="follower") == 5


async def test_ids_of_any_kind_are_given_back_as_they_were() -> None:
    """Numbers, texts, with escapes; in hits and in calls at once; and what is in the result stays."""
    ids: list[Any] = [1, 0, -7, "a", 'q"\\', "é", 2**53, "1"]
    async with serving_mcp("json", "stateless") as server, running(server.url) as side, httpx.AsyncClient() as http:

        async def call(own: Any, tool: str, arguments: Any) -> Any:
            told = {"jsonrpc": "2.0", "id": own, "method": "tools/call", "params": {"name": tool, "arguments": arguments}}
            answer = await http.post(f"{side.url}{PREFIX}mcp", headers=ACCEPT, json=told)
            return answer.json(), answer.headers["x-sidecar-cache"]

        kept = [await call(own, "echo", {"text": '{"id":1}'}) for own in ids]
        shared = await asyncio.gather(*(call(own, "wait", {"seconds": 0.3}) for own in ids))
    assert [told["id"] for told, _ in kept] == [told["id"] for told, _ in shared] == ids
    assert [cache for _, cache in kept] == ["miss"] + ["hit"] * (len(ids) - 1)
    assert sorted(cache for _, cache in shared) == ["coalesced"] * (len(ids) - 1) + ["miss"]
    assert {json.dumps(told["result"]) for told, _ in kept} == {json.dumps(kept[0][0]["result"])}


async def test_tools_that_fail_or_are_never_kept_are_executed_each_time() -> None:
    """A result that says it is an error, an error, a tool with 0; and a call that wants to hear of progress."""
    async with serving_mcp("json") as server, running(server.url, tools={"echo": 0.0}) as side:
        for _ in range(2):
            async with Client(f"{side.url}{PREFIX}mcp", mode="legacy") as client:
                await client.call_tool("echo", {"text": "x"})
                await client.call_tool("fail", {"text": "x"})
                with contextlib.suppress(Exception):
                    await client.call_tool("refuse", {"text": "x"})
        await side.settle()
        calls = [record for record in side.records.all if record.operation == "execute_tool"]
    assert [record.cache for record in calls] == ["bypass", "miss", "miss"] * 2
    assert all(record.attempts for record in calls)
