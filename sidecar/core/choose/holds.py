"""Who has asked to be left alone for a while: a 429 or 503 that says when to come back is no failure.

A hold never refuses a call: an upstream that is held is only not chosen while there is another.
"""

from hashlib import blake2b
from typing import Final

HOLDS_MAX: Final = 1_024

# Upstream (its mark), model, and on whose account: limits are counted per model and key.
HoldKey = tuple[str, str | None, str]


class Holds:
    """Until when each upstream, model and credential is held. Bounded: the oldest go."""

    __slots__ = ("_ends",)

    def __init__(self) -> None:
        self._ends: dict[HoldKey, float] = {}

    def note(self, key: HoldKey, until: float, now: float) -> None:
        """Hold `key` until a time. A hold in force is never shortened: answers overtake each other."""
        if until <= now:
            return
        until = max(until, self._ends.pop(key, until))
        if len(self._ends) >= HOLDS_MAX:
            del self._ends[next(iter(self._ends))]
        self._ends[key] = until

    def forget(self, mark: str, credential: str) -> None:
        """Hold an upstream no longer on an account that is not asked on any more."""
        self._ends = {key: end for key, end in self._ends.items() if (key[0], key[2]) != (mark, credential)}

    def until(self, key: HoldKey, now: float) -> float | None:
        """Return when the hold ends; None where there is none."""
        if not self._ends:
            return None
        end = self._ends.get(key)
        return end if end is not None and end > now else None


def mark_credential(credential: bytes, salt: bytes) -> str:
    """Return what stands for a credential in a key: the same for the same one, and of no use to anybody else.

    `salt`: of this process, at most 64 bytes.
    """
    return blake2b(credential, digest_size=8, key=salt).hexdigest()
