"""What a sidecar takes for what it carries: CPU by calls and chunks, memory by open streams and by series of metrics.

    python tests/bench/sizing.py [--rounds N] [--journal DIR] [--sidecar NAME=COMMAND ...]

Everything is on, as in footprint.py; NAME=COMMAND is a sidecar anywhere, started as there (again for another one). Beside it, in the
same run, turn by turn: a plain proxy of aiohttp's that observes nothing, and Envoy where it is installed. CPU is that of one core of
this machine; what other machines can be asked is the ratio. Memory is what the process grew by, from the idle one.
"""

import argparse
import asyncio
import http.client
import json
import shlex
import sys
import tempfile
from contextlib import ExitStack
from functools import partial
from typing import Final, NamedTuple

import uvloop
import wire
from footprint import find_everything, read_memory
from measure import cpu_ns, spread
from peers import RECIPES, NotInstalled
from plan import QUICK
from processes import NotStarted
from rounds import CROWD, STREAMS, Peer, Rounds, start_peer
from surroundings import Surroundings

_BESIDE: Final = ("direct", "aiohttp", "envoy")
_MODELS: Final = 190  # below the bound on values of one label
_SCRAPES: Final = 20


class Series(NamedTuple):
    """What labels cost."""

    lines: int  # of one scrape, more than before
    grown_bytes: int
    scrape_ns: float  # CPU time of one
    all_lines: int


def _ask(port: int, method: str, path: str, body: bytes | None = None) -> bytes:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=10)
    try:
        connection.request(method, path, body, {"Content-Type": "application/json", "Accept-Encoding": "identity"})
        return connection.getresponse().read()
    finally:
        connection.close()


def _count_lines(peer: Peer) -> int:
    return sum(not line.startswith(b"#") for line in _ask(peer.site.admin_port, "GET", "/metrics").splitlines())


def measure_series(peer: Peer) -> Series:
    """Ask for many models, each of which gets series of its own; then scrape."""
    before, rss_bytes = _count_lines(peer), read_memory(peer.pid)["VmRSS"]
    for number in range(_MODELS):
        body = json.dumps({"model": f"model-{number}", "messages": [{"role": "user", "content": str(number)}]}).encode()
        _ask(peer.site.port, "POST", f"{peer.prefix}{wire.PATH}", body)
    lines = _count_lines(peer)
    grown = read_memory(peer.pid)["VmRSS"] - rss_bytes
    begun_ns = cpu_ns(peer.pid)
    for _ in range(_SCRAPES):
        _ask(peer.site.admin_port, "GET", "/metrics")
    return Series(lines - before, grown, (cpu_ns(peer.pid) - begun_ns) / _SCRAPES, lines)


def _start(arguments: argparse.Namespace, around: Surroundings, stack: ExitStack) -> tuple[list[Peer], list[Peer]]:
    beside, sidecars = [], []
    for name in _BESIDE:
        try:
            beside.append(start_peer(name, around, 1, find=RECIPES[name]))
        except (NotInstalled, NotStarted) as reason:
            print(f"{name} was left out: {reason}", file=sys.stderr)
            continue
        stack.enter_context(beside[-1].process)
    for number, told in enumerate(arguments.sidecar or ["sidecar="]):
        name, _, command = told.partition("=")
        journal = arguments.journal or str(stack.enter_context(tempfile.TemporaryDirectory(prefix=f"bench-{number}-")))
        find = partial(find_everything, command=tuple(shlex.split(command)), journal=journal)
        sidecars.append(start_peer(name, around, 1, find=find))
        stack.enter_context(sidecars[-1].process)
    return beside, sidecars


def _median(peer: Peer, figure: str) -> float:
    return spread(peer.rounds[figure]).median


def _report(beside: list[Peer], sidecars: list[Peer], series: dict[str, Series]) -> None:
    base = next(peer for peer in beside if peer.name == "aiohttp")
    print("| | CPU per call, µs | of the plain proxy's | CPU per chunk, µs | of the plain proxy's | idle, MB | per open stream, kB |")
    print("|---|---|---|---|---|---|---|")
    for peer in (*beside, *sidecars):
        call, chunk = _median(peer, "cpu_us"), _median(peer, "streams_chunk_cpu_us")
        idle, crowd = peer.once["idle_rss_bytes"], peer.once["crowd_rss_bytes"]
        ratios = call / _median(base, "cpu_us"), chunk / _median(base, "streams_chunk_cpu_us")
        cells = f"{call:.0f} | {ratios[0]:.2f} | {chunk:.1f} | {ratios[1]:.2f} | {idle / 1e6:.1f} | {(crowd - idle) / CROWD / 1e3:.0f}"
        print(f"| {peer.name} | {cells} |")
    print(f"\nstreams: {STREAMS} at once for the CPU, {CROWD:,} for the memory")
    for name, found in series.items():
        each = found.grown_bytes / max(1, found.lines)
        print(f"{name}: {found.lines} more lines of a scrape took {each / 1e3:.2f} kB each; a scrape of {found.all_lines} lines took "
              f"{found.scrape_ns / 1e6:.1f} ms of CPU, {found.scrape_ns / 1e3 / found.all_lines:.1f} µs a line")  # fmt: skip


def main() -> int:
    """Measure and print."""
    parser = argparse.ArgumentParser(prog="sizing.py", description="Measure what a sidecar takes for what it carries.")
    parser.add_argument("--rounds", type=int, default=3)
    parser.add_argument("--journal", metavar="DIR", help="as the sidecar sees it [a temporary folder]")
    parser.add_argument("--sidecar", action="append", metavar="NAME=COMMAND", help="[this Python, this source]")
    arguments = parser.parse_args()
    with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
        around = Surroundings(stack)
        rounds = Rounds(QUICK, around.load_pids)
        beside, sidecars = _start(arguments, around, stack)
        for peer in (*beside, *sidecars):
            peer.once["idle_rss_bytes"] = read_memory(peer.pid)["VmRSS"]
        series = {peer.name: measure_series(peer) for peer in sidecars}
        for peer in sidecars:
            peer.once["idle_rss_bytes"] = read_memory(peer.pid)["VmRSS"]
        for peer in (*beside, *sidecars):
            runner.run(rounds.crowd(peer))
        for _ in range(arguments.rounds):
            for peer in (*beside, *sidecars):
                runner.run(rounds.round(peer))
        _report(beside, sidecars, series)
    return 0


if __name__ == "__main__":
    sys.exit(main())
