"""What the process takes and may take, read from files as kernels write them."""

import os
import random
from pathlib import Path

import pytest

from sidecar.edge.memory import Memory

GIB = 2**30
MEMINFO = "MemTotal:       24684092 kB\nMemFree:        23365020 kB\n"
MACHINE = 24684092 * 1024
UNLIMITED_V1 = "9223372036854771712\n"


def make(folder: Path, groups: str, limits: dict[str, str], meminfo: str = MEMINFO) -> Memory:
    """A machine whose process is in `groups` (/proc/self/cgroup), with the files `limits` below /sys/fs/cgroup."""
    proc, cgroups = folder / "proc", folder / "cgroup"
    (proc / "self").mkdir(parents=True)
    (proc / "self/cgroup").write_text(groups)
    (proc / "self/statm").write_text("20000 3000 500 5 0 9000 0\n")
    (proc / "meminfo").write_text(meminfo)
    for name, text in limits.items():
        (cgroups / name).parent.mkdir(parents=True, exist_ok=True)
        (cgroups / name).write_text(text)
    return Memory(str(proc), str(cgroups))


V1 = "12:pids:/a\n4:memory:/docker/abc\n1:name=systemd:/x\n"


@pytest.mark.parametrize(
    ("groups", "limits", "expected"),
    [
        ("0::/\n", {"memory.max": f"{GIB}\n"}, GIB),  # a container sees its own group as the root
        ("0::/\n", {"memory.max": "max\n"}, MACHINE),
        ("0::/\n", {}, MACHINE),  # the root group of a machine has no limit to read
        ("0::/kubepods/pod1/c1\n", {"kubepods/pod1/c1/memory.max": f"{GIB}\n", "kubepods/pod1/memory.max": f"{2 * GIB}\n"}, GIB),
        ("0::/kubepods/pod1/c1\n", {"kubepods/pod1/c1/memory.max": "max\n", "kubepods/pod1/memory.max": f"{2 * GIB}\n"}, 2 * GIB),
        ("0::/a/b/c\n", {"a/b/c/memory.max": f"{4 * GIB}\n", "a/b/memory.max": "max\n", "a/memory.max": f"{GIB}\n"}, GIB),
        ("0::/../../pod1\n", {"memory.max": f"{GIB}\n"}, GIB),  # moved out of its namespace's root
        ("0::/../pod1\n", {"memory.max": f"{GIB}\n", "../pod1/memory.max": f"{GIB // 2}\n"}, GIB),  # nothing outside is read
        ("0::/host/only\n", {"memory.max": f"{GIB}\n"}, GIB),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        (V1, {"memory/memory.limit_in_bytes": f"{GIB}\n"}, GIB),  # without a namespace: the path is the host's, the root ours
        (V1, {"memory/docker/abc/memory.limit_in_bytes": UNLIMITED_V1, "memory/memory.limit_in_bytes": UNLIMITED_V1}, MACHINE),
        (V1, {"memory/docker/abc/memory.limit_in_bytes": UNLIMITED_V1, "memory/docker/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        ("3:cpu,memory:/x\n", {"cpu,memory/x/memory.limit_in_bytes": f"{GIB}\n"}, GIB),
        ("4:memory:/\n0::/\n", {"memory/memory.limit_in_bytes": UNLIMITED_V1, "unified/memory.max": f"{GIB}\n"}, GIB),
        ("0::/with:colon\n", {"with:colon/memory.max": f"{GIB}\n"}, GIB),
        ("0::/\n", {"memory.max": f"{64 * GIB}\n"}, MACHINE),  # a limit that the machine cannot reach is none
        ("0::/\n", {"memory.max": "0\n"}, MACHINE),
        ("0::/\n", {"memory.max": "\n"}, MACHINE),
        ("0::/\n", {"memory.max": "1e9 what\n"}, MACHINE),
        ("", {}, MACHINE),
        ("nonsense\n\n::\n", {}, MACHINE),
    ],
)
def test_the_least_limit_counts(tmp_path: Path, groups: str, limits: dict[str, str], expected: int) -> None:
    """Of the group, of each around it, and of the machine, in either version of control groups."""
    assert make(tmp_path, groups, limits).read_limit() == expected


def test_what_is_resident_is_told_in_bytes(tmp_path: Path) -> None:
    """The kernel counts pages."""
    assert make(tmp_path, "", {}).read_rss() == 3000 * os.sysconf("SC_PAGE_SIZE")


@pytest.mark.parametrize("statm", ["", "1", "a b c", "1 -5 3"])
def test_what_cannot_be_read_is_not_known(tmp_path: Path, statm: str) -> None:
    """Another system, or another form: nothing is known, and nothing fails."""
    nothing = Memory(str(tmp_path / "none"), str(tmp_path / "none"))
    assert nothing.read_rss() is None
    assert nothing.read_limit() is None
    memory = make(tmp_path, "0::/\n", {}, meminfo="MemTotal: lots\n")
    (tmp_path / "proc/self/statm").write_text(statm)
    assert memory.read_rss() is None
    assert memory.read_limit() is None


def test_limits_may_change(tmp_path: Path) -> None:
    """A container can be resized while it runs."""
    memory = make(tmp_path, "0::/\n", {"memory.max": f"{GIB}\n"})
    assert memory.read_limit() == GIB
    (tmp_path / "cgroup/memory.max").write_text(f"{GIB // 2}\n")
    assert memory.read_limit() == GIB // 2


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no proc(5)")
def test_this_process_can_be_read() -> None:
    """The real files: something is resident, and less than there may be."""
    memory = Memory()
    rss, limit = memory.read_rss(), memory.read_limit()
    assert rss is not None
    assert limit is not None
    assert 2**20 < rss < limit


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="there is no proc(5)")
def test_what_was_let_go_of_is_given_back() -> None:
    """Twenty megabytes in blocks too small for maps of their own, under one that is still in use."""
    memory = Memory()
    draw = random.Random(1)
    blocks = [draw.randbytes(20_000) for _ in range(1000)]
    last = draw.randbytes(20_000)
    full = memory.read_rss() or 0
    del blocks
    memory.give_back()
    assert full - (memory.read_rss() or 0) > 10 * 2**20
    assert len(last) == 20_000
