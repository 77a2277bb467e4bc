"""What a caller of the Anthropic form asks for, judged as the provider judges it.

A prompt is tools, then system, then messages, one part for each block: a mark on a block
(`cache_control`) asks that everything up to it be cached.
"""

from collections.abc import Iterator
from typing import Any, Final

import msgspec

from sidecar.simulator.request import Ask, Form, Rejection, Tool, count_tokens, dict_of, read_tree, whole_number

_PART_TOKENS: Final = 3  # what each part costs beside its text
_TOKENS_MAX: Final = 1 << 20


def read_ask(body: bytes) -> Ask:
    """Read a request body. Raises Rejection (400) where the provider would."""
    tree, model = read_tree(body)
    most = whole_number(tree, "max_tokens", 1, _TOKENS_MAX)
    if most is None:
        raise Rejection(400, "max_tokens: Field required")
    stops = tree.get("stop_sequences")
    return _read_prompt(tree, model)._replace(
        stream=tree.get("stream") is True,
        tokens_max=most,
        stops=tuple(each for each in stops if isinstance(each, str) and each) if isinstance(stops, list) else (),
        json_asked=dict_of(dict_of(tree, "output_config"), "format").get("type") == "json_schema",
        service_tier="standard",
    )


def count_prompt(body: bytes) -> int:
    """The tokens of a prompt that is only to be counted. Raises Rejection (400)."""
    tree, model = read_tree(body)
    return sum(_read_prompt(tree, model).prompt_tokens)


def _read_prompt(tree: dict[str, Any], model: str) -> Ask:
    messages = tree.get("messages")
    if not isinstance(messages, list) or not messages or not all(isinstance(message, dict) for message in messages):
        raise Rejection(400, "messages: at least one message is required")
    parts = list(_list_parts(tree, messages))
    texts = tuple(text for text, _ in parts)
    tokens = tuple(count_tokens(text) + _PART_TOKENS for text in texts)
    marked = [number for number, (_, mark) in enumerate(parts, 1) if mark is not None]
    if isinstance(tree.get("cache_control"), dict):
        marked.append(len(parts))
    long = [number for number, (_, mark) in enumerate(parts, 1) if mark == "1h"]
    if dict_of(tree, "cache_control").get("ttl") == "1h":
        long.append(len(parts))
    return Ask(
        Form.CHAT, model, texts, tokens, tool=_tool_of(tree, messages[-1]), marked_parts=max(marked, default=0),
        written_tokens=sum(tokens[: max(marked, default=0)]), written_1h_tokens=sum(tokens[: max(long, default=0)]),
    )  # fmt: skip


def _list_parts(tree: dict[str, Any], messages: list[dict[str, Any]]) -> Iterator[tuple[str, str | None]]:
    """Each part of the prompt as text, and for how long it is to be cached."""
    tools = tree.get("tools")
    for tool in tools if isinstance(tools, list) else ():
        yield f"tool: {_text_of(tool)}", _mark_of(tool)
    for role, content in (("system", tree.get("system")), *((message.get("role"), message.get("content")) for message in messages)):
        if isinstance(content, str):
            yield f"{role}: {content}", None
        for block in content if isinstance(content, list) else ():
            yield f"{role}: {_text_of(block)}", _mark_of(block)


def _text_of(block: object) -> str:
    if isinstance(block, dict) and isinstance(block.get("text"), str):
        return str(block["text"])
    kept = {name: value for name, value in block.items() if name != "cache_control"} if isinstance(block, dict) else block
    return msgspec.json.encode(kept).decode()


def _mark_of(block: object) -> str | None:
    mark = block.get("cache_control") if isinstance(block, dict) else None
    return str(mark.get("ttl", "5m")) if isinstance(mark, dict) else None


def _tool_of(tree: dict[str, Any], last: dict[str, Any]) -> Tool | None:
    """The first tool offered that the caller runs itself, unless none is wanted or its result is there already."""
    tools, content = tree.get("tools"), last.get("content")
    if not isinstance(tools, list) or dict_of(tree, "tool_choice").get("type") == "none":
        return None
    if isinstance(content, list) and any(isinstance(block, dict) and block.get("type") == "tool_result" for block in content):
        return None
    for tool in tools:
        if isinstance(tool, dict) and isinstance(tool.get("name"), str) and isinstance(tool.get("input_schema"), dict):
            return Tool(tool["name"], tool["input_schema"])
    return None
