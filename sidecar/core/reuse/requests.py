"""What a request to a model asks for, as far as it decides whether its answer may be kept: of each form in its own places.

Read from the body's one form (`canonical`), whose numbers with a point are as they were written. What is not of the shape
it should be counts as what is kept least.
"""

import re
from collections.abc import Callable, Mapping
from typing import Any, Final, NamedTuple

import msgspec

from sidecar.core.reuse.canonical import BYTES_MAX, is_zero


class Nature(NamedTuple):
    """What a request asks for."""

    is_deterministic: bool  # the same again, as far as the provider can
    is_stateful: bool = False  # the provider is to remember something, or to go on from what it remembers
    offers_tools: bool = False  # the model may call tools, the provider's own included
    is_conversation: bool = False  # the model has spoken before
    ends_with_tool: bool = False  # the last that was said is the result of a tool


_EMBEDDINGS: Final = Nature(True)
_SEED: Final = b'seed"'
_TEMPERATURE: Final = b'temperature"'
_IS_ZERO: Final = re.compile(rb'temperature"\s*:\s*-?0(?:\.0+)?(?:[eE][+-]?\d+)?\s*[,}]')
_ESCAPE: Final = b"\\u00"
_LETTERS: Final = (b"\\u006", b"\\u007")  # those of both names, which nobody writes so, but might
_ANSWERED: Final = frozenset({"assistant", "model", "tool", "function"})
_TOOLS: Final = frozenset({"tool", "function"})
_ONLINE: Final = ":online"  # OpenRouter: the model searches the web


def read_nature(dialect_name: str, tree: Mapping[str, Any]) -> Nature | None:
    """Return what a request of a form asks for; None where that is not known of the form. Never raises."""
    read = _READERS.get(dialect_name)
    return None if read is None else read(tree)


def may_be_deterministic(dialect_name: str, body: bytes) -> bool:
    """Whether `read_nature` may find the request in this body deterministic: most are not, and most of those need not be read for it.

    True of what is no JSON object, or too large to be read.
    """
    if _READERS.get(dialect_name) in (None, _read_embeddings) or body[:1] != b"{" or len(body) > BYTES_MAX:
        return True
    if _SEED in body or (_ESCAPE in body and any(letter in body for letter in _LETTERS)):
        return True
    at = body.find(_TEMPERATURE)
    while at >= 0 and not _IS_ZERO.match(body, at):
        at = body.find(_TEMPERATURE, at + 1)
    return at >= 0


def _read_chat(tree: Mapping[str, Any]) -> Nature:
    """OpenAI chat. `store` keeps the answer at the provider's."""
    spoken, last = _read_roles(tree.get("messages"))
    return Nature(_is_deterministic(tree), tree.get("store") is True, _offers_tools(tree), spoken, last in _TOOLS)


def _read_completion(tree: Mapping[str, Any]) -> Nature:
    return Nature(_is_deterministic(tree), tree.get("store") is True, _offers_tools(tree))


def _read_response(tree: Mapping[str, Any]) -> Nature:
    """OpenAI responses. Where `store` is left out the provider keeps the response, too, but nobody has asked for that: a kept
    answer has the id it had, and who goes on from it finds it there."""
    items = tree.get("input")
    stateful = tree.get("store") is True or any(
        _is_told(tree.get(name)) for name in ("background", "conversation", "previous_response_id", "prompt")
    )
    if not isinstance(items, list):
        return Nature(_is_deterministic(tree), stateful, _offers_tools(tree))
    kinds = [item.get("type") if isinstance(item, dict) else "" for item in items]
    stateful = stateful or any(map(_is_reference, items))
    spoken = _read_roles(items)[0] or any(kind is not None and kind != "message" for kind in kinds)
    last = kinds[-1] if kinds else None
    return Nature(_is_deterministic(tree), stateful, _offers_tools(tree), spoken, isinstance(last, str) and last.endswith("_output"))


def _is_reference(item: object) -> bool:
    """To what the provider remembers: by its type, or by having nothing but an id."""
    return isinstance(item, dict) and (item.get("type") == "item_reference" or ("id" in item and "role" not in item and "type" not in item))


def _read_message(tree: Mapping[str, Any]) -> Nature:
    """Anthropic messages. A seed is unknown there, and so promises nothing."""
    messages = tree.get("messages")
    spoken, _ = _read_roles(messages)
    content = messages[-1].get("content") if isinstance(messages, list) and messages and isinstance(messages[-1], dict) else None
    parts = content if isinstance(content, list) else ()
    ends_with_tool = any(isinstance(part, dict) and str(part.get("type", "")).endswith("tool_result") for part in parts)
    has_tools = _offers_tools(tree) or _is_told(tree.get("mcp_servers"))
    return Nature(is_zero(tree.get("temperature")), _is_told(tree.get("container")), has_tools, spoken, ends_with_tool)


def _read_generation(tree: Mapping[str, Any]) -> Nature:
    """Gemini. Both spellings of a member are read; where two contradict each other nothing is deterministic."""
    configs = [tree[name] for name in ("generationConfig", "generation_config") if name in tree]
    contents = tree.get("contents")
    spoken, last = _read_roles(contents)
    parts = contents[-1].get("parts") if isinstance(contents, list) and contents and isinstance(contents[-1], dict) else None
    ends_with_tool = last == "function" or any(
        isinstance(part, dict) and ("functionResponse" in part or "function_response" in part)
        for part in (parts if isinstance(parts, list) else ())
    )
    deterministic = bool(configs) and all(isinstance(config, dict) and _is_deterministic(config) for config in configs)
    return Nature(deterministic, False, bool(tree.get("tools")), spoken, ends_with_tool)


def _read_ollama_chat(tree: Mapping[str, Any]) -> Nature:
    """Without messages a model is loaded, or unloaded: that is what the call is for."""
    spoken, last = _read_roles(tree.get("messages"))
    return Nature(_read_options(tree), not tree.get("messages"), bool(tree.get("tools")), spoken, last in _TOOLS)


def _read_ollama_generate(tree: Mapping[str, Any]) -> Nature:
    """`context` is what an earlier answer ended with."""
    return Nature(_read_options(tree), not tree.get("prompt"), False, bool(tree.get("context")))


def _read_embeddings(tree: Mapping[str, Any]) -> Nature:
    return _EMBEDDINGS


def _read_options(tree: Mapping[str, Any]) -> bool:
    options = tree.get("options")
    return isinstance(options, dict) and _is_deterministic(options)


def _read_roles(turns: object) -> tuple[bool, object]:
    """Return whether the model has spoken before, and who has spoken last."""
    if not isinstance(turns, list) or not turns:
        return turns is not None and not isinstance(turns, str | list), None
    roles = [turn.get("role") if isinstance(turn, dict) else "model" for turn in turns]
    return any(type(role) is str and role in _ANSWERED for role in roles), roles[-1] if type(roles[-1]) is str else None


def _is_deterministic(tree: Mapping[str, Any]) -> bool:
    return is_zero(tree.get("temperature")) or type(tree.get("seed")) in (int, msgspec.Raw)


def _offers_tools(tree: Mapping[str, Any]) -> bool:
    if tree.get("tools") or tree.get("functions") or tree.get("plugins") or tree.get("web_search_options") is not None:
        return True
    model = tree.get("model")
    return type(model) is str and model.endswith(_ONLINE)


def _is_told(value: object) -> bool:
    return value is not None and value is not False and value != []


_READERS: Final[Mapping[str, Callable[[Mapping[str, Any]], Nature]]] = {
    "openai_chat": _read_chat,
    "openai_completions": _read_completion,
    "openai_embeddings": _read_embeddings,
    "openai_responses": _read_response,
    "anthropic_messages": _read_message,
    "gemini_generate": _read_generation,
    "gemini_stream": _read_generation,
    "gemini_embed": _read_embeddings,
    "ollama_chat": _read_ollama_chat,
    "ollama_generate": _read_ollama_generate,
    "ollama_embed": _read_embeddings,
}
