"""How much memory the process takes, and how much it may: of its control groups, of the machine.

Linux only (proc(5), cgroups(7)): elsewhere nothing is known, and nothing is short.
"""

import os
from collections.abc import Iterator
from pathlib import Path
from typing import Final

_MEMORY: Final = "memory"
_KIB: Final = 1024


class Memory:
    """What can be read of memory. Nothing is kept: limits may change while the process runs."""

    def __init__(self, proc: str = "/proc", cgroups: str = "/sys/fs/cgroup") -> None:
        self._proc = Path(proc)
        self._cgroups = Path(cgroups)
        self._page_bytes = os.sysconf("SC_PAGE_SIZE")

    def read_rss(self) -> int | None:
        """Return the bytes of memory that are resident; None: not known."""
        fields = _read(self._proc / "self/statm").split()
        pages = _read_number(fields[1]) if len(fields) > 1 else None
        return None if pages is None else pages * self._page_bytes

    def read_limit(self) -> int | None:
        """Return how many bytes the process may take: the least that a control group it is in, or the machine, allows. None: not known.

        A group without a limit of its own has those of the groups around it.
        """
        limits = [_read_number(_read(file)) for file in self._limit_files()]
        limits.append(self._read_machine())
        return min((limit for limit in limits if limit), default=None)

    def give_back(self) -> None:
        """Return to the system what the process has let go of. Takes milliseconds: meant for a thread.

        glibc holds on to it (malloc_trim(3)): what lies between things still in use stays resident for good, however much it is.
        """
        import ctypes  # most sidecars never need it

        trim = getattr(ctypes.CDLL(None), "malloc_trim", None)
        if trim is not None:
            trim(0)

    def _limit_files(self) -> Iterator[Path]:
        """Yield where limits may be told: for the group of the process and each around it, in version 2, version 1 and hybrids."""
        for line in _read(self._proc / "self/cgroup").splitlines():
            _, _, rest = line.partition(":")
            controllers, _, path = rest.partition(":")
            if controllers == "":
                roots, name = (self._cgroups, self._cgroups / "unified"), "memory.max"
            elif _MEMORY in controllers.split(","):
                roots, name = (self._cgroups / controllers, self._cgroups / _MEMORY), "memory.limit_in_bytes"
            else:
                continue
            # In a namespace of its own the path may begin with `..`, or be one that only the host has: then the root is ours.
            parts = [part for part in path.split("/") if part not in ("", ".", "..")]
            for depth in range(len(parts), -1, -1):
                yield from (root.joinpath(*parts[:depth], name) for root in roots)

    def _read_machine(self) -> int | None:
        for line in _read(self._proc / "meminfo").splitlines():
            name, _, value = line.partition(":")
            if name == "MemTotal":
                kib = _read_number(value.removesuffix("kB"))
                return None if kib is None else kib * _KIB
        return None


def _read(file: Path) -> str:
    try:
        return file.read_text(encoding="ascii", errors="replace")
    except OSError:
        return ""


def _read_number(text: str) -> int | None:
    """Return a number; None for `max`, and for whatever else is none."""
    text = text.strip()
    return int(text) if text.isascii() and text.isdigit() and len(text) < 20 else None
