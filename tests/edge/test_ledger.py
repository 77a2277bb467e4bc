"""The file that budgets are kept in."""

import asyncio
import errno
import os
import resource
import shutil
from collections.abc import AsyncIterator, Iterator
from contextlib import asynccontextmanager, contextmanager
from pathlib import Path
from typing import Any

import pytest

from sidecar.config import Budget, Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.ledger_lines import Told, read_ledger, tell_reserved, tell_settled, tell_stopped
from sidecar.core.admit.spending_sums import Reservation
from sidecar.edge.ledger import FAILURES, GROWTH_BYTES, Ledger, start_ledger
from sidecar.edge.ledger_reading import open_ledger
from sidecar.errors import ConfigError

NOON = 1_795_176_000.0  # 2026-11-20, 12:00 UTC
SYNC_S = 0.005


class Notes:
    """What was told of a ledger."""

    def __init__(self) -> None:
        self.told: list[tuple[Any, ...]] = []

    def note_ledger_failure(self, reason: str) -> None:
        assert reason in FAILURES
        self.told.append(("failure", reason))

    def note_ledger_unwritable(self, problem: str) -> None:
        self.told.append(("unwritable", problem))

    def note_ledger_writable(self) -> None:
        self.told.append(("writable",))

    def note_ledger_damaged(self, lines: int, kept_as: str) -> None:
        self.told.append(("damaged", lines, kept_as))

    def note_ledger_replayed(self, lines: int, reservations: int) -> None:
        self.told.append(("replayed", lines, reservations))

    def named(self, name: str) -> list[tuple[Any, ...]]:
        """Those of one kind."""
        return [each for each in self.told if each[0] == name]


class Kept:
    """Accounts with a ledger, as a call uses them."""

    def __init__(self, file: Path, sync_s: float = SYNC_S, growth_bytes: int = GROWTH_BYTES) -> None:
        self.notes = Notes()
        self.accounts = Accounts(Budgets(tenant=Budget(day=1000.0)))
        self.ledger = start_ledger(open_ledger(str(file)), sync_s, self.accounts, NOON, self.notes, growth_bytes=growth_bytes)

    def reserve(self, usd: float = 1.0) -> Reservation:
        """Reserve."""
        got = self.accounts.reserve("a", usd, NOON)
        assert isinstance(got, Reservation)
        self.ledger.append(tell_reserved(got))
        return got

    def spend(self, usd: float = 1.0) -> None:
        """Reserve and settle."""
        got = self.reserve(usd)
        nano = self.accounts.settle(got, usd)
        assert nano is not None
        self.ledger.append(tell_settled(got, nano))

    @property
    def spent(self) -> float:
        """Of today."""
        return self.accounts.spent("a", "day", NOON)


@asynccontextmanager
async def keeping(file: Path, **more: Any) -> AsyncIterator[Kept]:
    """Run a ledger until the block ends."""
    kept = Kept(file, **more)
    try:
        yield kept
    finally:
        await kept.ledger.close()


def read(file: Path) -> Told:
    """Read what a killed process would have left behind now."""
    return read_ledger(file.read_bytes().splitlines(keepends=True))


def list_names(folder: Path) -> list[str]:
    """List what is in a folder."""
    return sorted(each.name for each in folder.iterdir())


async def until(condition: Any) -> None:
    """Wait for what happens in the background."""
    async with asyncio.timeout(5):
        while not condition():
            await asyncio.sleep(0.002)


async def test_what_was_spent_is_known_after_a_restart(tmp_path: Path) -> None:
    """Sums and stops; the file is its owner's only, and the instance is the same."""
    file = tmp_path / "ledger"
    async with keeping(file) as first:
        first.spend(1.5)
        first.spend(0.25)
        first.accounts.stop("b")
        first.ledger.append(tell_stopped("b", is_stopped=True))
        instance = first.ledger.instance
        assert first.notes.told == []
    assert file.stat().st_mode & 0o777 == 0o600
    async with keeping(file) as second:
        assert (second.spent, second.accounts.stopped, second.ledger.instance) == (1.75, frozenset("b"), instance)
        assert second.notes.told == [("replayed", 6, 0)]


async def test_what_was_open_counts_as_spent(tmp_path: Path) -> None:
    """A call may have been made whose end nobody saw; once, not again at each restart."""
    file = tmp_path / "ledger"
    async with keeping(file) as first:
        first.spend(1.0)
        first.reserve(0.5)
    for expected in ([("replayed", 4, 1)], [("replayed", 5, 0)], [("replayed", 5, 0)]):
        async with keeping(file) as after:
            assert (after.spent, after.notes.told) == (1.5, expected)


async def test_an_event_is_in_the_file_when_append_returns(tmp_path: Path) -> None:
    """Nothing is held back: whoever is killed now has lost nothing."""
    file = tmp_path / "ledger"
    async with keeping(file, sync_s=60.0) as kept:
        got = kept.reserve(2.0)
        assert [each.nano for each in read(file).state.open] == [got.nano]


async def test_it_is_written_anew_when_it_has_grown(tmp_path: Path) -> None:
    """So it stays small; while that goes on nothing is lost, and open reservations stay open."""
    file = tmp_path / "ledger"
    async with keeping(file, growth_bytes=2000) as kept:
        opened = kept.reserve(3.0)
        inodes = set()
        for _ in range(300):
            kept.spend(0.01)
            inodes.add(file.stat().st_ino)
            told = read(file)
            assert told.damaged == 0 and len(told.state.open) == 1
            assert told.state.spent[("a", "2026-11-20")] == round(kept.spent * 1e9)
            await asyncio.sleep(0.001)
        assert len(inodes) > 1
        assert file.stat().st_size < 30_000
        nano = kept.accounts.settle(opened, 3.0)
        kept.ledger.append(tell_settled(opened, nano or 0))
        assert read(file).state.open == []
    assert list_names(tmp_path) == ["ledger", "ledger.lock"]


async def test_events_go_into_both_files_while_the_new_one_is_flushed(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whichever of the two is there in the end has them."""
    file = tmp_path / "ledger"
    async with keeping(file, sync_s=60.0) as kept:
        flush = os.fsync
        spent: list[bool] = []

        def slowly(descriptor: int) -> None:
            if not spent:
                spent.append(True)
                asyncio.run_coroutine_threadsafe(spend(), loop).result(5)
            flush(descriptor)

        async def spend() -> None:
            kept.spend(2.0)
            assert read(file).state.spent[("a", "2026-11-20")] == 2 * 10**9
            assert read(file.with_name("ledger.new")).state.spent[("a", "2026-11-20")] == 2 * 10**9

        loop = asyncio.get_running_loop()
        kept.ledger.append(b"x" * 2 * GROWTH_BYTES)  # it has grown
        monkeypatch.setattr(os, "fsync", slowly)
        await kept.ledger.close()
        assert spent
        told = read(file)
        assert (told.damaged, told.state.spent[("a", "2026-11-20")]) == (0, 2 * 10**9)


@pytest.mark.parametrize(
    ("damage", "spent", "lost"),
    [
        (lambda data: data[:-7], 4.0, 1),  # a truncated tail: the settlement is gone, its reservation counts
        (lambda data: data[:-1], 4.0, 1),
        (lambda data: data + b"\0" * 4096, 4.0, 1),  # as some file systems leave it after a loss of power
        (lambda data: data + data.splitlines(keepends=True)[-1], 4.0, 0),  # a line twice
        (lambda data: data.replace(b'"settled",2', b'"settled",9'), 4.0, 1),
        (lambda data: b"\xff" * 30 + data[30:], 4.0, 1),  # its beginning
        (lambda data: data[: len(data) // 2] + b"\n" * 3 + data[len(data) // 2 :], None, 4),
        (lambda data: b"#!/bin/sh\necho hello\n", 0.0, 2),  # somebody else's
        (lambda data: b"x" * 100_000, 0.0, 1),
        (lambda data: b"", 0.0, 0),
    ],
)  # fmt: skip
async def test_damage(tmp_path: Path, damage: Any, spent: float | None, lost: int) -> None:
    """What can be read counts, it is said, and the file as it was is kept under another name."""
    file = tmp_path / "ledger"
    async with keeping(file) as first:
        for _ in range(4):
            first.spend(1.0)
    data = damage(file.read_bytes())
    file.write_bytes(data)
    async with keeping(file) as second:
        assert second.spent == spent or (spent is None and 3.0 <= second.spent <= 4.0)
        if lost:
            assert second.notes.told == [("failure", "damaged"), ("damaged", lost, "ledger.damaged-1")]
            assert (tmp_path / "ledger.damaged-1").read_bytes() == data
        else:
            assert second.notes.named("failure") == []
        second.spend(1.0)
        assert read(file).damaged == 0
        expected = second.spent
    async with keeping(file) as third:
        assert third.spent == expected and third.notes.named("failure") == []


async def test_several_damaged_files_are_kept(tmp_path: Path) -> None:
    """Each under a name of its own, up to 99: then the last one makes room."""
    file = tmp_path / "ledger"
    for number in (1, 2):
        file.write_bytes(b"foreign %d\n" % number)
        async with keeping(file):
            assert (tmp_path / f"ledger.damaged-{number}").read_bytes() == b"foreign %d\n" % number
    for number in range(3, 100):
        (tmp_path / f"ledger.damaged-{number}").write_bytes(b"")
    file.write_bytes(b"foreign again\n")
    async with keeping(file) as kept:
        assert kept.notes.told[-1] == ("damaged", 1, "ledger.damaged-99")
    assert (tmp_path / "ledger.damaged-99").read_bytes() == b"foreign again\n"


class Disk:
    """A disk on which things go wrong: those of a folder, not of the rest of the process."""

    def __init__(self, folder: Path, monkeypatch: pytest.MonkeyPatch) -> None:
        self.folder = str(folder)
        self.errors: dict[str, int] = {}
        for name in ("write", "fsync", "open", "link"):
            self._patch(name, monkeypatch)

    def _patch(self, name: str, monkeypatch: pytest.MonkeyPatch) -> None:
        real = getattr(os, name)

        def play(target: Any, *args: Any, **more: Any) -> Any:
            path = str(Path(f"/proc/self/fd/{target}").readlink()) if isinstance(target, int) else str(target)
            number = self.errors.get(name)
            if number is not None and path.startswith(self.folder):
                raise OSError(number, os.strerror(number))
            return real(target, *args, **more)

        monkeypatch.setattr(os, name, play)


@pytest.fixture
def disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Disk:
    """A disk that can fail."""
    return Disk(tmp_path, monkeypatch)


@pytest.mark.parametrize("number", [errno.ENOSPC, errno.EIO, errno.EROFS, errno.EDQUOT])
async def test_a_disk_that_takes_nothing_costs_no_call(tmp_path: Path, disk: Disk, number: int) -> None:
    """Nothing raises, each failure is counted, it is said once; as soon as it can be written all is there."""
    file = tmp_path / "ledger"
    async with keeping(file) as kept:
        kept.spend(1.0)
        disk.errors = {"write": number, "open": number}
        for _ in range(5):
            kept.spend(1.0)
        await until(lambda: ("failure", "compaction") in kept.notes.told)
        assert kept.notes.named("unwritable") == [("unwritable", os.strerror(number))]
        assert kept.ledger.problem == os.strerror(number)
        assert ("failure", "write") in kept.notes.told and kept.notes.named("writable") == []
        disk.errors = {}
        await until(lambda: kept.notes.named("writable"))
        assert kept.ledger.problem is None
        kept.spend(1.0)
        assert read(file).state.spent[("a", "2026-11-20")] == 7 * 10**9
        disk.errors = {"write": number}
        kept.spend(1.0)
        await until(lambda: len(kept.notes.named("unwritable")) == 2)  # another time
        disk.errors = {}
    async with keeping(file) as after:
        assert after.spent == 8.0  # closing it made up for the last one


async def test_a_disk_that_is_really_full(tmp_path: Path) -> None:
    """The kernel takes a part of a line, then nothing: what is there stays readable."""
    file = tmp_path / "ledger"
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    async with keeping(file) as kept:
        kept.spend(1.0)
        limit = file.stat().st_size + 100
        resource.setrlimit(resource.RLIMIT_FSIZE, (limit, hard))
        try:
            for _ in range(5):
                kept.reserve(1.0)
            assert file.stat().st_size <= limit
            assert read(file).damaged == 0
            assert len(kept.notes.named("unwritable")) == 1
        finally:
            resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        await until(lambda: kept.notes.named("writable"))
        assert len(read(file).state.open) == 5


async def test_a_flush_that_fails(tmp_path: Path, disk: Disk) -> None:
    """What the kernel may have forgotten is written anew."""
    file = tmp_path / "ledger"
    async with keeping(file) as kept:
        disk.errors = {"fsync": errno.EIO}
        kept.spend(1.0)
        await until(lambda: ("failure", "sync") in kept.notes.told)
        kept.spend(1.0)
        disk.errors = {}
        await until(lambda: kept.notes.named("writable"))
        assert read(file).state.spent[("a", "2026-11-20")] == 2 * 10**9


async def test_a_ledger_that_cannot_be_written_at_start(tmp_path: Path, disk: Disk) -> None:
    """What it says counts; calls go on; later it is written."""
    file = tmp_path / "ledger"
    async with keeping(file) as first:
        first.spend(1.0)
    disk.errors = {"open": errno.EROFS}
    async with keeping(file) as kept:
        assert kept.spent == 1.0
        kept.spend(1.0)
        assert kept.notes.named("unwritable") == [("unwritable", os.strerror(errno.EROFS))]
        disk.errors = {}
        await until(lambda: kept.notes.named("writable"))
        assert read(file).state.spent[("a", "2026-11-20")] == 2 * 10**9


async def test_a_damaged_ledger_is_not_overwritten_before_it_is_kept(tmp_path: Path, disk: Disk, monkeypatch: pytest.MonkeyPatch) -> None:
    """Where no copy of it can be made it stays as it is."""
    file = tmp_path / "ledger"
    file.write_bytes(b"foreign\n")
    disk.errors = {"link": errno.EPERM}
    copy = shutil.copyfile

    def fail(source: Path, target: Path) -> None:
        target.write_bytes(b"half")
        raise OSError(errno.ENOSPC, "no room")

    monkeypatch.setattr(shutil, "copyfile", fail)
    async with keeping(file) as kept:
        kept.spend(1.0)
        assert kept.notes.told[-1] == ("damaged", 1, "") and file.read_bytes() == b"foreign\n"
        monkeypatch.setattr(shutil, "copyfile", copy)
        await until(lambda: kept.notes.named("writable"))
        assert (tmp_path / "ledger.damaged-1").read_bytes() == b"foreign\n"  # a copy


async def test_two_sidecars_do_not_write_to_one_file(tmp_path: Path) -> None:
    """The second says so and does not start; it does when the first has ended."""
    file = tmp_path / "ledger"
    async with keeping(file):
        with pytest.raises(ConfigError, match="another sidecar writes to"):
            Kept(file)
    async with keeping(file):
        pass


@contextmanager
def made_fifo(path: Path) -> Iterator[None]:
    """Make what would make a reader wait for ever."""
    os.mkfifo(path)
    yield


async def test_what_can_be_nobodys_ledger(tmp_path: Path) -> None:
    """A folder, a pipe, a path in no folder: said at start, and nothing waits."""
    with made_fifo(tmp_path / "pipe"):
        for path in (tmp_path, tmp_path / "pipe", tmp_path / "none" / "ledger"):
            with pytest.raises(ConfigError, match=r"budgets\.file"):
                Kept(path)


async def test_a_link_is_followed_and_stays(tmp_path: Path) -> None:
    """As a volume may be mounted: the file behind it is the ledger."""
    (tmp_path / "volume").mkdir()
    link = tmp_path / "ledger"
    link.symlink_to(tmp_path / "volume" / "real")
    async with keeping(link) as kept:
        kept.spend(1.0)
        assert link.is_symlink() and read(tmp_path / "volume" / "real").lines == 3


async def test_what_is_left_of_a_new_file_says_nothing(tmp_path: Path) -> None:
    """A process that ended while it wrote anew leaves the old file as it was."""
    file = tmp_path / "ledger"
    async with keeping(file) as first:
        first.spend(1.0)
    file.with_name("ledger.new").write_bytes(b"half of a li")
    async with keeping(file) as second:
        assert second.spent == 1.0 and second.notes.named("failure") == []


async def test_closing_twice_and_using_it_afterwards(tmp_path: Path) -> None:
    """Nothing raises: a call may end after everything is closed."""
    kept = Kept(tmp_path / "ledger")
    await kept.ledger.close()
    kept.spend(1.0)
    await kept.ledger.close()
    assert isinstance(kept.ledger, Ledger)


async def test_one_that_begins_while_calls_are_served_waits_for_no_disk(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """The file that was there stays until the new one is on disk; what comes meanwhile is in the new one."""
    file = tmp_path / "ledger"
    async with keeping(file) as kept:
        kept.spend(2.0)
    flushed: list[int] = []
    fsync = os.fsync
    monkeypatch.setattr(os, "fsync", lambda descriptor: (flushed.append(descriptor), fsync(descriptor)))
    accounts = Accounts(Budgets(tenant=Budget(day=1000.0)))
    before = file.read_bytes()
    ledger = start_ledger(open_ledger(str(file)), SYNC_S, accounts, NOON, Notes(), waits=False)
    assert accounts.spent("a", "day", NOON) == 2.0 and flushed == [] and file.read_bytes() == before
    got = accounts.reserve("a", 3.0, NOON)
    assert isinstance(got, Reservation)
    ledger.append(tell_reserved(got))
    await until(lambda: file.read_bytes() != before)
    told = read(file)
    assert told.state.spent["a", "2026-11-20"] == 2 * 10**9 and [each.nano for each in told.state.open] == [3 * 10**9]
    await ledger.close()
    assert list_names(tmp_path) == ["ledger", "ledger.lock"]


async def test_one_that_cannot_begin_at_once_begins_later(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """It is told, and nothing is lost: what could not be written is in memory."""
    file = tmp_path / "ledger"
    notes, accounts = Notes(), Accounts(Budgets(tenant=Budget(day=1000.0)))
    opened = open_ledger(str(file))
    with monkeypatch.context() as away:
        away.setattr(os, "open", _refuse)
        ledger = start_ledger(opened, SYNC_S, accounts, NOON, notes, waits=False)
    assert ledger.problem is not None and notes.named("unwritable")
    accounts.settle(accounts.reserve("a", 3.0, NOON), 3.0)  # type: ignore[arg-type]
    await until(lambda: notes.named("writable"))
    assert read(file).state.spent["a", "2026-11-20"] == 3 * 10**9
    await ledger.close()


def _refuse(*args: Any, **more: Any) -> int:
    raise OSError(errno.ENOSPC, "full")
