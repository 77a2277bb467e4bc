"""What is in the files of a configuration: one look at all of them, to be compared with another."""

import hashlib
import os
import stat
from collections.abc import Mapping
from pathlib import Path
from typing import Final, NamedTuple

from sidecar.config import Settings
from sidecar.edge.files import list_read, list_written

_PIECE_BYTES: Final = 256 * 1024
_READ_BYTES_MAX: Final = 16 * 1024 * 1024  # nobody reads more of any of them
_OTHER: Final = b"no regular file"  # a pipe or a device: reading it would take what is in it away
_FOLDER: Final = b"a folder"
_KEY: Final = os.urandom(32)  # digests of secrets are kept in memory: of no use to anybody else

CONFIGURATION: Final = ""  # the configuration itself, among the paths of settings


class Look(NamedTuple):
    """What was found, by the path of the setting that names the file."""

    contents: Mapping[str, bytes | None]  # a digest; None where there is nothing that can be read
    places: Mapping[str, str]  # where the file really is, behind all links

    def find_changed(self, later: "Look") -> tuple[str, ...]:
        """Return the paths of settings whose files have other content `later`, among those that both name."""
        return tuple(path for path, content in self.contents.items() if path in later.contents and later.contents[path] != content)


def look_at(source: str | None, settings: Settings) -> Look:
    """Look at the file of a configuration, if there is one, and at all that the settings name. Waits for disks.

    Kubernetes replaces the files of a volume all at once, by turning one link (`..data`) to another folder: two looks that differ
    in `places` are at two generations of a volume, even where the files are the same.
    """
    files = {**({} if source is None else {CONFIGURATION: source}), **list_read(settings)}
    contents = {path: _digest(file) for path, file in files.items()}
    for path, file in list_written(settings).items():
        contents[path] = _FOLDER if Path(file).absolute().parent.is_dir() else None
    return Look(contents, {path: _locate(file) for path, file in files.items()})


def is_stream(path: str) -> bool:
    """Whether a path leads to what can be read only once: a pipe, a terminal, a device."""
    try:
        mode = Path(path).stat().st_mode
    except (OSError, ValueError):
        return False
    return not stat.S_ISREG(mode) and not stat.S_ISDIR(mode)


def _locate(path: str) -> str:
    try:
        return os.path.realpath(path)
    except (OSError, ValueError):  # ValueError: a NUL in the path
        return ""


def _digest(path: str) -> bytes | None:
    try:
        descriptor = os.open(path, os.O_RDONLY | os.O_CLOEXEC | os.O_NONBLOCK)  # a pipe without a writer would be waited for
    except (OSError, ValueError):
        return None
    try:
        if not stat.S_ISREG(os.fstat(descriptor).st_mode):
            return _OTHER
        digest, left = hashlib.blake2b(key=_KEY, digest_size=16), _READ_BYTES_MAX
        while left > 0 and (piece := os.read(descriptor, min(_PIECE_BYTES, left))):
            digest.update(piece)
            left -= len(piece)
    except OSError:
        return None
    finally:
        os.close(descriptor)
    return digest.digest()
