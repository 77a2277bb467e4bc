"""sidecar/simulator/reply.py"""

import gzip
import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.simulator.dialects import OPENAI
from sidecar.simulator.openai import DONE, render_whole
from sidecar.simulator.plan import plan_reply
from sidecar.simulator.profile import Profile
from sidecar.simulator.reply import End, Outcome, Reply, compose, compose_plain
from sidecar.simulator.request import Form, read_ask
from sidecar.simulator.script import Fault, Newline, Script

_BROKEN = (Fault.RESET, Fault.DROP, Fault.CUT, Fault.STALL, Fault.SHORT_BODY)


def _reply(script: Script | None = None, *, stream: bool = True, gzips: bool = False, can_chunk: bool = True, **members: Any) -> Reply:
    told = script or Script(tokens=6)
    body: dict[str, Any] = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}], **members}
    if stream:
        body |= {"stream": True, "stream_options": {"include_usage": True}}
    ask = read_ask(Form.CHAT, json.dumps(body).encode())
    plan = plan_reply(ask, told, told.fault, Profile(), "1", 0)
    return compose(OPENAI, plan, [], accepts_gzip=gzips, can_chunk=can_chunk)


def _body(reply: Reply) -> bytes:
    return b"".join(step.body for step in reply.steps)


def _usage_end(reply: Reply) -> int | None:
    """Where the usage ends that is told; None where none is."""
    return reply.marks.tellings[-1][0] if reply.marks.tellings else None


def _wire(reply: Reply) -> bytes:
    return b"".join(step.wire for step in reply.steps)


def _events(body: bytes) -> list[bytes]:
    return [event.removeprefix(b"data: ") for event in body.split(b"\n\n") if event]


def _dechunk(wire: bytes) -> tuple[bytes, bool]:
    """The body of a chunked message, and whether its last chunk was there."""
    rest, body = wire.partition(b"\r\n\r\n")[2], b""
    while rest:
        size, _, rest = rest.partition(b"\r\n")
        if size == b"0":
            return body, True
        body, rest = body + rest[: int(size, 16)], rest[int(size, 16) + 2 :]
    return body, False


def test_whole() -> None:
    """An unstreamed answer is one write after the time that it takes."""
    reply = _reply(Script(tokens=3, ttft_ms=100, gap_ms=10), stream=False)
    assert [step.delay_s for step in reply.steps] == [pytest.approx(0.12)]
    assert (reply.status, reply.end, reply.outcome) == (200, End.KEEP, Outcome.COMPLETE)
    assert _usage_end(reply) == len(_body(reply))
    assert b"content-length: %d\r\n" % len(_body(reply)) in _wire(reply)


def test_stream() -> None:
    """A stream is a chunk per event and ends with its last chunk."""
    reply = _reply()
    body, is_ended = _dechunk(_wire(reply))
    assert (body, is_ended) == (_body(reply), True)
    assert _events(body)[-1] == DONE


def test_marks_of_a_stream() -> None:
    """Tokens count when the last byte of their event is out, and so does usage."""
    reply = _reply(Script(tokens=3))
    ends = reply.marks.token_ends
    assert reply.marks.tokens_within(ends[1] - 1) == (1, 0)
    assert reply.marks.tokens_within(ends[1]) == (2, 0)
    assert _usage_end(reply) == len(_body(reply)) - len(b"data: [DONE]\n\n")


@pytest.mark.parametrize(("fault", "status"), [(Fault.RATE_LIMITED, 429), (Fault.SERVER_ERROR, 500), (Fault.UNAVAILABLE, 503)])
def test_error_statuses(fault: Fault, status: int) -> None:
    """A failure by status is a whole JSON answer, never a stream, and is not billed."""
    reply = _reply(Script(fault=fault, retry_after_s=7))
    assert (reply.status, reply.outcome, reply.is_billed) == (status, Outcome.COMPLETE, False)
    assert set(json.loads(_body(reply))["error"]) == {"message", "type", "param", "code"}
    assert (b"\r\nretry-after: 7\r\n" in _wire(reply)) == (status in (429, 503))


def test_status_as_told() -> None:
    """A script may ask for any error status."""
    assert _reply(Script(fault=Fault.STATUS, status=529)).status == 529


@pytest.mark.parametrize(
    ("fault", "end", "outcome"),
    [
        (Fault.RESET_BEFORE_HEAD, End.RESET, Outcome.UNANSWERED), (Fault.CLOSE_BEFORE_HEAD, End.CLOSE, Outcome.UNANSWERED),
        (Fault.GARBAGE_HTTP, End.CLOSE, Outcome.GARBAGE),
    ],
)  # fmt: skip
def test_before_the_head(fault: Fault, end: End, outcome: Outcome) -> None:
    """Some faults leave no head: nothing is sent as HTTP and nothing is billed."""
    reply = _reply(Script(fault=fault, ttft_ms=100))
    assert (reply.status, reply.end, reply.outcome, reply.is_billed) == (None, end, outcome, False)
    assert reply.steps[0].delay_s == pytest.approx(0.04)
    assert not _wire(reply).startswith(b"HTTP/")


@pytest.mark.parametrize(
    ("fault", "end", "outcome", "is_ended"),
    [
        (Fault.RESET, End.RESET, Outcome.RESET, False), (Fault.DROP, End.CLOSE, Outcome.CUT, False),
        (Fault.CUT, End.KEEP, Outcome.CUT, True), (Fault.STALL, End.HANG, Outcome.STALLED, False),
    ],
)  # fmt: skip
def test_broken_streams(fault: Fault, end: End, outcome: Outcome, is_ended: bool) -> None:
    """A broken stream is a beginning of the whole one; only `cut` ends its framing."""
    whole, reply = _body(_reply()), _reply(Script(tokens=6, fault=fault, after_chunks=3))
    body, framed_to_end = _dechunk(_wire(reply))
    assert (reply.end, reply.outcome, framed_to_end) == (end, outcome, is_ended)
    assert whole.startswith(body)
    assert len(_events(body)) == 3


@pytest.mark.parametrize("fault", _BROKEN)
@pytest.mark.parametrize("stream", [True, False])
@pytest.mark.parametrize("after", [None, 0, 1, 1000])
def test_a_broken_answer_never_tells_its_usage(fault: Fault, stream: bool, after: int | None) -> None:
    """However late it strikes, a fault comes before the usage, and in a stream before the finish reason."""
    reply = _reply(Script(tokens=6, fault=fault, after_chunks=after), stream=stream)
    assert _usage_end(reply) is not None
    assert len(_body(reply)) < _usage_end(reply)
    if stream:
        assert b'"finish_reason":"stop"' not in _body(reply)


@pytest.mark.parametrize("stream", [True, False])
def test_after_bytes(stream: bool) -> None:
    """A break may be put at any byte of the body."""
    whole = _body(_reply(stream=stream))
    for after in range(len(whole) + 1):
        reply = _reply(Script(tokens=6, fault=Fault.DROP, after_bytes=after), stream=stream)
        assert _body(reply) == whole[:after]


def test_short_body() -> None:
    """Fewer bytes are sent than the head declares, then the connection closes."""
    for stream in (True, False):
        reply, whole = _reply(Script(tokens=6, fault=Fault.SHORT_BODY), stream=stream), _body(_reply(stream=stream))
        assert b"content-length: %d\r\n" % len(whole) in _wire(reply)
        assert len(_body(reply)) < len(whole)
        assert reply.end is End.CLOSE


def test_excess_body() -> None:
    """More bytes are sent than declared; what stands beyond is not told."""
    reply = _reply(Script(tokens=6, fault=Fault.EXCESS_BODY), stream=False)
    assert b"content-length: %d\r\n" % (len(_body(reply)) - 14) in _wire(reply)
    assert _usage_end(reply) is None


def test_a_stall_that_ends() -> None:
    """A stall with an end is a pause within a complete answer."""
    reply = _reply(Script(tokens=6, fault=Fault.STALL, stall_ms=500, gap_ms=0, ttft_ms=0))
    assert [step.delay_s for step in reply.steps if step.delay_s] == [0.5]
    assert (_body(reply), reply.end, reply.outcome) == (_body(_reply()), End.KEEP, Outcome.COMPLETE)


def test_a_stall_within_an_event() -> None:
    """A stall within an event's bytes adds its own length and nothing else."""
    usual = _reply(Script(tokens=6, gap_ms=10))
    reply = _reply(Script(tokens=6, gap_ms=10, fault=Fault.STALL, stall_ms=500, after_bytes=len(_body(usual)) // 2))
    assert sum(step.delay_s for step in reply.steps) == pytest.approx(0.5 + sum(step.delay_s for step in usual.steps))
    assert _body(reply) == _body(usual)


def test_a_cut_without_chunks_closes() -> None:
    """Where only the connection's end can tell that a body is over, a cut closes it."""
    for reply in (_reply(Script(tokens=6, fault=Fault.CUT), stream=False), _reply(Script(tokens=6, fault=Fault.CUT), can_chunk=False)):
        assert (reply.end, reply.outcome) == (End.CLOSE, Outcome.CUT)


def test_error_event() -> None:
    """An error takes the place of all that would have followed, [DONE] included."""
    reply = _reply(Script(tokens=6, fault=Fault.ERROR_EVENT, after_chunks=2))
    events = _events(_body(reply))
    assert [set(json.loads(event)) & {"error", "choices"} for event in events] == [{"choices"}, {"choices"}, {"error"}]
    assert (reply.outcome, _usage_end(reply)) == (Outcome.ERROR_EVENT, None)
    assert "error" in json.loads(_body(_reply(Script(fault=Fault.ERROR_EVENT), stream=False)))


def test_no_done() -> None:
    """Without [DONE] everything else is there."""
    assert _body(_reply(Script(tokens=6, fault=Fault.NO_DONE))) + b"data: [DONE]\n\n" == _body(_reply())


def test_garbage_event() -> None:
    """One event that is not JSON stands among the others; an unstreamed body is not JSON at all."""
    unreadable = 0
    for event in _events(_body(_reply(Script(tokens=6, fault=Fault.GARBAGE_EVENT)))):
        try:
            json.loads(event.replace(DONE, b"0"))
        except ValueError:
            unreadable += 1
    assert unreadable == 1
    with pytest.raises(ValueError):
        json.loads(_body(_reply(Script(fault=Fault.GARBAGE_EVENT), stream=False)))


def test_trickle() -> None:
    """One byte of body in each write, and one write in each turn of the loop."""
    reply = _reply(Script(tokens=1, fault=Fault.TRICKLE))
    assert {len(step.body) for step in reply.steps} == {0, 1}
    assert reply.steps_per_turn == 1
    assert _body(reply) == _body(_reply(Script(tokens=1)))


def test_informational() -> None:
    """Interim answers come before the head."""
    wire = _wire(_reply(Script(tokens=1, fault=Fault.INFORMATIONAL)))
    assert wire.startswith(b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 ")
    assert b"HTTP/1.1 200 OK" in wire


def test_close_delimited() -> None:
    """A body may end with its connection: by fault, or because the caller speaks HTTP/1.0."""
    for reply in (_reply(Script(tokens=6, fault=Fault.CLOSE_DELIMITED)), _reply(can_chunk=False)):
        assert reply.end is End.CLOSE
        head, _, body = _wire(reply).partition(b"\r\n\r\n")
        assert body == _body(_reply())
        assert b"connection: close" in head
        assert b"transfer-encoding" not in head


def test_silent_close() -> None:
    """A connection is closed although the head promised to keep it."""
    reply = _reply(Script(tokens=6, fault=Fault.SILENT_CLOSE))
    assert reply.end is End.CLOSE
    assert b"connection: close" not in _wire(reply)


def test_gzip() -> None:
    """A stream is compressed only if the caller accepts it; marks are offsets in what is sent."""
    reply = _reply(Script(tokens=6, gzip=True), gzips=True)
    assert b"content-encoding: gzip" in _wire(reply)
    assert gzip.decompress(_body(reply)) == _body(_reply())
    assert _usage_end(reply) is not None
    assert _usage_end(reply) < len(_body(reply))
    assert _body(_reply(Script(tokens=6, gzip=True), gzips=False)) == _body(_reply())


@pytest.mark.parametrize(("newline", "ending"), [(Newline.CRLF, b"\r\n"), (Newline.CR, b"\r")])
def test_newlines(newline: Newline, ending: bytes) -> None:
    """Lines may end in each of the three ways."""
    assert _body(_reply(Script(tokens=6, newline=newline))).replace(ending, b"\n") == _body(_reply())


def test_oddities_of_text() -> None:
    """A mark, comments, a long line and bytes that are not UTF-8 can be had."""
    body = _body(_reply(Script(tokens=6, bom=True, comments=True, invalid_utf8=True, line_bytes=10_000)))
    assert body.startswith(b"\xef\xbb\xbf: simulated\n\n")
    assert max(map(len, body.split(b"\n"))) > 10_000
    with pytest.raises(UnicodeDecodeError):
        body.decode()


@given(size=st.integers(1, 4000), tokens=st.integers(0, 8), gzips=st.booleans())
def test_pieces_of_a_size(size: int, tokens: int, gzips: bool) -> None:
    """The same bytes and the same whole delay, in pieces of the size asked for and a rest."""
    usual = _reply(Script(tokens=tokens, gzip=gzips), gzips=True)
    reply = _reply(Script(tokens=tokens, gzip=gzips, chunk_bytes=size), gzips=True)
    pieces = [len(step.body) for step in reply.steps if step.body]
    assert _body(reply) == _body(usual)
    assert set(pieces[:-1]) <= {size}
    assert pieces[-1] <= size
    assert sum(step.delay_s for step in reply.steps) == pytest.approx(sum(step.delay_s for step in usual.steps))


def test_plain() -> None:
    """A plain answer is one write with its length."""
    assert compose_plain(404, b"{}").steps[0].wire.endswith(b"content-length: 2\r\n\r\n{}")


def test_whole_body_is_the_rendered_one() -> None:
    """Composing adds nothing to the body that the form rendered."""
    ask = read_ask(Form.CHAT, b'{"model":"sim-small","messages":[{"role":"user","content":"hello"}]}')
    plan = plan_reply(ask, Script(), None, Profile(), "1", 0)
    assert _body(compose(OPENAI, plan, [], accepts_gzip=False, can_chunk=True)) == render_whole(plan)
