"""Passwords compared with bcrypt hashes."""

import asyncio
import threading
from collections.abc import Iterator
from typing import Final

import bcrypt
import pytest

from sidecar.edge.inbound import passwords
from sidecar.edge.inbound.passwords import Passwords

COST: Final = 4
HASH: Final = bcrypt.hashpw(b"right", bcrypt.gensalt(COST)).decode()
DEAR: Final = bcrypt.hashpw(b"dear", bcrypt.gensalt(COST + 1)).decode()


class Comparisons:
    """Stands for bcrypt: what was compared, and for as long as it is held, nothing comes of it."""

    def __init__(self) -> None:
        self.made: list[tuple[bytes, bytes]] = []
        self.go_on = threading.Event()
        self.go_on.set()
        self.threads: set[str] = set()
        self._compare = bcrypt.checkpw

    def check(self, password: bytes, stored: bytes) -> bool:
        """Compare, as bcrypt does."""
        self.made.append((password, stored))
        self.threads.add(threading.current_thread().name)
        assert self.go_on.wait(5)
        return self._compare(password, stored)


@pytest.fixture
def comparisons(monkeypatch: pytest.MonkeyPatch) -> Iterator[Comparisons]:
    """Stand in for bcrypt."""
    counted = Comparisons()
    monkeypatch.setattr(bcrypt, "checkpw", counted.check)
    yield counted
    counted.go_on.set()


async def test_the_right_password_is_compared_once(comparisons: Comparisons) -> None:
    """A wrong one each time, and beside a right one as before; in a thread of its own."""
    held = Passwords({"alice": HASH})
    assert [await held.check("alice", b"right", "1") for _ in range(3)] == [True] * 3
    assert len(comparisons.made) == 1
    assert [await held.check("alice", given, "1") for given in (b"wrong", b"wrong", b"", b"right")] == [False, False, False, True]
    assert len(comparisons.made) == 4
    assert all(name.startswith("passwords") for name in comparisons.threads)
    held.close()


async def test_no_password_is_kept() -> None:
    """What was right is remembered by a digest, under a key that is another one in each process."""
    first, second = Passwords({"alice": HASH}), Passwords({"alice": HASH})
    assert await first.check("alice", b"right", "1") and await second.check("alice", b"right", "1")
    assert b"right" not in repr(vars(first)).encode()
    assert first._proven["alice"] != second._proven["alice"]
    first.close()
    second.close()


async def test_a_user_who_is_not_there_costs_as_much(comparisons: Comparisons) -> None:
    """And the same each time, whatever the password: somebody's hash is compared with, and counts for nothing."""
    held = Passwords({"alice": HASH, "bob": DEAR})
    for user in ("mallory", "eve", "Alice", ""):
        comparisons.made.clear()
        assert [await held.check(user, given, "1") for given in (b"right", b"dear", b"x")] == [False] * 3
        assert len(comparisons.made) == 3 and len({stored for _, stored in comparisons.made}) == 1
    against = set()
    for number in range(40):
        comparisons.made.clear()
        await held.check(f"nobody-{number}", b"x", "1")
        against |= {stored for _, stored in comparisons.made}
    assert against == {HASH.encode(), DEAR.encode()}
    held.close()


async def test_the_loop_goes_on_while_they_are_compared(comparisons: Comparisons) -> None:
    """And who gave a right one before does not wait for those of others."""
    held = Passwords({"alice": HASH})
    assert await held.check("alice", b"right", "1")
    comparisons.go_on.clear()
    slow = asyncio.create_task(held.check("alice", b"wrong", "2"))
    await asyncio.sleep(0)
    assert await asyncio.wait_for(held.check("alice", b"right", "1"), 1) and not slow.done()
    comparisons.go_on.set()
    assert await slow is False
    held.close()


async def test_a_flood_is_turned_away(comparisons: Comparisons) -> None:
    """One address has a few comparisons waiting, all together a few more; the same question asked again is the same comparison."""
    held = Passwords({"alice": HASH})
    comparisons.go_on.clear()
    of_one = [asyncio.create_task(held.check("alice", b"%d" % number, "1")) for number in range(passwords._WAITING_OF_ONE_MAX)]
    await asyncio.sleep(0)
    assert await held.check("alice", b"another", "1") is None
    again = asyncio.create_task(held.check("alice", b"0", "1"))
    of_others = [asyncio.create_task(held.check("alice", b"right", str(number + 2))) for number in range(3)]  # one question
    more = [asyncio.create_task(held.check("alice", b"x%d" % number, str(number + 9))) for number in range(passwords._WAITING_MAX - 5)]
    await asyncio.sleep(0)
    assert await held.check("alice", b"one too many", "99") is None
    comparisons.go_on.set()
    assert await asyncio.gather(*of_one, again, *more) == [False] * (len(of_one) + 1 + len(more))
    assert await asyncio.gather(*of_others) == [True] * 3
    assert len(comparisons.made) == passwords._WAITING_MAX
    assert (held._asked, held._waiting) == ({}, {})
    held.close()


async def test_who_goes_away_takes_nobody_along(comparisons: Comparisons) -> None:
    """A request that ends while its password is compared, beside another with the same."""
    held = Passwords({"alice": HASH})
    comparisons.go_on.clear()
    gone, there = (asyncio.create_task(held.check("alice", b"right", "1")) for _ in range(2))
    await asyncio.sleep(0)
    gone.cancel()
    comparisons.go_on.set()
    assert await there is True
    held.close()


async def test_those_under_way_end_when_users_change(comparisons: Comparisons) -> None:
    """What was taken before is compared."""
    held = Passwords({"alice": HASH})
    comparisons.go_on.clear()
    asked = [asyncio.create_task(held.check("alice", given, "1")) for given in (b"right", b"wrong")]
    await asyncio.sleep(0)
    held.retire()
    comparisons.go_on.set()
    assert await asyncio.gather(*asked) == [True, False]


@pytest.mark.parametrize("password", [b"", b"\0", b"\xff\xfe", b"x" * 72, b"x" * 100, b"a\0b", "ü".encode()])
async def test_any_password_can_be_given(password: bytes) -> None:
    """Of those that are too long the part counts that bcrypt looks at, as with others."""
    stored = bcrypt.hashpw(password[:72], bcrypt.gensalt(COST)).decode()
    held = Passwords({"alice": stored.replace("$2b$", "$2y$")})
    assert await held.check("alice", password, "1") is True
    assert await held.check("alice", b"other", "1") is False
    held.close()
