"""What applications say of answers."""

import json

import pytest

from sidecar.core.reckon.feedback import AGE_S_MAX, CALLS_MAX, Answer, Answers, read_feedback
from sidecar.exchange import Asked, Ending
from tests.edge.telemetry.records import make_record


def test_an_answer_is_found_once() -> None:
    """With whom it was from; a second time it is as unknown as any other."""
    answers = Answers()
    answers.observe(make_record(id="a"))
    assert answers.take("a", 103.0) == Answer("openai", "openai", "gpt-4o", 102.0)
    assert answers.take("a", 103.0) is None and answers.take("b", 103.0) is None


@pytest.mark.parametrize("ending", list(Ending))
def test_only_answers_can_be_rated(ending: Ending) -> None:
    """Also those that the caller did not hear to their end."""
    answers = Answers()
    answers.observe(make_record(id="a", ending=ending, asked=Asked()))
    assert (answers.take("a", 102.0) is not None) is (ending in (Ending.COMPLETED, Ending.CLIENT_GONE))


def test_memory_and_time_are_bounded() -> None:
    """So many calls, the last ones, for so long."""
    answers = Answers()
    for number in range(CALLS_MAX + 5):
        answers.observe(make_record(id=str(number)))
    assert [answers.take(name, 102.0) is not None for name in ("4", "5", str(CALLS_MAX + 4))] == [False, True, True]
    assert answers.take("6", 102.0 + AGE_S_MAX) is not None
    assert answers.take("7", 102.1 + AGE_S_MAX) is None


@pytest.mark.parametrize("quality", [0, 1, 0.5, 1e-9])
def test_what_is_understood(quality: float) -> None:
    """A number from 0 to 1, with a comment or without."""
    assert read_feedback(json.dumps({"request_id": "a", "quality": quality}).encode()).quality == quality
    assert read_feedback(b'{"request_id": "a", "quality": 1, "comment": "%s"}' % (b"x" * 500)).request_id == "a"


@pytest.mark.parametrize(
    "body",
    [b"", b"[]", b"null", b"\xff", b"[" * 10_000, b'{"quality": 1}', b'{"request_id": "a"}', b'{"request_id": "a", "quality": 1.1}',
     b'{"request_id": "a", "quality": -0.1}', b'{"request_id": "a", "quality": true}', b'{"request_id": "a", "quality": "1"}',
     b'{"request_id": "a", "quality": 1e999}', b'{"request_id": "a", "quality": NaN}', b'{"request_id": "", "quality": 1}',
     b'{"request_id": "%s", "quality": 1}' % (b"a" * 65), b'{"request_id": 1, "quality": 1}', b'{"request_id": "a", "quality": 1, "x": 1}',
     b'{"request_id": "a", "quality": 1, "comment": "%s"}' % (b"secret" * 84)],
)  # fmt: skip
def test_what_is_not_understood_is_told_what_is(body: bytes) -> None:
    """A sentence, and nothing of the body in it."""
    with pytest.raises(ValueError, match='"quality": NUMBER') as caught:
        read_feedback(body)
    assert "secret" not in str(caught.value) and len(str(caught.value)) < 400
