"""sidecar/simulator/sight.py"""

import json
from collections.abc import AsyncIterator
from typing import Any

import pytest
from aiohttp import ClientSession

from sidecar.simulator import Simulator
from sidecar.simulator.asking import PROVIDERS, Call, Prompt
from sidecar.simulator.errands import Errand
from sidecar.simulator.sight import Sight, View
from sidecar.simulator.traffic import run_errand

_PROMPT = Prompt("sim-small", (("user", "Why?"),), stream=True, asks_usage=True)
_RESPOND = PROVIDERS["openai"].respond
assert _RESPOND is not None
_CALLS = [
    *(pytest.param(name, provider.chat, id=name) for name, provider in PROVIDERS.items()),
    pytest.param("openai", _RESPOND, id="responses"),
]


@pytest.fixture
async def session() -> AsyncIterator[ClientSession]:
    """A client's session."""
    async with ClientSession() as opened:
        yield opened


async def _see(session: ClientSession, simulator: Simulator, route: str, call: Call, **script: Any) -> Sight:
    path, tree = call
    headers = (("x-sim-script", json.dumps(script)), ("content-type", "application/json"))
    errand = Errand(1, "stream", "POST", path, headers, json.dumps(tree).encode(), route)
    return await run_errand(session, simulator.url + ("/api" if route == "openrouter" else ""), errand)


@pytest.mark.parametrize(("route", "make"), _CALLS)
async def test_a_whole_stream(session: ClientSession, simulator: Simulator, route: str, make: Any) -> None:
    """In each provider's form a caller sees the end, the first token, the usage and the bytes."""
    sight = await _see(session, simulator, route, make(_PROMPT), tokens=5, ttft_ms=30)
    (entry,) = simulator.ledger.entries
    assert (sight.is_complete, sight.error, sight.is_stream) == (True, None, True)
    assert (sight.body_sha256, sight.body_bytes) == (entry.tell()["sha256"], entry.body_bytes)
    assert sight.first_token_s is not None and sight.first_token_s - sight.started_s >= 0.025
    assert sight.usage is not None and 5 in sight.usage.values()
    assert sight.chunks >= 5


@pytest.mark.parametrize(("route", "make"), _CALLS)
async def test_a_whole_answer(session: ClientSession, simulator: Simulator, route: str, make: Any) -> None:
    """An answer that is not streamed is complete with its last byte, and has no first token."""
    sight = await _see(session, simulator, route, make(_PROMPT._replace(stream=False)), tokens=5)
    assert (sight.is_complete, sight.error, sight.is_stream, sight.first_token_s) == (True, None, False, None)


@pytest.mark.parametrize("fault", ["cut", "error_event", "reset"])
@pytest.mark.parametrize(("route", "make"), _CALLS)
async def test_what_broke_off(session: ClientSession, simulator: Simulator, route: str, make: Any, fault: str) -> None:
    """A stream that broke off, or that ended in an error, is never seen as complete."""
    sight = await _see(session, simulator, route, make(_PROMPT), tokens=12, fault=fault, after_chunks=6)
    assert (sight.status, sight.is_complete) == (200, False)


@pytest.mark.parametrize("data", [b"", b"\xff\n\n", b"data: 7\n\n", b"{\n", b'data: {"choices": null}\n\n', b'data: {"error": "no"}\n\n'])
@pytest.mark.parametrize("route", PROVIDERS)
def test_odd_bodies(route: str, data: bytes) -> None:
    """What makes no sense is counted in bytes and is no end."""
    view = View(Errand(1, "stream", "POST", "/", (), b"", route))
    view.read(data)
    sight = view.tell(None)
    assert (sight.is_complete, sight.body_bytes, sight.usage, sight.first_token_s) == (False, len(data), None, None)
