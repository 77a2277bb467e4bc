"""The sidecar, and the simulated provider, as processes of their own: as they are run."""

import contextlib
import os
import signal
import socket
import ssl
import subprocess
import sys
import time
from collections.abc import Iterator, Mapping, Sequence
from pathlib import Path
from typing import IO, Any, Final

import httpx
import yaml

ROOT: Final = Path(__file__).resolve().parents[2]
_START_S: Final = 20.0
_QUIET_S: Final = 0.3  # in which nothing was written: nothing is on its way
_WRITTEN_S: Final = 3.0
_STOP_S: Final = 15.0


def find_port() -> int:
    """Return a port that was free a moment ago."""
    with socket.socket() as sock:
        sock.bind(("127.0.0.1", 0))
        port: int = sock.getsockname()[1]
        return port


class Program:
    """A process of `python -m sidecar`, what it wrote, and its exit code."""

    def __init__(self, arguments: Sequence[str], folder: Path, environ: Mapping[str, str] | None = None) -> None:
        kept = {name: value for name, value in os.environ.items() if not name.startswith(("LLM_SIDECAR", "OTEL_"))}
        self.log = folder / f"{arguments[0]}-{find_port()}.log"
        self._output: IO[bytes] = self.log.open("wb")
        self.started_at = time.monotonic()
        self.process = subprocess.Popen(
            [sys.executable, "-m", "sidecar", *arguments], stdout=self._output, stderr=subprocess.STDOUT, cwd=folder,
            env={**kept, "PYTHONPATH": str(ROOT), **(environ or {})},
        )  # fmt: skip

    @property
    def output(self) -> str:
        """All it wrote so far. Lines are written by a thread of their own: while it runs, those that are on their way are waited for."""
        size, until = -1, time.monotonic() + _WRITTEN_S
        while self.process.poll() is None and size != (size := self.log.stat().st_size) and time.monotonic() < until:
            time.sleep(_QUIET_S)
        return self.log.read_text(encoding="utf-8", errors="replace")

    def wait(self, seconds: float = _STOP_S) -> int:
        """Wait for its end and return the exit code."""
        code = self.process.wait(seconds)
        self._output.close()
        return code

    def signal(self, number: int) -> None:
        """Send it a signal."""
        self.process.send_signal(number)

    def stop(self) -> int:
        """End it, if it still runs."""
        if self.process.poll() is None:
            self.process.send_signal(signal.SIGTERM)
            try:
                self.process.wait(_STOP_S)
            except subprocess.TimeoutExpired:
                self.process.kill()
        return self.wait()

    def await_url(self, url: str, verify: ssl.SSLContext | bool = True) -> float:
        """Wait until a URL answers with 200; return the seconds since the start."""
        with httpx.Client(timeout=5, verify=verify) as client:  # one for all tries: making one takes longer than asking
            while True:
                with contextlib.suppress(httpx.TransportError):
                    if client.get(url).status_code == 200:
                        return time.monotonic() - self.started_at
                if self.process.poll() is not None or time.monotonic() - self.started_at > _START_S:
                    raise AssertionError(f"did not start: {self.output}")
                time.sleep(0.005)


class RunningSidecar:
    """A sidecar in its own process, with one route, `/openai/`, to one upstream."""

    def __init__(self, program: Program, data_port: int, admin_port: int) -> None:
        self.program = program
        self.url = f"http://127.0.0.1:{data_port}"
        self.admin_url = f"http://127.0.0.1:{admin_port}"

    def scrape(self) -> str:
        """Return the exposition in the text format."""
        return httpx.get(f"{self.admin_url}/metrics", headers={"accept": "text/plain;version=0.0.4"}).text

    @property
    def rss_bytes(self) -> int:
        """Resident memory (Linux, proc(5))."""
        pages = int(Path(f"/proc/{self.program.process.pid}/statm").read_text(encoding="ascii").split()[1])
        return pages * os.sysconf("SC_PAGE_SIZE")


def write_config(folder: Path, upstream: str, data_port: int, admin_port: int, **more: Any) -> Path:
    """Write a configuration with one upstream and one route to it. Each call is for itself: no breaker adds failures up."""
    tree = {
        "listen": f"127.0.0.1:{data_port}",
        "admin": {"listen": f"127.0.0.1:{admin_port}"},
        "upstreams": {"openai": {"url": upstream, "provider": "openai"}},
        "routes": [{"prefix": "/openai/", "upstream": "openai"}],
        "features": {"breakers": False, "probes": False},
        **more,
    }
    path = folder / f"sidecar-{data_port}.yaml"
    path.write_text(yaml.safe_dump(tree), encoding="utf-8")
    return path


@contextlib.contextmanager
def run_sidecar(folder: Path, upstream: str, environ: Mapping[str, str] | None = None, **more: Any) -> Iterator[RunningSidecar]:
    """Run a sidecar in front of `upstream` until the block ends."""
    data_port, admin_port = find_port(), find_port()
    config = write_config(folder, upstream, data_port, admin_port, **more)
    program = Program(["run", "--config", str(config)], folder, environ)
    try:
        program.await_url(f"http://127.0.0.1:{admin_port}/-/ready")
        yield RunningSidecar(program, data_port, admin_port)
    finally:
        program.stop()


@contextlib.contextmanager
def run_simulator(folder: Path, profile: Mapping[str, Any] | None = None, port: int = 0) -> Iterator[str]:
    """Run the simulated provider until the block ends, on a given port or any; gives its base URL."""
    port = port or find_port()
    path = folder / "profile.yaml"
    path.write_text(yaml.safe_dump(dict(profile or {})), encoding="utf-8")
    program = Program(["simulate", "--listen", f"127.0.0.1:{port}", "--profile", str(path)], folder)
    try:
        program.await_url(f"http://127.0.0.1:{port}/v1/models")
        yield f"http://127.0.0.1:{port}"
    finally:
        program.stop()
