"""The day and the month in which money is spent: UTC, from midnight to midnight, whatever the time of the place.

A period is named as it is written: `2026-11-20` is a day, `2026-11` a month, so that a day's name begins with its month's.
UTC has no summer time, and Unix time has no leap seconds: each day has 86,400 s.
"""

from datetime import UTC, datetime, timedelta
from typing import Final, NamedTuple

DAY_S: Final = 86_400
_MONTH_CHARS: Final = len("2026-11")
# What a clock that is wrong may tell: no year that cannot be written with four digits.
_FIRST_S: Final = 0.0
_LAST_S: Final = datetime(9998, 12, 31, tzinfo=UTC).timestamp()


class Calendar(NamedTuple):
    """The periods of one moment: their names, and when they end, in Unix seconds."""

    day: str
    month: str
    day_begins_s: float
    day_ends_s: float
    month_ends_s: float


def open_calendar(wall_s: float) -> Calendar:
    """Return the periods at `wall_s`, Unix seconds. Of no use beyond `day_ends_s` or before `day_begins_s`."""
    midnight = datetime.fromtimestamp(min(max(wall_s, _FIRST_S), _LAST_S), UTC).replace(hour=0, minute=0, second=0, microsecond=0)
    next_month = (midnight.replace(day=28) + timedelta(days=4)).replace(day=1)
    day = midnight.strftime("%Y-%m-%d")
    begins_s = midnight.timestamp()
    return Calendar(day, name_month(day), begins_s, begins_s + DAY_S, next_month.timestamp())


def name_month(day: str) -> str:
    """Return the month that a day is of."""
    return day[:_MONTH_CHARS]


def is_day(period: str) -> bool:
    """Whether a period is a day, not a month."""
    return len(period) > _MONTH_CHARS


def is_period(text: object) -> bool:
    """Whether `text` names a day or a month."""
    if not isinstance(text, str) or len(text) not in (_MONTH_CHARS, _MONTH_CHARS + 3) or not text.isascii():
        return False
    try:
        datetime.strptime(text, "%Y-%m-%d" if is_day(text) else "%Y-%m")
    except ValueError:
        return False
    return True
