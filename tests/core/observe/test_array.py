"""The splitter of arrays against whole JSON, for every way of cutting it."""

import json
import tracemalloc
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.observe.array import END, ArraySplitter

LIMIT = 1 << 20


def split(*pieces: bytes, limit: int = LIMIT) -> list[bytes]:
    """All that one splitter yields for the pieces."""
    splitter = ArraySplitter(limit)
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.flush()


def in_bytes(stream: bytes) -> list[bytes]:
    """The stream in single bytes."""
    return [stream[position : position + 1] for position in range(len(stream))]


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b'[{"a":1}]', [b'{"a":1}', END]),
        (b'[{"a":1},{"b":2}]', [b'{"a":1}', b'{"b":2}', END]),
        (b'[{"a":1}\n,\r\n{"b":{"c":[{}]}}\n]\n', [b'{"a":1}', b'{"b":{"c":[{}]}}', END]),
        (b'[{"a":"}]{["}]', [b'{"a":"}]{["}', END]),
        (b'[{"a":"\\"}"},{"a\\\\":"}"}]', [b'{"a":"\\"}"}', b'{"a\\\\":"}"}', END]),
        (b"[]", [END]),
        (b" [ ] ", [END]),
        (b'{"error":{}}', [b'{"error":{}}']),
        (b'{"error":{}}]', [b'{"error":{}}']),
        (b'[{"a":1}', [b'{"a":1}']),
        (b'[{"a":1},{"b"', [b'{"a":1}']),
        (b'[{"a":1}]{"b":2}]', [b'{"a":1}', END]),
        (b"[1,null,{},x{}y]", [b"{}", b"{}", END]),
        (b"\xef\xbb\xbf[{}]", [b"{}", END]),
        (b'[{"a":\xff\xfe}]', [b'{"a":\xff\xfe}', END]),
        (b'[{"a": not json}]', [b'{"a": not json}', END]),
        (b"<html>", []),
        (b"", []),
    ],
)
def test_rules(stream: bytes, events: list[bytes]) -> None:
    """Elements are what stands between balanced braces, whole and byte by byte."""
    assert split(stream) == events
    assert split(*in_bytes(stream)) == events


VALUES = st.recursive(
    st.none() | st.booleans() | st.integers() | st.text(max_size=6) | st.sampled_from(['"', "\\", '\\"', "{", "}", "]", "[", "\n", "}]"]),
    lambda inner: st.lists(inner, max_size=3) | st.dictionaries(st.text(max_size=3), inner, max_size=3),
    max_leaves=8,
)
ELEMENTS = st.lists(st.dictionaries(st.text(max_size=4), VALUES, max_size=3), max_size=4)


@given(ELEMENTS, st.sampled_from([None, 2]), st.booleans(), st.data())
@settings(max_examples=300)
def test_every_cut(elements: list[dict[str, Any]], indent: int | None, ascii_only: bool, data: st.DataObject) -> None:
    """However an array is cut and however it is printed, its elements are those of the JSON library."""
    stream = json.dumps(elements, indent=indent, ensure_ascii=ascii_only).encode("utf-8", "surrogatepass")
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    *found, last = split(*pieces)
    assert last == END
    assert [json.loads(each.decode("utf-8", "surrogatepass")) for each in found] == elements
    assert split(*in_bytes(stream)) == [*found, END]


PARTS = st.sampled_from([b"[", b"]", b"{", b"}", b'"', b"\\", b",", b"\r\n", b'{"a":1}', b',{"b":"c"}', b'"}"', b"x", b"\xff"])


@given(st.lists(PARTS, max_size=14), st.data())
@settings(max_examples=300)
def test_garbage_is_cut_alike(parts: list[bytes], data: st.DataObject) -> None:
    """What is no JSON is taken apart in the same way, however it is cut, and never raises."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split(*pieces) == split(stream) == split(*in_bytes(stream))


def test_idle() -> None:
    """Between elements nothing is held; within one something is, and after the array nothing more begins."""
    splitter = ArraySplitter(LIMIT)
    told = [splitter.is_idle]
    for piece in (b"[", b'{"a":1}', b",\r\n", b'{"a', b'":1}', b"]"):
        splitter.feed(piece)
        told.append(splitter.is_idle)
    assert told == [True, True, True, True, False, True, False]


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_long_element_is_skipped(step: int) -> None:
    """An element longer than the limit passes unread and counted; the next one is read."""
    stream = b'[{"a":1},{"b":"' + b"x" * 5000 + b'"},{"c":3}]'
    splitter = ArraySplitter(1000)
    events = [event for start in range(0, len(stream), step) for event in splitter.feed(stream[start : start + step])]
    assert events == [b'{"a":1}', b'{"c":3}', END]
    assert splitter.skipped == 1


def test_memory_is_bounded() -> None:
    """An element of 8 MiB in small pieces never makes the splitter hold more than about twice its limit."""
    splitter = ArraySplitter(64 * 1024)
    piece = b"x" * 4096
    tracemalloc.start()
    splitter.feed(b'[{"a":"')
    for _ in range(2048):
        splitter.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert splitter.feed(b'"},{}]') == [b"{}", END]
    assert peak < 3 * 64 * 1024


@pytest.mark.parametrize("unit", [b'"', b"\\", b"{", b'"a', b'\\"', b'{"', b'"\\'])
def test_hostile_bytes_cost_no_more_than_their_length(unit: bytes) -> None:
    """A megabyte of what could make a pattern try again and again is passed once."""
    splitter = ArraySplitter(LIMIT)
    splitter.feed(b'[{"a":' + unit * (1 << 19))
    splitter.feed(unit * (1 << 19))
    assert not splitter.is_idle or splitter.feed(b"{}") == [b"{}"]
