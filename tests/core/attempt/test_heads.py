"""Which fields of a head end here, which pass, and how the end of a body is told."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.answer_head import AnswerHead, Framing
from sidecar.core.attempt.heads import (
    HOP_BY_HOP,
    classify,
    client_framing,
    dropped_names,
    forwarded_fields,
    narrow_codings,
    nominated_names,
    read_answer,
    read_request,
)

OURS = [b"X-Sidecar-Timeout", b"x-sidecar-tenant", b"X_Sidecar_Cache", b"x-SIDECAR_prefer"]
ENDS_HERE = sorted((HOP_BY_HOP | {b"content-length", b"expect"}) - {b"transfer-encoding"})
TOKEN = st.text("abcdefghijklmnopqrstuvwxyzABCDEFGHIJKLMNOPQRSTUVWXYZ0123456789-_!#$%&'*+.^`|~", min_size=1, max_size=20).map(str.encode)
VALUE = st.binary(max_size=30).map(lambda value: bytes(byte for byte in value if byte not in b"\r\n\0").strip())


def kept(*headers: tuple[bytes, bytes], drop: frozenset[bytes] = frozenset()) -> list[bytes]:
    """Return what of a request goes on."""
    return forwarded_fields(read_request(headers).fields, drop)


def write_head(*headers: tuple[bytes, bytes], reason: bytes = b"OK") -> bytes:
    """Return a response head up to its empty line."""
    return b"\r\n".join([b"HTTP/1.1 200 " + reason, *(name + b": " + value for name, value in headers)])


def answered(*headers: tuple[bytes, bytes], method: str = "POST", status: int = 200, reason: bytes = b"OK") -> AnswerHead:
    """Return the head of an answer."""
    return read_answer(
        method, status, b"\r\n".join([b"HTTP/1.1 %03d %b" % (status, reason), *(name + b": " + value for name, value in headers)])
    )


def test_order_case_and_number_of_fields_are_kept() -> None:
    """What passes, passes as it came: repeated fields, odd spellings and bytes beyond ASCII included."""
    headers = ((b"B", b"2"), (b"a-A", b"1"), (b"X_Y", b"\xff \xe4"), (b"b", b""), (b"B", b"2"))
    assert kept(*headers) == [b"B: 2", b"a-A: 1", b"X_Y: \xff \xe4", b"b: ", b"B: 2"]
    assert answered(*headers).fields == [b"B: 2", b"a-A: 1", b"X_Y: \xff \xe4", b"b: ", b"B: 2"]


@pytest.mark.parametrize("name", [*ENDS_HERE, *OURS])
def test_fields_of_one_hop_and_our_own_end_here(name: bytes) -> None:
    """They never reach an upstream, in any case."""
    value = b"1"
    assert kept((name, value), (b"A", b"1")) == [b"A: 1"]
    assert kept((name.upper(), value), (name.title(), value)) == []


def test_host_and_transfer_coding_end_here_and_must_be_plain() -> None:
    """One host at most, chunked alone at most: two parsers could read anything else in two ways."""
    assert kept((b"Host", b"a"), (b"Transfer-Encoding", b"Chunked"), (b"A", b"1")) == [b"A: 1"]
    assert read_request(((b"transfer-encoding", b" chunked"),)).chunked
    for bad in ([(b"Host", b"a"), (b"host", b"a")], [(b"Transfer-Encoding", b"gzip, chunked")], [(b"Transfer-Encoding", b"chunked")] * 2):
        with pytest.raises(ValueError, match=r"hosts|coding"):
            read_request(tuple(bad))


@pytest.mark.parametrize("name", [*sorted(HOP_BY_HOP - {b"transfer-encoding"}), *OURS])
def test_fields_of_one_hop_and_our_own_are_not_taken_from_an_upstream(name: bytes) -> None:
    """An upstream cannot speak in the sidecar's name, nor to the caller's connection."""
    assert answered((name.title(), b"1"), (b"A", b"1")).fields == [b"A: 1"]


def test_nominated_fields_end_here() -> None:
    """What Connection names ends here, in both directions and in every spelling of case, over several lines."""
    headers = ((b"Connection", b"X-One, close"), (b"x-ONE", b"1"), (b"connection", b" x-two ,"), (b"X-Two", b"2"), (b"X-Three", b"3"))
    assert kept(*headers) == [b"X-Three: 3"]
    assert answered(*headers).fields == [b"X-Three: 3"]


@pytest.mark.parametrize(
    "name", [b"Authorization", b"x-api-key", b"Content-Type", b"Content-Encoding", b"Accept-Encoding", b"traceparent", b"Set-Cookie"]
)
def test_protected_fields_cannot_be_stripped_by_naming_them(name: bytes) -> None:
    """Naming a credential or the meaning of the body in Connection does not take it out."""
    assert kept((b"Connection", name + b", X-A"), (name, b"v"), (b"X-A", b"")) == [name + b": v"]
    assert answered((b"Connection", name), (name, b"v")).fields == [name + b": v"]


def test_an_upstream_cannot_nominate_the_length_away() -> None:
    """Without its length a kept connection's answer would have no end."""
    head = answered((b"Connection", b"content-length"), (b"Content-Length", b"5"))
    assert (head.framing, head.length_field) == (Framing.LENGTH, b"Content-Length: 5")


@pytest.mark.parametrize("value", [b"keep-alive", b"Close", b"", b" , "])
def test_connection_options_nominate_nothing(value: bytes) -> None:
    """`close` and `keep-alive` alone are not names of fields."""
    assert nominated_names(value) <= {b""}


def test_the_requests_own_wishes_are_read() -> None:
    """Own fields by lower-case name with hyphens, codings joined, length as a number."""
    wanted = read_request((
        (b"X_SIDECAR_Timeout", b" 5 "), (b"x-sidecar-Tenant", b"caf\xc3\xa9"), (b"Accept-Encoding", b"gzip"), (b"accept-encoding", b"br"),
        (b"Content-Encoding", b"gzip"), (b"content-encoding", b"br"), (b"Content-Length", b"12"), (b"Expect", b" 100-Continue"),
    ))  # fmt: skip
    assert wanted.own == {"x-sidecar-timeout": "5", "x-sidecar-tenant": "café"}
    assert (wanted.accept_encoding, wanted.content_encoding) == (b"gzip, br", b"gzip, br")
    assert (wanted.content_length, wanted.expects_continue, wanted.upgrade) == (12, True, False)


def test_an_empty_request_wants_nothing() -> None:
    """Without fields there is nothing to read."""
    wanted = read_request(())
    assert (wanted.own, wanted.fields, wanted.accept_encoding, wanted.content_encoding) == ({}, [], b"", b"")
    assert (wanted.content_length, wanted.expects_continue, wanted.upgrade) == (None, False, False)


@pytest.mark.parametrize(
    ("headers", "upgrade"),
    [
        ([(b"Upgrade", b"websocket"), (b"Connection", b"Upgrade")], True),
        ([(b"Connection", b"keep-alive, upgrade"), (b"upgrade", b"h2c")], True),
        ([(b"Upgrade", b"websocket")], False),
        ([(b"Connection", b"upgrade")], False),
    ],
)
def test_an_upgrade_takes_both_fields(headers: list[tuple[bytes, bytes]], upgrade: bool) -> None:
    """RFC 9110 section 7.8: Upgrade, and Connection that names it."""
    assert read_request(tuple(headers)).upgrade is upgrade


def test_other_expectations_are_none() -> None:
    """Only 100-continue is known."""
    assert not read_request(((b"Expect", b"the-unexpected"),)).expects_continue


@pytest.mark.parametrize(
    ("what", "gone"),
    [
        ({}, set()),
        ({"trace": True}, {b"traceparent", b"Tracestate"}),
        ({"codings": True}, {b"Accept-Encoding"}),
        ({"credential": True}, {b"Authorization", b"x-api-key", b"API-Key", b"x-goog-api-key"}),
    ],
)
def test_what_is_replaced_is_dropped(what: dict[str, bool], gone: set[bytes]) -> None:
    """Fields that we set in the caller's stead are taken out, in any case; all others stay."""
    names = [
        b"traceparent", b"Tracestate", b"Accept-Encoding", b"Authorization", b"x-api-key", b"API-Key", b"x-goog-api-key", b"Content-Type",
    ]  # fmt: skip
    drop = dropped_names(**{"trace": False, "codings": False, "credential": False, **what})
    assert kept(*((name, b"1") for name in names), drop=drop) == [name + b": 1" for name in names if name not in gone]


@pytest.mark.parametrize(
    ("accept", "narrowed"),
    [
        (b"gzip, deflate", None),
        (b"", None),
        (b"gzip, br;q=0.9, zstd", b"gzip"),
        (b"br", b"identity"),
        (b"*", b"identity"),
        (b"GZIP;q=0.5 , identity,br", b"GZIP;q=0.5, identity"),
        (b"\xff", b"identity"),
        (b", ,", None),
    ],
)
def test_codings_that_cannot_be_read_are_not_offered(accept: bytes, narrowed: bytes | None) -> None:
    """Offers are dropped, never invented; where none is left, no coding is asked for."""
    assert narrow_codings(accept, frozenset({"gzip", "deflate", "identity"})) == narrowed


@pytest.mark.parametrize(
    ("headers", "method", "status", "framing"),
    [
        ([], "POST", 200, Framing.CLOSE),
        ([(b"content-LENGTH", b"3")], "POST", 200, Framing.LENGTH),
        ([(b"Transfer-Encoding", b"Chunked ")], "POST", 200, Framing.CHUNKED),
        ([(b"Content-Length", b"3"), (b"Transfer-Encoding", b"chunked")], "POST", 200, Framing.CHUNKED),
        ([(b"Transfer-Encoding", b"chunked"), (b"Content-Length", b"3")], "POST", 200, Framing.CHUNKED),
        ([(b"Content-Length", b"3")], "HEAD", 200, Framing.NONE),
        ([(b"Transfer-Encoding", b"chunked")], "HEAD", 200, Framing.NONE),
        ([(b"Content-Length", b"3")], "GET", 304, Framing.NONE),
        ([], "GET", 204, Framing.NONE),
        ([], "GET", 205, Framing.CLOSE),
    ],
)
def test_the_end_of_a_body_is_told_by_the_rules(headers: list[tuple[bytes, bytes]], method: str, status: int, framing: Framing) -> None:
    """RFC 9112 section 6.3, rule by rule."""
    assert answered(*headers, method=method, status=status).framing is framing


@pytest.mark.parametrize("coding", [b"gzip", b"gzip, chunked", b"chunked, chunked", b"identity", b"", b"xchunked"])
def test_other_transfer_codings_are_refused(coding: bytes) -> None:
    """None was offered; decoding would be ours to do, and passing on would show the caller garbage."""
    with pytest.raises(ValueError):
        answered((b"Transfer-Encoding", coding))


@pytest.mark.parametrize(("status", "reason"), [(42, b"OK"), (0, b"OK"), (200, b"O\0K"), (200, b"\x1b[2J"), (404, b"a\rb"), (200, b"\x7f")])
def test_a_status_line_that_must_not_be_sent_on_is_refused(status: int, reason: bytes) -> None:
    """A status below 100, or control characters in the reason phrase."""
    with pytest.raises(ValueError):
        answered(status=status, reason=reason)


@pytest.mark.parametrize(
    "head", [b"HTTP/1.1 200 OK\r\nA: b\n c: d", b"HTTP/1.1 200 OK\nA: b", b"HTTP/1.1 200 OK\r\nno colon", b"HTTP/1.1 200 OK\r\n"]
)
def test_lines_that_could_be_read_in_two_ways_are_refused(head: bytes) -> None:
    """Bare line feeds and lines that are no fields never reach a caller."""
    with pytest.raises(ValueError):
        read_answer("POST", 200, head)


def test_lines_pass_as_they_came() -> None:
    """White space around a value is the upstream's own; what is read of it is without."""
    head = read_answer("GET", 200, b"HTTP/1.1 200\r\nContent-Type:\tText/Plain \r\ncontent-length:  5\r\nA:b")
    assert (head.reason, head.fields) == (b"", [b"Content-Type:\tText/Plain ", b"A:b"])
    assert (head.content_type, head.length_field) == ("text/plain", b"content-length:  5")


@pytest.mark.parametrize("reason", [b"", b"OK", b"Not Found", b"caf\xe9\t!"])
def test_reason_phrases_pass_as_they_came(reason: bytes) -> None:
    """Visible characters, spaces, tabs and bytes beyond ASCII are allowed (RFC 9112 section 4)."""
    head = answered(status=999, reason=reason)
    assert (head.status, head.reason) == (999, reason)


def test_what_an_answer_holds_is_read() -> None:
    """Content type, in lower case, and coding are noted and pass on; the length stands apart."""
    head = answered((b"Content-Type", b"Text/Event-Stream; X=Y"), (b"content-encoding", b"gzip"), (b"content-length", b"7"))
    assert (head.content_type, head.content_encoding) == ("text/event-stream; x=y", "gzip")
    assert head.fields == [b"Content-Type: Text/Event-Stream; X=Y", b"content-encoding: gzip"]
    assert head.length_field == b"content-length: 7"
    assert answered() == AnswerHead(200, b"OK", Framing.CLOSE, [], None, "", "", [])


def test_rate_limits_pass_and_are_noted() -> None:
    """In whatever spelling; what only says when a limit is reset, or is no limit, is not among them."""
    fields = [
        (b"X-RateLimit-Remaining-Requests", b"9"), (b"x-ratelimit-reset-requests", b"6ms"),
        (b"anthropic-ratelimit-input-tokens-limit", b"50000"), (b"retry-after-ms", b"12"), (b"x-ratelimit-remaining-tokens", b"-1"),
    ]  # fmt: skip
    head = answered(*fields, status=429)
    assert head.fields == [name + b": " + value for name, value in fields]
    assert head.limits == [head.fields[0], head.fields[2], head.fields[4]]
    assert answered((b"connection", b"x-ratelimit-limit"), (b"x-ratelimit-limit", b"1")).fields == []


@pytest.mark.parametrize(("value", "replayed"), [(b"HIT", True), (b"hit", True), (b"MISS", False), (b"", False)])
def test_a_replayed_answer_is_noted(value: bytes, replayed: bool) -> None:
    """OpenRouter says which answers come from its own cache."""
    head = answered((b"X-OpenRouter-Cache-Status", value))
    assert (head.replayed, head.fields) == (replayed, [b"X-OpenRouter-Cache-Status: " + value])


@pytest.mark.parametrize(
    ("framing", "version", "endless", "towards"),
    [
        (Framing.NONE, (1, 1), True, Framing.NONE),
        (Framing.LENGTH, (1, 0), False, Framing.LENGTH),
        (Framing.LENGTH, (1, 1), True, Framing.CHUNKED),
        (Framing.LENGTH, (1, 0), True, Framing.CLOSE),
        (Framing.CHUNKED, (1, 1), False, Framing.CHUNKED),
        (Framing.CHUNKED, (1, 0), False, Framing.CLOSE),
        (Framing.CLOSE, (1, 1), False, Framing.CHUNKED),
        (Framing.CLOSE, (1, 0), True, Framing.CLOSE),
    ],
)
def test_the_callers_framing_can_always_tell_a_cut(framing: Framing, version: tuple[int, int], endless: bool, towards: Framing) -> None:
    """Streams go out in chunks even if their length was told; HTTP/1.0 gets no chunks."""
    assert client_framing(framing, version, endless=endless) is towards


@given(st.lists(st.tuples(TOKEN, VALUE), max_size=12))
def test_only_fields_with_a_reason_are_missing(headers: list[tuple[bytes, bytes]]) -> None:
    """What goes on is what came, in order, without fields that end here; nothing is added or altered."""
    headers = [(name, b"7" if name.lower() == b"content-length" else value) for name, value in headers]
    nominated = frozenset().union(*(nominated_names(value) for name, value in headers if name.lower() == b"connection"))
    expected = [
        name + b": " + value
        for name, value in headers
        if name.lower() not in ENDS_HERE
        and name.lower() not in nominated
        and not name.lower().replace(b"_", b"-").startswith(b"x-sidecar-")
    ]
    assert kept(*headers) == expected


def test_spellings_without_number_cost_no_memory() -> None:
    """A peer that sends ever new names is still read rightly after the table of spellings is full."""
    for number in range(5000):
        assert classify(b"X-%d" % number) == b""
    assert classify(b"X_SIDECAR-%d" % 5000) == b"x-sidecar-5000"
    assert kept((b"hOST", b"x"), (b"X-9999", b"1")) == [b"X-9999: 1"]
