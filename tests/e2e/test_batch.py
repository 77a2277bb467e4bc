"""Batches end to end: side by side, each entry on its own, in order, and bounded."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

import httpx
import pytest

from sidecar.config import Limits, Timeouts
from sidecar.exchange import Ending
from tests.edge.telemetry.receiver import receive
from tests.rig.http_tools import HttpTools, serving_tools
from tests.rig.side import Side
from tests.rig.tools import PREFIX, count_tools, running_tools, serving_mcp

BATCH = "/x-sidecar/batch"
TYPE = {"content-type": "application/json"}


@contextlib.asynccontextmanager
async def facing(**changes: Any) -> AsyncIterator[tuple[HttpTools, Side, httpx.AsyncClient]]:
    """Run tools, a sidecar in front of them, and a client of it."""
    async with serving_tools() as tools, running_tools(tools.url, **changes) as side, httpx.AsyncClient(base_url=side.url) as http:
        yield tools, side, http


def entry(tool: str, body: Any = None, **more: Any) -> dict[str, Any]:
    """Return a batch's entry."""
    return {"path": PREFIX + tool, **({} if body is None else {"body": body}), **more}


async def post(http: httpx.AsyncClient, entries: Any, **more: Any) -> Any:
    """Post a batch; return the entries of its answer."""
    answer = await http.post(BATCH, json=entries, **more)
    assert answer.status_code == 200, answer.text
    assert answer.headers["content-type"] == "application/json"
    return answer.json()


async def test_entries_run_side_by_side() -> None:
    """Ten calls that wait for each other are all answered: the server saw ten at once."""
    async with facing() as (tools, side, http):
        tools.gate_size = 10
        answers = await post(http, [entry("gate") for _ in range(10)])
        began = asyncio.get_running_loop().time()
        await post(http, [entry("slow") for _ in range(10)])
        took_s = asyncio.get_running_loop().time() - began
        assert (await count_tools(side)) == {("gate", ""): 10, ("slow", ""): 10}
        assert "llm_sidecar_batched_requests_total 20" in await side.scrape()
        assert 'llm_sidecar_requests_total{route="x-sidecar/batch",provider="",model="",ending="completed"} 2' in await side.scrape()
    print(f"\nten tools of 200 ms in one batch: {took_s * 1000:.0f} ms")
    assert [answer["body"] for answer in answers] == [{"within": 10}] * 10
    assert took_s < 2, "one after the other is two seconds, however slow the machine"


async def test_each_entry_gets_its_own_answer_in_order() -> None:
    """JSON, text, bytes, nothing, an error of the tool's own, and those that never became a call."""
    async with facing() as (tools, side, http):
        answers = await post(http, [
            entry("echo", {"number": 12345678901234567890, "text": "é"}), entry("echo", "plain", headers={"Content-Type": "text/plain"}),
            entry("binary"), entry("cookies"), entry("fail", {}), entry("break", {}), {"path": "/openai/v1/models", "method": "GET"},
            {"path": "/nowhere"}, {"path": "/tools/rig/../secret"}, {"path": BATCH, "body": []}, {"pth": "/tools/rig/echo"}, 7,
            entry("echo", headers={"bad name": "x"}), entry("echo", headers={"x": "a\r\nb: c"}), entry("echo/more?q=1", method="GET"),
        ])  # fmt: skip
        records = side.records.all
    assert [answer["status"] for answer in answers] == [200, 200, 200, 200, 500, 502, 403, 404, 400, 400, 400, 400, 400, 400, 200]
    assert answers[0]["body"] == {"number": 12345678901234567890, "text": "é"}
    assert answers[1]["body"] == "plain"
    assert (answers[2]["body"], answers[2]["encoding"]) == ("/wD+", "base64")
    assert (answers[3]["body"], len(answers[3]["headers"]["set-cookie"])) == ("café", 2)
    assert "encoding" not in answers[3]
    assert answers[4]["body"] == {"error": "no"}
    errors = [answer["headers"].get("x-sidecar-error") for answer in answers[5:14]]
    assert errors == ["stream_cut", "not_batchable", "no_route", "bad_target", *["bad_batch"] * 5]
    assert "Entry 10 has a member that is not known" in answers[10]["body"]["error"]["message"]
    assert [path for path, _, _ in tools.seen if path.startswith("/echo/")] == ["/echo/more?q=1"]
    assert len({answer["headers"]["x-sidecar-request-id"] for answer in answers[:5]}) == 5
    ended = {record.path: record.ending for record in records if record.batched}
    assert (ended[PREFIX + "break"], ended[PREFIX + "fail"]) == (Ending.CUT, Ending.UPSTREAM_ERROR)
    assert (ended["/openai/v1/models"], ended["/nowhere"]) == (Ending.CLIENT_FAULT, Ending.CLIENT_FAULT)


async def test_an_entry_brings_its_own_fields_and_nothing_of_the_batch() -> None:
    """Credentials of the batch's caller go nowhere; those of an entry go to its own tool."""
    async with facing() as (tools, _, http):
        outer = {"authorization": "Bearer outer", "cookie": "outer=1", "x-outer": "1", "accept-encoding": "gzip"}
        await post(http, [entry("first", {}, headers={"Authorization": "Bearer inner", "Host": "evil"}), entry("second")], headers=outer)
        seen = {path: headers for path, headers, _ in tools.seen}
    first, second = seen["/first"], seen["/second"]
    assert first["authorization"] == "Bearer inner"
    assert {"cookie", "x-outer", "x-sidecar-timeout"}.isdisjoint(first)
    assert "authorization" not in second
    assert first["accept-encoding"] == second["accept-encoding"] == "identity"
    assert first["host"] != "evil"
    assert first["content-type"] == "application/json"
    assert "content-type" not in second


@pytest.mark.parametrize(
    ("body", "said"),
    [
        (b" ", "not a JSON list"), (b"{}", "not a JSON list"), (b"[", "not a JSON list"), (b'"x"', "not a JSON list"),
        (b"[" + b"{}," * 32 + b"{}]", "limits.batch allows 32"),
    ],
)  # fmt: skip
async def test_what_is_no_batch_is_refused(body: bytes, said: str) -> None:
    """With what is wrong, where, and what to do."""
    async with facing() as (_, side, http):
        answer = await http.post(BATCH, content=body, headers=TYPE)
        assert (answer.status_code, answer.headers["x-sidecar-error"]) == (400, "bad_batch")
        assert said in answer.json()["error"]["message"]
        assert (await http.post(BATCH, json=[])).json() == [], "the next batch is served"
        assert side.records.all[0].ending is Ending.CLIENT_FAULT


async def test_only_the_batch_is_there() -> None:
    """Nothing below /x-sidecar/ is sent on, whatever routes there are."""
    async with facing() as (tools, _, http):
        assert (await http.get(BATCH)).status_code == 404
        assert (await http.post("/x-sidecar/other", json=[])).status_code == 404
        assert tools.seen == []


async def test_a_caller_that_leaves_ends_every_entry() -> None:
    """Nobody waits for answers that nobody reads."""
    async with facing() as (tools, side, http):
        tools.gate_size = 99
        with pytest.raises(httpx.ReadTimeout):
            await http.post(BATCH, json=[entry("gate") for _ in range(5)], timeout=0.4)
        records = await side.records.until(6)
        async with asyncio.timeout(5):
            while tools.cancelled < 5:
                await asyncio.sleep(0.01)
        assert (await side.gauges())["in_flight"] == 0
    assert {str(record.ending) for record in records} == {"client_gone"}


async def test_deadlines_are_each_entrys_own() -> None:
    """One entry's deadline is its own; what the batch's caller wants bounds them all."""
    async with facing(timeouts=Timeouts(total=30.0)) as (tools, _, http):
        tools.gate_size = 99
        answers = await post(http, [entry("gate", headers={"x-sidecar-timeout": "0.3"}), entry("slow")])
        assert [answer["status"] for answer in answers] == [504, 200]
        answers = await post(
            http, [entry("gate"), entry("gate", headers={"x-sidecar-timeout": "20"})], headers={"x-sidecar-timeout": "0.3"}
        )
        assert [answer["headers"]["x-sidecar-error"] for answer in answers] == ["total_timeout"] * 2
        assert (await http.post(BATCH, json=[], headers={"x-sidecar-timeout": "soon"})).status_code == 400


async def test_answers_are_bounded() -> None:
    """One answer, and all together: who asks for more gets an error in its place, and the others their answers."""
    async with facing(limits=Limits(observed=100_000, body=250_000)) as (_, side, http):
        answers = await post(http, [entry("big", 90_000), entry("big", 500_000_000), entry("slow")])
        assert [answer["headers"].get("x-sidecar-error") for answer in answers] == [None, "batch_overflow", None]
        assert len(answers[0]["body"]) == 90_000
        answers = await post(http, [entry("big", 90_000)] * 4)
        assert sorted(answer["status"] for answer in answers) == [200, 200, 503, 503]
        too_long = await http.post(BATCH, content=b"[" + b" " * 300_000 + b"]", headers=TYPE)
        assert (too_long.status_code, too_long.headers["x-sidecar-error"]) == (413, "too_large")
        assert set(side.records.endings) == {"completed", "refused", "client_fault"}


async def test_a_batch_is_one_trace() -> None:
    """Each entry's span stands under the batch's, and the tool sees the trace go on."""
    with receive() as receiver:
        async with facing(environ={"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}) as (tools, _, http):
            parent = "00-0af7651916cd43dd8448eb211c80319c-b7ad6b7169203331-01"
            await post(http, [entry("echo", {}), entry("slow", {})], headers={"traceparent": parent})
            sent = [headers["traceparent"] for _, headers, _ in tools.seen]
    spans = receiver.spans
    [batch] = [span for span in spans if span.name == "POST /x-sidecar/batch"]
    entries = [span for span in spans if span.name == f"POST {PREFIX}*"]
    assert batch.parent_span_id.hex() == "b7ad6b7169203331"
    assert [span.parent_span_id for span in entries] == [batch.span_id] * 2
    assert {span.name for span in spans if span.kind == 1} == {"execute_tool echo", "execute_tool slow"}
    assert {span.trace_id.hex() for span in spans} == {"0af7651916cd43dd8448eb211c80319c"}
    assert {field.split("-")[1] for field in sent} == {"0af7651916cd43dd8448eb211c80319c"}


async def test_tools_of_an_mcp_server_in_one_batch() -> None:
    """Entries may be JSON-RPC calls: the names are those of the tools, and a failing one is its own."""
    headers = {"accept": "application/json, text/event-stream", "content-type": "application/json", "mcp-protocol-version": "2025-06-18"}

    def call(name: str) -> dict[str, Any]:
        arguments = {"name": name, "arguments": {"text": "x"}}
        return entry("mcp", {"jsonrpc": "2.0", "id": name, "method": "tools/call", "params": arguments}, headers=headers)

    async with serving_mcp("json", "stateless") as server, running_tools(server.url) as side:
        async with httpx.AsyncClient(base_url=side.url) as http:
            answers = await post(http, [call("echo"), call("fail"), call("refuse")])
        assert await count_tools(side) == {("echo", ""): 1, ("fail", "tool_error"): 1, ("refuse", "jsonrpc_other"): 1}
    assert [answer["body"]["id"] for answer in answers] == ["echo", "fail", "refuse"]
    assert answers[0]["body"]["result"]["content"][0]["text"] == "x"
