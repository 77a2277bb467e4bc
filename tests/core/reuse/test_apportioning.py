"""Totals shared out: exactly, in proportion, and in the form in which they came."""

from fractions import Fraction

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reuse.apportioning import apportion, apportion_number

WEIGHTS = st.lists(st.integers(1, 10_000), min_size=1, max_size=12)


@given(st.integers(-(10**12), 10**12), WEIGHTS)
def test_shares_sum_up_and_are_next_to_their_quota(total: int, weights: list[int]) -> None:
    """None is a whole one or more away from what it would be by exact division."""
    shares = apportion(total, weights)
    assert sum(shares) == total
    assert all(abs(share - Fraction(total * weight, sum(weights))) < 1 for share, weight in zip(shares, weights, strict=True))


def test_the_largest_remainders_get_what_is_left() -> None:
    """And of equal ones the first."""
    assert apportion(10, [1, 1, 1]) == [4, 3, 3]
    assert apportion(7, [2, 3, 5]) == [1, 2, 4]
    assert apportion(5, [10, 1]) == [5, 0]
    assert apportion(1, [10, 11]) == [0, 1]


def value(text: bytes) -> Fraction:
    """Read a JSON number exactly."""
    return Fraction(text.decode())


@given(
    st.one_of(st.integers(0, 10**15).map(str), st.floats(0, 1e6).map(repr), st.sampled_from(["1.50", "0.00014", "-2.5E+3", "3e2"])), WEIGHTS
)
def test_a_number_in_any_spelling_is_shared_exactly(text: str, weights: list[int]) -> None:
    """What was written is the sum of what is written instead; a whole number in whole ones."""
    shares = apportion_number(text.encode(), weights)
    assert shares is not None
    assert sum(map(value, shares)) == value(text.encode())
    if text.isdigit():
        assert all(share.isdigit() for share in shares)


def test_nothing_stays_as_it_was_written() -> None:
    """No money is none for everybody, in the same spelling."""
    assert apportion_number(b"0.00", [1, 2]) == [b"0.00", b"0.00"]


@pytest.mark.parametrize("text", [b"1" * 41, b"1e99999", b"1.", b"--1", b"1.2.3", b""])
def test_what_is_no_sane_number_is_not_shared(text: bytes) -> None:
    """A number as long as a book would be worked on for as long."""
    assert apportion_number(text, [1, 2]) is None
