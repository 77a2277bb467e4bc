"""The official MCP SDK on both sides of a tool route: the same results as going direct, proper exceptions, right numbers."""

import asyncio
import contextlib
import json
from collections.abc import AsyncIterator
from pathlib import Path
from typing import Any

import httpx
import pytest
from mcp import Client, MCPError

from sidecar.config import Limits, Timeouts
from sidecar.exchange import Ending, Record
from tests.edge.telemetry.receiver import receive
from tests.rig.mcp_server import CODE
from tests.rig.process import run_sidecar
from tests.rig.side import Side
from tests.rig.tools import MCP, PREFIX, McpProcess, count_tools, running_tools, serving_mcp

PATIENCE_S = 15.0
# Servers that answer with JSON or with events, that know sessions or none; and both generations of the protocol.
SERVERS = [(), ("json",), ("stateless",), ("json", "stateless"), ("resumable",)]
MODES = ["legacy", "auto"]
KINDS = pytest.mark.parametrize(("options", "mode"), [(options, mode) for options in SERVERS for mode in MODES], ids=str)
Mode = Any


@contextlib.asynccontextmanager
async def facing(*options: str, **changes: Any) -> AsyncIterator[tuple[McpProcess, Side]]:
    """Run an MCP server and a sidecar in front of it."""
    async with serving_mcp(*options) as server, running_tools(server.url, **changes) as side:
        yield server, side


async def tell(call: Any) -> Any:
    """Return what an application sees of a call: its result, or its exception."""
    try:
        result = await asyncio.wait_for(call, PATIENCE_S)
    except MCPError as error:
        return type(error), error.error.model_dump()
    return result.model_dump()


async def use(url: str, mode: Mode) -> list[Any]:
    """Use a server in every way; return what an application sees of it."""
    steps: list[Any] = []

    async def note(progress: float, total: float | None, message: str | None) -> None:
        steps.append((progress, total, message))

    async with Client(url, mode=mode) as client:
        seen = [
            await tell(client.list_tools()),
            await tell(client.call_tool("echo", {"text": "héllo"})),
            await tell(client.call_tool("fail", {"text": "this"})),
            await tell(client.call_tool("refuse", {"text": "this"})),
            await tell(client.call_tool("nosuch", {})),
            await tell(client.read_resource("rig://nothing")),
            await tell(client.call_tool("progress", {"steps": 3}, progress_callback=note)),
        ]
    return [*seen, steps]


def of_tools(records: list[Record]) -> list[tuple[str | None, str, str | None]]:
    """Return tool, ending and error type of each execution, in order."""
    return [(record.asked.tool, str(record.ending), record.error_type) for record in records if record.operation == "execute_tool"]


@KINDS
async def test_a_client_sees_the_same_and_executions_are_measured(options: tuple[str, ...], mode: Mode) -> None:
    """Results, failures, errors and notifications are as they would be directly; each call of a tool is one, all else is none."""
    async with facing(*options) as (server, side):
        direct = await use(server.url + "/mcp", mode)
        through = await use(side.url + MCP, mode)
        counted = await count_tools(side)
        records = side.records.all
    assert through == direct
    echoed, failed, refused = through[1:4]
    assert echoed["content"][0]["text"] == "héllo"
    assert failed["is_error"] is True
    assert refused[1]["code"] == CODE
    assert bool(through[-1]) == ("json" not in options), "JSON answers have no room for notifications"
    assert of_tools(records) == [
        ("echo", "completed", None), ("fail", "in_band_error", "tool_error"), ("refuse", "in_band_error", "jsonrpc_other"),
        ("nosuch", "in_band_error", "tool_error"), ("progress", "completed", None),
    ]  # fmt: skip
    assert counted == {
        ("echo", ""): 1, ("fail", "tool_error"): 1, ("refuse", "jsonrpc_other"): 1, ("nosuch", "tool_error"): 1, ("progress", ""): 1,
    }  # fmt: skip
    others = {record.asked.mcp_method: record for record in records if record.operation == "http"}
    assert others["tools/list"].ending is Ending.COMPLETED
    assert others["resources/read"].error_type == "jsonrpc_-32602"
    assert ("initialize" in others) == (mode == "legacy")
    assert {record.route for record in records} == {"tools/rig"}


@pytest.mark.parametrize(
    ("options", "mode", "announced"),
    [
        ((), "legacy", False), ((), "legacy", True), ((), "auto", False), ((), "auto", True), (("json", "stateless"), "legacy", True),
        (("json",), "auto", True), (("resumable",), "legacy", True),
    ],
    ids=str,
)  # fmt: skip
async def test_a_server_that_dies_is_an_exception(options: tuple[str, ...], mode: Mode, announced: bool) -> None:
    """Before the answer begins and in the middle of it: the caller is told, at once, and does not hang."""

    async def note(progress: float, total: float | None, message: str | None) -> None:
        pass

    async with facing(*options) as (_, side):
        async with Client(side.url + MCP, mode=mode) as client:
            with pytest.raises(MCPError) as raised:
                await asyncio.wait_for(client.call_tool("die", {"announced": announced}, progress_callback=note), PATIENCE_S)
        [died] = of_tools(side.records.all)
    assert died in [("die", "reset", "upstream_reset"), ("die", "cut", "stream_cut")]
    if options != ("resumable",):  # where the caller may ask for the rest we say nothing: it asks
        assert raised.value.error.data == {"id": died[2]}


@pytest.mark.parametrize("mode", MODES)
async def test_no_server_is_an_exception(mode: Mode) -> None:
    """An upstream that is not there is told as a JSON-RPC error."""
    async with running_tools("http://127.0.0.1:1") as side:
        with pytest.raises(ExceptionGroup) as raised:  # what the SDK makes of any exception on the way in
            async with Client(side.url + MCP, mode=mode):
                pass
    error: BaseException = raised.value
    while isinstance(error, BaseExceptionGroup):
        [error] = error.exceptions
    assert isinstance(error, MCPError)
    assert error.error.data == {"id": "upstream_unreachable"}


@pytest.mark.parametrize("mode", MODES)
@pytest.mark.parametrize("options", [(), ("json",)], ids=str)
async def test_a_deadline_is_an_exception(options: tuple[str, ...], mode: Mode) -> None:
    """A tool that takes too long ends as a timeout for the caller, whichever clock of ours ran out."""
    timeouts = Timeouts(first_byte=0.5, idle=0.5)
    async with facing(*options, timeouts=timeouts) as (_, side), Client(side.url + MCP, mode=mode) as client:
        with pytest.raises(MCPError) as raised:
            await asyncio.wait_for(client.call_tool("wait", {"seconds": 20}), PATIENCE_S)
    assert raised.value.error.code == -32001
    assert raised.value.error.data["id"] in ("first_byte_timeout", "idle_timeout")


async def test_a_stream_that_is_handed_over_is_no_cut() -> None:
    """A server may end an answer's stream and give the rest to a caller that asks by event id: nothing is put in between."""
    async with facing("resumable") as (_, side):
        async with Client(side.url + MCP, mode="legacy") as client:
            result = await asyncio.wait_for(client.call_tool("hand_over", {}), PATIENCE_S)
        records = side.records.all
    assert result.content[0].text == "handed over"  # type: ignore[union-attr]
    assert of_tools(records) == [("hand_over", "completed", None)]
    assert len([record for record in records if record.method == "GET"]) == 2, "the server's own stream, and the rest"


async def test_a_stream_of_notifications_outlasts_the_deadlines() -> None:
    """The stream on which a server tells what it likes is silent for long and has no end: it is no call, and no error."""
    timeouts = Timeouts(first_byte=0.4, idle=0.2, total=0.4)
    async with facing(timeouts=timeouts) as (_, side):
        async with Client(side.url + MCP, mode="legacy") as client:
            await asyncio.sleep(1.2)
            await client.call_tool("echo", {"text": "still there"})
        [stream] = [record for record in await side.records.until(5) if record.method == "GET"]
    assert (stream.operation, stream.asked.tool) == ("http", None)
    assert stream.ending in (Ending.COMPLETED, Ending.CLIENT_GONE), "whichever side was first"
    assert stream.duration_s > 1.0


async def test_the_streams_of_notifications_end_with_the_sidecar() -> None:
    """They would outlast any drain: they are ended at once, and their callers come back by themselves."""
    async with facing() as (_, side), Client(side.url + MCP, mode="legacy"):
        await asyncio.sleep(0.1)
        began = asyncio.get_running_loop().time()
        await side.sidecar.stop(grace_s=20)
        assert asyncio.get_running_loop().time() - began < 5


async def test_made_up_names_of_tools_are_bounded() -> None:
    """A caller that names ever new tools fills neither us nor Prometheus."""
    async with facing("json", "stateless", limits=Limits(labels=3)) as (_, side), Client(side.url + MCP, mode="auto") as client:
        for index in range(6):
            await client.call_tool(f"invented-{index}", {})
        counted = await count_tools(side)
        assert 'llm_sidecar_label_overflow_total{label="tool"} 3' in await side.scrape()
    assert counted == {**{(f"invented-{index}", "tool_error"): 1 for index in range(3)}, ("other", "tool_error"): 3}


async def test_spans_hold_names_and_nothing_said(tmp_path: Path) -> None:
    """An execution is a span with its tool; arguments, results, sessions and queries are in no span, metric or log."""
    canary = "canary-tool-51c0ffee"
    config = {
        "upstreams": {"rig": {"url": ""}},
        "routes": [{"prefix": PREFIX, "upstream": "rig", "kind": "tool"}],
        "log": {"level": "debug"},
    }
    sessions: list[str] = []

    async def keep(response: httpx.Response) -> None:
        sessions.append(response.headers.get("mcp-session-id", ""))

    async with serving_mcp() as server:
        config["upstreams"] = {"rig": {"url": server.url}}
        with receive() as receiver:
            with run_sidecar(tmp_path, server.url, {"OTEL_EXPORTER_OTLP_ENDPOINT": receiver.url}, **config) as side:
                url = f"{side.url}{MCP}?key={canary}"
                async with Client(url, mode="legacy") as client:
                    for tool in ("echo", "fail", "refuse"):
                        with contextlib.suppress(MCPError):
                            await client.call_tool(tool, {"text": canary})
                initialize = {"jsonrpc": "2.0", "id": 1, "method": "initialize", "params": {
                    "protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": canary, "version": "1"}}}  # fmt: skip
                accept = {"accept": "application/json, text/event-stream"}
                async with httpx.AsyncClient(event_hooks={"response": [keep]}) as http:
                    await http.post(url, json=initialize, headers=accept)
                    await http.post(f"{side.url}{PREFIX}search", json={"query": canary})
                page = side.scrape()
            log = side.program.output
        spans = {span.name: span for span in receiver.spans}
        sent = b"".join(request.SerializeToString() for request in receiver.requests)
    assert {"execute_tool echo", "execute_tool fail", "execute_tool refuse", "execute_tool search"} <= spans.keys()
    failed = {pair.key: pair.value.string_value for pair in spans["execute_tool fail"].attributes}
    assert failed == {
        "gen_ai.operation.name": "execute_tool", "gen_ai.tool.name": "fail", "mcp.method.name": "tools/call", "error.type": "tool_error",
    }  # fmt: skip
    assert spans["execute_tool fail"].kind == 1
    assert len(sessions[0]) > 16
    for where, text in (("spans", sent), ("metrics", page.encode()), ("log", log.encode())):
        assert canary.encode() not in text, where
        assert sessions[0].encode() not in text, where


async def test_sessions_pass_untouched() -> None:
    """The session's id, event ids and the protocol's version reach the other side as they are, and a session can be ended."""
    accept = {"accept": "application/json, text/event-stream"}
    async with facing() as (_, side), httpx.AsyncClient(timeout=PATIENCE_S) as http:
        begun = await http.post(side.url + MCP, headers=accept, json={
            "jsonrpc": "2.0", "id": "a", "method": "initialize",
            "params": {"protocolVersion": "2025-06-18", "capabilities": {}, "clientInfo": {"name": "n", "version": "1"}},
        })  # fmt: skip
        session = {**accept, "mcp-session-id": begun.headers["mcp-session-id"], "mcp-protocol-version": "2025-06-18"}
        assert (await http.delete(side.url + MCP, headers=session)).status_code == 200
        gone = await http.post(side.url + MCP, headers=session, json={"jsonrpc": "2.0", "id": "b", "method": "ping"})
        [ended, after] = [record for record in await side.records.until(3) if record.asked.mcp_method != "initialize"]
    assert gone.status_code == 404
    assert json.loads(gone.text)["error"]["code"] == -32600
    assert (ended.method, ended.operation, ended.ending) == ("DELETE", "http", Ending.COMPLETED)
    assert (after.ending, after.error_type) == (Ending.REJECTED, "jsonrpc_-32600")
