"""Batches are read: entries become calls of their own."""

import json
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st
from msgspec import Raw

from sidecar.core.identify.batch import is_json, read_batch, read_entry
from sidecar.errors import BAD_BATCH, ClientFault
from sidecar.exchange import Call, TraceContext
from tests.core.attempt.calls import make_call

TYPE = (b"Content-Type", b"application/json; charset=utf-8")
OUTER = make_call((b"Authorization", b"Bearer outer"), TYPE, target="/x-sidecar/batch")
TRACE = TraceContext(0xABC, None, 0x11, 0x22, 0x33, True, "congo=t61")


def read(value: Any, *, trace: TraceContext | None = None, timeout_s: float | None = None) -> tuple[Call, bytes]:
    """Return an entry as a call."""
    raw = value if isinstance(value, bytes) else json.dumps(value).encode()
    return read_entry(Raw(raw), 3, OUTER, trace, timeout_s, now=7.0, now_ns=8)


def fields(call: Call) -> dict[bytes, bytes]:
    """Return a call's fields by lower-case name."""
    return {name.lower(): value for name, value in call.headers}


def refused(value: Any) -> str:
    """Return why an entry is refused."""
    with pytest.raises(ClientFault) as raised:
        read(value)
    assert raised.value.kind is BAD_BATCH
    return raised.value.detail


def test_a_batch_is_a_list() -> None:
    """Of at most so many entries, each left as it came."""
    assert [bytes(entry) for entry in read_batch((TYPE,), b' [1, {"a" : 2}]', 2)] == [b"1", b'{"a" : 2}']
    assert read_batch((TYPE,), b"[]", 2) == []
    for body, why in ((b"[1,2,3]", "3 entries; limits.batch allows 2"), (b"{}", "not a JSON list"), (b"", "not a JSON list")):
        with pytest.raises(ClientFault, match=why):
            read_batch((TYPE,), body, 2)


@pytest.mark.parametrize("headers", [(), ((b"content-type", b"text/plain"),), ((b"x-type", b"application/json"),)])
def test_a_batch_calls_itself_json(headers: tuple[tuple[bytes, bytes], ...]) -> None:
    """Which is what no web page can send here unasked."""
    with pytest.raises(ClientFault, match="Content-Type: application/json"):
        read_batch(headers, b"[]", 2)


def test_a_web_page_stays_one() -> None:
    """The Origin that a browser told goes on in place of what an entry says; a program has none and may say what it likes."""
    entry = Raw(b'{"path": "/t", "headers": {"origin": "http://own"}}')
    page = make_call((b"Origin", b"http://evil"), TYPE)
    assert fields(read_entry(entry, 0, page, None, None, now=0.0, now_ns=0)[0])[b"origin"] == b"http://evil"
    assert fields(read_entry(entry, 0, OUTER, None, None, now=0.0, now_ns=0)[0])[b"origin"] == b"http://own"


def test_an_entry_is_a_call_of_its_own() -> None:
    """With an id of its own, and all that it says."""
    call, body = read(
        {"path": "/tools/w/now?q=1", "method": "PUT", "headers": {"X-Key": " k ", "x-sidecar-timeout": "2"}, "body": {"a": 1}}
    )
    assert (call.id, call.method, call.target, body) == ("0123456789abcdef-3", "PUT", "/tools/w/now?q=1", b'{"a": 1}')
    assert (call.accepted, call.accepted_ns, call.has_body, call.keep_alive) == (7.0, 8, True, False)
    assert fields(call) == {
        b"x-key": b"k", b"x-sidecar-timeout": b"2", b"accept-encoding": b"identity", b"content-type": b"application/json",
        b"content-length": b"8",
    }  # fmt: skip
    assert call.wanted.own == {"x-sidecar-timeout": "2"}


def test_an_entry_needs_only_a_path() -> None:
    """Then it is a POST without a body, and nothing of the batch's own fields is in it."""
    call, body = read({"path": "/tools/w/"})
    assert (call.method, call.has_body, body) == ("POST", False, b"")
    assert fields(call) == {b"accept-encoding": b"identity"}
    assert read({"path": "/tools/w/", "body": None})[1] == b""


def test_fields_of_a_connection_are_not_an_entrys() -> None:
    """Framing, host and hop-by-hop fields cannot be smuggled in."""
    given_fields = {
        "Host": "evil", "Content-Length": "99", "Transfer-Encoding": "chunked", "Connection": "x", "Expect": "100-continue",
        "Upgrade": "websocket", "Accept-Encoding": "gzip", "TE": "trailers",
    }  # fmt: skip
    call, _ = read({"path": "/t", "headers": given_fields, "body": 1})
    assert fields(call) == {b"accept-encoding": b"identity", b"content-type": b"application/json", b"content-length": b"1"}
    assert (call.wanted.chunked, call.wanted.upgrade, call.wanted.expects_continue) == (False, False, False)


@pytest.mark.parametrize(
    ("body", "content_type", "sent"),
    [
        ('{"n": 1.0}', None, b'{"n": 1.0}'),
        ('"text"', None, b'"text"'),
        ('"text"', "application/problem+json", b'"text"'),
        ('"te\\u00e9xt"', "text/plain; charset=utf-8", "teéxt".encode()),
        ("[1]", "text/plain", b"[1]"),
        ('""', "text/plain", b""),
    ],
)
def test_a_body_is_json_unless_it_is_text_of_another_type(body: str, content_type: str | None, sent: bytes) -> None:
    """JSON goes on as it was written; the content of a string where the type says that it is not JSON."""
    headers = json.dumps({} if content_type is None else {"content-type": content_type})
    call, found = read(f'{{"path": "/t", "headers": {headers}, "body": {body}}}'.encode())
    assert found == sent
    assert fields(call)[b"content-length"] == b"%d" % len(sent)
    assert fields(call)[b"content-type"] == (content_type or "application/json").encode()


def test_a_traced_batch_is_the_parent_of_its_entries() -> None:
    """What an entry says of a trace gives way; without tracing it stays the entry's own."""
    own = {"traceparent": "00-" + "1" * 32 + "-" + "2" * 16 + "-01", "tracestate": "x=y"}
    traced = fields(read({"path": "/t", "headers": own}, trace=TRACE)[0])
    assert traced[b"traceparent"] == b"00-" + b"0" * 29 + b"abc-" + b"0" * 14 + b"11-01"
    assert traced[b"tracestate"] == b"congo=t61"
    assert fields(read({"path": "/t", "headers": own})[0])[b"traceparent"] == own["traceparent"].encode()


@pytest.mark.parametrize(
    ("own", "wanted"),
    [
        ({}, "5.0"), ({"X-Sidecar-Timeout": "2"}, "2"), ({"x_sidecar_timeout": "9"}, "5.0"), ({"x-sidecar-timeout": "soon"}, "soon"),
        ({"x-sidecar-timeout": "2", "X-Sidecar-Timeout": "9"}, "5.0"), ({"X-Sidecar-Timeout": "2", "x-sidecar_timeout": "9"}, "5.0"),
    ],
)  # fmt: skip
def test_an_entry_may_only_shorten_the_batchs_time(own: dict[str, str], wanted: str) -> None:
    """However it spells the field, and how often; what is not a number is left to be refused where calls are read."""
    call, _ = read({"path": "/t", "headers": own}, timeout_s=5.0)
    assert call.wanted.own == {"x-sidecar-timeout": wanted}


@pytest.mark.parametrize(
    ("value", "why"),
    [
        (7, "not a JSON object"), ([], "not a JSON object"), (b"{", "not a JSON object"), ({}, "path is not text"),
        ({"path": 7}, "path is not text"), ({"path": "tools"}, "path is not that of a tool"),
        ({"path": "/x-sidecar/batch"}, "path is not that of a tool"), ({"path": "/" + "x" * 99_999}, "path is not that of a tool"),
        ({"path": "/t", "canary": 1}, "a member that is not known; allowed: path, method, headers, body"),
        ({"path": "/t", "method": "get"}, "method is not one of HTTP's"), ({"path": "/t", "method": "CONNECT"}, "method is not one"),
        ({"path": "/t", "method": "GET / HTTP/1.1\r\n"}, "method is not one"), ({"path": "/t", "method": None}, "method is not text"),
        ({"path": "/t", "headers": []}, "headers is not an object"), ({"path": "/t", "headers": {"a": 1}}, "headers is not an object"),
        ({"path": "/t", "headers": {"a b": "canary"}}, "headers are not those of HTTP"),
        ({"path": "/t", "headers": {"": "canary"}}, "headers are not those of HTTP"),
        ({"path": "/t", "headers": {"a": "canary\r\nb: c"}}, "headers are not those of HTTP"),
        ({"path": "/t", "headers": {"a": "canary\u20ac"}}, "headers are not those of HTTP"),
        ({"path": "/t", "headers": {"a": "x" * 20_000}}, "headers are not those of HTTP"),
        ({"path": "/t", "headers": {f"a{n}": "" for n in range(200)}}, "headers are not those of HTTP"),
        (b'{"path": "/t", "headers": {"content-type": "text/plain"}, "body": "\xff"}', "body is not text that can be sent"),
    ],
)  # fmt: skip
def test_a_bad_entry_is_told_what_is_wrong(value: Any, why: str) -> None:
    """Which one, what, and nothing of what it said."""
    said = refused(value)
    assert said.startswith("Entry 3")
    assert why in said
    assert "canary" not in said


@pytest.mark.parametrize(
    ("content_type", "found"),
    [
        ("application/json", True),
        ("Application/JSON; charset=utf-8", True),
        ("application/vnd.x+json", True),
        ("text/json", False),
        ("", False),
    ],
)  # fmt: skip
def test_json_is_told_by_its_media_type(content_type: str, found: bool) -> None:
    """With parameters and structured suffixes."""
    assert is_json(content_type) is found


@given(st.binary(max_size=60) | st.text(max_size=60).map(str.encode))
def test_nothing_but_a_client_fault_comes_of_any_input(body: bytes) -> None:
    """Whatever is sent as a batch or as an entry."""
    try:
        entries = read_batch((TYPE,), body, 5)
    except ClientFault:
        entries = [Raw(body)]
    for entry in entries:
        try:
            read_entry(entry, 0, OUTER, None, None, now=0.0, now_ns=0)
        except ClientFault:
            pass
