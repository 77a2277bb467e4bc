"""An MCP server by the official SDK, as a program: `python -m tests.rig.mcp_server PORT [json] [stateless] [resumable]`."""

import asyncio
import os
import sys
from typing import Any

import uvicorn
from mcp import MCPError
from mcp.server.mcpserver import Context, MCPServer
from mcp.server.streamable_http import EventCallback, EventMessage, EventStore

CODE = -31999  # of an error that only this server knows


class Kept(EventStore):
    """Every event of every stream, in the order in which they came."""

    def __init__(self) -> None:
        self.events: list[tuple[str, Any]] = []

    async def store_event(self, stream_id: str, message: Any) -> str:
        """Keep an event; its id is its place."""
        self.events.append((stream_id, message))
        return str(len(self.events))

    async def replay_events_after(self, last_event_id: str, send_callback: EventCallback) -> str | None:
        """Send what came after an event on the same stream."""
        place = int(last_event_id)
        stream_id = self.events[place - 1][0]
        for index, (each, message) in enumerate(self.events[place:], place + 1):
            if each == stream_id and message is not None:
                await send_callback(EventMessage(message, str(index)))
        return stream_id


def make_server() -> MCPServer:
    """Return a server with a tool for each way in which a call can go."""
    server = MCPServer("rig")
    within = 0
    most = 0

    @server.tool()
    async def echo(text: str) -> str:
        return text

    @server.tool()
    async def fail(text: str) -> str:
        raise RuntimeError(f"failed on {text}")

    @server.tool()
    async def refuse(text: str) -> str:
        raise MCPError(CODE, f"no {text}")

    @server.tool()
    async def progress(steps: int, context: Context) -> str:
        for step in range(steps):
            await context.report_progress(step + 1, steps, f"step {step + 1}")
        return f"{steps} steps"

    @server.tool()
    async def wait(seconds: float) -> int:
        """Return the most calls of it that there were at once."""
        nonlocal within, most
        within += 1
        most = max(most, within)
        try:
            await asyncio.sleep(seconds)
        finally:
            within -= 1
        return most

    @server.tool()
    async def die(context: Context, announced: bool = False) -> str:
        if announced:
            await context.report_progress(1, 2, "about to")
            await asyncio.sleep(0.1)
        os._exit(9)

    @server.tool()
    async def hand_over(context: Context) -> str:
        """Close this call's stream: the caller has to ask for the rest."""
        await context.report_progress(1, 2, "half")
        await context.close_sse_stream()
        await asyncio.sleep(0.3)
        return "handed over"

    return server


def main() -> None:
    """Serve until the process ends."""
    port, *options = sys.argv[1:]
    app = make_server().streamable_http_app(
        json_response="json" in options, stateless_http="stateless" in options,
        event_store=Kept() if "resumable" in options else None, retry_interval=50 if "resumable" in options else None,
    )  # fmt: skip
    uvicorn.run(app, host="127.0.0.1", port=int(port), log_level="warning", timeout_graceful_shutdown=1)


if __name__ == "__main__":
    main()
