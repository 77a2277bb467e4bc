"""The file that captured content goes to."""

import os
import stat
from pathlib import Path

import pytest

from sidecar.edge.telemetry.content_file import ContentFile


def test_lines_are_appended_for_the_owner_only(tmp_path: Path) -> None:
    """A file that others could read no longer can; what it held stays."""
    path = tmp_path / "content.jsonl"
    path.write_bytes(b"old\n")
    path.chmod(0o644)
    file = ContentFile(str(path), 1000)
    file.write(b"new\n")
    file.close()
    file.close()
    assert path.read_bytes() == b"old\nnew\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600


def test_a_full_file_makes_way_for_a_new_one(tmp_path: Path) -> None:
    """One predecessor is kept; a line longer than the bound has a file of its own."""
    path = tmp_path / "content.jsonl"
    file = ContentFile(str(path), 10)
    for number in range(4):
        file.write(b"line %d\n" % number)
    assert path.read_bytes() == b"line 3\n"
    assert (tmp_path / "content.jsonl.1").read_bytes() == b"line 2\n"
    assert stat.S_IMODE(path.stat().st_mode) == 0o600
    file.write(b"x" * 20 + b"\n")
    assert path.read_bytes() == b"x" * 20 + b"\n"
    assert len(list(tmp_path.iterdir())) == 2
    file.close()


def test_a_full_disk_leaves_no_half_line(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    """What was written of it is taken back; the next line may have room."""
    path = tmp_path / "content.jsonl"
    file = ContentFile(str(path), 1000)
    file.write(b"first\n")
    real = os.write
    left = [4]

    def write(descriptor: int, data: memoryview) -> int:
        if not left[0]:
            raise OSError(28, "No space left on device")
        count = real(descriptor, data[: left[0]])
        left[0] -= count
        return count

    with monkeypatch.context() as patched:
        patched.setattr(os, "write", write)
        with pytest.raises(OSError, match="No space"):
            file.write(b"second\n")
    file.write(b"third\n")
    file.close()
    assert path.read_bytes() == b"first\nthird\n"


def test_a_link_is_not_followed(tmp_path: Path) -> None:
    """Whoever can make a link in the folder cannot choose what is written to."""
    target = tmp_path / "target"
    (tmp_path / "content.jsonl").symlink_to(target)
    with pytest.raises(OSError):
        ContentFile(str(tmp_path / "content.jsonl"), 1000)
    assert not target.exists()


def test_a_folder_that_went_away_is_tried_again(tmp_path: Path) -> None:
    """A failed turn loses lines until the path can be opened, and no longer."""
    folder = tmp_path / "logs"
    folder.mkdir()
    file = ContentFile(str(folder / "c"), 10)
    file.write(b"12345678\n")
    (folder / "c").unlink()
    folder.rmdir()
    for _ in range(2):
        with pytest.raises(OSError):
            file.write(b"12345678\n")
    folder.mkdir()
    file.write(b"again\n")
    file.close()
    assert (folder / "c").read_bytes() == b"again\n"
