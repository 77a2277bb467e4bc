"""A volume as Kubernetes mounts a ConfigMap and a Secret: files are links behind one link that is turned for all of them at once."""

import itertools
import shutil
from collections.abc import Mapping
from pathlib import Path


class Volume:
    """Files in a folder, replaced all together."""

    def __init__(self, folder: Path, files: Mapping[str, str]) -> None:
        folder.mkdir(parents=True)
        self.folder = folder
        self._numbers = itertools.count(1)
        self._current: Path | None = None
        self.turn(files)
        for name in files:
            (folder / name).symlink_to(f"..data/{name}")

    def path(self, name: str) -> str:
        """Return where whoever reads finds a file."""
        return str(self.folder / name)

    def write(self, name: str, text: str) -> None:
        """Write into a file where it is, as an editor does that does not know better."""
        (self.folder / name).write_text(text, encoding="utf-8")

    def turn(self, files: Mapping[str, str]) -> None:
        """Have these files there from one moment to the next, as the kubelet does."""
        folder = self.folder / f"..2026_{next(self._numbers)}"
        folder.mkdir()
        for name, text in files.items():
            (folder / name).write_text(text, encoding="utf-8")
        beside = self.folder / "..data_tmp"
        beside.symlink_to(folder.name)
        beside.rename(self.folder / "..data")
        if self._current is not None:
            shutil.rmtree(self._current)
        self._current = folder
