"""OTLP over HTTP, against a collector that does what it is told."""

import socket
import threading
from collections.abc import Iterator

import pytest
from opentelemetry.proto.collector.trace.v1.trace_service_pb2 import ExportTracePartialSuccess, ExportTraceServiceResponse

from sidecar.config import BUILT_IN_UPSTREAMS, Tracing
from sidecar.edge.clock import SystemClock
from sidecar.edge.telemetry.collector import HttpCollector, Outcome
from sidecar.edge.telemetry.otlp import read_export
from sidecar.edge.telemetry.spans import SpanBuilder
from tests.edge.telemetry.receiver import Receiver, receive
from tests.edge.telemetry.records import make_record

SPANS = SpanBuilder(BUILT_IN_UPSTREAMS, {}).build(make_record())


@pytest.fixture
def receiver() -> Iterator[Receiver]:
    """Run a receiver."""
    with receive() as running:
        yield running


@pytest.fixture(autouse=True)
def _no_proxy(monkeypatch: pytest.MonkeyPatch) -> None:
    """Go directly, whatever the machine's environment says."""
    for name in ("http_proxy", "https_proxy", "all_proxy", "no_proxy"):
        monkeypatch.delenv(name, raising=False)
        monkeypatch.delenv(name.upper(), raising=False)


def make_collector(endpoint: str, **environ: str) -> HttpCollector:
    """Return a collector of this endpoint and these OTEL_EXPORTER_OTLP_* variables."""
    export = read_export(Tracing(endpoint=endpoint), {f"OTEL_EXPORTER_OTLP_{name}": value for name, value in environ.items()})
    assert export is not None
    return HttpCollector(export, {"service.name": "s"}, "1.0", SystemClock.now)


def send(collector: HttpCollector, *, stopping: bool = False) -> Outcome:
    """Send the spans of one record."""
    event = threading.Event()
    if stopping:
        event.set()
    collector.add(SPANS)
    try:
        return collector.send(event)
    finally:
        collector.close()


def test_spans_arrive(receiver: Receiver) -> None:
    """What was added is what the collector decodes, under the standard path and media type."""
    assert send(make_collector(receiver.url)) == Outcome("", 0)
    assert [span.name for span in receiver.spans] == [span.name for span in SPANS]
    assert receiver.paths == ["/v1/traces"]
    assert receiver.headers[0]["content-type"] == "application/x-protobuf"


def test_headers_and_compression(receiver: Receiver) -> None:
    """Configured headers are sent, credentials of the URL too, and the body compressed if asked."""
    url = receiver.url.replace("http://", "http://user:p%40ss@")
    assert send(make_collector(url, HEADERS="x-key=abc", COMPRESSION="gzip")) == Outcome("")
    assert receiver.headers[0]["x-key"] == "abc"
    assert receiver.headers[0]["authorization"] == "Basic dXNlcjpwQHNz"
    assert receiver.headers[0]["content-encoding"] == "gzip"
    assert len(receiver.spans) == 3


def test_the_connection_is_kept(receiver: Receiver) -> None:
    """Several batches go over one connection, and none is sent twice."""
    collector = make_collector(receiver.url)
    for _ in range(3):
        collector.add(SPANS)
        assert collector.send(threading.Event()) == Outcome("")
    collector.close()
    assert receiver.connections == 1
    assert len(receiver.spans) == 9


def test_a_connection_closed_in_between_is_no_failure(receiver: Receiver) -> None:
    """If the collector closed an idle connection the batch goes over a new one."""
    receiver.answers = [(200, {}, b""), (200, {}, b"")]
    collector = make_collector(receiver.url)
    collector.add(SPANS)
    collector.send(threading.Event())
    collector_socket(collector).shutdown(socket.SHUT_RDWR)
    collector.add(SPANS)
    stopping = threading.Event()
    stopping.set()  # failures are final now, but this is none
    assert collector.send(stopping) == Outcome("")
    collector.close()
    assert len(receiver.spans) == 6


def collector_socket(collector: HttpCollector) -> socket.socket:
    """Return the socket a collector holds open."""
    connection = vars(collector)["_connection"]
    assert connection is not None
    found = connection.sock
    assert isinstance(found, socket.socket)
    return found


@pytest.mark.parametrize("status", [301, 307, 400, 401, 404, 413, 500])
def test_refusals_and_redirects_lose_the_batch(receiver: Receiver, status: int) -> None:
    """What repeating cannot help is not repeated, and a redirect is no success."""
    receiver.answers = [(status, {"location": "/elsewhere"}, b"no")]
    assert send(make_collector(receiver.url)) == Outcome(f"HTTP {status}")
    assert len(receiver.paths) == 1


@pytest.mark.parametrize("status", [429, 502, 503, 504])
def test_what_may_pass_is_repeated(receiver: Receiver, status: int) -> None:
    """A retryable status is repeated after Retry-After, with the whole batch."""
    receiver.answers = [(status, {"retry-after": "0"}, b""), (200, {}, b"")]
    assert send(make_collector(receiver.url)) == Outcome("")
    assert len(receiver.paths) == 2
    assert len(receiver.spans) == 3


def test_repeating_ends_with_the_timeout(receiver: Receiver) -> None:
    """If the wait asked for is longer than the time left, the batch is lost at once."""
    receiver.answers = [(503, {"retry-after": "100"}, b"")]
    assert send(make_collector(receiver.url)) == Outcome("HTTP 503")
    assert len(receiver.paths) == 1


def test_nothing_is_repeated_while_stopping(receiver: Receiver) -> None:
    """On the way out a retryable failure is final."""
    receiver.answers = [(503, {}, b"")]
    assert send(make_collector(receiver.url), stopping=True) == Outcome("HTTP 503")
    assert len(receiver.paths) == 1


def test_a_hanging_collector_costs_the_timeout(receiver: Receiver) -> None:
    """Without an answer the batch is lost after the timeout."""
    receiver.hanging.set()
    before = SystemClock.now()
    assert send(make_collector(receiver.url, TIMEOUT="0.2")) == Outcome("TimeoutError")
    assert SystemClock.now() - before < 2


def test_nobody_there() -> None:
    """A refused connection is a failure with its name, not an exception."""
    with socket.create_server(("127.0.0.1", 0)) as unused:
        port = unused.getsockname()[1]
    assert send(make_collector(f"http://127.0.0.1:{port}"), stopping=True) == Outcome("ConnectionRefusedError")


def test_rejected_spans_are_counted(receiver: Receiver) -> None:
    """A partial success says how many spans were turned down."""
    partial = ExportTraceServiceResponse(partial_success=ExportTracePartialSuccess(rejected_spans=2))
    receiver.answers = [(200, {}, partial.SerializeToString())]
    assert send(make_collector(receiver.url)) == Outcome("", 2)


def test_a_huge_answer_is_not_read(receiver: Receiver) -> None:
    """An answer beyond the limit is cut off, and the next batch goes over a new connection."""
    receiver.answers = [(200, {}, b"\x00" * 1_000_000), (200, {}, b"")]
    collector = make_collector(receiver.url)
    for _ in range(2):
        collector.add(SPANS)
        assert collector.send(threading.Event()).failure == ""
    collector.close()
    assert receiver.connections == 2
    assert len(receiver.spans) == 6


def test_what_was_discarded_is_not_sent(receiver: Receiver) -> None:
    """Spans of a batch given up do not appear in the next."""
    collector = make_collector(receiver.url)
    collector.add(SPANS)
    collector.discard()
    collector.add(SPANS[:1])
    assert collector.send(threading.Event()) == Outcome("")
    collector.close()
    assert len(receiver.spans) == 1


def test_an_egress_proxy_is_used(receiver: Receiver, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where the environment names a proxy, the whole URL and the proxy's credentials go to it."""
    monkeypatch.setenv("http_proxy", receiver.url.replace("http://", "http://me:pw@"))
    assert send(make_collector("http://collector.invalid:4318")) == Outcome("")
    assert receiver.paths == ["http://collector.invalid:4318/v1/traces"]
    assert receiver.headers[0]["proxy-authorization"] == "Basic bWU6cHc="
