"""Processes of the benchmark: each pinned to a core, each ended by the one that started it."""

import ctypes
import os
import signal
import socket
import subprocess
import time
from collections.abc import Mapping, Sequence
from functools import partial
from pathlib import Path
from types import TracebackType
from typing import Self

_LIBC = ctypes.CDLL(None)
_PR_SET_PDEATHSIG = 1  # prctl(2): a signal when the parent dies
_POLL_S = 0.005


class NotStarted(Exception):
    """A process did not begin to answer; the text says why, as far as it told."""


def free_port() -> int:
    """A loopback TCP port that nobody listens on now."""
    with socket.socket() as probe:
        probe.bind(("127.0.0.1", 0))
        port: int = probe.getsockname()[1]
        return port


def _settle(core: int, niceness: int) -> None:
    """In the child before exec: take the core, and do not outlive the parent."""
    os.sched_setaffinity(0, {core})
    os.nice(niceness)
    _LIBC.prctl(_PR_SET_PDEATHSIG, signal.SIGTERM)


class Process:
    """One child process; as a context manager it is gone afterwards."""

    def __init__(
        self, name: str, argv: Sequence[str], *, core: int, log: Path, niceness: int = 0, cwd: Path | None = None,
        environment: Mapping[str, str] | None = None,
    ) -> None:  # fmt: skip
        self.name = name
        self.log = log
        self.begun = time.perf_counter()
        with log.open("wb") as output:
            self._child = subprocess.Popen(
                argv, stdin=subprocess.DEVNULL, stdout=output, stderr=subprocess.STDOUT, cwd=cwd, env=environment,
                start_new_session=True, preexec_fn=partial(_settle, core, niceness),
            )  # fmt: skip
        self.pid = self._child.pid

    def __enter__(self) -> Self:
        return self

    def __exit__(self, kind: type[BaseException] | None, value: BaseException | None, trace: TracebackType | None) -> None:
        self.stop()

    def answers(self, port: int, request: bytes, body: bytes, *, patience_s: float = 20.0) -> float:
        """Ask until the expected body comes back with 200; seconds since the start. NotStarted if it never does."""
        received = b""
        while time.perf_counter() - self.begun < patience_s:
            if self._child.poll() is not None:
                raise NotStarted(f"{self.name} ended with {self._child.returncode}: {self._last_words()}")
            received = _ask(port, request, body)
            if received.startswith(b"HTTP/1.1 200 ") and received.endswith(body):
                return time.perf_counter() - self.begun
            time.sleep(_POLL_S)
        raise NotStarted(f"{self.name} gave no right answer in {patience_s:.0f} s: {received[:200]!r} {self._last_words()}")

    def _last_words(self) -> str:
        lines = self.log.read_text(errors="replace").strip().splitlines()
        return lines[-1] if lines else "it said nothing"

    def stop(self, patience_s: float = 5.0) -> None:
        """Ask it to end, and make it end."""
        if self._child.poll() is None:
            self._child.terminate()
            try:
                self._child.wait(patience_s)
            except subprocess.TimeoutExpired:
                self._child.kill()
        self._child.wait()


def _ask(port: int, request: bytes, body: bytes) -> bytes:
    """One call over a fresh connection: what came back until the body was there, or the peer stopped."""
    received = b""
    try:
        with socket.create_connection(("127.0.0.1", port), timeout=5) as connection:
            connection.sendall(request)
            while not received.endswith(body) or not received:
                piece = connection.recv(65536)
                if not piece:
                    break
                received += piece
    except OSError:
        return received
    return received
