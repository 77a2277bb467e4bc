"""A WebSocket of the simulated provider (RFC 6455): the handshake, frames, and one entry of the ledger per session.

A reader of frames of its own: code shared with what it checks would share its mistakes.
"""

import asyncio
import base64
import hashlib
from collections.abc import Callable, Mapping
from typing import Any, Final
from urllib.parse import parse_qs

import msgspec

from sidecar.simulator.ledger import Entry, Ledger
from sidecar.simulator.profile import Profile
from sidecar.simulator.reply import Marks, Outcome
from sidecar.simulator.talks import Talk, begin_talk, read_message
from sidecar.simulator.wire import Fields

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"
_CLOSE, _PING, _PONG = 0x8, 0x9, 0xA
_MESSAGE_BYTES_MAX: Final = 64 << 20


class WebSocket(asyncio.Protocol):
    """One session, from the handshake's answer on. `left` is told when the connection is gone."""

    def __init__(
        self, talk: Talk, entry: Entry, ledger: Ledger, profile: Profile, clock: Callable[[], float],
        left: Callable[[Exception | None], None],
    ) -> None:  # fmt: skip
        self._talk = talk
        self._entry = entry
        self._ledger = ledger
        self._profile = profile
        self._clock = clock
        self._left = left
        self._transport: asyncio.Transport | None = None
        self._came = bytearray()
        self._message = bytearray()
        self._outcome = Outcome.CLIENT_GONE

    def begin(self, transport: asyncio.Transport, head: bytes, rest: bytes) -> None:
        """Take the connection over, and speak first if the script says so."""
        self._transport = transport
        transport.set_protocol(self)
        transport.write(head)
        self._entry.wrote(b"", self._clock())
        for event in self._talk.greet():
            self._say(event)
        self.data_received(rest)

    def data_received(self, data: bytes) -> None:
        """Bytes of frames (asyncio)."""
        self._came += data
        while (frame := _take_frame(self._came)) is not None:
            opcode, is_last, payload = frame
            if opcode == _CLOSE:
                self._write(_CLOSE, payload)
                self._outcome = Outcome.COMPLETE
                if self._transport:
                    self._transport.close()
            elif opcode == _PING:
                self._write(_PONG, payload)
            elif opcode < _CLOSE:
                self._message += payload
                if is_last:
                    message, self._message = bytes(self._message), bytearray()
                    for event in self._talk.answer(read_message(message)):
                        self._say(event)
        if len(self._came) + len(self._message) > _MESSAGE_BYTES_MAX and self._transport:
            self._transport.abort()

    def connection_lost(self, exc: Exception | None) -> None:
        """Close the entry with all that was spent (asyncio)."""
        entry, talk, spent = self._entry, self._talk, self._talk.spent
        now = entry.client_closed_s = self._clock()
        model = self._profile.models.get(talk.model)
        entry.model, entry.is_billed = talk.model, True
        if model is not None:
            entry.prices = model.prices
        entry.prompt_tokens, entry.cached_tokens = spent.prompt, spent.cached
        entry.marks = Marks((0,) * spent.completion, tellings=((0, spent),) if spent.completion else ())
        self._ledger.seal(entry, self._outcome, now)
        self._left(exc)

    def _say(self, event: dict[str, Any]) -> None:
        self._write(2 if self._talk.is_binary else 1, msgspec.json.encode(event))

    def _write(self, opcode: int, payload: bytes) -> None:
        if self._transport and not self._transport.is_closing():
            self._transport.write(_compose_frame(opcode, payload))


def open_talk(target: str) -> Talk | None:
    """Return the script for a request's path and query; None where there is no such interface."""
    path, _, query = target.partition("?")
    return begin_talk(path, parse_qs(query).get("model", [""])[0])


def compose_head(headers: Mapping[str, str], fields: Fields) -> bytes:
    """Return the answer to a handshake (RFC 6455 section 4.2.2); of subprotocols the first is taken."""
    key = headers.get("sec-websocket-key", "").encode("latin-1")
    accept = base64.b64encode(hashlib.sha1(key + _GUID, usedforsecurity=False).digest()).decode()
    lines = ["HTTP/1.1 101 Switching Protocols", "upgrade: websocket", "connection: Upgrade", f"sec-websocket-accept: {accept}"]
    protocol = headers.get("sec-websocket-protocol", "").partition(",")[0].strip()
    if protocol:
        lines.append(f"sec-websocket-protocol: {protocol}")
    lines += [f"{name}: {value}" for name, value in fields]
    return "\r\n".join([*lines, "", ""]).encode("latin-1")


def _take_frame(came: bytearray) -> tuple[int, bool, bytes] | None:
    """Take the first whole frame out of what came: opcode, whether it is its message's last, payload unmasked."""
    if len(came) < 2:
        return None
    size, place = came[1] & 0x7F, 2
    if size >= 126:
        place = 4 if size == 126 else 10
        size = int.from_bytes(came[2:place])
    key_end = place + 4 if came[1] & 0x80 else place
    if len(came) < key_end + size:
        return None
    payload = bytes(came[key_end : key_end + size])
    if key_end > place:
        key = bytes(came[place:key_end])
        payload = (int.from_bytes(payload) ^ int.from_bytes((key * (size // 4 + 1))[:size])).to_bytes(size)
    opcode, is_last = came[0] & 0x0F, bool(came[0] & 0x80)
    del came[: key_end + size]
    return opcode, is_last, payload


def _compose_frame(opcode: int, payload: bytes) -> bytes:
    size = len(payload)
    if size < 126:
        return bytes((0x80 | opcode, size)) + payload
    return bytes((0x80 | opcode,)) + (b"\x7e" + size.to_bytes(2) if size < 65536 else b"\x7f" + size.to_bytes(8)) + payload
