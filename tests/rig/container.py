"""A program in a root file system of its own, as a container engine runs it: read-only, as nobody, with nothing of this machine.

`python tests/rig/container.py ROOT JSON`, as root: JSON tells `argv`, `environment`, `user`, `folder` (where it starts) and `mounts`, of
folders in ROOT the folders outside that are written to (or, with `:ro` behind, read). The process becomes the program. Network,
processes and devices are this machine's.
"""

import ctypes
import json
import os
import sys
from pathlib import Path
from typing import Any, Final

_LIBC: Final = ctypes.CDLL(None, use_errno=True)
_CLONE_NEWNS: Final = 0x00020000  # unshare(2): mounts of its own
_RDONLY, _NOSUID, _REMOUNT, _BIND, _REC, _PRIVATE = 1, 2, 32, 4096, 16384, 1 << 18  # mount(2)
_NO_NEW_PRIVS: Final = 38  # prctl(2)


def can_contain() -> bool:
    """Whether mounts can be made here: by root, in a namespace of its own."""
    if os.geteuid() != 0 or not sys.platform.startswith("linux"):
        return False
    child = os.fork()
    if child == 0:
        os._exit(1 if _LIBC.unshare(_CLONE_NEWNS) else 0)
    return os.waitstatus_to_exitcode(os.waitpid(child, 0)[1]) == 0


def _check(result: int, what: str) -> None:
    if result != 0:
        number = ctypes.get_errno()
        raise OSError(number, os.strerror(number), what)


def _mount(source: str, target: Path | str, flags: int) -> None:
    _check(_LIBC.mount(source.encode(), str(target).encode(), None, flags, None), str(target))


def contain(root: Path, told: dict[str, Any]) -> None:
    """Become the program."""
    _check(_LIBC.unshare(_CLONE_NEWNS), "unshare")
    _mount("none", "/", _REC | _PRIVATE)
    _mount(str(root), root, _BIND)
    for name in ("dev", "proc"):
        _mount(f"/{name}", root / name, _BIND | _REC)
    for inside, outside in told["mounts"].items():
        folder, _, mode = outside.partition(":")
        _mount(folder, root / inside.lstrip("/"), _BIND)
        if mode == "ro":
            _mount("none", root / inside.lstrip("/"), _REMOUNT | _BIND | _RDONLY)
    _mount("none", root, _REMOUNT | _BIND | _RDONLY | _NOSUID)
    os.chroot(root)
    os.chdir(told["folder"])
    os.setgroups([])
    os.setgid(told["user"])
    os.setuid(told["user"])
    _check(_LIBC.prctl(_NO_NEW_PRIVS, 1, 0, 0, 0), "prctl")
    os.execve(told["argv"][0], told["argv"], told["environment"])


if __name__ == "__main__":
    contain(Path(sys.argv[1]), json.loads(sys.argv[2]))
