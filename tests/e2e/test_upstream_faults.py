"""Everything an upstream can do wrong: what the caller is told, what is recorded, and that it is in time."""

import asyncio
import json
import logging
import socket
import time
from typing import Any, NamedTuple

import pytest

from sidecar.config import Timeouts
from sidecar.errors import ERRORS
from sidecar.exchange import Record
from tests.rig.caller import Answer, Caller, compose, fetch
from tests.rig.side import CHAT, Side, facing, running
from tests.rig.streams import write_chunk, write_head
from tests.rig.upstream import BlackHole, End, Script

WHOLE = {"model": "m", "messages": []}
STREAM = {**WHOLE, "stream": True, "stream_options": {"include_usage": True}}
EVENT = b'data: {"model":"m","choices":[{"index":0,"delta":{"content":"one"}}]}\n\n'
FINISH = b'data: {"choices":[{"index":0,"delta":{},"finish_reason":"stop"}]}\n\n'
GOOD = b'{"model":"m","choices":[{"index":0,"finish_reason":"stop"}]}'
JSON_HEAD = b"HTTP/1.1 200 OK\r\nContent-Type: application/json\r\n"
STATUS = {kind.id: kind.status for kind in ERRORS}


async def ask(side: Side, body: Any = None, name: str = "it") -> tuple[Answer, Record, float]:
    """Make one call; return what the caller saw, the one record, and how many seconds it took."""
    began = time.monotonic()
    answer = await fetch(side.url, compose(CHAT, body or WHOLE, name=name))
    lasted = time.monotonic() - began
    records = await side.records.until(1)
    await asyncio.sleep(0.02)
    assert len(records) == 1
    assert (await side.gauges())["in_flight"] == 0
    return answer, records[0], lasted


def check_refusal(answer: Answer, record: Record, error_id: str, ending: str) -> None:
    """The caller got a whole answer of ours in OpenAI's form, which tells what it was and nothing of how we are made."""
    assert (answer.status, answer.field("x-sidecar-error"), answer.whole) == (STATUS[error_id], error_id, True)
    error = json.loads(answer.body)["error"]
    assert set(error) == {"message", "type", "param", "code"}
    assert error["code"] == error_id
    assert (str(record.ending), record.error_id, record.status) == (ending, error_id, STATUS[error_id])
    text = answer.body.decode()
    assert not any(word in text for word in ("Traceback", "File ", ".py", "Error(", "errno", "0x"))


def is_near(seconds: float, expected_s: float) -> bool:
    """Whether a deadline struck when it should: 5 % and what a busy machine needs."""
    return expected_s - 0.01 <= seconds <= expected_s * 1.05 + 0.1


# -- the way there -------------------------------------------------------------------------


async def test_a_refused_connection_is_502() -> None:
    """Nobody listens: the caller knows at once."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port = sock.getsockname()[1]
    async with running(f"http://127.0.0.1:{port}") as side:
        answer, record, lasted = await ask(side)
    check_refusal(answer, record, "upstream_unreachable", "connect_failed")
    assert lasted < 0.5


async def test_a_name_that_does_not_exist_is_502() -> None:
    """A name under .invalid is never resolved (RFC 2606, section 2)."""
    async with running("http://upstream.invalid") as side:
        answer, record, _ = await ask(side)
    check_refusal(answer, record, "upstream_unresolved", "connect_failed")


async def test_a_connection_that_is_never_made_is_502_in_time() -> None:
    """An address that answers nothing costs timeouts.connect and no more."""
    hole = BlackHole()
    async with running(hole.url, timeouts=Timeouts(connect=0.6)) as side:
        answer, record, lasted = await ask(side)
        assert hole.waiting == 0
    hole.close()
    check_refusal(answer, record, "connect_timeout", "connect_timeout")
    assert is_near(lasted, 0.6)


# -- before the head -----------------------------------------------------------------------


def repeated(first: bytes, again: bytes, times: int) -> list[bytes | float]:
    """Return steps that write the same bytes again and again, each in a turn of its own."""
    steps: list[bytes | float] = [first]
    for _ in range(times):
        steps += [again, 0]
    return steps


class Case(NamedTuple):
    """What the upstream does in place of a good answer, and what must come of it."""

    script: Script
    error_id: str
    ending: str


CASES = {
    "reset": Case(Script([], End.RST), "upstream_reset", "reset"),
    "close": Case(Script([], End.FIN), "upstream_reset", "reset"),
    "reset within the head": Case(Script([JSON_HEAD, 0], End.RST), "upstream_reset", "reset"),
    "close within the head": Case(Script([JSON_HEAD, 0], End.FIN), "upstream_reset", "reset"),
    "not HTTP": Case(Script([b"\x16\x03\x01\x00\x2a\x02garbage\r\n\r\n"], End.HANG), "upstream_malformed", "malformed"),
    "another protocol": Case(Script([b"220 mail.example ESMTP\r\n"], End.HANG), "upstream_malformed", "malformed"),
    "a bad header": Case(Script([b"HTTP/1.1 200 OK\r\nContent Length: 2\r\n\r\n{}"], End.HANG), "upstream_malformed", "malformed"),
    "a negative length": Case(Script([JSON_HEAD + b"Content-Length: -5\r\n\r\n{}"], End.HANG), "upstream_malformed", "malformed"),
    "two lengths": Case(
        Script([JSON_HEAD + b"Content-Length: 2\r\nContent-Length: 3\r\n\r\n{}"], End.HANG), "upstream_malformed", "malformed"
    ),
    "length and chunks": Case(
        Script([JSON_HEAD + b"Content-Length: 2\r\nTransfer-Encoding: chunked\r\n\r\n2\r\n{}\r\n0\r\n\r\n"], End.HANG),
        "upstream_malformed", "malformed",
    ),
    "an endless head": Case(
        Script(repeated(JSON_HEAD, b"x-more: " + b"y" * 4000 + b"\r\n", 60), End.HANG), "upstream_malformed", "malformed"
    ),
    "an endless header": Case(Script(repeated(JSON_HEAD + b"x-more: ", b"y" * 16_000, 20), End.HANG), "upstream_malformed", "malformed"),
    "endless interim answers": Case(
        Script(repeated(b"", b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\n", 40), End.HANG), "upstream_malformed", "malformed"
    ),
    "switching protocols": Case(
        Script([b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: h2c\r\nConnection: Upgrade\r\n\r\n"], End.HANG),
        "upstream_malformed", "malformed",
    ),
}  # fmt: skip


@pytest.mark.parametrize("what", CASES)
async def test_what_is_no_answer_is_502(what: str, caplog: pytest.LogCaptureFixture) -> None:
    """Whatever comes in place of a head, the caller gets one whole answer of ours; nothing is logged as our own fault."""
    case = CASES[what]
    caplog.set_level(logging.DEBUG)
    async with facing(timeouts=Timeouts(first_byte=5)) as (upstream, side):
        upstream.scripts["it"] = case.script
        answer, record, lasted = await ask(side)
        await asyncio.sleep(0.02)
        assert upstream.connections == set()
        assert len(upstream.visits) == 1, "a POST is never sent twice"
    check_refusal(answer, record, case.error_id, case.ending)
    assert lasted < 2
    assert "exchange_failed" not in caplog.text
    assert "Traceback" not in caplog.text


@pytest.mark.parametrize("first_byte_s", [0.4, 1.0])
async def test_no_head_is_504_in_time(first_byte_s: float) -> None:
    """An upstream that takes the request and says nothing costs timeouts.first_byte."""
    async with facing(timeouts=Timeouts(first_byte=first_byte_s)) as (upstream, side):
        upstream.scripts["it"] = Script([], End.HANG)
        answer, record, lasted = await ask(side)
        assert upstream.connections == set()
    check_refusal(answer, record, "first_byte_timeout", "first_byte_timeout")
    assert is_near(lasted, first_byte_s)


async def test_interim_answers_are_not_the_answer() -> None:
    """100 and 103 before the head are passed over, in the same read or another."""
    async with facing() as (upstream, side):
        head = b"HTTP/1.1 103 Early Hints\r\nlink: </x>\r\n\r\nHTTP/1.1 100 Continue\r\n\r\n"
        upstream.scripts["it"] = Script([head, 0.01, head + JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD])
        answer, record, _ = await ask(side)
    assert (answer.status, bytes(answer.body), answer.whole, answer.interim) == (200, GOOD, True, [])
    assert record.ending == "completed"
    assert answer.field("link") is None


# -- within the answer ---------------------------------------------------------------------


@pytest.mark.parametrize("idle_s", [0.4, 1.0])
async def test_silence_within_a_stream_is_told_within_the_stream(idle_s: float) -> None:
    """A stream that stalls ends after timeouts.idle with an error event, and not with a clean end."""
    async with facing(timeouts=Timeouts(idle=idle_s)) as (upstream, side):
        upstream.scripts["it"] = Script([write_head("chunked", 0), 0, write_chunk(EVENT), 0.2, write_chunk(EVENT)], End.HANG)
        answer, record, lasted = await ask(side, STREAM)
        assert upstream.connections == set()
    assert not answer.whole
    assert answer.status == 200
    told = bytes(answer.body).removeprefix(EVENT * 2)
    assert told.startswith(b"\n\ndata: ")
    assert json.loads(told.strip().removeprefix(b"data: "))["error"]["code"] == "idle_timeout"
    assert (record.ending, record.error_id, record.status) == ("idle_timeout", "idle_timeout", 200)
    assert is_near(lasted, idle_s + 0.2)


async def test_slow_is_not_silent() -> None:
    """Pauses shorter than timeouts.idle may go on for longer than it."""
    async with facing(timeouts=Timeouts(idle=0.3)) as (upstream, side):
        steps: list[bytes | float] = [write_head("chunked", 0), 0]
        for _ in range(6):
            steps += [write_chunk(EVENT), 0.15]
        upstream.scripts["it"] = Script([*steps, write_chunk(FINISH) + b"0\r\n\r\n"])
        answer, record, _ = await ask(side, STREAM)
    assert answer.whole
    assert record.ending == "completed"


@pytest.mark.parametrize("asked_s", [None, 0.5])
async def test_the_total_ends_a_stream_that_never_does(asked_s: float | None) -> None:
    """timeouts.total, or the caller's own x-sidecar-timeout, holds even while bytes come."""
    async with facing(timeouts=Timeouts(total=0.5 if asked_s is None else 30)) as (upstream, side):
        steps: list[bytes | float] = [write_head("chunked", 0)]
        for _ in range(100):
            steps += [write_chunk(EVENT), 0.05]
        upstream.scripts["it"] = Script(steps, End.HANG)
        fields = [] if asked_s is None else [("x-sidecar-timeout", str(asked_s))]
        began = time.monotonic()
        answer = await fetch(side.url, compose(CHAT, STREAM, name="it", fields=fields))
        lasted = time.monotonic() - began
        record = await side.records.of(answer.request_id)
        assert upstream.connections == set()
        assert all(not name.startswith(b"x-sidecar") for name, _ in upstream.visits[0].headers)
    assert not answer.whole
    assert b'"code":"total_timeout"' in answer.body
    assert (record.ending, record.error_id) == ("total_timeout", "total_timeout")
    assert is_near(lasted, 0.5)


async def test_the_total_before_a_head_is_504() -> None:
    """A total shorter than timeouts.first_byte is told by its own name."""
    async with facing(timeouts=Timeouts(total=0.4, first_byte=5)) as (upstream, side):
        upstream.scripts["it"] = Script([], End.HANG)
        answer, record, lasted = await ask(side)
    check_refusal(answer, record, "total_timeout", "total_timeout")
    assert is_near(lasted, 0.4)


@pytest.mark.parametrize("end", [End.FIN, End.RST])
async def test_fewer_bytes_than_promised_is_cut(end: End) -> None:
    """Where Content-Length promises more than comes, the caller sees a connection that breaks, never a short answer."""
    async with facing() as (upstream, side):
        upstream.scripts["it"] = Script([JSON_HEAD + b"Content-Length: 500\r\n\r\n" + GOOD, 0.01], end)
        answer, record, _ = await ask(side)
    assert (answer.status, answer.whole) == (200, False)
    assert bytes(answer.body) == GOOD
    assert (record.ending, record.error_id) == ("cut", "stream_cut")


async def test_more_bytes_than_promised_reach_nobody() -> None:
    """What follows the promised length belongs to no call: it is dropped, and the connection with it."""
    async with facing() as (upstream, side):
        extra = b"HTTP/1.1 200 OK\r\nContent-Length: 6\r\n\r\nstolen"
        upstream.scripts["it"] = Script([JSON_HEAD + b"Content-Length: %d\r\n\r\n" % len(GOOD) + GOOD + extra])
        upstream.scripts["next"] = Script([JSON_HEAD + b"Content-Length: 4\r\n\r\nmine"])
        caller = await Caller.connect(side.url)
        first = await caller.ask(compose(CHAT, WHOLE, name="it"))
        second = await caller.ask(compose(CHAT, WHOLE, name="next"))
        caller.leave()
        assert upstream.accepted == 2
    assert (bytes(first.body), bytes(second.body)) == (GOOD, b"mine")


BROKEN = {"size": b"zz\r\n", "sign": b"-1\r\n", "endless extension": b"5;" + b"x" * 200_000, "huge": b"fffffffffffffffff\r\n"}


@pytest.mark.parametrize("broken", BROKEN.values(), ids=BROKEN)
async def test_broken_chunks_are_cut(broken: bytes) -> None:
    """Chunks that cannot be read end the answer as cut, whatever follows."""
    async with facing() as (upstream, side):
        upstream.scripts["it"] = Script([write_head("chunked", 0), 0, write_chunk(EVENT), 0, broken, 0, write_chunk(FINISH)], End.HANG)
        answer, record, _ = await ask(side, STREAM)
        assert upstream.connections == set()
    assert not answer.whole
    assert bytes(answer.body).startswith(EVENT)
    assert b'"code":"stream_cut"' in answer.body
    assert record.ending == "cut"


async def test_an_answer_that_ends_by_closing_is_whole() -> None:
    """Without a length the close is the end; towards the caller it becomes chunks, and its connection is kept."""
    async with facing() as (upstream, side):
        upstream.scripts["it"] = Script([JSON_HEAD + b"\r\n", 0, GOOD[:20], 0.01, GOOD[20:]], End.FIN)
        caller = await Caller.connect(side.url)
        for _ in range(2):
            answer = await caller.ask(compose(CHAT, WHOLE, name="it"))
            assert (bytes(answer.body), answer.whole, answer.field("transfer-encoding")) == (GOOD, True, "chunked")
            assert (await side.records.of(answer.request_id)).ending == "completed"
        caller.leave()
