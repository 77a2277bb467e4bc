"""The last days as the journal tells them."""

import asyncio
import threading
from pathlib import Path

import pytest

from sidecar.core.reckon.snapshots import HOUR_S, Snapshot, name_file, write_snapshot
from sidecar.edge import past
from sidecar.edge.past import DAYS, KEPT_S, Past
from tests.edge.outbound.doubles import FakeClock
from tests.edge.telemetry.records import make_record

NOON = 1_700_049_600


def save(directory: Path, began: int, calls: int, span_s: int = HOUR_S) -> Path:
    """Write the file of an hour."""
    snapshot = Snapshot(began, began + span_s)
    for _ in range(calls):
        snapshot.find("openai/gpt-4o").add(make_record())
    file = directory / name_file(began, began + span_s)
    file.write_bytes(write_snapshot(snapshot, 0, 0.0))
    return file


async def test_hours_that_are_over_are_told_oldest_first(tmp_path: Path) -> None:
    """Neither this hour nor days nor what is too old nor what is damaged; a minute later what is new is there as well."""
    clock = FakeClock(NOON + 900.0)
    for hours, calls in ((-1, 6), (-3, 7), (0, 9), (-24 * DAYS - 1, 9)):
        save(tmp_path, NOON + hours * HOUR_S, calls)
    save(tmp_path, NOON - 12 * HOUR_S, 9, 24 * HOUR_S)
    save(tmp_path, NOON - 2 * HOUR_S, 8).write_bytes(b"{")
    (tmp_path / "other.txt").write_text("no")
    past = Past(tmp_path, clock)
    assert [(hour.at, hour.calls_per_hour) for hour in await past.read()] == [(NOON - 2.5 * HOUR_S, 7), (NOON - 0.5 * HOUR_S, 6)]
    save(tmp_path, NOON - 4 * HOUR_S, 5)
    clock.time += KEPT_S - 1
    assert len(await past.read()) == 2
    clock.time += 1
    assert [hour.calls_per_hour for hour in await past.read()] == [5, 7, 6]


async def test_files_that_do_not_change_any_more_are_read_once(tmp_path: Path) -> None:
    """An hour that has just ended may change; one of long ago is not read again, and is forgotten when it is gone."""
    clock = FakeClock(NOON + 60.0)
    old, new = save(tmp_path, NOON - 2 * HOUR_S, 5), save(tmp_path, NOON - HOUR_S, 6)
    past = Past(tmp_path, clock)
    assert [hour.calls_per_hour for hour in await past.read()] == [5, 6]
    old.write_bytes(b"")
    save(tmp_path, NOON - HOUR_S, 7)
    clock.time += KEPT_S
    assert [hour.calls_per_hour for hour in await past.read()] == [5, 7]
    old.unlink()
    new.unlink()
    clock.time += KEPT_S
    assert await past.read() == []


async def test_a_directory_that_is_not_there_has_no_hours(tmp_path: Path) -> None:
    """That is told elsewhere, not here."""
    assert await Past(tmp_path / "none", FakeClock()).read() == []


async def test_a_directory_that_hangs_is_not_waited_for(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whoever asks gets what is known; nothing further is begun before it answers, and then it is there."""
    clock = FakeClock(NOON + 900.0)
    save(tmp_path, NOON - HOUR_S, 6)
    hangs, began = threading.Event(), list[int]()
    real = past.list_files

    def list_slowly(directory: Path) -> list[tuple[str, tuple[int, int]]]:
        began.append(1)
        hangs.wait(10)
        return list(real(directory))

    monkeypatch.setattr(past, "list_files", list_slowly)
    monkeypatch.setattr(past, "_WAIT_S", 0.01)
    reader = Past(tmp_path, clock)
    assert await reader.read() == [] and await reader.read() == []
    hangs.set()
    async with asyncio.timeout(10):
        while not await reader.read():
            await asyncio.sleep(0.001)
    assert began == [1]
