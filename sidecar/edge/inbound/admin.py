"""The admin port: metrics, health, and a page that says where things are. Never on the data port."""

import asyncio
import os
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

# One of aiohttp's libraries is in C++ and brings that language's runtime, more than a megabyte, for
# a list of callbacks that is read a few times. Its plain form serves as well.
os.environ.setdefault("FROZENLIST_NO_EXTENSIONS", "1")

from aiohttp import http_parser, web

from sidecar.core.identify.operators import Visitor, is_loopback, refuse_change

Respond = Callable[[web.BaseRequest], Awaitable[web.Response]]
Change = Callable[[bytes], web.Response]  # of a request's body; raises ValueError with a sentence that says what is allowed

# Operators' pages hold names of models and tenants: no cache keeps them, no frame shows them, nothing leaves them for another host,
# and what is written into them runs no script.
_HEADERS: Final = {
    "Server": "llm-sidecar",
    "Cache-Control": "private, no-store",
    "X-Content-Type-Options": "nosniff",
    "X-Frame-Options": "DENY",
    "Referrer-Policy": "no-referrer",
    "Content-Security-Policy": (
        "default-src 'none'; script-src 'self'; style-src 'self'; connect-src 'self'; img-src 'self' data:; "
        "base-uri 'none'; form-action 'none'; frame-ancestors 'none'"
    ),
}
_TOLD_OF_VISITORS: Final = ("Authorization", "Host", "Origin", "Content-Type", "Sec-Fetch-Site")
_KEEP_ALIVE_S: Final = 75.0
_BODY_BYTES_MAX: Final = 16 * 1024
_BODY_S: Final = 10.0


def has_fast_parser() -> bool:
    """Tell whether aiohttp's C parser is there: the only one we serve with.

    Most request smuggling advisories against aiohttp concern the fallback in pure Python.
    """
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


class AdminServer:
    """Serves `paths`: path → answer to GET and HEAD, and `changes`: path → what a POST or a PUT does.

    A change of `PATH/ACTION` is also made by `GET PATH?action=ACTION`, for those who can do no more than open an address.
    Who may change something is told by `core.identify.operators`; `token` is what `admin.token_file` holds.
    """

    def __init__(self, paths: Mapping[str, Respond], changes: Mapping[str, Change] | None = None, *, token: str | None = None) -> None:
        self._paths = paths
        self._changes = changes or {}
        self._token = token
        self._is_local = False
        self._web = web.Server(self._handle, access_log=None, keepalive_timeout=_KEEP_ALIVE_S)
        self._server: asyncio.Server | None = None

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address. Raises OSError."""
        self._server = await asyncio.get_running_loop().create_server(self._web, host, port, reuse_address=True)
        names = [socket.getsockname() for socket in self._server.sockets]
        self._is_local = all(is_loopback(name[0]) for name in names)
        return names[0][0], names[0][1]

    async def stop(self) -> None:
        """Stop at once."""
        if self._server is not None:
            self._server.close()
        await self._web.shutdown(0.5)

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        respond, change = self._paths.get(request.path), self._changes.get(request.path)
        action = self._changes.get(f"{request.path}/{request.query['action']}") if "action" in request.query else None
        if action is not None and request.method == "GET":
            response = await self._change(request, action)
        elif respond is not None and request.method in ("GET", "HEAD"):
            response = await respond(request)
        elif change is not None and request.method in ("POST", "PUT"):
            response = await self._change(request, change)
        elif respond is None and change is None:
            response = web.Response(status=404, text="404: not found\n" + "".join(f"{path}\n" for path in (*self._paths, *self._changes)))
        else:
            allowed = [*(("GET", "HEAD") if respond is not None else ()), *(("POST", "PUT") if change is not None else ())]
            text = f"405: only {', '.join(allowed)}\n"
            response = web.Response(status=405, text=text, headers={"Allow": ", ".join(allowed)})
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # assets may be kept: they say so themselves
        return response

    async def _change(self, request: web.BaseRequest, change: Change) -> web.Response:
        fields = request.headers
        authorization, host, origin, kind, site = (fields.getall(name, ()) for name in _TOLD_OF_VISITORS)
        visitor = Visitor(authorization, host, origin, kind, site, is_get=request.method == "GET")
        refusal = refuse_change(visitor, self._token, is_local=self._is_local)
        if refusal is not None:
            response = _tell(refusal.status, refusal.message)
            if refusal.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
        else:
            try:
                return change(await _read_body(request))
            except ValueError as error:
                response = _tell(400, str(error))
            except TimeoutError:
                response = _tell(408, f"The body must be here within {_BODY_S:g} s.")
            except _TooLargeError:
                response = _tell(413, f"The body must be no longer than {_BODY_BYTES_MAX} bytes.")
        response.force_close()  # what is left of the body is read by nobody
        return response


class _TooLargeError(Exception):
    """A body that is longer than any that is meant."""


async def _read_body(request: web.BaseRequest) -> bytes:
    """Return the request's body. Raises _TooLargeError, TimeoutError."""
    body = b""
    async with asyncio.timeout(_BODY_S):
        async for piece in request.content.iter_any():
            body += piece
            if len(body) > _BODY_BYTES_MAX:
                raise _TooLargeError
    return body


def _tell(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
