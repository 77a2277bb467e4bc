"""Processes that spend, each killed at some moment: python -m tests.rig.spender FOLDER ROUNDS SEED.

Each says on a pipe what it is about to do, and then that it is done. What the ledger tells after each kill is compared with that:
all that was done is there once, and of the one thing that was under way at the time all or nothing.
"""

import asyncio
import os
import random
import select
import signal
import sys
import time
from pathlib import Path
from typing import Final

from sidecar.config import Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.ledger_lines import read_ledger, tell_reserved, tell_settled
from sidecar.core.admit.spending_sums import ALL, Reservation
from sidecar.edge.ledger import start_ledger
from sidecar.edge.ledger_reading import open_ledger

WALL_S: Final = 1_795_176_000.0  # 2026-11-20, 12:00 UTC
DAY: Final = "2026-11-20"
_ALIVE_S: Final = 0.03  # at most


class Silent:
    """Somebody who is told of a ledger, and must not hear of trouble."""

    def note_ledger_failure(self, reason: str) -> None:
        os.write(2, f"failure: {reason}\n".encode())

    def note_ledger_unwritable(self, problem: str) -> None:
        os.write(2, f"unwritable: {problem}\n".encode())

    def note_ledger_writable(self) -> None:
        """Fine."""

    def note_ledger_damaged(self, lines: int, kept_as: str) -> None:
        os.write(2, f"damaged: {lines} {kept_as}\n".encode())

    def note_ledger_replayed(self, lines: int, reservations: int) -> None:
        """Fine."""


async def spend(file: Path, seed: int, pipe: int) -> None:
    """Reserve and settle until somebody ends it. The file is written anew all the time."""
    chance = random.Random(seed)
    accounts = Accounts(Budgets())
    ledger = start_ledger(open_ledger(str(file)), 0.0005, accounts, WALL_S, Silent(), growth_bytes=1500)
    opened: list[Reservation] = []
    os.write(pipe, b"start 0 0\n")
    while True:
        if opened and chance.random() < 0.5:
            reservation = opened.pop(chance.randrange(len(opened)))
            usd = chance.randrange(64) / 64  # exact in nano-dollars
            os.write(pipe, b"settle %d %d\n" % (reservation.number, round(usd * 1e9)))
            nano = accounts.settle(reservation, usd)
            ledger.append(tell_settled(reservation, nano or 0))
        else:
            usd = chance.randrange(64) / 64  # exact in nano-dollars
            os.write(pipe, b"reserve %d %d\n" % (-1, round(usd * 1e9)))
            got = accounts.reserve(chance.choice("abc"), usd, WALL_S)
            if isinstance(got, Reservation):
                ledger.append(tell_reserved(got))
                opened.append(got)
        os.write(pipe, b"done %d 0\n" % (opened[-1].number if opened else 0))
        await asyncio.sleep(0 if chance.random() < 0.9 else 0.001)


def follow(before: int, told: bytes) -> tuple[int, int | None]:
    """Return what should be spent or reserved after these words, and what else it may be if the last thing was done."""
    total, last = before, 0
    opened: dict[int, int] = {}
    under_way: tuple[str, int, int] | None = None
    for line in told.split(b"\n")[:-1]:
        word, number, nano = line.split()
        if word == b"done" and under_way is not None:
            what, which, change = under_way
            if what == "reserve":
                last = int(number)
                opened[last] = change
                total += change
            else:
                total += change - opened.pop(which)
            under_way = None
        elif word in (b"reserve", b"settle"):
            under_way = (word.decode(), int(number), int(nano))
    if under_way is None:
        return total, None
    what, which, change = under_way
    return total, total + change - (0 if what == "reserve" else opened[which])


def run_round(file: Path, before: int, seed: int, alive_s: float) -> tuple[int, bytes, int]:
    """Let a process spend for so long, and kill it; return what the file tells, what it said, and how many lines were damaged."""
    reading, writing = os.pipe()
    child = os.fork()
    if child == 0:
        try:
            os.close(reading)
            asyncio.run(spend(file, seed, writing))
        finally:
            os._exit(1)
    os.close(writing)
    said = b""
    deadline = time.monotonic() + 10
    while b"\n" not in said:
        assert time.monotonic() < deadline
        said += os.read(reading, 65536)
    ends_at = time.monotonic() + alive_s
    while (left_s := ends_at - time.monotonic()) > 0:
        if select.select([reading], [], [], left_s)[0]:
            said += os.read(reading, 65536)
    os.kill(child, signal.SIGKILL)
    while piece := os.read(reading, 65536):
        said += piece
    os.close(reading)
    os.waitpid(child, 0)
    told = read_ledger(file.read_bytes().splitlines(keepends=True))
    total = told.state.spent.get((ALL, DAY), 0) + sum(each.nano for each in told.state.open)
    by_account = sum(told.state.spent.get((name, DAY), 0) for name in "abc") + sum(each.nano for each in told.state.open)
    assert total == by_account, "everybody together is not the sum of all"
    return total, said, told.damaged


def main(folder: Path, rounds: int, seed: int) -> int:
    """Run all rounds; say what came of them."""
    file = folder / "ledger"
    chance = random.Random(seed)
    before = done = 0
    for number in range(rounds):
        total, said, damaged = run_round(file, before, chance.randrange(10**9), chance.random() * _ALIVE_S)
        expected = follow(before, said)
        if total not in expected or damaged:
            print(f"round {number}: {total} nano-dollars in the ledger, {expected} said, {damaged} lines damaged")
            return 1
        done += said.count(b"done")
        before = total
    print(f"{rounds} rounds, {done} events, {before} nano-dollars")
    return 0


if __name__ == "__main__":
    sys.exit(main(Path(sys.argv[1]), int(sys.argv[2]), int(sys.argv[3])))
