"""What is said in OpenAI responses: items in, items out, and a stream of deltas named by type."""

from typing import Any, Final

from sidecar.core.observe.contents.contract import Message, Part, Prompt
from sidecar.core.observe.contents.parts import (
    as_dict,
    as_list,
    blob,
    file,
    message,
    other,
    parse,
    reasoning,
    text,
    texts,
    tool_call,
    tool_response,
    typed,
    uri,
)  # fmt: skip
from sidecar.core.observe.contents.transcript import Transcript

# Events whose `delta` is text, and the kind of part it belongs to.
_DELTAS: Final = {
    "response.output_text.delta": "text",
    "response.audio.transcript.delta": "text",
    "response.refusal.delta": "refusal",
    "response.reasoning_text.delta": "reasoning",
    "response.reasoning_summary_text.delta": "reasoning",
    "response.function_call_arguments.delta": "tool_call",
    "response.custom_tool_call_input.delta": "tool_call",
    "response.mcp_call_arguments.delta": "tool_call",
    "response.code_interpreter_call_code.delta": "code",
}
_CALLS: Final = ("function_call", "custom_tool_call", "mcp_call")
_TERMINAL: Final = ("response.completed", "response.incomplete", "response.failed")
_ROLES: Final = {"function_call_output": "tool", "custom_tool_call_output": "tool"}


class OpenAIResponsesContent:
    """Reads the bodies of /responses."""

    def read_request(self, body: bytes) -> Prompt:
        """Return instructions apart, the input's items as messages."""
        request = as_dict(parse(body))
        given = request.get("input")
        messages = [message("user", text(given))] if isinstance(given, str) else [_read_item(as_dict(item)) for item in as_list(given)]
        return Prompt(texts(request.get("instructions")), messages, as_list(request.get("tools")))

    def read_whole(self, body: bytes) -> list[Message]:
        """Return the output's items as the parts of one message."""
        return _read_output(as_dict(parse(body)))

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add a delta; of a terminal event the output, where no delta brought it."""
        told = as_dict(parse(event))
        type_ = told.get("type")
        kind = _DELTAS.get(type_) if isinstance(type_, str) else None
        if kind is not None:
            inner = 0 if kind == "tool_call" else str(told.get("summary_index", told.get("content_index", 0)))
            transcript.add(told.get("delta"), kind, 0, (str(told.get("output_index")), inner))
        elif type_ == "response.output_item.added":
            item = as_dict(told.get("item"))
            if item.get("type") in _CALLS:
                slot = (str(told.get("output_index")), 0)
                transcript.begin("tool_call", 0, slot, id_=item.get("call_id") or item.get("id"), name=item.get("name"))
        elif type_ in _TERMINAL and transcript.is_empty:
            _retell(_read_output(as_dict(told.get("response"))), transcript)


def _retell(messages: list[Message], transcript: Transcript) -> None:
    for part in (part for one in messages for part in one["parts"]):
        if part["type"] == "tool_call":
            transcript.tell("tool_call", part.get("arguments"), id_=part.get("id"), name=part.get("name"))
        else:
            transcript.extend(part.get("content"), part["type"])


def _read_output(response: dict[str, Any]) -> list[Message]:
    parts = [part for item in map(as_dict, as_list(response.get("output"))) for part in _read_item(item)["parts"]]
    return [message("assistant", parts)] if parts else []


def _read_item(item: dict[str, Any]) -> Message:
    kind = item.get("type")
    if kind is None or kind == "message":
        content = item.get("content")
        parts = text(content) if isinstance(content, str) else [part for one in as_list(content) for part in _read_part(as_dict(one))]
        return message(item.get("role"), parts)
    role = _ROLES.get(kind, "assistant") if isinstance(kind, str) else "assistant"
    return message(role, _read_doing(kind, item))


def _read_doing(kind: object, item: dict[str, Any]) -> list[Part]:
    """Return the parts of an item that is no message: reasoning, a call, an answer to one."""
    if kind == "reasoning":
        content = [*as_list(item.get("summary")), *as_list(item.get("content"))]
        return [part for one in content for part in reasoning(as_dict(one).get("text"))]
    if kind in _CALLS:
        parts = [tool_call(item.get("name"), item.get("arguments", item.get("input")), item.get("call_id") or item.get("id"))]
        if item.get("output") is not None:
            parts.append(tool_response(item["output"], item.get("id")))
        return parts
    if kind in _ROLES:
        output = item.get("output")
        held = output if isinstance(output, str) else [part for one in as_list(output) for part in _read_part(as_dict(one))]
        return [tool_response(held, item.get("call_id"))]
    return [other(kind)]


def _read_part(part: dict[str, Any]) -> list[Part]:
    kind = part.get("type")
    if kind in ("input_text", "output_text", "text"):
        return text(part.get("text"))
    if kind == "refusal":
        return typed("refusal", part.get("refusal"))
    if kind == "input_image":
        return [file(part["file_id"]) if part.get("file_id") else uri(part.get("image_url"))]
    if kind == "input_file":
        if part.get("file_id"):
            return [file(part["file_id"])]
        data = part.get("file_data")
        return [uri(part.get("file_url")) if data is None else uri(data) if str(data).startswith("data:") else blob(None, data)]
    if kind == "input_audio":
        audio = as_dict(part.get("input_audio"))
        return [blob(f"audio/{audio.get('format')}", audio.get("data"))]
    return [other(kind)]
