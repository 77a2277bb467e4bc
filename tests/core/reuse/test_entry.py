"""What is kept of an answer."""

import gc
import tracemalloc

import pytest
from hypothesis import given

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.ratelimits import FIELDS
from sidecar.core.choose.places import NOWHERE, Place
from sidecar.core.reuse.entry import Entry, compose_entry
from sidecar.core.reuse.packing import pack, unpack
from sidecar.exchange import Cost, Seen, Usage, UsageSource
from tests.core.reuse.entries import entries, make_entry
from tests.filled import fill

COPIES = 200
PLACE: Place = NOWHERE._replace(name="main", provider="openai")
TRUE_LATER = (b"Content-Type: application/json", b"OpenAI-Version: 2020-10-01", b"openai-organization: acme", b"Cache-Control: private")


def compose(
    *pieces: bytes, times: tuple[float, ...] | None = None, streamed: bool = False, fields: tuple[bytes, ...] = (),
    seen: Seen | None = None, cost: Cost | None = None, usage: Usage | None = None,
) -> Entry:  # fmt: skip
    """What is kept of one answer."""
    times = times or (5.0,) * len(pieces)
    head = AnswerHead(200, b"OK", Framing.CHUNKED, list(fields), None, "text/event-stream; charset=utf-8", "gzip", [])
    return compose_entry(
        kind="answers", head=head, media_type="text/event-stream", streamed=streamed, pieces=pieces, times=times,
        seen=seen or Seen(), usage=usage, usage_source=UsageSource.REPORTED, cost=cost, place=PLACE,
        wall_s=1.8e9, ttl_s=300.0, stale_s=60.0, life_s=600.0, origin="there",
    )  # fmt: skip


def test_everything_of_the_answer_is_kept() -> None:
    """Each member comes from where it should."""
    seen = fill(Seen(), model="m-1", response_id="r-1", finish_reasons=["stop", "length"])
    entry = compose(b"{}", fields=TRUE_LATER, seen=seen, cost=Cost(0.25, "table"), usage=Usage(3, 1))
    assert entry == Entry(
        "answers", 200, b"OK", TRUE_LATER, "text/event-stream; charset=utf-8", "gzip", False, "text/event-stream", (b"{}",), (0,), 1.8e9,
        300.0, 60.0, "main", "openai", "m-1", "r-1", ("stop", "length"), Usage(3, 1), "reported", 0.25, "table", 600.0,
        "there",
    )  # fmt: skip
    assert type(entry.usage_source) is str  # a subclass could not be packed, nor be equal to what is unpacked
    assert unpack(pack(entry)) == entry


def test_what_is_not_known_is_not_zero() -> None:
    """No cost and no usage stay none."""
    entry = compose(b"{}")
    assert (entry.usage, entry.cost_usd, entry.cost_source, entry.model) == (None, None, "", None)


@pytest.mark.parametrize(
    "name",
    [
        "Date", "Age", "Retry-After", "retry-after-ms", "Set-Cookie", "set-cookie2", "x-request-id", "X-Request-ID", "request-id",
        "openai-processing-ms", "CF-Ray", "cf-cache-status", "alt-svc", "x-ratelimit-remaining-requests", "x-ratelimit-reset-tokens",
        "X-RateLimit-Limit-Tokens", "anthropic-ratelimit-requests-reset", "anthropic-priority-input-tokens-remaining", "RateLimit",
        "ratelimit-policy", "x-tokenlimit-remaining", "apim-request-id", "x-ms-request-id", "x-amzn-RequestId", "Mcp-Session-Id",
        "traceparent", "tracestate", "x-b3-traceid", "x-envoy-upstream-service-time", "Server-Timing", "report-to", "nel",
    ],
)  # fmt: skip
def test_what_was_true_of_the_moment_is_left_out(name: str) -> None:
    """Of its time, its caller, its call: nothing that another caller could be told as its own."""
    assert compose(b"{}", fields=(TRUE_LATER[0], name.encode() + b": 1", *TRUE_LATER[1:])).fields == TRUE_LATER


def test_no_rate_limit_is_kept() -> None:
    """None of all that can be read."""
    assert compose(b"{}", fields=tuple(name + b": 5" for name in FIELDS)).fields == ()


def test_a_stream_keeps_its_pieces_and_their_pace() -> None:
    """Each piece as it came, in milliseconds since the first; clocks that go back do not make it negative."""
    entry = compose(b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n", streamed=True, times=(7.0, 7.0254, 6.0))
    assert entry.pieces == (b"data: 1\n\n", b"data: 2\n\n", b"data: 3\n\n")
    assert entry.delays_ms == (0, 25, 0)
    assert entry.body_bytes == 27


def test_nothing_is_kept_of_nothing() -> None:
    """An empty piece would end a chunked body; time still counts from the first that is one."""
    entry = compose(b"", b"a", b"", b"b", streamed=True, times=(1.0, 2.0, 3.0, 4.0))
    assert (entry.pieces, entry.delays_ms) == ((b"a", b"b"), (0, 2000))
    assert (compose(streamed=True).pieces, compose(b"").pieces, compose().delays_ms) == ((), (), ())


def test_another_answer_is_kept_in_one_piece() -> None:
    """How the network cut it is an accident."""
    entry = compose(b'{"a":', b"1}", times=(1.0, 2.0))
    assert (entry.pieces, entry.delays_ms) == ((b'{"a":1}',), (0,))


def test_pieces_and_times_go_together() -> None:
    """One without the other is a mistake that is not covered up."""
    with pytest.raises(ValueError, match="shorter"):
        compose(b"a", b"b", streamed=True, times=(1.0,))


def test_what_utf_8_cannot_hold_is_kept_nonetheless() -> None:
    """JSON can hold lone surrogates: they must not be what a call fails of."""
    entry = compose(b"{}", seen=fill(Seen(), model="m\ud800", response_id="\udfff", finish_reasons=["\ud800stop"]))
    assert (entry.model, entry.response_id, entry.finish_reasons) == ("m?", "?", ("?stop",))
    assert unpack(pack(entry)) == entry


@given(entries())
def test_the_size_is_what_it_takes_in_memory(entry: Entry) -> None:
    """Beside what the allocator says that each of many takes: never much less, nor more than half as much again."""
    packed = pack(entry)
    gc.collect()
    tracemalloc.start()
    try:
        before = tracemalloc.get_traced_memory()[0]
        same = [unpack(packed) for _ in range(COPIES)]
        taken = (tracemalloc.get_traced_memory()[0] - before) / COPIES
    finally:
        tracemalloc.stop()
    assert taken * 0.95 <= same[0].size_bytes <= taken * 1.5 + 512


def test_large_bodies_are_counted_to_the_byte_or_nearly() -> None:
    """What is most of it is exact."""
    assert make_entry(b"x" * 1_000_000).size_bytes - make_entry(b"x").size_bytes == 999_999
