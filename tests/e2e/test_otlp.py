"""Traces end to end: an independent collector over HTTP and gRPC, and collectors that fail."""

import asyncio
import gc
import importlib.util
import re
import socket
import subprocess
import sys
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from time import perf_counter
from typing import NamedTuple

import pytest

from sidecar.config import BUILT_IN_UPSTREAMS, Limits, Settings, Tracing
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.tracer import Tracer, start_tracing
from tests.edge.telemetry.receiver import receive
from tests.edge.telemetry.records import TRACE, make_record, make_streamed

PROTOCOLS = pytest.mark.parametrize("protocol", ["http/protobuf", "grpc"])


class Independent(NamedTuple):
    """A running collector by other authors: where it listens, and the file it writes spans to."""

    endpoints: dict[str, str]
    output: Path


def find_rotel() -> Path | None:
    """Return the collector's program, None where it is not installed."""
    found = importlib.util.find_spec("rotel")
    return None if found is None or found.origin is None else Path(found.origin).parent / "rotel-agent"


def free_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.create_server(("127.0.0.1", 0)) as server:
        return int(server.getsockname()[1])


@pytest.fixture
def independent(tmp_path: Path) -> Iterator[Independent]:
    """Run the independent collector on free ports."""
    program = find_rotel()
    if program is None:
        pytest.skip("rotel is not installed")
    http, grpc = free_port(), free_port()
    output = tmp_path / "spans.txt"
    arguments = [
        "start", "--otlp-http-endpoint", f"127.0.0.1:{http}", "--otlp-grpc-endpoint", f"127.0.0.1:{grpc}",
        "--exporter", "blackhole", "--debug-log", "traces", "--debug-log-verbosity", "detailed",
    ]  # fmt: skip
    with output.open("wb") as sink, subprocess.Popen([program, *arguments], stdout=sink, stderr=sink) as process:
        try:
            for port in (http, grpc):
                until_open(port)
            yield Independent({"http/protobuf": f"http://127.0.0.1:{http}", "grpc": f"http://127.0.0.1:{grpc}"}, output)
        finally:
            process.terminate()
            process.wait(10)


def until_open(port: int) -> None:
    """Wait until somebody listens on `port`."""
    deadline = perf_counter() + 15
    while True:
        try:
            socket.create_connection(("127.0.0.1", port), 1).close()
            return
        except OSError:
            assert perf_counter() < deadline, "the collector did not start"


def start(endpoint: str, protocol: str, **environ: str) -> tuple[Tracer, Meter]:
    """Return a running tracer and the meter that counts its spans."""
    meter = Meter(Limits(), [], version="1.0", python="3.11")
    settings = Settings(upstreams=BUILT_IN_UPSTREAMS, tracing=Tracing(endpoint=endpoint, protocol=protocol))
    tracer = start_tracing(settings, {"openai": "/openai/"}, environ, meter, EventLog("error"), "1.0")
    assert tracer is not None
    return tracer, meter


def counts(meter: Meter) -> dict[str, float]:
    """Return spans exported, and dropped by reason, without the zeros."""
    lost = {reason: meter.spans_dropped(reason).value for reason in ("queue_full", "export_failed", "shutdown")}
    return {name: count for name, count in ({"exported": meter.spans_exported.value} | lost).items() if count}


@PROTOCOLS
async def test_an_independent_collector_understands_every_span(independent: Independent, protocol: str) -> None:
    """Ids, parents, names, kinds, states and typed attributes arrive over both protocols."""
    tracer, meter = start(independent.endpoints[protocol], protocol, OTEL_RESOURCE_ATTRIBUTES="deployment.environment.name=test")
    tracer.observe(make_streamed())
    tracer.observe(make_record(operation="http"))
    await tracer.shutdown()
    assert counts(meter) == {"exported": 5}
    text = await asyncio.to_thread(read_spans, independent.output, 5)
    names = re.findall(r"Name +: (.+)", text)
    assert sorted(names) == sorted(["POST /openai/v1/chat/completions", "chat gpt-4o", "POST", "POST /openai/v1/chat/completions", "POST"])
    assert text.count(f"Trace ID       : {TRACE.trace_id:032x}") == 5
    assert text.count(f"Parent ID      : {TRACE.remote_span_id:016x}") == 2
    assert text.count("SPAN_KIND_SERVER") == 2
    for line in (
        "service.name: Str(llm-sidecar)", "deployment.environment.name: Str(test)", "gen_ai.usage.output_tokens: Int(47)",
        "gen_ai.request.stream: Bool(true)", "llm_sidecar.cost_usd: Double(0.25)", "gen_ai.response.finish_reasons: Slice(Str(stop))",
        "url.full: Str(https://api.openai.com/v1/chat/completions)", "TraceState     : congo=t61",
    ):  # fmt: skip
        assert line in text


def read_spans(output: Path, count: int) -> str:
    """Return what the collector wrote, once it has written so many spans."""
    deadline = perf_counter() + 10
    while True:
        text = output.read_text()
        if text.count("End time") >= count and text.endswith("\n"):
            return text
        assert perf_counter() < deadline, text


@contextmanager
def silent() -> Iterator[str]:
    """Accept connections and never say anything."""
    with socket.create_server(("127.0.0.1", 0), backlog=16) as server:
        yield f"http://127.0.0.1:{server.getsockname()[1]}"


@PROTOCOLS
async def test_a_hanging_collector_delays_shutdown_by_three_seconds_at_most(protocol: str) -> None:
    """Records cost the loop next to nothing meanwhile, and every span is counted as lost."""
    with silent() as endpoint:
        tracer, meter = start(endpoint, protocol, OTEL_BSP_SCHEDULE_DELAY="1")
        slowest_s = 0.0
        gc.disable()  # a collection of all that the tests before have left takes half a second, wherever it strikes
        for _ in range(300):
            before = perf_counter()
            tracer.observe(make_record())
            slowest_s = max(slowest_s, perf_counter() - before)
            await asyncio.sleep(0)
        gc.enable()
        before = perf_counter()
        await tracer.shutdown(3.0)
        assert perf_counter() - before < 3.5
        assert slowest_s < 0.1
        assert sum(counts(meter).values()) == 900
        assert "exported" not in counts(meter)


@PROTOCOLS
async def test_a_dead_collector_loses_spans_and_nothing_else(protocol: str) -> None:
    """With nobody listening, shutdown is bounded and what was lost is counted."""
    tracer, meter = start(f"http://127.0.0.1:{free_port()}", protocol)
    for _ in range(10):
        tracer.observe(make_record())
    before = perf_counter()
    await tracer.shutdown(3.0)
    assert perf_counter() - before < 3.5
    assert sum(counts(meter).values()) == 30
    assert "exported" not in counts(meter)


async def test_an_overloaded_collector_is_given_time() -> None:
    """A collector that answers 503 with Retry-After once gets the same batch again."""
    with receive() as receiver:
        receiver.answers = [(503, {"retry-after": "0"}, b""), (200, {}, b"")]
        tracer, meter = start(receiver.url, "http/protobuf", OTEL_BSP_SCHEDULE_DELAY="1")
        tracer.observe(make_record())
        await asyncio.to_thread(until_taken, receiver.requests)
        await tracer.shutdown()
        assert counts(meter) == {"exported": 3}
        assert len(receiver.paths) == 2


def until_taken(requests: list[object]) -> None:
    """Wait until a request was taken."""
    deadline = perf_counter() + 10
    while not requests:
        assert perf_counter() < deadline


async def test_a_collector_that_stays_overloaded_loses_spans() -> None:
    """503 for ever ends in counted losses."""
    with receive() as receiver:
        receiver.answers = [(503, {}, b"")]
        tracer, meter = start(receiver.url, "http/protobuf")
        tracer.observe(make_record())
        await tracer.shutdown()
        assert counts(meter) == {"export_failed": 3}


def test_nothing_is_loaded_without_an_endpoint() -> None:
    """A process without tracing holds neither OpenTelemetry nor gRPC nor requests."""
    assert loaded("None") == set()


def test_http_needs_no_exporter_package() -> None:
    """A process that exports over HTTP holds neither OpenTelemetry nor gRPC nor requests."""
    assert loaded("'http://127.0.0.1:9'") == set()


def loaded(endpoint: str) -> set[str]:
    """Return which heavy packages a fresh process holds after tracing with this endpoint has begun."""
    program = f"""
import sys
from sidecar.config import Limits, Settings, Tracing
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.tracer import start_tracing
start_tracing(Settings(tracing=Tracing(endpoint={endpoint})), {{}}, {{}}, Meter(Limits(), [], version="1", python="3"), EventLog(), "1")
print(*{{name.partition(".")[0] for name in sys.modules}} & {{"opentelemetry", "grpc", "requests", "google", "urllib3"}})
"""
    done = subprocess.run([sys.executable, "-c", program], capture_output=True, text=True, check=True, timeout=60)
    return set(done.stdout.split())


@PROTOCOLS
def test_the_process_ends_though_the_collector_hangs(protocol: str) -> None:
    """After shutdown nothing keeps the interpreter from exiting: no thread is waited for."""
    program = f"""
import asyncio, sys
sys.path.insert(0, {str(Path(__file__).resolve().parents[2])!r})
from tests.e2e.test_otlp import start
from tests.edge.telemetry.records import make_record
async def main():
    tracer, meter = start(sys.argv[1], {protocol!r}, OTEL_BSP_SCHEDULE_DELAY="1")
    tracer.observe(make_record())
    await tracer.shutdown(0.5)
asyncio.run(main())
print("done")
"""
    with silent() as endpoint:
        done = subprocess.run([sys.executable, "-c", program, endpoint], capture_output=True, text=True, timeout=30)
    assert (done.stdout, done.returncode) == ("done\n", 0), done.stderr
