"""What every test shares: how hard hypothesis tries, how long a test may take, and where the repository is."""

import gc
import inspect
import os
from pathlib import Path
from typing import Final

import pytest
from hypothesis import HealthCheck, settings

from tests.bounds import bound

# A shared machine may stop for a moment at any time: no deadline per example, the whole run is bounded elsewhere.
settings.register_profile("fast", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))
# Where these are set, pytest shows differences whole, and finding them takes minutes where lists of some thousand lines differ
# (difflib.ndiff: the square of their number, or worse). Hypothesis has looked at them already: there, it draws the same each time.
for name in ("CI", "BUILD_NUMBER"):
    os.environ.pop(name, None)
# The longest takes a minute. Of what cannot be cancelled, `faulthandler_timeout` in pyproject.toml makes an end.
LIMIT_S: Final = 4 * 3600.0 if os.environ.get("HYPOTHESIS_PROFILE") == "deep" else 300.0


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


def pytest_itemcollected(item: pytest.Item) -> None:
    """Have each test that is a coroutine come to an end."""
    if isinstance(item, pytest.Function) and inspect.iscoroutinefunction(item.obj):
        item.obj = bound(item.obj, LIMIT_S)


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what was collected out of garbage collection: half a second each time, in the middle of what is timed."""
    gc.collect()
    gc.freeze()
