"""What a call on a tool route is: a tool's, an MCP server's, or neither.

An MCP message is known by its body, a JSON-RPC 2.0 object or list that is POSTed; the rest of MCP's
transport by the fields that it brings along. Everything else on such a route calls an HTTP tool.
"""

from typing import Final, NamedTuple

from sidecar.core.identify.peek import peek
from sidecar.core.observe.contract import Dialect
from sidecar.core.observe.dialects import OPAQUE
from sidecar.core.observe.dialects.mcp import Mcp, is_endless
from sidecar.exchange import Asked, Call, Headers

_EVENT_STREAM: Final = b"text/event-stream"
_SESSION_FIELDS: Final = frozenset({b"mcp-session-id", b"mcp-protocol-version"})
_NO_TOOL: Final = Asked()


class ToolCall(NamedTuple):
    """How a call on a tool route is read. `endless`: its answer is a stream of what may happen some time."""

    dialect: Dialect
    asked: Asked
    endless: bool


def identify_tool(name: str, call: Call, body: bytes | None, bytes_max: int) -> ToolCall:
    """Return what a call is. `name`: the tool's, as the path tells it; `body`: the whole of it, None where that is not known."""
    if call.method == "POST" and body:
        mcp = Mcp()
        asked = peek(mcp, body, call.target, call.wanted.content_encoding, bytes_max)
        if mcp.is_spoken:
            return ToolCall(mcp if mcp.awaits else OPAQUE, asked, is_endless(asked))
    if _has_session(call.headers):
        return ToolCall(OPAQUE, _NO_TOOL, call.method == "GET")
    if call.method == "GET" and _EVENT_STREAM in _read_accept(call.headers):
        return ToolCall(OPAQUE, _NO_TOOL, True)
    return ToolCall(OPAQUE, Asked(tool=name), False)


def _has_session(headers: Headers) -> bool:
    return any(name.lower() in _SESSION_FIELDS for name, _ in headers)


def _read_accept(headers: Headers) -> bytes:
    return b",".join(value.lower() for name, value in headers if name.lower() == b"accept")
