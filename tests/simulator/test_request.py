"""sidecar/simulator/request.py"""

import json
from typing import Any

import pytest

from sidecar.simulator.request import Form, Rejection, Tool, count_tokens, read_ask

_MESSAGES = [{"role": "user", "content": "hello"}]


def _read(form: Form = Form.CHAT, **members: Any) -> Any:
    return read_ask(form, json.dumps({"model": "m", "messages": _MESSAGES} | members).encode())


@pytest.mark.parametrize(("text", "tokens"), [("", 0), ("a", 1), ("abcd", 1), ("abcde", 2), ("日本", 2), ("\ud800", 1)])
def test_tokens(text: str, tokens: int) -> None:
    """Four bytes of UTF-8 are a token, whatever the text."""
    assert count_tokens(text) == tokens


def test_stream_options() -> None:
    """Usage is asked for only by include_usage, and deltas are padded unless that is declined."""
    assert not _read(stream=True).usage_asked
    assert _read(stream=True, stream_options={"include_usage": True}).usage_asked
    assert not _read(stream=True, stream_options={"include_usage": False}).usage_asked
    assert not _read(stream=True, stream_options={"include_obfuscation": False}).obfuscated


def test_limits() -> None:
    """max_completion_tokens outranks max_tokens."""
    assert _read(max_tokens=5, max_completion_tokens=7).tokens_max == 7
    assert _read(max_tokens=5).tokens_max == 5


def test_parts() -> None:
    """The text parts of a message count, its images do not."""
    content = [{"type": "text", "text": "look"}, {"type": "image_url", "image_url": {"url": "data:"}}]
    assert _read(messages=[{"role": "user", "content": content}]).prompt == ("user: look",)


def test_tools() -> None:
    """The first function offered is called, unless none may be or its result is there already."""
    tools = [{"type": "function", "function": {"name": name}} for name in ("first", "second")]
    assert _read(tools=tools).tool == Tool("first", {})
    assert _read(tools=tools, tool_choice="none").tool is None
    assert _read(tools=tools, messages=[*_MESSAGES, {"role": "tool", "content": "42"}]).tool is None


@pytest.mark.parametrize(("stop", "stops"), [(None, ()), ("a", ("a",)), (["a", "b", ""], ("a", "b")), (7, ())])
def test_stop(stop: object, stops: tuple[str, ...]) -> None:
    """A stop sequence is a string or a list of them; empty ones are none."""
    assert _read(stop=stop).stops == stops


@pytest.mark.parametrize(("given", "tokens"), [("abcd", (1,)), (["abcd", "abcdefgh"], (1, 2)), ([1, 2, 3], (3,)), ([[1, 2], [3]], (2, 1))])
def test_embedding_inputs(given: object, tokens: tuple[int, ...]) -> None:
    """Inputs are texts or token numbers, one or several."""
    assert _read(Form.EMBEDDING, input=given).prompt_tokens == tokens


@pytest.mark.parametrize(
    ("form", "members", "param"),
    [
        (Form.CHAT, {"model": None}, "model"), (Form.CHAT, {"model": 7}, "model"), (Form.CHAT, {"messages": []}, "messages"),
        (Form.CHAT, {"messages": ["x"]}, "messages"), (Form.CHAT, {"n": 0}, "n"), (Form.CHAT, {"n": True}, "n"),
        (Form.CHAT, {"max_tokens": "5"}, "max_tokens"), (Form.CHAT, {"stream_options": {"include_usage": True}}, "stream_options"),
        (Form.EMBEDDING, {"input": []}, "input"), (Form.EMBEDDING, {"input": 7}, "input"), (Form.EMBEDDING, {}, "input"),
        (Form.COMPLETION, {"prompt": 7}, "prompt"),
    ],
)  # fmt: skip
def test_rejections(form: Form, members: dict[str, Any], param: str) -> None:
    """A mistake in a request is a 400 that names the parameter."""
    with pytest.raises(Rejection) as caught:
        _read(form, **members)
    assert (caught.value.status, caught.value.param) == (400, param)


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"\xff", b"[" * 100_000, b'"x"'])
def test_not_an_object(body: bytes) -> None:
    """A body that is not a JSON object is a 400."""
    with pytest.raises(Rejection) as caught:
        read_ask(Form.CHAT, body)
    assert caught.value.status == 400
