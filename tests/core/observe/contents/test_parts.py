"""Parts, and looks into JSON of any shape."""

import pytest

from sidecar.core.observe.contents import parts


def test_json_is_read_leniently() -> None:
    """Half a character and bytes that are not UTF-8 are taken; what is no JSON is refused."""
    assert parts.parse(b'{"a": 1}') == {"a": 1}
    assert parts.parse(b'"\\ud83d"') == "\ud83d"
    assert parts.parse(b'"\xff"') == "�"
    for garbage in (b"", b"[DONE]", b"{", b"[" * 100_000):
        with pytest.raises(ValueError):
            parts.parse(garbage)


@pytest.mark.parametrize(("text", "value"), [('{"a": 1}', {"a": 1}), (" [1]", [1]), ("{a", "{a"), ("12", "12"), ("", ""), (None, None)])
def test_only_objects_and_lists_are_taken_for_json(text: object, value: object) -> None:
    """A text that is a number stays a text."""
    assert parts.parse_text(text) == value


def test_the_wrong_shape_is_nothing() -> None:
    """A list where an object should be, a text where a number should be."""
    assert parts.as_list({"a": 1}) == parts.as_list("abc") == []
    assert parts.as_dict([1]) == parts.as_dict(None) == {}
    assert [parts.as_index(value) for value in (3, True, -1, "1", 2**40)] == [3, 0, 0, 0, 0]
    assert parts.message(7, []) == {"role": "user", "parts": []}
    assert parts.text(7) == parts.reasoning("") == parts.texts(7) == []
    assert parts.texts(["a", {"text": "b"}, 3]) == [*parts.text("a"), *parts.text("b")]


@pytest.mark.parametrize(("data", "size"), [("", 0), ("AAAA", 3), ("AAA=", 2), ("AA==", 1), (None, 0), (5, 0)])
def test_a_blob_says_how_large_it_was(data: object, size: int) -> None:
    """Decoded bytes, without decoding."""
    assert parts.blob("image/png", data) == {"type": "blob", "mime_type": "image/png", "bytes": size}


def test_addresses_lose_what_may_be_secret() -> None:
    """User, password, query and fragment; a data address becomes a blob; what is none is empty."""
    assert parts.uri("https://me:pw@x.test:8/a?sig=1#f", "image/png") == {
        "type": "uri",
        "uri": "https://x.test:8/a",
        "mime_type": "image/png",
    }
    assert parts.uri("DATA:image/gif;base64,AAAA") == {"type": "blob", "mime_type": "image/gif", "bytes": 3}
    assert parts.uri("http://[bad")["uri"] == ""
    assert parts.uri(None) == {"type": "blob", "bytes": 0}


def test_calls_and_answers_leave_out_what_is_not_there() -> None:
    """No empty id, no empty arguments."""
    assert parts.tool_call("f", "", "") == {"type": "tool_call", "name": "f"}
    assert parts.tool_call(None, {"a": 1}, "i") == {"type": "tool_call", "id": "i", "name": "", "arguments": {"a": 1}}
    assert parts.tool_response("x", 3) == {"type": "tool_call_response", "response": "x"}
    assert parts.file(None) == {"type": "file", "file_id": ""}
    assert parts.file("f", "text/plain") == {"type": "file", "file_id": "f", "mime_type": "text/plain"}
    assert parts.other(None) == {"type": "unknown"}
