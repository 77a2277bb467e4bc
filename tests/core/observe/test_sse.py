"""The splitter against the rules of the standard, for every way of cutting a stream."""

import tracemalloc

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.observe.sse import EventSplitter, LooseEventSplitter

LIMIT = 1 << 20


def split(*pieces: bytes, limit: int = LIMIT) -> list[bytes]:
    """All events of the pieces, fed to one splitter."""
    splitter = EventSplitter(limit)
    return [event for piece in pieces for event in splitter.feed(piece)]


def in_bytes(stream: bytes) -> list[bytes]:
    """The stream in single bytes."""
    return [stream[position : position + 1] for position in range(len(stream))]


def reference(stream: bytes) -> list[bytes]:
    """The standard's rules in their plainest form, for whole streams."""
    stream = stream.removeprefix(b"\xef\xbb\xbf").replace(b"\r\n", b"\n").replace(b"\r", b"\n")
    events: list[bytes] = []
    data: list[bytes] = []
    for line in stream.split(b"\n")[:-1]:
        if not line:
            if data:
                events.append(b"\n".join(data))
            data = []
        field, _, value = line.partition(b":")
        if field == b"data":
            data.append(value.removeprefix(b" "))
    return events


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\n\n", [b"a"]),
        (b"data: a\n\ndata: b\n\n", [b"a", b"b"]),
        (b"event: x\ndata: a\n\nevent: y\ndata: b\n\n", [b"a", b"b"]),
        (b"event: x\ndata: a\ndata: b\n\nevent: y\n\nevent: z\nid: 1\ndata: c\n\n", [b"a\nb", b"c"]),
        (b"event: x\nevent: y\ndata: a\n\nevent: x\ndata: a\n: c\n\n", [b"a", b"a"]),
        (b"data:a\r\n\r\ndata:b\r\rdata: c\n\n", [b"a", b"b", b"c"]),
        (b"data: a\r\n\ndata: b\n\r\n", [b"a", b"b"]),
        (b"data: a\r\r\n\n\ndata: b\r\n\r", [b"a", b"b"]),
        (b"data: a\ndata: b\n\n", [b"a\nb"]),
        (b"data:  a \n\n", [b" a "]),
        (b"data\n\ndata:\n\n", [b"", b""]),
        (b"data: a\n: comment\nevent: x\nid: 1\nretry: 5\ndatax: no\n\n", [b"a"]),
        (b": only a comment\n\n\n\nevent: x\n\n", []),
        (b"\xef\xbb\xbfdata: a\n\n\xef\xbb\xbfdata: b\n\n", [b"a"]),
        (b"data: a\n\ndata: unfinished\n", [b"a"]),
        (b"data: \xff\xfe\n\n", [b"\xff\xfe"]),
        (b"data: a\n\n\ndata: b\n\n", [b"a", b"b"]),
        (b"data: a\x0bb\x0cc\x1cd\xc2\x85e\n\n", [b"a\x0bb\x0cc\x1cd\xc2\x85e"]),
    ],
)
def test_rules(stream: bytes, events: list[bytes]) -> None:
    """Each rule of the standard holds, whole and byte by byte."""
    assert split(stream) == events
    assert split(*in_bytes(stream)) == events


PARTS = st.sampled_from(
    [
        b"data: x",
        b"data:",
        b"data",
        b": c",
        b"e: f",
        b"event: e\n",
        b"event: e\ndata: x\n\n",
        b"data: ",
        b"\n",
        b"\r",
        b"\r\n",
        b"\n\n",
        b"\xef\xbb\xbf",
        b"z",
    ]
)


@given(st.lists(PARTS), st.data())
@settings(max_examples=300)
def test_every_cut(parts: list[bytes], data: st.DataObject) -> None:
    """However a stream is cut, its events are those of the plain reading of the whole."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    expected = reference(stream)
    assert split(*pieces) == expected
    assert split(*in_bytes(stream)) == expected


def test_fast_way_needs_single_lines() -> None:
    """Several events in one piece with a line between them that is not data are read as they stand."""
    assert split(b"\n", b"data: a\nid: 1\n\ndata: b\n\n") == [b"a", b"b"]
    assert split(b"\n", b"data: a\n\ndata: b\ndata: c\n\n") == [b"a", b"b\nc"]
    assert split(b"\n", b"data: a\rdata: b\n\n") == [b"a\nb"]


@pytest.mark.parametrize("step", [1, 7, 1 << 16])
def test_long_event_is_skipped(step: int) -> None:
    """An event longer than the limit passes unread and counted; the next one is read."""
    stream = b"data: a\n\ndata: " + b"x" * 5000 + b"\n\ndata: b\n\n"
    splitter = EventSplitter(1000)
    events = [event for start in range(0, len(stream), step) for event in splitter.feed(stream[start : start + step])]
    assert events == [b"a", b"b"]
    assert splitter.skipped == 1


def test_long_event_of_short_lines_is_skipped() -> None:
    """The limit holds for an event of many lines too, even of empty ones."""
    splitter = EventSplitter(1000)
    assert splitter.feed(b"data: xxxx\n" * 300 + b"\n" + b"data\n" * 2000 + b"\ndata: b\n\n") == [b"b"]
    assert splitter.skipped == 2


def test_long_comment_is_not_counted() -> None:
    """A long comment within an event costs the event nothing."""
    splitter = EventSplitter(1000)
    assert splitter.feed(b"data: a\n:" + b"x" * 5000 + b"\n\n") == [b"a"]
    assert splitter.skipped == 0


def test_memory_is_bounded() -> None:
    """A line of 8 MiB in small pieces never makes the splitter hold more than about twice its limit."""
    splitter = EventSplitter(64 * 1024)
    piece = b"x" * 4096
    tracemalloc.start()
    splitter.feed(b"data: ")
    for _ in range(2048):
        splitter.feed(piece)
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert splitter.feed(b"\n\ndata: b\n\n") == [b"b"]
    assert peak < 3 * 64 * 1024


@pytest.mark.parametrize(
    "piece",
    [
        b"event: x\ndata: a\n\n",
        b"event: x\ndata: a\n\nevent: y\ndata: b\n\n",
        b"event: x\ndata: a\ndata: b\n\n",
        b"event: x\nid: 1\ndata: a\n\n",
        b"event: x\ndata: a\nid: 1\n\nevent: y\ndata: b\n\n",
        b"event: x\n\nevent: y\ndata: b\n\n",
        b"event: x\ndata: a\n\n\nevent: y\ndata: b\n\n",
        b"event: x\ndata: a\n\n: c\n\n",
        b"event: x\ndata: a\n\ndata: b\n\n",
        b"event: x\ndata:a\n\n",
        b"event: x\ndata: \n\n",
    ],
)
def test_named_events_one_piece_after_another(piece: bytes) -> None:
    """Between two events named ones are split at once, where they have that form, and line by line where not."""
    assert split(b"data: first\n\n", piece, piece) == reference(b"data: first\n\n" + piece + piece)


def test_a_named_event_beyond_the_limit() -> None:
    """What is longer than the limit is not read because it came in one piece."""
    splitter = EventSplitter(20)
    splitter.feed(b"data: first\n\n")
    assert splitter.feed(b"event: x\ndata: " + b"a" * 30 + b"\n\n") == []
    assert splitter.skipped == 1


@pytest.mark.parametrize(
    ("stream", "identified"),
    [
        (b"data: a\n\n", False), (b"id: 1\ndata: a\n\n", True), (b"data: a\nid\n\n", False), (b"data: id: 1\n\n", False),
        (b"event: m\nid: 1\ndata: a\n\n", True), (b"event: m\ndata: a\nid: 1\n\n", True), (b"event: m\ndata: id: 1\n\n", False),
        (b"event: m\ndata: a\n\nevent: m\nid: 1\ndata: b\n\n", True), (b"event: m\r\nid: 1\r\ndata: b\r\n\r\n", True),
    ],
)  # fmt: skip
def test_it_is_told_whether_an_event_had_an_id(stream: bytes, identified: bool) -> None:
    """From which a reader can ask for the rest, whole and byte by byte."""
    for size in (1, 100):
        splitter = EventSplitter(1000)
        splitter.feed(b"event: m\ndata: first\n\n")
        for offset in range(0, len(stream), size):
            splitter.feed(stream[offset : offset + size])
        assert splitter.identified is identified


ERROR = b'{\n  "error": {\n    "code": 503,\n    "message": "a } brace"\n  }\n}'


def split_loosely(*pieces: bytes) -> list[bytes]:
    """All that one splitter yields which reads bare objects, too."""
    splitter = LooseEventSplitter(LIMIT)
    return [event for piece in pieces for event in splitter.feed(piece)] + splitter.flush()


@pytest.mark.parametrize(
    ("stream", "events"),
    [
        (b"data: a\r\n\r\ndata: b\r\n\r\n", [b"a", b"b"]),
        (b"data: a\n\n" + ERROR + b"\n", [b"a", ERROR]),
        (b"data: a\r\n\r\n" + ERROR.replace(b"\n", b"\r\n") + b"\r\n", [b"a", ERROR]),
        (b"data: a\n\n" + ERROR, [b"a", ERROR]),
        (ERROR + b"\n\ndata: b\n\n", [ERROR, b"b"]),
        (b"[" + ERROR + b"]\n", [ERROR]),
        (b"[\n" + ERROR + b"\n]\n\ndata: b\n\n", [ERROR, b"b"]),
        (b'{"a": 1}\n{"b": 2}', [b'{"a": 1}', b'{"b": 2}']),
        (b'{"a": 1', []),
        (b'{"a": \n\ndata: b\n\n', [b"b"]),
        (b"data: a\ndata: b\n\n: c\nevent: d\n{\n}\n\n", [b"a\nb", b"{\n}"]),
        (b"data: {\n\n}\n\n", [b"{"]),
        (b"]\n\ndata: a\n\n", [b"a"]),
        (b"data: unfinished", []),
        (b"data: a\n\n  {}\n\n", [b"a"]),
    ],
)
def test_bare_objects(stream: bytes, events: list[bytes]) -> None:
    """An object without a field's name is read where its braces balance, its last line with or without an end."""
    assert split_loosely(stream) == events
    assert split_loosely(*in_bytes(stream)) == events


@given(st.lists(PARTS | st.sampled_from([b"{", b"}", b'"', b"\\", b"[", b"]", b"{}\n", b"data: x\r\n\r\n"])), st.data())
@settings(max_examples=300)
def test_every_loose_cut(parts: list[bytes], data: st.DataObject) -> None:
    """However a stream with bare objects, or parts of them, is cut, the same is read."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=8)))
    pieces = [stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    assert split_loosely(*pieces) == split_loosely(stream) == split_loosely(*in_bytes(stream))
    assert [event for event in split_loosely(stream) if event[:1] != b"{"] == [event for event in split(stream) if event[:1] != b"{"]


def test_a_bare_object_is_not_idle() -> None:
    """Within one, no event can begin that could be counted unread."""
    splitter = LooseEventSplitter(LIMIT)
    told = []
    for piece in (b"data: a\n\n", b"{\n", b' "a": 1\n', b"}\n"):
        splitter.feed(piece)
        told.append(splitter.is_idle)
    assert told == [True, False, False, True]


def test_a_bare_object_is_bounded() -> None:
    """One of 8 MiB passes unread and is not held."""
    splitter = LooseEventSplitter(64 * 1024)
    tracemalloc.start()
    splitter.feed(b"{\n")
    for _ in range(2048):
        splitter.feed(b'"a": "' + b"x" * 4096 + b'",\n')
    _, peak = tracemalloc.get_traced_memory()
    tracemalloc.stop()
    assert splitter.feed(b"}\n\ndata: b\n\n") == [b"b"]
    assert peak < 4 * 64 * 1024
