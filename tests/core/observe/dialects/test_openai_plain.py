"""The quick way to read an ordinary answer finds what the patient way finds, or leaves it to it."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.dialects.openai_chat import OpenAIChat
from sidecar.core.observe.dialects.openai_plain import read_plain
from sidecar.exchange import Seen, Usage
from tests.filled import tell

PLAIN: dict[str, Any] = {
    "id": "chatcmpl-1",
    "object": "chat.completion",
    "created": 1700000000,
    "model": "gpt-4o-2024-08-06",
    "choices": [{"index": 0, "message": {"role": "assistant", "content": "hi"}, "logprobs": None, "finish_reason": "stop"}],
    "usage": {
        "prompt_tokens": 9,
        "completion_tokens": 12,
        "total_tokens": 21,
        "prompt_tokens_details": {"cached_tokens": 4, "audio_tokens": 0},
        "completion_tokens_details": {"reasoning_tokens": 5},
    },
    "service_tier": "default",
}
# Anything may stand anywhere: what the quick way takes, it must take right.
ODD = st.one_of(st.none(), st.booleans(), st.integers(), st.floats(allow_nan=False), st.text(), st.just({}), st.just([]), st.just([{}]))
MEMBERS = [
    ("id",), ("model",), ("choices",), ("choices", 0, "index"), ("choices", 0, "finish_reason"), ("choices", 0, "usage"),
    ("choices", 0, "error"),
    ("usage",), ("usage", "prompt_tokens"), ("usage", "completion_tokens"), ("usage", "total_tokens"), ("usage", "cost"),
    ("usage", "prompt_tokens_details"), ("usage", "prompt_tokens_details", "cached_tokens"), ("usage", "completion_tokens_details"),
    ("usage", "completion_tokens_details", "reasoning_tokens"), ("service_tier",), ("error",), ("x_groq",),
]  # fmt: skip


def patient(body: bytes) -> Seen:
    """Read the way that takes everything."""
    seen = Seen()
    seen.error_type = "any"  # keeps the quick way out
    OpenAIChat().read_whole(body, seen)
    if seen.error_type == "any":
        seen.error_type = None
    return seen


def test_an_ordinary_answer_is_read_quickly() -> None:
    """Model, id, tier, finish reason and disjoint token kinds."""
    seen = Seen()
    assert read_plain(json.dumps(PLAIN).encode(), seen)
    assert seen.usage == Usage(5, 4, 0, 7, 5)
    assert (seen.model, seen.response_id, seen.service_tier, seen.finish_reasons) == (
        "gpt-4o-2024-08-06",
        "chatcmpl-1",
        "default",
        ["stop"],
    )
    assert tell(seen) == tell(patient(json.dumps(PLAIN).encode()))


@given(st.sampled_from(MEMBERS), ODD)
def test_both_ways_find_the_same(member: tuple[Any, ...], value: Any) -> None:
    """Whatever one member is, the quick way either declines or agrees with the patient one."""
    answer = json.loads(json.dumps(PLAIN))
    place = answer
    for step in member[:-1]:
        place = place[step]
    place[member[-1]] = value
    body = json.dumps(answer).encode()
    seen = Seen()
    if read_plain(body, seen):
        assert tell(seen) == tell(patient(body))
    else:
        assert tell(seen) == tell(Seen())


@pytest.mark.parametrize("body", [b"", b"{", b"[]", b"null", b"\xff", b'{"id":' * 3000, b'{"error":{"code":"x"}}'])
def test_what_is_no_such_answer_is_declined(body: bytes) -> None:
    """It is left to the patient way, and nothing was noted."""
    seen = Seen()
    assert not read_plain(body, seen)
    assert tell(seen) == tell(Seen())
