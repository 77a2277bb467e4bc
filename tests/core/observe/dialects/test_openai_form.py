"""What the OpenAI dialects share: usage, cost, errors, and answers of our own."""

import json
from typing import Any

import pytest

from sidecar.core.observe.dialects import OPENAI_CHAT, OPENAI_EMBEDDINGS
from sidecar.core.observe.dialects.openai_form import name_error, read_cost, read_usage
from sidecar.core.observe.sse import EventSplitter
from sidecar.errors import ERRORS, STREAM_CUT
from sidecar.exchange import Asked, Seen

REASONED = "completion_tokens_details"


@pytest.mark.parametrize(
    ("value", "usage"),
    [
        ({"prompt_tokens": 10, "completion_tokens": 5}, (10, 0, 0, 5, 0)),
        ({"prompt_tokens": 10}, (10, 0, 0, 0, 0)),
        ({"prompt_tokens": 10, "prompt_tokens_details": {"cached_tokens": 4, "cache_write_tokens": 3}}, (3, 4, 3, 0, 0)),
        ({"prompt_tokens": 10, "completion_tokens": 9, "completion_tokens_details": {"reasoning_tokens": 4}}, (10, 0, 0, 5, 4)),
        ({"prompt_tokens": 10, "completion_tokens": 9, "total_tokens": 19, REASONED: {"reasoning_tokens": 9}}, (10, 0, 0, 0, 9)),
        ({"prompt_tokens": 10, "completion_tokens": 2, "total_tokens": 19, REASONED: {"reasoning_tokens": 7}}, (10, 0, 0, 2, 7)),
        ({"prompt_tokens": 3, "completion_tokens": 2, "prompt_tokens_details": {"cached_tokens": 9}}, (0, 3, 0, 2, 0)),
        ({"prompt_tokens": 3, "prompt_tokens_details": {"cached_tokens": "x"}, "completion_tokens_details": None}, (3, 0, 0, 0, 0)),
        ({}, None),
        ({"total_tokens": 7}, None),
        ({"prompt_tokens": "3"}, None),
        (None, None),
        ([1], None),
    ],
)  # fmt: skip
def test_usage(value: object, usage: tuple[int, ...] | None) -> None:
    """Totals include cache and reasoning; where the total shows reasoning on top it is added."""
    assert read_usage(value) == usage


@pytest.mark.parametrize(
    ("value", "usd"),
    [
        ({"cost": 0.5}, 0.5),
        ({"cost": 0}, 0.0),
        ({"cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": 1.5}}, 2.0),
        ({"cost": 0.5, "is_byok": True, "cost_details": {"upstream_inference_cost": None}}, 0.5),
        ({"cost": 0.5, "is_byok": False, "cost_details": {"upstream_inference_cost": 1.5}}, 0.5),
        ({"cost": {"total": 1}}, None),
        ({}, None),
        (None, None),
    ],
)
def test_cost(value: object, usd: float | None) -> None:
    """The provider's own figure, with the true provider's share where the caller's key was used there."""
    assert read_cost(value) == usd


@pytest.mark.parametrize(
    ("error", "name"),
    [
        ({"code": "rate_limit_exceeded", "type": "requests"}, "rate_limit_exceeded"),
        ({"code": None, "type": "server_error"}, "server_error"),
        ({"code": 400, "type": "BadRequestError"}, "BadRequestError"),
        ({"code": "429", "type": None}, "429"),
        ({"code": 502, "metadata": {"error_type": "provider_overloaded"}}, "provider_overloaded"),
        ({"code": 429, "status": "RESOURCE_EXHAUSTED"}, "RESOURCE_EXHAUSTED"),
        ({"code": True, "message": "x"}, "_OTHER"),
        ({"code": "a b\r\nc" + "d" * 100}, "a_b_c" + "d" * 59),
        ({}, "_OTHER"),
        ("overloaded", "overloaded"),
        ("The server is overloaded.", "_OTHER"),
        (["x"], "_OTHER"),
        (True, "_OTHER"),
    ],
)
def test_error_names(error: object, name: str) -> None:
    """Names are codes, never messages: the most telling one that there is."""
    assert name_error(error) == name


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_refusal(kind: Any) -> None:
    """Our own answers have the form that OpenAI's clients read, whatever the message holds."""
    error = json.loads(OPENAI_CHAT.refusal(kind, 'a "quoted"\nmessage', Asked()))["error"]
    assert error["code"] == kind.id
    assert error["message"] == 'a "quoted"\nmessage'
    assert error.keys() == {"message", "type", "param", "code"}


@pytest.mark.parametrize("sent", [b"", b'data: {"choices":[{"index":0,"de', b"data: {}\n", b"data: {}\r\n\r\n"])
def test_stream_error_stands_alone(sent: bytes) -> None:
    """Whatever the stream broke off within, the error is an event of its own, and read as one by us too."""
    splitter = EventSplitter(1000)
    events = splitter.feed(sent + OPENAI_CHAT.stream_error(STREAM_CUT, "broke off", Asked(), "text/event-stream"))
    assert json.loads(events[-1])["error"]["code"] == "stream_cut"
    seen = Seen()
    OPENAI_CHAT.read_event(events[-1], seen, 1.0)
    assert seen.error_type == "stream_cut"


def test_no_stream_error_where_there_are_no_streams() -> None:
    """Embeddings have no streamed form to put an error in."""
    assert OPENAI_EMBEDDINGS.stream_error(STREAM_CUT, "x", Asked(), "text/event-stream") == b""


def test_whole_garbage_raises_value_error() -> None:
    """A whole answer that is not JSON is told by ValueError and leaves nothing half noted."""
    seen = Seen()
    with pytest.raises(ValueError):
        OPENAI_CHAT.read_whole(b'{"model":"m"', seen)
    assert seen.model is None
    assert not seen.terminated
