"""How the admin port is entered: over real connections, with files that change."""

import asyncio
import json
import logging
import socket
import ssl
import time
from collections.abc import AsyncIterator, Callable
from contextlib import asynccontextmanager
from pathlib import Path
from typing import Any, Final

import bcrypt
import httpx
import pytest

from sidecar.edge.inbound import web
from sidecar.edge.inbound.admin import AdminServer
from sidecar.edge.inbound.gate import Gate
from sidecar.edge.telemetry.logs import EventLog, JsonFormatter
from sidecar.errors import ConfigError
from tests.edge.inbound.web_samples import PAIR, PAST, Authority, write_files
from tests.edge.outbound.doubles import FakeClock

ALICE: Final = ("alice", "correct horse")
USERS: Final = f"basic_auth_users: {{alice: {bcrypt.hashpw(ALICE[1].encode(), bcrypt.gensalt(4)).decode()}}}\n"
TLS: Final = f"tls_server_config: {{{PAIR}}}\n"
JSON: Final = {"Content-Type": "application/json"}


async def greet(request: web.Request) -> web.Response:
    """Answer."""
    return web.Response(text="hello")


def change(body: bytes) -> web.Response:
    """Do as if something were changed."""
    return web.Response(text="changed")


class Door:
    """A running admin port, the folder of its files, and what was logged."""

    def __init__(self, gate: Gate, port: int, folder: Path, clock: FakeClock, caplog: pytest.LogCaptureFixture) -> None:
        self.gate, self.port, self.folder, self.clock = gate, port, folder, clock
        self.url = f"{gate.scheme}://127.0.0.1:{port}"
        self._caplog = caplog

    def client(self, context: ssl.SSLContext | bool = False, auth: tuple[str, str] | None = None) -> httpx.AsyncClient:
        """Return a client; `context`: what it trusts, and who it is."""
        return httpx.AsyncClient(base_url=self.url, verify=context, auth=auth, trust_env=False)

    async def get(self, path: str = "/hello", auth: tuple[str, str] | None = None, **fields: str) -> httpx.Response:
        """Ask once, over a connection of its own."""
        async with self.client(auth=auth) as client:
            return await client.get(path, headers=fields)

    def write(self, text: str) -> None:
        """Write the web configuration."""
        (self.folder / "web.yml").write_text(text, encoding="utf-8")

    def put(self, pair: tuple[bytes, bytes]) -> None:
        """Put another certificate and its key in the place of those that are there."""
        for name, text in zip(("server.crt", "server.key"), pair, strict=True):
            (self.folder / name).write_bytes(text)

    async def see(self) -> bytes:
        """Return the certificate that a new client is shown (DER)."""
        context = ssl.SSLContext(ssl.PROTOCOL_TLS_CLIENT)
        context.check_hostname, context.verify_mode = False, ssl.CERT_NONE
        _, writer = await asyncio.open_connection("127.0.0.1", self.port, ssl=context)
        seen: bytes = writer.get_extra_info("ssl_object").getpeercert(True)
        writer.close()
        return seen

    @property
    def lines(self) -> list[dict[str, Any]]:
        """What was logged since it was last asked."""
        lines = [json.loads(JsonFormatter().format(record)) for record in self._caplog.records if record.name == "sidecar"]
        self._caplog.clear()
        return lines


@pytest.fixture
def authority(tmp_path: Path) -> Authority:
    """Who signed the certificates of the folder."""
    return write_files(tmp_path)


@pytest.fixture
def opening(tmp_path: Path, authority: Authority, caplog: pytest.LogCaptureFixture) -> Callable[..., Any]:
    """What opens an admin port with a web configuration."""
    caplog.set_level(logging.INFO, "sidecar")

    @asynccontextmanager
    async def opened(text: str, token: str | None = None) -> AsyncIterator[Door]:
        (tmp_path / "web.yml").write_text(text, encoding="utf-8")
        clock = FakeClock(time.time())
        gate = Gate(str(tmp_path / "web.yml"), clock, EventLog())
        paths = dict.fromkeys(("/hello", "/-/healthy", "/-/ready"), greet)
        server = AdminServer(paths, {"/switch": change, "/hello/switch": change}, token=token, gate=gate)
        _, port = await server.start("127.0.0.1", 0)
        try:
            yield Door(gate, port, tmp_path, clock, caplog)
        finally:
            await server.stop()

    return opened


async def test_a_password_is_asked_for_everything_but_probes(opening: Callable[..., Any]) -> None:
    """Reading, changing, and what is not there; kubelets and load balancers know none."""
    async with opening(USERS) as door:
        for method, path in (
            ("GET", "/hello"),
            ("HEAD", "/hello"),
            ("GET", "/gone"),
            ("POST", "/switch"),
            ("GET", "/-/healthy/"),
            ("PUT", "/"),
        ):
            async with door.client() as client:
                refused = await client.request(method, path, headers=JSON)
                assert refused.status_code == 401 and refused.headers["WWW-Authenticate"] == 'Basic realm="llm-sidecar", charset="UTF-8"'
                assert refused.headers["X-Frame-Options"] == "DENY" and "switch" not in refused.text
        for path in ("/-/healthy", "/-/ready"):
            assert (await door.get(path)).text == "hello"
            async with door.client() as client:
                assert (await client.post(path, headers=JSON)).status_code == 405
        assert (await door.get(auth=ALICE)).text == "hello"
        for auth in (("alice", "wrong"), ("Alice", ALICE[1]), ("", ""), ("alice", "")):
            assert (await door.get(auth=auth)).status_code == 401
        for value in ("Basic", "Basic !", "Basic YWxpY2U=", "Bearer x", "basic", "Basic YWxpY2U6Y29ycmVjdCBob3JzZQ== x"):
            assert (await door.get(Authorization=value)).status_code == 401
        assert (await door.get(Authorization="bAsIc YWxpY2U6Y29ycmVjdCBob3JzZQ==")).status_code == 200
        refused_lines = [line for line in door.lines if line["event"] == "password_refused"]
        assert {line["address"] for line in refused_lines} == {"127.0.0.1"} and "wrong" not in json.dumps(refused_lines)


async def test_who_has_a_password_may_change_things(opening: Callable[..., Any]) -> None:
    """Under any name of the host; but not by pages of others, with which a browser sends the password as well."""
    async with opening(USERS) as door, door.client(auth=ALICE) as client:
        assert (await client.post("/switch", headers=JSON | {"Host": "pod.svc"})).text == "changed"
        assert (await client.get("/hello?action=switch", headers={"Host": "pod.svc"})).text == "changed"
        assert (await client.post("/switch", headers=JSON | {"Host": "pod.svc", "Origin": "http://pod.svc"})).text == "changed"
        for fields in ({"Origin": "http://evil.test"}, {"Host": "pod.svc", "Origin": "https://pod.svc"}, {"Origin": "null"}):
            assert (await client.post("/switch", headers=JSON | fields)).status_code == 403
        assert (await client.post("/switch")).status_code == 415
        assert (await client.get("/hello?action=switch", headers={"Sec-Fetch-Site": "cross-site"})).status_code == 403


async def test_the_token_is_as_good(opening: Callable[..., Any]) -> None:
    """For reading and for changing; a password is as good as the token."""
    async with opening(USERS, token="secret") as door:
        bearer = {"Authorization": "Bearer secret"}
        assert (await door.get(**bearer)).text == "hello"
        assert (await door.get(Authorization="Bearer other")).status_code == 401
        async with door.client() as client:
            assert (await client.post("/switch", headers=bearer)).text == "changed"
            assert (await client.post("/switch", headers=JSON, auth=ALICE)).text == "changed"
            assert (await client.post("/switch", headers=JSON)).status_code == 401


async def test_headers_are_added_to_ours(opening: Callable[..., Any]) -> None:
    """None of ours goes: of two policies for content a browser keeps to both."""
    headers = (
        "{Strict-Transport-Security: max-age=60, X-XSS-Protection: 0, X-Frame-Options: sameorigin, Content-Security-Policy: default-src *}"
    )
    async with opening(f"{USERS}http_server_config: {{http2: true, headers: {headers}}}\n") as door:
        door.gate.start()
        for response in (await door.get(auth=ALICE), await door.get()):
            got = response.headers
            assert (got["Strict-Transport-Security"], got["X-XSS-Protection"]) == ("max-age=60", "0")
            assert got.get_list("X-Frame-Options") == ["DENY"]
            ours, theirs = got["Content-Security-Policy"].split(", ")
            assert "default-src 'none'" in ours and theirs == "default-src *"
        remarks = [line["remark"] for line in door.lines if line["event"] == "web_config_remark"]
        assert [remark.partition(":")[0] for remark in remarks] == [
            "http_server_config.http2",
            "http_server_config.headers.X-Frame-Options",
        ]


async def test_a_rate_holds_for_all_but_probes(opening: Callable[..., Any]) -> None:
    """429 with when to come again; passwords are not even looked at."""
    async with opening(f"{USERS}rate_limit: {{interval: 10s, burst: 2}}\n") as door:
        assert [(await door.get(auth=ALICE)).status_code for _ in range(3)] == [200, 200, 429]
        refused = await door.get(auth=ALICE)
        assert refused.headers["Retry-After"] == "11" and "rate_limit" in refused.text
        assert (await door.get("/-/ready")).status_code == 200
        door.clock.time += 10
        assert [(await door.get(auth=ALICE)).status_code for _ in range(2)] == [200, 429]


async def test_too_many_passwords_at_once_are_told_to_come_again(opening: Callable[..., Any], monkeypatch: pytest.MonkeyPatch) -> None:
    """Rather than waited for."""
    monkeypatch.setattr("sidecar.edge.inbound.passwords._WAITING_OF_ONE_MAX", 0)
    async with opening(USERS) as door:
        refused = await door.get(auth=ALICE)
        assert (refused.status_code, refused.headers["Retry-After"]) == (429, "1")


async def test_users_change_while_it_runs(opening: Callable[..., Any], tmp_path: Path) -> None:
    """From the next look on; a connection that is there goes on, and is asked like the others."""
    bob = f"basic_auth_users: {{bob: {bcrypt.hashpw(b'battery', bcrypt.gensalt(4)).decode()}}}\n"
    async with opening(USERS) as door, door.client() as client:
        assert (await client.get("/hello", auth=ALICE)).status_code == 200
        door.write(bob)
        assert await door.gate.look() == ()
        assert (await client.get("/hello", auth=ALICE)).status_code == 401
        assert (await client.get("/hello", auth=("bob", "battery"))).status_code == 200
        door.write(bob + "rate_limit: {interval: 1h, burst: 1}\n")
        await door.gate.look()
        assert [(await client.get("/hello", auth=("bob", "battery"))).status_code for _ in range(2)] == [200, 429]
        door.write("")
        await door.gate.look()
        assert (await client.get("/hello")).status_code == 200 and not door.gate.has_users
        assert [line["event"] for line in door.lines if line["event"].startswith("web")] == ["web_config_reloaded"] * 3


@pytest.mark.parametrize("text", ["basic_auth_users: {alice: hunter2}\n", "basic_auth_users: {alice", "", None])
async def test_what_is_wrong_stays_out_and_is_told_once(opening: Callable[..., Any], text: str | None) -> None:
    """What was there before is in force; with what is right again, so is health."""
    async with opening(USERS) as door:
        if text is None:
            (door.folder / "web.yml").unlink()
        elif text:
            door.write(text)
        else:
            (door.folder / "web.yml").write_bytes(b"\xff\xfe")
        told = [await door.gate.look() for _ in range(3)]
        assert told[0] and told[0] == told[1] == told[2]
        assert (await door.get()).status_code == 401 and (await door.get(auth=ALICE)).status_code == 200
        lines = [line for line in door.lines if line["event"] == "web_config_refused"]
        assert len(lines) == 1 and lines[0]["file"].endswith("web.yml") and "hunter2" not in json.dumps(lines)
        view = door.gate.describe()
        assert view is not None and view.problems == told[0]
        door.write(USERS)
        assert await door.gate.look() == () and door.gate.describe().problems == ()


async def test_a_certificate_is_exchanged_for_new_connections(opening: Callable[..., Any], authority: Authority) -> None:
    """Those that are there go on; sessions of before are no way around it."""
    async with opening(TLS) as door, door.client(authority.trust()) as client:
        assert (await client.get("/hello")).text == "hello"
        before = await door.see()
        door.put(authority.issue(days=60))
        assert await door.see() == before
        assert await door.gate.look() == ()
        assert (await client.get("/hello")).text == "hello"
        after = await door.see()
        assert after != before
        assert await door.gate.look() == () and await door.see() == after
        view = door.gate.describe()
        assert view is not None and view.has_tls and view.certificate_ends_s is not None
        assert 59 * 86400 < view.certificate_ends_s - door.clock.time < 61 * 86400


@pytest.mark.parametrize("harm", ["other key", "half a certificate", "half a key", "no key", "an expired one", "no TLS", "another kind"])
async def test_a_certificate_that_is_not_right_leaves_the_old_one_in_force(
    opening: Callable[..., Any], authority: Authority, harm: str
) -> None:
    """It is told once, and taken as soon as it is right."""
    async with opening(TLS) as door, door.client(authority.trust()) as client:
        before = await door.see()
        cert, key = authority.issue(days=60)
        path = door.folder / "server.key"
        if harm == "other key":
            door.put((cert, path.read_bytes()))
        elif harm == "half a certificate":
            door.put((cert[:200], key))
        elif harm == "half a key":
            door.put((cert, key[:100]))
        elif harm == "no key":
            path.unlink()
        elif harm == "an expired one":
            door.put(authority.issue(dates=PAST))
        elif harm == "another kind":
            door.put((cert, (door.folder / "rsa.key").read_bytes()))
        else:
            door.write(USERS)
        (problem,) = await door.gate.look()
        assert problem.path.startswith("tls_server_config") and await door.gate.look() == (problem,)
        assert (await client.get("/hello")).text == "hello" and await door.see() == before
        lines = [line for line in door.lines if line["event"] == "web_config_refused"]
        assert len(lines) == 1 and "BEGIN" not in json.dumps(lines)
        door.put((cert, key))
        door.write(TLS)
        assert await door.gate.look() == () and await door.see() != before


async def test_an_expired_certificate_is_better_than_none(opening: Callable[..., Any], authority: Authority) -> None:
    """The port opens with it, and another expired one is taken in its place."""
    async with opening(TLS) as door:
        door.clock.time += 10 * 365 * 86400
        before = await door.see()
        door.put(authority.issue(days=60))
        assert await door.gate.look() == () and await door.see() != before


async def test_tls_is_not_begun_while_it_runs(opening: Callable[..., Any]) -> None:
    """A port is opened with it, or without."""
    async with opening(USERS) as door:
        door.write(TLS)
        (problem,) = await door.gate.look()
        assert "start the sidecar again" in problem.allowed
        assert (await door.get(auth=ALICE)).status_code == 200 and (await door.get()).status_code == 401


async def let_in(door: Door, context: ssl.SSLContext) -> bool:
    """Whether a client is answered."""
    try:
        async with door.client(context) as client:
            return (await client.get("/hello")).status_code == 200
    except httpx.TransportError:
        return False


@pytest.mark.parametrize(
    ("auth", "expected"),
    [("NoClientCert", (True, True, True)), ("RequestClientCert", (True, True, True)),
     ("VerifyClientCertIfGiven", (True, True, False)), ("RequireAndVerifyClientCert", (False, True, False))],
)  # fmt: skip
async def test_clients_are_asked_for_certificates(
    opening: Callable[..., Any], authority: Authority, tmp_path: Path, auth: str, expected: tuple[bool, ...]
) -> None:
    """Without one, with one of the right authority, with one of another."""
    stranger = authority.trust()
    (tmp_path / "s.crt").write_bytes(Authority().issue("a.test")[0])
    cert, key = Authority().issue("a.test")
    (tmp_path / "s.crt").write_bytes(cert)
    (tmp_path / "s.key").write_bytes(key)
    stranger.load_cert_chain(tmp_path / "s.crt", tmp_path / "s.key")
    authorities = ", client_ca_file: ca.crt" if auth.startswith(("Verify", "RequireAnd")) else ""
    async with opening(f"tls_server_config: {{{PAIR}, client_auth_type: {auth}{authorities}}}\n") as door:
        clients = (authority.trust(), authority.certify(tmp_path, "a.test"), stranger)
        assert tuple([await let_in(door, context) for context in clients]) == expected
        if authorities:  # another authority, from the next look on
            (door.folder / "ca.crt").write_bytes(Authority().pem)
            assert await door.gate.look() == ()
            assert not await let_in(door, authority.certify(tmp_path, "a.test"))


@pytest.mark.parametrize(
    ("names", "is_let_in"),
    [(["prometheus.test"], True), (["other.test", "prometheus.test"], True), (["other.test"], False),
     (["10.0.0.7"], True), (["2001:db8::1"], True), (["10.0.0.8"], False), (["sub.prometheus.test"], False)],
)  # fmt: skip
async def test_names_of_clients_are_looked_at(
    opening: Callable[..., Any], authority: Authority, tmp_path: Path, names: list[str], is_let_in: bool
) -> None:
    """One that is in the list lets it in; changed, the list holds for new connections."""
    members = f"{PAIR}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert"
    allowed = '["prometheus.test", "10.0.0.7", "2001:db8::1"]'
    async with opening(f"tls_server_config: {{{members}, client_allowed_sans: {allowed}}}\n") as door:
        context = authority.certify(tmp_path, *names)
        assert await let_in(door, context) is is_let_in
        door.write(f"tls_server_config: {{{members}, client_allowed_sans: [nobody.test]}}\n")
        await door.gate.look()
        assert not await let_in(door, context)


def ask_again(context: ssl.SSLContext, port: int, session: ssl.SSLSession | None) -> tuple[bool, ssl.SSLSession | None]:
    """Ask once, going on with a session of before; return whether there was an answer, and the session."""
    plain = socket.create_connection(("127.0.0.1", port), 5)
    try:
        with context.wrap_socket(plain, server_hostname="localhost", session=session) as encrypted:
            encrypted.sendall(b"GET /hello HTTP/1.1\r\nHost: localhost\r\nConnection: close\r\n\r\n")
            answered = encrypted.recv(65536).startswith(b"HTTP/1.1 200")
            return answered and encrypted.session_reused is (session is not None), encrypted.session
    except OSError:
        return False, None
    finally:
        plain.close()


@pytest.mark.parametrize("version", ["TLS12", "TLS13"])
async def test_sessions_of_before_are_no_way_around(
    opening: Callable[..., Any], authority: Authority, tmp_path: Path, version: str
) -> None:
    """They are gone on with while nothing changed; not under another authority, nor another list of names."""
    members = f"{PAIR}, client_ca_file: ca.crt, client_auth_type: RequireAndVerifyClientCert, max_version: {version}"
    async with opening(f"tls_server_config: {{{members}, client_allowed_sans: [a.test]}}\n") as door:
        context = authority.certify(tmp_path, "a.test")
        answered, session = await asyncio.to_thread(ask_again, context, door.port, None)
        assert answered and session is not None
        assert (await asyncio.to_thread(ask_again, context, door.port, session))[0]
        door.write(f"tls_server_config: {{{members}, client_allowed_sans: [b.test]}}\n")
        assert await door.gate.look() == ()
        assert not (await asyncio.to_thread(ask_again, context, door.port, session))[0]
        (door.folder / "ca.crt").write_bytes(Authority().pem)
        door.write(f"tls_server_config: {{{members}}}\n")
        assert await door.gate.look() == ()
        assert not (await asyncio.to_thread(ask_again, context, door.port, session))[0]


async def test_who_speaks_no_tls_is_not_answered(opening: Callable[..., Any], authority: Authority) -> None:
    """Nor does it harm anybody else."""
    async with opening(TLS) as door:
        reader, writer = await asyncio.open_connection("127.0.0.1", door.port)
        writer.write(b"GET /hello HTTP/1.1\r\nHost: localhost\r\n\r\n")
        assert b"hello" not in await asyncio.wait_for(reader.read(), 5)
        writer.close()
        async with door.client(authority.trust()) as client:
            assert (await client.get("/hello")).text == "hello"


async def test_what_cannot_be_used_at_the_start_is_told(tmp_path: Path, authority: Authority) -> None:
    """With every problem."""
    (tmp_path / "web.yml").write_text(TLS.replace("server.key", "other.key"), encoding="utf-8")
    with pytest.raises(ConfigError, match="a key that is not the certificate's"):
        Gate(str(tmp_path / "web.yml"), FakeClock(), EventLog())


async def test_without_a_file_it_is_open() -> None:
    """And there is nothing to look at."""
    gate = Gate(None, FakeClock(), EventLog())
    gate.start()
    assert (gate.context, gate.scheme, gate.has_users, gate.describe(), await gate.look()) == (None, "http", False, None, ())
