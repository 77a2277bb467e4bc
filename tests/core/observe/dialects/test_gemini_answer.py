"""What is read of Gemini's answers: output, reasons, counts."""

import json
from typing import Any

import pytest

from sidecar.core.observe.dialects.gemini_answer import (
    Answer,
    Opening,
    Tokens,
    decode_opening,
    has_token,
    read_reason,
    read_usage,
    salvage_answer,
    salvage_event,
)
from sidecar.exchange import Usage

OUTPUT: list[Any] = [
    {"text": "a"}, {"text": " "}, {"text": "hm", "thought": True}, {"functionCall": {"name": "f"}}, {"functionCall": {"partialArgs": [1]}},
    {"toolCall": {"toolType": "GOOGLE_SEARCH"}}, {"inlineData": {"mimeType": "image/png", "data": "AA=="}},
    {"executableCode": {"language": "PYTHON", "code": "1"}},
]  # fmt: skip
NO_OUTPUT: list[Any] = [
    {}, {"text": ""}, {"text": "", "thoughtSignature": "AA=="}, {"thoughtSignature": "AA=="}, {"functionCall": {}}, {"functionCall": None},
    {"inlineData": None}, {"codeExecutionResult": {"outcome": "OUTCOME_OK", "output": "1"}}, {"functionResponse": {"name": "f"}},
    {"text": None, "thought": True},
]  # fmt: skip


def has(part: Any) -> bool:
    """Whether an event with this part alone carries output, read either way."""
    event = json.dumps({"candidates": [{"content": {"parts": [part]}}]}).encode()
    quick, patient = has_token(decode_opening(event)), has_token(salvage_event(event))
    assert quick == patient
    return quick


@pytest.mark.parametrize("part", OUTPUT, ids=repr)
def test_output(part: Any) -> None:
    """Text, thoughts, calls, code and data are output."""
    assert has(part)


@pytest.mark.parametrize("part", NO_OUTPUT, ids=repr)
def test_no_output(part: Any) -> None:
    """Signatures, empty text and the results of tools are none."""
    assert not has(part)


@pytest.mark.parametrize(
    "tree",
    [{}, {"candidates": []}, {"candidates": [{}]}, {"candidates": [{"content": {}}]}, {"candidates": [{"content": {"parts": []}}]}, 7, []],
    ids=repr,
)
def test_nothing_at_all(tree: Any) -> None:
    """An event without candidates, content or parts has no output either."""
    assert not has_token(salvage_event(json.dumps(tree).encode()))


@pytest.mark.parametrize(
    ("value", "reason"),
    [("STOP", "STOP"), ("FINISH_REASON_UNSPECIFIED", None), ("BLOCKED_REASON_UNSPECIFIED", None), (None, None), ("", None), (1, None)],
)
def test_reasons(value: object, reason: str | None) -> None:
    """A reason is kept as it is sent; the enumeration's zero says nothing."""
    assert read_reason(value) == reason


@pytest.mark.parametrize(
    ("prompt", "candidates", "thoughts", "tool_use", "cached", "total", "usage"),
    [
        (10, 5, 0, 0, 0, 15, (10, 0, 0, 5, 0)),
        (10, 5, 7, 0, 4, 22, (6, 4, 0, 5, 7)),
        (10, 5, 7, 3, 4, 25, (9, 4, 0, 5, 7)),
        (10, 0, 7, 0, 0, 17, (10, 0, 0, 0, 7)),
        (10, 0, 0, 0, 0, 14, (10, 0, 0, 4, 0)),
        (10, 0, 7, 3, 0, 24, (13, 0, 0, 4, 7)),
        (0, 5, 0, 0, 0, 15, (10, 0, 0, 5, 0)),
        (0, 5, 0, 0, 0, 0, (0, 0, 0, 5, 0)),
        (10, 5, 0, 0, 0, 99, (10, 0, 0, 5, 0)),
        (10, 5, 0, 0, 0, 3, (10, 0, 0, 5, 0)),
        (10, 0, 0, 0, 0, 3, (10, 0, 0, 0, 0)),
        (3, 5, 0, 0, 9, 8, (0, 3, 0, 5, 0)),
        (0, 0, 0, 0, 0, 0, None),
        (0, 0, 0, 0, 0, 8, None),
        (0, 0, 0, 0, 8, 8, None),
    ],
)  # fmt: skip
def test_usage(
    prompt: int, candidates: int, thoughts: int, tool_use: int, cached: int, total: int, usage: tuple[int, ...] | None
) -> None:  # fmt: skip
    """Thoughts come on top of candidates, tool use on top of the prompt; the total tells what one of them lacks."""
    found = read_usage(Tokens(prompt, candidates, thoughts, tool_use, cached, total))
    assert found == usage
    assert found is None or (type(found) is Usage and found.input_total == found[0] + found[1])


def test_patience() -> None:
    """What does not fit is absent, what fits is read; an error may be wrapped in a list."""
    tree = {"candidates": [{"index": 0, "finishReason": "STOP"}, {"index": "x"}, 7], "usageMetadata": {"promptTokenCount": 3.0, "x": 1}}
    answer = salvage_answer(json.dumps(tree).encode())
    assert isinstance(answer, Answer)
    assert [each.index for each in answer.candidates or ()] == [0, 0, 0]
    assert answer.usageMetadata == Tokens(3)
    assert salvage_answer(b'[{"error": {"code": 400}}]').error == {"code": 400}
    assert salvage_event(b"never") == Opening()
    with pytest.raises(ValueError):
        salvage_answer(b"never")
