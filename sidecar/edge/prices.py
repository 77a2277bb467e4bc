"""The price table that calls are charged by."""

from importlib.resources import files

from sidecar.config import Settings
from sidecar.core.observe.pricing import PriceTable, read_prices
from sidecar.edge.documents import read_document


def load_prices(settings: Settings) -> PriceTable:
    """Return the configured table, else the one that comes with the package. Raises ConfigError."""
    path = settings.prices.file or str(files("sidecar").joinpath("data", "prices.yaml"))
    return read_prices(read_document(path).tree, path)
