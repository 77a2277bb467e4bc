"""Captured content on its way to a file."""

import asyncio
import json
import logging
import threading
from pathlib import Path
from typing import Any

import pytest
from msgspec.structs import replace

from sidecar.config import Content, Limits
from sidecar.core.observe.contents.capture import Composer
from sidecar.core.observe.contents.contract import Content as Composed
from sidecar.core.observe.redaction import Redactor
from sidecar.edge.telemetry.content_file import ContentFile
from sidecar.edge.telemetry.content_writer import ContentWriter, describe, start_content
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.errors import ConfigError
from sidecar.exchange import Record, Said, Spoken
from tests.edge.telemetry.records import make_record

REQUEST = b'{"messages": [{"role": "user", "content": "I am bob@example.com"}]}'
COMPOSER = Composer(Redactor(), bytes_max=4096, decoded_bytes_max=4096)


def record(answer: str = "Hello", request: bytes = REQUEST, **more: Any) -> Record:
    """Return a record with its content."""
    said = Said("openai_chat", request, b"", b"", (Spoken(0, "text", answer),))
    return make_record(said=said, request_bytes=len(REQUEST), **more)


class Bench:
    """A writer to a file, and its counters."""

    def __init__(self, path: Path, composer: Composer = COMPOSER, **settings: Any) -> None:
        self.meter = Meter(Limits(), [], version="1", python="3")
        self.path = path / "content.jsonl"
        content = Content(file=str(self.path), cpu_share=1.0, **settings)
        self.file = ContentFile(str(self.path), content.file_bytes_max)
        self.writer = ContentWriter(content, composer, self.file, self.meter, EventLog("warning"))

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was written."""
        return [json.loads(line) for line in self.path.read_text(encoding="utf-8").splitlines()]

    @property
    def losses(self) -> dict[str, float]:
        """What was lost, by reason."""
        reasons = ("queue_full", "too_large", "unreadable", "write_failed", "shutdown")
        return {reason: count for reason in reasons if (count := self.meter.content_dropped(reason).value)}


class Gated(Composer):
    """A composer that waits for a gate to open."""

    def __init__(self) -> None:
        super().__init__(Redactor(), bytes_max=4096, decoded_bytes_max=4096)
        self.open = threading.Event()
        self.entered = threading.Event()

    def compose(self, said: Said) -> Composed:
        """Wait, then compose."""
        self.entered.set()
        self.open.wait(20)
        return super().compose(said)


async def test_each_call_is_a_line(tmp_path: Path) -> None:
    """Who, when, what was said and how it ended; what was said is redacted, and forgotten once written."""
    bench = Bench(tmp_path)
    bench.writer.start()
    first, second = record(), record("bye", trace=None)
    for one in (first, make_record(), second):
        bench.writer.observe(one)
    await bench.writer.shutdown()
    one, two = bench.lines
    assert one == {
        "id": "req-1", "trace_id": "0af7651916cd43dd8448eb211c80319c", "time": "2023-11-14T22:13:20.000Z", "route": "openai",
        "provider": "openai", "operation": "chat", "model": "gpt-4o", "ending": "completed",
        "input_messages": [{"role": "user", "parts": [{"type": "text", "content": "I am [REDACTED:email]"}]}],
        "output_messages": [{"role": "assistant", "parts": [{"type": "text", "content": "Hello"}]}],
    }  # fmt: skip
    assert two["trace_id"] is None
    assert bench.losses == {}
    assert first.said is not None
    assert first.said.size_bytes == 0


async def test_what_was_told_again_says_so(tmp_path: Path) -> None:
    """Else a call that was answered and has no answer there would be taken for one that was answered with nothing."""
    bench = Bench(tmp_path)
    bench.writer.start()
    for cache in ("hit", "stale", "coalesced", "miss", "bypass", None):
        bench.writer.observe(replace(record(), cache=cache))
    await bench.writer.shutdown()
    assert [line.get("cache") for line in bench.lines] == ["hit", "stale", "coalesced", None, None, None]


async def test_what_waits_is_bounded_and_the_loss_is_counted(tmp_path: Path) -> None:
    """By bytes; a single call that is larger than all of it has a reason of its own."""
    gated = Gated()
    bench = Bench(tmp_path, gated, queue=500)
    bench.writer.start()
    bench.writer.observe(record("a" * 300))
    await asyncio.to_thread(gated.entered.wait, 5)
    lost = record("b" * 300)
    bench.writer.observe(lost)
    bench.writer.observe(record("c" * 600))
    assert bench.losses == {"queue_full": 1, "too_large": 1}
    assert lost.said is not None
    assert lost.said.size_bytes == 0
    gated.open.set()
    await bench.writer.shutdown()
    assert len(bench.lines) == 1
    bench.writer.observe(record())
    assert bench.losses == {"queue_full": 1, "too_large": 1, "shutdown": 1}


async def test_room_is_given_back(tmp_path: Path) -> None:
    """What was written no longer counts."""
    bench = Bench(tmp_path, queue=500)
    bench.writer.start()
    for _ in range(20):
        one = record("a" * 300)
        bench.writer.observe(one)
        while one.said is not None and one.said.size_bytes:
            await asyncio.sleep(0.002)
    await bench.writer.shutdown()
    assert len(bench.lines) == 20
    assert bench.losses == {}


async def test_a_request_that_passed_unread_is_told(tmp_path: Path) -> None:
    """Its answer is there; and so is that of a request that is not JSON."""
    bench = Bench(tmp_path)
    bench.writer.start()
    bench.writer.observe(record(request=b""))
    bench.writer.observe(record(request=b"{"))
    await bench.writer.shutdown()
    assert bench.losses == {"too_large": 1, "unreadable": 1}
    assert ["unreadable" in line for line in bench.lines] == [False, True]
    assert all("output_messages" in line and "input_messages" not in line for line in bench.lines)


async def test_a_failed_write_loses_its_line_only(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """It is counted, and logged without what was in it."""
    bench = Bench(tmp_path)
    failures = [OSError(28, "No space left on device"), RuntimeError("bob@example.com")]
    write = bench.file.write

    def fail(line: bytes) -> None:
        if failures:
            raise failures.pop(0)
        write(line)

    monkeypatch.setattr(bench.file, "write", fail)
    with caplog.at_level(logging.WARNING, "sidecar"):
        bench.writer.start()
        for _ in range(3):
            bench.writer.observe(record())
        await bench.writer.shutdown()
    assert bench.losses == {"write_failed": 2}
    assert len(bench.lines) == 1
    reasons = [vars(line)["sidecar_fields"]["reason"] for line in caplog.records]
    assert reasons == ["No space left on device", "RuntimeError"]


async def test_shutdown_ends_in_time_and_counts_what_is_left(tmp_path: Path) -> None:
    """Whatever the thread is doing; and asking twice is asking once."""
    gated = Gated()
    bench = Bench(tmp_path, gated)
    bench.writer.start()
    for _ in range(3):
        bench.writer.observe(record())
    await asyncio.to_thread(gated.entered.wait, 5)
    await bench.writer.shutdown(0.05)
    await bench.writer.shutdown(0.05)
    assert bench.losses == {"shutdown": 2}
    gated.open.set()


async def test_a_writer_that_never_started_stops_at_once(tmp_path: Path) -> None:
    """What it was given is counted."""
    bench = Bench(tmp_path)
    bench.writer.observe(record())
    await bench.writer.shutdown()
    assert bench.losses == {"shutdown": 1}
    bench.file.close()


async def test_starting_opens_the_file(tmp_path: Path) -> None:
    """Or is a problem with the setting's path, before any call."""
    meter, log = Meter(Limits(), [], version="1", python="3"), EventLog("error")
    writer = start_content(Content(file=str(tmp_path / "c")), COMPOSER, meter, log)
    writer.observe(record())
    await writer.shutdown()
    assert (tmp_path / "c").stat().st_size > 100
    with pytest.raises(ConfigError) as raised:
        start_content(Content(file=str(tmp_path / "none" / "c")), COMPOSER, meter, log)
    assert [problem.path for problem in raised.value.problems] == ["content.file"]


def test_a_line_is_json_whatever_was_said() -> None:
    """Half characters included."""
    (said,) = [record("\ud83d").said]
    assert said is not None
    line = describe(make_record(), COMPOSER.compose(said))
    assert bytes(line["output_messages"]).decode() == '[{"role":"assistant","parts":[{"type":"text","content":"�"}]}]'
