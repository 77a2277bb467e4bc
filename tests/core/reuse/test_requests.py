"""What requests of each form ask for, as far as keeping their answers is concerned."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects import DIALECTS
from sidecar.core.reuse.canonical import BYTES_MAX, canonicalise
from sidecar.core.reuse.requests import Nature, may_be_deterministic, read_nature
from tests.core.reuse.trees import TREES

PLAIN = Nature(False)
HOT = Nature(True)
STATE = Nature(False, is_stateful=True)
TOOLS = Nature(False, offers_tools=True)
TALK = Nature(False, is_conversation=True)
RESULT = Nature(False, is_conversation=True, ends_with_tool=True)
USER, ASSISTANT, TOOL = {"role": "user", "content": "a"}, {"role": "assistant", "content": "b"}, {"role": "tool", "content": "c"}
CALL = {"type": "function_call", "call_id": "1", "name": "f", "arguments": "{}"}
SAID = {"parts": [{"text": "a"}]}


def read(dialect_name: str, body: Any) -> Nature | None:
    """Return what a body says in a form."""
    canonical = canonicalise(json.dumps(body).encode())
    assert canonical is not None
    return read_nature(dialect_name, canonical.tree)


CASES: list[tuple[str, dict[str, Any], Nature]] = [
    # OpenAI's forms.
    *(
        (name, members, nature)
        for name in ("openai_chat", "openai_completions", "openai_responses")
        for members, nature in (
            ({}, PLAIN),
            ({"temperature": 0}, HOT),
            ({"temperature": 0.0}, HOT),
            ({"temperature": 1e-9}, PLAIN),
            ({"temperature": None}, PLAIN),
            ({"temperature": False}, PLAIN),
            ({"temperature": "0"}, PLAIN),
            ({"seed": 7, "temperature": 1}, HOT),
            ({"seed": 0}, HOT),
            ({"seed": None}, PLAIN),
            ({"seed": True}, PLAIN),
            ({"top_p": 0}, PLAIN),
            ({"options": {"seed": 1}}, PLAIN),
            ({"store": True}, STATE),
            ({"store": False}, PLAIN),
            ({"store": None}, PLAIN),
            ({"tools": []}, PLAIN),
            ({"tools": None}, PLAIN),
            ({"tools": [{"type": "web_search"}]}, TOOLS),
            ({"model": "x:online"}, TOOLS),
        )
    ),
    ("openai_chat", {"functions": [{"name": "f"}]}, TOOLS),
    ("openai_chat", {"web_search_options": {}}, TOOLS),
    ("openai_chat", {"plugins": [{"id": "web"}]}, TOOLS),
    ("openai_chat", {"messages": [USER, USER]}, PLAIN),
    ("openai_chat", {"messages": [USER, ASSISTANT, USER]}, TALK),
    ("openai_chat", {"messages": [USER, ASSISTANT]}, TALK),
    ("openai_chat", {"messages": [USER, ASSISTANT, TOOL]}, RESULT),
    ("openai_chat", {"messages": [USER, ASSISTANT, {"role": "function"}]}, RESULT),
    ("openai_chat", {"messages": [USER, TOOL, USER]}, TALK),
    ("openai_chat", {"messages": "a"}, PLAIN),
    ("openai_chat", {"messages": {"0": ASSISTANT}}, TALK),
    ("openai_chat", {"messages": [USER, 1]}, TALK),
    # OpenAI responses.
    ("openai_responses", {"input": "a"}, PLAIN),
    ("openai_responses", {"input": [USER]}, PLAIN),
    ("openai_responses", {"input": [{"type": "message", **USER}]}, PLAIN),
    ("openai_responses", {"input": [USER, ASSISTANT, USER]}, TALK),
    ("openai_responses", {"input": [USER, {"type": "reasoning", "id": "rs_1"}, USER]}, TALK),
    ("openai_responses", {"input": [USER, CALL, {"type": "function_call_output", "call_id": "1", "output": "2"}]}, RESULT),
    ("openai_responses", {"input": [USER, CALL, {"type": "function_call_output"}, USER]}, TALK),
    ("openai_responses", {"input": [USER, {"type": "item_reference", "id": "msg_1"}]}, TALK._replace(is_stateful=True)),
    ("openai_responses", {"input": [USER, {"id": "msg_1"}]}, STATE),
    ("openai_responses", {"previous_response_id": "resp_1"}, STATE),
    ("openai_responses", {"previous_response_id": None}, PLAIN),
    ("openai_responses", {"conversation": "conv_1"}, STATE),
    ("openai_responses", {"conversation": {"id": "conv_1"}}, STATE),
    ("openai_responses", {"background": True}, STATE),
    ("openai_responses", {"background": False}, PLAIN),
    ("openai_responses", {"prompt": {"id": "pmpt_1"}}, STATE),
    # Anthropic.
    ("anthropic_messages", {"temperature": 0}, HOT),
    ("anthropic_messages", {"temperature": 1.0}, PLAIN),
    ("anthropic_messages", {"seed": 1}, PLAIN),
    ("anthropic_messages", {"tools": [{"name": "f"}]}, TOOLS),
    ("anthropic_messages", {"mcp_servers": [{"url": "https://mcp.test"}]}, TOOLS),
    ("anthropic_messages", {"container": "c_1"}, STATE),
    ("anthropic_messages", {"container": None}, PLAIN),
    ("anthropic_messages", {"messages": [USER, ASSISTANT, USER]}, TALK),
    ("anthropic_messages", {"messages": [USER, ASSISTANT]}, TALK),
    (
        "anthropic_messages",
        {"messages": [USER, ASSISTANT, {"role": "user", "content": [{"type": "tool_result"}, {"type": "text"}]}]},
        RESULT,
    ),
    ("anthropic_messages", {"messages": [USER, ASSISTANT, {"role": "user", "content": [{"type": "text"}, 1]}]}, TALK),
    # Gemini, in both spellings.
    *(
        (name, members, nature)
        for name in ("gemini_generate", "gemini_stream")
        for members, nature in (
            ({"generationConfig": {"temperature": 0}}, HOT),
            ({"generation_config": {"seed": 3}}, HOT),
            ({"temperature": 0}, PLAIN),
            ({"generationConfig": {"temperature": 0}, "generation_config": {"temperature": 1}}, PLAIN),
            ({"generationConfig": 0}, PLAIN),
            ({"tools": [{"googleSearch": {}}]}, TOOLS),
            ({"cachedContent": "cachedContents/1"}, PLAIN),
            ({"contents": [SAID]}, PLAIN),
            ({"contents": [{"role": "user", **SAID}, {"role": "model", **SAID}, {"role": "user", **SAID}]}, TALK),
            ({"contents": [{"role": "model"}, {"role": "user", "parts": [{"functionResponse": {}}]}]}, RESULT),
            ({"contents": [{"role": "model"}, {"role": "user", "parts": [{"function_response": {}}]}]}, RESULT),
            ({"contents": [{"role": "model"}, {"role": "function", "parts": []}]}, RESULT),
        )
    ),
    # Ollama.
    ("ollama_chat", {"messages": [USER], "options": {"temperature": 0}}, HOT),
    ("ollama_chat", {"messages": [USER], "options": {"seed": 1}}, HOT),
    ("ollama_chat", {"messages": [USER], "temperature": 0}, PLAIN),
    ("ollama_chat", {"messages": [USER], "options": [0]}, PLAIN),
    ("ollama_chat", {"messages": [USER], "tools": [{"type": "function"}]}, TOOLS),
    ("ollama_chat", {"messages": [USER, ASSISTANT, TOOL]}, RESULT),
    ("ollama_chat", {"messages": []}, STATE),
    ("ollama_chat", {}, STATE),
    ("ollama_generate", {"prompt": "a", "options": {"temperature": 0.0}}, HOT),
    ("ollama_generate", {"prompt": "a", "context": [1, 2]}, TALK),
    ("ollama_generate", {"prompt": "a", "context": []}, PLAIN),
    ("ollama_generate", {"prompt": "", "keep_alive": 0}, STATE),
    # Embeddings are always the same.
    *((name, {"input": "a"}, HOT) for name in ("openai_embeddings", "gemini_embed", "ollama_embed")),
]


@pytest.mark.parametrize(("dialect_name", "body", "expected"), CASES)
def test_requests(dialect_name: str, body: dict[str, Any], expected: Nature) -> None:
    """Of each form in its own places."""
    assert read(dialect_name, body) == expected
    assert may_be_deterministic(dialect_name, json.dumps(body).encode()) or not expected.is_deterministic


def test_every_form_is_known_or_never_kept() -> None:
    """A form that is new is not kept until somebody has thought about it."""
    known = {dialect.name for dialect in DIALECTS if read(dialect.name, {}) is not None}
    assert {dialect.name for dialect in DIALECTS} - known == {"openai_responses_fetch"}
    assert {name for name, _, _ in CASES} == known
    assert read("opaque", {}) is None and read("mcp", {}) is None


MEMBERS = st.sampled_from(
    ["messages", "input", "contents", "generationConfig", "options", "tools", "temperature", "seed", "model", "store", "prompt", "context"]
)
TURNS = st.lists(TREES | st.fixed_dictionaries({}, optional=dict.fromkeys(("role", "type", "content", "parts", "id"), TREES)), max_size=3)


@given(st.sampled_from(DIALECTS), st.dictionaries(MEMBERS, TREES | TURNS, max_size=5))
def test_nothing_raises(dialect: Any, body: dict[str, Any]) -> None:
    """Whatever the members are."""
    read(dialect.name, body)


PLACES = {
    "gemini_generate": "generationConfig",
    "gemini_stream": "generationConfig",
    "ollama_chat": "options",
    "ollama_generate": "options",
}
SPACES = st.text(" \n\t\r", max_size=3)
ZEROS = st.from_regex(r"-?0(\.0{1,5})?([eE][+-]?[0-9]{1,4})?", fullmatch=True)
WRITTEN = [
    dialect.name
    for dialect in DIALECTS
    if read(dialect.name, {}) == PLAIN or (dialect.name.startswith("ollama_") and "embed" not in dialect.name)
]


@given(st.sampled_from(WRITTEN), st.sampled_from(["temperature", "seed"]), st.data())
def test_however_it_is_written_it_is_not_overlooked(dialect_name: str, name: str, data: st.DataObject) -> None:
    """Spaces, signs, points and exponents, letters by their numbers, in upper or lower case, and whatever stands beside it."""
    spelled = "".join(data.draw(st.sampled_from([letter, f"\\u{ord(letter):04x}", f"\\u{ord(letter):04X}"])) for letter in name)
    spelled = data.draw(st.sampled_from([name, spelled]))
    before, after = (data.draw(SPACES) for _ in range(2))
    body = f'{{{before}"{spelled}"{before}:{after}{data.draw(ZEROS)}{after}}}'
    beside = json.dumps(data.draw(TREES))
    place = PLACES.get(dialect_name)
    body = f'{{"x": {beside}, "{place}": {body}}}' if place else f'{{"x": {beside}, {body[1:]}'
    canonical = canonicalise(body.encode())
    nature = canonical and read_nature(dialect_name, canonical.tree)
    assert may_be_deterministic(dialect_name, body.encode())
    assert nature is None or nature.is_deterministic or (dialect_name, name) == ("anthropic_messages", "seed")


@given(st.sampled_from(DIALECTS), st.dictionaries(MEMBERS, TREES | TURNS, max_size=5))
def test_what_is_ruled_out_is_not_deterministic(dialect: Any, body: dict[str, Any]) -> None:
    """Whatever else there is."""
    text = json.dumps(body).encode()
    canonical = canonicalise(text)
    nature = canonical and read_nature(dialect.name, canonical.tree)
    assert may_be_deterministic(dialect.name, text) or (nature is not None and not nature.is_deterministic)


def test_most_calls_are_ruled_out_at_once() -> None:
    """A temperature above 0 or none at all; but not what another reason holds for, nor what no size would do for."""
    for body in ({"messages": [USER]}, {"temperature": 0.7}, {"temperature": 10}, {"temperature": None}, {"content": "caf\u00e9"}):
        assert not may_be_deterministic("openai_chat", json.dumps(body).encode())
    for text in (b"", b"[]", b" {}", b"{" + b" " * BYTES_MAX):
        assert may_be_deterministic("openai_chat", text)
    assert may_be_deterministic("opaque", b"{}") and may_be_deterministic("openai_embeddings", b"{}")
