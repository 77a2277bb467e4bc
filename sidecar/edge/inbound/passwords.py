"""Passwords compared with bcrypt hashes: in a thread that gives way to everything else, a few at a time, and each only once.

Comparing takes 60 ms of CPU at the usual cost. So what was right once is remembered, by a digest under a key of this process;
what is not right costs its sender more time than us, since only so many are compared and the rest are told to come again.
"""

import asyncio
import contextlib
import hmac
import os
import threading
from collections import Counter
from collections.abc import Mapping
from concurrent.futures import ThreadPoolExecutor
from hashlib import blake2b
from typing import Final

import bcrypt

from sidecar.edge.tasks import spawn

_WAITING_MAX: Final = 16  # comparisons, the one under way included
_WAITING_OF_ONE_MAX: Final = 4  # of one address, so that no single one keeps the others out
_KEY_BYTES: Final = 32
_PASSWORD_BYTES: Final = 72  # bcrypt looks at no more; neither do others that read this format
_NICENESS: Final = 19


class Passwords:
    """Compares passwords of `users`: name → bcrypt hash; at least one."""

    def __init__(self, users: Mapping[str, str]) -> None:
        self._hashes = {user: stored.encode("ascii") for user, stored in users.items()}
        self._key = os.urandom(_KEY_BYTES)
        self._proven: dict[str, bytes] = {}  # of each user the one that was right
        self._asked: dict[bytes, asyncio.Task[bool]] = {}
        self._waiting: Counter[str] = Counter()  # by address
        self._thread = ThreadPoolExecutor(1, thread_name_prefix="passwords", initializer=_give_way)

    async def check(self, user: str, password: bytes, address: str) -> bool | None:
        """Return whether a password is the user's; None where too many are being compared. Takes as long for a user who is not there."""
        digest = self._digest(user, password)
        proven = self._proven.get(user)
        if proven is not None and hmac.compare_digest(proven, digest):
            return True
        asked = self._asked.get(digest)
        if asked is None:
            if len(self._asked) >= _WAITING_MAX or self._waiting[address] >= _WAITING_OF_ONE_MAX:
                return None
            stored = self._hashes.get(user)
            against = stored or self._choose_other(user)
            compared = asyncio.get_running_loop().run_in_executor(self._thread, bcrypt.checkpw, password[:_PASSWORD_BYTES], against)
            self._waiting[address] += 1
            asked = spawn(self._note(compared, user, address, digest, is_there=stored is not None), name="password")
            self._asked[digest] = asked
        return await asyncio.shield(asked)

    def retire(self) -> None:
        """Take no more passwords; those that were taken are compared."""
        self._thread.shutdown(wait=False)

    def close(self) -> None:
        """Compare nothing any more."""
        self._thread.shutdown(wait=False, cancel_futures=True)

    async def _note(self, compared: asyncio.Future[bool], user: str, address: str, digest: bytes, *, is_there: bool) -> bool:
        try:
            is_right = await compared and is_there
        finally:
            del self._asked[digest]
            self._waiting[address] -= 1
            if not self._waiting[address]:
                del self._waiting[address]
        if is_right:
            self._proven[user] = digest
        return is_right

    def _choose_other(self, user: str) -> bytes:
        """Return somebody's hash, always the same: a name that nobody has takes as long as one of those that are there."""
        hashes = tuple(self._hashes.values())
        return hashes[int.from_bytes(self._digest(user, b"")[:8], "big") % len(hashes)]

    def _digest(self, user: str, password: bytes) -> bytes:
        return blake2b(user.encode() + b"\0" + password, key=self._key).digest()


def _give_way() -> None:
    """Let every other thread of the process go first (Linux: niceness is a thread's)."""
    with contextlib.suppress(OSError):
        os.setpriority(os.PRIO_PROCESS, threading.get_native_id(), _NICENESS)
