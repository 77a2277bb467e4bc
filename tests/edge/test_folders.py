"""Files that are replaced together."""

import os
import threading
from collections.abc import Callable
from errno import ENOSPC
from pathlib import Path

import pytest

from sidecar.core.settings.explanation import describe
from sidecar.edge.folders import replace_files
from sidecar.errors import ConfigError

TEXTS = {"a.yml": "a: 1\n", "deep/er/b.json": "{}\n", "deep/c.md": "# Ü\n"}


def read(folder: Path) -> dict[str, str]:
    """Return the text of every file in a folder that can be seen."""
    found = (path for path in sorted(folder.rglob("*")) if path.is_file())
    names = {str(path.relative_to(folder)): path for path in found}
    return {name: path.read_text(encoding="utf-8") for name, path in names.items() if not name.startswith(".")}


def refuse(folder: Path, write: Callable[[Path, str], object] | None = None) -> list[str]:
    """Return what is said where the files cannot be written."""
    with pytest.raises(ConfigError) as raised:
        replace_files(str(folder), TEXTS, write) if write else replace_files(str(folder), TEXTS)
    return describe(raised.value)


@pytest.mark.parametrize("folder", ["out", "not/there/yet"])
def test_files_are_written(tmp_path: Path, folder: str) -> None:
    """Folders are made where they are missing; nothing but the files is left, readable as any file that is made."""
    replace_files(str(tmp_path / folder), TEXTS)
    assert read(tmp_path / folder) == TEXTS
    assert sorted(path.name for path in (tmp_path / folder).iterdir()) == ["a.yml", "deep"]
    (tmp_path / "plain").touch()
    assert (tmp_path / folder / "a.yml").stat().st_mode == (tmp_path / "plain").stat().st_mode


def test_what_is_there_is_replaced_and_the_rest_left_alone(tmp_path: Path) -> None:
    """Files of others stay, and so does what a link that is replaced led to."""
    (tmp_path / "deep").mkdir()
    (tmp_path / "deep" / "mine.md").write_text("mine")
    (tmp_path / "a.yml").symlink_to("deep/mine.md")
    (tmp_path / "deep" / "c.md").write_text("old")
    replace_files(str(tmp_path), TEXTS)
    assert read(tmp_path) == TEXTS | {"deep/mine.md": "mine"}
    assert not (tmp_path / "a.yml").is_symlink()


def test_a_full_disk_changes_nothing(tmp_path: Path) -> None:
    """Half of a file was written when the disk was full: what was there is there as it was, and nothing else."""
    (tmp_path / "a.yml").write_text("old")

    def fill(path: Path, text: str) -> None:
        path.write_text(text[:2])
        if path.name == "c.md":
            raise OSError(ENOSPC, os.strerror(ENOSPC))

    said = f"{tmp_path}: found a folder that cannot be written (No space left on device); allowed: one that can, with room for the files"
    assert refuse(tmp_path, fill) == [said]
    assert [path.name for path in tmp_path.iterdir()] == ["a.yml"] and read(tmp_path) == {"a.yml": "old"}
    assert refuse(tmp_path / "new" / "er", fill)[0].startswith(f"{tmp_path}/new/er: found a folder that cannot be written")
    assert not (tmp_path / "new").exists()


@pytest.mark.parametrize("kind", [OSError, KeyboardInterrupt])
def test_a_move_that_fails_is_taken_back(tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kind: type[BaseException]) -> None:
    """Whatever stops it between two files: those that were moved are as before, and folders that were made are gone."""
    (tmp_path / "a.yml").write_text("old")
    (tmp_path / "there").symlink_to("a.yml")
    replace = Path.replace

    def move(source: Path, target: Path) -> Path:
        if target.name == "c.md":
            raise kind(5, "Input/output error")
        return replace(source, target)

    monkeypatch.setattr(Path, "replace", move)
    with pytest.raises(ConfigError if kind is OSError else kind):
        replace_files(str(tmp_path), TEXTS | {"there": "x"})
    assert read(tmp_path) == {"a.yml": "old", "there": "old"}
    assert (tmp_path / "there").is_symlink() and not (tmp_path / "deep").exists()


def test_what_is_in_the_way_is_told(tmp_path: Path) -> None:
    """A file for a folder, a folder for a file: all at once, before anything is written."""
    (tmp_path / "file").write_text("mine")
    assert refuse(tmp_path / "file") == [f"{tmp_path}/file: found a file; allowed: a folder, or nothing yet"]
    assert refuse(tmp_path / "file" / "out")[0].endswith(
        "cannot be written (Not a directory); allowed: one that can, with room for the files"
    )
    (tmp_path / "deep").symlink_to("nowhere")
    (tmp_path / "a.yml").mkdir()
    assert refuse(tmp_path) == [
        f"{tmp_path}/deep: found a file; allowed: a folder, or nothing yet",
        f"{tmp_path}/a.yml: found a folder; allowed: a file, or nothing yet",
    ]
    assert sorted(path.name for path in tmp_path.iterdir()) == ["a.yml", "deep", "file"]


def test_two_at_once_do_not_mix(tmp_path: Path) -> None:
    """Of several that write into one folder, the files of one are there at the end, all of them."""
    names = [f"{number}/file" for number in range(20)]
    sets = [dict.fromkeys(names, f"{number}") for number in range(4)]
    seen: list[set[str]] = []

    def write(path: Path, text: str) -> None:
        seen.append(set(read(tmp_path).values()))
        path.write_text(text)

    threads = [threading.Thread(target=replace_files, args=(str(tmp_path), texts, write)) for texts in sets]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    found = read(tmp_path)
    assert found.keys() == set(names) and len(set(found.values())) == 1
    # Whoever writes finds what one other has left, whole.
    assert all(len(texts) <= 1 for texts in seen)
