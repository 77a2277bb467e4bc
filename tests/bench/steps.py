"""What each step of the path spends: the sidecar sampled under load, its CPU time told apart by step.

    python tests/bench/steps.py [--peer sidecar] [--with FEATURES] [--seconds 8] [--functions 20]

Two tables: of a unary call at 64 connections, and of a streamed chunk at 300 streams of 50 chunks
a second. The µs are CPU time of the process for one call or chunk; beside them the number of
samples they rest on (the relative standard error of n samples is 1/√n).
"""

import argparse
import asyncio
import gc
import json
import os
import signal
import sys
import time
from collections import defaultdict
from collections.abc import Iterable
from contextlib import ExitStack
from itertools import count
from pathlib import Path
from typing import Any, Final, NamedTuple

import uvloop
import wire
from load import run_load
from peers import RECIPES, Site
from processes import NotStarted, Process, free_port
from rounds import PACE_MS, STREAMS, THROUGHPUT_CONNECTIONS
from streams import run_streams
from surroundings import Surroundings
from variants import OFF, VARIANTS, find_variant

_HERE = Path(__file__).resolve().parent
_LOOP: Final = "event loop and its sockets (uvloop)"
_THREADS: Final = "other threads (trace exporter)"
_STREAM_CHUNKS: Final = 100
_PATIENCE_S: Final = 5.0  # for the samples to be written

# Which step a file belongs to: the innermost frame that is in one of these decides.
_STEPS: Final = (
    ("/aiohttp/", "the admin port (aiohttp)"),
    ("/sidecar/edge/inbound/", "accept: the caller's connection, parser, writes to it"),
    ("/sidecar/core/identify/", "identify: target, route, trace context"),
    ("/sidecar/core/choose/", "choose: breakers, standings, slots"),
    *((f"/sidecar/core/admit/{name}.py", "limits") for name in ("buckets", "estimates", "rates", "windows")),
    *((f"/sidecar/core/admit/{name}.py", "budgets") for name in ("budgets", "spending_sums", "spending_windows", "stops")),
    ("/sidecar/core/admit/", "choose: breakers, standings, slots"),
    ("/sidecar/attempts.py", "attempt: begin, try, settle"),
    ("/sidecar/openings.py", "attempt: begin, try, settle"),
    ("/sidecar/trials.py", "attempt: begin, try, settle"),
    ("/sidecar/reading.py", "observe"),
    ("/sidecar/edge/outbound/relay.py", "relay: pieces, waits, deadlines"),
    ("/sidecar/edge/outbound/connection.py", "attempt: upstream connection, writes to it, parser"),
    ("/sidecar/edge/outbound/", "attempt: pool and dialling"),
    ("/sidecar/core/attempt/", "attempt: heads and deadlines"),
    ("/sidecar/core/observe/", "observe"),
    ("/sidecar/core/reuse/levels.py", "reuse: find and keep"),
    ("/sidecar/core/reuse/packing.py", "reuse: find and keep"),
    ("/sidecar/core/reuse/entry.py", "reuse: find and keep"),
    ("/sidecar/core/reuse/keeping.py", "reuse: find and keep"),
    ("/sidecar/core/reuse/flights.py", "reuse: flights"),
    ("/sidecar/core/reuse/", "reuse: judge"),
    ("/sidecar/larder.py", "reuse: find and keep"),
    ("/sidecar/flying.py", "reuse: flights"),
    ("/sidecar/riding.py", "reuse: flights"),
    ("/sidecar/journeys.py", "reuse: flights"),
    ("/sidecar/reuse.py", "reuse: answer"),
    ("/sidecar/limiting.py", "limits"),
    ("/sidecar/spending.py", "budgets"),
    ("/sidecar/progress.py", "record: seal"),
    ("/sidecar/sealing.py", "record: seal"),
    ("/sidecar/edge/telemetry/", "record: sinks (metrics, trace queue)"),
    ("/sidecar/pipeline.py", "the path itself"),
    ("/sidecar/edge/", "clock, tasks and the rest of the edge"),
    ("/sidecar/", "the rest of the sidecar"),
)
_PEEK: Final = "identify: peek at the body"
_PEEKING: Final = frozenset({"peek", "ask", "add_usage_request"})


class Sampled(NamedTuple):
    """Samples of one load: CPU time per step and per function, for so many calls or chunks."""

    units: int
    process_us: float  # CPU time of the whole process for one
    steps: dict[str, tuple[float, int]]  # µs for one, samples
    functions: dict[str, tuple[float, int]]


def name_step(stack: Iterable[tuple[str, str]]) -> str:
    """The step that a stack, innermost first, belongs to."""
    places = list(stack)
    if any(function in _PEEKING and "/sidecar/core/observe/" in file for file, function in places):
        return _PEEK
    for file, _ in places:
        for part, step in _STEPS:
            if part in file:
                return step
    return _LOOP


def _name_function(stack: list[tuple[str, str]]) -> str:
    if not stack:
        return _LOOP
    file, function = stack[0]
    return f"{'/'.join(Path(file).parts[-2:])} {function}"


def add_up(report: dict[str, Any], units: int) -> Sampled:
    """Add the samples of one load up."""
    steps: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    functions: dict[str, list[float]] = defaultdict(lambda: [0.0, 0])
    for found in report["stacks"]:
        stack = [(file, function) for file, function in found["stack"]]
        for table, name in ((steps, name_step(stack)), (functions, _name_function(stack))):
            table[name][0] += found["cpu_ns"] / 1e3 / units
            table[name][1] += found["samples"]
    others_us = (report["process_ns"] - report["main_thread_ns"]) / 1e3 / units
    steps[_THREADS] = [others_us, 0]
    return Sampled(units, report["process_ns"] / 1e3 / units, _settled(steps), _settled(functions))


def _settled(table: dict[str, list[float]]) -> dict[str, tuple[float, int]]:
    return {name: (us, int(samples)) for name, (us, samples) in table.items()}


class Steps:
    """A peer under the sampler, and load for it."""

    def __init__(self, stack: ExitStack, name: str, features: str, seconds: float) -> None:
        self.seconds = seconds
        self.asks = features != OFF
        around = Surroundings(stack)
        self.load_pids = around.load_pids
        self.site = Site(around.directory, free_port(), free_port(), around.upstream_port, around.receiver_port)
        self.samples = around.directory / "samples.json"
        recipe = RECIPES[name](self.site) if features == OFF else find_variant(self.site, name=features)
        program = recipe.argv[2:] if recipe.argv[1] == "-m" else recipe.argv[1:]
        argv = (sys.executable, str(_HERE / "sampled.py"), str(self.samples), *program)
        self.prefix = recipe.prefix
        self.peer = stack.enter_context(
            Process(name, argv, core=around.peer_core, log=around.directory / "log", cwd=around.directory, environment=recipe.environment)
        )
        self.peer.answers(self.site.port, wire.request(self.prefix), wire.SMALL_BODY)

    async def unary(self) -> Sampled:
        """Sample the closed loop of small answers."""
        request = wire.questions(self.prefix, count()) if self.asks else wire.request(self.prefix)
        found = await run_load(
            self.site.port, request, connections=THROUGHPUT_CONNECTIONS, warm_s=1, window_s=self.seconds,
            peer_pid=self.peer.pid, load_pids=self.load_pids, mark=self._mark,
        )  # fmt: skip
        return add_up(self._read(), found.answers)

    async def streamed(self) -> Sampled:
        """Sample 300 streams."""
        found = await run_streams(
            self.site.port, self.prefix, streams=STREAMS, chunks=_STREAM_CHUNKS, pace_ms=PACE_MS, ramp_s=_STREAM_CHUNKS * PACE_MS / 1000,
            window_s=self.seconds, peer_pid=self.peer.pid, load_pids=self.load_pids, mark=self._mark,
        )  # fmt: skip
        return add_up(self._read(), found.chunks)

    def _mark(self, *, begins: bool) -> None:
        os.kill(self.peer.pid, signal.SIGUSR1 if begins else signal.SIGUSR2)

    def _read(self) -> dict[str, Any]:
        until = time.perf_counter() + _PATIENCE_S
        while not self.samples.exists() and time.perf_counter() < until:
            time.sleep(0.01)
        report: dict[str, Any] = json.loads(self.samples.read_text())
        self.samples.unlink()
        return report


def _table(title: str, rows: dict[str, tuple[float, int]], total_us: float, most: int) -> str:
    lines = [f"### {title}", "", "| | µs | % | samples |", "|---|---|---|---|"]
    for name, (us, samples) in sorted(rows.items(), key=lambda row: -row[1][0])[:most]:
        lines.append(f"| {name} | {us:.2f} | {us / total_us * 100:.1f} | {samples or ''} |")
    lines.append(f"| the whole process | {total_us:.2f} | 100 | |")
    return "\n".join(lines) + "\n"


def _show(what: str, sampled: Sampled, functions: int) -> None:
    print(_table(f"What a {what} spends, by step ({sampled.units:,} of them)", sampled.steps, sampled.process_us, len(sampled.steps)))
    if functions:
        print(_table(f"What a {what} spends, by function", sampled.functions, sampled.process_us, functions))


def main() -> int:
    """Sample both loads and print the tables."""
    parser = argparse.ArgumentParser(prog="steps.py", description="What each step of the path spends.")
    parser.add_argument("--peer", default="sidecar", choices=("sidecar", "sidecar-untraced", "aiohttp"))
    parser.add_argument(
        "--with", dest="features", default=OFF, choices=VARIANTS, help="of the sidecar; each unary call asks another question"
    )
    parser.add_argument("--seconds", type=float, default=8)
    parser.add_argument("--functions", type=int, default=20, help="so many rows by function too")
    arguments = parser.parse_args()
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            steps = Steps(stack, arguments.peer, arguments.features, arguments.seconds)
            gc.freeze()
            gc.disable()  # the load must not pause
            _show("unary call", runner.run(steps.unary()), arguments.functions)
            if arguments.features == OFF:
                _show("streamed chunk", runner.run(steps.streamed()), arguments.functions)
    except NotStarted as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
