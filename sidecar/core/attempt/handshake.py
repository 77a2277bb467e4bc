"""The opening handshake of a WebSocket (RFC 6455 section 4), as a proxy sees it.

It is an HTTP call like any other until the upstream answers with 101. Both ends must have meant a
WebSocket before bytes pass unread between them: otherwise what one takes for frames another may
take for requests (request smuggling through an upgrade).
"""

import base64
import binascii
from hashlib import sha1
from typing import Final

from sidecar.core.attempt.answer_head import AnswerHead
from sidecar.core.attempt.heads import EXTENSIONS
from sidecar.errors import BAD_REQUEST, NOT_UPGRADABLE, UPSTREAM_MALFORMED, ClientFault, UpstreamFault
from sidecar.exchange import Call

_GUID: Final = b"258EAFA5-E914-47DA-95CA-C5AB0DC85B11"  # section 1.3
_KEY_BYTES: Final = 16
_VERSION: Final = b"13"


def check_request(call: Call) -> None:
    """Raise ClientFault where a request to upgrade is not a WebSocket's handshake (section 4.2.1)."""
    protocols = [value.strip().lower() for name, value in call.headers if name.lower() == b"upgrade"]
    if protocols != [b"websocket"]:
        raise ClientFault(NOT_UPGRADABLE)
    if call.method != "GET" or call.http_version < (1, 1) or call.has_body:
        raise ClientFault(BAD_REQUEST, "a WebSocket's handshake is a GET of HTTP/1.1 without a body")
    if _fields(call, b"sec-websocket-version") != [_VERSION]:
        raise ClientFault(BAD_REQUEST, "Sec-WebSocket-Version: allowed is 13, once")
    keys = _fields(call, b"sec-websocket-key")
    if len(keys) != 1 or not _is_key(keys[0]):
        raise ClientFault(BAD_REQUEST, "Sec-WebSocket-Key: allowed are 16 bytes in base64, once")


def check_answer(call: Call, head: AnswerHead) -> None:
    """Raise UpstreamFault where a 101 is no answer to this handshake (section 4.1, what a client must check)."""
    said = [(name.strip().lower(), value.strip()) for name, _, value in (line.partition(b":") for line in head.fields)]
    accepted = [value for name, value in said if name == b"sec-websocket-accept"]
    digest = sha1(_fields(call, b"sec-websocket-key")[0] + _GUID, usedforsecurity=False).digest()
    if accepted != [base64.b64encode(digest)]:
        raise UpstreamFault(UPSTREAM_MALFORMED, "the upstream's answer to the WebSocket handshake does not fit its key")
    if any(name == EXTENSIONS for name, _ in said):
        raise UpstreamFault(UPSTREAM_MALFORMED, "the upstream's answer to the WebSocket handshake uses an extension that was not offered")


def _fields(call: Call, wanted: bytes) -> list[bytes]:
    return [value.strip() for name, value in call.headers if name.lower() == wanted]


def _is_key(value: bytes) -> bool:
    try:
        return len(base64.b64decode(value, validate=True)) == _KEY_BYTES
    except binascii.Error:
        return False
