"""What is said in OpenAI chat completions, and by all who speak like them."""

from typing import Any

from sidecar.core.observe.contents.contract import Message, Part, Prompt
from sidecar.core.observe.contents.parts import (
    as_dict,
    as_index,
    as_list,
    blob,
    file,
    message,
    mixed,
    other,
    parse,
    reasoning,
    text,
    tool_call,
    tool_response,
    typed,
    uri,
)  # fmt: skip
from sidecar.core.observe.contents.transcript import Transcript


class OpenAIChatContent:
    """Reads the bodies of /chat/completions. System messages stand among the others, as they came."""

    def read_request(self, body: bytes) -> Prompt:
        """Return what a request says."""
        request = as_dict(parse(body))
        tools = as_list(request.get("tools")) or as_list(request.get("functions"))
        return Prompt([], [_read_message(as_dict(one), "user") for one in as_list(request.get("messages"))], tools)

    def read_whole(self, body: bytes) -> list[Message]:
        """Return each choice's message."""
        choices = map(as_dict, as_list(as_dict(parse(body)).get("choices")))
        return [_read_message(as_dict(choice.get("message")), "assistant") for choice in choices]

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what each choice's delta says."""
        for one in as_list(as_dict(parse(event)).get("choices")):
            choice = as_dict(one)
            _add_delta(as_dict(choice.get("delta")), as_index(choice.get("index")), transcript)


def _add_delta(delta: dict[str, Any], index: int, transcript: Transcript) -> None:
    transcript.add(delta.get("reasoning_content") or delta.get("reasoning"), "reasoning", index)
    transcript.add(delta.get("content"), "text", index)
    transcript.add(delta.get("refusal"), "refusal", index)
    transcript.add(as_dict(delta.get("audio")).get("transcript"), "text", index, "audio")
    if isinstance(delta.get("function_call"), dict):
        _add_call(delta["function_call"], None, index, "function", transcript)
    for one in as_list(delta.get("tool_calls")):
        call = as_dict(one)
        called = as_dict(call.get("function")) or as_dict(call.get("custom"))
        _add_call(called, call.get("id"), index, as_index(call.get("index")), transcript)


def _add_call(called: dict[str, Any], id_: object, index: int, slot: object, transcript: Transcript) -> None:
    transcript.begin("tool_call", index, slot, id_=id_, name=called.get("name"))
    transcript.add(called.get("arguments") or called.get("input"), "tool_call", index, slot)


def _read_message(one: dict[str, Any], default: str) -> Message:
    parts: list[Part] = []
    if one.get("role") in ("tool", "function"):
        content = one.get("content")
        response = content if isinstance(content, str) else mixed(content, _read_part)
        return message(one["role"], [tool_response(response, one.get("tool_call_id") or one.get("name"))])
    parts += reasoning(one.get("reasoning_content") or one.get("reasoning"))
    parts += mixed(one.get("content"), _read_part)
    parts += typed("refusal", one.get("refusal"))
    audio = as_dict(one.get("audio"))
    if audio:
        parts += text(audio.get("transcript"))
        parts.append(blob(None, audio["data"]) if isinstance(audio.get("data"), str) else file(audio.get("id")))
    if isinstance(one.get("function_call"), dict):
        parts.append(tool_call(one["function_call"].get("name"), one["function_call"].get("arguments")))
    for call in map(as_dict, as_list(one.get("tool_calls"))):
        called = as_dict(call.get("function")) or as_dict(call.get("custom"))
        parts.append(tool_call(called.get("name"), called.get("arguments") or called.get("input"), call.get("id")))
    return message(one.get("role"), parts, default)


def _read_part(part: dict[str, Any]) -> list[Part]:
    kind = part.get("type")
    if kind == "text":
        return text(part.get("text"))
    if kind == "refusal":
        return typed("refusal", part.get("refusal"))
    if kind == "image_url":
        image = part.get("image_url")
        return [uri(image if isinstance(image, str) else as_dict(image).get("url"))]
    if kind == "input_audio":
        audio = as_dict(part.get("input_audio"))
        return [blob(f"audio/{audio.get('format')}", audio.get("data"))]
    if kind == "file":
        held = as_dict(part.get("file"))
        data = held.get("file_data")
        return [file(held.get("file_id")) if data is None else uri(data) if str(data).startswith("data:") else blob(None, data)]
    return [other(kind)]
