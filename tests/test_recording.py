"""Who reads records whatever the settings are."""

from collections.abc import Sequence
from dataclasses import replace
from pathlib import Path

import pytest

from sidecar.config import Capture, Content, Route, Settings, Upstream
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ConfigError
from sidecar.exchange import Record
from sidecar.ports import Sink
from sidecar.recording import Recording
from tests.edge.telemetry.records import make_record

SETTINGS = Settings(upstreams={"a": Upstream("http://a.test")}, routes=(Route("/a/", "a"),))
COLLECTOR = {"OTEL_EXPORTER_OTLP_ENDPOINT": "http://127.0.0.1:9"}


class Reader:
    """Takes records."""

    def observe(self, record: Record) -> None:
        """Take one."""


def make(others: Sequence[Sink] = ()) -> Recording:
    """Return those of a sidecar that has not started."""
    return Recording(Meter(SETTINGS.limits, SETTINGS.upstreams, version="1", python="3"), EventLog(), others)


async def test_what_is_off_is_not_there(tmp_path: Path) -> None:
    """Metrics always are, further readers too; traces where there is a collector; content where it is captured."""
    reader = Reader()
    plain, traced, written = make([reader]), make(), make()
    plain.start(SETTINGS, {})
    assert plain.tracer is None and len(plain.sinks) == 3 and plain.sinks[-1] is reader
    plain.adopt(SETTINGS, 1)
    await plain.stop()
    traced.start(SETTINGS, COLLECTOR)
    assert traced.tracer is not None and len(traced.sinks) == 3
    traced.adopt(replace(SETTINGS, upstreams={"b": Upstream("http://b.test")}), 1)
    await traced.stop()
    written.start(replace(SETTINGS, content=Content(Capture.FILE, str(tmp_path / "content"))), {})
    assert written.tracer is None and len(written.sinks) == 3 and (tmp_path / "content").exists()
    await written.stop()


async def test_a_file_that_cannot_be_written_is_told(tmp_path: Path) -> None:
    """Before anything runs."""
    with pytest.raises(ConfigError, match=r"content\.file"):
        make().start(replace(SETTINGS, content=Content(Capture.FILE, str(tmp_path))), {})


async def test_what_has_ended_can_be_counted_at_once() -> None:
    """Else it would wait for others to be counted with, or for a scrape."""
    recording = make()
    recording.start(SETTINGS, {})
    for sink in recording.sinks:
        sink.observe(make_record())
    counter = recording._meter.families.attempts.child("openai", "completed")
    assert counter.value == 0
    recording.flush()
    assert counter.value == 1
    await recording.stop()
