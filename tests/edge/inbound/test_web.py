"""Requests and answers of the admin port."""

import json

import pytest

from sidecar.core.attempt.heads import read_request
from sidecar.edge.inbound import web
from sidecar.exchange import Call, Headers


def make_call(method: str = "GET", target: str = "/", headers: Headers = (), version: tuple[int, int] = (1, 1)) -> Call:
    """Return a call as the connection makes it."""
    return Call("", method, target, headers, version, False, True, read_request(headers), 0.0, 0)


def encode(response: web.Response, method: str = "GET", version: tuple[int, int] = (1, 1), *, keep: bool = True) -> tuple[list[str], bytes]:
    """Return the lines of the head, and the body, as they are sent."""
    head, _, body = response.encode(make_call(method, version=version), keep=keep, wall_s=1700000000.9).partition(b"\r\n\r\n")
    return head.decode().split("\r\n"), body


@pytest.mark.parametrize(
    ("target", "path", "query_string", "query"),
    [
        ("/api/live?since=5&since=6", "/api/live", "since=5&since=6", {"since": "5"}),
        ("/a%2Fb%20c?x=%C3%A9&empty", "/a/b c", "x=%C3%A9&empty", {"x": "é", "empty": ""}),
        ("/?", "/", "", {}),
        ("http://pod.svc:9464/metrics?a=b", "/metrics", "a=b", {"a": "b"}),
        ("http://pod.svc", "/", "", {}),
        ("*", "/", "", {}),
        ("/%FF?%FF=%FE", "/\udcff", "%FF=%FE", {"\ufffd": "\ufffd"}),
        ("/x?" + "a=1&" * 100, "/x", "a=1&" * 100, {}),
    ],
)
def test_a_target_is_read(target: str, path: str, query_string: str, query: dict[str, str]) -> None:
    """In each form that a server has to take; more fields than anybody needs are none."""
    request = web.Request("GET", target)
    assert (request.method, request.path, request.query_string, request.query) == ("GET", path, query_string, query)


def test_fields_are_found_in_any_case() -> None:
    """All of one name, and the first of them; what is not there is said so."""
    request = web.Request("GET", "/", ((b"ACCEPT", b"a"), (b"Accept", b"b\xff"), (b"X-\xe9", b"1")))
    assert request.headers.get("accept") == "a" and request.headers.getall("Accept") == ["a", "b\udcff"]
    assert (request.headers.get("Host"), request.headers.get("Host", "none"), list(request.headers.getall("Host"))) == ("", "none", [])


def test_an_answer_is_whole() -> None:
    """Its length is told, and its date."""
    lines, body = encode(web.Response(text="é", headers={"Vary": "Accept"}))
    assert lines == [
        "HTTP/1.1 200 OK", "Vary: Accept", "Content-Type: text/plain; charset=utf-8", "Date: Tue, 14 Nov 2023 22:13:20 GMT",
        "Content-Length: 2",
    ]  # fmt: skip
    assert body == "é".encode()


def test_a_head_has_no_body() -> None:
    """But the length that the body would have."""
    lines, body = encode(web.Response(status=404, body=b"12345"), "HEAD")
    assert lines[0] == "HTTP/1.1 404 Not Found" and lines[-1] == "Content-Length: 5" and body == b""


@pytest.mark.parametrize("status", [204, 304])
def test_some_answers_have_no_body(status: int) -> None:
    """Nor a length: the caller would wait for it."""
    lines, body = encode(web.Response(status=status, body=b"12345"))
    assert not any(line.startswith("Content-Length") for line in lines) and body == b""


def test_what_becomes_of_the_connection_is_told() -> None:
    """HTTP/1.0 has to be told that it is kept, HTTP/1.1 that it is not."""
    assert "Connection: keep-alive" in encode(web.Response(), version=(1, 0))[0]
    assert "Connection: close" in encode(web.Response(), keep=False)[0]
    assert not any(line.startswith("Connection") for line in encode(web.Response())[0])


def test_json_is_answered() -> None:
    """As bytes of UTF-8."""
    response = web.json_response({"error": "é"}, status=400)
    assert (response.status, response.headers) == (400, {"Content-Type": "application/json"})
    assert json.loads(response.text) == {"error": "é"}


def test_a_kind_is_told() -> None:
    """Of a text with its charset, of bytes as it is; one that stands in the headers stays."""
    assert web.Response(text="", content_type="text/html").headers["Content-Type"] == "text/html; charset=utf-8"
    assert web.Response(body=b"", content_type="image/png").headers["Content-Type"] == "image/png"
    assert web.Response(text="", headers={"Content-Type": "a/b"}).headers["Content-Type"] == "a/b"
    assert web.Response().headers == {}
