"""Traces: takes kept records on the event loop, exports them from a thread (ports.Sink).

On the loop a record costs an append. Everything else happens in one daemon thread, which yields
the interpreter every few records and never spends more than its share of a core: a flood of spans,
or a collector that is slow, hanging or gone, costs spans (counted), not calls.
"""

import asyncio
import threading
from collections import deque
from collections.abc import Callable, Mapping
from time import sleep, thread_time
from typing import Final
from uuid import uuid4

from sidecar import catalogue
from sidecar.config import Settings
from sidecar.edge.clock import SystemClock
from sidecar.edge.telemetry.collector import Collector, HttpCollector, Outcome
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.otlp import GRPC, Export, read_export, read_resource
from sidecar.edge.telemetry.spans import SpanBuilder, count_spans
from sidecar.exchange import Record

_SPANS_PER_RECORD: Final = 3
# Records built and encoded at a stretch: half a millisecond that the loop may have to wait. Shorter
# stretches cost more in handing the interpreter over and back than they save in waiting.
_SLICE_RECORDS: Final = 16


class Tracer:
    """Exports the spans of kept records."""

    def __init__(
        self, export: Export, cpu_share: float, builder: SpanBuilder, make: Callable[[], Collector], meter: Meter, log: EventLog
    ) -> None:
        """`make` makes the collector, in the thread that uses it."""
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
        self._wake = threading.Event()
        self._stopping = threading.Event()
        self._counting = threading.Lock()  # a span is exported or lost at shutdown: never both, never neither
        self._in_hand = 0  # spans taken from the queue, of unknown fate
        self._dropped_told = 0.0
        self._is_abandoned = False
        self._closed = False
        self._on_end: Callable[[], None] = _do_nothing
        self._thread = threading.Thread(target=self._run, name="span-export", daemon=True)

    def start(self) -> None:
        """Start the exporting thread."""
        self._thread.start()

    def has_room(self, important: bool) -> bool:
        """Return whether one more record can be queued. The last quarter is for failures and slow calls."""
        return len(self._queue) < (self._queue_max if important else self._ordinary_max) and not self._closed

    def observe(self, record: Record) -> None:
        """Queue one exchange that has ended, if its trace is kept; count it if it is lost."""
        if record.trace is None or not (record.kept or record.trace_lost):
            return
        waiting = len(self._queue)
        if record.trace_lost or waiting >= self._queue_max or self._closed:
            (self._lost_at_shutdown if self._closed else self._queue_full).add(count_spans(record))
            return
        self._queue.append(record)
        if waiting + 1 == self._wake_at:
            self._wake.set()

    async def shutdown(self, timeout_s: float = 3.0) -> None:
        """Export what is waiting, for at most `timeout_s`; what is left then is lost and counted."""
        if self._closed:
            return
        self._closed = True
        loop = asyncio.get_running_loop()
        ended = asyncio.Event()
        self._on_end = lambda: _tell(loop, ended)
        self._stopping.set()
        self._wake.set()
        if self._thread.is_alive():
            try:
                async with asyncio.timeout(timeout_s):
                    await ended.wait()
            except TimeoutError:
                pass
        with self._counting:
            self._is_abandoned = True
            self._lost_at_shutdown.add(self._in_hand + sum(map(count_spans, list(self._queue))))

    def _run(self) -> None:
        collector: Collector | None = None
        try:
            collector = self._make()
            batch_records = min(self._batch_records, collector.batch_records or self._batch_records)
            while not (self._stopping.is_set() and not self._queue):
                self._wake.wait(self._delay_s)
                self._wake.clear()
                while self._queue and not self._is_abandoned:
                    self._try(collector, batch_records)
                if self._is_abandoned:
                    break
        except Exception as error:  # no collector could be made: calls go on, their traces are dropped
            self._log.write(catalogue.SPAN_EXPORT_FAILED, reason=f"exporter stopped: {type(error).__name__}")
        finally:
            if collector is not None:
                collector.close()
            self._on_end()

    def _try(self, collector: Collector, batch_records: int) -> None:
        try:
            self._export(collector, batch_records)
        except Exception as error:  # this batch is lost, the next may pass
            collector.discard()
            self._note(Outcome(type(error).__name__))

    def _export(self, collector: Collector, batch_records: int) -> None:
        started = thread_time()
        for taken in range(1, min(batch_records, len(self._queue)) + 1):
            with self._counting:
                if self._is_abandoned:
                    return
                record = self._queue.popleft()
                self._in_hand += count_spans(record)
            collector.add(self._builder.build(record))
            if taken % _SLICE_RECORDS == 0:
                self._rest(started)
                started = thread_time()
        self._note(collector.send(self._stopping))
        self._rest(started)

    def _rest(self, started: float) -> None:
        if not self._stopping.is_set():
            sleep((thread_time() - started) * self._rest_ratio)

    def _note(self, outcome: Outcome) -> None:
        with self._counting:
            count, self._in_hand = self._in_hand, 0
            if self._is_abandoned:
                return
            lost = count if outcome.failure else min(outcome.rejected, count)
            self._exported.add(count - lost)
            self._export_failed.add(lost)
        if lost:
            self._log.write(catalogue.SPAN_EXPORT_FAILED, reason=outcome.failure or "rejected by the collector", spans=lost)
        dropped = self._queue_full.value
        if dropped > self._dropped_told:
            self._log.write(catalogue.SPANS_LOST, spans=int(dropped - self._dropped_told))
            self._dropped_told = dropped


def start_tracing(
    settings: Settings, prefixes: Mapping[str, str], environ: Mapping[str, str], meter: Meter, log: EventLog, version: str
) -> Tracer | None:
    """Return a running tracer, or None where no endpoint is configured. Raises ConfigError.

    `prefixes`: each route's prefix by its name.
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

    tracer = Tracer(export, settings.tracing.cpu_share, SpanBuilder(settings.upstreams, prefixes), make, meter, log)
    tracer.start()
    return tracer


def _do_nothing() -> None:
    pass


def _tell(loop: asyncio.AbstractEventLoop, ended: asyncio.Event) -> None:
    try:
        loop.call_soon_threadsafe(ended.set)
    except RuntimeError:
        pass  # the loop has gone: nobody waits any more
