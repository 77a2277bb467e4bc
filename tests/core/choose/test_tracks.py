"""What became of an upstream's last calls."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.choose.tracks import BUCKET_S, BUCKETS, Track


def note(track: Track, calls: int, took_s: float = 1.0, *, failed: bool = False, now: float = 0.0) -> None:
    """Note calls of one kind."""
    for _ in range(calls):
        track.note(took_s, failed, now)
    track.sum_up(now)


def test_what_was_not_measured_is_unknown() -> None:
    """Nothing is not zero."""
    track = Track(1000)
    assert (track.calls, track.mean_s, track.answer_s, track.reliability) == (0, None, None, None)


def test_times_and_failures_add_up() -> None:
    """The mean counts every call; the time to an answer counts what failed calls cost those that are answered."""
    track = Track(1000)
    note(track, 3, 1.0)
    note(track, 1, 10.0, failed=True)
    assert track.mean_s == pytest.approx(13 / 4)
    assert track.answer_s == pytest.approx(13 / 3)
    assert track.reliability == 0.75


def test_who_answers_nothing_takes_longer_with_every_call() -> None:
    """All the time spent, and no answer yet."""
    track = Track(1000)
    note(track, 7, 10.0, failed=True)
    assert track.answer_s == 70.0
    assert track.reliability == 0.0


def test_only_the_last_calls_count() -> None:
    """After as many good calls as the window takes, nothing is left of the bad ones."""
    track = Track(1000)
    note(track, 1000, 10.0, failed=True)
    note(track, 1000, 1.0)
    assert (track.failures, track.mean_s) == (0, 1.0)


def test_old_calls_are_forgotten_even_where_none_follow() -> None:
    """After ten minutes nothing is known any more, and that can be told without looking."""
    track = Track(1000)
    note(track, 5, now=100.0)
    end = 100.0 + BUCKETS * BUCKET_S
    assert track.stale_at == end
    track.sum_up(end - 0.001)
    assert track.calls == 5
    track.sum_up(end)
    assert track.calls == 0
    assert track.mean_s is None


def test_few_calls_are_forgotten_by_time() -> None:
    """One call a minute: those of the last ten minutes count."""
    track = Track(1000)
    for minute in range(60):
        track.note(1.0, False, minute * 60.0)
    track.sum_up(59 * 60.0)
    assert 9 <= track.calls <= 11


def test_what_changed_lately_is_seen_apart() -> None:
    """A fifth of the window at most: a thousand good calls do not hide fifty bad ones."""
    track = Track(1000)
    note(track, 1000)
    note(track, 150, failed=True)
    calls, failures = track.count_recent(0.0)
    assert calls <= 200
    assert failures == 150


@given(st.lists(st.tuples(st.floats(0, 1e4), st.booleans(), st.floats(0, 120)), max_size=200), st.integers(1, 50))
def test_sums_are_those_of_the_calls_that_are_remembered(calls: list[tuple[float, bool, float]], window: int) -> None:
    """However calls come: the window is never exceeded by more than it is divided by, and sums are right."""
    track = Track(window)
    now = 0.0
    for took_s, failed, later_s in calls:
        now += later_s
        track.note(took_s, failed, now)
    track.sum_up(now)
    assert track.calls <= max(BUCKETS, window)
    remembered = calls[len(calls) - track.calls :]
    assert track.failures == sum(failed for _, failed, _ in remembered)
    assert track.total_s == pytest.approx(sum(took_s for took_s, _, _ in remembered))


def test_a_smaller_window_forgets_the_oldest() -> None:
    """By whole buckets; the latest stays. A larger one forgets nothing."""
    track = Track(100)
    for number in range(100):
        track.note(1.0, number < 50, float(number) / 10)
    track.adopt(50)
    track.sum_up(10.0)
    assert (track.calls, track.failures) == (50, 0)
    track.adopt(1000)
    track.sum_up(10.0)
    assert track.calls == 50
    for number in range(200):
        track.note(1.0, False, 10.0 + number / 100)
    track.sum_up(12.0)
    assert track.calls == 250
