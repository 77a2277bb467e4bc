"""Answers to the entries of a batch."""

import json
import tracemalloc
from typing import Any

import pytest

from sidecar.core.attempt.answers import describe_answer, describe_refusal, write_batch
from sidecar.errors import STREAM_CUT


def shown(data: bytes) -> Any:
    """Return an answer as a caller of the batch reads it."""
    [answer] = json.loads(write_batch([describe_answer(data)]))
    return answer


def test_status_fields_and_json_are_shown() -> None:
    """Names in lower case, a field that came twice as a list, the connection's own left out, JSON as it was written."""
    answer = describe_answer(
        b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nSet-Cookie: a=1\r\nset-cookie: b=2\r\nSet-Cookie: c=3\r\n"
        b'Content-Length: 9\r\nConnection: close\r\nX: \xe9\r\n\r\n{"n":1.0}'
    )
    assert write_batch([answer, answer]).count(b'{"n":1.0}') == 2
    assert shown(b"HTTP/1.1 201 Created\r\nContent-Type: application/json\r\nX: \xe9\r\n\r\n{}") == {
        "status": 201, "headers": {"content-type": "application/json", "x": "é"}, "body": {},
    }  # fmt: skip
    assert answer.headers["set-cookie"] == ["a=1", "b=2", "c=3"]


@pytest.mark.parametrize(
    ("content_type", "body", "expected", "encoding"),
    [
        ("text/plain", b"caf\xc3\xa9\r\n\r\n", "café\r\n\r\n", None),
        ("application/json", b"", "", None),
        ("application/json", b'{"half": ', '{"half": ', None),
        ("application/json", b'"\x01"', '"\x01"', None),
        ("application/json", b"\xff", "/w==", "base64"),
        ("application/json", b'"\xff"', "Iv8i", "base64"),
        ("application/json", b"[" * 9999, "[" * 9999, None),
        ("image/png", b"\xff\x00", "/wA=", "base64"),
    ],
)
def test_what_is_not_json_is_text_or_base64(content_type: str, body: bytes, expected: str, encoding: str | None) -> None:
    """One answer that claims to be JSON and is not does not spoil the batch."""
    answer = shown(f"HTTP/1.1 200 OK\r\ncontent-type: {content_type}\r\n\r\n".encode() + body)
    assert (answer["body"], answer.get("encoding")) == (expected, encoding)


def test_a_refusal_looks_like_any_other_answer() -> None:
    """With our error id where it always is."""
    [answer] = json.loads(write_batch([describe_refusal(STREAM_CUT, "why")]))
    assert (answer["status"], answer["headers"]["x-sidecar-error"]) == (502, "stream_cut")
    assert answer["body"]["error"]["message"] == "why"


def test_json_is_not_built_to_be_shown() -> None:
    """An answer of many small values costs no more memory than its bytes, a few times over."""
    data = b"HTTP/1.1 200 OK\r\ncontent-type: application/json\r\n\r\n[" + b"[]," * 1_000_000 + b"1]"
    tracemalloc.start()
    try:
        answer = describe_answer(data)
        _, most_bytes = tracemalloc.get_traced_memory()
    finally:
        tracemalloc.stop()
    assert write_batch([answer]).endswith(b"[],1]}]")
    assert most_bytes < 4 * len(data)
