"""The journal of a running sidecar."""

import asyncio
import json
import logging
import threading
from collections.abc import AsyncIterator, Sequence
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar import config
from sidecar.core.reckon.hours import HOURS_MAX, Hours
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.snapshots import HOUR_S, Snapshot
from sidecar.edge.journal import list_files, read_file
from sidecar.edge.journal_writer import JournalWriter
from sidecar.edge.telemetry.journal import Journal
from sidecar.edge.telemetry.logs import EventLog, JsonFormatter
from sidecar.errors import ConfigError
from tests.edge.telemetry.records import make_record

NOON = 480_000 * HOUR_S


class Clock:
    """Clocks that are set."""

    def __init__(self) -> None:
        self.at = 100.0
        self.wall_s = NOON + 600.0

    def now(self) -> float:
        """Return what it is set to."""
        return self.at

    def wall_ns(self) -> int:
        """Return what it is set to."""
        return round(self.wall_s * 1e9)


class Running:
    """A journal, the calls it is told of, and what it logs."""

    def __init__(self, directory: Path, interval_s: float) -> None:
        self.directory = directory
        self.clock = Clock()
        self.hours = Hours()
        self.flushes = 0
        settings = config.Journal(directory=str(directory), interval=interval_s)
        self.journal = Journal(settings, str(directory), self.hours, self._flush, self.clock, EventLog())

    def _flush(self) -> None:
        self.flushes += 1

    def call(self) -> None:
        """Have a call end."""
        self.hours.observe(make_record(accepted_ns=self.clock.wall_ns(), accepted=1.0, ended=1.0))

    def count(self) -> dict[str, int]:
        """Return the calls in each file."""
        return {name: read_file(self.directory, name).total.requests for name, _ in sorted(list_files(self.directory))}


@asynccontextmanager
async def running(directory: Path, interval_s: float = 3600.0) -> AsyncIterator[Running]:
    """Run a journal until the block ends."""
    kept = Running(directory, interval_s)
    kept.journal.start()
    try:
        yield kept
    finally:
        await kept.journal.stop()


async def until(condition: Any) -> None:
    """Wait for what another thread does."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


def list_events(caplog: pytest.LogCaptureFixture) -> list[Any]:
    """Return what was logged, as JSON has it."""
    return [json.loads(JsonFormatter().format(record)) for record in caplog.records]


async def test_what_came_is_saved_at_the_end(tmp_path: Path) -> None:
    """Everything, with how long the sidecar ran; the thread has ended, and another may write."""
    async with running(tmp_path) as kept:
        kept.call()
        kept.call()
        kept.clock.at += 3725
    name = next(iter(kept.count()))
    assert kept.count() == {name: 2}
    shown = json.loads((tmp_path / name).read_bytes())
    assert (shown["uptime_seconds"], shown["uptime_formatted"]) == (3725, "1:02:05")
    assert kept.flushes == 2
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "journal"])
    async with running(tmp_path) as after:
        after.call()
    assert after.count() == {name: 3}


async def test_what_came_is_saved_each_interval(tmp_path: Path) -> None:
    """Without anybody stopping it."""
    async with running(tmp_path, 0.01) as kept:
        for calls in (1, 2):
            kept.call()
            await until(lambda calls=calls: list(kept.count().values()) == [calls])
        assert kept.journal.describe().saved == 100.0


async def test_what_came_is_saved_at_the_turn_of_the_hour(tmp_path: Path) -> None:
    """However long the interval is."""
    kept = Running(tmp_path, 3600.0)
    kept.clock.wall_s = NOON + HOUR_S - 0.05
    kept.journal.start()
    kept.call()
    await until(lambda: list(kept.count().values()) == [1])
    await kept.journal.stop()


async def test_a_directory_of_another_is_refused(tmp_path: Path) -> None:
    """At the start, with the setting that is wrong; it can be stopped all the same."""
    async with running(tmp_path):
        second = Running(tmp_path, 3600.0)
        with pytest.raises(ConfigError) as raised:
            second.journal.start()
        assert "journal.directory" in str(raised.value)
        await second.journal.stop()


async def test_trouble_is_logged_once(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """One line when it begins and one when it is over; meanwhile it is to be seen in the state."""
    caplog.set_level(logging.INFO)
    directory = tmp_path / "volume" / "journal"
    async with running(directory, 0.005) as kept:
        kept.call()
        await until(lambda: kept.journal.describe().problem)
        kept.clock.at += 100
        await asyncio.sleep(0.05)
        state = kept.journal.describe()
        assert (state.problem, state.saved) == ("No such file or directory", None)
        assert state.since == 100.0
        directory.parent.mkdir()
        await until(lambda: kept.journal.describe().problem is None)
    events = list_events(caplog)
    assert [event["event"] for event in events] == ["journal_failed", "journal_written_again"]
    assert (events[0]["directory"], events[0]["problem"]) == (str(directory), "No such file or directory")


async def test_a_damaged_file_is_logged(tmp_path: Path, caplog: pytest.LogCaptureFixture) -> None:
    """With the name under which it is kept."""
    async with running(tmp_path) as kept:
        kept.call()
    (name,) = kept.count()
    (tmp_path / name).write_bytes(b"{")
    async with running(tmp_path) as kept:
        await until(lambda: kept.journal.describe().damaged == 1)
    (event,) = list_events(caplog)
    assert (event["event"], event["file"], event["kept_as"]) == ("journal_damaged", name, name + ".damaged-1")


class Hanging:
    """A directory that answers when it is told to."""

    def __init__(self, monkeypatch: pytest.MonkeyPatch) -> None:
        self.saved: list[int] = []
        self.released = threading.Event()
        real = JournalWriter.save

        def save(writer: JournalWriter, hours: Sequence[Snapshot], present: Present) -> None:
            self.released.wait(10)
            self.saved.append(sum(hour.total.requests for hour in hours))
            real(writer, hours, present)

        monkeypatch.setattr(JournalWriter, "save", save)


async def test_a_directory_that_hangs_holds_nobody_up(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture
) -> None:
    """What comes meanwhile is kept, as far as memory is meant for it; the state says so; it is saved when that is possible."""
    hanging = Hanging(monkeypatch)
    async with running(tmp_path, 0.005) as kept:
        kept.clock.at += 29.0
        assert kept.journal.describe().problem is None
        kept.clock.at += 2.0
        state = kept.journal.describe()
        assert state.problem == "the directory does not answer" and state.since == 100.0
        calls = 0
        while not kept.journal.describe().lost and calls < 50 * HOURS_MAX:
            kept.call()
            calls += 1
            kept.clock.wall_s += HOUR_S
            await asyncio.sleep(0.001)
        hanging.released.set()
        await until(lambda: kept.journal.describe().problem is None and list(tmp_path.glob("hourly*")))
    lost = kept.journal.describe().lost
    assert 0 < lost < calls
    assert sum(told for name, told in kept.count().items() if name.startswith("hourly")) == calls - lost
    assert {event["event"] for event in list_events(caplog)} == {"journal_lost"}


async def test_a_directory_that_hangs_at_the_end(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """It is left to itself, and it is said that not everything is on disk."""
    monkeypatch.setattr("sidecar.edge.telemetry.journal._CLOSE_S", 0.01)
    hanging = Hanging(monkeypatch)
    async with running(tmp_path) as kept:
        kept.call()
    (event,) = list_events(caplog)
    assert (event["event"], event["problem"]) == ("journal_failed", "the directory does not answer")
    hanging.released.set()
    await until(lambda: not [thread for thread in threading.enumerate() if thread.name == "journal"])


async def test_a_mistake_of_ours_is_no_end_of_it(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, caplog: pytest.LogCaptureFixture) -> None:
    """What cannot be foreseen is logged by its kind, and the thread goes on."""
    real = JournalWriter.save
    failed: list[bool] = []

    def save(writer: JournalWriter, hours: Sequence[Snapshot], present: Present) -> None:
        if not failed:
            failed.append(True)
            raise RuntimeError("a secret")
        real(writer, hours, present)

    monkeypatch.setattr(JournalWriter, "save", save)
    async with running(tmp_path, 0.01) as kept:
        await until(lambda: failed)
        kept.call()
    assert list(kept.count().values()) == [1]
    (event,) = list_events(caplog)
    assert event["problem"] == "RuntimeError" and "secret" not in json.dumps(event)
