"""What a proxy needs around it, all on the load's core: an upstream, and a receiver for its traces."""

import os
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from typing import Final

import wire
from processes import Process, free_port

_HERE: Final = Path(__file__).resolve().parent
_LEAST_URGENT: Final = 19  # nice(2): traces are received when the load leaves time for it
_COUNT: Final = b"GET /count HTTP/1.1\r\nhost: 127.0.0.1\r\n\r\n"


class Surroundings:
    """Starts the surroundings and pins this process, the load, to their core."""

    def __init__(self, stack: ExitStack) -> None:
        self.peer_core, self.load_core = sorted(os.sched_getaffinity(0))[:2]
        os.sched_setaffinity(0, {self.load_core})
        self._stack = stack
        self.directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        self.upstream_port, self.receiver_port = free_port(), free_port()
        upstream = self._start("upstream", self.upstream_port, 0)
        receiver = self._start("receiver", self.receiver_port, _LEAST_URGENT)
        upstream.answers(self.upstream_port, wire.request(""), wire.SMALL_BODY)
        receiver.answers(self.receiver_port, _COUNT, b"}")
        self.load_pids = (os.getpid(), upstream.pid, receiver.pid)

    def _start(self, name: str, port: int, niceness: int) -> Process:
        argv = (sys.executable, str(_HERE / f"{name}.py"), str(port))
        return self._stack.enter_context(Process(name, argv, core=self.load_core, log=self.directory / name, niceness=niceness))
