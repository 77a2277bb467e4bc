"""Where prices come from."""

from pathlib import Path

import pytest

from sidecar.config import Prices, Settings
from sidecar.edge.prices import load_prices
from sidecar.errors import ConfigError
from sidecar.exchange import Usage


def test_the_price_table_can_be_replaced(tmp_path: Path) -> None:
    """The package brings one; a configured file takes its place."""
    assert load_prices(Settings()).price("openai", "gpt-4o-mini", Usage(input=1_000_000)) is not None
    with pytest.raises(ConfigError):
        load_prices(Settings(prices=Prices(file=str(tmp_path / "none.yaml"))))
