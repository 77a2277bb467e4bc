"""What writes the journal, on disks and clocks that misbehave."""

import errno
import os
import random
import resource
from collections import Counter
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from sidecar.core.reckon.hours import HOURS_MAX, Hours
from sidecar.core.reckon.moments import Present
from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, Snapshot, name_file
from sidecar.edge.journal import list_files, read_file, read_snapshots
from sidecar.edge.journal_writer import JournalWriter
from tests.edge.telemetry.records import make_record

DAY = 20_000 * DAY_S
NOON = DAY + 12 * HOUR_S
MONTH_S = 30.0 * DAY_S


class Notes:
    """What was told of a journal."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note_journal_unwritable(self, problem: str) -> None:
        self.told.append(("unwritable", problem))

    def note_journal_writable(self) -> None:
        self.told.append(("writable",))

    def note_journal_damaged(self, name: str, problem: str, kept_as: str) -> None:
        self.told.append(("damaged", name, kept_as))

    def note_journal_lost(self, calls: int) -> None:
        self.told.append(("lost", calls))


class Kept:
    """A journal, and a wall clock that is set."""

    def __init__(self, directory: Path, wall_s: float = NOON, keep_s: float = MONTH_S) -> None:
        self.notes = Notes()
        self.hours = Hours()
        self.writer = JournalWriter(directory, keep_s, 0.0, self.notes)
        self.wall_s = wall_s

    def call(self, count: int = 1) -> None:
        """Have some calls end."""
        for _ in range(count):
            self.hours.observe(make_record(accepted_ns=round(self.wall_s * 1e9), accepted=1.0, ended=1.0))

    def save(self) -> None:
        """Save what came."""
        self.writer.save(self.hours.take(), Present(self.wall_s - NOON, round(self.wall_s * 1e9)))

    def call_and_save(self, count: int = 1) -> None:
        """Both."""
        self.call(count)
        self.save()


def count(directory: Path) -> dict[str, int]:
    """Return the calls in each file: all of them can be read."""
    return {name: read_file(directory, name).total.requests for name, _ in sorted(list_files(directory))}


def name_hour(began: int) -> str:
    """Return the name of an hour's file."""
    return name_file(began, began + HOUR_S)


def name_day(began: int) -> str:
    """Return the name of a day's file."""
    return name_file(began, began + DAY_S)


def test_an_hour_grows(tmp_path: Path) -> None:
    """Each time the whole of it is written; for its owner only, and nothing else lies about."""
    kept = Kept(tmp_path)
    kept.save()
    assert count(tmp_path) == {name_hour(NOON): 0}  # it ran, and nobody called
    kept.call_and_save(2)
    kept.call_and_save(3)
    assert count(tmp_path) == {name_hour(NOON): 5}
    assert (tmp_path / name_hour(NOON)).stat().st_mode & 0o777 == 0o600
    assert sorted(path.name for path in tmp_path.iterdir()) == [name_hour(NOON), "journal.lock"]
    assert kept.writer.state.problem is None and kept.writer.state.saved == 0.0 and kept.notes.told == []


def test_nothing_is_written_where_nothing_is_new(tmp_path: Path) -> None:
    """An idle sidecar leaves the disk alone."""
    kept = Kept(tmp_path)
    kept.call_and_save()
    inode = (tmp_path / name_hour(NOON)).stat().st_ino
    kept.save()
    assert (tmp_path / name_hour(NOON)).stat().st_ino == inode


def test_an_hour_goes_on_after_a_restart(tmp_path: Path) -> None:
    """What the file has counts once, and what comes is added."""
    for _ in range(3):
        kept = Kept(tmp_path)
        kept.call_and_save(2)
        kept.call_and_save(1)
        kept.writer.close()
    assert count(tmp_path) == {name_hour(NOON): 9}


def test_a_day_is_made_when_it_is_over(tmp_path: Path) -> None:
    """Of all its hours; not before."""
    kept = Kept(tmp_path)
    for hour in range(12):
        kept.wall_s = NOON + hour * HOUR_S
        kept.call_and_save(hour)
        assert name_day(DAY) not in count(tmp_path)
    kept.wall_s = DAY + DAY_S
    kept.save()
    assert count(tmp_path)[name_day(DAY)] == sum(range(12))
    snapshots, problems = read_snapshots(tmp_path, 0)
    assert sum(snapshot.total.requests for snapshot in snapshots) == sum(range(12)) and not problems


def test_days_are_made_up_for_after_a_downtime(tmp_path: Path) -> None:
    """Those of which there are hours."""
    kept = Kept(tmp_path)
    kept.call_and_save(2)
    kept.wall_s += DAY_S - HOUR_S
    kept.call_and_save(3)
    (tmp_path / name_day(DAY)).unlink()
    kept.writer.close()
    after = Kept(tmp_path, wall_s=NOON + 5 * DAY_S)
    after.save()
    assert {name: calls for name, calls in count(tmp_path).items() if name.startswith("daily")} == {
        name_day(DAY): 2, name_day(DAY + DAY_S): 3,
    }  # fmt: skip


def test_a_day_that_could_not_be_made_is_made_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Not at the end of the next day: as soon as it can be."""
    kept = Kept(tmp_path)
    kept.call_and_save(2)
    kept.wall_s = DAY + DAY_S
    real = Path.replace

    def fail(path: Path, target: Path) -> Path:
        if path.name.startswith("daily"):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(path, target)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "replace", fail)
        kept.save()
    assert kept.notes.told == [("unwritable", os.strerror(errno.ENOSPC))] and name_day(DAY) not in count(tmp_path)
    kept.save()
    assert count(tmp_path)[name_day(DAY)] == 2 and kept.notes.told[1:] == [("writable",)]


def test_a_day_of_which_the_first_call_comes_late(tmp_path: Path) -> None:
    """As a call that ended at midnight and is told a little later."""
    kept = Kept(tmp_path, wall_s=DAY + DAY_S)
    kept.save()
    kept.wall_s -= 1
    kept.call()
    kept.wall_s += 2
    kept.save()
    assert count(tmp_path)[name_day(DAY)] == 1


def test_a_day_follows_an_hour_that_changes_afterwards(tmp_path: Path) -> None:
    """As when the clock is set back over midnight."""
    kept = Kept(tmp_path, wall_s=DAY + DAY_S - 60)
    kept.call_and_save(4)
    kept.wall_s += HOUR_S
    kept.call_and_save(1)
    assert count(tmp_path)[name_day(DAY)] == 4
    kept.wall_s -= HOUR_S
    kept.call_and_save(2)
    assert name_day(DAY) not in count(tmp_path)
    kept.wall_s += HOUR_S
    kept.save()
    assert count(tmp_path) == {name_day(DAY): 6, name_hour(DAY + 23 * HOUR_S): 6, name_hour(DAY + DAY_S): 1}


@pytest.mark.parametrize("jump_s", [HOUR_S, -HOUR_S, 30, -30])
def test_a_clock_that_jumps_loses_and_doubles_nothing(tmp_path: Path, jump_s: int) -> None:
    """Each call is in the hour that the clock told."""
    kept = Kept(tmp_path, wall_s=NOON + 10)
    kept.call_and_save(3)
    kept.wall_s += jump_s
    kept.call_and_save(4)
    kept.wall_s -= jump_s
    kept.call_and_save(5)
    told = count(tmp_path)
    assert told[name_hour(NOON)] == 8 + 4 * (jump_s == 30) and sum(told.values()) == 12


def test_daylight_saving_is_no_matter(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Files are of UTC, whatever the zone of the machine: the night with two hours from two to three has no hour twice."""
    monkeypatch.setenv("TZ", "Europe/Berlin")
    kept = Kept(tmp_path, wall_s=1_792_886_400)  # 2026-10-25, 00:00 UTC: at 01:00 UTC clocks there go back to two
    for _ in range(4):
        kept.call_and_save()
        kept.wall_s += HOUR_S
    assert count(tmp_path) == {f"hourly_20261025_0{hour}.json": 1 for hour in range(4)}


def test_what_is_old_is_removed_by_the_day(tmp_path: Path) -> None:
    """Hours, days, damaged and unfinished files; nothing that is not the journal's."""
    kept = Kept(tmp_path, wall_s=NOON, keep_s=2.0 * DAY_S)
    kept.call_and_save()
    for name in (name_hour(NOON) + ".damaged-1", "notes.json", name_hour(NOON) + ".bak", "hourly_20249999_99.json"):
        (tmp_path / name).write_bytes(b"x")
    (tmp_path / (name_hour(NOON + 3 * DAY_S) + ".new")).write_bytes(b"half of it")
    others = {"notes.json", name_hour(NOON) + ".bak", "hourly_20249999_99.json", "journal.lock"}
    kept.wall_s = DAY + 3 * DAY_S - 1
    kept.save()
    assert {path.name for path in tmp_path.iterdir()} == others | {
        name_hour(NOON), name_day(DAY), name_hour(NOON) + ".damaged-1", name_hour(DAY + 2 * DAY_S + 23 * HOUR_S),
    }  # fmt: skip
    kept.wall_s += 1
    kept.save()
    assert {path.name for path in tmp_path.iterdir()} == others | {
        name_day(DAY + 2 * DAY_S), name_hour(DAY + 2 * DAY_S + 23 * HOUR_S), name_hour(DAY + 3 * DAY_S),
    }  # fmt: skip


@pytest.mark.parametrize("damage", [lambda data: data[:-5], lambda data: b"", lambda data: b"\0" * len(data), lambda data: b"hello\n"])
def test_a_damaged_file_is_set_aside(tmp_path: Path, damage: Any) -> None:
    """As it was, under another name each time; what comes is counted."""
    for number in (1, 2):
        data = damage(b'{"version": "1.0"}' * 20)
        (tmp_path / name_hour(NOON)).write_bytes(data)
        kept = Kept(tmp_path)
        kept.call_and_save(number)
        kept.writer.close()
        assert kept.notes.told == [("damaged", name_hour(NOON), f"{name_hour(NOON)}.damaged-{number}")]
        assert (tmp_path / f"{name_hour(NOON)}.damaged-{number}").read_bytes() == data
        assert count(tmp_path) == {name_hour(NOON): number}
        assert (kept.writer.state.damaged, kept.writer.state.problem) == (1, None)


def test_a_damaged_hour_of_a_day_that_is_over(tmp_path: Path) -> None:
    """The day is made of the others, and it is said."""
    kept = Kept(tmp_path)
    kept.call_and_save(2)
    (tmp_path / name_hour(NOON + HOUR_S)).write_bytes(b"{")
    kept.wall_s += DAY_S
    kept.save()
    assert count(tmp_path)[name_day(DAY)] == 2
    assert kept.notes.told == [("damaged", name_hour(NOON + HOUR_S), name_hour(NOON + HOUR_S) + ".damaged-1")]


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[dict[str, int]]:
    """Errors by what raises them: those of one folder, not of the rest of the process."""
    errors: dict[str, int] = {}
    folder = str(tmp_path)

    def patch(name: str) -> None:
        real = getattr(os, name)

        def play(target: Any, *more: Any, **named: Any) -> Any:
            path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
            if name in errors and path.startswith(folder):
                raise OSError(errors[name], os.strerror(errors[name]))
            return real(target, *more, **named)

        monkeypatch.setattr(os, name, play)

    for name in ("write", "fsync", "open", "replace", "unlink"):
        patch(name)
    yield errors
    errors.clear()


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EROFS, errno.EIO, errno.EACCES])
@pytest.mark.parametrize("name", ["write", "fsync", "open", "replace"])
def test_a_disk_that_takes_nothing(tmp_path: Path, disk: dict[str, int], name: str, number: int) -> None:
    """It is said once, the old file stays, and when it can be written again nothing is missing and nothing doubled."""
    kept = Kept(tmp_path)
    kept.call_and_save(2)
    disk[name] = number
    for _ in range(3):
        kept.wall_s += 60
        kept.call_and_save(1)
    assert kept.notes.told == [("unwritable", os.strerror(number))]
    state = kept.writer.state
    assert (state.problem, state.since, state.saved) == (os.strerror(number), 60.0, 0.0)
    kept.wall_s += HOUR_S
    kept.call_and_save(7)
    disk.clear()
    assert count(tmp_path) == {name_hour(NOON): 2}
    kept.save()
    assert count(tmp_path) == {name_hour(NOON): 5, name_hour(NOON + HOUR_S): 7}
    assert kept.notes.told == [("unwritable", os.strerror(number)), ("writable",)]
    assert (kept.writer.state.problem, kept.writer.state.since) == (None, None)


def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The kernel takes a part of a file, then nothing: the old one stays, and of the new one nothing."""
    kept = Kept(tmp_path)
    kept.call_and_save(2)
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    resource.setrlimit(resource.RLIMIT_FSIZE, (700, hard))
    try:
        kept.call_and_save(3)
        assert kept.notes.told == [("unwritable", "No space left on device")]
        assert sorted(path.name for path in tmp_path.iterdir()) == [name_hour(NOON), "journal.lock"]
        assert count(tmp_path) == {name_hour(NOON): 2}
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
    kept.save()
    assert count(tmp_path) == {name_hour(NOON): 5}


def test_a_file_that_cannot_be_read_is_left_alone(tmp_path: Path, disk: dict[str, int], monkeypatch: pytest.MonkeyPatch) -> None:
    """What it holds may be whole: nothing is put in its place until it can be read."""
    first = Kept(tmp_path)
    first.call_and_save(2)
    first.writer.close()
    kept = Kept(tmp_path)
    real = Path.open

    def fail(path: Path, *more: Any, **named: Any) -> Any:
        if path.name == name_hour(NOON):
            raise OSError(errno.EIO, os.strerror(errno.EIO))
        return real(path, *more, **named)

    with monkeypatch.context() as patched:
        patched.setattr(Path, "open", fail)
        kept.call_and_save(3)
        kept.wall_s += HOUR_S
        kept.call_and_save(1)
        assert kept.notes.told == [("unwritable", os.strerror(errno.EIO))]
    assert count(tmp_path) == {name_hour(NOON): 2, name_hour(NOON + HOUR_S): 1}  # other hours are none the worse
    kept.save()
    assert count(tmp_path) == {name_hour(NOON): 5, name_hour(NOON + HOUR_S): 1}


def test_a_directory_that_comes_later(tmp_path: Path) -> None:
    """Where only the last folder is missing it is made; else all is written as soon as there is a place for it."""
    kept = Kept(tmp_path / "volume" / "journal")
    kept.call_and_save(2)
    assert kept.notes.told == [("unwritable", os.strerror(errno.ENOENT))]
    (tmp_path / "volume").mkdir()
    kept.save()
    assert count(tmp_path / "volume" / "journal") == {name_hour(NOON): 2}
    assert kept.notes.told[1:] == [("writable",)]


def test_a_directory_that_is_taken_away(tmp_path: Path) -> None:
    """It is made again, with what the hour has, and held again."""
    kept = Kept(tmp_path / "journal")
    kept.call_and_save(2)
    for path in (tmp_path / "journal").iterdir():
        path.unlink()
    (tmp_path / "journal").rmdir()
    kept.call_and_save(1)
    assert count(tmp_path / "journal") == {name_hour(NOON): 3}
    with pytest.raises(BlockingIOError):
        Kept(tmp_path / "journal").writer.hold()


def test_a_file_in_its_place(tmp_path: Path) -> None:
    """It is said, and stays."""
    (tmp_path / "journal").write_bytes(b"mine")
    kept = Kept(tmp_path / "journal")
    kept.call_and_save()
    assert kept.notes.told == [("unwritable", os.strerror(errno.EEXIST))]
    assert (tmp_path / "journal").read_bytes() == b"mine"


def test_two_do_not_write_to_one(tmp_path: Path) -> None:
    """The second is refused for as long as the first is there; what it has meanwhile is not lost."""
    first, second = Kept(tmp_path), Kept(tmp_path)
    first.call_and_save(2)
    with pytest.raises(BlockingIOError):
        second.writer.hold()
    second.call_and_save(3)
    assert second.notes.told == [("unwritable", "another sidecar writes to it")] and count(tmp_path) == {name_hour(NOON): 2}
    first.writer.close()
    second.save()
    assert count(tmp_path) == {name_hour(NOON): 5}


def test_memory_is_bounded_where_nothing_can_be_written(tmp_path: Path, disk: dict[str, int]) -> None:
    """After two days the oldest hours are given up, which is said."""
    kept = Kept(tmp_path)
    disk["open"] = errno.ENOSPC
    for _ in range(HOURS_MAX + 3):
        kept.call_and_save(2)
        kept.wall_s += HOUR_S
    lost = [told[1] for told in kept.notes.told if told[0] == "lost"]
    assert sum(lost) == kept.writer.state.lost == 6 and set(lost) == {2}
    disk.clear()
    kept.save()
    assert sum(calls for name, calls in count(tmp_path).items() if name.startswith("hourly")) == 2 * HOURS_MAX


@pytest.mark.parametrize("seed", range(30))
def test_whatever_happens_each_call_is_there_once(tmp_path: Path, disk: dict[str, int], seed: int) -> None:
    """Days of calls, restarts, failing disks and a clock that is set an hour on or back: no hour has a call too many or too few."""
    chance = random.Random(seed)
    kept, expected = Kept(tmp_path), Counter[int]()
    for _ in range(150):
        act = chance.random()
        if act < 0.4:
            calls = chance.randrange(5)
            kept.call(calls)
            expected[int(kept.wall_s // HOUR_S) * HOUR_S] += calls
        elif act < 0.6:
            kept.wall_s += chance.choice((20, 1800, HOUR_S, 5 * HOUR_S))
        elif act < 0.7:
            kept.wall_s += chance.choice((HOUR_S, -HOUR_S))
        elif act < 0.8:
            disk.update({chance.choice(("write", "fsync", "open", "replace", "unlink")): errno.EIO})
        elif act < 0.95:
            kept.save()
            disk.clear()
        else:
            disk.clear()
            kept.save()  # the last one
            kept.writer.close()
            kept = Kept(tmp_path, wall_s=kept.wall_s)
    disk.clear()
    kept.wall_s += 2 * DAY_S
    kept.save()
    told = {name: calls for name, calls in count(tmp_path).items() if calls}
    days = Counter[int]()
    for began, calls in expected.items():
        days[began // DAY_S * DAY_S] += calls
    assert told == {name_hour(began): calls for began, calls in expected.items() if calls} | {
        name_day(day): calls for day, calls in days.items() if calls
    }
    snapshots, problems = read_snapshots(tmp_path, 0)
    assert sum(snapshot.total.requests for snapshot in snapshots) == expected.total() and not problems
    assert isinstance(snapshots[0], Snapshot)
