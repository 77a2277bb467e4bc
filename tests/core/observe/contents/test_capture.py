"""What was said, as it may leave the process."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.contents import find_reader
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.redaction import Redactor
from sidecar.exchange import Said, Spoken

COMPOSER = Composer(Redactor(), bytes_max=4096, decoded_bytes_max=4096)
REQUEST = json.dumps(
    {"instructions": "mail a@b.example", "input": "call +49 30 1234567", "tools": [{"name": "f", "key": "AIzaSyA-canary-canary-canary"}]}
).encode()
DIALECTS = (
    "openai_chat", "openai_completions", "openai_embeddings", "openai_responses", "openai_responses_fetch",
    "anthropic_messages", "gemini_generate", "gemini_stream",
    "gemini_embed", "ollama_chat", "ollama_generate", "ollama_embed",
)  # fmt: skip


def test_everything_is_composed_and_redacted() -> None:
    """Instructions, input, tools and output, each as JSON of its own."""
    spoken = (Spoken(0, "text", "I wrote to a@b.example"), Spoken(0, "tool_call", '{"to": "a@b.example"}', "c", "send"))
    content = COMPOSER.compose(Said("openai_responses", REQUEST, b"", b"", spoken))
    assert json.loads(content.system_instructions or "") == [{"type": "text", "content": "mail [REDACTED:email]"}]
    assert json.loads(content.input_messages or "") == [{"role": "user", "parts": [{"type": "text", "content": "call [REDACTED:phone]"}]}]
    assert json.loads(content.tool_definitions or "") == [{"name": "f", "key": "[REDACTED:api_key]"}]
    assert json.loads(content.output_messages or "") == [
        {"role": "assistant", "parts": [
            {"type": "text", "content": "I wrote to [REDACTED:email]"},
            {"type": "tool_call", "id": "c", "name": "send", "arguments": {"to": "[REDACTED:email]"}},
        ]}
    ]  # fmt: skip
    assert not content.is_unreadable


def test_what_was_not_said_is_not_there() -> None:
    """No empty lists."""
    assert COMPOSER.compose(Said("openai_chat", b"{}", b"", b"", ())) == (None, None, None, None, False)
    assert COMPOSER.compose(Said("opaque", b"secret", b"", b"secret", ())) == (None, None, None, None, False)


@pytest.mark.parametrize(
    ("request_", "coding", "answer"), [(b"{", b"", b""), (b"{}", b"br", b""), (b"{}", b"", b"<html>"), (b"{}", b"gzip", b"")]
)
def test_what_cannot_be_read_is_told(request_: bytes, coding: bytes, answer: bytes) -> None:
    """And costs only itself."""
    assert COMPOSER.compose(Said("openai_chat", request_, coding, answer, ())).is_unreadable


def test_a_cut_part_is_marked() -> None:
    """A text that was not collected to its end."""
    content = COMPOSER.compose(Said("openai_chat", b"", b"", b"", (Spoken(0, "text", "x" * 5000, is_cut=True),)))
    ((part,),) = [one["parts"] for one in json.loads(content.output_messages or "")]
    assert part["truncated"] is True
    assert len(part["content"]) == 5000 - 4096


@pytest.mark.parametrize("dialect", DIALECTS)
def test_every_dialect_has_a_reader(dialect: str) -> None:
    """By its name."""
    assert find_reader(dialect) is not None


JSON = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=20),
    lambda inner: st.lists(inner, max_size=4) | st.dictionaries(
        st.sampled_from(["messages", "content", "parts", "text", "role", "type", "tools", "input", "choices", "delta", "message",
        "candidates",
                         "contents", "tool_calls", "function", "arguments", "output", "system", "index", "prompt", "data", "source",
                         "image_url"])
        | st.text(max_size=5), inner, max_size=5),
    max_leaves=30,
)  # fmt: skip


@given(st.sampled_from(DIALECTS), JSON, JSON)
def test_no_shape_of_json_is_too_much(dialect: str, request_: object, answer: object) -> None:
    """Whatever stands where: it is read or left out, and the rest of the process notices nothing."""
    said = Said(dialect, json.dumps(request_).encode(), b"", json.dumps(answer).encode(), ())
    for text in COMPOSER.compose(said)[:4]:
        assert text is None or isinstance(json.loads(text), list)
    assert not COMPOSER.compose(said).is_unreadable


@given(st.sampled_from(DIALECTS), st.binary(), st.binary())
def test_no_bytes_are_too_much(dialect: str, request_: bytes, answer: bytes) -> None:
    """Garbage is told as such."""
    COMPOSER.compose(Said(dialect, request_, b"", answer, ()))
