"""A real Redis, as a process of its own: healthy, hung, killed, full, behind TLS, as a cluster."""

import contextlib
import shutil
import signal
import socket
import subprocess
import time
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import Final

import pytest
import trustme

from tests.rig.process import find_port

_START_S: Final = 10.0
_STOP_S: Final = 10.0
_CLUSTER_S: Final = 30.0

needs_redis = pytest.mark.skipif(shutil.which("redis-server") is None, reason="redis-server is not installed")
needs_cluster = pytest.mark.skipif(
    shutil.which("redis-server") is None or shutil.which("redis-cli") is None, reason="redis-server and redis-cli are not installed"
)


class RedisServer:
    """A server on a port of its own, with nothing on disk but what is asked for."""

    def __init__(self, folder: Path, *options: str, port: int | None = None) -> None:
        self.port = port or find_port()
        self.folder = folder / f"redis-{self.port}"
        self.folder.mkdir(exist_ok=True)
        self.options = options
        self.process: subprocess.Popen[bytes] | None = None

    @property
    def url(self) -> str:
        """Where it is."""
        return f"redis://127.0.0.1:{self.port}/0"

    @property
    def log(self) -> str:
        """All it wrote so far."""
        return (self.folder / "log").read_text(encoding="utf-8", errors="replace")

    def start(self, *more: str, is_ready: bool = True) -> None:
        """Start it, on the same port each time. `is_ready`: wait until it serves."""
        arguments = ["--bind", "127.0.0.1", "--port", str(self.port), "--save", "", "--appendonly", "no", "--dir", str(self.folder)]
        with (self.folder / "log").open("ab") as log:
            self.process = subprocess.Popen(["redis-server", *arguments, *self.options, *more], stdout=log, stderr=log, cwd=self.folder)
        deadline = time.monotonic() + _START_S
        while is_ready and "Ready to accept connections" not in self.log.rpartition("oO0OoO0OoO0Oo Redis is starting")[2]:
            assert self.process.poll() is None and time.monotonic() < deadline, self.log
            time.sleep(0.01)

    def ask(self, *words: str) -> bytes:
        """Send one command without TLS or password, on a connection of its own; return the start of the answer."""
        data = b"".join(b"$%d\r\n%s\r\n" % (len(word.encode()), word.encode()) for word in words)
        with socket.create_connection(("127.0.0.1", self.port), timeout=5) as sock:
            sock.sendall(b"*%d\r\n" % len(words) + data)
            return sock.recv(65536)

    def hang(self) -> None:
        """Stop it where it is: connections stay, the kernel takes new ones, and nothing answers."""
        self._signal(signal.SIGSTOP)

    def wake(self) -> None:
        """Let it go on."""
        self._signal(signal.SIGCONT)

    def kill(self) -> None:
        """End it at once."""
        if self.process is not None:
            self._signal(signal.SIGKILL)
            self.process.wait(_STOP_S)
            self.process = None

    def _signal(self, number: int) -> None:
        assert self.process is not None
        self.process.send_signal(number)


@contextlib.contextmanager
def run_redis(folder: Path, *options: str) -> Iterator[RedisServer]:
    """Run a server until the block ends."""
    server = RedisServer(folder, *options)
    try:
        server.start()
        yield server
    finally:
        server.kill()


@contextlib.contextmanager
def run_redis_tls(folder: Path) -> Iterator[tuple[RedisServer, str, Path]]:
    """Run a server that speaks nothing but TLS; give it, its URL, and the file of its authority's certificate."""
    authority = trustme.CA()
    issued = authority.issue_cert("127.0.0.1", "localhost")
    ca_file, cert_file, key_file = folder / "ca.pem", folder / "cert.pem", folder / "key.pem"
    authority.cert_pem.write_to_path(str(ca_file))
    issued.cert_chain_pems[0].write_to_path(str(cert_file))
    issued.private_key_pem.write_to_path(str(key_file))
    port = find_port()
    options = (
        "--port", "0", "--tls-port", str(port), "--tls-cert-file", str(cert_file), "--tls-key-file", str(key_file),
        "--tls-ca-cert-file", str(ca_file), "--tls-auth-clients", "no",
    )  # fmt: skip
    with run_redis(folder, *options) as server:
        yield server, f"rediss://127.0.0.1:{port}/0", ca_file


@contextlib.contextmanager
def run_cluster(folder: Path, masters: int = 3) -> Iterator[Sequence[RedisServer]]:
    """Run a cluster without replicas until the block ends; it serves what slots it has, even if a server is gone."""
    options = ("--cluster-enabled", "yes", "--cluster-require-full-coverage", "no", "--cluster-node-timeout", "2000")
    servers = [RedisServer(folder, *options, port=_find_cluster_port()) for _ in range(masters)]
    try:
        for server in servers:
            server.start()
        command = ["redis-cli", "--cluster", "create", *(f"127.0.0.1:{server.port}" for server in servers), "--cluster-yes"]
        done = subprocess.run(command, capture_output=True, timeout=_CLUSTER_S, check=False)
        assert done.returncode == 0, done.stdout + done.stderr
        deadline = time.monotonic() + _CLUSTER_S
        while not all(b"cluster_state:ok" in server.ask("CLUSTER", "INFO") for server in servers):
            assert time.monotonic() < deadline, servers[0].log
            time.sleep(0.05)
        yield servers
    finally:
        for server in servers:
            server.kill()


def _find_cluster_port() -> int:
    """Return a port whose companion, 10,000 above, is a port too: servers of a cluster talk there."""
    while (port := find_port()) > 55_000:
        pass
    return port
