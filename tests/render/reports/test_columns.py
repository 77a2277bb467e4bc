"""Figures as people read them."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reckon.report import make_report
from sidecar.core.reckon.tally import Tally
from sidecar.render.reports.columns import (
    COLUMNS,
    print_count,
    print_dollars,
    print_moment,
    print_ratio,
    print_reasons,
    print_seconds,
    print_span,
    print_step,
    print_words,
)  # fmt: skip
from sidecar.thresholds import Thresholds
from tests.core.reckon.journals import DAY, add_failed, make_day, make_hour


@pytest.mark.parametrize(
    ("seconds", "printed"),
    [
        (None, "-"), (0.0, "0.0 ms"), (0.0045, "4.5 ms"), (0.00996, "10 ms"), (0.045, "45 ms"), (0.0996, "0.10 s"), (0.87, "0.87 s"),
        (3.45, "3.45 s"), (9.996, "10.0 s"), (83.24, "83.2 s"), (99.96, "100 s"), (3600.0, "3600 s"),
    ],
)  # fmt: skip
def test_seconds(seconds: float | None, printed: str) -> None:
    """Three figures or so, also where rounding moves the point."""
    assert print_seconds(seconds) == printed


@given(st.floats(min_value=1e-3, max_value=1e5))
def test_seconds_are_near_the_truth(seconds: float) -> None:
    """What is printed is within 6 % of what it is, and mostly much nearer."""
    number, unit = print_seconds(seconds).split()
    assert math.isclose(float(number) / (1000 if unit == "ms" else 1), seconds, rel_tol=0.06)


@pytest.mark.parametrize(
    ("ratio", "printed"),
    [(None, "-"), (0.0, "0.0%"), (0.0001, "<0.1%"), (0.0042, "0.4%"), (0.73, "73.0%"), (0.9999, ">99.9%"), (1.0, "100.0%")],
)
def test_ratios(ratio: float | None, printed: str) -> None:
    """Some are never none, nearly all are never all."""
    assert print_ratio(ratio) == printed


@pytest.mark.parametrize(
    ("usd", "printed"),
    [(0.0, "$0.00"), (0.00001, "<$0.0001"), (0.0021, "$0.0021"), (12.3, "$12.30"), (1234.5, "$1,234.50"), (56789.4, "$56,789")],
)
def test_dollars(usd: float, printed: str) -> None:
    """Small amounts have four places."""
    assert print_dollars(usd) == printed


def test_counts() -> None:
    """Whole up to a million."""
    assert (print_count(0), print_count(999_999), print_count(1_254_000)) == ("0", "999,999", "1.254M")


def test_names_from_outside_move_nothing() -> None:
    """Neither a terminal's cursor nor the direction of writing."""
    assert print_words("a\x1b[2J\n\u202eb é模") == "a?[2J??b é模"


def test_times_are_of_utc() -> None:
    """Days by their date, hours with it."""
    assert print_moment(DAY) == "2026-03-29 00:00"
    assert (print_step(make_day(0)), print_step(make_hour(0)), print_step(make_hour(25))) == (
        "2026-03-29", "2026-03-29 00:00", "2026-03-30 01:00",
    )  # fmt: skip
    assert print_span(make_report([make_hour(1)], (), Thresholds(), 0)) == "2026-03-29 01:00 to 2026-03-29 02:00 UTC"
    assert print_span(make_report([], (), Thresholds(), 0)) == ""


def test_columns_of_some_calls() -> None:
    """Each figure from where it belongs."""
    tally = add_failed(make_hour(0, calls=3), "openai/gpt-4o").total
    tally.costs -= 1
    printed = {column.title: column.show(tally, Thresholds()) for column in COLUMNS}
    assert printed == {
        "calls": "4", "errors": "25.0%", "mean": "2.00 s", "p50": "2.00 s", "p95": "2.00 s", "p99": "2.00 s", "first p95": "0.50 s",
        "tok/s": "47.0", "tokens in": "48", "out": "141", "cost": "$0.7500", "no price": "1", "kept": "0.0%", "grade": "D",
    }  # fmt: skip
    assert print_reasons(tally, Thresholds()) == "errors 25.0% (D), mean latency 2.00 s (B)"


def test_what_was_not_measured_is_not_zero() -> None:
    """No figure is made up for calls that have none."""
    printed = {column.title: column.show(Tally(), Thresholds()) for column in COLUMNS}
    assert {title for title, text in printed.items() if text != "-"} == {"calls", "no price"}
    assert print_reasons(Tally(), Thresholds()) == ""
