"""Tokens by a rule of thumb."""

import gzip
import json

import pytest

from sidecar.core.observe.contents.transcript import Transcript
from sidecar.core.observe.estimation import BYTES_MAX, count_tokens, estimate
from sidecar.exchange import Usage


def body(**request: object) -> bytes:
    """Return a request."""
    return json.dumps(request).encode()


ASKED = body(messages=[{"role": "system", "content": "x" * 10}, {"role": "user", "content": "y" * 11}])


@pytest.mark.parametrize(("chars", "tokens"), [(0, 0), (1, 1), (4, 1), (5, 2), (400, 100)])
def test_four_characters_are_a_token(chars: int, tokens: int) -> None:
    """A beginning of one counts as one."""
    assert count_tokens(chars) == tokens


def test_what_has_come_is_counted() -> None:
    """Of a stream that ended anywhere: text and reasoning apart."""
    transcript = Transcript(0)
    transcript.add("a" * 9)
    transcript.add("r" * 5, "reasoning")
    transcript.begin("tool_call", slot=1, name="find")
    assert estimate("openai_chat", ASKED, b"", transcript) == Usage(input=6, output=4, reasoning=2)
    assert estimate("openai_chat", gzip.compress(ASKED), b"gzip", Transcript(0)) == Usage(input=6)


def test_a_whole_answer_is_counted() -> None:
    """As a stream of the same text is."""
    transcript = Transcript(0)
    transcript.answer = body(choices=[{"message": {"content": "a" * 9, "reasoning": "r" * 5}}])
    assert estimate("openai_chat", ASKED, b"", transcript) == Usage(input=6, output=3, reasoning=2)


def test_tools_count_and_pictures_do_not() -> None:
    """Definitions are text to a model; of a picture nothing can be told by its bytes. Tokens that were sent as such are known."""
    tool = {"type": "function", "function": {"name": "abcd", "description": "e" * 20}}
    plain = estimate("openai_chat", ASKED, b"", Transcript(0))
    tooled = estimate("openai_chat", body(messages=json.loads(ASKED)["messages"], tools=[tool]), b"", Transcript(0))
    assert plain is not None
    assert tooled is not None
    assert 6 < tooled.input - plain.input < 20
    picture = [{"type": "text", "text": "abcd"}, {"type": "image_url", "image_url": {"url": "data:image/png;base64," + "A" * 4000}}]
    assert estimate("openai_chat", body(messages=[{"content": picture}]), b"", Transcript(0)) == Usage(input=1)
    assert estimate("openai_embeddings", body(input=[[1, 2, 3], [4]]), b"", Transcript(0)) == Usage(input=4)


def test_what_cannot_be_told_is_not() -> None:
    """No form, no text, no JSON, too long, a reader that failed: none of them is zero."""
    broken = Transcript(0)
    broken.broken = True
    garbled = Transcript(0)
    garbled.answer = b"<html>"
    assert estimate("opaque", ASKED, b"", Transcript(0)) is None
    assert estimate("openai_responses_fetch", b"", b"", Transcript(0)) is None, "nothing is billed for it"
    assert estimate("openai_chat", b"{}", b"", Transcript(0)) is None
    assert estimate("openai_chat", b"{", b"", Transcript(0)) is None
    assert estimate("openai_chat", ASKED, b"br", Transcript(0)) is None
    assert estimate("openai_chat", ASKED + b" " * BYTES_MAX, b"", Transcript(0)) is None
    assert estimate("openai_chat", ASKED, b"", broken) is None
    assert estimate("openai_chat", ASKED, b"", garbled) is None


def test_values_of_any_depth_are_counted_to_some_depth() -> None:
    """A tool's parameters may nest without end."""
    deep = b'{"messages":[{"content":"abcd"}],"tools":[' + b"[" * 300 + b'"abcd"' + b"]" * 300 + b"]}"
    assert estimate("openai_chat", deep, b"", Transcript(0)) == Usage(input=1)
