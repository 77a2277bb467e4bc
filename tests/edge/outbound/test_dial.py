"""How a connection comes about, over real sockets: each failure by name."""

import asyncio
import socket
import ssl
from collections.abc import AsyncIterator
from contextlib import asynccontextmanager
from typing import Any

import pytest
import trustme

from sidecar.config import Dns, Upstream
from sidecar.core.choose.places import read_place
from sidecar.edge.outbound.connection import Connection
from sidecar.edge.outbound.dial import Dialler
from sidecar.edge.outbound.dns import AddressInfo, Resolver
from sidecar.errors import CONNECT_TIMEOUT, TLS_FAILED, TUNNEL_REFUSED, UNREACHABLE, UNRESOLVED, UpstreamFault
from tests.edge.outbound.doubles import RecordingKeeper
from tests.edge.sockets import hold, serving


async def resolve_locally(host: str, port: int) -> list[AddressInfo]:
    """Every name is this machine, but for one that is not known."""
    if host == "unknown.test":
        raise socket.gaierror(-2, "Name or service not known")
    return [(socket.AF_INET, socket.SOCK_STREAM, 6, "", ("127.0.0.1", port))]


def make_dialler(url: str, environ: dict[str, str] | None = None) -> Dialler:
    """Return a dialler to an upstream."""
    return Dialler(read_place("up", Upstream(url), None), Resolver(Dns(), resolve_locally), environ or {})


async def connect(url: str, environ: dict[str, str] | None = None, timeout_s: float = 5.0) -> Connection:
    """Return a new connection."""
    return await make_dialler(url, environ).dial(lambda: Connection(RecordingKeeper(), 4096, 0.0), 0.0, timeout_s)


async def failure(url: str, environ: dict[str, str] | None = None, timeout_s: float = 5.0) -> tuple[object, str]:
    """Return kind and detail of the fault."""
    with pytest.raises(UpstreamFault) as raised:
        await connect(url, environ, timeout_s)
    return raised.value.kind, raised.value.detail


@pytest.fixture(scope="module")
def authority() -> trustme.CA:
    """A certificate authority of our own."""
    return trustme.CA()


@pytest.fixture
def trusted(authority: trustme.CA, monkeypatch: pytest.MonkeyPatch) -> None:
    """Trust it, as SSL_CERT_FILE would."""
    make = ssl.create_default_context

    def make_trusting(*args: Any, **options: Any) -> ssl.SSLContext:
        context = make(*args, **options)
        authority.configure_trust(context)
        return context

    monkeypatch.setattr(ssl, "create_default_context", make_trusting)


def server_tls(authority: trustme.CA, *names: str) -> ssl.SSLContext:
    """Return the TLS side of a server with a certificate for `names`."""
    context = ssl.SSLContext(ssl.PROTOCOL_TLS_SERVER)
    authority.issue_cert(*names).configure_cert(context)
    return context


async def test_a_plain_connection_carries_bytes() -> None:
    """Nothing is sent before the first request; small pieces do not wait for each other; an upstream that vanishes is noticed."""
    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        got.set_result(await reader.read(100))

    async with serving(serve) as port:
        connection = await connect(f"http://up.test:{port}")
        sock = connection.transport.get_extra_info("socket")
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_NODELAY)
        assert sock.getsockopt(socket.SOL_SOCKET, socket.SO_KEEPALIVE)
        assert sock.getsockopt(socket.IPPROTO_TCP, socket.TCP_KEEPIDLE) == 60
        connection.transport.write(b"hello")
        assert await got == b"hello"
        connection.abort()


async def test_a_closed_port_is_unreachable() -> None:
    """At once, and in words."""
    async with serving(hold) as port:
        pass
    kind, detail = await failure(f"http://up.test:{port}")
    assert kind is UNREACHABLE
    assert detail.startswith("up.test: ")


async def test_an_unknown_name_is_unresolved() -> None:
    """The name is told."""
    assert await failure("http://unknown.test") == (UNRESOLVED, "unknown.test: Name or service not known")


async def test_a_black_hole_times_out() -> None:
    """A listener whose queue is full answers nobody: the limit holds."""
    with socket.socket() as listener:
        listener.bind(("127.0.0.1", 0))
        listener.listen(0)
        port = listener.getsockname()[1]
        waiting = [socket.socket() for _ in range(4)]
        try:
            for caller in waiting:
                caller.setblocking(False)
                caller.connect_ex(("127.0.0.1", port))
            await asyncio.sleep(0.05)
            began = asyncio.get_running_loop().time()
            kind, detail = await failure(f"http://up.test:{port}", timeout_s=0.3)
            assert (kind, detail) == (CONNECT_TIMEOUT, "no connection to up.test within 0.3 s")
            assert asyncio.get_running_loop().time() - began < 1.0
        finally:
            for caller in waiting:
                caller.close()


async def test_a_handshake_that_hangs_times_out() -> None:
    """The limit holds for TLS as well."""
    async with serving(hold) as port:
        assert (await failure(f"https://up.test:{port}", timeout_s=0.2))[0] is CONNECT_TIMEOUT


@pytest.mark.usefixtures("trusted")
async def test_tls_is_verified_and_names_itself(authority: trustme.CA) -> None:
    """The server sees the upstream's name (SNI) and http/1.1 (ALPN), and bytes pass."""
    names: list[str | None] = []
    tls = server_tls(authority, "up.test")
    tls.set_alpn_protocols(["h2", "http/1.1"])
    tls.sni_callback = lambda _, name, __: names.append(name)
    seen: asyncio.Future[tuple[bytes, str | None]] = asyncio.get_running_loop().create_future()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        seen.set_result((await reader.read(100), writer.get_extra_info("ssl_object").selected_alpn_protocol()))

    async with serving(serve, tls) as port:
        connection = await connect(f"https://up.test:{port}")
        connection.transport.write(b"hello")
        assert await seen == (b"hello", "http/1.1")
        assert names == ["up.test"]
        connection.abort()


@pytest.mark.usefixtures("trusted")
async def test_a_certificate_for_another_name_is_refused(authority: trustme.CA) -> None:
    """And the reason is told."""
    async with serving(hold, server_tls(authority, "other.test")) as port:
        kind, detail = await failure(f"https://up.test:{port}")
        assert kind is TLS_FAILED
        assert "certificate not accepted" in detail
        assert "up.test" in detail


@pytest.mark.usefixtures("trusted")
async def test_an_address_must_be_in_the_certificate(authority: trustme.CA) -> None:
    """An upstream given by address is verified by address."""
    async with serving(hold, server_tls(authority, "127.0.0.1")) as port:
        (await connect(f"https://127.0.0.1:{port}")).abort()
    async with serving(hold, server_tls(authority, "up.test")) as port:
        assert (await failure(f"https://127.0.0.1:{port}"))[0] is TLS_FAILED


async def test_an_unknown_authority_is_refused(authority: trustme.CA) -> None:
    """What nobody vouches for is not trusted."""
    async with serving(hold, server_tls(authority, "up.test")) as port:
        kind, detail = await failure(f"https://up.test:{port}")
        assert kind is TLS_FAILED
        assert "certificate not accepted" in detail


async def test_a_server_without_tls_fails_the_handshake() -> None:
    """An https url that points at a plain port."""

    async def speak_plainly(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(b"HTTP/1.1 400 Bad Request\r\n\r\n")
        await reader.read()

    async with serving(speak_plainly) as port:
        assert (await failure(f"https://up.test:{port}"))[0] is TLS_FAILED


@asynccontextmanager
async def proxying(answer: bytes | None) -> AsyncIterator[tuple[dict[str, str], list[bytes]]]:
    """Be an egress proxy that tunnels to this machine, or gives `answer`; yield the environment and what it was asked."""
    asked: list[bytes] = []

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        head = await reader.readuntil(b"\r\n\r\n")
        asked.append(head)
        if answer is not None:
            writer.write(answer)
            writer.write_eof()
            return
        port = int(head.split(b" ")[1].rpartition(b":")[2])
        onward, back = await asyncio.open_connection("127.0.0.1", port)
        for byte in b"HTTP/1.1 200 Connection established\r\nVia: 1.1 test\r\n\r\n":
            writer.write(bytes([byte]))

        async def pump(source: asyncio.StreamReader, sink: asyncio.StreamWriter) -> None:
            while data := await source.read(4096):
                sink.write(data)

        await asyncio.wait(
            [asyncio.ensure_future(pump(reader, back)), asyncio.ensure_future(pump(onward, writer))], return_when="FIRST_COMPLETED"
        )
        back.close()

    async with serving(serve) as port:
        yield {"HTTPS_PROXY": f"http://user:pa%20ss@proxy.test:{port}"}, asked


@pytest.mark.usefixtures("trusted")
async def test_tls_goes_through_a_tunnel(authority: trustme.CA) -> None:
    """CONNECT with the credential, then TLS with the upstream itself, whose name the proxy alone resolves."""

    async def echo(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        writer.write(await reader.read(100))

    got: asyncio.Future[bytes] = asyncio.get_running_loop().create_future()

    class Listening(Connection):
        def data_received(self, data: bytes) -> None:
            got.set_result(data)

    async with serving(echo, server_tls(authority, "up.test")) as port, proxying(None) as (environ, asked):
        dialler = make_dialler(f"https://up.test:{port}", environ)
        connection = await dialler.dial(lambda: Listening(RecordingKeeper(), 4096, 0.0), 0.0, 5.0)
        connection.transport.write(b"hello")
        assert await got == b"hello"
        connection.abort()
        await asyncio.sleep(0.05)
    authority_ = f"up.test:{port}".encode()
    assert asked == [
        b"CONNECT " + authority_ + b" HTTP/1.1\r\nHost: " + authority_ + b"\r\nProxy-Authorization: Basic dXNlcjpwYSBzcw==\r\n\r\n"
    ]


@pytest.mark.parametrize(
    ("answer", "told"),
    [
        (b"HTTP/1.1 407 Proxy Authentication Required\r\n\r\n", "proxy.test answered CONNECT with 407"),
        (b"HTTP/1.1 502 Bad Gateway\r\nContent-Length: 3\r\n\r\nbad", "proxy.test answered CONNECT with 502"),
        (b"SSH-2.0-OpenSSH\r\n\r\n", "proxy.test answered CONNECT with no HTTP"),
        (b"HTTP/1.1 200 OK\r\n", "proxy.test gave no answer to CONNECT"),
        (b"", "proxy.test gave no answer to CONNECT"),
        (b"x" * 40_000, "proxy.test gave no answer to CONNECT"),
    ],
    ids=["credential", "unreachable", "garbage", "half", "closing", "endless"],
)
async def test_a_refused_tunnel_is_the_proxys_doing(answer: bytes, told: str) -> None:
    """Whatever it says instead of a good status; nothing is sent past it."""
    async with proxying(answer) as (environ, asked):
        assert await failure("https://up.test", environ) == (TUNNEL_REFUSED, told)
        assert len(asked) == 1


async def test_a_proxy_that_is_not_there_is_named() -> None:
    """The upstream is not blamed alone."""
    async with serving(hold) as port:
        pass
    kind, detail = await failure("https://up.test", {"https_proxy": f"http://proxy.test:{port}"})
    assert kind is UNREACHABLE
    assert detail.startswith("up.test through proxy.test: ")
    assert (await failure("https://up.test", {"https_proxy": "http://unknown.test"}))[0] is UNRESOLVED


async def test_a_proxy_that_hangs_times_out() -> None:
    """The limit of connecting holds for the tunnel too."""
    async with serving(hold) as port:
        environ = {"https_proxy": f"http://proxy.test:{port}"}
        assert await failure("https://up.test", environ, 0.2) == (
            CONNECT_TIMEOUT, "no connection to up.test through proxy.test within 0.2 s",
        )  # fmt: skip


@pytest.mark.usefixtures("trusted")
async def test_exempt_upstreams_go_past_the_proxy(authority: trustme.CA) -> None:
    """NO_PROXY, and plain upstreams in any case."""
    async with proxying(b"") as (environ, asked):
        async with serving(hold, server_tls(authority, "up.test")) as port:
            (await connect(f"https://up.test:{port}", {**environ, "NO_PROXY": ".test"})).abort()
        async with serving(hold) as port:
            (await connect(f"http://up.test:{port}", environ)).abort()
        assert asked == []


async def test_leaving_while_connecting_closes_the_socket() -> None:
    """A caller that is gone leaves no half-made connection behind."""
    closed = asyncio.Event()

    async def serve(reader: asyncio.StreamReader, writer: asyncio.StreamWriter) -> None:
        await reader.read()
        closed.set()

    async with serving(serve) as port:
        dialling = asyncio.ensure_future(connect(f"https://up.test:{port}"))
        await asyncio.sleep(0.05)
        dialling.cancel()
        with pytest.raises(asyncio.CancelledError):
            await dialling
        async with asyncio.timeout(2.0):
            await closed.wait()
