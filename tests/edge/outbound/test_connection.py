"""One connection to an upstream: what it tells its listener, and when it may be used again."""

import asyncio
import os
import socket
from collections.abc import Iterable

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.answer_head import Framing
from sidecar.edge.outbound.connection import Connection
from sidecar.errors import UPSTREAM_MALFORMED, UPSTREAM_RESET
from tests.edge.outbound.doubles import FakeTransport, RecordingKeeper, RecordingListener

HEAD_BYTES_MAX = 4096
OK = b"HTTP/1.1 200 OK\r\n"


class Bench:
    """A connection with everything around it under control."""

    def __init__(self, method: str = "POST", *, whole: bool = True, sends: bool = True) -> None:
        self.keeper = RecordingKeeper()
        self.connection = Connection(self.keeper, HEAD_BYTES_MAX, 1000.0)
        self.transport = FakeTransport(self.connection)
        self.connection.connection_made(self.transport)
        self.connection.expires_at = 2000.0
        self.listener = RecordingListener()
        if sends:
            self.send(method, whole=whole)

    def send(self, method: str = "POST", *, whole: bool = True) -> RecordingListener:
        """Send the next request."""
        self.listener = RecordingListener()
        self.connection.send(method, b"request", self.listener, whole=whole)
        return self.listener

    def feed(self, *pieces: bytes) -> None:
        """Let bytes come, as long as the connection reads."""
        for piece in pieces:
            if not self.transport.closing:
                self.connection.data_received(piece)

    def lose(self, error: Exception | None = None) -> None:
        """Close the connection."""
        self.connection.connection_lost(error)


def each_byte(data: bytes) -> Iterable[bytes]:
    """Yield bytes one by one."""
    return (data[index : index + 1] for index in range(len(data)))


def chunked(*chunks: bytes, trailer: bytes = b"") -> bytes:
    """Return a chunked answer."""
    body = b"".join(b"%x\r\n%b\r\n" % (len(chunk), chunk) for chunk in chunks)
    return OK + b"Transfer-Encoding: chunked\r\n\r\n" + body + b"0\r\n" + trailer + b"\r\n"


# Method, answer, body, framing, whether the connection may be used again.
WHOLE = {
    "length": ("POST", OK + b"Content-Length: 5\r\n\r\nhello", b"hello", Framing.LENGTH, True),
    "empty": ("POST", OK + b"Content-Length: 0\r\n\r\n", b"", Framing.LENGTH, True),
    "chunked": ("POST", chunked(b"hel", b"lo" * 300), b"hel" + b"lo" * 300, Framing.CHUNKED, True),
    "no chunks": ("POST", chunked(), b"", Framing.CHUNKED, True),
    "trailers": ("POST", chunked(b"hello", trailer=b"X-T: 1\r\nX-U: 2\r\n"), b"hello", Framing.CHUNKED, True),
    "extensions": ("POST", OK + b'Transfer-Encoding: chunked\r\n\r\n5;a=b;c="d"\r\nhello\r\n0;z\r\n\r\n', b"hello", Framing.CHUNKED, True),
    "no content": ("DELETE", b"HTTP/1.1 204 No Content\r\n\r\n", b"", Framing.NONE, True),
    "not modified": ("GET", b"HTTP/1.1 304 Not Modified\r\nContent-Length: 99\r\n\r\n", b"", Framing.NONE, True),
    "head": ("HEAD", OK + b"Content-Length: 99\r\n\r\n", b"", Framing.NONE, False),
    "head chunked": ("HEAD", OK + b"Transfer-Encoding: chunked\r\n\r\n", b"", Framing.NONE, False),
    "connection close": ("POST", OK + b"Connection: close\r\nContent-Length: 5\r\n\r\nhello", b"hello", Framing.LENGTH, False),
    "old": ("POST", b"HTTP/1.0 200 OK\r\nContent-Length: 5\r\n\r\nhello", b"hello", Framing.LENGTH, False),
    "old but kept": ("POST", b"HTTP/1.0 200 OK\r\nConnection: keep-alive\r\nContent-Length: 2\r\n\r\nhi", b"hi", Framing.LENGTH, True),
    "interim": ("POST", b"HTTP/1.1 100 Continue\r\n\r\nHTTP/1.1 103 Early Hints\r\nLink: x\r\n\r\n" + OK + b"Content-Length: 2\r\n\r\nhi",
                b"hi", Framing.LENGTH, True),
    "offers an upgrade": ("POST", OK + b"Connection: upgrade\r\nUpgrade: h2c\r\nContent-Length: 2\r\n\r\nhi", b"hi", Framing.LENGTH, True),
    "no reason": ("POST", b"HTTP/1.1 200\r\nContent-Length: 2\r\n\r\nhi", b"hi", Framing.LENGTH, True),
}  # fmt: skip


@pytest.mark.parametrize("name", WHOLE)
@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_an_answer_is_told_whatever_its_pieces(name: str, cut: str) -> None:
    """Head, body and end come out the same whole and byte by byte, and the connection is kept only where both sides agree."""
    method, answer, body, framing, reusable = WHOLE[name]
    bench = Bench(method)
    bench.feed(*([answer] if cut == "whole" else each_byte(answer)))
    assert [head.framing for head in bench.listener.heads] == [framing]
    assert (bench.listener.body, bench.listener.ends, bench.listener.lost) == (body, 1, [])
    assert bench.keeper.taken == [reusable]
    assert bench.transport.closing is not reusable


@pytest.mark.parametrize("name", [name for name in WHOLE if WHOLE[name][4]])
def test_a_kept_connection_carries_the_next_call(name: str) -> None:
    """The second answer is told to the second listener, with nothing of the first in it."""
    method, answer, body, _, _ = WHOLE[name]
    bench = Bench(method)
    bench.feed(answer)
    first = bench.listener
    second = bench.send("GET")
    bench.feed(b"HTTP/1.1 201 Made\r\nContent-Length: 3\r\nX: 1\r\n\r\ntwo")
    assert (first.body, first.ends) == (body, 1)
    assert (second.heads[0].status, second.heads[0].reason) == (201, b"Made")
    assert second.heads[0].fields == [b"X: 1"]
    assert (second.body, second.ends, bench.keeper.taken) == (b"two", 1, [True, True])
    assert bench.transport.written == b"request" * 2


@given(st.data())
def test_every_cutting_of_an_answer_tells_the_same(data: st.DataObject) -> None:
    """However bytes are cut into pieces, with or without something behind the answer."""
    name = data.draw(st.sampled_from(sorted(WHOLE)))
    method, answer, body, _, _ = WHOLE[name]
    tail = data.draw(st.sampled_from([b"", b"H", b"HTTP/1.1 200 OK\r\nContent-Length: 4\r\n\r\nevil", b"\0"]))
    stream = answer + tail
    cuts = sorted(data.draw(st.sets(st.integers(1, len(stream) - 1), max_size=6)))
    bench = Bench(method)
    bench.feed(*(stream[start:end] for start, end in zip([0, *cuts], [*cuts, len(stream)], strict=True)))
    assert (bench.listener.body, bench.listener.ends, bench.listener.lost) == (body, 1, [])
    if tail:
        assert bench.transport.closing
        assert bench.keeper.taken[-1] is False


@pytest.mark.parametrize("tail", [b"H", b"HTTP/1.1 200 OK\r\n", b"garbage", b"\0"])
@pytest.mark.parametrize("apart", [False, True])
def test_bytes_nobody_asked_for_end_a_connection(tail: bytes, apart: bool) -> None:
    """Behind an answer or while idle: the connection is never used again, and the answer is not harmed."""
    bench = Bench()
    answer = OK + b"Content-Length: 2\r\n\r\nhi"
    bench.feed(*([answer, tail] if apart else [answer + tail]))
    assert (bench.listener.body, bench.listener.ends) == (b"hi", 1)
    assert bench.connection.lost
    assert bench.keeper.taken == ([True, False] if apart else [False])


def test_a_server_that_speaks_first_is_not_listened_to() -> None:
    """Before the first request there is nothing to answer."""
    bench = Bench(sends=False)
    bench.feed(b"SSH-2.0-OpenSSH_9.9\r\n")
    assert bench.connection.lost
    assert bench.transport.closing


@pytest.mark.parametrize("framed", [b"Content-Length: 5\r\n", b"Transfer-Encoding: chunked\r\n", b""])
@pytest.mark.parametrize("error", [None, ConnectionResetError()])
def test_a_body_that_breaks_off_is_never_whole(framed: bytes, error: Exception | None) -> None:
    """A short body, missing last chunk or reset is a loss; only a clean close ends a body without length."""
    bench = Bench()
    bench.feed(OK + framed + b"\r\n" + (b"2\r\nhe" if b"chunked" in framed else b"he"))
    bench.lose(error)
    if not framed and error is None:
        assert (bench.listener.ends, bench.listener.lost) == (1, [])
    else:
        assert (bench.listener.ends, bench.listener.kind) == (0, UPSTREAM_RESET)
    assert bench.listener.body == b"he"
    assert bench.keeper.taken == [False]


@pytest.mark.parametrize("start", [b"", b"HTTP/1.1 20", b"HTTP/1.1 200 OK\r\nContent-Le", b"HTTP/1.1 100 Continue\r\n\r\n"])
def test_a_close_before_the_head_is_a_reset(start: bytes) -> None:
    """Whatever part of a head had come."""
    bench = Bench()
    bench.feed(start)
    bench.lose()
    assert bench.listener.kind is UPSTREAM_RESET
    assert bench.listener.heads == []
    assert bench.keeper.taken == [False]


def test_a_reset_of_a_kept_connection_says_so() -> None:
    """The idle-close race can be told from an upstream that fails."""
    bench = Bench()
    bench.feed(OK + b"Content-Length: 0\r\n\r\n")
    bench.send()
    bench.lose(ConnectionResetError())
    assert "idle connection" in bench.listener.lost[0][1]
    fresh = Bench()
    fresh.lose()
    assert "idle" not in fresh.listener.lost[0][1]


MALFORMED = {
    "not http": b"SSH-2.0-OpenSSH_9.9\r\n",
    "lower case": b"http/1.1 200 OK\r\n\r\n",
    "unknown version": b"HTTP/3.0 200 OK\r\nContent-Length: 0\r\n\r\n",
    "two digits": b"HTTP/1.1 99 X\r\n\r\n",
    "four digits": b"HTTP/1.1 1000 X\r\n\r\n",
    "leading zero": b"HTTP/1.1 042 X\r\nContent-Length: 0\r\n\r\n",
    "bare line feeds": b"HTTP/1.1 200 OK\nContent-Length: 0\n\n",
    "length and chunks": OK + b"Content-Length: 3\r\nTransfer-Encoding: chunked\r\n\r\n0\r\n\r\n",
    "chunks and length": OK + b"Transfer-Encoding: chunked\r\nContent-Length: 3\r\n\r\n0\r\n\r\n",
    "two lengths": OK + b"Content-Length: 3\r\nContent-Length: 4\r\n\r\nabcd",
    "list of lengths": OK + b"Content-Length: 3, 3\r\n\r\nabc",
    "signed length": OK + b"Content-Length: +3\r\n\r\nabc",
    "empty length": OK + b"Content-Length:\r\n\r\nabc",
    "endless length": OK + b"Content-Length: 99999999999999999999999\r\n\r\nabc",
    "other transfer coding": OK + b"Transfer-Encoding: gzip, chunked\r\n\r\n0\r\n\r\n",
    "chunked not last": OK + b"Transfer-Encoding: chunked, gzip\r\n\r\n0\r\n\r\n",
    "identity": OK + b"Transfer-Encoding: identity\r\n\r\nabc",
    "folded": OK + b"A: b\r\n c\r\nContent-Length: 0\r\n\r\n",
    "fold first": OK + b" A: b\r\nContent-Length: 0\r\n\r\n",
    "nul in a field": OK + b"A: b\0c\r\nContent-Length: 0\r\n\r\n",
    "carriage return in a field": OK + b"A: b\rc\r\nContent-Length: 0\r\n\r\n",
    "nul in the reason": b"HTTP/1.1 200 O\0K\r\nContent-Length: 0\r\n\r\n",
    "escape in the reason": b"HTTP/1.1 200 \x1b[2J\r\nContent-Length: 0\r\n\r\n",
    "carriage return in the reason": b"HTTP/1.1 200 O\rK\r\nContent-Length: 0\r\n\r\n",
    "space before the colon": OK + b"Content-Length : 0\r\n\r\n",
    "field without a name": OK + b": 0\r\nContent-Length: 0\r\n\r\n",
    "switching protocols": b"HTTP/1.1 101 Switching Protocols\r\nConnection: upgrade\r\nUpgrade: x\r\n\r\nabc",
    "101 without upgrade": b"HTTP/1.1 101 Switching Protocols\r\n\r\n",
    "interim without end": b"HTTP/1.1 102 Processing\r\n\r\n" * 17,
    "endless head": OK + b"A: " + b"x" * 5000 + b"\r\n\r\n",
    "many fields": OK + b"A: b\r\n" * 1000 + b"\r\n",
}


@pytest.mark.parametrize("name", MALFORMED)
@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_what_is_not_http_is_never_an_answer(name: str, cut: str) -> None:
    """One failure is told, no head, and the connection is gone."""
    bench = Bench()
    bench.feed(*([MALFORMED[name]] if cut == "whole" else each_byte(MALFORMED[name])))
    assert bench.listener.kind is UPSTREAM_MALFORMED
    assert (bench.listener.heads, bench.listener.ends) == ([], 0)
    assert bench.transport.aborted
    assert bench.keeper.taken == [False]
    bench.lose()
    assert bench.keeper.taken == [False]


@pytest.mark.parametrize(
    "framing",
    [b"ZZ\r\n", b"-3\r\nabc", b"0x3\r\nabc", b"\r\nabc", b"3 \r\nabc", b"3\nabc\n", b"3\r\nabcd\r\n", b"3;a\nabc", b"f" * 20 + b"\r\n"],
)
@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_a_malformed_chunk_ends_the_answer_as_broken(framing: bytes, cut: str) -> None:
    """What came before it is told, then one failure."""
    bench = Bench()
    stream = OK + b"Transfer-Encoding: chunked\r\n\r\n2\r\nhi\r\n" + framing
    bench.feed(*([stream] if cut == "whole" else each_byte(stream)))
    assert bench.listener.kind is UPSTREAM_MALFORMED
    assert bench.listener.body.startswith(b"hi")
    assert bench.listener.ends == 0
    assert bench.keeper.taken == [False]


ENDLESS = {
    "reason": (b"HTTP/1.1 200 ", b"x"),
    "field name": (OK, b"x"),
    "field value": (OK + b"A: ", b"x"),
    "fields": (OK, b"A: b\r\n"),
    "interim fields": (b"HTTP/1.1 102 P\r\n", b"A: b\r\n"),
    "chunk extension": (OK + b"Transfer-Encoding: chunked\r\n\r\n1;", b"x"),
    "chunk size": (OK + b"Transfer-Encoding: chunked\r\n\r\n", b"0"),
    "trailers": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\n", b"A: b\r\n"),
    "trailer value": (OK + b"Transfer-Encoding: chunked\r\n\r\n0\r\nA: ", b"x"),
}


@pytest.mark.parametrize("name", ENDLESS)
@pytest.mark.parametrize("piece_bytes", [1, 1000])
def test_heads_and_trailers_have_an_end(name: str, piece_bytes: int) -> None:
    """What never ends is given up after a bounded number of bytes, in whatever pieces it comes."""
    start, unit = ENDLESS[name]
    bench = Bench()
    bench.feed(start)
    sent = len(start)
    piece = unit * max(1, piece_bytes // len(unit))
    while not bench.connection.lost and sent < 100 * HEAD_BYTES_MAX:
        bench.feed(piece)
        sent += len(piece)
    assert bench.listener.kind is UPSTREAM_MALFORMED
    assert sent <= 3 * HEAD_BYTES_MAX + len(piece)


def test_a_long_stream_is_not_an_endless_head() -> None:
    """Small chunks over a long time are not counted as framing."""
    bench = Bench()
    bench.feed(OK + b"Transfer-Encoding: chunked\r\n\r\n")
    for _ in range(3000):
        bench.feed(b"1;ext=1\r\n", b"x", b"\r\n")
    assert (len(bench.listener.body), bench.listener.lost) == (3000, [])


def test_one_read_is_one_piece() -> None:
    """Chunks that came together are handed over together."""
    bench = Bench()
    bench.feed(chunked(b"a", b"b", b"c"))
    assert (bench.listener.body, bench.listener.pieces) == (b"abc", 1)


def test_an_answer_before_the_request_is_whole_spends_the_connection() -> None:
    """The upstream may still be reading the old request: what is sent next could be taken for its body."""
    bench = Bench(whole=False)
    bench.feed(b"HTTP/1.1 413 Content Too Large\r\nContent-Length: 0\r\n\r\n")
    assert (bench.listener.ends, bench.keeper.taken, bench.transport.closing) == (1, [False], True)


def test_a_request_that_became_whole_keeps_the_connection() -> None:
    """Further pieces and the end are written in order."""
    bench = Bench(whole=False)
    bench.connection.send_more(b" more")
    bench.connection.end_request(b" end")
    bench.connection.end_request(b"")
    bench.feed(OK + b"Content-Length: 0\r\n\r\n")
    assert bench.transport.written == b"request more end"
    assert bench.keeper.taken == [True]


def test_an_unsent_request_spends_the_connection() -> None:
    """An answer that came while bytes of the request are still waiting to leave."""
    bench = Bench()
    bench.transport.unsent_bytes = 1
    assert bench.connection.unsent_bytes == 1
    bench.feed(OK + b"Content-Length: 0\r\n\r\n")
    assert bench.keeper.taken == [False]


def test_a_paused_connection_is_not_kept() -> None:
    """One that does not read would never hear the next answer."""
    bench = Bench()
    bench.feed(OK + b"Content-Length: 2\r\n\r\nh")
    bench.connection.pause()
    bench.connection.pause()
    assert bench.transport.paused
    bench.feed(b"i")
    assert (bench.listener.ends, bench.keeper.taken) == (1, [False])


def test_reading_goes_on_after_a_pause() -> None:
    """Pausing and resuming reach the socket once each, and never a lost one."""
    bench = Bench()
    bench.connection.resume()
    bench.connection.pause()
    bench.connection.resume()
    bench.connection.resume()
    assert not bench.transport.paused
    bench.lose()
    bench.connection.pause()
    assert not bench.connection.paused


def test_aborting_is_silent_and_final() -> None:
    """The listener is not told, the socket is reset, and the room is given back once."""
    bench = Bench()
    bench.feed(OK + b"Content-Length: 5\r\n\r\nhe")
    bench.connection.abort()
    bench.connection.abort()
    bench.lose()
    assert bench.transport.aborted
    assert (bench.listener.is_over, bench.keeper.taken, bench.connection.lost) == (False, [False], True)
    assert bench.connection.unsent_bytes == 0
    bench.connection.send_more(b"more")
    bench.connection.end_request(b"end")
    assert bench.transport.written == b"request"


def test_a_listener_may_give_up_while_it_is_told() -> None:
    """Aborting from within on_body tells nothing further and gives the room back once."""
    bench = Bench()

    class Leaving(RecordingListener):
        def on_body(self, data: bytes) -> None:
            bench.connection.abort()

    listener = Leaving()
    bench.connection.send("POST", b"", listener, whole=True)
    bench.feed(OK + b"Content-Length: 2\r\n\r\nhi")
    assert (listener.is_over, bench.keeper.taken) == (False, [False])


async def test_a_full_socket_is_waited_for() -> None:
    """Until the socket takes more, or is lost."""
    bench = Bench()
    await bench.connection.until_writable()
    for end in (bench.connection.resume_writing, bench.lose):
        bench.connection.pause_writing()
        waiting = asyncio.ensure_future(bench.connection.until_writable())
        await asyncio.sleep(0)
        assert not waiting.done()
        end()
        await waiting
    bench.connection.resume_writing()


def test_an_idle_connection_is_asked_whether_it_lives() -> None:
    """Unread bytes or a close of the other side tell that it does not; one that was just used is trusted."""
    ours, theirs = socket.socketpair()
    with ours, theirs:
        bench = Bench(sends=False)
        bench.transport._extra["socket"] = ours  # type: ignore[attr-defined]
        connection = bench.connection
        connection.idle_since = 1000.0
        assert connection.is_alive(1000.001)
        assert connection.is_alive(1001.0)
        os.write(theirs.fileno(), b"x")
        assert connection.is_alive(1000.001)
        assert not connection.is_alive(1001.0)
        ours.recv(1)
        assert connection.is_alive(1001.0)
        theirs.close()
        assert not connection.is_alive(1001.0)


def test_an_old_closing_or_lost_connection_does_not_live() -> None:
    """Age, a transport on its way out, and a loss each tell."""
    bench = Bench(sends=False)
    bench.connection.idle_since = 2000.0
    assert bench.connection.is_alive(1999.9)
    assert not bench.connection.is_alive(2000.0)
    bench.transport.closing = True
    assert not bench.connection.is_alive(1999.9)
    bench.transport.closing = False
    bench.lose()
    assert not bench.connection.is_alive(1999.9)


SWITCH = b"HTTP/1.1 101 Switching Protocols\r\nUpgrade: websocket\r\nConnection: Upgrade\r\nA: b\r\n\r\n"


@pytest.mark.parametrize("cut", ["whole", "byte by byte"])
def test_a_101_that_was_asked_for_is_an_answer(cut: str) -> None:
    """Nothing more is read until the connection is handed over, and what came behind the head is kept."""
    bench = Bench(sends=False)
    listener = bench.listener
    bench.connection.send("GET", b"request", listener, whole=True, upgrades=True)
    if cut == "whole":
        bench.feed(SWITCH + b"rest")
    else:
        bench.feed(*each_byte(SWITCH))
    assert (listener.heads[0].status, listener.heads[0].fields, listener.is_over) == (101, [b"A: b"], False)
    assert bench.transport.paused
    receiver = asyncio.Protocol()
    handed = bench.connection.hand_over(receiver)  # type: ignore[arg-type]
    assert (handed.transport, handed.rest, handed.is_full) == (bench.transport, b"rest" if cut == "whole" else b"", False)
    assert (bench.transport.protocol, bench.transport.paused) == (receiver, False)
    assert (bench.keeper.given_away, bench.keeper.taken) == ([bench.connection], [])
    bench.connection.abort()
    assert not bench.transport.closing


def test_a_connection_that_is_lost_behind_its_101_is_told() -> None:
    """Until it is handed over it belongs to the call."""
    bench = Bench(sends=False)
    bench.connection.send("GET", b"request", bench.listener, whole=True, upgrades=True)
    bench.feed(SWITCH)
    bench.lose()
    assert bench.listener.kind is UPSTREAM_RESET


def test_an_interim_answer_may_stand_before_a_101() -> None:
    """As before any other."""
    bench = Bench(sends=False)
    bench.connection.send("GET", b"request", bench.listener, whole=True, upgrades=True)
    bench.feed(b"HTTP/1.1 103 Early Hints\r\n\r\n" + SWITCH)
    assert [head.status for head in bench.listener.heads] == [101]


@pytest.mark.parametrize("name", ["switching protocols", "101 without upgrade"])
def test_a_connection_asks_for_an_upgrade_once(name: str) -> None:
    """The next request on it has not asked."""
    bench = Bench(sends=False)
    bench.connection.send("GET", b"request", bench.listener, whole=True, upgrades=True)
    bench.feed(OK + b"Content-Length: 0\r\n\r\n")
    assert bench.keeper.taken == [True]
    bench.send()
    bench.feed(MALFORMED[name])
    assert bench.listener.kind is UPSTREAM_MALFORMED
