"""Calls of tools and messages to MCP servers: which could be kept, and what they are compared by."""

import gzip
import json
from typing import Any

import pytest

from sidecar.core.identify.tools import identify_tool
from sidecar.core.reuse.canonical import BYTES_MAX
from sidecar.core.reuse.toolcalls import Body, read_tool_call
from tests.core.attempt.calls import make_call

JSON = (b"Content-Type", b"application/json; charset=utf-8")
META = {"io.modelcontextprotocol/clientInfo": {"name": "x"}, "traceparent": "00-1"}


def message(method: str = "tools/call", **changes: Any) -> dict[str, Any]:
    """Return a message to an MCP server."""
    return {"jsonrpc": "2.0", "id": 1, "method": method, "params": {"name": "find", "arguments": {"q": "a"}}, **changes}


def read(body: Any, *fields: tuple[bytes, bytes], method: str = "POST") -> Body | str:
    """Return what a call of the tool `forecast` comes to."""
    data = body if isinstance(body, bytes) else json.dumps(body).encode()
    call = make_call(*fields, method=method)
    dialect, asked, _ = identify_tool("forecast", call, data, 2**24)
    return read_tool_call(method, call.headers, asked, call.wanted.content_encoding, data, is_mcp=dialect.name == "mcp")


def test_tools_over_http() -> None:
    """JSON is compared in its one form, all else as it is."""
    assert read({"b": 1, "a": 2}, JSON) == Body("json", b'{"a":2,"b":1}')
    assert read(b'{"b": 1, "a": 2}') == Body("bytes", b'{"b": 1, "a": 2}')
    assert read(b"a=1&b=2", (b"Content-Type", b"application/x-www-form-urlencoded")) == Body("bytes", b"a=1&b=2")
    assert read(b"", method="GET") == Body("bytes", b"")
    assert read(b"", JSON, method="GET") == Body("bytes", b"")
    packed = gzip.compress(b"{}")
    assert read(packed, JSON, (b"Content-Encoding", b"gzip")) == Body("bytes", packed)
    assert read(b"{", JSON) == read(b'{"a": 1, "a": 2}', JSON) == read(b" " * (BYTES_MAX + 1)) == "body"


@pytest.mark.parametrize("method", ["PUT", "DELETE", "PATCH", "HEAD", "OPTIONS"])
def test_other_methods_are_carried(method: str) -> None:
    """What changes something is never answered from here."""
    assert read({"a": 1}, JSON, method=method) == "method"


@pytest.mark.parametrize(
    ("method", "field"),
    [("GET", (b"Accept", b"text/html, TEXT/event-stream")), ("GET", (b"Mcp-Session-Id", b"1")), ("DELETE", (b"Mcp-Session-Id", b"1"))],
)
def test_sessions_are_carried(method: str, field: tuple[bytes, bytes]) -> None:
    """Streams of what may happen, and what ends a session."""
    assert read(b"", field, method=method) == "session"


@pytest.mark.parametrize("method", ["tools/call", "tools/list", "resources/read"])
def test_messages(method: str) -> None:
    """They are compared without their id and what makes no difference."""
    plain = read(message(method))
    assert isinstance(plain, Body) and plain.form == "mcp"
    assert json.loads(plain.text) == {name: value for name, value in message(method).items() if name != "id"}
    params = {"arguments": {"q": "a"}, "name": "find"}
    assert read(message(method, id="other", params={**params, "_meta": {}})) == plain
    assert read(message(method, id=2**70, params={**params, "_meta": META})) == plain


@pytest.mark.parametrize(
    "changed",
    [
        message(params={"name": "find", "arguments": {"q": "A"}}),
        message(params={"name": "Find", "arguments": {"q": "a"}}),
        message(params={"name": "find", "arguments": {"q": "a", "id": 1}}),
        message(method="tools/list"),
        message(more=1),
        message(params={"name": "find", "arguments": {"q": "a"}, "_meta": {"io.modelcontextprotocol/protocolVersion": "2026-07-28"}}),
        message(params={"name": "find", "arguments": {"q": "a"}, "_meta": {"customer": "b"}}),
    ],
)
def test_any_other_change_of_a_message_counts(changed: dict[str, Any]) -> None:
    """Arguments, names, and what a client tells the server beside them."""
    other = read(changed)
    assert isinstance(other, Body) and other != read(message())


@pytest.mark.parametrize(
    ("body", "reason"),
    [
        (message("initialize"), "method"),
        (message("ping"), "method"),
        (message("completion/complete"), "method"),
        (message("subscriptions/listen"), "method"),
        (message("prompts/get"), "method"),
        ({"jsonrpc": "2.0", "method": "notifications/initialized"}, "method"),
        ({"jsonrpc": "2.0", "id": 1, "result": {}}, "session"),
        ({"jsonrpc": "2.0", "method": "tools/call", "params": {"name": "find"}}, "method"),  # awaits nothing
        ([message()], "form"),
        ([message(), message("tools/list", id=2)], "form"),
        (message(params={"name": "find", "_meta": {"progressToken": 1}}), "session"),
        (message(params={"name": "find", "_meta": 1}), "session"),
        (json.dumps(message()).replace('"id": 1', '"id": 1, "id": 2').encode(), "body"),
    ],
)
def test_messages_that_are_carried(body: Any, reason: str) -> None:
    """What opens a session, tells of something, comes with others, or wants to hear of progress."""
    assert read(body) == reason


def test_a_compressed_message_is_carried() -> None:
    """Its id could not be told from it."""
    assert read(gzip.compress(json.dumps(message()).encode()), (b"Content-Encoding", b"gzip")) == "body"
