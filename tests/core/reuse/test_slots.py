"""One kept answer: what it takes, and its moments."""

import random

from sidecar.core.reuse.slots import NEVER, PACKED_BYTES_MAX, Slot
from tests.core.reuse.entries import make_entry


def make_slot(body: bytes = b"{}", *, ttl_s: float = 100.0, life_s: float = 100.0) -> Slot:
    """Return what was kept at 1000 and may stand in for an error for 50 s after it has expired."""
    entry = make_entry(body, ttl_s=ttl_s)
    return Slot(entry, None, entry.size_bytes, 1000.0, ttl_s, life_s, 1000.0 + ttl_s, 1050.0 + ttl_s, 1000.0, NEVER)


def test_what_is_compressed_is_smaller_and_alone() -> None:
    """The entry itself goes only where there is something in its place."""
    slot = make_slot(b'{"a": 1}' * 1000)
    before = slot.size_bytes
    slot.let_go()
    assert slot.entry is not None
    slot.pack()
    assert slot.size_bytes > before
    slot.let_go()
    assert slot.entry is None and slot.size_bytes < before / 5 and not slot.is_packable


def test_what_hardly_gets_smaller_stays_as_it_is() -> None:
    """And is not tried again; what is too large is not tried at all."""
    slot = make_slot(random.Random(1).randbytes(5000))
    assert slot.is_packable
    slot.pack()
    slot.let_go()
    assert slot.packed == b"" and slot.entry is not None and not slot.is_packable
    assert not make_slot(b"a" * PACKED_BYTES_MAX).is_packable


def test_a_life_by_the_settings_is_that_of_the_settings() -> None:
    """One that was asked for is bounded by ten times of it; the time in which it may stand in for an error comes after either."""
    slot = make_slot()
    slot.revise(30.0, None)
    assert (slot.expires_at, slot.gone_at, slot.refresh_at, slot.life_s) == (1030.0, 1080.0, NEVER, 30.0)
    slot.revise(200.0, 0.25)
    assert (slot.expires_at, slot.gone_at, slot.refresh_at) == (1200.0, 1250.0, 1150.0)
    wished = make_slot(ttl_s=70.0)
    wished.revise(50.0, None)
    assert wished.expires_at == 1070.0
    wished.revise(5.0, None)
    assert (wished.expires_at, wished.gone_at) == (1050.0, 1100.0)


def test_who_fetches_it_anew_has_the_time_that_was_given() -> None:
    """Unless nothing is fetched anew any more."""
    slot = make_slot()
    slot.is_claimed, slot.refresh_at = True, 1160.0
    slot.date(10.0, 0.5)
    assert (slot.gone_at, slot.refresh_at) == (1110.0, 1160.0)
    slot.date(10.0, None)
    assert slot.refresh_at == NEVER
