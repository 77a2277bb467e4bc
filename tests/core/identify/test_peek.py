"""A look at a request's body."""

import gzip
import zlib

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.identify.peek import peek
from sidecar.core.observe.dialects import OPAQUE, OPENAI_CHAT
from sidecar.exchange import Asked

BODY = b'{"model": "gpt-5", "stream": true, "messages": []}'


@pytest.mark.parametrize(
    ("body", "coding"),
    [
        (BODY, b""),
        (BODY, b"identity"),
        (gzip.compress(BODY), b"gzip"),
        (gzip.compress(BODY), b" GZip "),
        (gzip.compress(BODY), b"x-gzip"),
        (zlib.compress(BODY), b"deflate"),
    ],
)
def test_a_body_is_read_through_its_coding(body: bytes, coding: bytes) -> None:
    """Plain or compressed, the same is found."""
    asked = peek(OPENAI_CHAT, body, "/v1", coding, 1000)
    assert (asked.model, asked.stream, asked.readable) == ("gpt-5", True, True)


@pytest.mark.parametrize(
    ("body", "coding", "bytes_max"),
    [
        (BODY, b"br", 1000),
        (BODY, b"gzip, gzip", 1000),
        (BODY, b"gzip", 1000),
        (gzip.compress(BODY), b"gzip", len(BODY) - 1),
        (gzip.compress(b" " * 10_000_000), b"gzip", 1000),
        (BODY, b"\xff", 1000),
    ],
    ids=["unknown", "two", "corrupt", "too large", "bomb", "garbage"],
)
def test_what_cannot_be_decoded_is_unknown_not_wrong(body: bytes, coding: bytes, bytes_max: int) -> None:
    """The provider judges it: nothing is claimed of it, not even that it is unreadable."""
    assert peek(OPENAI_CHAT, body, "/v1", coding, bytes_max) == Asked()


def test_json_that_does_not_parse_is_said_so() -> None:
    """A body that claims to be JSON and is not is counted."""
    assert not peek(OPENAI_CHAT, b'{"model": ', "/v1", b"", 1000).readable


def test_unknown_forms_are_not_looked_at() -> None:
    """Of opaque traffic nothing is known."""
    assert peek(OPAQUE, BODY, "/v1", b"", 1000) == Asked()


@given(st.binary(max_size=200), st.sampled_from([b"", b"gzip", b"deflate", b"br"]))
def test_no_body_raises(body: bytes, coding: bytes) -> None:
    """Whatever came, there is an answer."""
    assert isinstance(peek(OPENAI_CHAT, body, "/v1", coding, 100), Asked)
