"""What a process used, and what a list of numbers says."""

import os
import statistics
import time
from collections.abc import Iterable, Sequence
from pathlib import Path
from typing import NamedTuple, Protocol


class Mark(Protocol):
    """Whoever is told when a measured window begins and when it has ended."""

    def __call__(self, *, begins: bool) -> None: ...


def cpu_ns(pid: int) -> int:
    """CPU time a process has used, its threads (dead ones too) included, in nanoseconds.

    The clock id is what clock_getcpuclockid(3) makes of a pid: finer than the 10 ms ticks of
    /proc/PID/stat, from the same accounts.
    """
    return time.clock_gettime_ns((~pid << 3) | 2)


def machine_busy_ns() -> int:
    """CPU time that all cores together were not idle since the start of the machine (proc_stat(5)), in nanoseconds.

    Counted in ticks of 10 ms: good for a whole run, too coarse for one window.
    """
    user, nice, system, _, _, irq, softirq, steal = map(int, Path("/proc/stat").read_text().split(maxsplit=9)[1:9])
    return (user + nice + system + irq + softirq + steal) * 1_000_000_000 // os.sysconf("SC_CLK_TCK")


def rss_bytes(pid: int) -> int:
    """Resident set size of a process (proc(5), VmRSS of /proc/PID/status)."""
    for line in Path(f"/proc/{pid}/status").read_text().splitlines():
        if line.startswith("VmRSS:"):
            return int(line.split()[1]) * 1024
    return 0


class Reading(NamedTuple):
    """CPU time of some processes at a moment."""

    now_ns: int
    cpu_ns: tuple[int, ...]

    def shares(self, since: "Reading") -> tuple[float, ...]:
        """Cores used by each process since an earlier reading (1.0 is one whole core)."""
        passed_ns = self.now_ns - since.now_ns
        return tuple((after - before) / passed_ns for after, before in zip(self.cpu_ns, since.cpu_ns, strict=True))


def read(pids: Iterable[int]) -> Reading:
    """Take a reading of these processes now."""
    return Reading(time.perf_counter_ns(), tuple(map(cpu_ns, pids)))


def unmarked(*, begins: bool) -> None:
    """Nobody wants to know when a window begins and ends."""


def quantile(values: Sequence[int], q: float) -> float:
    """The q-quantile by the nearest rank: an observed value, nothing interpolated. NaN of nothing."""
    if not values:
        return float("nan")
    ordered = sorted(values)
    return float(ordered[min(len(ordered) - 1, int(q * len(ordered)))])


class Spread(NamedTuple):
    """The middle and the ends of what several rounds gave."""

    median: float
    low: float
    high: float


def spread(values: Sequence[float]) -> Spread:
    """Median, least and greatest of at least one value."""
    return Spread(statistics.median(values), min(values), max(values))
