"""Tools behind tool routes: an MCP server as a process, and a sidecar within the test's own process in front of it."""

import asyncio
import contextlib
import sys
from collections.abc import AsyncIterator, Mapping
from typing import Any, Final

from sidecar.app import Sidecar
from sidecar.config import Admin, Route, RouteKind, Settings, Upstream
from sidecar.simulator.accounts import read_samples
from tests.rig.process import ROOT, find_port
from tests.rig.side import Records, Side

PREFIX: Final = "/tools/rig/"
MCP: Final = PREFIX + "mcp"
_START_S: Final = 20.0


def settle_tools(url: str, **changes: Any) -> Settings:
    """Return settings with a tool route and a route of another kind to one upstream."""
    return Settings(
        listen="127.0.0.1:0", admin=Admin("127.0.0.1:0"), upstreams={"rig": Upstream(url), "openai": Upstream(url, provider="openai")},
        routes=(Route(PREFIX, "rig", kind=RouteKind.TOOL), Route("/openai/", "openai")), **changes,
    )  # fmt: skip


@contextlib.asynccontextmanager
async def running_tools(url: str, *, environ: Mapping[str, str] | None = None, **changes: Any) -> AsyncIterator[Side]:
    """Run a sidecar with a tool route to `url`; calls in progress are stopped at the end."""
    records = Records()
    sidecar = Sidecar(settle_tools(url, **changes), environ or {}, sinks=[records])
    await sidecar.start()
    try:
        yield Side(sidecar, records)
    finally:
        await sidecar.stop(grace_s=0)


class McpProcess:
    """A running MCP server."""

    def __init__(self, port: int, process: asyncio.subprocess.Process) -> None:
        self.url = f"http://127.0.0.1:{port}"
        self.process = process


@contextlib.asynccontextmanager
async def serving_mcp(*options: str) -> AsyncIterator[McpProcess]:
    """Run an MCP server of the rig with `options`: json, stateless, resumable."""
    port = find_port()
    arguments = [sys.executable, "-m", "tests.rig.mcp_server", str(port), *options]
    process = await asyncio.create_subprocess_exec(*arguments, cwd=ROOT, stderr=asyncio.subprocess.DEVNULL)
    try:
        await _until_open(port, process)
        yield McpProcess(port, process)
    finally:
        with contextlib.suppress(ProcessLookupError):
            process.kill()
        await process.wait()


async def _until_open(port: int, process: asyncio.subprocess.Process) -> None:
    async with asyncio.timeout(_START_S):
        while True:
            assert process.returncode is None, "the MCP server did not start"
            with contextlib.suppress(OSError):
                _, writer = await asyncio.open_connection("127.0.0.1", port)
                writer.close()
                return
            await asyncio.sleep(0.02)


async def count_tools(side: Side) -> dict[tuple[str, str], float]:
    """Return how many executions were measured, by tool and error type."""
    return {
        (labels["gen_ai_tool_name"], labels["error_type"]): value
        for name, labels, value in read_samples(await side.scrape())
        if name == "gen_ai_execute_tool_duration_seconds_count"
    }
