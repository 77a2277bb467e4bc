"""sidecar/simulator/tokens.py"""

import pytest

from sidecar.simulator.profile import Prices
from sidecar.simulator.tokens import Tokens

_PRICES = Prices(input=2.5, output=10.0, cached=1.25)


def test_cost() -> None:
    """Cached tokens have their own price, output its own, uncached input the rest; per million."""
    assert Tokens(prompt=2000, completion=300, cached=1024).cost_usd(_PRICES) == pytest.approx((976 * 2.5 + 1024 * 1.25 + 300 * 10) / 1e6)


def test_taking_away() -> None:
    """What was added and taken away again leaves nothing."""
    tokens = Tokens(5, 4, 3, 2, 1, 1)
    assert tokens.plus(tokens.times(-1)) == Tokens()


def test_written_tokens_have_a_price() -> None:
    """What goes into the prompt cache costs what is said, else what input costs."""
    tokens = Tokens(prompt=2000, completion=0, cached=500, written=1000)
    assert tokens.cost_usd(_PRICES) == pytest.approx((1500 * 2.5 + 500 * 1.25) / 1e6)
    assert tokens.cost_usd(Prices(2.5, 10.0, 1.25, 3.0)) == pytest.approx((500 * 2.5 + 500 * 1.25 + 1000 * 3.0) / 1e6)


def test_written_for_an_hour() -> None:
    """What is kept for an hour costs what is said, else what is kept for minutes costs."""
    tokens = Tokens(prompt=2000, written=1000, written_1h=400)
    assert tokens.cost_usd(Prices(2.5, 10.0, 1.25, 3.0, 5.0)) == pytest.approx((1000 * 2.5 + 600 * 3.0 + 400 * 5.0) / 1e6)
    assert tokens.cost_usd(Prices(2.5, 10.0, 1.25, 3.0)) == pytest.approx((1000 * 2.5 + 1000 * 3.0) / 1e6)
