"""MCP over streamable HTTP: JSON-RPC 2.0 messages to a tool server, and their answers as JSON or as a stream.

Facts: Model Context Protocol, transports and tools, revisions 2025-03-26 to 2026-07-28. An exchange
has an `Mcp` of its own, for what its answer means depends on which requests it has to answer.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.sse import EventSplitter
from sidecar.core.observe.text import OTHER, read_code, read_identifier
from sidecar.errors import ErrorKind, Origin
from sidecar.exchange import Asked, Seen

CALL: Final = "tools/call"
SEVERAL: Final = "_several"  # in place of a name, where a batch of messages names more than one
REQUESTS_MAX: Final = 100  # of one batch that are told apart; an answer to more is not read
_ID_CHARS_MAX: Final = 256
# A longer list of messages passes unread: each of them becomes an object, and the smallest takes three bytes.
_LIST_BYTES_MAX: Final = 1024 * 1024
_VERSION: Final = "2.0"
_MARK: Final = b'"jsonrpc"'  # not in a body that is no JSON-RPC, which is then not parsed
# Streams of what may happen some time: they last as long as both sides do.
_ENDLESS: Final = frozenset({"subscriptions/listen"})

TOOL_ERROR: Final = "tool_error"
OTHER_ERROR: Final = "jsonrpc_other"
# JSON-RPC 2.0 section 5.1, and those that MCP and its SDKs define. Any other is a server's own invention.
_CODES: Final = frozenset({-32700, -32600, -32601, -32602, -32603, -32000, -32001, -32002, -32020, -32021, -32022, -32042})
_INVALID_REQUEST, _SERVER_ERROR, _TIMED_OUT = -32600, -32000, -32001

_Id = tuple[type, str | int | float]  # 1 and "1" are different ids, 1 and 1.0 are too


class _Params(msgspec.Struct, gc=False):
    name: Any = None


class _Request(msgspec.Struct, gc=False):
    """A message of a caller, as far as it is looked at: arguments are skipped, not decoded."""

    jsonrpc: Any = None
    id: Any = None
    method: Any = None
    params: _Params | None = None


class _Result(msgspec.Struct, gc=False):
    isError: Any = None


class _Error(msgspec.Struct, gc=False):
    code: Any = None


class _Reply(msgspec.Struct, gc=False):
    """A message of a server. One with a method is a notification, or a request to the caller."""

    id: Any = None
    method: Any = None
    result: _Result | list[msgspec.Raw] | str | int | float | bool | None = None
    error: _Error | list[msgspec.Raw] | str | int | float | bool | None = None


_decode_request = msgspec.json.Decoder(_Request).decode
_decode_requests = msgspec.json.Decoder(list[_Request]).decode
_decode_reply = msgspec.json.Decoder(_Reply).decode
_decode_replies = msgspec.json.Decoder(list[_Reply]).decode


class _Stream:
    """The stream that an exchange's answer is, if it is one. Apart from its dialect, so that they make no cycle."""

    __slots__ = ("_splitter",)

    def __init__(self) -> None:
        self._splitter: EventSplitter | None = None

    def split(self, bytes_max: int) -> Splitter:
        """Return what takes it apart."""
        self._splitter = EventSplitter(bytes_max)
        return self._splitter

    @property
    def is_resumable(self) -> bool:
        """Whether an event had an id."""
        return self._splitter is not None and self._splitter.identified


class Mcp:
    """The dialect of one exchange with an MCP server."""

    name = "mcp"
    operation = "http"  # unless a tool is called
    __slots__ = ("_calls", "_is_batch", "_pending", "_stream", "awaits", "is_spoken", "splitters")

    splitters: Mapping[str, Callable[[int], Splitter]]

    def __init__(self) -> None:
        self._stream = _Stream()
        self.splitters = {"text/event-stream": self._stream.split}
        self._pending: dict[_Id, object] = {}  # requests without an answer: the id as it is told in JSON
        self._is_batch = False
        self._calls = False  # a tool, so that a result may say that it failed
        self.is_spoken = False  # what was asked is JSON-RPC
        self.awaits = False  # there are requests, few enough and with ids that can be told apart

    def ask(self, body: bytes, path: str) -> Asked:
        """Note what the answer has to answer. Never raises."""
        if _MARK not in body:
            return Asked()
        self._is_batch = _is_list(body)
        if self._is_batch and len(body) > _LIST_BYTES_MAX:
            return Asked()
        try:
            requests = _decode_requests(body) if self._is_batch else [_decode_request(body)]
        except UNREADABLE:
            requests = _salvage_requests(body)
        if not requests or not all(request.jsonrpc == _VERSION for request in requests):
            return Asked()
        self.is_spoken = True
        requests = [request for request in requests if type(request.method) is str]
        calls = [request for request in requests if request.method == CALL]
        self._await([request for request in requests if request.id is not None])
        self._calls = bool(calls)
        tools = {read_identifier(call.params.name if call.params is not None else None) or OTHER for call in calls}
        return Asked(tool=_join(tools), mcp_method=_join({read_code(request.method) or OTHER for request in requests}))

    def _await(self, requests: list[_Request]) -> None:
        ids = [_read_id(request.id) for request in requests[: REQUESTS_MAX + 1]]
        self.awaits = 0 < len(ids) <= REQUESTS_MAX and None not in ids
        if self.awaits:
            self._pending = {each: each[1] for each in ids if each is not None}

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what the complete answer says. Raises ValueError where it is not JSON."""
        for reply in _read_replies(body):
            self._note(reply, seen)
        seen.terminated = True

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one event says: the stream is complete when each request has its response. Never raises.

        Once an event had an id, a caller can ask for what follows it; a server may then end the stream as it likes.
        """
        seen.resumable = self._stream.is_resumable
        try:
            replies = _read_replies(event)
        except ValueError:
            return  # an event without a message: it only tells an id from which to go on
        for reply in replies:
            self._note(reply, seen)
        seen.terminated = seen.answered = not self._pending

    def _note(self, reply: _Reply, seen: Seen) -> None:
        if reply.method is not None:
            return
        id_ = _read_id(reply.id)
        if id_ is None and reply.error is not None:
            self._pending.clear()  # the server could not tell which: all that was asked has failed
        elif id_ is None or self._pending.pop(id_, None) is None:
            return
        if reply.error is not None:
            seen.error_type = name_error(reply.error)
        elif self._calls and isinstance(reply.result, _Result) and reply.result.isError is True:
            seen.error_type = TOOL_ERROR

    def settle(self, seen: Seen) -> None:
        """Do nothing: no usage is told."""

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """No event is like the one before."""
        return None

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return a JSON-RPC error for each request that has no answer yet."""
        errors = [_write_error(id_, kind, message) for id_ in self._pending.values()] or [_write_error(None, kind, message)]
        return msgspec.json.encode(errors if self._is_batch else errors[0])

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return an event with a JSON-RPC error for each request that has no answer yet; nothing where the caller can go on.

        The blank line before it ends an event that was broken off, so that ours stands alone.
        """
        if self._stream.is_resumable:
            return b""
        errors = (msgspec.json.encode(_write_error(id_, kind, message)) for id_ in self._pending.values())
        return b"".join(b"\n\nevent: message\ndata: " + error + b"\n\n" for error in errors)


def is_endless(asked: Asked) -> bool:
    """Whether what was asked is answered by a stream that lasts as long as both sides do."""
    return asked.mcp_method in _ENDLESS


def name_error(error: object) -> str:
    """Return a name of low cardinality for the `error` member of a response."""
    code = error.code if isinstance(error, _Error) else None
    return f"jsonrpc_{code}" if type(code) is int and code in _CODES else OTHER_ERROR


def _write_error(id_: object, kind: ErrorKind, message: str) -> dict[str, object]:
    code = _INVALID_REQUEST if kind.origin is Origin.CLIENT else _TIMED_OUT if kind.status == 504 else _SERVER_ERROR
    return {"jsonrpc": _VERSION, "id": id_, "error": {"code": code, "message": message, "data": {"id": kind.id}}}


def _join(names: set[str]) -> str | None:
    return SEVERAL if len(names) > 1 else next(iter(names), None)


def _read_id(value: object) -> _Id | None:
    if type(value) is str:
        # A lone surrogate could not be told again.
        return (str, value) if len(value) <= _ID_CHARS_MAX and value.encode("utf-8", "replace").decode() == value else None
    return (type(value), value) if type(value) is int or type(value) is float else None


def _salvage_requests(body: bytes) -> list[_Request]:
    try:
        value = parse_leniently(body)
    except ValueError:
        return []
    return [_salvage_request(each) for each in (value if isinstance(value, list) else [value])]


def _salvage_request(value: object) -> _Request:
    request = salvage(value, _Request)
    if request.params is None and isinstance(value, dict):
        request.params = salvage(value.get("params"), _Params)
    return request


def _is_list(data: bytes) -> bool:
    return data.lstrip()[:1] == b"["


def _read_replies(data: bytes) -> list[_Reply]:
    """Return the messages in `data`, none of a list that is too long. Raises ValueError where it is not JSON."""
    is_batch = _is_list(data)
    if is_batch and len(data) > _LIST_BYTES_MAX:
        return []
    try:
        return _decode_replies(data) if is_batch else [_decode_reply(data)]
    except UNREADABLE:
        value = parse_leniently(data)
        return [salvage(each, _Reply) for each in (value if isinstance(value, list) else [value])]
