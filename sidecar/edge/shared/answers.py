"""Kept answers in the shared place: compressed, checksummed, encrypted where there is a key."""

import asyncio
from typing import Final, Protocol

from sidecar.core.reuse.entry import Entry
from sidecar.core.reuse.packing import DECODED_BYTES_MAX, Damaged, pack, unpack
from sidecar.edge.shared.cipher import OVERHEAD_BYTES, Cipher
from sidecar.edge.tasks import spawn
from sidecar.ports import Clock

FORM: Final = 2  # of the names and of what is under them: another one finds nothing of this one
_LARGE_BYTES: Final = 64 * 1024  # more than this is packed and unpacked in a thread: a millisecond of the event loop
_PACKING_MAX: Final = 8  # large ones at once
_HEADS_BYTES: Final = 64 * 1024  # an entry without its body


class Values(Protocol):
    """Where the bytes are (edge.shared.shared.Shared)."""

    prefix: str

    async def get(self, key: str, bytes_max: int) -> bytes | None:
        """Return what is under a key; None if nothing is, or nothing came in time."""
        ...

    def put(self, key: str, data: bytes, ttl_s: float) -> None:
        """Write a value in the background."""
        ...


class AnswerNotes(Protocol):
    """Who is told of what goes wrong (edge.shared.shared.SharedNotes)."""

    def note_damaged(self) -> None:
        """What was found was not written by us, or is not what was written."""
        ...

    def note_put_dropped(self) -> None:
        """A write was given up."""
        ...


class SharedAnswers:
    """Answers that all sidecars with the same place, prefix and key give. Raises ConfigError for a key that cannot be used.

    `entry_max`: bytes of the longest body that is kept.
    """

    def __init__(self, shared: Values, clock: Clock, *, encryption_key: bytes | None, entry_max: int, note: AnswerNotes) -> None:
        self._shared = shared
        self._clock = clock
        self._cipher = None if encryption_key is None else Cipher(encryption_key)
        self._note = note
        self._packing = 0
        self.adopt(entry_max)

    def adopt(self, entry_max: int) -> None:
        """Keep and take answers up to this length from now on."""
        self._entry_max = entry_max
        # Twice the body: a stream in small pieces has as much again around them.
        self._packed_max = min(2 * entry_max + _HEADS_BYTES, DECODED_BYTES_MAX)

    async def get(self, key: str) -> tuple[Entry, float] | None:
        """Return what is kept under a key, and its age in seconds. What is damaged, foreign or too old is not there."""
        name = self._name(key)
        # One more than may be: what is longer comes cut off, and is damaged by that.
        data = await self._shared.get(name, self._packed_max + OVERHEAD_BYTES + 1)
        if data is None:
            return None
        try:
            entry = self._open(name, data) if len(data) <= _LARGE_BYTES else await asyncio.to_thread(self._open, name, data)
        except Damaged:
            self._note.note_damaged()
            return None
        # Clocks differ from machine to machine: nothing is younger than new.
        age_s = max(0.0, self._clock.wall_ns() / 1e9 - entry.stored_at)
        return (entry, age_s) if age_s <= entry.ttl_s + entry.stale_s else None

    def put(self, key: str, entry: Entry) -> None:
        """Keep an answer, as soon as may be, for as long as it may be of use; one that is too long is not kept."""
        if entry.body_bytes > self._entry_max:
            return
        if entry.body_bytes <= _LARGE_BYTES:
            self._put(key, entry, self._seal(self._name(key), entry))
        elif self._packing < _PACKING_MAX:
            self._packing += 1
            spawn(self._put_large(key, entry), name="shared packing")
        else:
            self._note.note_put_dropped()

    def _name(self, key: str) -> str:
        return f"{self._shared.prefix}:answers:{FORM}:{key}"

    def _put(self, key: str, entry: Entry, data: bytes) -> None:
        age_s = max(0.0, self._clock.wall_ns() / 1e9 - entry.stored_at)
        self._shared.put(self._name(key), data, entry.ttl_s + entry.stale_s - age_s)

    async def _put_large(self, key: str, entry: Entry) -> None:
        try:
            data = await asyncio.to_thread(self._seal, self._name(key), entry)
        finally:
            self._packing -= 1
        self._put(key, entry, data)

    def _seal(self, name: str, entry: Entry) -> bytes:
        data = pack(entry)
        return data if self._cipher is None else self._cipher.encrypt(name, data)

    def _open(self, name: str, data: bytes) -> Entry:
        plain = data if self._cipher is None else self._cipher.decrypt(name, data)
        return unpack(plain, bytes_max=self._packed_max)
