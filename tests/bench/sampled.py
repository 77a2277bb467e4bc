"""Runs a program and notes, a few hundred times per second of CPU time, what it is doing.

    python tests/bench/sampled.py FILE MODULE_OR_SCRIPT [ARGUMENT ...]

SIGUSR1 begins the sampling, SIGUSR2 ends it and writes FILE. Sampling leaves the program as it is:
no callable is wrapped, so nothing short is made to look long. The interpreter runs a signal's
handler between two bytecodes, so time within a C function falls to the Python function that called
it. Time that the event loop itself spends, in C with no Python caller, would fall to whatever
callback it runs next; such a sample shows the callback at its very first instruction and is told
apart by that.
"""

import dis
import json
import runpy
import signal
import sys
import time
from collections import defaultdict
from pathlib import Path
from types import CodeType, FrameType
from typing import Final

_INTERVAL_S: Final = 0.001  # the kernel rounds it up to its own tick
_RESUME: Final = dis.opmap["RESUME"]
_DEPTH_MAX: Final = 40

Place = tuple[str, str]  # file, function
Stack = tuple[Place, ...]  # innermost first; () is the event loop itself


class Sampler:
    """Adds up the main thread's CPU time by what its stack was when a sample was taken."""

    def __init__(self, file: Path) -> None:
        self.file = file
        self.stacks: dict[Stack, list[int]] = defaultdict(lambda: [0, 0])  # samples, CPU nanoseconds
        self.resumes: dict[CodeType, frozenset[int]] = {}
        self.last_ns = self.begun_thread_ns = self.begun_process_ns = 0

    def install(self) -> None:
        """Take the signals."""
        signal.signal(signal.SIGUSR1, self.begin)
        signal.signal(signal.SIGUSR2, self.end)
        signal.signal(signal.SIGPROF, self.sample)

    def begin(self, number: int, frame: FrameType | None) -> None:
        """Start afresh."""
        self.stacks.clear()
        self.begun_process_ns = time.process_time_ns()
        self.last_ns = self.begun_thread_ns = time.thread_time_ns()
        signal.setitimer(signal.ITIMER_PROF, _INTERVAL_S, _INTERVAL_S)

    def sample(self, number: int, frame: FrameType | None) -> None:
        """Note the stack, with the CPU time of this thread since the last sample.

        The timer counts the CPU time of all threads; weighing by this thread's leaves the others out.
        """
        now_ns = time.thread_time_ns()
        found = self.stacks[self._read(frame)]
        found[0] += 1
        found[1] += now_ns - self.last_ns
        self.last_ns = time.thread_time_ns()

    def end(self, number: int, frame: FrameType | None) -> None:
        """Stop, and write what was found."""
        signal.setitimer(signal.ITIMER_PROF, 0)
        report = {
            "main_thread_ns": time.thread_time_ns() - self.begun_thread_ns,
            "process_ns": time.process_time_ns() - self.begun_process_ns,
            "stacks": [{"stack": stack, "samples": samples, "cpu_ns": cpu_ns} for stack, (samples, cpu_ns) in self.stacks.items()],
        }
        unfinished = self.file.with_suffix(".unfinished")
        unfinished.write_text(json.dumps(report))
        unfinished.rename(self.file)

    def _read(self, frame: FrameType | None) -> Stack:
        stack: list[Place] = []
        begins = frame is not None and self._is_beginning(frame)
        while frame is not None and len(stack) < _DEPTH_MAX:
            code = frame.f_code
            if code.co_name == "run_until_complete" or code.co_filename.endswith("/asyncio/runners.py"):
                break
            stack.append((code.co_filename, code.co_name))
            frame = frame.f_back
        return () if begins and len(stack) == 1 else tuple(stack)

    def _is_beginning(self, frame: FrameType) -> bool:
        """Whether the frame has been entered, or re-entered after an await, and done nothing yet."""
        code = frame.f_code
        found = self.resumes.get(code)
        if found is None:
            found = frozenset(instruction.offset for instruction in dis.get_instructions(code) if instruction.opcode == _RESUME)
            self.resumes[code] = found
        return frame.f_lasti in found


if __name__ == "__main__":
    Sampler(Path(sys.argv[1])).install()
    target = sys.argv[2]
    sys.argv = sys.argv[2:]
    if target.endswith(".py"):
        runpy.run_path(target, run_name="__main__")
    else:
        runpy.run_module(target, run_name="__main__", alter_sys=True)
