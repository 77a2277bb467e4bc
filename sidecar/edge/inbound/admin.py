"""The admin port: metrics, health, and a page that says where things are. Never on the data port."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

# One of aiohttp's libraries is in C++ and brings that language's runtime, more than a megabyte, for
# a list of callbacks that is read a few times. Its plain form serves as well.
os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

from aiohttp import http_parser, web

Respond = Callable[[web.BaseRequest], Awaitable[web.Response]]

# Operators' pages hold names of models and tenants: no cache keeps them, no frame shows them.
_HEADERS: Final = {
    "Server": "llm-sidecar",
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": "default-src 'none'; style-src 'unsafe-inline'; frame-ancestors 'none'",
}
_KEEP_ALIVE_S: Final = 75.0


def has_fast_parser() -> bool:
    """Tell whether aiohttp's C parser is there: the only one we serve with.

    Most request smuggling advisories against aiohttp concern the fallback in pure Python.
    """
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


class AdminServer:
    """Serves `paths`: path → answer to GET and HEAD."""

    def __init__(self, paths: Mapping[str, Respond]) -> None:
        self._paths = paths
        self._web = web.Server(self._handle, access_log=None, keepalive_timeout=_KEEP_ALIVE_S)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(self._web, host, port, reuse_address=True)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self) -> None:
        """Stop at once."""
        if self._server is not None:
            self._server.close()
        await self._web.shutdown(0.5)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        respond = self._paths.get(request.path)
        if respond is None:
            response = web.Response(status=404, text="404: not found\n" + "".join(f"{path}\n" for path in self._paths))
        elif request.method not in ("GET", "HEAD"):
            response = web.Response(status=405, text="405: only GET and HEAD\n", headers={"Allow": "GET, HEAD"})
        else:
            response = await respond(request)
        response.headers.update(_HEADERS)
        return response
