"""What the usual way costs in Python: an aiohttp server that forwards with an aiohttp client.

Nothing is observed, nothing decided. Run as a process of its own:
`python tests/bench/plain_proxy.py PORT UPSTREAM_PORT`.
"""

import asyncio
import contextlib
import logging
import sys
from collections.abc import Mapping

import aiohttp
import uvloop
from aiohttp import web
from multidict import CIMultiDict

_HOP_BY_HOP = ("Connection", "Keep-Alive", "Transfer-Encoding", "TE", "Upgrade")


class Forwarder:
    """Forwards each request to one upstream."""

    def __init__(self, session: aiohttp.ClientSession, upstream: str) -> None:
        self.session = session
        self.upstream = upstream

    async def forward(self, request: web.BaseRequest) -> web.StreamResponse:
        """Carry one call: the body whole on the way there, chunk by chunk on the way back."""
        headers = _end_to_end(request.headers)
        body = await request.read()
        async with self.session.request(request.method, self.upstream + request.path_qs, headers=headers, data=body) as answer:
            response = web.StreamResponse(status=answer.status, headers=_end_to_end(answer.headers))
            await response.prepare(request)
            async for chunk in answer.content.iter_any():
                await response.write(chunk)
            await response.write_eof()
            return response


def _end_to_end(headers: Mapping[str, str]) -> CIMultiDict[str]:
    kept = CIMultiDict(headers)
    for name in _HOP_BY_HOP:
        kept.popall(name, None)
    return kept


async def serve(port: int, upstream: str) -> None:
    """Listen on the loopback address until cancelled."""
    connector = aiohttp.TCPConnector(limit=0)
    async with aiohttp.ClientSession(connector=connector, auto_decompress=False, timeout=aiohttp.ClientTimeout()) as session:
        runner = web.ServerRunner(web.Server(Forwarder(session, upstream).forward, access_log=None))
        await runner.setup()
        await web.TCPSite(runner, "127.0.0.1", port, backlog=4096).start()
        await asyncio.Event().wait()


if __name__ == "__main__":
    logging.disable()  # a client that hung up costs it no traceback
    with contextlib.suppress(KeyboardInterrupt), asyncio.Runner(loop_factory=uvloop.new_event_loop) as started:
        started.run(serve(int(sys.argv[1]), f"http://127.0.0.1:{sys.argv[2]}"))
