"""How a connection to an upstream comes about: resolve, connect, tunnel, TLS; each failure by name."""

import asyncio
import contextlib
import socket
import ssl
from collections.abc import Callable, Mapping
from typing import Final

from aiohappyeyeballs import start_connection

from sidecar.core.attempt.egress import EgressProxy, compose_connect, find_egress_proxy, read_connect_status
from sidecar.core.choose.places import Place
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.dns import AddressInfo, Resolver
from sidecar.errors import CONNECT_TIMEOUT, TLS_FAILED, TUNNEL_REFUSED, UNREACHABLE, UpstreamFault

# RFC 8305 section 8: the recommended delay before the next address is tried beside the first.
_NEXT_ADDRESS_S: Final = 0.25
# An upstream that vanishes without a word is noticed in two minutes: streams and sessions without a deadline would wait for
# ever. Systems that do not know these names have intervals of their own.
_PROBES: Final = {
    getattr(socket, name): value
    for name, value in (("TCP_KEEPIDLE", 60), ("TCP_KEEPINTVL", 15), ("TCP_KEEPCNT", 4))
    if hasattr(socket, name)
}  # fmt: skip
_CONNECT_HEAD_BYTES_MAX: Final = 16 * 1024


class Authorities:
    """Who is trusted to vouch for upstreams."""

    def __init__(self) -> None:
        self._context: ssl.SSLContext | None = None

    @property
    def context(self) -> ssl.SSLContext:
        """What TLS connections are made with: read once, when first used. It takes 30 ms, and memory that plain upstreams need not pay."""
        if self._context is None:
            self._context = ssl.create_default_context()
            self._context.set_alpn_protocols(["http/1.1"])
        return self._context


class Dialler:
    """Makes connections to one upstream."""

    def __init__(self, place: Place, resolver: Resolver, environ: Mapping[str, str], authorities: "Authorities | None" = None) -> None:
        """`authorities`: shared by all upstreams, for what they take."""
        self._host, self._port, self._is_tls = place.host, place.port, place.scheme == "https"  # not the key: that may change
        self._resolver = resolver
        self._proxy: EgressProxy | None = find_egress_proxy(place.scheme, place.host, place.port, environ)
        self._way = place.host if self._proxy is None else f"{place.host} through {self._proxy.host}"
        self._authorities = authorities or Authorities()

    async def dial(self, make: Callable[[], Connection], now: float, timeout_s: float) -> Connection:
        """Return a new connection. Raises UpstreamFault, within `timeout_s` seconds."""
        try:
            async with asyncio.timeout(timeout_s):
                return await self._dial(make, now)
        except TimeoutError:
            raise UpstreamFault(CONNECT_TIMEOUT, f"no connection to {self._way} within {timeout_s:g} s") from None
        except ssl.SSLError as error:
            raise UpstreamFault(TLS_FAILED, f"{self._host}: {_tell_tls(error)}") from None
        except OSError as error:
            raise UpstreamFault(UNREACHABLE, f"{self._way}: {error.strerror or 'connection failed'}") from None

    async def _dial(self, make: Callable[[], Connection], now: float) -> Connection:
        host, port = (self._host, self._port) if self._proxy is None else (self._proxy.host, self._proxy.port)
        addresses = await self._resolver.resolve(host, port, now)
        sock = await self._connect(addresses)
        try:
            if self._proxy is not None:
                await self._tunnel(sock, self._proxy)
            tls = self._authorities.context if self._is_tls else None
            _, connection = await asyncio.get_running_loop().create_connection(
                make, sock=sock, ssl=tls, server_hostname=self._host if tls else None
            )
        except BaseException:
            sock.close()
            raise
        return connection

    async def _connect(self, addresses: list[AddressInfo]) -> socket.socket:
        sock = await start_connection(addresses, happy_eyeballs_delay=_NEXT_ADDRESS_S)
        with contextlib.suppress(OSError):  # a socket that is not TCP has none of these
            sock.setsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY, 1)
            sock.setsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE, 1)
            for option, value in _PROBES.items():
                sock.setsockopt(socket.IPPROTO_TCP, option, value)
        return sock

    async def _tunnel(self, sock: socket.socket, proxy: EgressProxy) -> None:
        loop = asyncio.get_running_loop()
        await loop.sock_sendall(sock, compose_connect(self._host, self._port, proxy.authorization))
        head = b""
        # Byte-exact reading is not needed: a proxy has nothing to send behind its head before we speak.
        while b"\r\n\r\n" not in head:
            piece = await loop.sock_recv(sock, 4096)
            head += piece
            if not piece or len(head) > _CONNECT_HEAD_BYTES_MAX:
                raise UpstreamFault(TUNNEL_REFUSED, f"{proxy.host} gave no answer to CONNECT")
        status = read_connect_status(head)
        if status is None or not 200 <= status < 300:
            raise UpstreamFault(TUNNEL_REFUSED, f"{proxy.host} answered CONNECT with {status or 'no HTTP'}")


def _tell_tls(error: ssl.SSLError) -> str:
    if isinstance(error, ssl.SSLCertVerificationError):
        return f"certificate not accepted ({error.verify_message})"
    return (error.reason or "handshake failed").replace("_", " ").lower()
