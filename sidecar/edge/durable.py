"""Files that are to be there, whole, whatever happens to the process or the machine."""

import fcntl
import os
import shutil
from errno import ENOSPC
from pathlib import Path
from typing import Final

OWNERS_ONLY: Final = 0o600


def write_whole(descriptor: int, data: bytes) -> None:
    """Write all of it. Raises OSError, also where only a part of it fits."""
    if os.write(descriptor, data) != len(data):
        raise OSError(ENOSPC, os.strerror(ENOSPC))  # the disk, or what we may have of it, is full


def sync_folder(folder: Path) -> None:
    """Have what was renamed or made in a folder on disk. Raises OSError."""
    descriptor = os.open(folder, os.O_RDONLY | os.O_DIRECTORY | os.O_CLOEXEC)
    try:
        os.fsync(descriptor)
    finally:
        os.close(descriptor)


def lock_beside(path: Path) -> int:
    """Take a file for this process, by a lock on PATH.lock, so that the file itself can be replaced.

    Return the descriptor that holds it, -1 where nothing can: nowhere to write, or no locks. Raises BlockingIOError where another has it.
    """
    try:
        descriptor = os.open(path.with_name(path.name + ".lock"), os.O_RDWR | os.O_CREAT | os.O_CLOEXEC | os.O_NOFOLLOW, OWNERS_ONLY)
    except OSError:
        return -1
    try:
        fcntl.flock(descriptor, fcntl.LOCK_EX | fcntl.LOCK_NB)
    except OSError as error:
        os.close(descriptor)
        if isinstance(error, BlockingIOError):
            raise
        return -1
    return descriptor


def keep_copy(path: Path, word: str, copies_max: int) -> str:
    """Keep a file as it is under a name of its own as well, PATH.WORD-N: by a link, or as a copy. Return that name.

    The first of `copies_max` that is free; if none is, the last makes room. Raises OSError.
    """
    names = [path.with_name(f"{path.name}.{word}-{number}") for number in range(1, copies_max + 1)]
    kept = next((name for name in names if not name.exists()), names[-1])
    kept.unlink(missing_ok=True)
    try:
        os.link(path, kept)
    except OSError:  # file systems without links, and files of another owner
        try:
            shutil.copyfile(path, kept)
        except OSError:
            kept.unlink(missing_ok=True)  # half of it
            raise
    return kept.name
