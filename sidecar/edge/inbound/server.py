"""The data port: aiohttp's low-level server, one call of the path per request.

No router, no middlewares, no access log. A caller that leaves cancels the path at whatever it is
waiting for (`handler_cancellation`). A caller that closes only its sending side is taken to have
left: HTTP would let it wait, but no LLM client does that, and a provider bills for every second.
"""

import asyncio
import logging
from collections.abc import Awaitable, Callable
from typing import Any, Final

from aiohttp import HttpVersion10, HttpVersion11, http_parser, web

from sidecar.config import Timeouts
from sidecar.core.attempt.heads import read_request
from sidecar.edge.inbound.client import CLOSE, KEEP, ClientConnection, HttpClient
from sidecar.errors import BAD_REQUEST, ClientGone
from sidecar.exchange import Call
from sidecar.ports import Client, Clock

# Long enough for any header that carries a token, short enough to be of no use as an attack.
_LINE_BYTES_MAX: Final = 16 * 1024
_HEADERS_MAX: Final = 128
# How often connections are looked over for heads that never come.
_LOOK_S: Final = 5.0
# What calls that were cancelled at the end have to tell their callers.
_LAST_WORDS_S: Final = 0.5

Carry = Callable[[Client], Awaitable[None]]


def has_fast_parser() -> bool:
    """Tell whether aiohttp's C parser is there: the only one we serve with.

    Most request smuggling advisories against aiohttp concern the fallback in pure Python.
    """
    return http_parser.HttpRequestParser is not http_parser.HttpRequestParserPy


class _Connections(web.Server):
    """Makes our kind of connection."""

    def __init__(self, handler: Any, make: Callable[["_Connections"], ClientConnection]) -> None:
        super().__init__(handler, handler_cancellation=True)
        self._make = make

    def __call__(self) -> web.RequestHandler:
        return self._make(self)


class DataServer:
    """Serves the application's calls.

    `carry`: takes one call to its end. `malformed`: notes a request that never became a call, and
    returns the body that tells the caller so. `draw_id`: returns a new request id.
    """

    def __init__(self, carry: Carry, malformed: Callable[[], bytes], clock: Clock, timeouts: Timeouts, draw_id: Callable[[], str]) -> None:
        self._carry = carry
        self._malformed = malformed
        self._clock = clock
        self._timeouts = timeouts
        self._draw_id = draw_id
        self._server: asyncio.Server | None = None
        self._connections = _Connections(self._handle, self._connect)
        self._calls: set[asyncio.Task[Any]] = set()  # in progress
        self._look: asyncio.TimerHandle | None = None
        self._quiet = logging.getLogger("sidecar.http")
        self._quiet.disabled = True  # aiohttp's messages quote the input; what matters is in our records

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address. Raises OSError."""
        loop = asyncio.get_running_loop()
        self._server = await loop.create_server(self._connections, host, port, reuse_address=True, backlog=1024)
        self._look = loop.call_later(_LOOK_S, self._look_over)
        bound = self._server.sockets[0].getsockname()
        return bound[0], bound[1]

    async def stop(self, grace_s: float) -> None:
        """Stop listening, let calls end for `grace_s` seconds, then cancel what is left: each tells its own caller."""
        if self._look is not None:
            self._look.cancel()
        if self._server is not None:
            self._server.close()
        self._connections.pre_shutdown()
        for connection in list(self._connections.connections):
            if isinstance(connection, ClientConnection) and connection.begun_at >= 0:
                connection.force_close()  # idle: what came on it now would not be answered
        if self._calls:
            await asyncio.wait(self._calls, timeout=grace_s)
        for call in tuple(self._calls):
            call.cancel()
        # aiohttp's own way to cancel closes the connection first: nobody could be told anything.
        await self._connections.shutdown(_LAST_WORDS_S)

    def _connect(self, manager: _Connections) -> ClientConnection:
        return ClientConnection(
            manager, loop=asyncio.get_running_loop(), on_malformed=self._malformed, keepalive_timeout=self._timeouts.keep_alive,
            access_log=None, logger=self._quiet, auto_decompress=False, lingering_time=1.0, max_line_size=_LINE_BYTES_MAX,
            max_field_size=_LINE_BYTES_MAX, max_headers=_HEADERS_MAX,
        )  # fmt: skip

    async def _handle(self, request: web.BaseRequest) -> web.StreamResponse:
        accepted = self._clock.now()
        connection = request.protocol
        if not isinstance(connection, ClientConnection):
            return CLOSE
        if request.version is not HttpVersion11 and request.version != HttpVersion10:
            return connection.handle_error(request, BAD_REQUEST.status)  # the parser takes 0.9 and 2.0 for HTTP/1 too
        headers = request.raw_headers
        call = Call(
            id=self._draw_id(), method=request.method, target=request.raw_path, headers=headers,
            http_version=request.version, has_body=request.body_exists, keep_alive=request.keep_alive,
            wanted=read_request(headers), accepted=accepted, accepted_ns=self._clock.wall_ns(),
        )  # fmt: skip
        try:
            client = HttpClient(request, connection, call, idle_s=self._timeouts.idle)
        except ClientGone:
            return CLOSE
        connection.begun_at = -1.0
        task = asyncio.current_task()
        if task is not None:
            self._calls.add(task)
        try:
            await self._carry(client)
            if client.resets:
                await client.settle()
        finally:
            if task is not None:
                self._calls.discard(task)
            # What comes of a body that nobody read is no head.
            connection.begun_at = 0.0 if request.content.is_eof() else -1.0
        return KEEP if client.keep else CLOSE

    def _look_over(self) -> None:
        """Close connections whose request head has been coming for too long (slowloris)."""
        loop = asyncio.get_running_loop()
        self._look = loop.call_later(_LOOK_S, self._look_over)
        oldest = loop.time() - self._timeouts.request_head
        for connection in self._connections.connections:
            if isinstance(connection, ClientConnection) and 0 < connection.begun_at < oldest:
                connection.force_close()
