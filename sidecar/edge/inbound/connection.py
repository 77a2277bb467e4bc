"""One caller's HTTP/1.1 connection: bytes in, calls out, one at a time and in order.

The parser is llhttp in its strict form, the same that aiohttp's server is built on. What it lets
through and we do not is refused here: other versions than 1.0 and 1.1, transfer codings other than
`chunked` alone, two hosts, targets and fields beyond our limits. Everything else of a server (a
task per call, request and response objects, a stream reader) is what a proxy does not need, and
costs as much as all the rest of a call together.

A caller that closes only its sending side is taken to have left: HTTP would let it wait, but no
LLM client does that, and a provider bills for every second.
"""

import asyncio
import socket
from collections import deque
from collections.abc import Callable
from typing import Final

import httptools

from sidecar.edge.inbound.client import HttpClient
from sidecar.edge.inbound.heads import LINE_BYTES_MAX, begin_call, say_last
from sidecar.edge.inbound.host import Host
from sidecar.edge.tasks import spawn
from sidecar.exchange import Call, Header
from sidecar.ports import Handover, Receiver

_HEAD_BYTES_MAX: Final = 64 * 1024
# Behind a request to upgrade, before it is decided on.
_BEYOND_BYTES_MAX: Final = 64 * 1024
# What comes ahead of its turn waits in the socket's buffers, not in ours.
_AHEAD_MAX: Final = 16
# How long the rest of a body that nobody wants is read and thrown away: closing at once would reset
# the connection under the answer.
_REST_S: Final = 1.0


class ClientConnection(asyncio.Protocol):
    """Reads calls from a caller's connection and has them carried."""

    __slots__ = (
        "_beyond", "_body_came", "_carried", "_client", "_closing", "_fields", "_go_on", "_handed", "_head_bytes", "_host", "_last",
        "_malformed", "_parser", "_pause", "_paused_reading", "_paused_writing", "_target", "_waiter", "_waiting", "begun_at",
        "busy", "endless", "idle_since", "lost", "task", "transport",
    )  # fmt: skip

    transport: asyncio.Transport

    def __init__(self, host: Host) -> None:
        self._host = host
        self._parser = httptools.HttpRequestParser(self)
        self._fields: list[Header] = []
        self._target = b""
        self._head_bytes = 0  # received of a head that is not whole, or within a body without any of it
        self._beyond: bytearray | None = None  # what came behind a request to upgrade
        self._body_came = False
        self._handed: Receiver | None = None  # the session that it belongs to: it carries no more calls
        self._client: HttpClient | None = None  # whose body is being read from the socket
        self._carried: HttpClient | None = None
        self._waiting: deque[HttpClient] = deque()
        self._waiter: asyncio.Future[None] | None = None
        self.task: asyncio.Task[None] | None = None  # in which calls are carried
        self._malformed = False
        self._closing = False
        self._last: Call | None = None  # whose answer says that no more requests are taken here
        self._pause: Callable[[], None] | None = None
        self._go_on: Callable[[], None] | None = None
        self._paused_writing = False
        self._paused_reading = False
        self.begun_at = 0.0  # when a head began to come that is not whole yet; 0: none has
        self.busy = False  # a call is being carried, or about to be
        self.endless = False  # and it lasts as long as both sides do
        self.idle_since = 0.0
        self.lost = False

    # -- asyncio.Protocol ------------------------------------------------------------------

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Begin (asyncio)."""
        self.transport = transport  # type: ignore[assignment]  # a TCP transport is an asyncio.Transport
        sock = transport.get_extra_info("socket")
        if sock is not None and sock.family in (socket.AF_INET, socket.AF_INET6):
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
        self.idle_since = self._host.now()
        self._host.opened(self)

    def data_received(self, data: bytes) -> None:
        """Read what came (asyncio)."""
        if self._malformed or (self._closing and self._client is None):
            if self._beyond is not None:
                self._hold(data)
            return
        client = self._client
        if client is None:
            if not self._head_bytes:
                self.begun_at = self._host.now()
            self._head_bytes += len(data)
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self._closing = True  # the call that asked for it is carried; what follows is not HTTP
            self._beyond = bytearray()
            self._hold(data[switch.args[0] :])
        except (httptools.HttpParserError, ValueError):
            self._give_up()
            return
        if self._client is None:
            excess = self._head_bytes
        elif self._client is client:  # a body goes on: a trailer or a chunk extension must not do so for ever
            excess = self._head_bytes = 0 if self._body_came else self._head_bytes + len(data)
            self._body_came = False
        else:
            return
        if excess > _HEAD_BYTES_MAX:
            self._give_up()

    def eof_received(self) -> bool:
        """The caller closed its side (asyncio): it is taken to have left."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """The caller is gone (asyncio): whatever is done for it ends."""
        self.lost = True
        self._host.closed(self)
        if self.task is not None and self._handed is None:  # a session finds out by itself
            self.task.cancel()

    def pause_writing(self) -> None:
        """The caller reads too slowly (asyncio)."""
        self._paused_writing = True
        if self._pause is not None:
            self._pause()

    def resume_writing(self) -> None:
        """The caller has caught up (asyncio)."""
        self._paused_writing = False
        if self._go_on is not None:
            self._go_on()

    # -- httptools -------------------------------------------------------------------------

    def on_url(self, url: bytes) -> None:
        """Note the target, which may come in pieces."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """Note a field of the head; trailers are dropped (RFC 9112 section 7.1.2)."""
        if self._client is None:
            if len(value) > LINE_BYTES_MAX or len(name) > LINE_BYTES_MAX:
                raise ValueError("too long a field")
            self._fields.append((name, value))

    def on_headers_complete(self) -> None:
        """A head is whole: a call begins."""
        host, parser, fields, target = self._host, self._parser, tuple(self._fields), self._target
        self._fields, self._target = [], b""
        call = begin_call(parser.get_method(), parser.get_http_version(), parser.should_keep_alive(), target, fields, host)
        self._client = client = HttpClient(call, self, host.idle_s)
        self._head_bytes, self.begun_at, self.busy = 0, 0.0, True
        self._waiting.append(client)
        if host.is_draining:
            host.called_at, self._last = call.accepted, say_last(call, self._last)
        if len(self._waiting) > _AHEAD_MAX:
            self.hold_reading()
        if self.task is None:
            self.task = spawn(self._serve(), name="calls of one connection")
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)

    def on_body(self, data: bytes) -> None:
        """A piece of a body came."""
        self._body_came = True
        if self._client is not None:
            self._client.feed(data)

    def on_message_complete(self) -> None:
        """A request is whole."""
        client, self._client = self._client, None
        self._head_bytes = 0
        if client is not None:
            client.feed_end()

    # -- what the call does ----------------------------------------------------------------

    def watch(self, pause: Callable[[], None] | None, go_on: Callable[[], None] | None) -> None:
        """Tell `pause` when the write buffer is full, `go_on` when it has drained."""
        self._pause, self._go_on = pause, go_on
        if pause is not None and self._paused_writing:
            pause()

    def hold_reading(self) -> None:
        """Stop reading: more has come than is taken."""
        if not self._paused_reading and not self.lost:
            self._paused_reading = True
            self.transport.pause_reading()

    def resume_reading(self) -> None:
        """Read on."""
        if self._paused_reading and not self.lost:
            self._paused_reading = False
            self.transport.resume_reading()

    def outlast(self) -> None:
        """The call in progress has no end of its own: nothing waits for it when the sidecar stops."""
        self.endless = True
        if self._host.is_dismissing:
            self.cancel()

    def hand_over(self, receiver: Receiver) -> Handover:
        """Give the connection to `receiver` (ports.Client)."""
        self._handed = receiver
        rest, self._beyond = bytes(self._beyond or b""), None
        self.transport.set_protocol(receiver)
        self.resume_reading()
        if self._host.is_dismissing:
            asyncio.get_running_loop().call_soon(receiver.drain)
        return Handover(self.transport, rest, self._paused_writing, self)

    # -- what the server does --------------------------------------------------------------

    def drain(self) -> None:
        """Have the answer that is still to begin say that no more requests are taken; the connection is closed behind it."""
        client = self._waiting[-1] if self._waiting else self._carried
        if client is not None:
            self._last = say_last(client.call, self._last)

    def dismiss(self) -> None:
        """End what has no end: a call at once, a session as soon as nothing is lost by it."""
        if self._handed is not None:
            self._handed.drain()
        elif self.endless:
            self.cancel()

    @property
    def is_idle(self) -> bool:
        """Whether nothing is in progress; what has no end is not waited for until it has been dismissed."""
        if self._handed is not None or self.endless:
            return not self._host.is_dismissing or not self.busy
        return not (self.busy or self.begun_at or self.transport.get_write_buffer_size())

    @property
    def heard_at(self) -> float:
        """When a session's sides were last heard of, on the monotonic clock; 0: it is none."""
        return 0.0 if self._handed is None else self._handed.heard_at

    def cancel(self) -> None:
        """End the call in progress: it tells its own caller."""
        if self.task is not None:
            self.task.cancel()

    # --------------------------------------------------------------------------------------

    async def _serve(self) -> None:
        """Carry calls, one after the other, until the connection is closed."""
        try:
            while True:
                while self._waiting:
                    client = self._waiting.popleft()
                    if self._paused_reading:
                        self.resume_reading()
                    self.busy, self._carried = True, client
                    await self._host.carry(client)
                    if client.resets or self._paused_writing or self._host.is_draining:  # else answers that nobody reads would pile up
                        await client.settle()
                    whole = client.whole or self.transport.is_closing() or await client.drop_rest(_REST_S)
                    self.busy, self.endless, self._carried = False, False, None
                    if not (whole and client.keep) or (self._closing and not self._waiting):
                        return
                if self._malformed:
                    self.transport.write(self._host.refuse_malformed())
                    return
                self.idle_since = self._host.now()
                self._waiter = asyncio.get_running_loop().create_future()
                await self._waiter
                self._waiter = None
        finally:
            self.busy, self._closing, self._carried, self.idle_since = False, True, None, self._host.now()
            if not self.transport.is_closing():
                self.transport.close()

    def _hold(self, data: bytes) -> None:
        """Keep what follows a request to upgrade until it is known whose it is; more waits in the socket's buffers."""
        if self._beyond is not None:
            self._beyond += data
            if len(self._beyond) > _BEYOND_BYTES_MAX:
                self.hold_reading()

    def _give_up(self) -> None:
        """What came is not HTTP: nobody knows where the next request begins."""
        self._malformed = True
        client, self._client = self._client, None
        if client is not None:
            client.feed_fault()
        elif self.task is None:
            self.transport.write(self._host.refuse_malformed())
            self.transport.close()
        elif self._waiter is not None and not self._waiter.done():
            self._waiter.set_result(None)
