"""OpenAI responses, also as OpenRouter, Azure, vLLM and others speak them, and the replay of stored ones.

A stream of this form names each event in its data's `type`. Text comes in deltas that tell nothing
else, and the last event repeats the whole response with its status and usage. The form has no finish
reasons; they are made of the status, in the words of chat completions:

| status | finish reason |
|---|---|
| completed | `tool_calls` where the last item of the output is a call that the caller has to make, else `stop` |
| incomplete | `length` for max_output_tokens, else the provider's reason (content_filter, …), else `incomplete` |
| failed, cancelled | none, which is shown as `error` where one was to come |
| queued, in_progress | none: a response in the background, whose answer is complete all the same |
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final

import msgspec

from sidecar.core.observe.contract import Splitter
from sidecar.core.observe.dialects.openai_form import describe_error, name_error, write_error
from sidecar.core.observe.dialects.openai_request import read_request
from sidecar.core.observe.dialects.openai_usage import read_cost
from sidecar.core.observe.salvage import UNREADABLE, parse_leniently, salvage
from sidecar.core.observe.sse import EventSplitter
from sidecar.core.observe.text import OTHER, name_reason, read_code, read_identifier
from sidecar.core.observe.usage import read_count, read_totals, split_usage
from sidecar.errors import ErrorKind
from sidecar.exchange import Asked, Seen, Usage

_DONE: Final = b"[DONE]"
_LENGTH_REASONS: Final = {"max_output_tokens": "length"}
_ENDS: Final = {
    "response.completed": "completed",
    "response.incomplete": "incomplete",
    "response.failed": "failed",
    "response.cancelled": "cancelled",
}
_KEEPALIVES: Final = frozenset({"keepalive", "ping"})
# Items of the output that wait for the caller.
_CALLS: Final = frozenset(
    {"function_call", "custom_tool_call", "computer_call", "local_shell_call", "shell_call", "apply_patch_call"}
)  # fmt: skip
# What the model itself brings forth. The output of tools (shell_call_output_content) is not among it.
_DELTAS: Final = (
    "response.output_text.delta", "response.reasoning_summary_text.delta", "response.reasoning_text.delta",
    "response.function_call_arguments.delta", "response.custom_tool_call_input.delta", "response.refusal.delta",
    "response.mcp_call_arguments.delta", "response.code_interpreter_call_code.delta", "response.audio.delta",
    "response.audio.transcript.delta", "response.shell_call_command.delta",
)  # fmt: skip
# Some servers send a text or the arguments of a call in one go, without deltas.
_OUTPUTS: Final = frozenset(
    {*_DELTAS, "response.output_text.done", "response.refusal.done", "response.function_call_arguments.done",
     "response.reasoning_text.done", "response.image_generation_call.partial_image"}
)  # fmt: skip
# An event that begins with its type, as OpenAI's do, need not be parsed to be known as a delta.
_ORDINARY: Final = tuple(b'{"type":"%b"' % name.encode() for name in _DELTAS)
_TYPE: Final = re.compile(rb'\s*\{\s*"type"\s*:\s*"([a-z_.]+)"')


class _Item(msgspec.Struct, gc=False):
    type: Any = None


class _Incomplete(msgspec.Struct, gc=False):
    reason: Any = None


class _Response(msgspec.Struct, gc=False):
    """A response as a whole. Of its output only the types of the items are read."""

    id: Any = None
    model: Any = None
    status: Any = None
    service_tier: Any = None
    error: Any = None
    incomplete_details: _Incomplete | None = None
    output: tuple[_Item, ...] | None = None
    usage: Any = None


class _Event(msgspec.Struct, gc=False):
    """An event of a stream, once output was seen."""

    type: Any = None
    response: _Response | None = None
    error: Any = None
    code: Any = None


class _Opening(_Event, gc=False):
    """An event before that."""

    delta: Any = None
    text: Any = None
    refusal: Any = None
    arguments: Any = None
    partial_image_b64: Any = None


_decode_response = msgspec.json.Decoder(_Response).decode
_decode_event = msgspec.json.Decoder(_Event).decode
_decode_opening = msgspec.json.Decoder(_Opening).decode


class OpenAIResponses:
    """The dialect of /responses. The answer to a request with `background` has no usage yet."""

    name = "openai_responses"
    operation = "chat"
    splitters: Mapping[str, Callable[[int], Splitter]] = {"text/event-stream": EventSplitter}
    is_inference = True

    def ask(self, body: bytes, path: str) -> Asked:
        """Peek at a request body. Never raises."""
        return read_request(body)

    def read_whole(self, body: bytes, seen: Seen) -> None:
        """Note what a complete answer or error body says. Raises ValueError where it is not JSON."""
        try:
            response = _decode_response(body)
        except UNREADABLE:
            response = salvage(parse_leniently(body), _Response)
        seen.terminated = True  # JSON that can be read to its end is whole
        self._note_response(response, seen)
        status = read_code(response.status)
        reason = _name_reason(response, status)
        seen.finish_reasons = [] if reason is None else [reason]
        if status is None or self.is_inference:
            _note_failure(response.error, status, seen)

    def read_event(self, event: bytes, seen: Seen, now: float) -> None:
        """Note what one event says, and count it unless it only keeps the connection open. Never raises."""
        opening = seen.first_token is None and self.is_inference
        if not opening and event.startswith(_ORDINARY):
            seen.chunks += 1
            return
        found: _Event
        try:
            found = _decode_opening(event) if opening else _decode_event(event)
        except UNREADABLE:
            if event.lstrip().startswith(_DONE):
                seen.terminated = seen.answered = True
                return
            found = _salvage_event(event)
        kind = found.type
        if isinstance(kind, str):
            if kind in _KEEPALIVES:
                return
            if opening and kind in _OUTPUTS and _has_output(found):
                seen.first_token = now
        seen.chunks += 1
        if not seen.choices:
            seen.choices[0] = None
        if found.response is not None:
            self._note_response(found.response, seen)
        if isinstance(kind, str) and kind in _ENDS:
            self._note_end(found.response or _Response(), _ENDS[kind], seen)
        elif kind == "error" or found.error:
            seen.error_type = name_error(found.error or {"code": found.code})

    def settle(self, seen: Seen) -> None:
        """Do nothing: usage is told once, at the end."""

    def outline(self, event: bytes) -> tuple[bytes, ...] | None:
        """Every event has a number of its own: none is like another."""
        return None

    def refusal(self, kind: ErrorKind, message: str, asked: Asked) -> bytes:
        """Return the JSON body of an answer of our own."""
        return write_error(kind, message)

    def stream_error(self, kind: ErrorKind, message: str, asked: Asked, media_type: str) -> bytes:
        """Return an event of the type `error` that OpenAI's clients raise.

        They raise what has an `error` member, and hand on as an ordinary event what has only the
        members that are documented: ours has both. It has no place among the provider's events, so its
        number is 0. The blank line before it ends an event that was broken off.
        """
        if media_type not in self.splitters:
            return b""
        error = describe_error(kind, message)
        event = {"type": "error", "sequence_number": 0, "code": kind.id, "message": message, "param": None, "error": error}
        return b"\n\nevent: error\ndata: " + msgspec.json.encode(event) + b"\n\n"

    def _note_response(self, response: _Response, seen: Seen) -> None:
        if seen.model is None:
            seen.model = read_identifier(response.model)
        if seen.response_id is None:
            seen.response_id = read_identifier(response.id)
        if response.service_tier is not None and response.service_tier != "auto":  # auto: not decided yet
            seen.service_tier = read_code(response.service_tier) or seen.service_tier
        if response.usage is not None and self.is_inference:
            usage = read_usage(response.usage)
            if usage is not None:
                seen.usage = usage
                seen.cost_usd = read_cost(response.usage)

    def _note_end(self, response: _Response, status: str, seen: Seen) -> None:
        """The last event names the status; the response within should say the same, but need not be there."""
        seen.terminated = seen.answered = True
        told = read_code(response.status)
        status = told if told in _ENDS.values() and told is not None else status
        seen.choices[0] = _name_reason(response, status)
        if self.is_inference:
            _note_failure(response.error, status, seen)


class OpenAIResponsesFetch(OpenAIResponses):
    """The dialect of GET /responses/{response_id}: a stored response, again.

    What it cost was told when it was made, so tokens, cost and first token are none of this call's,
    and that it had failed then is no failure of this call.
    """

    name = "openai_responses_fetch"
    operation = "fetch_response"
    is_inference = False


def read_usage(value: object) -> Usage | None:
    """Return this form's usage object as disjoint kinds; None where it holds no counts.

    input_tokens include cached ones, output_tokens include reasoning.
    """
    if not isinstance(value, dict):
        return None
    totals = read_totals(value.get("input_tokens"), value.get("output_tokens"))
    if totals is None:
        return None
    given, made = totals
    inputs, outputs = value.get("input_tokens_details"), value.get("output_tokens_details")
    read, written = _read_detail(inputs, "cached_tokens"), _read_detail(inputs, "cache_write_tokens")
    return split_usage(given, read, written, made, _read_detail(outputs, "reasoning_tokens"))


def _read_detail(details: object, member: str) -> int:
    return read_count(details.get(member)) or 0 if isinstance(details, dict) else 0


def _name_reason(response: _Response, status: str | None) -> str | None:
    """Return the finish reason by the table above."""
    if status == "completed":
        items = response.output
        last = items[-1].type if items else None
        return "tool_calls" if isinstance(last, str) and last in _CALLS else "stop"
    if status == "incomplete":
        details = response.incomplete_details
        reason = None if details is None else name_reason(details.reason)
        return _LENGTH_REASONS.get(reason or "", reason or "incomplete")
    return None


def _note_failure(error: object, status: str | None, seen: Seen) -> None:
    if error:
        seen.error_type = name_error(error)
    elif status == "failed":
        seen.error_type = OTHER


def _has_output(event: _Event) -> bool:
    return isinstance(event, _Opening) and bool(
        event.delta or event.text or event.refusal or event.arguments or event.partial_image_b64
    )  # fmt: skip


def _salvage_event(event: bytes) -> _Opening:
    """Read an event member by member; of one that cannot be read at all, the type where it stands first."""
    try:
        value = parse_leniently(event)
    except ValueError:
        found = _TYPE.match(event)
        return _Opening() if found is None else _Opening(type=found[1].decode())
    opening = salvage(value, _Opening)
    if opening.response is None and isinstance(value, dict):
        opening.response = salvage(value.get("response"), _Response)
    return opening
