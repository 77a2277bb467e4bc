"""How long is waited before trying again."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.attempt.backoff import bound_backoff, draw_backoff

LAST = 1.0 - 2**-53  # the largest number of [0, 1)


@pytest.mark.parametrize(("repetition", "bound_s"), [(1, 0.1), (2, 0.2), (3, 0.4), (7, 6.4), (8, 10.0), (1_000_000, 10.0), (0, 0.1)])
def test_the_bound_doubles_up_to_a_cap(repetition: int, bound_s: float) -> None:
    """From the base on, twice as long each time, and never longer than the cap, however often."""
    assert bound_backoff(repetition, 0.1, 10.0) == pytest.approx(bound_s)


@given(st.integers(1, 10_000), st.floats(0.001, 60), st.floats(0.001, 60), st.floats(0, LAST))
def test_a_wait_stays_below_its_bound(repetition: int, base_s: float, cap_s: float, chance: float) -> None:
    """Jitter never makes a wait longer than the bound, nor the bound longer than the cap."""
    wait_s = draw_backoff(repetition, base_s, cap_s, lambda: chance)
    assert 0.0 <= wait_s <= bound_backoff(repetition, base_s, cap_s) <= cap_s


def test_jitter_is_full() -> None:
    """Any wait from nothing up to the bound can be drawn, each as likely."""
    assert [draw_backoff(3, 0.1, 10.0, lambda c=chance: c) for chance in (0.0, 0.25, 0.5)] == pytest.approx([0.0, 0.1, 0.2])  # type: ignore[misc]
