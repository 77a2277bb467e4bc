"""The admin port: metrics, health, and a page that says where things are. Never on the data port."""

import asyncio
from collections.abc import Awaitable, Callable, Mapping
from typing import Final

from sidecar.config import Timeouts
from sidecar.core.identify.operators import Visitor, is_loopback, refuse_change
from sidecar.edge.clock import SystemClock
from sidecar.edge.inbound import web
from sidecar.edge.inbound.client import HttpClient
from sidecar.edge.inbound.gate import STRANGER, Gate
from sidecar.edge.inbound.server import DataServer
from sidecar.errors import ClientFault

Respond = Callable[[web.Request], Awaitable[web.Response]]
# Of a request's body; raises ValueError with a sentence that says what is allowed.
Change = Callable[[bytes], web.Response | Awaitable[web.Response]]

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
_TIMEOUTS: Final = Timeouts(idle=30.0, keep_alive=75.0, request_head=15.0)
_BODY_BYTES_MAX: Final = 16 * 1024
_BODY_S: Final = 10.0


class AdminServer:
    """Serves `paths`: path → answer to GET and HEAD, and `changes`: path → what a POST or a PUT does.

    A change of `PATH/ACTION` is also made by `GET PATH?action=ACTION`, for those who can do no more than open an address.
    Who may change something is told by `core.identify.operators`; `token` is what `admin.token_file` holds. `gate`: who may come in.
    """

    def __init__(
        self, paths: Mapping[str, Respond], changes: Mapping[str, Change] | None = None, *, token: str | None = None,
        gate: Gate | None = None,
    ) -> None:  # fmt: skip
        self._paths = paths
        self._changes = changes or {}
        self._token = token
        self._gate = gate
        self._is_local = False
        self._server = DataServer(self._carry, self._refuse_malformed, SystemClock(), _TIMEOUTS, lambda: "")

    async def start(self, host: str, port: int) -> tuple[str, int]:
        """Listen; return the address. Raises OSError."""
        gate = self._gate
        if gate is None:
            address = await self._server.start(host, port)
        else:
            address = await self._server.start(host, port, gate.context, gate.welcome)
        self._is_local = all(is_loopback(bound) for bound in self._server.hosts)
        return address

    def adopt(self, paths: Mapping[str, Respond], changes: Mapping[str, Change], token: str | None) -> None:
        """Serve these from the next request on."""
        self._paths, self._changes, self._token = paths, changes, token

    async def stop(self, timeout_s: float = 0.5) -> None:
        """Answer nobody any more. Whoever is being answered has `timeout_s`."""
        await self._server.stop(timeout_s)
        if self._gate is not None:
            self._gate.stop()

    async def _carry(self, client: HttpClient) -> None:
        """Answer one request."""
        request = web.Request.of(client)
        try:
            response = await self._handle(request, client)
        except Exception as error:
            # Told where the process tells what its libraries do; whoever asked learns no more than that.
            told = {"message": f"the answer to {request.method} {request.path!r} failed", "exception": error}
            asyncio.get_running_loop().call_exception_handler(told)
            response = web.Response(status=500, text="500: internal error\n")
            response.force_close()
        self._send(client, response)

    def _send(self, client: HttpClient, response: web.Response) -> None:
        for name, value in _HEADERS.items():
            response.headers.setdefault(name, value)  # assets may be kept: they say so themselves
        if self._gate is not None:
            self._gate.dress(response)
        keep = client.call.keep_alive and not response.closes
        if not client.gone:
            client.write(response.encode(client.call, keep=keep, wall_s=SystemClock.wall_ns() / 1e9))
        client.finish(keep=keep)

    @staticmethod
    def _refuse_malformed() -> bytes:
        return b"HTTP/1.1 400 Bad Request\r\nServer: llm-sidecar\r\nContent-Length: 0\r\nConnection: close\r\n\r\n"

    async def _handle(self, request: web.Request, client: HttpClient) -> web.Response:
        entry = STRANGER if self._gate is None else await self._gate.admit(request, self._token)
        if entry.refusal is None:
            return await self._respond(request, client, is_known=entry.is_known)
        if request.has_body:
            entry.refusal.force_close()  # what is left of the body is read by nobody
        return entry.refusal

    async def _respond(self, request: web.Request, client: HttpClient, *, is_known: bool) -> web.Response:
        respond, change = self._paths.get(request.path), self._changes.get(request.path)
        action = self._changes.get(f"{request.path}/{request.query['action']}") if "action" in request.query else None
        if action is not None and request.method == "GET":
            return await self._change(request, client, action, is_known=is_known)
        if respond is not None and request.method in ("GET", "HEAD"):
            return await respond(request)
        if change is not None and request.method in ("POST", "PUT"):
            return await self._change(request, client, change, is_known=is_known)
        if respond is None and change is None:
            return web.Response(status=404, text="404: not found\n" + "".join(f"{path}\n" for path in (*self._paths, *self._changes)))
        allowed = ", ".join([*(("GET", "HEAD") if respond is not None else ()), *(("POST", "PUT") if change is not None else ())])
        return web.Response(status=405, text=f"405: only {allowed}\n", headers={"Allow": allowed})

    async def _change(self, request: web.Request, client: HttpClient, change: Change, *, is_known: bool) -> web.Response:
        fields = request.headers
        authorization, host, origin, kind, site = (fields.getall(name) for name in _TOLD_OF_VISITORS)
        visitor = Visitor(authorization, host, origin, kind, site, is_get=request.method == "GET")
        refusal = refuse_change(visitor, self._token, is_local=self._is_local, is_known=is_known, scheme=request.scheme)
        if refusal is not None:
            response = _tell(refusal.status, refusal.message)
            if refusal.status == 401:
                response.headers["WWW-Authenticate"] = "Bearer"
        else:
            try:
                changed = change(await _read_body(client))
                return changed if isinstance(changed, web.Response) else await changed
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


async def _read_body(client: HttpClient) -> bytes:
    """Return the request's body. Raises _TooLargeError, TimeoutError, ValueError."""
    try:
        async with asyncio.timeout(_BODY_S):
            body, is_whole = await client.read_body(_BODY_BYTES_MAX)
    except ClientFault as fault:
        raise ValueError(str(fault)) from None
    if not is_whole:
        raise _TooLargeError
    return body


def _tell(status: int, message: str) -> web.Response:
    return web.json_response({"error": message}, status=status)
