"""When an upstream wants to be asked again: Retry-After (RFC 9110 section 10.2.3), and the `retry-after-ms` of OpenAI and Azure.

The value is a stranger's: one of a year is capped, nonsense is ignored, and either is told, so that it can be counted.
"""

import re
from collections.abc import Sequence
from datetime import UTC, datetime
from typing import Final, Literal, NamedTuple

_CAPPED: Final = "capped"
_UNREADABLE: Final = "unreadable"
# Digits beyond those of a century in milliseconds are a number too large in any case; a float is beyond the RFC, SDKs read it.
_NUMBER: Final = re.compile(rb"(\d{1,400})(\.\d{0,400})?")
_MONTHS: Final = (b"jan", b"feb", b"mar", b"apr", b"may", b"jun", b"jul", b"aug", b"sep", b"oct", b"nov", b"dec")
_TIME: Final = rb"(?P<hour>\d\d):(?P<minute>\d\d):(?P<second>\d\d)"
# The three forms of HTTP-date (RFC 9110 section 5.6.7): IMF-fixdate, RFC 850, asctime.
_DATES: Final = tuple(
    re.compile(form % _TIME, re.IGNORECASE)
    for form in (
        rb"[a-z]{3}, (?P<day>\d\d) (?P<month>[a-z]{3}) (?P<year>\d{4}) %b GMT",
        rb"[a-z]{6,9}, (?P<day>\d\d)-(?P<month>[a-z]{3})-(?P<year>\d\d) %b GMT",
        rb"[a-z]{3} (?P<month>[a-z]{3}) (?P<day>[ \d]\d) %b (?P<year>\d{4})",
    )
)


class RetryAfter(NamedTuple):
    """What an answer says of when to ask again."""

    seconds: float | None  # from now; None: nothing that can be used
    problem: Literal["capped", "unreadable"] | None  # what had to be done about it


NOT_TOLD: Final = RetryAfter(None, None)


def read_retry_after(fields: Sequence[bytes], wall_s: float, *, max_s: float) -> RetryAfter:
    """Return what the `fields` (`Name: value`) of an answer's head say. Never raises.

    `wall_s`: seconds since the epoch, for dates. The milliseconds are the finer account and go first; of a field that
    comes more than once, the first counts. A moment that has passed is no wait.
    """
    millis = seconds = None
    for field in fields:
        name, _, value = field.partition(b":")
        if len(name) in (11, 14):
            name = name.lower()
            if name == b"retry-after" and seconds is None:
                seconds = value.strip()
            elif name == b"retry-after-ms" and millis is None:
                millis = value.strip()
    wait_s = _read_number(millis, 0.001) if millis is not None else None
    if wait_s is None and seconds is not None:
        wait_s = _read_number(seconds, 1.0)
        if wait_s is None:
            wait_s = _read_date(seconds, wall_s)
    if wait_s is None:
        return NOT_TOLD if millis is None and seconds is None else RetryAfter(None, _UNREADABLE)
    return RetryAfter(max_s, _CAPPED) if wait_s > max_s else RetryAfter(wait_s, None)


def _read_number(value: bytes, unit_s: float) -> float | None:
    return float(value) * unit_s if _NUMBER.fullmatch(value) else None


def _read_date(value: bytes, wall_s: float) -> float | None:
    for form in _DATES:
        found = form.fullmatch(value)
        if found is None:
            continue
        part = found.groupdict()
        month, day, hour, minute, second = part["month"].lower(), *(int(part[name]) for name in ("day", "hour", "minute", "second"))
        try:
            year = _read_year(part["year"], wall_s)
            moment = datetime(year, _MONTHS.index(month) + 1, day, hour, minute, min(second, 59), tzinfo=UTC)  # 60: a leap second
        except (ValueError, OverflowError, OSError):
            return None
        return max(moment.timestamp() - wall_s, 0.0)
    return None


def _read_year(digits: bytes, wall_s: float) -> int:
    """Return the year; one of two digits that seems more than 50 years away was that of the century before."""
    if len(digits) == 4:
        return int(digits)
    present = datetime.fromtimestamp(wall_s, UTC).year
    year = present - present % 100 + int(digits)
    return year - 100 if year > present + 50 else year
