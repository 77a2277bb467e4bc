"""What the OpenAI dialects share: usage, cost, errors, and answers of our own."""

import json
from typing import Any

import pytest

from sidecar.core.observe.dialects import OPENAI_CHAT, OPENAI_EMBEDDINGS
from sidecar.core.observe.dialects.openai_form import name_error
from sidecar.core.observe.sse import EventSplitter
from sidecar.errors import ERRORS, STREAM_CUT
from sidecar.exchange import Asked, Seen


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
        ({"code": "no such key sk-secret", "type": "a b\r\nc", "status": "d" * 65}, "_OTHER"),
        ({"code": "no such key sk-secret", "type": "auth_error"}, "auth_error"),
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


def test_a_broker_names_the_true_provider() -> None:
    """Of a whole answer and of a stream's first chunk that does."""
    seen = Seen()
    OPENAI_CHAT.read_whole(b'{"id":"i","model":"m","provider":"DeepInfra","choices":[],"usage":{"cost":1}}', seen)
    assert seen.served_by == "DeepInfra"
    seen = Seen()
    for name in (b"7", b'"Nebius"', b'"Other"'):
        OPENAI_CHAT.read_event(b'{"id":"i","model":"m","provider":%b,"choices":[]}' % name, seen, 1.0)
    assert seen.served_by == "Nebius"


def test_an_event_that_counts_is_not_ordinary() -> None:
    """llama.cpp's counts may come with every chunk: none of them may be passed over."""
    event = b'{"choices":[{"index":0,"delta":{"content":"a"}}]%b}'
    assert OPENAI_CHAT.outline(event % b"") is not None
    assert OPENAI_CHAT.outline(event % b',"timings":{"cache_n":0,"prompt_n":1,"predicted_n":1}') is None
