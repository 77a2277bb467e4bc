"""HTTP tools within the test's own process: they wait for each other, fail, break off, and send what is asked for."""

import asyncio
import contextlib
from collections.abc import AsyncIterator
from typing import Any

from aiohttp import web


class HttpTools:
    """A server of tools. `within` and `most`: calls of `gate` now, and the most at once."""

    def __init__(self) -> None:
        self.url = ""
        self.seen: list[tuple[str, dict[str, str], bytes]] = []
        self.within = 0
        self.most = 0
        self.cancelled = 0
        self.gate_size = 1  # so many calls of `gate` have to be there before any is answered

    async def handle(self, request: web.Request) -> web.StreamResponse:
        """Answer by the tool's name, the path's first segment."""
        body = await request.read()
        self.seen.append((request.path_qs, {name.lower(): value for name, value in request.headers.items()}, body))
        tool = request.path.split("/")[1] or "root"
        answer: web.StreamResponse = await getattr(self, f"do_{tool}", self.do_echo)(request, body)
        return answer

    async def do_echo(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send the body back in its own type."""
        return web.Response(body=body, content_type=request.content_type)

    async def do_gate(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer once enough callers are here."""
        self.within += 1
        self.most = max(self.most, self.within)
        try:
            while self.most < self.gate_size:
                await asyncio.sleep(0.005)
        except asyncio.CancelledError:
            self.cancelled += 1
            raise
        finally:
            self.within -= 1
        return web.json_response({"within": self.most})

    async def do_slow(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Take 200 ms."""
        await asyncio.sleep(0.2)
        return web.json_response({"slow": True})

    async def do_fail(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer with status 500."""
        return web.json_response({"error": "no"}, status=500)

    async def do_break(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Break off in the middle of an answer."""
        response = web.StreamResponse(headers={"Content-Type": "application/json", "Content-Length": "100"})
        await response.prepare(request)
        await response.write(b'{"half": ')
        assert request.transport is not None
        request.transport.abort()
        return response

    async def do_big(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send as many bytes as the body says, in pieces."""
        response = web.StreamResponse()
        await response.prepare(request)
        with contextlib.suppress(ConnectionError):
            for _ in range(int(body) // 10_000):
                await response.write(b"x" * 10_000)
        return response

    async def do_binary(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Send what is no text."""
        return web.Response(body=b"\xff\x00\xfe", content_type="image/png")

    async def do_v1(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Answer a chat as OpenRouter does from its cache."""
        usage = {"prompt_tokens": 0, "completion_tokens": 0, "total_tokens": 0}
        choice = {"index": 0, "message": {"role": "assistant", "content": "again"}, "finish_reason": "stop"}
        answer = {"id": "gen-1", "model": "sim-small", "choices": [choice], "usage": usage}
        return web.json_response(answer, headers={"X-OpenRouter-Cache-Status": "HIT"})

    async def do_cookies(self, request: web.Request, body: bytes) -> web.StreamResponse:
        """Set two cookies."""
        response = web.Response(text="café", charset="utf-8")
        response.set_cookie("a", "1")
        response.set_cookie("b", "2")
        return response


@contextlib.asynccontextmanager
async def serving_tools(port: int = 0) -> AsyncIterator[HttpTools]:
    """Run a server of tools; port 0 is a free one."""
    tools = HttpTools()
    app = web.Application()
    app.router.add_route("*", "/{tail:.*}", tools.handle)
    runner: Any = web.AppRunner(app, handler_cancellation=True, shutdown_timeout=0.1)
    await runner.setup()
    site = web.TCPSite(runner, "127.0.0.1", port)
    await site.start()
    tools.url = f"http://127.0.0.1:{runner.addresses[0][1]}"
    try:
        yield tools
    finally:
        await runner.cleanup()
