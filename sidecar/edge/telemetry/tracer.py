"""Traces: takes kept records on the event loop, exports them from a thread (ports.Sink).

On the loop a record costs an append. Everything else happens in one daemon thread, which yields
the interpreter every few records and never spends more than its share of a core: a flood of spans,
or a collector that is slow, hanging or gone, costs spans (counted), not calls.
"""

from collections import deque
from collections.abc import Callable, Mapping
from time import sleep, thread_time
from typing import Final
from uuid import uuid4

from sidecar import catalogue
from sidecar.config import Settings, Upstream
from sidecar.core.observe.contents.contract import Content
from sidecar.core.reckon.checks import ExportView
from sidecar.edge.clock import SystemClock
from sidecar.edge.telemetry.backlog import Backlog
from sidecar.edge.telemetry.collector import Collector, HttpCollector, Outcome
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.otlp import GRPC, Export, read_export, read_resource
from sidecar.edge.telemetry.spans import SpanBuilder, count_spans
from sidecar.edge.telemetry.worker import Worker
from sidecar.exchange import Record, Said

_SPANS_PER_RECORD: Final = 3
_REJECTED: Final = "rejected by the collector"
# Records built and encoded at a stretch: half a millisecond that the loop may have to wait. Shorter
# stretches cost more in handing the interpreter over and back than they save in waiting.
_SLICE_RECORDS: Final = 16
# Content in one batch, about: receivers take 4 MiB over gRPC and 20 MiB over HTTP at most, by default.
_BATCH_CONTENT_BYTES_MAX: Final = 2 * 1024 * 1024


class Tracer:
    """Exports the spans of kept records."""

    def __init__(
        self, export: Export, cpu_share: float, builder: SpanBuilder, make: Callable[[], Collector], meter: Meter, log: EventLog,
        *, content_bytes_max: int = 0,
    ) -> None:  # fmt: skip
        """`make` makes the collector, in the thread that uses it. `content_bytes_max`: of captured content that waits."""
        self._queue: deque[Record] = deque()
        self._queue_max = max(1, export.queue_spans // _SPANS_PER_RECORD)
        self._ordinary_max = self._queue_max - self._queue_max // 4
        self._batch_records = max(1, export.batch_spans // _SPANS_PER_RECORD)
        self._wake_at = min(self._batch_records, self._queue_max)
        self._delay_s = export.delay_s
        self._rest_ratio = 1 / max(cpu_share, 0.001) - 1  # seconds of rest for each second of work
        self._builder = builder
        self._make = make
        self._log = log
        self._exported = meter.spans_exported
        self._queue_full, self._export_failed, self._lost_at_shutdown = map(meter.spans_dropped, catalogue.SPAN_LOSSES)
        self._backlog = Backlog(content_bytes_max)
        self._content_queue_full, self._content_too_large = map(meter.content_dropped, catalogue.CONTENT_LOSSES[:2])
        self._delivered_at: float | None = None  # when the collector last took something, on the monotonic clock
        self._problem: str | None = None  # why the last batch was lost
        self._in_hand = 0  # spans taken from the queue, of unknown fate
        self._dropped_told = 0.0
        self._worker = Worker("span-export", self._run)

    def start(self) -> None:
        """Start the exporting thread."""
        self._worker.start()

    def adopt(self, upstreams: Mapping[str, Upstream], prefixes: Mapping[str, str], from_ns: int) -> None:
        """Tell calls that came in from `from_ns` (Unix time) on by these upstreams and routes."""
        self._builder.adopt(upstreams, prefixes, from_ns)

    def has_room(self, important: bool) -> bool:
        """Return whether one more record can be queued. The last quarter is for failures and slow calls."""
        return len(self._queue) < (self._queue_max if important else self._ordinary_max) and not self._worker.closed

    def observe(self, record: Record) -> None:
        """Queue one exchange that has ended, if its trace is kept; count it if it is lost."""
        if record.trace is None or not (record.kept or record.trace_lost):
            return
        waiting = len(self._queue)
        if record.trace_lost or waiting >= self._queue_max or self._worker.closed:
            (self._lost_at_shutdown if self._worker.closed else self._queue_full).add(count_spans(record))
            return
        if record.said is not None and self._backlog.bytes_max:
            self._admit(record.said, is_partial=record.request_bytes > 0 and not record.said.request)
        self._queue.append(record)
        if waiting + 1 == self._wake_at:
            self._worker.wake.set()

    def describe(self) -> ExportView:
        """Return how it goes. May be asked at any time: what the thread does meanwhile is told the next time."""
        dropped = self._queue_full.value + self._export_failed.value + self._lost_at_shutdown.value
        return ExportView(int(self._exported.value), int(dropped), len(self._queue), self._delivered_at, self._problem)

    def _admit(self, said: Said, *, is_partial: bool) -> None:
        """Keep a record's content, if there is room for it."""
        if said.size_bytes > self._backlog.bytes_max:
            self._content_too_large.add(1)
        elif not self._backlog.take(said.size_bytes):
            self._content_queue_full.add(1)
        else:
            if is_partial:
                self._content_too_large.add(1)  # the request was passed on unread
            return
        said.forget()

    async def shutdown(self, timeout_s: float = 3.0) -> None:
        """Export what is waiting, for at most `timeout_s`; what is left then is lost and counted."""
        await self._worker.shutdown(timeout_s, self._count_lost)

    def _count_lost(self) -> None:
        self._lost_at_shutdown.add(self._in_hand + sum(map(count_spans, list(self._queue))))

    def _run(self) -> None:
        collector: Collector | None = None
        try:
            collector = self._make()
            batch_records = min(self._batch_records, collector.batch_records or self._batch_records)
            while not (self._worker.stopping.is_set() and not self._queue):
                self._worker.wake.wait(self._delay_s)
                self._worker.wake.clear()
                while self._queue and not self._worker.is_abandoned:
                    self._try(collector, batch_records)
                if self._worker.is_abandoned:
                    break
        except Exception as error:  # no collector could be made: calls go on, their traces are dropped
            self._problem = f"exporter stopped: {type(error).__name__}"
            self._log.write(catalogue.SPAN_EXPORT_FAILED, reason=self._problem)
        finally:
            if collector is not None:
                collector.close()

    def _try(self, collector: Collector, batch_records: int) -> None:
        try:
            self._export(collector, batch_records)
        except Exception as error:  # this batch is lost, the next may pass
            collector.discard()
            self._note(Outcome(type(error).__name__))

    def _export(self, collector: Collector, batch_records: int) -> None:
        started = thread_time()
        content_bytes = 0
        for taken in range(1, min(batch_records, len(self._queue)) + 1):
            with self._worker.counting:
                if self._worker.is_abandoned:
                    return
                record = self._queue.popleft()
                self._in_hand += count_spans(record)
            said_bytes = self._add(collector, record)
            content_bytes += said_bytes
            if content_bytes > _BATCH_CONTENT_BYTES_MAX:
                break
            if said_bytes or taken % _SLICE_RECORDS == 0:
                self._rest(started)
                started = thread_time()
        self._note(collector.send(self._worker.stopping))
        self._rest(started)

    def _add(self, collector: Collector, record: Record) -> int:
        """Give a record's spans to the collector; return how many bytes of content went into them, about."""
        said = record.said if self._backlog.bytes_max else None
        if said is None:
            collector.add(self._builder.build(record))
            return 0
        said_bytes = said.size_bytes
        try:
            collector.add(self._builder.build(record))
        finally:
            said.forget()
            self._backlog.release(said_bytes)
        return said_bytes

    def _rest(self, started: float) -> None:
        if not self._worker.stopping.is_set():
            sleep((thread_time() - started) * self._rest_ratio)

    def _note(self, outcome: Outcome) -> None:
        with self._worker.counting:
            count, self._in_hand = self._in_hand, 0
            if self._worker.is_abandoned:
                return
            lost = count if outcome.failure else min(outcome.rejected, count)
            self._exported.add(count - lost)
            self._export_failed.add(lost)
            self._problem = outcome.failure or (_REJECTED if lost else None)
            if lost < count:
                self._delivered_at = SystemClock.now()
        if lost:
            self._log.write(catalogue.SPAN_EXPORT_FAILED, reason=outcome.failure or _REJECTED, spans=lost)
        dropped = self._queue_full.value
        if dropped > self._dropped_told:
            self._log.write(catalogue.SPANS_LOST, spans=int(dropped - self._dropped_told))
            self._dropped_told = dropped


def start_tracing(
    settings: Settings, prefixes: Mapping[str, str], environ: Mapping[str, str], meter: Meter, log: EventLog, version: str,
    compose: Callable[[Said], Content] | None = None,
) -> Tracer | None:  # fmt: skip
    """Return a running tracer, or None where no endpoint is configured. Raises ConfigError.

    `prefixes`: each route's prefix by its name. `compose`: makes content presentable, where it goes on spans.
    """
    export = read_export(settings.tracing, environ)
    if export is None:
        return None
    resource = read_resource(environ, version=version, instance_id=str(uuid4()))

    def make() -> Collector:
        if export.protocol == GRPC:
            from sidecar.edge.telemetry.collector_grpc import GrpcCollector

            return GrpcCollector(export, resource, version)
        return HttpCollector(export, resource, version, SystemClock.now)

    cpu_share, content_bytes_max = settings.tracing.cpu_share, 0
    if compose is not None:
        compose = _count_unreadable(compose, meter)
        cpu_share = min(1.0, cpu_share + settings.content.cpu_share)
        content_bytes_max = settings.content.queue
    builder = SpanBuilder(settings.upstreams, prefixes, compose)
    tracer = Tracer(export, cpu_share, builder, make, meter, log, content_bytes_max=content_bytes_max)
    tracer.start()
    return tracer


def _count_unreadable(compose: Callable[[Said], Content], meter: Meter) -> Callable[[Said], Content]:
    unreadable = meter.content_dropped("unreadable")

    def count(said: Said) -> Content:
        content = compose(said)
        if content.is_unreadable:
            unreadable.add(1)
        return content

    return count
