"""From a request's head to a call."""

from typing import Any

import httptools
import pytest

from sidecar.edge.inbound.heads import begin_call, say_last
from sidecar.exchange import Call
from tests.core.attempt.calls import make_call


class Host:
    """Names calls, and knows the time."""

    def draw_id(self) -> str:
        return "id-1"

    def now(self) -> float:
        return 5.0

    def wall_ns(self) -> int:
        return 7


class Head:
    """What a parser tells of a head."""

    def __init__(self, head: bytes) -> None:
        self.fields: list[tuple[bytes, bytes]] = []
        self.target = b""
        self.call: Call | None = None
        self._parser = httptools.HttpRequestParser(self)
        try:
            self._parser.feed_data(head)
        except httptools.HttpParserUpgrade:
            pass

    def on_url(self, url: bytes) -> None:
        self.target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        self.fields.append((name, value))

    def on_headers_complete(self) -> None:
        host: Any = Host()
        parser = self._parser
        self.call = begin_call(
            parser.get_method(), parser.get_http_version(), parser.should_keep_alive(), self.target, tuple(self.fields), host
        )  # fmt: skip


def test_a_head_is_a_call() -> None:
    """With what was asked for, by whom and when."""
    call = Head(b"POST /v1/chat?a=b HTTP/1.1\r\nHost: x\r\nContent-Length: 3\r\n\r\n").call
    assert call is not None
    assert (call.id, call.method, call.target, call.http_version, call.accepted, call.accepted_ns) == (
        "id-1", "POST", "/v1/chat?a=b", (1, 1), 5.0, 7,
    )  # fmt: skip
    assert (call.has_body, call.keep_alive) == (True, True)


@pytest.mark.parametrize(
    ("head", "keeps"),
    [
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: close\r\n\r\n", False), (b"GET / HTTP/1.0\r\n\r\n", False),
        (b"GET / HTTP/1.0\r\nConnection: keep-alive\r\n\r\n", True),
        (b"GET / HTTP/1.1\r\nHost: x\r\nConnection: Upgrade\r\nUpgrade: websocket\r\n\r\n", False),
    ],
)  # fmt: skip
def test_whose_connection_is_kept(head: bytes, keeps: bool) -> None:
    """As it was asked for, and never behind what is HTTP no more."""
    call = Head(head).call
    assert call is not None and call.keep_alive is keeps


@pytest.mark.parametrize(
    "head",
    [
        b"GET / HTTP/1.0\r\nTransfer-Encoding: chunked\r\n\r\n", b"GET /%b HTTP/1.1\r\nHost: x\r\n\r\n" % (b"x" * 20_000),
        b"GET / HTTP/1.1\r\nHost: x\r\n" + b"".join(b"x-%d: 1\r\n" % number for number in range(200)) + b"\r\n",
    ],
    ids=["chunks in 1.0", "target", "fields"],
)  # fmt: skip
def test_what_the_parser_lets_through_and_we_do_not(head: bytes) -> None:
    """It never becomes a call."""
    with pytest.raises(httptools.HttpParserCallbackError):
        Head(head)


def test_the_last_in_line_says_so() -> None:
    """Whoever was to say it before says it no more; who would not keep its connection anyhow is not changed, then or later."""
    first, second, closing = make_call(), make_call(), make_call(keep_alive=False)
    said = say_last(first, None)
    assert (said, first.keep_alive) == (first, False)
    said = say_last(second, said)
    assert (said, first.keep_alive, second.keep_alive) == (second, True, False)
    said = say_last(closing, said)
    assert (said, second.keep_alive, closing.keep_alive) == (None, True, False)
    assert say_last(first, said) is first and not closing.keep_alive
