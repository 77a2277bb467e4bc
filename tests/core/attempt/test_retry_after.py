"""When an upstream wants to be asked again."""

from datetime import UTC, datetime

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.retry_after import NOT_TOLD, RetryAfter, read_retry_after

# RFC 9110's own example of a date, 10 seconds later than "now".
WALL_S = datetime(1994, 11, 6, 8, 49, 27, tzinfo=UTC).timestamp()
YEAR_S = 31_536_000


def read(*fields: bytes, max_s: float = 300.0, wall_s: float = WALL_S) -> RetryAfter:
    """Return what the fields of a head say."""
    return read_retry_after(fields, wall_s, max_s=max_s)


@pytest.mark.parametrize(
    ("field", "seconds"),
    [
        (b"Retry-After: 120", 120),
        (b"retry-after:7", 7),
        (b"RETRY-AFTER:  0 ", 0),
        (b"Retry-After: 1.5", 1.5),  # not of the RFC; SDKs read it
        (b"retry-after-ms: 250", 0.25),  # OpenAI, Azure
        (b"Retry-After: Sun, 06 Nov 1994 08:49:37 GMT", 10),
        (b"Retry-After: Sunday, 06-Nov-94 08:49:37 GMT", 10),
        (b"Retry-After: Sun Nov  6 08:49:37 1994", 10),
        (b"Retry-After: Sun, 06 Nov 1994 08:49:17 GMT", 0),  # it has passed
        (b"Retry-After: Sun, 06 Nov 1994 08:49:60 GMT", 32),  # a leap second
    ],
)
def test_each_form_is_read(field: bytes, seconds: float) -> None:
    """Seconds, milliseconds, and the three forms of a date."""
    assert read(field) == RetryAfter(pytest.approx(seconds), None)


@pytest.mark.parametrize(
    "field",
    [
        b"Retry-After: %d" % YEAR_S, b"Retry-After: 301", b"Retry-After: " + b"9" * 400, b"retry-after-ms: %d" % (YEAR_S * 1000),
        b"Retry-After: Mon, 06 Nov 1995 08:49:37 GMT", b"Retry-After: Fri, 31 Dec 9999 23:59:59 GMT",
    ],
)  # fmt: skip
def test_a_year_is_capped_and_says_so(field: bytes) -> None:
    """What asks for longer than is allowed gets what is allowed, and is counted."""
    assert read(field) == RetryAfter(300.0, "capped")


@pytest.mark.parametrize(
    "value",
    [
        b"", b"soon", b"-5", b"+5", b"1e3", b"nan", b"inf", b"0x10", b"5 s", b"5,6", b"\xb2", b"1_000", b"9" * 401, b"1.5.2",
        b"Sun, 32 Nov 1994 08:49:37 GMT", b"Sun, 06 Xyz 1994 08:49:37 GMT", b"Sun, 06 Nov 1994 25:49:37 GMT",
        b"Sun, 06 Nov 0000 08:49:37 GMT", b"Sun, 06 Nov 1994 08:49:37 CET", b"1994-11-06T08:49:37Z",
    ],
)  # fmt: skip
def test_nonsense_is_ignored_and_says_so(value: bytes) -> None:
    """A value that is none of the forms means nothing, and is counted."""
    assert read(b"Retry-After: " + value) == RetryAfter(None, "unreadable")


def test_nothing_told_is_no_problem() -> None:
    """Most answers have no such field, and names that only look alike are others."""
    assert read() == read(b"date: x", b"x-retry-afte: 5", b"retry-after-xx: 5", b"x: retry-after: 5") == NOT_TOLD


def test_milliseconds_go_first() -> None:
    """They are the finer account; where they are nonsense, the seconds count."""
    assert read(b"retry-after: 2", b"retry-after-ms: 1500") == RetryAfter(1.5, None)
    assert read(b"retry-after-ms: soon", b"retry-after: 2") == RetryAfter(2.0, None)
    assert read(b"retry-after: 2", b"retry-after: 9") == RetryAfter(2.0, None)


def test_a_year_of_two_digits_is_near() -> None:
    """What seems more than 50 years away was in the century before (RFC 9110 section 5.6.7)."""
    now = datetime(2026, 11, 20, tzinfo=UTC).timestamp()
    assert read(b"Retry-After: Sunday, 06-Nov-94 08:49:37 GMT", wall_s=now) == RetryAfter(0.0, None)
    assert read(b"Retry-After: Friday, 20-Nov-26 00:00:09 GMT", wall_s=now) == RetryAfter(9.0, None)


@given(st.lists(st.binary(max_size=80) | st.binary(max_size=60).map(lambda value: b"retry-after:" + value)), st.floats(0, 600))
def test_nothing_makes_it_raise(fields: list[bytes], max_s: float) -> None:
    """Fields are whatever an upstream sends; what is told is within what is allowed."""
    told = read_retry_after(fields, WALL_S, max_s=max_s)
    assert told.seconds is None or 0.0 <= told.seconds <= max_s


@given(st.from_regex(rb"(Sun, \d\d|Sunday, \d\d-)( Nov |Nov-)(\d{4}|\d\d) \d\d:\d\d:\d\d GMT", fullmatch=True))
def test_no_date_makes_it_raise(value: bytes) -> None:
    """There are days, hours and years that no calendar has."""
    told = read(b"retry-after: " + value)
    assert told.seconds is None or 0.0 <= told.seconds <= 300.0
