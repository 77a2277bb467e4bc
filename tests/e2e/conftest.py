"""What end-to-end tests share: the event loop that the sidecar itself runs on, two ways to one provider, and all that can be seen."""

import asyncio
from collections.abc import Callable, Iterator, Mapping

import pytest
import uvloop

from tests.rig.calls import Bases
from tests.rig.everything import Everything, watching_everything
from tests.rig.process import run_sidecar, run_simulator


def pytest_asyncio_loop_factories(config: pytest.Config, item: pytest.Item) -> Mapping[str, Callable[[], asyncio.AbstractEventLoop]]:
    """Give coroutines uvloop's loop (pytest-asyncio)."""
    return {"uvloop": uvloop.new_event_loop}


@pytest.fixture(scope="module")
def bases(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Bases]:
    """A provider that never waits, and a sidecar in front of it, each in its own process."""
    folder = tmp_path_factory.mktemp("sdk")
    with run_simulator(folder, {"speed": 0}) as provider, run_sidecar(folder, provider) as sidecar:
        yield Bases(f"{provider}/v1", f"{sidecar.url}/openai/v1", sidecar)


@pytest.fixture(scope="session")
def everything(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Everything]:
    """Sidecars with everything switched on, after a storm, and the Prometheus that saw it; whoever asks needs Prometheus and Redis."""
    with watching_everything(tmp_path_factory.mktemp("everything")) as watched:
        yield watched
