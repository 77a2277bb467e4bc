"""End-to-end tests run on the event loop that the sidecar itself runs on."""

import asyncio
from collections.abc import Callable, Mapping

import pytest
import uvloop


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give coroutines uvloop's loop (pytest-asyncio)."""
    return {"uvloop": uvloop.new_event_loop}
