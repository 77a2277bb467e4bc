"""Quantiles within a bounded error."""

import math

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.reckon.sketch import ERROR, Sketch

NUMBERS = st.lists(st.floats(1e-5, 80_000.0), min_size=1, max_size=300)


def make(numbers: list[float]) -> Sketch:
    """Return a sketch of numbers."""
    sketch = Sketch()
    for number in numbers:
        sketch.add(number)
    return sketch


@given(NUMBERS, st.floats(0, 1))
def test_a_quantile_is_within_one_percent(numbers: list[float], share: float) -> None:
    """Of the number that stands at its place among all."""
    true = sorted(numbers)[int(share * (len(numbers) - 1))]
    (told,) = make(numbers).quantiles(share)
    assert told is not None and abs(told - true) <= (ERROR + 1e-9) * true


@given(NUMBERS, NUMBERS)
def test_sketches_add_up(one: list[float], other: list[float]) -> None:
    """Two of half the numbers tell together what one of all tells."""
    merged, whole = make(one), make([*one, *other])
    merged.merge(make(other))
    assert merged.counts == whole.counts and merged.count == whole.count
    assert (merged.minimum, merged.maximum) == (whole.minimum, whole.maximum)
    assert merged.total == pytest.approx(whole.total)
    assert merged.quantiles(0.5, 0.95) == whole.quantiles(0.5, 0.95)


def test_the_mean_is_exact_and_nothing_is_nothing() -> None:
    """What was never seen has no mean and no quantile."""
    assert make([1.0, 2.0, 6.0]).mean == 3.0
    assert Sketch().mean is None and Sketch().quantiles(0.5, 0.9) == [None, None]


def test_what_is_beyond_all_measure_is_bounded() -> None:
    """Zero, less than zero and a year make no buckets of their own; what is told is never beyond what was seen."""
    sketch = make([0.0, -1.0, 1e-9, 1e12, math.nextafter(86_400.0, math.inf)])
    assert len(sketch.counts) <= 3
    assert sketch.quantiles(0.0, 1.0) == [pytest.approx(1e-6, rel=0.02), pytest.approx(86_400.0, rel=0.02)]
    assert make([7.0]).quantiles(0.0, 0.5, 1.0) == [7.0, 7.0, 7.0]


def test_memory_is_bounded_whatever_comes() -> None:
    """As many buckets as there are magnitudes between a microsecond and a day, and no more."""
    sketch = make([1e-7 * 1.001**step for step in range(30_000)])
    assert sketch.count == 30_000 and len(sketch.counts) < 1_300
