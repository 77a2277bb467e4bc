"""Content of completions."""

import pytest

from sidecar.core.observe.contents.openai_completions import OpenAICompletionsContent, read_inputs
from tests.core.observe.contents.reading import answer, hear_bytes, read

READER = OpenAICompletionsContent()


def said(text: str) -> dict[str, object]:
    """Return an assistant's message of one text."""
    return {"role": "assistant", "parts": [{"type": "text", "content": text}]}


@pytest.mark.parametrize("size_bytes", [1, 10_000])
def test_a_stream_is_joined_by_choice(size_bytes: int) -> None:
    """Each choice is a message."""
    events = [{"choices": [{"index": 1, "text": "b"}]}, {"choices": [{"index": 0, "text": "a"}, {"index": 1, "text": "c"}]}]
    assert hear_bytes("openai_completions", READER, events, size_bytes) == [said("a"), said("bc")]


def test_prompt_and_answer_are_read() -> None:
    """Whole, in the conventions' form."""
    assert read(READER, {"prompt": "hi"}).messages == [{"role": "user", "parts": [{"type": "text", "content": "hi"}]}]
    assert answer(READER, {"choices": [{"text": "a"}, {"text": "bc"}]}) == [said("a"), said("bc")]


def test_inputs_have_four_forms() -> None:
    """Of tokens only the number is kept; garbage says nothing."""
    text, tokens = {"type": "text", "content": "a"}, {"type": "tokens", "count": 2}
    assert read_inputs("a") == [[text]]
    assert read_inputs(["a", "a"]) == [[text], [text]]
    assert read_inputs([1, 2]) == [[tokens]]
    assert read_inputs([[1, 2], [3, 4]]) == [[tokens], [tokens]]
    assert read_inputs({"a": 1}) == read_inputs([None, 1.5]) == []
