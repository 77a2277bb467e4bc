"""The admin port of a real process behind TLS and passwords: a real Prometheus, a real browser, and certificates that change."""

import json
import socket
import ssl
import time
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Final

import bcrypt
import httpx
import pytest
import yaml

from tests.edge.inbound.web_samples import Authority, write_files
from tests.rig.page import look, needs_browser
from tests.rig.process import Program, find_port, run_simulator, write_config
from tests.rig.prometheus import needs_prometheus, scraping_jobs

PASSWORD: Final = "correct horse battery staple"
ALICE: Final = ("alice", PASSWORD)
JSON: Final = {"Content-Type": "application/json"}
_PATIENCE_S: Final = 15.0


class Guarded:
    """A sidecar that runs, with the files of its web configuration in a folder."""

    def __init__(self, program: Program, folder: Path, authority: Authority, data_port: int, admin_port: int) -> None:
        self.program, self.folder, self.authority = program, folder, authority
        self.url = f"http://127.0.0.1:{data_port}"
        self.address = f"127.0.0.1:{admin_port}"
        self.admin_url = f"https://{self.address}"

    def client(self, context: ssl.SSLContext | None = None) -> httpx.Client:
        """Return a client that trusts the authority and knows the password."""
        return httpx.Client(base_url=self.admin_url, verify=context or self.authority.trust(), auth=ALICE, trust_env=False)

    def read_lines(self) -> list[dict[str, Any]]:
        """Return what it wrote about its web configuration."""
        lines = [json.loads(line) for line in self.program.output.splitlines()]
        return [line for line in lines if line["event"].startswith("web_config")]

    def put(self, cert: bytes, key: bytes) -> None:
        """Write certificate and key, one after the other."""
        (self.folder / "server.crt").write_bytes(cert)
        (self.folder / "server.key").write_bytes(key)

    def await_line(self, event: str, count: int = 1) -> dict[str, Any]:
        """Wait until an event was written so many times; return the last one."""
        until = time.monotonic() + _PATIENCE_S
        while len(found := [line for line in self.read_lines() if line["event"] == event]) < count:
            assert time.monotonic() < until, self.program.output
            time.sleep(0.1)
        return found[-1]


@contextmanager
def guarding(folder: Path, provider: str = "http://127.0.0.1:9", listen: str = "127.0.0.1", **tls: Any) -> Iterator[Guarded]:
    """Run a sidecar whose admin port is behind TLS and a password."""
    files = folder / "web"
    files.mkdir()
    authority = write_files(files)
    web = {
        "tls_server_config": {"cert_file": "server.crt", "key_file": "server.key", **tls},
        "basic_auth_users": {"alice": bcrypt.hashpw(PASSWORD.encode(), bcrypt.gensalt(10)).decode()},
        "http_server_config": {"headers": {"Strict-Transport-Security": "max-age=60"}},
    }
    (files / "web.yml").write_text(yaml.safe_dump(web), encoding="utf-8")
    data_port, admin_port = find_port(), find_port()
    admin = {"listen": f"{listen}:{admin_port}", "web_config_file": str(files / "web.yml")}
    config = write_config(folder, provider, data_port, admin_port, admin=admin)
    program = Program(["run", "--config", str(config)], folder)
    try:
        side = Guarded(program, files, authority, data_port, admin_port)
        program.await_url(f"{side.admin_url}/-/ready", authority.certify(files, "operator.test"))
        yield side
    finally:
        program.stop()


@needs_prometheus
def test_prometheus_scrapes_through_tls_and_a_password(tmp_path: Path) -> None:
    """It shows a certificate, too. While the sidecar's changes, and for a while fits no key, no scrape fails; the right one is taken."""
    asked = {"client_auth_type": "RequireAndVerifyClientCert", "client_ca_file": "ca.crt"}
    with guarding(tmp_path, **asked, client_allowed_sans=["operator.test", "prometheus.test"]) as side:
        (tmp_path / "password").write_text(PASSWORD, encoding="utf-8")
        operator = side.authority.certify(tmp_path, "operator.test")
        with pytest.raises(httpx.TransportError), side.client(side.authority.certify(tmp_path, "intruder.test")) as intruder:
            intruder.get("/-/ready")
        side.authority.certify(tmp_path, "prometheus.test")
        access = {
            "scheme": "https",
            "tls_config": {
                "ca_file": str(side.folder / "ca.crt"), "server_name": "localhost",
                "cert_file": str(tmp_path / "client.crt"), "key_file": str(tmp_path / "client.key"),
            },
            "basic_auth": {"username": "alice", "password_file": str(tmp_path / "password")},
        }  # fmt: skip
        with scraping_jobs(tmp_path, {"sidecar": [side.address]}, [], access=access) as prometheus, side.client(operator) as client:
            change_certificate(side, client, operator)
            time.sleep(2.5)  # two more scrapes
            failed, scrapes = (
                prometheus.query("sum_over_time(up[1m]) != count_over_time(up[1m])"),
                prometheus.query("count_over_time(up[1m])"),
            )
            assert (prometheus.target["health"], prometheus.target["lastError"], failed) == ("up", "", [])
            assert int(scrapes[0]["value"][1]) > 2


def change_certificate(side: Guarded, client: httpx.Client, operator: ssl.SSLContext) -> None:
    """Put a certificate in place that has no key yet, then its key; each is told."""
    cert, key = side.authority.issue(days=60)
    side.put(cert, (side.folder / "other.key").read_bytes())
    refused = side.await_line("web_config_refused")
    assert (refused["path"], refused["found"]) == ("tls_server_config.key_file", "a key that is not the certificate's")
    told = client.get("/health").json()["checks"]["admin_port"]
    assert told["status"] == "degraded" and "a key that is not the certificate's" in told["problems"][0]
    side.put(cert, key)
    side.await_line("web_config_reloaded")
    assert client.get("/-/ready").text == "ready\n"  # over the connection of before
    with side.client(operator) as another:
        found = another.get("/health").json()["checks"]["admin_port"]
        assert found["status"] == "healthy" and found["certificateEnds"] > told["certificateEnds"]


@needs_browser
def test_the_page_works_behind_them(tmp_path: Path) -> None:
    """Its files and what it fetches are asked for with the password that was typed once; and nobody is told it."""
    with run_simulator(tmp_path, {"speed": 0}) as provider, guarding(tmp_path, provider) as side:
        body = {"model": "sim-small", "messages": [{"role": "user", "content": "hi"}]}
        for _ in range(3):
            assert httpx.post(f"{side.url}/openai/v1/chat/completions", json=body).status_code == 200
        seen = look(tmp_path, f"{side.admin_url}/", "#tiles .value", user=ALICE)
    for view in seen.views.values():
        assert (view.console, view.foreign) == ([], []) and "sim-small" in view.text


def test_passwords_entitle_to_changes_and_are_told_to_nobody(tmp_path: Path) -> None:
    """On all addresses, where nothing could be changed without; neither password nor hash nor key is in what it tells."""
    with guarding(tmp_path, listen="0.0.0.0") as side, side.client() as client:
        assert client.post("/api/performance/reset", headers=JSON).status_code == 200
        assert client.get("/api/performance?action=reset").status_code == 200
        assert client.post("/api/performance/reset", headers=JSON | {"Origin": side.admin_url}).status_code == 200
        for origin in (side.admin_url.replace("https", "http"), "https://evil.test"):
            assert client.post("/api/performance/reset", headers=JSON | {"Origin": origin}).status_code == 403
        for auth in (None, ("alice", "hunter2")):
            refused = httpx.post(f"{side.admin_url}/api/performance/reset", headers=JSON, verify=side.authority.trust(), auth=auth)
            assert refused.status_code == 401
        assert client.get("/metrics").headers["Strict-Transport-Security"] == "max-age=60"
        told = "".join(client.get(path).text for path in ("/health", "/metrics", "/debug/metrics", "/"))
        told += side.program.output
        key = (side.folder / "server.key").read_text().splitlines()[1]
        assert not [secret for secret in (PASSWORD, "hunter2", "$2b$", key) if secret in told]
        assert "admin_port_open" not in told and "password_refused" in told


def test_it_stops_at_once_with_connections_open(tmp_path: Path) -> None:
    """One that is idle, one in the middle of its handshake, one that never began."""
    with guarding(tmp_path) as side, side.client() as client:
        assert client.get("/-/ready").status_code == 200
        port = int(side.address.rpartition(":")[2])
        with socket.create_connection(("127.0.0.1", port)) as silent, socket.create_connection(("127.0.0.1", port)) as begun:
            begun.sendall(b"\x16\x03\x01\x02\x00\x01")  # the beginning of a record of TLS
            began = time.monotonic()
            assert side.program.stop() == 0
            assert time.monotonic() - began < 5
            assert silent.fileno() > 0
