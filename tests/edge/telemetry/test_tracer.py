"""The tracer: what a record costs the loop, what is lost, and that shutdown ends."""

import asyncio
import io
import logging
import threading
from collections.abc import Sequence
from time import monotonic, perf_counter, thread_time
from typing import Any

import pytest

from sidecar.config import BUILT_IN_UPSTREAMS, Limits, Log, Settings, Tracing
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.redaction import Redactor
from sidecar.edge.telemetry.collector import Outcome
from sidecar.edge.telemetry.logs import EventLog, set_up
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.otlp import Export
from sidecar.edge.telemetry.span import Span
from sidecar.edge.telemetry.spans import SpanBuilder
from sidecar.edge.telemetry.tracer import Tracer, start_tracing
from sidecar.exchange import Record, Said
from tests.edge.telemetry.records import make_record

EXPORT = Export("http://unused", "http/protobuf", (), 1.0, False, None, None, None, 30, 9, 0.005)


class Scripted:
    """A collector that waits, fails or takes what it gets."""

    batch_records: int | None = None

    def __init__(self, *outcomes: Outcome | Exception) -> None:
        self.outcomes = list(outcomes) or [Outcome("")]  # the last one for ever
        self.taken: list[Span] = []
        self.batches: list[int] = []
        self.open = threading.Event()
        self.open.set()
        self.entered = threading.Event()
        self.closed = False
        self.pending: list[Span] = []
        self.work_s = 0.0

    def add(self, spans: Sequence[Span]) -> None:
        """Take note."""
        self.pending.extend(spans)
        end = thread_time() + self.work_s
        while thread_time() < end:
            pass

    def send(self, stopping: threading.Event) -> Outcome:
        """Do as scripted, once the gate is open."""
        self.entered.set()
        self.open.wait(20)
        outcome = self.outcomes.pop(0) if len(self.outcomes) > 1 else self.outcomes[0]
        if isinstance(outcome, Exception):
            raise outcome
        pending, self.pending = self.pending, []
        self.batches.append(len(pending))
        if not outcome.failure:
            self.taken.extend(pending)
        return outcome

    def discard(self) -> None:
        """Forget."""
        self.pending.clear()

    def close(self) -> None:
        """Take note."""
        self.closed = True


class Bench:
    """A tracer, its collector and its counters."""

    def __init__(self, collector: Scripted, *, export: Export = EXPORT, cpu_share: float = 1.0) -> None:
        self.meter = Meter(Limits(), [], version="1", python="3")
        self.collector = collector
        self.tracer = Tracer(export, cpu_share, SpanBuilder(BUILT_IN_UPSTREAMS, {}), lambda: collector, self.meter, EventLog("error"))

    @property
    def counts(self) -> dict[str, float]:
        """Spans exported, and dropped by reason."""
        reasons = ("queue_full", "export_failed", "shutdown")
        return {"exported": self.meter.spans_exported.value} | {reason: self.meter.spans_dropped(reason).value for reason in reasons}


async def wait_for(event: threading.Event) -> None:
    """Wait until a thread sets the event."""
    assert await asyncio.to_thread(event.wait, 10)


async def test_kept_records_are_exported() -> None:
    """Every span of a kept record arrives; records that are not kept, or have no trace, cost nothing."""
    bench = Bench(Scripted())
    bench.tracer.start()
    for record in (make_record(), make_record(kept=False), make_record(trace=None), make_record(operation="http")):
        bench.tracer.observe(record)
    await bench.tracer.shutdown()
    assert bench.counts == {"exported": 5, "queue_full": 0, "export_failed": 0, "shutdown": 0}
    assert len(bench.collector.taken) == 5
    assert bench.collector.closed


async def test_batches_are_bounded() -> None:
    """No batch is larger than configured."""
    bench = Bench(Scripted())
    for _ in range(10):
        bench.tracer.observe(make_record())
    bench.tracer.start()
    await bench.tracer.shutdown()
    assert max(bench.collector.batches) == 9
    assert bench.counts["exported"] == 30


async def test_a_full_queue_drops_and_counts() -> None:
    """Beyond the queue's size whole records are dropped, each span counted."""
    bench = Bench(Scripted())
    for _ in range(15):
        bench.tracer.observe(make_record())
    assert bench.counts["queue_full"] == 5 * 3
    bench.tracer.start()
    await bench.tracer.shutdown()
    assert bench.counts["exported"] == 30


async def test_the_last_of_the_room_is_for_what_matters() -> None:
    """Ordinary traces leave a quarter of the queue to failures and slow calls; what had no room is counted."""
    bench = Bench(Scripted())
    ordinary = 0
    while bench.tracer.has_room(False):
        bench.tracer.observe(make_record())
        ordinary += 1
    important = 0
    while bench.tracer.has_room(True):
        bench.tracer.observe(make_record())
        important += 1
    assert (ordinary, important) == (8, 2)
    bench.tracer.observe(make_record(kept=False, trace_lost=True))
    assert bench.counts["queue_full"] == 3
    bench.tracer.start()
    await bench.tracer.shutdown()
    assert not bench.tracer.has_room(True)


@pytest.mark.parametrize("outcome", [Outcome("HTTP 503"), RuntimeError("secret")])
async def test_what_was_not_taken_is_counted(outcome: Outcome | Exception) -> None:
    """A failed batch is lost and counted, and the next one is tried."""
    bench = Bench(Scripted(outcome, Outcome("")))
    bench.tracer.start()
    bench.tracer.observe(make_record())
    await wait_for(bench.collector.entered)
    bench.tracer.observe(make_record())
    await bench.tracer.shutdown()
    assert bench.counts == {"exported": 3, "queue_full": 0, "export_failed": 3, "shutdown": 0}
    assert len(bench.collector.taken) == 3


async def test_a_partial_success_is_split() -> None:
    """Of a batch taken in part, the rejected spans count as failed, the rest as exported."""
    bench = Bench(Scripted(Outcome("", 2)))
    bench.tracer.start()
    bench.tracer.observe(make_record())
    await bench.tracer.shutdown()
    assert bench.counts == {"exported": 1, "queue_full": 0, "export_failed": 2, "shutdown": 0}
    assert (bench.tracer.describe().problem, bench.tracer.describe().delivered_at is None) == ("rejected by the collector", False)


async def test_it_tells_how_it_goes() -> None:
    """What waits, when the collector last took something, what was wrong with the last batch, and nothing once another went well."""
    bench = Bench(Scripted(Outcome("HTTP 503"), Outcome("")))
    bench.tracer.observe(make_record())
    assert bench.tracer.describe() == (0, 0, 1, None, None)
    bench.tracer.start()
    async with asyncio.timeout(10):
        while bench.tracer.describe().problem is None:
            await asyncio.sleep(0.005)
    assert bench.tracer.describe() == (0, 3, 0, None, "HTTP 503")
    before = monotonic()
    bench.tracer.observe(make_record())
    await bench.tracer.shutdown()
    told = bench.tracer.describe()
    assert told[:3] == (3, 3, 0) and told.problem is None
    assert told.delivered_at is not None and before <= told.delivered_at <= monotonic()


async def test_shutdown_is_bounded_and_counts_what_is_left() -> None:
    """With a hanging collector shutdown ends in time; batch in hand and queue are counted as lost, once."""
    bench = Bench(Scripted())
    bench.collector.open.clear()
    bench.tracer.start()
    bench.tracer.observe(make_record())
    await wait_for(bench.collector.entered)
    for _ in range(4):
        bench.tracer.observe(make_record())
    before = perf_counter()
    await bench.tracer.shutdown(0.1)
    assert perf_counter() - before < 1
    assert bench.counts == {"exported": 0, "queue_full": 0, "export_failed": 0, "shutdown": 15}
    bench.tracer.observe(make_record())
    assert bench.counts["shutdown"] == 18
    bench.collector.open.set()
    await asyncio.to_thread(vars(vars(bench.tracer)["_worker"])["_thread"].join, 10)
    assert bench.counts["exported"] == 0
    assert bench.collector.closed


async def test_shutting_down_twice_does_nothing_more() -> None:
    """A second shutdown returns at once and counts nothing."""
    bench = Bench(Scripted())
    bench.tracer.start()
    await bench.tracer.shutdown()
    await bench.tracer.shutdown()
    assert bench.counts["shutdown"] == 0


async def test_a_collector_that_cannot_be_made_costs_spans_only() -> None:
    """If the way out cannot be set up, records are lost and counted, and shutdown still ends."""
    bench = Bench(Scripted())

    def fail() -> Scripted:
        raise OSError("no certificate")

    tracer = Tracer(EXPORT, 1.0, SpanBuilder({}, {}), fail, bench.meter, EventLog("error"))
    tracer.start()
    for _ in range(12):
        tracer.observe(make_record())
    await tracer.shutdown(0.5)
    assert bench.counts == {"exported": 0, "queue_full": 6, "export_failed": 0, "shutdown": 30}
    assert tracer.describe().problem == "exporter stopped: OSError"


async def test_work_stays_within_its_share() -> None:
    """With a tenth of a core, one millisecond of work takes ten of time."""
    collector = Scripted()
    collector.work_s = 0.002
    bench = Bench(collector, export=EXPORT._replace(queue_spans=300, batch_spans=300), cpu_share=0.1)
    for _ in range(16):
        bench.tracer.observe(make_record())
    before = perf_counter()
    bench.tracer.start()
    await wait_for(collector.entered)
    took_s = perf_counter() - before
    await bench.tracer.shutdown()
    assert took_s > 0.25  # 16 records of 2 ms at a tenth, the rest after the last slice left out
    assert bench.counts["exported"] == 48


async def test_no_endpoint_no_tracer() -> None:
    """Without an endpoint there is no tracer and no thread."""
    threads = threading.active_count()
    meter = Meter(Limits(), [], version="1", python="3")
    assert start_tracing(Settings(), {}, {}, meter, EventLog(), "1.0") is None
    assert threading.active_count() == threads


async def test_an_endpoint_starts_one() -> None:
    """With an endpoint there is a running tracer, whose idle shutdown is immediate."""
    meter = Meter(Limits(), [], version="1", python="3")
    settings = Settings(tracing=Tracing(endpoint="http://127.0.0.1:9"))
    tracer = start_tracing(settings, {}, {}, meter, EventLog(), "1.0")
    assert tracer is not None
    before = perf_counter()
    await tracer.shutdown()
    assert perf_counter() - before < 1


def test_losses_are_logged() -> None:
    """What was lost is said once, with the reason and without any header."""
    root = logging.getLogger()
    before = (root.handlers[:], root.level)
    stream = io.StringIO()
    try:
        log = set_up(Log(), stream)
        meter = Meter(Limits(), [], version="1", python="3")
        export = EXPORT._replace(headers=(("authorization", "sk-secret"),))
        tracer = Tracer(export, 1.0, SpanBuilder({}, {}), lambda: Scripted(Outcome("HTTP 500")), meter, log)
        for _ in range(12):
            tracer.observe(make_record())

        async def run() -> None:
            tracer.start()
            await tracer.shutdown()

        asyncio.run(run())
    finally:
        root.handlers[:], root.level = before
    lines = stream.getvalue().splitlines()
    assert sum('"event":"span_export_failed"' in line and "HTTP 500" in line for line in lines) == 1
    assert sum('"event":"spans_dropped"' in line for line in lines) == 1
    assert "sk-secret" not in stream.getvalue()


def with_content(size_bytes: int, **more: Any) -> Record:
    """Return a record of a call in which so much was said."""
    text = b'{"messages": [{"content": "canary ' + b"x" * size_bytes + b'"}]}'
    return make_record(said=Said("openai_chat", text, b"", b"", ()), request_bytes=len(text), **more)


def carrying(collector: Scripted, content_bytes_max: int) -> tuple[Tracer, Meter]:
    """Return a tracer of spans with content."""
    meter = Meter(Limits(), [], version="1", python="3")
    composer = Composer(Redactor(), bytes_max=65536, decoded_bytes_max=65536)
    builder = SpanBuilder(BUILT_IN_UPSTREAMS, {}, composer.compose)
    return Tracer(EXPORT, 1.0, builder, lambda: collector, meter, EventLog("error"), content_bytes_max=content_bytes_max), meter


def count_content(collector: Scripted) -> int:
    """Return how many spans have content."""
    return sum("gen_ai.input.messages" in span.attributes for span in collector.taken)


async def test_content_that_waits_is_bounded() -> None:
    """What has no room is lost and counted; its spans are exported without it."""
    collector = Scripted()
    tracer, meter = carrying(collector, 1000)
    records = [with_content(300), with_content(300), with_content(300), with_content(1200), with_content(10, kept=False)]
    for record in records:
        tracer.observe(record)
    assert (meter.content_dropped("queue_full").value, meter.content_dropped("too_large").value) == (1, 1)
    tracer.start()
    await tracer.shutdown()
    assert len(collector.taken) == 12
    assert count_content(collector) == 2
    assert [record.said.size_bytes for record in records[:4] if record.said] == [0, 0, 0, 0], "forgotten once exported"


async def test_room_for_content_is_given_back() -> None:
    """What was exported no longer counts."""
    collector = Scripted()
    tracer, meter = carrying(collector, 1000)
    tracer.start()
    for number in range(5):
        tracer.observe(with_content(800))
        while count_content(collector) <= number:
            await asyncio.sleep(0.002)
    await tracer.shutdown()
    assert meter.content_dropped("queue_full").value == 0


async def test_a_batch_ends_where_there_is_much_content() -> None:
    """Collectors take only so much at once."""
    collector = Scripted()
    tracer, _ = carrying(collector, 10_000_000)
    for _ in range(3):
        tracer.observe(with_content(1_500_000))
    tracer.start()
    await tracer.shutdown()
    assert collector.batches == [6, 3]
    assert count_content(collector) == 3


async def test_content_for_a_file_is_none_of_its_business() -> None:
    """It is neither counted nor forgotten here."""
    bench = Bench(Scripted())
    record = with_content(100)
    bench.tracer.observe(record)
    bench.tracer.start()
    await bench.tracer.shutdown()
    assert record.said is not None
    assert record.said.size_bytes > 100
    assert bench.meter.content_dropped("too_large").value == 0
    assert count_content(bench.collector) == 0


async def test_what_cannot_be_read_is_counted() -> None:
    """A request that is not JSON, on a kept span."""
    meter = Meter(Limits(), [], version="1", python="3")
    composer = Composer(Redactor(), bytes_max=65536, decoded_bytes_max=65536)
    settings = Settings(upstreams=BUILT_IN_UPSTREAMS, tracing=Tracing(endpoint="http://127.0.0.1:9"))
    tracer = start_tracing(settings, {}, {"OTEL_EXPORTER_OTLP_TIMEOUT": "0.1"}, meter, EventLog("error"), "1", composer.compose)
    assert tracer is not None
    tracer.observe(make_record(said=Said("openai_chat", b"{", b"", b"", ()), request_bytes=1))
    tracer.observe(make_record(said=Said("openai_chat", b"", b"", b"", ()), request_bytes=1))
    await tracer.shutdown()
    assert meter.content_dropped("unreadable").value == 1
    assert meter.content_dropped("too_large").value == 1, "a request that was passed on unread"
