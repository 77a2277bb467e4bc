"""Requests and answers of the admin port, over the HTTP that the data port speaks.

A few pages for operators and Prometheus: no routes, no sessions, no streams. A framework for more than that takes ten megabytes,
a fifth of what a whole sidecar may.
"""

import time
from collections.abc import Mapping, Sequence
from http import HTTPStatus
from typing import Final
from urllib.parse import parse_qsl, unquote

import msgspec

from sidecar.edge.inbound.client import HttpClient
from sidecar.exchange import Call, Headers

_TEXT: Final = "text/plain; charset=utf-8"
_JSON: Final = "application/json"
_NO_BODY: Final = (204, 304)  # RFC 9110, sections 15.3.5 and 15.4.5
_FIELDS_MAX: Final = 16  # of a query


class Fields:
    """The fields of a request's head. Names are told apart without regard to case (RFC 9110, section 5.1)."""

    def __init__(self, headers: Headers) -> None:
        self._values: dict[str, list[str]] = {}
        for name, value in headers:
            self._values.setdefault(name.decode("latin-1").lower(), []).append(value.decode("utf-8", "surrogateescape"))

    def get(self, name: str, default: str = "") -> str:
        """Return the first value of a field."""
        return self._values.get(name.lower(), [default])[0]

    def getall(self, name: str) -> Sequence[str]:
        """Return every value of a field."""
        return self._values.get(name.lower(), ())


class Request:
    """What is asked for, and from where. `path` is decoded; what comes twice in the query counts the first time."""

    def __init__(
        self, method: str, target: str, headers: Headers = (), *, remote: str = "", is_encrypted: bool = False, has_body: bool = False
    ) -> None:
        self.method = method
        self.remote = remote
        self.scheme = "https" if is_encrypted else "http"
        self.has_body = has_body
        if not target.startswith("/"):  # absolute-form, which a server has to take (RFC 9112, section 3.2.2)
            target = "/" + target.partition("://")[2].partition("/")[2]
        path, _, self.query_string = target.partition("?")
        self.path = unquote(path, errors="surrogateescape")
        self.headers = Fields(headers)

    @property
    def query(self) -> Mapping[str, str]:
        """What the query says."""
        try:
            pairs = parse_qsl(self.query_string, keep_blank_values=True, max_num_fields=_FIELDS_MAX)
        except ValueError:  # more than anybody needs
            return {}
        return dict(reversed(pairs))

    @classmethod
    def of(cls, client: HttpClient) -> "Request":
        """Return what somebody who called asks for."""
        call = client.call
        return cls(call.method, call.target, call.headers, remote=client.remote, is_encrypted=client.is_encrypted, has_body=call.has_body)


class Response:
    """What is answered. The names of `headers` are written as they are, and as they are known: `Content-Type`."""

    def __init__(
        self, *, status: int = 200, text: str | None = None, body: bytes = b"", headers: Mapping[str, str] | None = None,
        content_type: str | None = None,
    ) -> None:  # fmt: skip
        """`text`: instead of `body`, sent in UTF-8. `content_type`: of a text its charset is added."""
        self.status = status
        self.headers = dict(headers or {})
        self.body = body if text is None else text.encode("utf-8")
        self.closes = False
        if text is not None:
            self.headers.setdefault("Content-Type", _TEXT if content_type is None else f"{content_type}; charset=utf-8")
        elif content_type is not None:
            self.headers.setdefault("Content-Type", content_type)

    @property
    def text(self) -> str:
        """The body, read."""
        return self.body.decode("utf-8")

    def force_close(self) -> None:
        """Have the connection closed behind this answer."""
        self.closes = True

    def encode(self, call: Call, *, keep: bool, wall_s: float) -> bytes:
        """Return the bytes that go to whoever called. `wall_s`: seconds since the epoch."""
        phrase = HTTPStatus(self.status).phrase
        lines = [f"HTTP/1.1 {self.status} {phrase}", *(f"{name}: {value}" for name, value in self.headers.items())]
        lines.append(time.strftime("Date: %a, %d %b %Y %H:%M:%S GMT", time.gmtime(wall_s)))
        if self.status not in _NO_BODY:
            lines.append(f"Content-Length: {len(self.body)}")
        if not keep:
            lines.append("Connection: close")
        elif call.http_version < (1, 1):
            lines.append("Connection: keep-alive")
        head = "\r\n".join(lines).encode("latin-1") + b"\r\n\r\n"
        return head if call.method == "HEAD" or self.status in _NO_BODY else head + self.body


def json_response(tree: object, *, status: int = 200, headers: Mapping[str, str] | None = None) -> Response:
    """Return an answer in JSON."""
    return Response(status=status, body=msgspec.json.encode(tree), headers=headers, content_type=_JSON)
