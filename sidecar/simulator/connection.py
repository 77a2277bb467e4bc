"""One connection to the simulated provider: requests parsed, replies performed step by step.

It waits and writes; what and when was decided before. A caller that leaves is noticed at once, in
every phase, because reading never stops for long while a reply is being performed.
"""

import asyncio
import socket
import struct
import time
from collections import deque
from collections.abc import Callable
from typing import Any, Final, Protocol, cast

import httptools

from sidecar.simulator.ledger import Entry
from sidecar.simulator.openai import render_error
from sidecar.simulator.provider import Provider, Received
from sidecar.simulator.reply import End, Outcome, Reply, compose_plain
from sidecar.simulator.websocket import WebSocket, compose_head
from sidecar.simulator.wire import CONTINUE

_BODY_BYTES_MAX: Final = 128 << 20
_BUFFER_BYTES: Final = 16 << 10
_WAITING_MAX: Final = 16  # pipelined requests
_GRACE_S: Final = 0.005  # before a reset, so that what was sent arrives first
_NO_LINGER: Final = struct.pack("ii", 1, 0)


class Crowd(Protocol):
    """Whoever keeps the set of open connections."""

    def entered(self, connection: "Connection") -> None:
        """A connection was made."""
        ...

    def left(self, connection: "Connection") -> None:
        """A connection is gone."""
        ...


class Connection(asyncio.Protocol):
    """HTTP/1.1 with keep-alive, one reply at a time."""

    def __init__(self, provider: Provider, crowd: Crowd, clock: Callable[[], float] = time.monotonic) -> None:
        self._provider = provider
        self._crowd = crowd
        self._clock = clock
        self._loop = asyncio.get_running_loop()
        self._parser = httptools.HttpRequestParser(self)
        self._transport: asyncio.Transport | None = None
        self._waiting: deque[tuple[Received, bool]] = deque()
        self._entry: Entry | None = None
        self._reply: Reply | None = None
        self._keeps = True
        self._hides_body = False
        self._next = 0  # step of the reply
        self._has_waited = False
        self._timer: asyncio.Handle | None = None
        self._is_writable = True
        self._opened_s = clock()
        self._served = 0
        self._target = b""
        self._headers: dict[str, str] = {}
        self._body = bytearray()

    def tell(self) -> dict[str, Any]:
        """The connection as JSON types."""
        peer = self._transport.get_extra_info("peername") if self._transport else None
        entry = self._entry
        return {
            "peer": list(peer[:2]) if isinstance(peer, tuple) else None, "opened_s": self._opened_s, "served": self._served,
            "number": entry.number if entry else None, "path": entry.path if entry else None,
        }  # fmt: skip

    def abort(self) -> None:
        """Break off: the simulator stops."""
        self._seal(Outcome.STOPPED)
        if self._transport:
            self._transport.abort()

    # What the transport says.

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        """Keep little in the socket's buffer: what counts as sent shall be nearly what was sent."""
        self._transport = cast("asyncio.Transport", transport)
        self._transport.set_write_buffer_limits(high=_BUFFER_BYTES)
        self._crowd.entered(self)

    def data_received(self, data: bytes) -> None:
        """Bytes of requests."""
        try:
            self._parser.feed_data(data)
        except httptools.HttpParserUpgrade as switch:
            self._upgrade(data[switch.args[0] :])
        except httptools.HttpParserError:
            self._refuse(400, "This is not a request that can be read.")

    def eof_received(self) -> bool:
        """A caller that says nothing more has left: no SDK half-closes."""
        return False

    def connection_lost(self, exc: Exception | None) -> None:
        """Note when it was, if a reply was under way."""
        if self._timer:
            self._timer.cancel()
        if self._entry:
            self._entry.client_closed_s = self._clock()
            hung = self._reply is not None and self._reply.end is End.HANG and self._next >= len(self._reply.steps)
            self._seal(Outcome.STALLED if hung else Outcome.CLIENT_GONE)
        self._reply = None
        self._waiting.clear()
        self._crowd.left(self)

    def pause_writing(self) -> None:
        """The caller reads slowly."""
        self._is_writable = False

    def resume_writing(self) -> None:
        """The caller has caught up."""
        self._is_writable = True
        if self._reply and self._timer is None:
            self._advance()

    # What the parser says.

    def on_message_begin(self) -> None:
        """A request begins."""
        self._target, self._headers, self._body = b"", {}, bytearray()

    def on_url(self, url: bytes) -> None:
        """A piece of the target."""
        self._target += url

    def on_header(self, name: bytes, value: bytes) -> None:
        """One header line; of several of a name the last counts."""
        self._headers[name.decode("latin-1").lower()] = value.decode("latin-1")

    def on_headers_complete(self) -> None:
        """The head is there; a caller that asks first is told to go on."""
        if self._headers.get("expect", "").lower() == "100-continue" and self._transport and not self._reply:
            self._transport.write(CONTINUE)

    def on_body(self, data: bytes) -> None:
        """A piece of the body."""
        if len(self._body) + len(data) <= _BODY_BYTES_MAX:
            self._body += data
        else:
            self._refuse(413, "The request is too large.")

    def on_message_complete(self) -> None:
        """A whole request: answer it, after those before it."""
        parser = self._parser
        if parser.should_upgrade():
            return
        received = Received(
            parser.get_method().decode("latin-1"), self._target.decode("latin-1"), self._headers, bytes(self._body),
            can_chunk=parser.get_http_version() != "1.0",
        )  # fmt: skip
        self._waiting.append((received, parser.should_keep_alive()))
        if len(self._waiting) > _WAITING_MAX:
            self._refuse(400, "Too many requests at once on one connection.")
        elif self._reply is None:
            self._begin()

    def _upgrade(self, rest: bytes) -> None:
        """Go on as a WebSocket where the interface has one, and the key is good."""
        if self._reply is not None or self._transport is None or self._headers.get("upgrade", "").lower() != "websocket":
            self._refuse(400, "This is not a request that can be read.")
            return
        received = Received("GET", self._target.decode("latin-1"), self._headers, b"")
        provider = self._provider
        entry, told = provider.open_session(received, self._clock())
        if isinstance(told, Reply):
            self._transport.write(told.steps[0].wire)
            self._transport.close()
            provider.ledger.seal(entry, told.outcome, self._clock())
            return
        session = WebSocket(told, entry, provider.ledger, provider.profile, self._clock, self.connection_lost)
        session.begin(self._transport, compose_head(self._headers, [("x-request-id", entry.request_id)]), rest)

    # Performing a reply.

    def _begin(self) -> None:
        if not self._waiting or not self._transport or self._transport.is_closing():
            return
        received, self._keeps = self._waiting.popleft()
        self._hides_body = received.method == "HEAD"
        self._entry, self._reply = self._provider.receive(received, self._clock())
        self._next, self._has_waited = 0, False
        self._advance()

    def _elapsed(self) -> None:
        self._timer, self._has_waited = None, True
        self._advance()

    def _go_on(self) -> None:
        self._timer = None
        self._advance()

    def _advance(self) -> None:
        """Write until a pause is due, the caller is slow, or all is written."""
        reply, transport = self._reply, self._transport
        if reply is None or transport is None:
            return
        left = reply.steps_per_turn
        while self._next < len(reply.steps):
            if not self._is_writable:
                return
            step = reply.steps[self._next]
            if step.delay_s > 0 and not self._has_waited:
                self._timer = self._loop.call_later(step.delay_s, self._elapsed)
                return
            if not left:
                self._timer = self._loop.call_soon(self._go_on)
                return
            left -= 1
            self._next, self._has_waited = self._next + 1, False
            if step.wire:
                # Noted first: a write that fails at once ends in connection_lost, which reads the note.
                if self._entry:
                    self._entry.wrote(b"" if self._hides_body else step.body, self._clock())
                transport.write(step.wire[: len(step.wire) - len(step.body)] if self._hides_body else step.wire)
        self._finish(reply, transport)

    def _finish(self, reply: Reply, transport: asyncio.Transport) -> None:
        if reply.end is End.HANG:
            return
        if reply.end is End.RESET:
            self._timer = self._loop.call_later(_GRACE_S, self._reset)
            return
        self._seal(reply.outcome)
        self._reply = None
        if reply.end is End.CLOSE or not self._keeps:
            transport.close()
        else:
            self._begin()

    def _reset(self) -> None:
        """End with a TCP reset rather than an orderly close: linger for no time (RFC 9293, 3.10.5)."""
        self._timer = None
        if not self._transport:
            return
        if self._reply:
            self._seal(self._reply.outcome)
        handle: socket.socket | None = self._transport.get_extra_info("socket")
        if handle is not None:
            handle.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _NO_LINGER)
        self._transport.abort()

    def _seal(self, outcome: Outcome) -> None:
        entry, self._entry = self._entry, None
        if entry:
            self._served += 1
            self._provider.ledger.seal(entry, outcome, self._clock())

    def _refuse(self, status: int, message: str) -> None:
        """An answer to what cannot be a request; no entry, for there is nothing to account for."""
        if self._transport and not self._transport.is_closing():
            self._transport.write(compose_plain(status, render_error(status, message), [("connection", "close")]).steps[0].wire)
            self._transport.close()
