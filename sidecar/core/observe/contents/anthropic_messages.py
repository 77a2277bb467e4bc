"""What is said in Anthropic messages: content blocks, whole or as deltas by index."""

from typing import Any, Final

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
    texts,
    tool_call,
    tool_response,
    uri,
)  # fmt: skip
from sidecar.core.observe.contents.transcript import Transcript

_CALLS: Final = ("tool_use", "server_tool_use", "mcp_tool_use")
_DELTAS: Final = {
    "text_delta": ("text", "text"),
    "thinking_delta": ("thinking", "reasoning"),
    "input_json_delta": ("partial_json", "tool_call"),
}


class AnthropicMessagesContent:
    """Reads the bodies of /messages."""

    def read_request(self, body: bytes) -> Prompt:
        """Return the system prompt apart, and the messages."""
        request = as_dict(parse(body))
        messages = [
            message(one.get("role"), mixed(one.get("content"), _read_block)) for one in map(as_dict, as_list(request.get("messages")))
        ]
        return Prompt(texts(request.get("system")), messages, as_list(request.get("tools")))

    def read_whole(self, body: bytes) -> list[Message]:
        """Return the one message of an answer."""
        answer = as_dict(parse(body))
        parts = mixed(answer.get("content"), _read_block)
        return [message(answer.get("role"), parts, "assistant")] if parts else []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what a block begins with, or a delta of it."""
        told = as_dict(parse(event))
        index = as_index(told.get("index"))
        if told.get("type") == "content_block_delta":
            delta = as_dict(told.get("delta"))
            member, kind = _DELTAS.get(str(delta.get("type")), ("", ""))
            if member:
                transcript.add(delta.get(member), kind, 0, index)
        elif told.get("type") == "content_block_start":
            block = as_dict(told.get("content_block"))
            if block.get("type") in _CALLS:
                transcript.begin("tool_call", 0, index, id_=block.get("id"), name=block.get("name"))
            else:
                transcript.add(block.get("text"), "text", 0, index)
                transcript.add(block.get("thinking"), "reasoning", 0, index)


def _read_block(block: dict[str, Any]) -> list[Part]:
    kind = block.get("type")
    if kind == "text":
        return text(block.get("text"))
    if kind == "thinking":
        return reasoning(block.get("thinking"))
    if kind in _CALLS:
        return [tool_call(block.get("name"), block.get("input"), block.get("id"))]
    if isinstance(kind, str) and kind.endswith("tool_result"):
        content = block.get("content")
        return [tool_response(content if isinstance(content, str) else mixed(content, _read_block), block.get("tool_use_id"))]
    if kind in ("image", "document"):
        return _read_source(as_dict(block.get("source")))
    return [other(kind)]


def _read_source(source: dict[str, Any]) -> list[Part]:
    kind, mime_type = source.get("type"), source.get("media_type")
    if kind == "text":
        return text(source.get("data"))
    if kind == "content":
        return mixed(source.get("content"), _read_block)
    if kind == "url":
        return [uri(source.get("url"), mime_type)]
    if kind == "file":
        return [file(source.get("file_id"), mime_type)]
    return [blob(mime_type, source.get("data"))]
