"""sidecar/edge/sockets.py"""

import asyncio
import socket

import pytest

from sidecar.edge.sockets import reset_when_closed


class Transport(asyncio.BaseTransport):
    """A transport above `sock`, or above none."""

    def __init__(self, sock: socket.socket | None) -> None:
        super().__init__({"socket": sock})


def test_closing_resets() -> None:
    """The other side reads a reset, not an end."""
    with socket.create_server(("127.0.0.1", 0)) as server, socket.create_connection(server.getsockname()) as theirs:
        ours, _ = server.accept()
        reset_when_closed(Transport(ours))
        ours.close()
        with pytest.raises(ConnectionResetError):
            theirs.recv(1)


def test_without_a_socket_nothing_happens() -> None:
    """A transport may have none."""
    reset_when_closed(Transport(None))
