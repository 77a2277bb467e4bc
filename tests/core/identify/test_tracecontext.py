"""Trace context: what is taken over, what is ignored, what is sent on."""

import random

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.core.identify.tracecontext import (
    RemoteParent,
    attempt_span_id,
    begin_trace,
    format_parent,
    format_traceparent,
    join_tracestate,
    parse_traceparent,
)
from sidecar.exchange import TraceContext

TRACE, SPAN = "0af7651916cd43dd8448eb211c80319c", "b7ad6b7169203331"
VALID = f"00-{TRACE}-{SPAN}-01".encode()


def draw(bits: int) -> int:
    """Return the largest number of so many bits."""
    return (1 << bits) - 1


def test_a_valid_parent_is_continued() -> None:
    """The trace id, the caller's span id, the sampled flag and the trace state are taken over."""
    trace = begin_trace(((b"Host", b"x"), (b"Traceparent", VALID), (b"TraceState", b"congo=t61")), draw, 0.0)
    assert (trace.trace_id, trace.remote_span_id) == (int(TRACE, 16), int(SPAN, 16))
    assert trace.sampled
    assert trace.tracestate == "congo=t61"


def test_an_unsampled_parent_is_respected() -> None:
    """A caller that does not sample is not overruled by a ratio of 1."""
    assert not begin_trace(((b"traceparent", VALID[:-1] + b"0"),), draw, 1.0).sampled


@pytest.mark.parametrize(
    "value",
    [
        b"", b"00", VALID[:-1], VALID + b"0", VALID + b"-more", VALID.upper(), b"ff" + VALID[2:], VALID.replace(b"-", b"_"),
        f"00-{'0' * 32}-{SPAN}-01".encode(), f"00-{TRACE}-{'0' * 16}-01".encode(), f"00-{TRACE}-{SPAN}-0x".encode(),
        f"00-0x{TRACE[2:]}-{SPAN}-01".encode(), b"01" + VALID[2:] + b"x", b"01" + VALID[2:] + b"-" + b"x" * 500, b"\xff" * 55,
    ],
)  # fmt: skip
def test_a_malformed_parent_begins_a_new_trace(value: bytes) -> None:
    """What is not a valid traceparent is ignored, and its trace state with it."""
    assert parse_traceparent(value) is None
    trace = begin_trace(((b"traceparent", value), (b"tracestate", b"congo=t61")), draw, 1.0)
    assert trace.remote_span_id is None
    assert trace.tracestate == ""


def test_a_future_version_is_read_by_its_known_part() -> None:
    """A higher version with more fields is read like version 00."""
    assert parse_traceparent(b"cc" + VALID[2:] + b"-what-the-future-brings") == (int(TRACE, 16), int(SPAN, 16), True)
    assert parse_traceparent(b" " + VALID + b"\t") is not None


def test_two_parents_are_none() -> None:
    """Several traceparent lines are ambiguous: a new trace begins."""
    assert begin_trace(((b"traceparent", VALID), (b"traceparent", VALID)), draw, 1.0).remote_span_id is None


@pytest.mark.parametrize(
    ("values", "joined"),
    [
        ([b"a=1", b"b=2 , c=3"], "a=1,b=2,c=3"),
        ([b"a=1,,", b""], "a=1"),
        ([b"fw529a3039@dt=FfSgzp", b"a*/_-=x y"], "fw529a3039@dt=FfSgzp,a*/_-=x y"),
        ([b"a=1,a=2"], ""),
        ([b"A=1"], ""),
        ([b"a"], ""),
        ([b"a=b=c"], ""),
        ([b"a=\x00"], ""),
        ([b"a=\xc3\xa4"], ""),
        ([b",".join(b"k%d=1" % number for number in range(33))], ""),
        ([b"a=" + b"x" * 9000], ""),
    ],
)
def test_trace_states_are_joined_in_order_or_dropped(values: list[bytes], joined: str) -> None:
    """Several lines become one; one invalid, repeated or surplus member drops them all."""
    assert join_tracestate(values) == joined


@given(st.lists(st.tuples(st.sampled_from([b"traceparent", b"tracestate", b"x"]), st.binary(max_size=80)), max_size=5))
def test_hostile_headers_never_raise(headers: list[tuple[bytes, bytes]]) -> None:
    """Whatever the headers hold, there are identities, none of them zero."""
    trace = begin_trace(tuple(headers), lambda bits: 0, 1.0)
    assert all((trace.trace_id, trace.server_span_id, trace.client_span_id, trace.attempt_span_id))
    assert trace.tracestate.isascii()


def test_a_root_is_sampled_by_its_trace_id() -> None:
    """The ratio decides by the trace id's low 64 bits, as every TraceIdRatioBased sampler does."""
    source = random.Random(7)
    traces = [begin_trace((), source.getrandbits, 0.25) for _ in range(4000)]
    assert 800 < sum(trace.sampled for trace in traces) < 1200
    assert all(trace.sampled == (trace.trace_id % 2**64 < 2**62) for trace in traces)
    assert all(begin_trace((), source.getrandbits, 1.0).sampled for _ in range(50))
    assert not any(begin_trace((), source.getrandbits, 0.0).sampled for _ in range(50))


def test_identities_differ() -> None:
    """The trace and its three spans get different random identities."""
    trace = begin_trace((), random.Random(1).getrandbits, 1.0)
    assert len({trace.trace_id, trace.server_span_id, trace.client_span_id, trace.attempt_span_id}) == 4
    assert trace.trace_id.bit_length() > 64


def test_what_is_sent_on_can_be_read_again() -> None:
    """The outgoing traceparent names our attempt's span under the caller's trace."""
    trace = TraceContext(int(TRACE, 16), 1, 2, 3, 0xAB, False)
    assert format_traceparent(trace) == f"00-{TRACE}-00000000000000ab-00".encode()
    again = parse_traceparent(format_traceparent(replace(trace, sampled=True), 1))
    assert again == (trace.trace_id, attempt_span_id(trace, 1), True)


def test_attempts_have_spans_of_their_own() -> None:
    """Each attempt has another span id, valid even where the numbers run over."""
    trace = TraceContext(1, None, 2, 3, 2**64 - 1, True)
    ids = [attempt_span_id(trace, number) for number in range(3)]
    assert len(set(ids)) == 3
    assert all(0 < span_id < 2**64 for span_id in ids)


def test_a_call_within_an_exchange_continues_under_its_server_span() -> None:
    """As a traceparent that reads back to the same trace, with its state."""
    trace = begin_trace((), lambda bits: (1 << bits) - 1, 1.0)
    [(name, value)] = format_parent(trace)
    assert (name, parse_traceparent(value)) == (b"traceparent", RemoteParent(trace.trace_id, trace.server_span_id, True))
    assert format_parent(replace(trace, tracestate="a=b"))[1] == (b"tracestate", b"a=b")
