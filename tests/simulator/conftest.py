"""Servers and requests that the simulator's tests share."""

import json
from collections.abc import AsyncIterator, Callable
from typing import Any

import httpx
import pytest

from sidecar.simulator import Profile, Simulator, start
from sidecar.simulator.plan import Plan, plan_reply
from sidecar.simulator.request import Form, read_ask
from sidecar.simulator.script import Script


@pytest.fixture
def plan_chat() -> Callable[..., Plan]:
    """Plan the reply to a chat request: members of the body by name, script and seed apart."""

    def make(script: Script | None = None, *, identity: str = "1", cached: int = 0, form: Form = Form.CHAT, **members: Any) -> Plan:
        body: dict[str, Any] = {"model": "sim-small", "messages": [{"role": "user", "content": "hello"}], "prompt": "hello"} | members
        ask = read_ask(form, json.dumps(body).encode())
        told = script or Script()
        return plan_reply(ask, told, told.fault, Profile(), identity, cached)

    return make


@pytest.fixture
async def simulator() -> AsyncIterator[Simulator]:
    """A simulated provider that never waits."""
    running = await start(profile=Profile(speed=0))
    yield running
    await running.stop()


@pytest.fixture
async def client(simulator: Simulator) -> AsyncIterator[httpx.AsyncClient]:
    """A client of it."""
    async with httpx.AsyncClient(base_url=simulator.url, timeout=5) as session:
        yield session
