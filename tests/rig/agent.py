"""What an agent does beside its chats: tools, batches, a voice session, and questions that were asked before."""

import asyncio
import json
import time
from typing import Any, Final

import httpx
from websockets.asyncio.client import connect

from tests.rig.http_tools import serving_tools

# Routes and upstreams beside `/openai/`.
TOOLS: Final = "/tools/rig/"
OPENROUTER: Final = "/openrouter/"
_CHAT: Final = {"model": "sim-small", "messages": [{"role": "user", "content": "As I asked before?"}]}
_PAUSE_S: Final = 0.1


def list_routes(provider: str, tools: str) -> dict[str, Any]:
    """Return the upstreams and routes that an agent and its chats need, of a configuration."""
    return {
        "upstreams": {
            "openai": {"url": provider, "provider": "openai"}, "openrouter": {"url": tools, "provider": "openrouter"},
            "rig": {"url": tools},
        },
        "routes": [
            {"prefix": "/openai/", "upstream": "openai"}, {"prefix": OPENROUTER, "upstream": "openrouter"},
            {"prefix": TOOLS, "upstream": "rig", "kind": "tool"},
        ],
    }  # fmt: skip


async def run_agent(url: str, admin_url: str, tools_port: int, duration_s: float) -> None:
    """Serve the tools on `tools_port` and call them by the sidecar at `url`; one session is open all the time.

    At `admin_url` the sidecar is told how good its answers are.
    """
    deadline_s = time.monotonic() + duration_s
    realtime = f"{url.replace('http', 'ws', 1)}/openai/v1/realtime?model=sim-small"
    async with serving_tools(tools_port), httpx.AsyncClient(base_url=url, timeout=10) as http, connect(realtime):
        while time.monotonic() < deadline_s:
            await _rate(http, admin_url, await _work(http))
            await _talk(realtime)
            await asyncio.sleep(_PAUSE_S)


async def _work(http: httpx.AsyncClient) -> str:
    """One round: a call that succeeds, one that fails, a batch of both, and an answer out of the provider's cache; return its id."""
    for tool in ("echo", "fail"):
        await http.post(TOOLS + tool, json={"tool": tool})
    await http.post("/x-sidecar/batch", json=[{"path": TOOLS + tool, "body": {}} for tool in ("echo", "fail")])
    answered = await http.post(OPENROUTER + "v1/chat/completions", json=_CHAT)
    return str(answered.headers["x-sidecar-request-id"])


async def _rate(http: httpx.AsyncClient, admin_url: str, request_id: str) -> None:
    """Rate an answer, and tell of another event."""
    await http.post(f"{admin_url}/api/feedback", json={"request_id": request_id, "quality": 0.5})
    await http.post(f"{admin_url}/api/events", json={"name": "asked"})


async def _talk(realtime: str) -> None:
    """One session with one answer."""
    async with connect(realtime) as session:
        content = [{"type": "input_text", "text": "Hello there."}]
        item = {"type": "message", "role": "user", "content": content}
        await session.send(json.dumps({"type": "conversation.item.create", "item": item}))
        await session.send(json.dumps({"type": "response.create"}))
        async for event in session:
            if json.loads(event)["type"] == "response.done":
                break
