"""sidecar/simulator/anthropic_request.py"""

import json
from typing import Any

import pytest

from sidecar.simulator.anthropic_request import count_prompt, read_ask
from sidecar.simulator.request import Ask, Rejection, Tool

_HELLO: Any = {"role": "user", "content": "hello"}
_TOOL: Any = {"name": "f", "input_schema": {"type": "object"}}


def _body(**members: Any) -> bytes:
    return json.dumps({"model": "m", "max_tokens": 9, "messages": [_HELLO], **members}).encode()


def _ask(**members: Any) -> Ask:
    return read_ask(_body(**members))


def _block(text: str, ttl: str | None = None) -> dict[str, Any]:
    return {"type": "text", "text": text} | ({"cache_control": {"type": "ephemeral", "ttl": ttl}} if ttl else {})


def test_members() -> None:
    """Every member that changes the answer is read."""
    config = {"format": {"type": "json_schema", "schema": {}}}
    ask = _ask(stream=True, stop_sequences=["a", "", 5], tools=[{"type": "web_search_20250305", "name": "w"}, _TOOL], output_config=config)
    assert (ask.model, ask.stream, ask.tokens_max, ask.stops, ask.json_asked) == ("m", True, 9, ("a",), True)
    assert ask.tool == Tool("f", {"type": "object"})
    assert ask.choices == 1


@pytest.mark.parametrize(
    "members",
    [
        {"tools": [_TOOL], "tool_choice": {"type": "none"}},
        {
            "tools": [_TOOL],
            "messages": [_HELLO, {"role": "user", "content": [{"type": "tool_result", "tool_use_id": "t", "content": "x"}]}],
        },
        {"tools": "x"},
        {},
    ],
)
def test_no_tool(members: dict[str, Any]) -> None:
    """None is called where none is offered or wanted, or its result is there."""
    assert _ask(**members).tool is None


@pytest.mark.parametrize(
    ("members", "message"),
    [
        ({"max_tokens": None}, "max_tokens: Field required"),
        ({"max_tokens": 0}, "Invalid 'max_tokens'"),
        ({"messages": []}, "messages: at least one"),
        ({"messages": ["hello"]}, "messages: at least one"),
        ({"model": None}, "you must provide a model"),
    ],
)
def test_rejections(members: dict[str, Any], message: str) -> None:
    """What the provider would decline is declined."""
    with pytest.raises(Rejection, match=message) as raised:
        _ask(**members)
    assert raised.value.status == 400


def test_prompt_tokens() -> None:
    """Tools, system and messages count, each block by itself; a mark changes nothing about its text."""
    ask = _ask(system="Be brief.", messages=[{"role": "user", "content": [_block("a"), _block("b", "5m")]}], tools=[_TOOL])
    assert ask.prompt[1:] == ("system: Be brief.", "user: a", "user: b")
    assert sum(ask.prompt_tokens) == count_prompt(
        _body(system="Be brief.", messages=[{"role": "user", "content": [_block("a"), _block("b")]}], tools=[_TOOL])
    )
    assert "cache_control" not in _ask(tools=[_TOOL | {"cache_control": {"type": "ephemeral"}}]).prompt[0]


@pytest.mark.parametrize(
    ("members", "marked", "for_an_hour"),
    [
        ({}, 0, 0),
        ({"system": [_block("a", "5m"), _block("b")]}, 1, 0),
        ({"system": [_block("a", "1h"), _block("b", "5m")]}, 2, 1),
        ({"system": [_block("a", "1h"), _block("b", "1h")]}, 2, 2),
        ({"system": [_block("a")], "messages": [{"role": "user", "content": [_block("b", "5m"), _block("c")]}]}, 2, 0),
        ({"tools": [_TOOL | {"cache_control": {"type": "ephemeral"}}]}, 1, 0),
        ({"system": "a", "cache_control": {"type": "ephemeral"}}, 2, 0),
        ({"system": "a", "cache_control": {"type": "ephemeral", "ttl": "1h"}}, 2, 2),
    ],
)
def test_marks(members: dict[str, Any], marked: int, for_an_hour: int) -> None:
    """A mark asks that the prompt be cached up to its block, for minutes or an hour."""
    ask = _ask(**members)
    assert ask.marked_parts == marked
    assert (ask.written_tokens, ask.written_1h_tokens) == (sum(ask.prompt_tokens[:marked]), sum(ask.prompt_tokens[:for_an_hour]))
