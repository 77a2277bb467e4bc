"""Tokens before a call is made: by its text where that is short, by its length where it is long, and never an image for text."""

import base64
import gzip
import json
import random
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit import estimates
from sidecar.core.admit.estimates import MEMO_MAX, READ_BYTES_MAX, count_allowed, estimate_tokens
from sidecar.core.observe.contents import make_readers
from sidecar.exchange import Asked


def chat(*texts: str) -> bytes:
    """Return a request with these messages."""
    return json.dumps({"model": "m", "messages": [{"role": "user", "content": text} for text in texts]}).encode()


@pytest.mark.parametrize(
    ("dialect", "body"),
    [
        ("openai_chat", {"messages": [{"role": "user", "content": "x" * 400}]}),
        ("openai_responses", {"input": "x" * 400}),
        ("openai_embeddings", {"input": ["x" * 200, "x" * 200]}),
        ("openai_completions", {"prompt": "x" * 400}),
        ("anthropic_messages", {"system": "x" * 100, "messages": [{"role": "user", "content": "x" * 300}]}),
        ("gemini_generate", {"contents": [{"parts": [{"text": "x" * 400}]}]}),
        ("ollama_chat", {"messages": [{"role": "user", "content": "x" * 400}]}),
    ],
)
def test_a_short_prompt_by_its_text(dialect: str, body: dict[str, Any]) -> None:
    """Four characters are a token, in each form; what is around the text does not count."""
    assert estimate_tokens(dialect, json.dumps(body).encode(), b"") == 100


def test_what_asks_no_model_has_no_tokens() -> None:
    """A form that nobody reads, or nothing at all."""
    assert estimate_tokens("opaque", chat("hello"), b"") == 0
    assert estimate_tokens("mcp", chat("hello"), b"") == 0
    assert estimate_tokens("openai_chat", b"", b"") == 0


def test_what_cannot_be_read_counts_by_its_length() -> None:
    """It may be a prompt all the same."""
    assert estimate_tokens("openai_chat", b"{" + b" " * 399, b"") == 100
    assert estimate_tokens("openai_chat", b"{}", b"") == 1


def test_compressed() -> None:
    """A short one is read; one that is long, or of a coding nobody knows, counts a byte as a token."""
    body = chat("hello there " * 10)
    assert estimate_tokens("openai_chat", gzip.compress(body), b"gzip") == estimate_tokens("openai_chat", body, b"") == 30
    bomb = gzip.compress(b" " * 10_000_000)
    assert estimate_tokens("openai_chat", bomb, b"gzip") == len(bomb)
    assert estimate_tokens("openai_chat", body, b"br") == len(body)


def test_a_long_prompt_by_its_length() -> None:
    """Near to what reading it would have told."""
    words = random.Random(5)
    for size in (2 * READ_BYTES_MAX, 50_000, 3_000_000):
        text = " ".join("word"[: words.randint(1, 4)] for _ in range(size // 4))
        assert estimate_tokens("openai_chat", chat(text), b"") == pytest.approx(len(text) / 4, rel=0.05)
    chinese = json.dumps({"messages": [{"role": "user", "content": "漢字" * 5_000}]}, ensure_ascii=False).encode()
    assert estimate_tokens("openai_chat", chinese, b"") == pytest.approx(len(chinese) / 4, rel=0.05)


def test_very_many_short_messages_by_their_length() -> None:
    """Reading each would cost more than a call may."""
    body = chat(*["hi"] * 40)
    assert len(body) < READ_BYTES_MAX
    assert estimate_tokens("openai_chat", body, b"") == -(-len(body) // 4)
    assert estimate_tokens("openai_chat", chat(*["hi"] * 15), b"") == 8
    assert estimate_tokens("openai_chat", b"{" * 30, b"") == 8


def test_an_image_is_no_text() -> None:
    """Of a megabyte in base64 hardly anything counts: it would shut out every call with an image."""
    image = base64.b64encode(random.Random(5).randbytes(1_000_000)).decode()
    assert estimate_tokens("openai_chat", chat(f"data:image/png;base64,{image}"), b"") < len(image) / 4 / 20


def test_the_memo_is_bounded_and_by_content() -> None:
    """The same text in another form is another entry; what is remembered is what was told."""
    for number in range(MEMO_MAX + 50):
        estimate_tokens("openai_chat", chat(f"number {number}"), b"")
    assert len(estimates._memo) == MEMO_MAX
    both = b'{"system": "xxxxxxxx", "messages": [{"role": "user", "content": "xxxx"}]}'
    assert [estimate_tokens(name, both, b"") for name in ("anthropic_messages", "openai_chat") * 2] == [3, 1, 3, 1]


@given(st.binary(max_size=300), st.sampled_from([*make_readers(), "opaque"]), st.sampled_from([b"", b"gzip", b"deflate", b"br", b"\xff"]))
def test_never_raises(body: bytes, dialect: str, coding: bytes) -> None:
    """Whatever comes."""
    assert estimate_tokens(dialect, body, coding) >= 0


@given(
    st.recursive(
        st.none() | st.booleans() | st.floats() | st.text(max_size=5),
        lambda inner: st.lists(inner) | st.dictionaries(st.text(max_size=5), inner),
    )
)
def test_never_raises_on_json(value: Any) -> None:
    """Whatever it is where messages should be."""
    for name in make_readers():
        for key in ("messages", "input", "prompt", "contents", "requests", "system"):
            assert estimate_tokens(name, json.dumps({key: value}).encode(), b"") >= 1


def test_what_the_answer_may_have() -> None:
    """Each choice may be as long."""
    assert count_allowed(Asked()) is None
    assert count_allowed(Asked(params={"gen_ai.request.max_tokens": 50})) == 50
    assert count_allowed(Asked(params={"gen_ai.request.max_tokens": 50, "gen_ai.request.choice.count": 3})) == 150
