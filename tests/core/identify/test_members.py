"""Where values stand."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.identify import members
from sidecar.core.identify.members import find_items, find_member
from sidecar.core.observe.salvage import BYTES_MAX

_SPACE = st.sampled_from(["", " ", "\n", "\t\r\n  "])
_SCALARS = st.none() | st.booleans() | st.integers(-9, 9**12) | st.floats(allow_nan=False, allow_infinity=False) | st.text(max_size=8)
_KEYS = st.sampled_from(["model", "m", 'mo"del', "\\", "}", "é", "Model"]) | st.text(max_size=4)
_VALUES = st.recursive(_SCALARS, lambda inner: st.lists(inner, max_size=3) | st.dictionaries(_KEYS, inner, max_size=3), max_leaves=8)


def found(data: bytes, name: str = "model") -> list[bytes]:
    """Return the values that were found."""
    return [data[span.start : span.end] for span in find_member(data, name)]


@pytest.mark.parametrize(
    ("text", "values"),
    [
        (b'{"model":"a"}', [b'"a"']),
        (b' {\n "x" : [ {"model":"b"} ] , "model"\t:\r "a" } \n', [b'"a"']),
        (b'{"model":12}', [b"12"]),
        (b'{"model":{"model":"a"}}', [b'{"model":"a"}']),
        (b'{"x":"\\"model\\":\\"b\\"","model":"a"}', [b'"a"']),
        (b'{"mod\\u0065l":"a"}', [b'"a"']),
        (b'{"x\\"y\\\\":1,"model":"a"}', [b'"a"']),
        (b'{"model":"a","model":"b"}', [b'"a"', b'"b"']),
        (b'{"model":"a","x":1,"model":"a"}', [b'"a"', b'"a"']),
        (b'{"x":"a","x":"a","model":"a"}', [b'"a"']),
        (b'{"x":1,"x":12,"model":"a"}', [b'"a"']),
        (b'{"x":12,"x":1,"model":"a"}', [b'"a"']),
        # As long as the first `x` is taken to be, what follows looks like a last member.
        (b'{"x":1,"x":   {"p":0,"q":"b"},"model":"a"}', [b'"a"']),
        (b'\xef\xbb\xbf{"model":"a"}', [b'"a"']),
        (b'{"x":"\\ud83d","model":"a"}', [b'"a"']),
        (b'{"x":"\xff","model":"a"}', [b'"a"']),
        (b'{"\xff":1,"model":"a"}', [b'"a"']),
        (b'{"x":NaN,"model":"a"}', [b'"a"']),
        (b'{"x":"\n","model":"a"}', [b'"a"']),
        ('{"é":"模","model":"a"}'.encode(), [b'"a"']),
        (b'{"x":' + b"[" * 900 + b"]" * 900 + b',"model":"a"}', [b'"a"']),
        (b"{}", []),
        (b'{"x":{"model":"a"}}', []),
        (b'["model","a"]', []),
        (b'"model"', []),
        (b"", []),
        (b"{", []),
        (b'{"model":"a"', []),
        (b'{"model":"a",}', []),
        (b'{"model" "a"}', []),
        (b'{"model":}', []),
        (b'{"model":"a"} x', []),
        (b'{"model":"a"};', []),
        (b'{1:"a","model":"a"}', []),
        (b'\xff\xfe{\x00"\x00', []),
        (b"\x1f\x8b\x08\x00", []),
        (b'{"x":' + b"[" * 100_000 + b',"model":"a"}', []),
    ],
)
def test_only_the_objects_own_members_are_found(text: bytes, values: list[bytes]) -> None:
    """Wherever they stand and however they are written; nothing in what is no JSON."""
    assert found(text) == values


@given(st.lists(st.tuples(_KEYS, _VALUES, _SPACE, _SPACE), max_size=6), _SPACE, st.booleans())
def test_each_value_is_found_as_it_was_written(given_members: list[tuple[str, Any, str, str]], outer: str, escaped: bool) -> None:
    """With members that are there twice, escapes and white space anywhere."""
    texts = [(key, json.dumps(value, ensure_ascii=escaped)) for key, value, _, _ in given_members]
    inner = ",".join(
        f"{before}{json.dumps(key, ensure_ascii=escaped)}{after}:{before}{text}{after}"
        for (key, text), (_, _, before, after) in zip(texts, given_members, strict=True)
    )
    data = f"{outer}{{{inner}}}{outer}".encode()
    for name in {"model", "m", *(key for key, _ in texts if key.isascii())}:
        assert found(data, name) == [text.encode() for key, text in texts if key == name]


@given(st.binary(max_size=60) | st.text('{}[]":,\\ model1', max_size=30).map(str.encode))
def test_nothing_makes_it_raise(data: bytes) -> None:
    """Whatever was sent."""
    find_items(data)
    for span in find_member(data, "model"):
        assert json.loads(data[span.start : span.end].decode("latin-1"), strict=False) is not Ellipsis


def test_what_only_the_slower_way_reads_is_bounded() -> None:
    """It holds up everybody else for as long as it takes."""
    filler = b"x" * (BYTES_MAX - 40)
    assert found(b'{"x":NaN,"y":"%b","model":"a"}' % filler) == [b'"a"']
    assert found(b'{"x":NaN,"y":"%b%b","model":"a"}' % (filler, b"x" * 40)) == []
    assert found(b'{"y":"%b%b","model":"a"}' % (filler, filler)) == [b'"a"']


def test_an_ordinary_body_goes_the_fast_way(monkeypatch: pytest.MonkeyPatch) -> None:
    """The slower one takes some ten times as long."""
    monkeypatch.setattr(members, "_find_slowly", lambda data, name: pytest.fail("not needed"))
    assert found(b' {"messages":[{"role":"user","content":"\\u00e9"}],"mod\\u0065l" : "a" }\n') == [b'"a"']
    assert found(b'{"messages":[]}') == []


@given(st.lists(st.tuples(_VALUES, _SPACE, _SPACE), max_size=6), _SPACE)
def test_items_are_found_as_they_were_written(items: list[tuple[Any, str, str]], outer: str) -> None:
    """In their order."""
    texts = [json.dumps(value) for value, _, _ in items]
    inner = ",".join(before + text + after for text, (_, before, after) in zip(texts, items, strict=True))
    data = f"{outer}[{inner}]{outer}".encode()
    assert [data[span.start : span.end].decode() for span in find_items(data)] == texts


@pytest.mark.parametrize("data", [b"", b"{}", b"1", b'"[]"', b"[1", b"[NaN]"])
def test_what_is_no_array_has_no_items(data: bytes) -> None:
    """Nor one that cannot be read."""
    assert find_items(data) == []
