"""What is counted of money."""

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.core.admit.spending_sums import ALL, CALL_NANO_MAX, NANO, Sum, to_limit, to_nano


@given(st.floats(allow_nan=True, allow_infinity=True))
def test_every_number_is_an_amount(usd: float) -> None:
    """Never below nothing, never beyond what a call can cost; upwards never less than it is."""
    assert 0 <= to_nano(usd) <= CALL_NANO_MAX
    assert to_nano(usd) <= to_nano(usd, up=True) <= to_nano(usd) + 1
    if 0 <= usd < 1e6:
        assert to_nano(usd) == pytest.approx(usd * NANO, abs=0.51, rel=1e-12)


def test_a_token_of_the_cheapest_model_is_counted() -> None:
    """Two cents for a million tokens: 20 nano-dollars each, and a million of them are two cents."""
    assert sum(to_nano(0.02 / 1e6) for _ in range(1000)) * 1000 == 0.02 * NANO


def test_limits_beyond_a_call() -> None:
    """A limit may be any sum."""
    assert (to_limit(None), to_limit(float("inf")), to_limit(0.0), to_limit(5e6)) == (None, None, 0, 5_000_000 * NANO)


def test_how_a_sum_is_shown() -> None:
    """In US dollars, with what other sidecars told; a limit is named by whose it is and of which window."""
    total = Sum("a", "2026-11-20", 10 * NANO, 8.0 * NANO, 3 * NANO, 2 * NANO, 0, 2 * NANO, 1 * NANO)
    assert tuple(total.show()) == ("a", "day", "2026-11-20", 5.0, 3.0, 10.0, True)
    assert (total.limit_name, Sum(ALL, "2026-11", None, None).limit_name) == ("budget_day", "all_budget_month")
    assert not Sum(ALL, "2026-11", None, None, 5).is_soft_reached


def test_there_is_no_room_where_the_limit_is_reached() -> None:
    """Up to the limit and not beyond; a call of unknown price is held up once it is reached."""
    total = Sum("a", "2026-11", 10, 8.0)
    assert not total.lacks(10, 0) and total.lacks(11, 0)
    assert not total.lacks(0, 9) and total.lacks(0, 10)
    assert not Sum("a", "2026-11", None, None).lacks(10**20, 10**20)
