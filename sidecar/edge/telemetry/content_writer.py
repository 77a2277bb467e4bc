"""Captured content to a file: takes records on the event loop, redacts and writes them in a thread (ports.Sink).

On the loop a record costs an append. The thread spends no more than its share of a core; what it
cannot keep up with is dropped and counted, and no call ever waits for it.
"""

from collections import deque
from datetime import UTC, datetime
from time import thread_time
from typing import Any, Final

import msgspec

from sidecar import catalogue, config
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.contents.contract import Content
from sidecar.edge.telemetry.backlog import Backlog
from sidecar.edge.telemetry.content_file import ContentFile
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.worker import Worker
from sidecar.errors import ConfigError, ConfigProblem
from sidecar.exchange import Record, Said

_RECORDS_MAX: Final = 4096  # waiting, whatever their size
_IDLE_S: Final = 1.0

_encode: Final = msgspec.json.Encoder().encode


class ContentWriter:
    """Writes one JSON object per call whose content was captured."""

    def __init__(self, content: config.Content, composer: Composer, file: ContentFile, meter: Meter, log: EventLog) -> None:
        self._composer = composer
        self._file = file
        self._log = log
        self._rest_ratio = 1 / content.cpu_share - 1  # seconds of rest for each second of work
        self._backlog = Backlog(content.queue)
        self._queue: deque[tuple[Record, Said]] = deque()
        self._queue_full, self._too_large, self._unreadable, self._write_failed, self._lost_at_shutdown = map(
            meter.content_dropped, catalogue.CONTENT_LOSSES
        )
        self._worker = Worker("content", self._run)

    def start(self) -> None:
        """Start the writing thread."""
        self._worker.start()

    def observe(self, record: Record) -> None:
        """Queue one exchange that has ended, if its content was captured; count it if it is lost."""
        said = record.said
        if said is None:
            return
        if self._worker.closed:
            self._lost_at_shutdown.add(1)
        elif said.size_bytes > self._backlog.bytes_max:
            self._too_large.add(1)
        elif len(self._queue) >= _RECORDS_MAX or not self._backlog.take(said.size_bytes):
            self._queue_full.add(1)
        else:
            if record.request_bytes and not said.request:
                self._too_large.add(1)  # the request was passed on unread
            self._queue.append((record, said))
            self._worker.wake.set()
            return
        said.forget()

    async def shutdown(self, timeout_s: float = 3.0) -> None:
        """Write what is waiting, for at most `timeout_s`; what is left then is lost and counted."""
        await self._worker.shutdown(timeout_s, self._count_lost)

    def _count_lost(self) -> None:
        self._lost_at_shutdown.add(len(self._queue))

    def _run(self) -> None:
        while not self._worker.is_abandoned and not (self._worker.stopping.is_set() and not self._queue):
            self._worker.wake.wait(_IDLE_S)
            self._worker.wake.clear()
            while (taken := self._take()) is not None:
                started = thread_time()
                self._try(*taken)
                if not self._worker.stopping.is_set():
                    self._worker.stopping.wait((thread_time() - started) * self._rest_ratio)
        self._file.close()

    def _take(self) -> tuple[Record, Said] | None:
        with self._worker.counting:
            return self._queue.popleft() if self._queue and not self._worker.is_abandoned else None

    def _try(self, record: Record, said: Said) -> None:
        said_bytes = said.size_bytes
        try:
            line = describe(record, self._composer.compose(said))
            if line.get("unreadable"):
                self._unreadable.add(1)
            self._file.write(_encode(line) + b"\n")
        except Exception as error:  # this one is lost, the next may pass
            self._write_failed.add(1)
            reason = error.strerror if isinstance(error, OSError) and error.strerror else type(error).__name__
            self._log.write(catalogue.CONTENT_LOST, reason=reason)
        finally:
            self._backlog.release(said_bytes)
            said.forget()


def describe(record: Record, content: Content) -> dict[str, Any]:
    """Return a record's line."""
    line: dict[str, Any] = {
        "id": record.id,
        "trace_id": None if record.trace is None else f"{record.trace.trace_id:032x}",
        "time": datetime.fromtimestamp(record.accepted_ns / 1e9, UTC).isoformat(timespec="milliseconds").replace("+00:00", "Z"),
        "route": record.route,
        "provider": record.provider,
        "operation": record.operation,
        "model": record.asked.model,
        "ending": str(record.ending),
    }
    if record.cache in catalogue.CACHE_TOLD:  # why there is no answer: it is in the line of the call that it was made for
        line["cache"] = record.cache
    named = ("system_instructions", "input_messages", "tool_definitions", "output_messages")
    line.update((name, msgspec.Raw(text.encode())) for name, text in zip(named, content, strict=False) if isinstance(text, str))
    if content.is_unreadable:
        line["unreadable"] = True
    return line


def start_content(content: config.Content, composer: Composer, meter: Meter, log: EventLog) -> ContentWriter:
    """Return a running writer. Raises ConfigError where the file cannot be written."""
    try:
        file = ContentFile(content.file or "", content.file_bytes_max)
    except OSError as error:
        found = f"a file that cannot be written ({error.strerror or type(error).__name__})"
        raise ConfigError("start", [ConfigProblem("content.file", found, "a path that can be written, no link")]) from None
    writer = ContentWriter(content, composer, file, meter, log)
    writer.start()
    return writer
