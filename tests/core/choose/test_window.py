"""The sliding window, against a list of everything."""

from fractions import Fraction

import pytest
from hypothesis import example, given
from hypothesis import strategies as st

from sidecar.core.choose.window import BUCKETS, Window

STEPS = st.lists(st.tuples(st.floats(0.0, 0.3) | st.floats(0.0, 3.0), st.sampled_from(["success", "failure", "slow"])), max_size=60)


def count(noted: list[tuple[float, str]], now: float, span_s: float) -> tuple[int, int, int]:
    """Return what is left of all calls: those of this bucket and the nine before it, in exact numbers."""
    width = Fraction(span_s / BUCKETS)
    left = [what for at, what in noted if Fraction(now) // width - Fraction(at) // width < BUCKETS]
    return len(left), left.count("failure"), left.count("slow")


@given(STEPS, st.floats(0.0, 1e7), st.sampled_from([0.7, 1.0, 10.0, 60.0, 61.7]))
@example([(0.1, "failure"), (0.04, "success")] * 25, 1e6, 1.0)
def test_it_counts_what_is_left(steps: list[tuple[float, str]], began: float, span_s: float) -> None:
    """At each step, and looking ahead, exactly the calls of the last ten buckets are counted."""
    window, noted, now = Window(span_s), list[tuple[float, str]](), began
    for passed, what in steps:
        now += passed * span_s
        {"success": window.note_success, "failure": window.note_failure, "slow": window.note_slow}[what](now)
        noted.append((now, what))
        for spans in (0.0, 0.1, 0.55, 1.0, 10.0):
            ahead = now + spans * span_s
            assert window.read(ahead) == count(noted, ahead, span_s)


def test_it_does_not_drift() -> None:
    """After a million seconds of calls that are a little further apart than a bucket is wide, edges are where they were."""
    window, now = Window(10.0), 0.0
    for step in range(1_000_000 // 13):
        now = step * 13.0007
        window.note_success(now)
    assert window.read(now) == (1, 0, 0)
    edge = (now // 1.0 + BUCKETS) * 1.0
    assert window.read(edge - 0.001) == (1, 0, 0)
    assert window.read(edge) == (0, 0, 0)


@pytest.mark.parametrize("offset", [0.0, 0.3, 0.999])
def test_nothing_older_than_the_span_is_counted(offset: float) -> None:
    """A call is counted for nine tenths of the span at least, and for no longer than the span."""
    window = Window(10.0)
    window.note_failure(100.0 + offset)
    assert window.read(109.0 + offset) == (1, 1, 0)
    assert window.read(110.0 + offset) == (0, 0, 0)


def test_it_forgets_when_told_to() -> None:
    """Nothing is left, and it counts on."""
    window = Window(10.0)
    window.note_slow(5.0)
    window.clear()
    assert window.read(5.0) == (0, 0, 0)
    window.note_slow(5.0)
    assert window.read(5.0) == (1, 0, 1)


def test_it_does_not_grow() -> None:
    """What it holds is as much after many calls as after one."""
    window = Window(1.0)
    sizes = []
    for step in range(10_000):
        window.note_failure(step * 0.37)
        sizes.append(sum(len(getattr(window, name)) for name in ("_calls", "_failures", "_slow")))
    assert set(sizes) == {3 * BUCKETS}


@given(STEPS, STEPS, st.floats(0.0, 1e7), st.sampled_from([0.7, 10.0, 60.0]), st.sampled_from([0.7, 10.0, 61.7]))
def test_another_span_forgets_nothing_too_late(
    before: list[tuple[float, str]], after: list[tuple[float, str]], began: float, first_s: float, then_s: float
) -> None:
    """What was counted under another span is counted while it is surely within the new one, and never once it is surely out of it."""
    window, noted, now = Window(first_s), list[tuple[float, str]](), began
    for number, (steps, span_s) in enumerate(((before, first_s), (after, then_s))):
        if number:
            window.adopt(then_s, now)
        for passed, what in steps:
            now += passed * span_s
            {"success": window.note_success, "failure": window.note_failure, "slow": window.note_slow}[what](now)
            noted.append((now, what))
    rounding = (first_s + then_s) / BUCKETS + 1e-6
    for ahead in (now, now + then_s * 0.3, now + then_s * 0.95):
        calls, failures, slow = window.read(ahead)
        surely = sum(ahead - at <= min(then_s, first_s) * 0.9 - rounding for at, _ in noted)
        perhaps = sum(ahead - at <= then_s + 1e-6 for at, _ in noted)
        assert surely <= calls <= perhaps
        assert failures + slow <= calls


def test_the_same_span_changes_nothing() -> None:
    """To the bucket."""
    window = Window(10.0)
    window.note_failure(100.5)
    window.adopt(10.0, 107.0)
    assert [window.read(at) for at in (107.0, 109.9, 110.0)] == [(1, 1, 0), (1, 1, 0), (0, 0, 0)]
