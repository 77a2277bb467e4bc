"""Asking for usage, and taking out again what comes only because of it."""

import json
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.observe.asking import UsageRemover, add_usage_request

USAGE = '"usage":{"prompt_tokens":5,"completion_tokens":2,"total_tokens":7}'
CHUNK = '{"id":"i","choices":[{"index":0,"delta":{"content":"a"},"finish_reason":null}]}'
ASKED_CHUNK = CHUNK[:-1] + ',"usage":null}'
USAGE_CHUNK = '{"id":"i","object":"chat.completion.chunk","model":"m","choices":[],' + USAGE + "}"


def sse(*texts: str, end: str = "\n") -> bytes:
    """The texts as events."""
    return "".join(f"data: {text}{end}{end}" for text in texts).encode()


def remove(*pieces: bytes, limit: int = 65536) -> bytes:
    """All that is sent on after all pieces."""
    remover = UsageRemover(limit)
    return b"".join(map(remover.feed, pieces)) + remover.flush()


@pytest.mark.parametrize(
    "body",
    [
        '{"model":"m","stream":true,"messages":[{"content":"\\u00e9  1.0e0"}]}',
        '{ "stream" : true , "temperature" : 1.50, "seed":123456789012345678901234567890 }',
        '{"stream":true,"stream_options":null}',
        '{"stream":true,"stream_options":{}}',
        '{"stream":true,"stream_options":{"include_obfuscation":false}}',
    ],
)
def test_usage_is_asked_for(body: str) -> None:
    """Only include_usage is added; every other value keeps its spelling."""
    asked = add_usage_request(body.encode())
    assert asked is not None
    before, after = json.loads(body, parse_float=str, parse_int=str), json.loads(asked, parse_float=str, parse_int=str)
    assert after.pop("stream_options") == {**(before.pop("stream_options", None) or {}), "include_usage": True}
    assert after == before
    assert (b"\\u00e9  1.0e0" in asked) == ("\\u00e9  1.0e0" in body)


@pytest.mark.parametrize(
    "body",
    [
        b"", b"[]", b"not json", b'{"stream":true', b'{"model":"m"}', b'{"stream":false}', b'{"stream":"true"}', b'{"stream":1}',
        b'{"stream":true,"stream_options":{"include_usage":true}}', b'{"stream":true,"stream_options":{"include_usage":false}}',
        b'{"stream":true,"stream_options":{"include_usage":null}}', b'{"stream":true,"stream_options":{"continuous_usage_stats":true}}',
        b'{"stream":true,"stream_options":7}', b'{"stream":true,"stream_options":[]}', b'{"\xff":1,"stream":true}',
        b'{"stream":true,"x":' + b"[" * 100_000 + b"]" * 100_000 + b"}",
    ],
)  # fmt: skip
def test_what_is_left_alone(body: bytes) -> None:
    """Nothing is changed where it is not a streamed chat, or the caller has said what it wants."""
    assert add_usage_request(body) is None


@pytest.mark.parametrize(
    ("body", "provider", "query", "asks"),
    [
        ('{"stream":true}', "vllm", "", True),
        ('{"stream":true,"stream_options":{}}', "vllm", "", False),  # means there that usage is wanted
        ('{"stream":true,"stream_options":{"include_obfuscation":false}}', "vllm", "", False),
        ('{"stream":true}', "azure.ai.openai", "api-version=2024-06-01", False),
        ('{"stream":true}', "azure.ai.openai", "a=b&api-version=2024-08-01-preview", False),
        ('{"stream":true}', "azure.ai.openai", "api-version=2024-10-21", True),
        ('{"stream":true}', "azure.ai.openai", "api-version=2024-09-01-preview&a=b", True),
        ('{"stream":true}', "azure.ai.openai", "api-version=preview", True),
        ('{"stream":true}', "azure.ai.openai", "", True),
        ('{"stream":true}', "openai", "api-version=2024-06-01", True),
        ('{"stream":true,"data_sources":[{"type":"azure_search"}]}', "azure.ai.openai", "api-version=2025-04-01-preview", False),
    ],
)
def test_who_declines_or_takes_it_otherwise_is_not_asked(body: str, provider: str, query: str, asks: bool) -> None:
    """A call that went through without us must go through with us."""
    assert (add_usage_request(body.encode(), provider, query) is not None) is asks


@pytest.mark.parametrize("end", ["\n", "\r\n"])
def test_caller_sees_what_it_would_have_seen(end: str) -> None:
    """The extra chunk and the null members go; the stream is as it is without asking."""
    asked = sse(ASKED_CHUNK, ASKED_CHUNK, USAGE_CHUNK, "[DONE]", end=end)
    assert remove(asked) == sse(CHUNK, CHUNK, "[DONE]", end=end)


@pytest.mark.parametrize(
    ("asked", "plain"),
    [
        ('{"a":1,"usage":null,"obfuscation":"x{}]"}', '{"a":1,"obfuscation":"x{}]"}'),
        ('{"a":1,"usage":null,"obfuscation":"xy"}', '{"a":1,"obfuscation":"xy"}'),
        ('{"usage":null,"a":1}', '{"a":1}'),
        ('{"a": 1, "usage": null}', '{"a": 1}'),
        ('{"a": 1 ,"usage" : null , "b": 2}', '{"a": 1  , "b": 2}'),
        ('{"a":1,"usage":null }', '{"a":1 }'),
        ('{"x":{"b":1,"usage":null},"a":1,"usage":null}', '{"x":{"b":1,"usage":null},"a":1}'),
        ('{"a":1,"usage":null,"x":{"b":1,"usage":null}}', '{"a":1,"x":{"b":1,"usage":null}}'),
        ('{"text":",\\"usage\\":null","usage":null}', '{"text":",\\"usage\\":null"}'),
        ('{"a":1,"usage":null,"text":",\\"usage\\":null}"}', '{"a":1,"text":",\\"usage\\":null}"}'),
        (USAGE_CHUNK.replace('"choices"', '"prompt_filter_results":[{"i":0}],"choices"'),
         USAGE_CHUNK.replace('"choices"', '"prompt_filter_results":[{"i":0}],"choices"').replace("," + USAGE, "")),
    ],
)  # fmt: skip
def test_member_is_cut_out_exactly(asked: str, plain: str) -> None:
    """Only the event's own member goes, wherever it stands; everything else stays byte for byte."""
    assert remove(sse(asked)) == sse(plain)


def test_usage_chunk_with_empty_members_goes() -> None:
    """Members that say nothing do not save the extra chunk, nor does padding."""
    assert remove(sse(USAGE_CHUNK[:-1] + ',"prompt_filter_results":null,"obfuscation":"abc"}')) == b""


@pytest.mark.parametrize(
    "stream",
    [
        sse(CHUNK, "[DONE]"),
        sse(CHUNK[:-1] + "," + USAGE + "}"),
        sse('{"x":{"a":1,"usage":null}}'),
        sse('{"error":{"message":"x"}}'),
        b': ping\n\nevent: a\ndata: {"a":1,"usage":null}\n\n',
        b'data: {"a":1,\ndata: "usage":null}\n\n',
        b'data: garbage,"usage":null}\n\n',
        b'garbage,"usage":null}\n\n',
        b'data: {"a":1,\r"usage":null}\n\n',
        b'data: {"a":1,"usage":null}\r\rdata: [DONE]\r\r',
        b'data: {"a":1,"usage":null}\n',
        b'data: {"a":1,"usage":null',
        b"\n\n\r\n\n",
        b"\xff\xfe\x00",
        b"",
    ],
)
def test_everything_else_is_untouched(stream: bytes) -> None:
    """What is not exactly what asking adds passes as it came, whole and byte by byte."""
    assert remove(stream) == stream
    assert remove(*(bytes([byte]) for byte in stream)) == stream


def test_whole_events_are_sent_on_at_once() -> None:
    """An event waits for nothing but its own end."""
    remover = UsageRemover()
    assert remover.feed(sse(CHUNK)) == sse(CHUNK)
    assert remover.feed(sse(CHUNK) + b"data: {") == sse(CHUNK)
    assert remover.feed(CHUNK[1:].encode() + b"\n\n") == sse(CHUNK)
    assert remover.flush() == b""


def test_stream_of_bare_cr_is_not_held_back() -> None:
    """Where lines end with CR alone nothing is filtered, and nothing waits for the limit."""
    remover = UsageRemover()
    stream = b'data: {"a":1,"usage":null}\r\rdata: {"b":1,"usage":null}\r\r'
    assert len(remover.feed(stream)) == len(stream)


@pytest.mark.parametrize("end", ["\n", "\r\n"])
@pytest.mark.parametrize("missing", [1, 2, 3])
def test_end_of_a_long_event_may_be_split(end: str, missing: int) -> None:
    """The end of an event that passes is found though a part of it was sent on before."""
    long = sse('{"text":"' + "x" * 200 + '"}', end=end)
    assert remove(long[:-missing], long[-missing:] + sse(ASKED_CHUNK), limit=100) == long + sse(CHUNK)


@pytest.mark.parametrize("step", [1, 10, 1000])
def test_long_event_passes(step: int) -> None:
    """An event over the limit is not held back, and the next one is filtered again."""
    long = sse('{"text":"' + "x" * 200 + '","usage":null}')
    stream = long + sse(ASKED_CHUNK)
    pieces = [stream[start : start + step] for start in range(0, len(stream), step)]
    assert remove(*pieces, limit=150) == long + sse(CHUNK)
    remover = UsageRemover(150)
    assert len(remover.feed(long[:-1])) == len(long) - 1


PARTS = st.sampled_from(
    [sse(ASKED_CHUNK), sse(CHUNK), sse(USAGE_CHUNK), sse("[DONE]"), sse(ASKED_CHUNK, end="\r\n"), sse(USAGE_CHUNK, end="\r\n"), b": c\n\n",
     b"\n", b"\r", b"\r\n", b"data: x\n", b"data: {", b'"usage":null}\n\n', sse('{"t":"' + "y" * 400 + '","usage":null}'), b"\xff"]
)  # fmt: skip


@given(st.lists(PARTS, max_size=10), st.data())
@settings(max_examples=500)
def test_every_cut_is_filtered_alike(parts: list[bytes], data: st.DataObject) -> None:
    """However a stream is cut, the same bytes are sent on."""
    stream = b"".join(parts)
    cuts = sorted(data.draw(st.lists(st.integers(0, len(stream)), max_size=10)))
    pieces = [stream[begin:end] for begin, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)]
    whole = remove(stream, limit=300)
    assert remove(*pieces, limit=300) == whole
    assert remove(*(bytes([byte]) for byte in stream), limit=300) == whole


MEMBER_NAMES = st.text(max_size=5) | st.just("usage")
MEMBER_VALUES = st.none() | st.integers() | st.text(max_size=8) | st.just({"a": 1, "usage": None})


@given(st.dictionaries(MEMBER_NAMES, MEMBER_VALUES), st.booleans())
def test_any_object_keeps_its_other_members(members: dict[str, Any], spaced: bool) -> None:
    """Whatever an event holds, only a null usage of its own is missing afterwards."""
    separators = (", ", ": ") if spaced else (",", ":")
    filtered = remove(sse(json.dumps(members, separators=separators)))
    if members.get("usage", 0) is None and len(members) > 1:
        del members["usage"]
    assert filtered == sse(json.dumps(members, separators=separators))
