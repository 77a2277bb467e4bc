"""What an error's body says."""

import json

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.error_bodies import NOTHING_TOLD, read_error_body


def test_names_are_found_where_each_provider_puts_them() -> None:
    """Code, type, status, reason of a detail, inner error, metadata, details."""
    body = {
        "error": {
            "code": 403, "type": "A", "status": "B", "message": "Say", "innererror": {"code": "C"},
            "metadata": {"error_type": "D"}, "details": [{"reason": "E"}, 7, {"details": {"error_code": "F"}}],
        }
    }  # fmt: skip
    told = read_error_body(json.dumps(body).encode(), is_error=True)
    assert told.names == {"403", "a", "b", "c", "d", "e", "f"}
    assert told.messages == "say"


def test_the_error_that_a_broker_hands_on_is_read_as_well() -> None:
    """OpenRouter puts it in as text."""
    raw = json.dumps({"error": {"code": "context_length_exceeded", "message": "Too long"}})
    told = read_error_body(json.dumps({"error": {"message": "Provider returned error", "metadata": {"raw": raw}}}).encode(), is_error=True)
    assert told.names == {"context_length_exceeded"}
    assert told.messages == "provider returned error\ntoo long"
    assert read_error_body(b'{"error": {"code": 502, "metadata": {"raw": "<html>"}}}', is_error=True).names == {"502"}


def test_a_bare_message_and_a_body_that_is_the_error() -> None:
    """Ollama's error is its message; Azure's gateway and old vLLM have no `error` at all."""
    assert read_error_body(b'{"error": "Too LONG"}', is_error=True).messages == "too long"
    assert read_error_body(b'{"object": "error", "message": "No", "code": 400}', is_error=True) == ({"400"}, "no")
    assert read_error_body(b'[{"error": {"status": "X"}}]', is_error=True).names == {"x"}


def test_of_an_answer_only_an_error_within_it_is_read() -> None:
    """What a model says, and what the caller said, is none of it."""
    answer = {"type": "message", "content": [{"type": "text", "text": "prompt is too long"}], "message": "maximum context length"}
    assert read_error_body(json.dumps(answer).encode(), is_error=False) == NOTHING_TOLD
    failed = {"type": "response.failed", "response": {"instructions": "maximum context length", "error": {"code": "x", "message": "y"}}}
    stream = b"event: a\ndata: {}\n\nevent: response.failed\ndata: " + json.dumps(failed).encode() + b"\n\n"
    assert read_error_body(stream, is_error=False) == ({"x"}, "y")
    event = b'event: error\ndata: {"type":"error","code":"x","message":"y","note":"error"}\n\n'
    assert read_error_body(event, is_error=False) == ({"error", "x"}, "y")
    said = b'data: {"type":"delta","code":"x","message":"y","note":"error"}\n\n'
    assert read_error_body(said, is_error=False) == NOTHING_TOLD
    assert read_error_body(b'{"type":"error","code":"x","message":"y"}', is_error=False).names == {"error", "x"}


@pytest.mark.parametrize(
    "body",
    [
        b"", b"null", b"[]", b"7", b'"x"', b"<html>", b"\xff\xfe", b'{"error": null}', b'{"error": []}', b"[" * 100_000,
        b'{"error":' * 20_000,
        b'{"error": {"code": ' + b"9" * 5000 + b"}}", b'{"error": {"code": true, "message": 7, "details": "x", "metadata": [1]}}',
        b'{"error": {"code": NaN, "type": ["x"], "status": {"a": 1}}}', b'{"error": {"type": "' + b"x" * 100_000 + b'"}}', b'{"error',
    ],
)  # fmt: skip
def test_what_tells_nothing(body: bytes) -> None:
    """Nothing raises, and nothing is made up."""
    assert read_error_body(body, is_error=True) == NOTHING_TOLD


NESTED = st.recursive(
    st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=20),
    lambda inner: (
        st.lists(inner, max_size=3)
        | st.dictionaries(
            st.sampled_from(["error", "code", "type", "message", "details", "metadata", "raw", "response"]), inner, max_size=4
        )
    ),
    max_leaves=12,
)


@given(NESTED, st.booleans(), st.integers(0, 200))
def test_nothing_makes_it_raise(value: object, is_error: bool, cut: int) -> None:
    """Whatever the members are, and wherever the body was cut off."""
    body = json.dumps(value).encode()
    read_error_body(body, is_error=is_error)
    read_error_body(body[:cut], is_error=is_error)


@given(st.binary(max_size=200), st.booleans())
def test_no_bytes_make_it_raise(body: bytes, is_error: bool) -> None:
    """Nor are bodies always JSON."""
    read_error_body(body, is_error=is_error)
    read_error_body(b'data: {"error":' + body, is_error=is_error)
