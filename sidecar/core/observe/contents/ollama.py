"""What is said in Ollama's own API. A stream's lines have the form of the whole answer."""

from typing import Any

from sidecar.core.observe.contents.contract import Message, Part, Prompt
from sidecar.core.observe.contents.openai_completions import read_inputs
from sidecar.core.observe.contents.parts import as_dict, as_list, blob, message, parse, reasoning, text, tool_call, tool_response
from sidecar.core.observe.contents.transcript import Transcript


class OllamaChatContent:
    """Reads the bodies of /api/chat."""

    def read_request(self, body: bytes) -> Prompt:
        """Return the messages; system messages stand among them, as they came."""
        request = as_dict(parse(body))
        messages = [_read_message(as_dict(one), "user") for one in as_list(request.get("messages"))]
        return Prompt([], messages, as_list(request.get("tools")))

    def read_whole(self, body: bytes) -> list[Message]:
        """Return the one message of an answer."""
        found = _read_message(as_dict(as_dict(parse(body)).get("message")), "assistant")
        return [found] if found["parts"] else []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what one line's message says."""
        told = as_dict(as_dict(parse(event)).get("message"))
        transcript.extend(told.get("thinking"), "reasoning")
        transcript.extend(told.get("content"))
        for call in map(as_dict, as_list(told.get("tool_calls"))):
            called = as_dict(call.get("function"))
            transcript.tell("tool_call", called.get("arguments"), 0, id_=call.get("id"), name=called.get("name"))


class OllamaGenerateContent:
    """Reads the bodies of /api/generate."""

    def read_request(self, body: bytes) -> Prompt:
        """Return the system prompt apart, and the prompt."""
        request = as_dict(parse(body))
        parts = text(request.get("prompt")) + _read_images(request)
        return Prompt(text(request.get("system")), [message("user", parts)] if parts else [], [])

    def read_whole(self, body: bytes) -> list[Message]:
        """Return what the model wrote."""
        answer = as_dict(parse(body))
        parts = reasoning(answer.get("thinking")) + text(answer.get("response"))
        return [message("assistant", parts)] if parts else []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Add what one line says."""
        told = as_dict(parse(event))
        transcript.extend(told.get("thinking"), "reasoning")
        transcript.extend(told.get("response"))


class OllamaEmbedContent:
    """Reads the bodies of /api/embed and /api/embeddings. The answer holds vectors."""

    def read_request(self, body: bytes) -> Prompt:
        """Return each input as a message of its own."""
        request = as_dict(parse(body))
        given = request.get("input") if "input" in request else request.get("prompt")
        return Prompt([], [message("user", parts) for parts in read_inputs(given)], [])

    def read_whole(self, body: bytes) -> list[Message]:
        """Return nothing."""
        return []

    def read_event(self, event: bytes, transcript: Transcript) -> None:
        """Do nothing: there is no streamed form."""


def _read_message(one: dict[str, Any], default: str) -> Message:
    if one.get("role") == "tool":
        return message("tool", [tool_response(one.get("content"), one.get("tool_call_id") or one.get("tool_name"))])
    parts: list[Part] = reasoning(one.get("thinking")) + text(one.get("content")) + _read_images(one)
    for call in map(as_dict, as_list(one.get("tool_calls"))):
        called = as_dict(call.get("function"))
        parts.append(tool_call(called.get("name"), called.get("arguments"), call.get("id")))
    return message(one.get("role"), parts, default)


def _read_images(holder: dict[str, Any]) -> list[Part]:
    return [blob(None, image) for image in as_list(holder.get("images"))]
