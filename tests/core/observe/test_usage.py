"""Token counts as disjoint kinds."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.observe.usage import read_count, read_usd, split_usage

COUNTS = st.integers(0, 10**6)


@pytest.mark.parametrize(("value", "count"), [(0, 0), (7, 7), (7.0, 7), (2**53, 2**53)])
def test_counts(value: object, count: int) -> None:
    """Whole numbers from 0 are counts, also when written as floats."""
    assert read_count(value) == count


@pytest.mark.parametrize("value", [None, True, "7", -1, 1.5, float("nan"), float("inf"), 2**53 + 1, [7]])
def test_no_counts(value: object) -> None:
    """Everything else is no count."""
    assert read_count(value) is None


@pytest.mark.parametrize(
    ("value", "usd"),
    [(0, 0.0), (0.25, 0.25), (-1, None), (True, None), ("1", None), (float("nan"), None), (float("inf"), None)],
)
def test_money(value: object, usd: float | None) -> None:
    """Amounts are finite numbers from 0."""
    assert read_usd(value) == usd


@given(COUNTS, COUNTS, COUNTS, COUNTS, COUNTS)
def test_totals_are_kept(prompt: int, read: int, written: int, completion: int, reasoning: int) -> None:
    """Whatever the details claim, the kinds add up to the totals and none is negative."""
    usage = split_usage(prompt, read, written, completion, reasoning)
    assert usage.input_total == prompt
    assert usage.output_total == completion
    assert min(usage) >= 0


def test_details_are_taken_out_of_totals() -> None:
    """Cached and reasoning tokens are not counted twice."""
    assert split_usage(100, 40, 10, 50, 20) == (50, 40, 10, 30, 20)
