"""Files that are to be there whatever happens."""

import errno
import os
import resource
import shutil
from pathlib import Path

import pytest

from sidecar.edge.durable import keep_copy, lock_beside, sync_folder, write_whole


def test_a_part_is_a_failure(tmp_path: Path) -> None:
    """Where the kernel takes only some of it."""
    soft, hard = resource.getrlimit(resource.RLIMIT_FSIZE)
    descriptor = os.open(tmp_path / "file", os.O_WRONLY | os.O_CREAT)
    try:
        write_whole(descriptor, b"12345")
        resource.setrlimit(resource.RLIMIT_FSIZE, (8, hard))
        with pytest.raises(OSError, match="No space"):
            write_whole(descriptor, b"67890")
    finally:
        resource.setrlimit(resource.RLIMIT_FSIZE, (soft, hard))
        os.close(descriptor)
    assert (tmp_path / "file").read_bytes() == b"12345678"


def test_one_process_at_a_time(tmp_path: Path) -> None:
    """Until it lets go; where nothing can be written nobody is held off."""
    path = tmp_path / "file"
    first = lock_beside(path)
    with pytest.raises(BlockingIOError):
        lock_beside(path)
    os.close(first)
    again = lock_beside(path)
    assert again >= 0
    os.close(again)
    assert lock_beside(tmp_path / "none" / "file") == -1


def test_a_file_is_kept_as_it_is(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """By a link; as a copy where there are none; half a copy is none."""
    path = tmp_path / "file"
    path.write_bytes(b"old")
    assert keep_copy(path, "damaged", 3) == "file.damaged-1"
    assert (tmp_path / "file.damaged-1").stat().st_ino == path.stat().st_ino

    def refuse(*paths: Path) -> None:
        raise OSError(errno.EPERM, "no links")

    monkeypatch.setattr(os, "link", refuse)
    assert keep_copy(path, "damaged", 3) == "file.damaged-2"
    assert (tmp_path / "file.damaged-2").read_bytes() == b"old"

    def break_off(source: Path, target: Path) -> None:
        target.write_bytes(b"o")
        raise OSError(errno.ENOSPC, "full")

    monkeypatch.setattr(shutil, "copyfile", break_off)
    with pytest.raises(OSError, match="full"):
        keep_copy(path, "damaged", 3)
    assert not (tmp_path / "file.damaged-3").exists()


def test_the_last_name_makes_room(tmp_path: Path) -> None:
    """There are never more than so many."""
    path = tmp_path / "file"
    for number in range(5):
        path.unlink(missing_ok=True)
        path.write_bytes(b"%d" % number)
        keep_copy(path, "damaged", 2)
    assert sorted(each.name for each in tmp_path.iterdir()) == ["file", "file.damaged-1", "file.damaged-2"]
    assert (tmp_path / "file.damaged-2").read_bytes() == b"4"


def test_a_folder_that_is_not_there(tmp_path: Path) -> None:
    """Is told."""
    sync_folder(tmp_path)
    with pytest.raises(FileNotFoundError):
        sync_folder(tmp_path / "none")
