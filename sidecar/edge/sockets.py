"""What is asked of a socket beneath its transport."""

import asyncio
import socket
import struct
from typing import Final

_RESET_ON_CLOSE: Final = struct.pack("ii", 1, 0)  # SO_LINGER on, zero seconds


def reset_when_closed(transport: asyncio.BaseTransport) -> None:
    """Have whoever closes the connection from here on reset it: nobody can take that for an orderly close (RFC 9293, 3.10.5)."""
    sock = transport.get_extra_info("socket")
    if sock is not None:
        sock.setsockopt(socket.SOL_SOCKET, socket.SO_LINGER, _RESET_ON_CLOSE)
