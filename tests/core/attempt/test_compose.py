"""What is said to upstreams and callers."""

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec.structs import replace

from sidecar.core.attempt.answer_head import Framing
from sidecar.core.attempt.compose import (
    LAST_CHUNK,
    address_request,
    compose_malformed,
    compose_refusal,
    compose_response,
    compose_switch,
    frame_chunk,
    own_fields,
    replaced_fields,
    trace_fields,
)
from sidecar.core.attempt.heads import read_answer
from sidecar.errors import (
    BAD_REQUEST,
    BUDGET_SPENT,
    ERRORS,
    NO_ROUTE,
    NOT_CACHED,
    NOT_UPGRADABLE,
    POOL_FULL,
    RATE_LIMITED,
    SPENDING_STOPPED,
    ErrorKind,
    Fault,
)
from sidecar.exchange import Call, TraceContext
from tests.core.attempt.calls import PLACE, make_call

TRACE = TraceContext(1, None, 2, 3, 4, True, "congo=t61")
NOTHING: frozenset[bytes] = frozenset()


def lines(data: bytes) -> list[bytes]:
    """Return the lines of a head, which ends with an empty line."""
    head, _, rest = data.partition(b"\r\n\r\n")
    assert rest == b""
    return head.split(b"\r\n")


@given(st.binary(min_size=1, max_size=500))
def test_a_chunk_says_how_long_it_is(data: bytes) -> None:
    """RFC 9112 section 7.1: size in hexadecimal, data, each ended by CRLF."""
    size, _, rest = frame_chunk(data).partition(b"\r\n")
    assert rest == data + b"\r\n"
    assert int(size, 16) == len(data)


def test_the_last_chunk_ends_a_body() -> None:
    """It is empty, and has no trailers."""
    assert LAST_CHUNK == b"0\r\n\r\n"


def test_a_request_is_addressed_to_its_place() -> None:
    """Base path, path and query follow each other byte for byte; host, then the caller's fields, then ours, then the length."""
    call = make_call((b"Host", b"localhost"), (b"A", b"1"), has_body=True)
    data = address_request(call, PLACE, "/v1/x%2Fy", "key=a%20b&c", [b"T: 1"], NOTHING, 5)
    assert lines(data) == [b"POST /base/v1/x%2Fy?key=a%20b&c HTTP/1.1", b"Host: api.test", b"A: 1", b"T: 1", b"Content-Length: 5"]


@pytest.mark.parametrize(
    ("headers", "has_body", "size", "last"),
    [
        ([], False, 0, b"Host: api.test"),
        ([], True, 0, b"Content-Length: 0"),
        ([(b"Content-Length", b"0")], False, 0, b"Content-Length: 0"),
        ([(b"Content-Length", b"9")], True, 12, b"Content-Length: 12"),
        ([(b"Transfer-Encoding", b"chunked")], True, None, b"Transfer-Encoding: chunked"),
    ],
)
def test_the_length_is_that_of_the_body_as_we_send_it(
    headers: list[tuple[bytes, bytes]], has_body: bool, size: int | None, last: bytes
) -> None:
    """A request without a body has no length, one with an empty body says so, an endless one goes in chunks."""
    assert lines(address_request(make_call(*headers, has_body=has_body), PLACE, "/", "", [], NOTHING, size))[-1] == last


def test_a_query_of_nothing_is_left_out() -> None:
    """The target ends with the path."""
    assert lines(address_request(make_call(method="GET"), PLACE, "/v1/models", "", [], NOTHING, 0))[0] == b"GET /base/v1/models HTTP/1.1"


@pytest.mark.parametrize(
    ("accept", "observed", "plain", "extra"),
    [
        (b"gzip, br", True, False, [b"Accept-Encoding: gzip"]),
        (b"gzip", True, False, []),
        (b"", True, False, []),
        (b"gzip, br", False, False, []),
        (b"gzip", True, True, [b"Accept-Encoding: identity"]),
        (b"", True, True, [b"Accept-Encoding: identity"]),
    ],
)
def test_codings_are_narrowed_to_what_can_be_read(accept: bytes, observed: bool, plain: bool, extra: list[bytes]) -> None:
    """Only where the answer is observed, and to none where it is altered on the way back."""
    call = make_call(*([(b"Accept-Encoding", accept)] if accept else []))
    fields, dropped = replaced_fields(call, PLACE, None, observed=observed, plain=plain)
    assert fields == extra
    assert dropped == ({b"accept-encoding"} if extra else set())


@pytest.mark.parametrize(
    ("trace", "extra", "dropped"), [(None, [], False), (b"", [], True), (b"traceparent: x", [b"traceparent: x"], True)]
)
def test_trace_context_is_replaced_taken_out_or_left(trace: bytes | None, extra: list[bytes], dropped: bool) -> None:
    """Ours, none, or the caller's own."""
    call = make_call((b"Traceparent", b"theirs"), (b"tracestate", b"theirs"))
    fields, names = replaced_fields(call, PLACE, trace, observed=False, plain=False)
    assert fields == extra
    assert (b"theirs" in address_request(call, PLACE, "/", "", fields, names, 0)) is not dropped


def test_a_credential_replaces_every_form_of_the_callers() -> None:
    """With a key of our own, the caller's never goes along."""
    place = PLACE._replace(credential=(b"x-api-key: ours",))
    call = make_call((b"Authorization", b"Bearer theirs"), (b"X-Api-Key", b"theirs"))
    fields, dropped = replaced_fields(call, place, None, observed=False, plain=False)
    data = address_request(call, place, "/", "", fields, dropped, 0)
    assert b"theirs" not in data
    assert b"\r\nx-api-key: ours\r\n" in data


def test_trace_fields_name_the_attempt() -> None:
    """traceparent of the attempt's span, and the caller's state if there is one."""
    state = b"\r\ntracestate: congo=t61"
    assert trace_fields(TRACE, 0) == b"traceparent: 00-%032x-%016x-01" % (1, 4) + state
    assert trace_fields(replace(TRACE, tracestate=""), 1) == b"traceparent: 00-%032x-%016x-01" % (1, 5)


def test_own_fields_tell_how_an_answer_came_about() -> None:
    """Request id, upstream, and how often it was tried."""
    assert own_fields("abc", "main", 2) == [b"x-sidecar-request-id: abc\r\nx-sidecar-upstream: main\r\nx-sidecar-attempts: 2"]


def respond(call: Call, framing: Framing, *headers: tuple[bytes, bytes]) -> tuple[list[bytes], bool]:
    """Return the lines of a response head, and whether the connection is kept."""
    head = b"\r\n".join([b"HTTP/1.1 200 Fine", *(name + b": " + value for name, value in headers)])
    data, keeps = compose_response(call, read_answer("POST", 200, head), framing, [b"o: 1"])
    return lines(data), keeps


@pytest.mark.parametrize(
    ("framing", "told", "keeps"),
    [
        (Framing.NONE, [b"Content-Length: 5", b"o: 1"], True),
        (Framing.LENGTH, [b"Content-Length: 5", b"o: 1"], True),
        (Framing.CHUNKED, [b"Transfer-Encoding: chunked", b"o: 1"], True),
        (Framing.CLOSE, [b"o: 1", b"Connection: close"], False),
    ],
)
def test_an_answer_tells_its_own_framing(framing: Framing, told: list[bytes], keeps: bool) -> None:
    """The upstream's length is passed on only where it still holds, and there is exactly one framing."""
    assert respond(make_call(), framing, (b"A", b"1"), (b"Content-Length", b"5")) == ([b"HTTP/1.1 200 Fine", b"A: 1", *told], keeps)


@pytest.mark.parametrize(
    ("version", "keep_alive", "told"),
    [((1, 1), True, []), ((1, 1), False, [b"Connection: close"]), ((1, 0), True, [b"Connection: keep-alive"])],
)
def test_the_connection_is_kept_as_the_caller_wishes(version: tuple[int, int], keep_alive: bool, told: list[bytes]) -> None:
    """Closing is said to HTTP/1.1, keeping to HTTP/1.0."""
    call = make_call(version=version, keep_alive=keep_alive)
    assert respond(call, Framing.LENGTH, (b"Content-Length", b"5")) == (
        [b"HTTP/1.1 200 Fine", b"Content-Length: 5", b"o: 1", *told], keep_alive,
    )  # fmt: skip


@pytest.mark.parametrize("kind", ERRORS, ids=lambda kind: kind.id)
def test_every_refusal_is_a_whole_answer(kind: ErrorKind) -> None:
    """Status, reason, JSON of the told length, and the error's id."""
    data, _ = compose_refusal(make_call(), Fault(kind), b"{}", own=[b"o: 1"])
    head, _, body = data.partition(b"\r\n\r\n")
    first, *fields = head.split(b"\r\n")
    assert first.split(b" ", 2)[:2] == [b"HTTP/1.1", b"%d" % kind.status]
    assert first.split(b" ", 2)[2] != b"Error"
    assert fields[:4] == [b"Content-Type: application/json", b"Content-Length: 2", b"o: 1", b"x-sidecar-error: " + kind.id.encode()]
    assert body == b"{}"


@pytest.mark.parametrize(("wait_s", "told"), [(None, None), (0.2, b"1"), (1.0, b"1"), (29.6, b"30")])
def test_a_refusal_may_say_when_to_come_back(wait_s: float | None, told: bytes | None) -> None:
    """In whole seconds, at least one."""
    data, _ = compose_refusal(make_call(), Fault(POOL_FULL, retry_after_s=wait_s), b"{}", own=[])
    assert (b"Retry-After: " in data) == (told is not None)
    assert told is None or b"\r\nRetry-After: " + told + b"\r\n" in data


@pytest.mark.parametrize(
    ("kind", "wait_s", "told"),
    [
        (RATE_LIMITED, None, True), (RATE_LIMITED, 120.0, False), (RATE_LIMITED, 120.1, True), (BUDGET_SPENT, 86400.0, True),
        (SPENDING_STOPPED, None, True), (POOL_FULL, None, False), (POOL_FULL, 600.0, False), (NOT_CACHED, None, False),
    ],
)  # fmt: skip
def test_an_sdk_is_not_to_sleep_for_a_day(kind: ErrorKind, wait_s: float | None, told: bool) -> None:
    """What was refused by a limit or a budget is not to be asked for again where that would take long, or no wait helps."""
    data, _ = compose_refusal(make_call(), Fault(kind, retry_after_s=wait_s), b"{}", own=[])
    assert (b"\r\nx-should-retry: false\r\n" in data) == told


@pytest.mark.parametrize(
    ("kind", "call", "keeps"),
    [
        (NO_ROUTE, make_call(), True),
        (NO_ROUTE, make_call(keep_alive=False), False),
        (BAD_REQUEST, make_call(), False),
        (NOT_UPGRADABLE, make_call((b"Connection", b"upgrade"), (b"Upgrade", b"websocket")), False),
    ],
    ids=["kept", "not wanted", "malformed", "upgrade"],
)
def test_a_connection_is_not_kept_where_framing_is_in_doubt(kind: ErrorKind, call: Call, keeps: bool) -> None:
    """After a malformed request, and after a wish to speak something else, the connection is closed, and said to be."""
    data, kept = compose_refusal(call, Fault(kind), b"{}", own=[])
    assert kept is keeps
    assert (b"\r\nConnection: close\r\n" in data) is not keeps


def test_what_is_malformed_is_refused_and_the_connection_closed() -> None:
    """Nothing is known of the caller: the answer speaks for itself."""
    head, _, body = compose_malformed(BAD_REQUEST, b"{}").partition(b"\r\n\r\n")
    assert body == b"{}"
    assert head.split(b"\r\n") == [
        b"HTTP/1.1 400 Bad Request", b"Content-Type: application/json", b"Content-Length: 2",
        b"x-sidecar-error: bad_request", b"Connection: close",
    ]  # fmt: skip


def test_a_refusal_of_head_has_no_body() -> None:
    """The length of the body it would have is told all the same."""
    data, _ = compose_refusal(make_call(method="HEAD"), Fault(NO_ROUTE), b"{}", own=[])
    assert b"Content-Length: 2" in lines(data)


def test_a_switch_keeps_what_is_end_to_end() -> None:
    """Hop-by-hop fields are set anew, a subprotocol and own fields are there."""
    head = read_answer(
        "GET", 101, b"HTTP/1.1 101 Switching Protocols\r\nUPGRADE: WebSocket\r\nConnection: upgrade\r\nSec-WebSocket-Protocol: a\r\nX: y"
    )
    assert lines(compose_switch(head, [b"x-sidecar-upstream: up"])) == [
        b"HTTP/1.1 101 Switching Protocols", b"Sec-WebSocket-Protocol: a", b"X: y", b"Connection: Upgrade", b"Upgrade: websocket",
        b"x-sidecar-upstream: up",
    ]  # fmt: skip
