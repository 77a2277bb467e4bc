"""Spans to a collector over OTLP/HTTP. Blocking: called from the exporter's thread only.

On the standard library's client: the official HTTP exporter loads `requests` and what it needs,
6 MB of the 50 the whole process may have, and counts a redirect as a success.
"""

import gzip
import http.client
import random
import ssl
import threading
from base64 import b64encode
from collections.abc import Callable, Mapping, Sequence
from http import HTTPStatus
from typing import Final, NamedTuple, Protocol
from urllib.parse import SplitResult, unquote, urlsplit
from urllib.request import getproxies, proxy_bypass

from sidecar.edge.telemetry.otlp import Export
from sidecar.edge.telemetry.protobuf import encode_request, encode_span, read_rejected
from sidecar.edge.telemetry.span import Span

SCOPE: Final = "llm-sidecar"
SCHEMA_URL: Final = "https://opentelemetry.io/schemas/1.41.0"  # the last version with the GenAI names we emit
# The statuses that OTLP/HTTP declares retryable.
_RETRYABLE: Final = frozenset(
    (HTTPStatus.TOO_MANY_REQUESTS, HTTPStatus.BAD_GATEWAY, HTTPStatus.SERVICE_UNAVAILABLE, HTTPStatus.GATEWAY_TIMEOUT)
)
_ANSWER_BYTES_MAX: Final = 64 * 1024
_BACKOFF_S: Final = 1.0


class Outcome(NamedTuple):
    """What became of a batch: why it was lost ("" if it was not), and how many spans were turned down."""

    failure: str
    rejected: int = 0


class Collector(Protocol):
    """One way to hand over spans. Used by one thread."""

    batch_records: int | None  # a smaller batch than configured, where encoding holds up the process

    def add(self, spans: Sequence[Span]) -> None:
        """Make spans ready for the next `send`."""
        ...

    def send(self, stopping: threading.Event) -> Outcome:
        """Hand over what was added; repeat what may pass within the timeout, unless `stopping`."""
        ...

    def discard(self) -> None:
        """Forget what was added and not sent."""
        ...

    def close(self) -> None:
        """Let go of the connection."""
        ...


class HttpCollector:
    """A collector that takes OTLP/HTTP with binary protobuf."""

    batch_records: int | None = None

    def __init__(self, export: Export, resource: Mapping[str, str], version: str, now: Callable[[], float]) -> None:
        """`now`: the monotonic clock, in seconds."""
        self._export = export
        self._resource = resource
        self._version = version
        self._now = now
        self._pending: list[bytes] = []
        self._connection: http.client.HTTPConnection | None = None
        self._url = urlsplit(export.endpoint)
        self._target = self._url.path + (f"?{self._url.query}" if self._url.query else "")
        self._headers = {"content-type": "application/x-protobuf", "user-agent": f"{SCOPE}/{version}", **dict(export.headers)}
        if self._url.username is not None:
            self._headers["authorization"] = _basic(self._url)
        if export.is_compressed:
            self._headers["content-encoding"] = "gzip"

    def add(self, spans: Sequence[Span]) -> None:
        """Encode spans for the next `send`."""
        self._pending.extend(map(encode_span, spans))

    def send(self, stopping: threading.Event) -> Outcome:
        """Post what was added. Any 2xx is a success; a redirect is not."""
        body = encode_request(self._resource, (SCOPE, self._version), SCHEMA_URL, self._pending)
        self._pending.clear()
        if self._export.is_compressed:
            body = gzip.compress(body, compresslevel=4)
        deadline = self._now() + self._export.timeout_s
        backoff_s = _BACKOFF_S
        while True:
            status, answer, retry_after_s = self._post(body, max(0.05, deadline - self._now()))
            if isinstance(status, int) and 200 <= status < 300:
                return Outcome("", read_rejected(answer))
            failure = f"HTTP {status}" if isinstance(status, int) else status
            pause_s = backoff_s * random.uniform(0.8, 1.2) if retry_after_s is None else retry_after_s
            is_passing = status in _RETRYABLE if isinstance(status, int) else True
            if not is_passing or self._now() + pause_s > deadline or stopping.wait(pause_s):
                return Outcome(failure)
            backoff_s *= 2

    def discard(self) -> None:
        """Forget what was added and not sent."""
        self._pending.clear()

    def close(self) -> None:
        """Close the connection, if there is one."""
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _post(self, body: bytes, timeout_s: float) -> tuple[int | str, bytes, float | None]:
        """Return status (or the failure's name), answer, and Retry-After in seconds."""
        if self._connection is not None:
            # The collector may have closed an idle connection at this very moment: not its failure.
            try:
                return self._exchange(self._connection, body, timeout_s)
            except (http.client.RemoteDisconnected, ConnectionError):
                self.close()
            except (OSError, http.client.HTTPException) as error:
                self.close()
                return type(error).__name__, b"", None
        try:
            self._connection = self._connect(timeout_s)
            return self._exchange(self._connection, body, timeout_s)
        except (OSError, http.client.HTTPException) as error:
            self.close()
            return type(error).__name__, b"", None

    def _exchange(self, connection: http.client.HTTPConnection, body: bytes, timeout_s: float) -> tuple[int | str, bytes, float | None]:
        if connection.sock is not None:
            connection.sock.settimeout(timeout_s)
        connection.request("POST", self._target, body, self._headers)
        response = connection.getresponse()
        answer = response.read(_ANSWER_BYTES_MAX)
        if not response.isclosed():
            self.close()  # there is more than we want to read
        retry_after = response.headers.get("retry-after", "")
        return response.status, answer, float(retry_after) if retry_after.isascii() and retry_after.isdigit() else None

    def _connect(self, timeout_s: float) -> http.client.HTTPConnection:
        host, port = self._url.hostname or "", self._url.port
        proxy = None if proxy_bypass(host) else getproxies().get(self._url.scheme)
        if self._url.scheme == "http":
            if proxy is None:
                return http.client.HTTPConnection(host, port or 80, timeout=timeout_s)
            by = urlsplit(proxy)
            self._target = self._url._replace(netloc=self._url.netloc.rpartition("@")[2]).geturl()
            if by.username is not None:
                self._headers["proxy-authorization"] = _basic(by)
            return http.client.HTTPConnection(by.hostname or "", by.port or 80, timeout=timeout_s)
        context = ssl.create_default_context(cafile=self._export.ca_file)
        if self._export.certificate_file is not None:
            context.load_cert_chain(self._export.certificate_file, self._export.key_file)
        if proxy is None:
            return http.client.HTTPSConnection(host, port or 443, timeout=timeout_s, context=context)
        by = urlsplit(proxy)
        connection = http.client.HTTPSConnection(by.hostname or "", by.port or 80, timeout=timeout_s, context=context)
        connection.set_tunnel(host, port or 443, {"proxy-authorization": _basic(by)} if by.username is not None else {})
        return connection


def _basic(url: SplitResult) -> str:
    pair = f"{unquote(url.username or '')}:{unquote(url.password or '')}"
    return "Basic " + b64encode(pair.encode()).decode()
