"""What a call on a tool route is."""

import gzip
from typing import Any

import pytest

from sidecar.core.identify.tools import identify_tool
from sidecar.core.observe.dialects import OPAQUE
from sidecar.exchange import Asked
from tests.core.attempt.calls import make_call

CALL = b'{"jsonrpc":"2.0","id":1,"method":"tools/call","params":{"name":"add"}}'
NOTE = b'{"jsonrpc":"2.0","method":"notifications/initialized"}'
LISTEN = b'{"jsonrpc":"2.0","id":1,"method":"subscriptions/listen","params":{}}'
SESSION = (b"Mcp-Session-Id", b"secret")
EVENTS = (b"accept", b"application/json, Text/Event-Stream")


def identify(method: str, body: bytes | None, *headers: tuple[bytes, bytes]) -> tuple[str, str | None, str | None, bool]:
    """Return dialect, tool, method and endlessness of a call to the tool `search`."""
    found = identify_tool("search", make_call(*headers, method=method), body, 1000)
    return found.dialect.name, found.asked.tool, found.asked.mcp_method, found.endless


@pytest.mark.parametrize(
    ("method", "body", "headers", "expected"),
    [
        ("POST", CALL, (), ("mcp", "add", "tools/call", False)),
        ("POST", CALL, (SESSION, EVENTS), ("mcp", "add", "tools/call", False)),
        ("POST", gzip.compress(CALL), ((b"Content-Encoding", b"gzip"),), ("mcp", "add", "tools/call", False)),
        ("POST", NOTE, (SESSION,), ("opaque", None, "notifications/initialized", False)),
        ("POST", LISTEN, (), ("mcp", None, "subscriptions/listen", True)),
        ("POST", b'{"jsonrpc":"2.0","id":1,"result":{}}', (), ("opaque", None, None, False)),
        ("POST", b'{"query":"x"}', (), ("opaque", "search", None, False)),
        ("POST", b'{"query":"x"}', (EVENTS,), ("opaque", "search", None, False)),
        ("POST", b"", (), ("opaque", "search", None, False)),
        ("POST", None, (), ("opaque", "search", None, False)),
        ("POST", None, (SESSION,), ("opaque", None, None, False)),
        ("PUT", CALL, (), ("opaque", "search", None, False)),
        ("GET", b"", (), ("opaque", "search", None, False)),
        ("GET", b"", (EVENTS,), ("opaque", None, None, True)),
        ("GET", b"", (SESSION,), ("opaque", None, None, True)),
        ("DELETE", b"", (SESSION,), ("opaque", None, None, False)),
        ("DELETE", b"", ((b"MCP-Protocol-Version", b"2025-06-18"),), ("opaque", None, None, False)),
        ("DELETE", b"", (), ("opaque", "search", None, False)),
    ],
)
def test_a_call_is_a_tools_or_the_protocols(method: str, body: bytes | None, headers: Any, expected: tuple[Any, ...]) -> None:
    """By body and fields; all that is not MCP's own is a call of an HTTP tool."""
    assert identify(method, body, *headers) == expected


def test_each_exchange_has_its_own_dialect() -> None:
    """What one has to answer is no other's business."""
    one, two = (identify_tool("x", make_call(), CALL, 1000) for _ in range(2))
    assert one.dialect is not two.dialect
    assert identify_tool("x", make_call(), b"", 1000) == (OPAQUE, Asked(tool="x"), False)
