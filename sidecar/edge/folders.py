"""Several files of one folder that are replaced together: all of them, or none."""

import fcntl
import os
import shutil
from collections.abc import Callable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from tempfile import mkdtemp

from sidecar.errors import ConfigError, ConfigProblem

Write = Callable[[Path, str], object]


def _write_text(path: Path, text: str) -> None:
    path.write_text(text, encoding="utf-8")


def replace_files(folder: str, texts: Mapping[str, str], write: Write = _write_text) -> None:
    """Write `texts`, by path below `folder`, in place of what is there; other files are left alone.

    The folder is made where it is missing. Everything is written beside first, and only then moved file by file; a failure
    brings back what was there. Who does the same at the same time waits. Raises ConfigError with all that is in the way.
    """
    root = Path(folder)
    if problems := list(_find_obstacles(root, texts)):
        raise ConfigError(folder, problems)
    made: list[Path] = []
    try:
        _make_folder(root, made)
        with _lock(root), _folder_beside(root) as beside:
            for name, text in texts.items():
                new = beside / "new" / name
                new.parent.mkdir(parents=True, exist_ok=True)
                write(new, text)
            _move(root, beside, list(texts), made)
    except BaseException as error:
        for inner in reversed(made):
            with suppress(OSError):  # another has put something there
                inner.rmdir()
        if isinstance(error, OSError):
            found = f"a folder that cannot be written ({error.strerror})"
            raise ConfigError(folder, [ConfigProblem(folder, found, "one that can, with room for the files")]) from None
        raise


def _find_obstacles(root: Path, names: Mapping[str, str]) -> Iterator[ConfigProblem]:
    """Yield a problem for each file where a folder has to be, and each folder where a file has to be."""
    parents = {root / parent for name in names for parent in Path(name).parents}
    for path in sorted(parents):
        if os.path.lexists(path) and not path.is_dir():
            yield ConfigProblem(str(path), "a file", "a folder, or nothing yet")
    for path in sorted(root / name for name in names):
        if path.is_dir() and not path.is_symlink():
            yield ConfigProblem(str(path), "a folder", "a file, or nothing yet")


def _make_folder(folder: Path, made: list[Path]) -> None:
    """Make a folder and those above it. `made` gets those that were not there, the outermost first."""
    if not folder.is_dir():
        _make_folder(folder.parent, made)
        with suppress(FileExistsError):  # by another, in the meantime
            folder.mkdir()
            made.append(folder)


@contextmanager
def _lock(folder: Path) -> Iterator[None]:
    """Keep others who write into the folder out, where the file system can."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        with suppress(OSError):
            fcntl.flock(descriptor, fcntl.LOCK_EX)
        yield
    finally:
        os.close(descriptor)


@contextmanager
def _folder_beside(root: Path) -> Iterator[Path]:
    """Give a folder within `root`, which is on the same file system, and take it away at the end."""
    beside = Path(mkdtemp(prefix=".llm-sidecar-", dir=root))
    try:
        yield beside
    finally:
        shutil.rmtree(beside, ignore_errors=True)


def _move(root: Path, beside: Path, names: list[str], made: list[Path]) -> None:
    """Move what is new into its place. What was there is copied first, so that it can be brought back."""
    for name in names:
        _make_folder((root / name).parent, made)
        if os.path.lexists(root / name):
            old = beside / "old" / name
            old.parent.mkdir(parents=True, exist_ok=True)
            shutil.copy2(root / name, old, follow_symlinks=False)
    moved: list[str] = []
    try:
        for name in names:
            moved.append(name)
            (beside / "new" / name).replace(root / name)
    except BaseException:
        for name in moved:
            _bring_back(root / name, beside / "old" / name)
        raise


def _bring_back(path: Path, old: Path) -> None:
    with suppress(OSError):
        if os.path.lexists(old):
            old.replace(path)
        else:
            path.unlink()
