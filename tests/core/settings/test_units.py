"""Durations and sizes as text."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.settings.units import (
    DURATION_S_MAX,
    SIZE_BYTES_MAX,
    format_duration,
    format_size,
    parse_duration,
    parse_lifetime,
    parse_size,
)


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        ("250ms", 0.25),
        ("3s", 3.0),
        ("5m", 300.0),
        ("2h", 7200.0),
        ("1d", 86400.0),
        ("365d", DURATION_S_MAX),
        ("1h30m", 5400.0),
        ("1.5s", 1.5),
        ("0.5ms", 0.0005),
        ("1.1ms", 0.0011),
        ("7", 7.0),
        ("0.25", 0.25),
        (7, 7.0),
        (0.25, 0.25),
    ],
)
def test_durations_are_read_in_seconds(text: str | float, seconds: float) -> None:
    """Each unit, several together, and bare numbers of seconds are read."""
    assert parse_duration(text) == seconds


@pytest.mark.parametrize(
    "text",
    [
        "",
        "s",
        "3 s",
        "3S",
        "-3s",
        "+3s",
        "3s ",
        "1e3s",
        "3sec",
        "0s",
        "0",
        "366d",
        ".5s",
        "3.s",
        "٣s",
        "nan",
        "inf",
        "9" * 5000,
        0,
        -1,
        math.nan,
        math.inf,
        10**400,
        DURATION_S_MAX + 1,
    ],
)
def test_what_is_no_duration_is_refused(text: str | float) -> None:
    """Anything else, zero, the negative, the endless and the absurdly long are refused."""
    assert parse_duration(text) is None


@pytest.mark.parametrize(
    ("text", "size_bytes"),
    [
        ("64KiB", 65536),
        ("50MiB", 52428800),
        ("1GiB", 2**30),
        ("1024GiB", SIZE_BYTES_MAX),
        ("64kB", 64000),
        ("64KB", 64000),
        ("1MB", 10**6),
        ("1GB", 10**9),
        ("12B", 12),
        ("12", 12),
        ("1.5KiB", 1536),
        ("50 MiB", 52428800),
        (12, 12),
        (12.0, 12),
    ],
)
def test_sizes_are_read_in_bytes(text: str | float, size_bytes: int) -> None:
    """Binary and decimal units and bare numbers of bytes are read."""
    assert parse_size(text) == size_bytes


@pytest.mark.parametrize(
    "text",
    ["", "B", "0", "0.5B", "1.0001KiB", "-1", "50mib", "50M", "50Mi", "2048GiB", "9" * 5000, 0, -5, 1.5, math.nan, math.inf, 10**400],
)
def test_what_is_no_size_is_refused(text: str | float) -> None:
    """Anything that is not a whole, possible number of bytes is refused."""
    assert parse_size(text) is None


@given(st.integers(min_value=1, max_value=int(DURATION_S_MAX) * 1000))
def test_formatted_durations_read_back(milliseconds: int) -> None:
    """What is printed for a duration means that duration."""
    assert parse_duration(format_duration(milliseconds / 1000)) == milliseconds / 1000


@given(st.floats(min_value=1e-6, max_value=1.0))
def test_formatted_fractions_read_back(seconds: float) -> None:
    """Fractions of a second keep their nanoseconds."""
    assert parse_duration(format_duration(seconds)) == pytest.approx(seconds, abs=1e-9)


@given(st.integers(min_value=1, max_value=SIZE_BYTES_MAX))
def test_formatted_sizes_read_back(size_bytes: int) -> None:
    """What is printed for a size means that size."""
    assert parse_size(format_size(size_bytes)) == size_bytes


@pytest.mark.parametrize(
    ("seconds", "text"), [(0.25, "250ms"), (3.0, "3s"), (90.0, "90s"), (300.0, "5m"), (3630.0, "3630s"), (7200.0, "2h"), (1.5, "1500ms")]
)
def test_durations_are_formatted_in_their_largest_whole_unit(seconds: float, text: str) -> None:
    """A duration is printed as a person would write it."""
    assert format_duration(seconds) == text


@given(st.text(max_size=60))
def test_no_text_makes_the_readers_raise(text: str) -> None:
    """Whatever an operator writes is answered with a value or None."""
    assert parse_duration(text) is None or parse_duration(text) > 0  # type: ignore[operator]
    assert parse_size(text) is None or parse_size(text) > 0  # type: ignore[operator]


@pytest.mark.parametrize(
    ("text", "seconds"),
    [
        (0, 0.0),
        (-0.0, 0.0),
        ("0", 0.0),
        ("0s", 0.0),
        ("0ms", 0.0),
        ("5m", 300.0),
        (2, 2.0),
        ("-1s", None),
        (-1, None),
        ("never", None),
        ("", None),
    ],
)
def test_a_lifetime_may_be_nothing(text: str | float, seconds: float | None) -> None:
    """And is a duration otherwise."""
    assert parse_lifetime(text) == seconds
    if seconds is not None:
        assert parse_lifetime(format_duration(seconds)) == seconds
