"""What every test shares: how hard hypothesis tries, and where the repository is."""

import gc
import os
from pathlib import Path

import pytest
from hypothesis import HealthCheck, settings

# A shared machine may stop for a moment at any time: no deadline per example, the whole run is bounded elsewhere.
settings.register_profile("fast", max_examples=100, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.register_profile("deep", max_examples=5_000, deadline=None, suppress_health_check=[HealthCheck.too_slow])
settings.load_profile(os.environ.get("HYPOTHESIS_PROFILE", "fast"))


@pytest.fixture(scope="session")
def repository() -> Path:
    """The folder that holds pyproject.toml."""
    return Path(__file__).resolve().parent.parent


def pytest_collection_finish(session: pytest.Session) -> None:
    """Leave what was collected out of garbage collection: half a second each time, in the middle of what is timed."""
    gc.collect()
    gc.freeze()
