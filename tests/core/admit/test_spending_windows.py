"""Days and months of UTC."""

from datetime import UTC, datetime, timedelta

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit.spending_windows import DAY_S, is_day, is_period, name_month, open_calendar


def unix(text: str) -> float:
    """Return a moment as Unix seconds."""
    return datetime.fromisoformat(text).replace(tzinfo=UTC).timestamp()


@pytest.mark.parametrize(
    ("moment", "day", "day_ends", "month_ends"),
    [
        ("2026-11-20T12:00:00", "2026-11-20", "2026-11-21", "2026-12-01"),
        ("2026-11-20T00:00:00", "2026-11-20", "2026-11-21", "2026-12-01"),
        ("2026-11-20T23:59:59.999999", "2026-11-20", "2026-11-21", "2026-12-01"),
        ("2028-02-28T23:00:00", "2028-02-28", "2028-02-29", "2028-03-01"),  # a leap year
        ("2028-02-29T01:00:00", "2028-02-29", "2028-03-01", "2028-03-01"),
        ("2027-02-28T01:00:00", "2027-02-28", "2027-03-01", "2027-03-01"),
        ("2100-02-28T01:00:00", "2100-02-28", "2100-03-01", "2100-03-01"),  # none, though four divides it
        ("2026-12-31T23:59:59", "2026-12-31", "2027-01-01", "2027-01-01"),
        ("2026-03-29T01:30:00", "2026-03-29", "2026-03-30", "2026-04-01"),  # clocks go forward in Europe
        ("2026-10-25T01:30:00", "2026-10-25", "2026-10-26", "2026-11-01"),  # and back
    ],
)
def test_a_day_and_a_month_end_at_midnight_utc(moment: str, day: str, day_ends: str, month_ends: str) -> None:
    """Leap years, ends of years and the days on which clocks are changed somewhere are like all others."""
    calendar = open_calendar(unix(moment))
    assert (calendar.day, calendar.month) == (day, day[:7])
    assert (calendar.day_ends_s, calendar.month_ends_s) == (unix(day_ends), unix(month_ends))


@pytest.mark.parametrize("zone", ["America/New_York", "Europe/Berlin", "Pacific/Kiritimati"])
def test_the_zone_of_the_place_says_nothing(zone: str, monkeypatch: pytest.MonkeyPatch) -> None:
    """Whatever TZ is, and on both sides of a change of clocks."""
    expected = [open_calendar(unix("2026-03-08T06:30:00") + hours * 3600) for hours in range(48)]
    monkeypatch.setenv("TZ", zone)
    import time

    time.tzset()
    try:
        assert [open_calendar(unix("2026-03-08T06:30:00") + hours * 3600) for hours in range(48)] == expected
    finally:
        monkeypatch.undo()
        time.tzset()


@given(st.floats(min_value=0.0, max_value=unix("2200-01-01T00:00:00")))
def test_every_moment_is_of_one_day_of_one_month(wall_s: float) -> None:
    """A day has 86,400 s, begins before and ends after, and its month ends no earlier."""
    calendar = open_calendar(wall_s)
    assert calendar.day_begins_s <= wall_s < calendar.day_ends_s <= calendar.month_ends_s
    assert calendar.day_ends_s - calendar.day_begins_s == DAY_S
    assert name_month(calendar.day) == calendar.month and is_day(calendar.day) and not is_day(calendar.month)
    assert is_period(calendar.day) and is_period(calendar.month)
    after = datetime.fromtimestamp(calendar.month_ends_s, UTC)
    assert (after.day, after.hour) == (1, 0) and (after - timedelta(seconds=1)).strftime("%Y-%m") == calendar.month


@pytest.mark.parametrize("wall_s", [-1.0, -1e18, 1e18, float("inf"), float("-inf")])
def test_a_clock_that_is_wrong_raises_nothing(wall_s: float) -> None:
    """Whatever it tells there is a day."""
    assert is_period(open_calendar(wall_s).day)


@pytest.mark.parametrize("text", ["", "2026", "2026-13", "2026-02-30", "2026-1-1", "2026-11-20x", "２０２６-11", None, 3, ["2026-11"]])
def test_what_is_no_period(text: object) -> None:
    """Only days and months that there are."""
    assert not is_period(text)
