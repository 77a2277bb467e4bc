"""Processes that keep a journal, each killed at some moment: python -m tests.rig.journalist FOLDER ROUNDS SEED.

Each says on a pipe that a call is about to end, and then has it noted. After each kill every file is read: no call is there that was
not told, and those that are missing are the last ones, no older than an interval and the time that saving takes. The wall clock runs
20,000 times as fast as it should, so that hours and days turn all the while.
"""

import asyncio
import os
import random
import signal
import struct
import sys
import time
from pathlib import Path
from typing import Final, NamedTuple

from sidecar import config
from sidecar.core.reckon.hours import Hours
from sidecar.core.reckon.snapshots import DAY_S
from sidecar.edge.journal import is_day, list_files, read_file, read_snapshots
from sidecar.edge.telemetry.journal import Journal
from sidecar.edge.telemetry.logs import EventLog
from tests.edge.telemetry.records import make_record

INTERVAL_S: Final = 0.01
_ALIVE_S: Final = 0.06  # at most
_SAVING_S: Final = 1.0  # at most, on a machine that has much else to do
_FASTER: Final = 20_000
_TOLD: Final = struct.Struct("d")


class Clock:
    """A wall clock that runs too fast."""

    now = staticmethod(time.monotonic)

    def __init__(self, began: float) -> None:
        """`began`: when it was 2026-11-20, 12:00 UTC."""
        self._began = began

    def wall_ns(self) -> int:
        """Return its time."""
        return round((1_795_176_000.0 + (time.monotonic() - self._began) * _FASTER) * 1e9)


class Found(NamedTuple):
    """What a round came to."""

    told: int
    lost: int
    lost_s: float  # how long before the kill the first of them was told


async def keep(folder: Path, clock: Clock, pipe: int, calls: int | None = None) -> None:
    """Have calls end until somebody ends it, or so many have."""
    hours = Hours()
    journal = Journal(config.Journal(interval=INTERVAL_S, keep=365.0 * DAY_S), str(folder), hours, lambda: None, clock, EventLog())
    journal.start()
    while calls is None or calls > 0:
        os.write(pipe, _TOLD.pack(time.monotonic()))
        hours.observe(make_record(accepted_ns=clock.wall_ns(), accepted=1.0, ended=1.0))
        calls = None if calls is None else calls - 1
        await asyncio.sleep(0.0005)
    await journal.stop()


def run_round(folder: Path, before: int, clock: Clock, alive_s: float) -> Found:
    """Let a process keep the journal for so long, and kill it. Raises AssertionError for a journal that is not what it should be."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            asyncio.run(keep(folder, clock, writing))
        finally:
            os._exit(1)
    os.close(writing)
    said = os.read(reading, _TOLD.size)
    time.sleep(alive_s)
    killed = time.monotonic()
    os.kill(child, signal.SIGKILL)
    while piece := os.read(reading, 65536):
        said += piece
    os.close(reading)
    os.waitpid(child, 0)
    told = [moment for (moment,) in _TOLD.iter_unpack(said)]
    gained = count(folder) - before
    assert 0 <= gained <= len(told), f"{gained} of {len(told)} calls are there"
    return Found(len(told), len(told) - gained, killed - told[gained] if gained < len(told) else 0.0)


def count(folder: Path) -> int:
    """Return the calls of all files. Raises AssertionError where one is damaged, or a day is not its hours."""
    snapshots, problems = read_snapshots(folder, 0)
    assert problems == [], problems
    calls: dict[int, int] = {}
    for snapshot in snapshots:
        assert not is_day(snapshot), "a day without hours"
        day = snapshot.began // DAY_S
        calls[day] = calls.get(day, 0) + snapshot.total.requests
    for name, (began, ended) in list_files(folder):
        if ended - began == DAY_S:
            assert read_file(folder, name).total.requests == calls[began // DAY_S], name
    return sum(calls.values())


def main(folder: Path, rounds: int, seed: int) -> int:
    """Run all rounds; say what came of them."""
    chance = random.Random(seed)
    clock = Clock(time.monotonic())
    total, found = 0, []
    for number in range(rounds):
        one = run_round(folder, total, clock, chance.random() * _ALIVE_S)
        total += one.told - one.lost
        found.append(one)
        if one.lost_s > INTERVAL_S + _SAVING_S:
            print(f"round {number}: calls of {one.lost_s:.3f} s are lost")
            return 1
    asyncio.run(keep(folder, clock, os.open(os.devnull, os.O_WRONLY), calls=10))
    assert count(folder) == total + 10
    days = sum(ended - began == DAY_S for _, (began, ended) in list_files(folder))
    lost_s = sorted(one.lost_s for one in found)
    print(
        f"{rounds} kills, {sum(one.told for one in found)} calls, {sum(one.lost for one in found)} lost,"
        f" of the last {lost_s[rounds // 2] * 1000:.0f} ms (median), {lost_s[-1] * 1000:.0f} ms (most); {days} days"
    )
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
