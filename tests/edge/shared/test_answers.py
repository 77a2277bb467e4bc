"""Kept answers in a shared place."""

import asyncio
import os
from collections.abc import Awaitable, Callable
from typing import Any

import msgspec
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.core.reuse.entry import Entry
from sidecar.edge.shared.answers import SharedAnswers
from tests.core.reuse.entries import entries, make_entry
from tests.edge.shared.doubles import Notes

KEY = "0123456789abcdef" * 2 + "01234567"
NOW_S = 1.8e9  # of ordinary entries: when they were stored


class Values:
    """A shared place in memory, that is never away."""

    prefix = "side"

    def __init__(self) -> None:
        self.values: dict[str, bytes] = {}
        self.lives_s: list[float] = []

    async def get(self, key: str, bytes_max: int) -> bytes | None:
        """Read."""
        value = self.values.get(key)
        return None if value is None else value[:bytes_max]

    def put(self, key: str, data: bytes, ttl_s: float) -> None:
        """Write."""
        self.values[key] = data
        self.lives_s.append(ttl_s)


class Clock:
    """A clock that stands still."""

    def __init__(self, wall_s: float = NOW_S) -> None:
        self.wall_s = wall_s

    def now(self) -> float:
        """Return seconds."""
        return 0.0

    def wall_ns(self) -> int:
        """Return nanoseconds since the epoch."""
        return int(self.wall_s * 1e9)


def make(values: Values, *, key: bytes | None = None, wall_s: float = NOW_S, entry_max: int = 4 << 20) -> tuple[SharedAnswers, Notes]:
    """Return answers in `values`."""
    notes = Notes()
    return SharedAnswers(values, Clock(wall_s), encryption_key=key, entry_max=entry_max, note=notes), notes


async def until(is_so: Callable[[], Any]) -> None:
    """Wait until something is so: a thread is at work."""
    async with asyncio.timeout(10):
        while not is_so():
            await asyncio.sleep(0.005)


def run(work: Awaitable[Any]) -> Any:
    """Run to the end."""

    async def main() -> Any:
        return await work

    return asyncio.run(main())


@settings(max_examples=40)
@given(entries(), st.none() | st.just(bytes(32)))
def test_what_was_kept_comes_back(entry: Entry, key: bytes | None) -> None:
    """Any answer comes back as it was, encrypted or not, under a name of prefix, form and key."""
    values = Values()
    answers, notes = make(values, key=key, wall_s=entry.stored_at)
    answers.put(KEY, entry)
    assert list(values.values) == [f"side:answers:2:{KEY}"]
    found = run(answers.get(KEY))
    assert found is not None and found[0] == entry and found[1] == pytest.approx(0.0, abs=1e-6)
    assert run(answers.get("other")) is None and not notes.damaged


async def test_age_and_life() -> None:
    """The age is by the clock, never below nothing; what is older than it may be is not there; a life ends with its use."""
    values = Values()
    entry = make_entry(ttl_s=300.0, stale_s=100.0)
    make(values, wall_s=NOW_S + 50)[0].put(KEY, entry)
    assert values.lives_s == [350.0]
    for wall_s, age_s in ((50.0, 50.0), (-500.0, 0.0), (399.0, 399.0)):
        found = await make(values, wall_s=NOW_S + wall_s)[0].get(KEY)
        assert found is not None and found[1] == pytest.approx(age_s)
    answers, notes = make(values, wall_s=NOW_S + 401)
    assert await answers.get(KEY) is None and not notes.damaged


@given(st.binary(max_size=300))
def test_foreign_bytes_are_a_miss(data: bytes) -> None:
    """Whatever stands there: a miss, and counted."""
    for key in (None, bytes(32)):
        values = Values()
        answers, notes = make(values, key=key)
        values.values[f"side:answers:2:{KEY}"] = data
        assert run(answers.get(KEY)) is None and notes.damaged == 1


async def test_encryption_is_not_optional() -> None:
    """With a key nothing plain is taken, without one nothing encrypted, and nothing that was moved to another name."""
    values = Values()
    make(values)[0].put("plain", make_entry())
    make(values, key=bytes(32))[0].put("sealed", make_entry())
    values.values["side:answers:2:moved"] = values.values["side:answers:2:sealed"]
    for name, key in (("plain", bytes(32)), ("sealed", None), ("moved", bytes(32)), ("sealed", bytes(31) + b"1")):
        answers, notes = make(values, key=key)
        assert await answers.get(name) is None and notes.damaged == 1
    assert await make(values, key=bytes(32))[0].get("sealed") is not None


async def test_large_answers_go_through_threads() -> None:
    """Large ones come back too, a bounded number at once; what is longer than may be is not kept, and not taken."""
    values = Values()
    body = os.urandom(300_000)
    answers, notes = make(values, key=bytes(32))
    for index in range(20):
        answers.put(str(index), make_entry(body))
    assert values.values == {} and notes.dropped == 12
    await until(lambda: len(values.values) == 8)
    found = await answers.get("0")
    assert found is not None and found[0].pieces == (body,)
    answers.put("after", make_entry(body))
    await until(lambda: len(values.values) == 9)
    narrow, told = make(values, key=bytes(32), entry_max=100_000)
    narrow.put("narrow", make_entry(body))
    await asyncio.sleep(0.05)
    assert "side:answers:2:narrow" not in values.values and not told.dropped
    assert await narrow.get("0") is None and told.damaged == 1


async def test_a_stream_in_small_pieces_fits() -> None:
    """The longest answer that is kept comes back even if it came in the smallest pieces."""
    values = Values()
    answers, notes = make(values, entry_max=200_000)
    pieces = tuple(os.urandom(20) for _ in range(10_000))
    entry = msgspec.structs.replace(make_entry(), pieces=pieces, delays_ms=tuple(range(10_000)))
    answers.put(KEY, entry)
    await until(lambda: values.values)
    found = await answers.get(KEY)
    assert found is not None and found[0] == entry and not notes.damaged


async def test_longer_ones_are_kept_once_they_may_be() -> None:
    """And shorter ones only, once they may not: what is there already and too long is taken for damaged."""
    values = Values()
    answers, notes = make(values, entry_max=100)
    long = make_entry(os.urandom(100_000))
    answers.put(KEY, long)
    assert values.values == {}
    answers.adopt(1 << 20)
    answers.put(KEY, long)
    await until(lambda: values.values)
    assert await answers.get(KEY) == (long, 0.0)
    answers.adopt(100)
    assert await answers.get(KEY) is None and notes.damaged
