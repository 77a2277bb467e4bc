"""OpenAI chat completions, also as Azure, OpenRouter, vLLM, Groq, DeepSeek and others speak it."""

from typing import Any

from sidecar.core.observe.dialects.openai_form import OpenAIForm
from sidecar.core.observe.dialects.openai_shapes import ChatChoice, ChatOpening


class OpenAIChat(OpenAIForm):
    """The dialect of /chat/completions."""

    name = "openai_chat"
    operation = "chat"
    text_keys: tuple[bytes, ...] = tuple(
        b'"%b":%b"' % (name, space) for name in (b"content", b"reasoning_content", b"reasoning") for space in (b"", b" ")
    )

    def __init__(self) -> None:
        super().__init__(ChatOpening, ChatChoice)

    def text_of(self, choice: Any) -> object:
        """Return the delta's content or reasoning."""
        delta = choice.delta
        if not isinstance(delta, dict):
            return None
        return delta.get("content") or delta.get("reasoning_content") or delta.get("reasoning")

    def has_token(self, choice: Any) -> bool:
        """Whether the delta carries text, a refusal, reasoning, a call or audio."""
        delta = choice.delta
        if not isinstance(delta, dict):
            return False
        return bool(
            delta.get("content")
            or delta.get("refusal")
            or delta.get("reasoning_content")
            or delta.get("reasoning")
            or _has_any(delta.get("function_call"), "name", "arguments")
            or _has_any(delta.get("audio"), "data", "transcript")
            or any(_has_any(detail, "text", "summary", "data") for detail in _as_list(delta.get("reasoning_details")))
            or any(_has_call(call) for call in _as_list(delta.get("tool_calls")))
        )


def _has_call(call: object) -> bool:
    if not isinstance(call, dict):
        return False
    return _has_any(call.get("function"), "name", "arguments") or _has_any(call.get("custom"), "name", "input")


def _has_any(value: object, *members: str) -> bool:
    return isinstance(value, dict) and any(value.get(member) for member in members)


def _as_list(value: object) -> list[Any]:
    return value if isinstance(value, list) else []
