"""Which calls of tools and messages to MCP servers could be answered with what is kept, and what of them says which answer.

A message's `id` is its own, and taken out of what is compared (`retelling` puts the right one into the answer). Of `_meta`
only what is known to make no difference is taken out; a call that wants to hear of progress is carried by itself, for
what it hears names a token of its own.
"""

from collections.abc import Mapping
from typing import Any, Final, NamedTuple

from sidecar.core.observe.dialects.mcp import CALL, SEVERAL
from sidecar.core.reuse.canonical import BYTES_MAX, canonicalise, write
from sidecar.exchange import Asked, Headers

_KEPT_METHODS: Final = frozenset({CALL, "tools/list", "resources/read"})
_METHODS: Final = frozenset({"GET", "POST"})
_INDIFFERENT: Final = frozenset({"traceparent", "tracestate", "baggage", "io.modelcontextprotocol/clientInfo"})
_EVENT_STREAM: Final = b"text/event-stream"


class Body(NamedTuple):
    """What a body is compared by, and how it is meant: `form` is "json", "mcp" or "bytes"."""

    form: str
    text: bytes


def read_tool_call(method: str, headers: Headers, asked: Asked, coding: bytes, body: bytes, *, is_mcp: bool) -> Body | str:
    """Return what a call on a tool route is compared by, or why it cannot be: one of catalogue.BYPASS_REASONS. Never raises.

    `is_mcp`: it is a message that awaits an answer.
    """
    if asked.mcp_method is not None:
        return _read_message(asked.mcp_method, coding, body) if is_mcp else "method"
    if asked.tool is None:
        return "session"
    if method not in _METHODS:
        return "method"
    if method == "GET" and _EVENT_STREAM in _find(headers, b"accept"):
        return "session"
    if len(body) > BYTES_MAX:
        return "body"
    if coding or not body or not _is_json(_find(headers, b"content-type")):
        return Body("bytes", body)
    canonical = canonicalise(body)
    return "body" if canonical is None else Body("json", canonical.text)


def _read_message(method: str, coding: bytes, body: bytes) -> Body | str:
    if method == SEVERAL:
        return "form"
    if method not in _KEPT_METHODS:
        return "method"
    canonical = None if coding else canonicalise(body)
    if canonical is None:
        return "body"
    if not isinstance(canonical.tree, dict):
        return "form"  # a list of messages
    message = {name: value for name, value in canonical.tree.items() if name != "id"}
    params = message.get("params")
    if isinstance(params, dict) and "_meta" in params:
        meta = params["_meta"]
        if not isinstance(meta, dict) or "progressToken" in meta:
            return "session"
        message["params"] = _trim(params, meta)
    return Body("mcp", write(message))


def _trim(params: Mapping[str, Any], meta: Mapping[str, Any]) -> dict[str, Any]:
    left = {name: value for name, value in meta.items() if name not in _INDIFFERENT}
    trimmed = {name: value for name, value in params.items() if name != "_meta"}
    return {**trimmed, "_meta": left} if left else trimmed


def _find(headers: Headers, wanted: bytes) -> bytes:
    return b",".join(value.lower() for name, value in headers if name.lower() == wanted)


def _is_json(content_type: bytes) -> bool:
    media_type = content_type.partition(b";")[0].strip()
    return media_type == b"application/json" or media_type.endswith(b"+json")
