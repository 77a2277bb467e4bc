"""The files of the journal."""

from pathlib import Path

import pytest

from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, Snapshot, name_file, write_snapshot
from sidecar.edge.journal import FileProblem, read_snapshots
from tests.edge.telemetry.records import make_record

DAY = 20_000 * DAY_S


def put(directory: Path, began: int, span_s: int = HOUR_S, calls: int = 1) -> Path:
    """Write a file of some calls."""
    snapshot = Snapshot(began, began + span_s)
    for _ in range(calls):
        snapshot.find("openai/gpt-4o").add(make_record())
    path = directory / name_file(began, began + span_s)
    path.write_bytes(write_snapshot(snapshot, 0, 0.0))
    return path


def test_no_call_is_told_twice(tmp_path: Path) -> None:
    """A day stands for its hours where none of them is there, and only there; the oldest first."""
    put(tmp_path, DAY + 5 * HOUR_S)
    put(tmp_path, DAY, DAY_S, calls=7)
    put(tmp_path, DAY - DAY_S, DAY_S, calls=9)
    put(tmp_path, DAY + DAY_S, HOUR_S, calls=2)
    snapshots, problems = read_snapshots(tmp_path, 0)
    assert [(snapshot.began, snapshot.total.requests) for snapshot in snapshots] == [
        (DAY - DAY_S, 9), (DAY + 5 * HOUR_S, 1), (DAY + DAY_S, 2),
    ]  # fmt: skip
    assert problems == []


def test_what_ended_before_is_left_out(tmp_path: Path) -> None:
    """An hour that reaches into the time asked for is whole."""
    for hour in range(3):
        put(tmp_path, DAY + hour * HOUR_S)
    snapshots, _ = read_snapshots(tmp_path, DAY + HOUR_S)
    assert [snapshot.began for snapshot in snapshots] == [DAY + HOUR_S, DAY + 2 * HOUR_S]
    assert len(read_snapshots(tmp_path, DAY + HOUR_S - 1)[0]) == 3


def test_what_cannot_be_read_is_named_and_left_alone(tmp_path: Path) -> None:
    """Damaged files, files of another time, directories in their place; other files are none of the journal's."""
    put(tmp_path, DAY)
    damaged = put(tmp_path, DAY + HOUR_S)
    damaged.write_bytes(damaged.read_bytes()[:-30])
    put(tmp_path, DAY).rename(tmp_path / name_file(DAY + 2 * HOUR_S, DAY + 3 * HOUR_S))
    put(tmp_path, DAY)
    (tmp_path / name_file(DAY + 3 * HOUR_S, DAY + 4 * HOUR_S)).mkdir()
    for name in ("notes.txt", "hourly_20240101_00.json.new", "journal.lock"):
        (tmp_path / name).write_text("x", encoding="utf-8")
    before = {path.name: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()}
    snapshots, problems = read_snapshots(tmp_path, 0)
    assert [snapshot.began for snapshot in snapshots] == [DAY]
    assert problems == [
        FileProblem(name_file(DAY + HOUR_S, DAY + 2 * HOUR_S), "not the JSON of a journal's file"),
        FileProblem(name_file(DAY + 2 * HOUR_S, DAY + 3 * HOUR_S), "of another time than its name says"),
        FileProblem(name_file(DAY + 3 * HOUR_S, DAY + 4 * HOUR_S), "Is a directory"),
    ]
    assert {path.name: path.is_dir() or path.read_bytes() for path in tmp_path.iterdir()} == before


def test_a_directory_that_is_not_there_is_an_error(tmp_path: Path) -> None:
    """Nothing is not the same as an empty journal."""
    assert read_snapshots(tmp_path, 0) == ([], [])
    with pytest.raises(FileNotFoundError):
        read_snapshots(tmp_path / "missing", 0)
