"""Anthropic messages, also as OpenRouter, Ollama, vLLM and others speak them.

A stream tells its usage twice: `message_start` has the input and a first, small count of output,
`message_delta` the running totals, and may restate any of the others. Of each count the last that
was told is the one. Only `message_stop` is the end.
"""

from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.anthropic_request import read_request
from sidecar.core.observe.dialects.openai_form import name_error as name_form_error
from sidecar.core.observe.dialects.openai_usage import read_cost
from sidecar.core.observe.outline import outline_text
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.sse import EventSplitter
from sidecar.core.observe.text import name_reason, read_code, read_identifier
from sidecar.core.observe.usage import read_count
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen, Usage

_DONE: Final = b"[DONE]"  # vLLM and OpenRouter send it here too
_TEXT_KEYS: Final = tuple(b'"%b":%b"' % (name, space) for name in (b"text", b"thinking", b"partial_json") for space in (b"", b" "))
_ERROR_TYPES: Final = {
    401: "authentication_error",
    402: "billing_error",
    403: "permission_error",
    404: "not_found_error",
    409: "conflict_error",
    413: "request_too_large",
    429: "rate_limit_error",
    503: "overloaded_error",
    504: "timeout_error",
    529: "overloaded_error",
}


class _Delta(msgspec.Struct, gc=False):
    stop_reason: Any = None


class _Event(msgspec.Struct, gc=False):
    """An event of a stream, once its beginning is known: of a delta all output is skipped."""

    type: str = ""
    delta: _Delta | None = None
    usage: Any = None
    error: Any = None


class _Output(_Delta, gc=False):
    """A delta, or the beginning of a block, with what a model may have written in it."""

    text: Any = None
    thinking: Any = None
    partial_json: Any = None
    content: Any = None  # of a compaction
    data: Any = None  # of redacted thinking
    name: Any = None  # of a tool
    type: Any = None

    @property
    def has_token(self) -> bool:
        """Whether there is output: signatures, citations and results of the provider's own tools are none."""
        if self.text or self.thinking or self.partial_json:
            return True
        kind = self.type
        return (
            bool(self.name and type(kind) is str and kind.endswith("tool_use"))
            or bool(self.data and kind == "redacted_thinking")
            or bool(self.content and kind in ("compaction", "compaction_delta"))
        )


class _Message(msgspec.Struct, gc=False):
    """The message, whole or at a stream's beginning."""

    id: Any = None
    model: Any = None
    stop_reason: Any = None
    usage: Any = None
    error: Any = None


class _Opening(_Event, gc=False):
    delta: _Output | None = None
    message: _Message | None = None
    content_block: _Output | None = None


class AnthropicMessages:
    """The dialect of /messages."""

    name = "anthropic_messages"
    operation = "chat"
    splitters: Mapping[str, Callable[[int], Splitter]] = {"text/event-stream": EventSplitter}

    def __init__(self) -> None:
        self._decode_message = msgspec.json.Decoder(_Message).decode
        self._decode_event = msgspec.json.Decoder(_Event).decode
        self._decode_opening = msgspec.json.Decoder(_Opening).decode

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request body. Never raises."""
        return read_request(body)

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete answer or error body says. Raises ValueError where it is not JSON."""
        try:
            message = self._decode_message(body)
        except UNREADABLE:
            message = salvage(parse_leniently(body), _Message)
        _note_message(message, seen)
        reason = name_reason(message.stop_reason)
        seen.finish_reasons = [reason] if reason else []
        seen.terminated = True  # JSON that can be read to its end is whole
        if message.error:
            seen.error_type = name_error(message.error)
        if seen.running is not None:
            self.settle(seen)
            seen.running = None

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one event says, and count it if it is a chunk: pings and the end are none. Never raises."""
        opening = seen.first_token is None or seen.model is None
        said: _Event
        try:
            said = self._decode_opening(event) if opening else self._decode_event(event)
        except UNREADABLE:
            if event.lstrip().startswith(_DONE):
                seen.terminated = seen.answered = True
                return
            said = _salvage_event(event)
        kind = said.type
        if kind == "content_block_delta" and not opening:
            seen.chunks += 1  # nearly always
        elif kind == "message_stop":
            seen.terminated = seen.answered = True
        elif kind != "ping":
            seen.chunks += 1
            _note_event(said, seen, now)

    def settle(self, seen: Seen) -> None:
        """Add what was billed beside the message: compactions of its context, and another model's advice."""
        for part in seen.running:
            kind = part.get("type") if isinstance(part, dict) else None
            if kind not in ("compaction", "advisor_message") or seen.usage is None:
                continue
            beside = Seen()
            _note_usage(part, beside)
            if beside.usage is not None:
                seen.usage = Usage(*(one + more for one, more in zip(seen.usage, beside.usage, strict=True)))
                seen.cache_write_1h += beside.cache_write_1h
                if kind == "advisor_message":
                    seen.unpriced = "several_models"

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Return what stands before and after the text of a delta that brings nothing but text."""
        try:
            said = self._decode_opening(event)
        except UNREADABLE:
            return None
        delta = said.delta
        if said.type != "content_block_delta" or delta is None:
            return None
        return outline_text(event, _TEXT_KEYS, delta.text or delta.thinking or delta.partial_json)

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own."""
        return _write_error(kind, message)

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return an event that Anthropic's clients raise as an error.

        An event that was broken off is made a ping, which they pass over, before the blank line ends
        it: under its own name they would try to read its half of JSON.
        """
        if media_type not in self.splitters:
            return b""
        return b"\nevent: ping\n\nevent: error\ndata: " + _write_error(kind, message) + b"\n\n"


def _note_event(said: _Event, seen: Seen, now: float) -> None:
    if isinstance(said, _Opening):
        if said.message is not None:
            _note_message(said.message, seen)
        if seen.first_token is None and any(each is not None and each.has_token for each in (said.delta, said.content_block)):
            seen.first_token = now
    if said.type in _ANSWERING:
        seen.choices.setdefault(0, None)
    if said.type == "message_delta" and said.delta is not None:
        reason = name_reason(said.delta.stop_reason)
        if reason is not None:
            seen.choices[0] = reason
            seen.finish_reasons = [reason]
    _note_usage(said.usage, seen)
    if said.error or said.type == "error":
        seen.error_type = name_error(said.error)


_ANSWERING: Final = frozenset({"message_start", "content_block_start", "content_block_delta", "message_delta"})


def _note_message(message: _Message, seen: Seen) -> None:
    if seen.model is None:
        seen.model = read_identifier(message.model)
    if seen.response_id is None:
        seen.response_id = read_identifier(message.id)
    _note_usage(message.usage, seen)


def _note_usage(value: object, seen: Seen) -> None:
    """Put the counts that are told in the place of those told before. Input is without cached tokens."""
    if not isinstance(value, dict):
        return
    # Fast mode has prices of its own, like a tier, though it is told by a member of its own.
    tier = "fast" if value.get("speed") == "fast" else read_code(value.get("service_tier"))
    seen.service_tier = tier or seen.service_tier
    cost_usd = read_cost(value)
    if cost_usd is not None:
        seen.cost_usd = cost_usd
    if isinstance(value.get("iterations"), list):
        seen.running = value["iterations"]
    before = seen.usage or Usage()
    told = [read_count(value.get(name)) for name in ("input_tokens", "cache_read_input_tokens", "output_tokens")]
    written, kept = _read_written(value)
    if written is None and told == [None, None, None]:
        return
    uncached, read, output = (
        old if new is None else new for new, old in zip(told, (before.input, before.cache_read, before.output_total), strict=True)
    )
    if written is None:
        written = before.cache_write
    details = value.get("output_tokens_details")
    thought = read_count(details.get("thinking_tokens")) if isinstance(details, dict) else None
    reasoning = min(before.reasoning if thought is None else thought, output)
    seen.usage = Usage(uncached, read, written, output - reasoning, reasoning)
    seen.cache_write_1h = min(seen.cache_write_1h if kept is None else kept, written)


def _read_written(usage: Mapping[str, Any]) -> tuple[int | None, int | None]:
    """Return the tokens written to the cache, and how many of them for an hour; None where it is not told."""
    written = read_count(usage.get("cache_creation_input_tokens"))
    parts = usage.get("cache_creation")
    if not isinstance(parts, dict):
        return written, None
    short, long = read_count(parts.get("ephemeral_5m_input_tokens")), read_count(parts.get("ephemeral_1h_input_tokens"))
    if written is None and not (short is None and long is None):
        written = (short or 0) + (long or 0)
    return written, long


def _salvage_event(event: bytes) -> _Event:
    """Return what can be read of an event that is not as it should be."""
    try:
        value = parse_leniently(event)
    except ValueError:
        return _Event()
    said = salvage(value, _Opening)
    if isinstance(value, dict):
        for member, kind in (("delta", _Output), ("content_block", _Output), ("message", _Message)):
            if getattr(said, member) is None and isinstance(value.get(member), dict):
                setattr(said, member, salvage(value[member], kind))
    return said


def name_error(error: object) -> str:
    """Return a low-cardinality name for the `error` member: the code of its cause, else its type."""
    details = error.get("details") if isinstance(error, dict) else None
    code = read_code(details.get("error_code")) if isinstance(details, dict) else None
    return code or name_form_error(error)


def _write_error(kind: ErrorKind, message: str) -> bytes:
    """Return an error body as Anthropic's clients read it; our id stands where theirs name a cause."""
    usual = "invalid_request_error" if kind.status < 500 else "api_error"
    error = {"type": _ERROR_TYPES.get(kind.status, usual), "message": message, "details": {"error_code": kind.id}}
    return msgspec.json.encode({"type": "error", "error": error})
