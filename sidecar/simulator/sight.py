"""What a caller sees of its call: the third account beside the provider's ledger and the sidecar's records."""

import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from hashlib import sha256
from types import MappingProxyType
from typing import TYPE_CHECKING, Any, Final, NamedTuple

import msgspec

from sidecar.simulator.errands import Errand
from sidecar.simulator.tools import TOOLS_ROUTE

if TYPE_CHECKING:
    from aiohttp import ClientResponse

_EVENT_BYTES_MAX: Final = 1 << 24
_STREAM_TYPES: Final = ("text/event-stream", "application/x-ndjson")
_TOKEN_MEMBERS: Final = ("content", "refusal", "reasoning_content", "reasoning", "tool_calls")
_ENDS_OF_RESPONSE: Final = ("response.completed", "response.incomplete")

Tree = dict[str, Any]


class Sight(NamedTuple):
    """What one caller saw of its call."""

    number: int
    kind: str
    status: int | None  # None: no answer
    is_complete: bool  # the answer came to its end, as far as the caller can tell
    has_left: bool  # the caller hung up
    error: str | None  # what went wrong: the name of an exception, or of an error in the answer
    usage: Tree | None  # as the provider told it last
    body_sha256: str
    body_bytes: int
    started_s: float
    first_byte_s: float | None  # all times on the monotonic clock
    first_token_s: float | None  # of a stream
    ended_s: float
    chunks: int  # events of a stream, [DONE] not counted
    is_stream: bool = False


class _Told(NamedTuple):
    """What an answer, or an event of one, says."""

    holds_token: bool = False  # anything that a model wrote: a role alone is nothing
    is_end: bool = False
    usage: Tree | None = None


def _read_openai(tree: Tree) -> _Told:
    kind = str(tree.get("type"))
    if kind.startswith("response."):  # an event of responses
        usage = _object_of(tree.get("response")).get("usage")
        return _Told(kind.endswith(".delta"), kind in _ENDS_OF_RESPONSE, _object_of(usage) or None)
    choices = tree.get("choices") or ()
    return _Told(
        any(_holds_token(choice) for choice in choices), any(choice.get("finish_reason") for choice in choices),
        _object_of(tree.get("usage")) or None,
    )  # fmt: skip


def _holds_token(choice: Tree) -> bool:
    delta = choice.get("delta") or {}
    return bool(choice.get("text") or any(delta.get(member) for member in _TOKEN_MEMBERS))


def _read_anthropic(tree: Tree) -> _Told:
    delta = _object_of(tree.get("delta"))
    usage = tree.get("usage") or _object_of(tree.get("message")).get("usage")
    is_token = any(delta.get(member) for member in ("text", "thinking", "partial_json"))
    return _Told(is_token, tree.get("type") == "message_stop", _object_of(usage) or None)


def _read_gemini(tree: Tree) -> _Told:
    candidates = tree.get("candidates") or ()
    parts = [part for candidate in candidates for part in _object_of(candidate.get("content")).get("parts") or ()]
    return _Told(
        any(part.get("text") or part.get("functionCall") for part in parts), any(each.get("finishReason") for each in candidates),
        _object_of(tree.get("usageMetadata")) or None,
    )  # fmt: skip


def _read_ollama(tree: Tree) -> _Told:
    message = _object_of(tree.get("message"))
    is_token = any(message.get(member) for member in ("content", "thinking", "tool_calls")) or bool(tree.get("response"))
    is_end = tree.get("done") is True
    return _Told(is_token, is_end, {name: tree[name] for name in tree if name.endswith("_count")} if is_end else None)


def _read_tool(tree: Tree) -> _Told:
    return _Told()


_READERS: Final[Mapping[str, Callable[[Tree], _Told]]] = MappingProxyType({
    "openai": _read_openai, "openrouter": _read_openai, "anthropic": _read_anthropic, "gemini": _read_gemini, "ollama": _read_ollama,
    TOOLS_ROUTE: _read_tool,
})  # fmt: skip


def _object_of(value: object) -> Tree:
    return value if isinstance(value, dict) else {}


class View:
    """An answer as its caller reads it."""

    def __init__(self, errand: Errand) -> None:
        self._errand = errand
        self._read_told = _READERS[errand.route]
        self._started_s = time.monotonic()
        self._first_byte_s: float | None = None
        self._first_token_s: float | None = None
        self._status: int | None = None
        self._is_stream = False
        self._digest = sha256()
        self._bytes = 0
        self._held = bytearray()
        self._chunks = 0
        self._is_done = False
        self._usage: Tree | None = None
        self._error: str | None = None
        self.has_left = False

    def meet(self, response: "ClientResponse") -> None:
        """The head of the answer."""
        self._status = response.status
        self._is_stream = response.content_type in _STREAM_TYPES

    @property
    def has_enough(self) -> bool:
        """This caller leaves now."""
        after = self._errand.leaves_after_chunks
        self.has_left = after is not None and self._is_stream and self._chunks >= after
        return self.has_left

    def read(self, piece: bytes) -> None:
        """A piece of the body."""
        if self._first_byte_s is None:
            self._first_byte_s = time.monotonic()
        self._digest.update(piece)
        self._bytes += len(piece)
        if len(self._held) + len(piece) <= _EVENT_BYTES_MAX:
            self._held += piece
        if self._is_stream:
            for data in _events_in(self._take_lines()):
                self._read_event(data)

    def _take_lines(self) -> Iterable[bytes]:
        *whole, rest = bytes(self._held).split(b"\n")
        self._held = bytearray(rest)
        return whole

    def _read_event(self, data: bytes) -> None:
        if data == b"[DONE]":
            self._is_done = True
            return
        self._chunks += 1
        self._read_tree(data)

    def _read_tree(self, data: bytes) -> None:
        try:
            tree = msgspec.json.decode(data)
        except (msgspec.DecodeError, UnicodeDecodeError):
            return
        if not isinstance(tree, dict):
            return
        error = tree.get("error")
        if isinstance(error, dict):
            self._error = str(error.get("code") or error.get("type"))
        elif error or tree.get("type") == "error":
            self._error = str(error or tree.get("code"))
        told = self._read_told(tree)
        self._usage = told.usage or self._usage
        self._is_done |= told.is_end
        if told.holds_token and self._first_token_s is None:
            self._first_token_s = time.monotonic()

    def tell(self, failure: str | None) -> Sight:
        """Close the view."""
        if not self._is_stream:
            self._read_tree(bytes(self._held))
        error = failure or self._error
        is_complete = failure is None and not self.has_left and self._status is not None and (self._is_done or not self._is_stream)
        return Sight(
            self._errand.number, self._errand.kind, self._status, is_complete and error is None, self.has_left, error, self._usage,
            self._digest.hexdigest(), self._bytes, self._started_s, self._first_byte_s,
            self._first_token_s if self._is_stream else None, time.monotonic(), self._chunks, self._is_stream,
        )  # fmt: skip


def _events_in(lines: Iterable[bytes]) -> Iterator[bytes]:
    """The data of server-sent events, each in one line, or lines of JSON; comments and names are passed over."""
    for line in lines:
        text = line.rstrip(b"\r")
        if text.startswith(b"data: "):
            yield text[6:]
        elif text.startswith(b"{") and text.endswith(b"}"):
            yield text
