"""The benchmark: the sidecar beside its peers, on two cores of one machine, in one run.

    python tests/bench/run.py [--quick] [--peers envoy,aiohttp,sidecar] [--json FILE]

The peer under measurement has one core to itself; the load, the upstream and the trace receiver
share the other. Everything stays on the loopback interface. Times are reported, never asserted.
"""

import argparse
import asyncio
import gc
import http.client
import json
import os
import platform
import signal
import sys
import time
from contextlib import ExitStack
from pathlib import Path

import uvloop
from measure import cpu_ns, machine_busy_ns, rss_bytes
from peers import DEFAULT, RECIPES, NotInstalled
from plan import FULL, QUICK, Plan
from processes import NotStarted
from rounds import Peer, Rounds, start_peer
from surroundings import Surroundings
from tables import report

_COUNTED = tuple(f"llm_sidecar_{name}_total" for name in ("requests", "spans_exported", "spans_dropped", "observer_failures"))
_OTHERS_SHARE_MAX = 0.1


def _say(text: str) -> None:
    print(text, file=sys.stderr, flush=True)


def _get(port: int, path: str) -> str:
    connection = http.client.HTTPConnection("127.0.0.1", port, timeout=5)
    try:
        connection.request("GET", path)
        return connection.getresponse().read().decode()
    finally:
        connection.close()


class Bench:
    """One run: the surroundings, the peers, and what came of them."""

    def __init__(self, plan: Plan, names: list[str], stack: ExitStack) -> None:
        self.plan = plan
        self.names = names
        self.stack = stack
        self.around = Surroundings(stack)
        self.notes: list[str] = []
        self.peers: list[Peer] = []

    def start(self) -> None:
        """Start every peer; those that are not to be had are noted and left out."""
        for name in self.names:
            _say(f"starting {name}")
            try:
                peer = start_peer(name, self.around, self.plan.starts)
            except (NotInstalled, NotStarted) as reason:
                self.notes.append(f"{name} was left out: {reason}")
                _say(self.notes[-1])
                continue
            self.stack.enter_context(peer.process)
            self.peers.append(peer)

    def idle(self, rounds: Rounds) -> None:
        """Leave all peers alone, then read them."""
        _say(f"leaving all alone for {self.plan.idle_s:.0f} s")
        settle_s = min(2.0, self.plan.idle_s / 2)
        time.sleep(settle_s)
        before = {peer.name: cpu_ns(peer.pid) for peer in self.peers}
        time.sleep(self.plan.idle_s - settle_s)
        for peer in self.peers:
            rounds.idle(peer, before[peer.name], self.plan.idle_s - settle_s)

    def load(self, rounds: Rounds, runner: asyncio.Runner) -> None:
        """Everything that needs load, and how much others disturbed it."""
        begun, others_ns = time.perf_counter(), self._others_ns()
        self._load(rounds, runner)
        share = (self._others_ns() - others_ns) / 1e9 / (time.perf_counter() - begun)
        verdict = "" if share < _OTHERS_SHARE_MAX else ": **too much, repeat the run on a quiet machine**"
        self.notes.append(f"other programs and interrupts used {share:.0%} of a core meanwhile{verdict}")

    def _others_ns(self) -> int:
        return machine_busy_ns() - sum(map(cpu_ns, (*self.around.load_pids, *(peer.pid for peer in self.peers))))

    def _load(self, rounds: Rounds, runner: asyncio.Runner) -> None:
        plan = self.plan
        for peer in self.peers:
            _say(f"1,000 streams: {peer.name}")
            runner.run(rounds.crowd(peer))
        for number in range(plan.rounds):
            for peer in self.peers:
                _say(f"round {number + 1} of {plan.rounds}: {peer.name}")
                runner.run(rounds.round(peer))
        for connections in plan.frontier:
            _say(f"frontier: {connections} connections")
            for peer in self.peers:
                runner.run(rounds.frontier(peer, connections))
        for streams in plan.sustained:
            _say(f"sustained: {streams} streams")
            for peer in self.peers:
                runner.run(rounds.sustain(peer, streams))

    def finish(self) -> None:
        """Last readings, and the sidecar's own account beside what the trace receiver got."""
        for peer in self.peers:
            peer.once["end_rss_bytes"] = rss_bytes(peer.pid)
            if peer.name.startswith("sidecar"):
                self.notes.append(f"{peer.name} counted {_account(peer)}")
        self.notes.append(f"the trace receiver counted {_get(self.around.receiver_port, '/count')}")


def _account(peer: Peer) -> dict[str, float]:
    """The sums of some of the sidecar's own counters."""
    totals = dict.fromkeys(_COUNTED, 0.0)
    for line in _get(peer.site.admin_port, "/metrics").splitlines():
        name = line.split("{", 1)[0].split(" ", 1)[0]
        if name in totals:
            totals[name] += float(line.rsplit("} ", 1)[-1].split()[-1])
    return totals


def _conditions(plan: Plan, names: list[str], took_s: float) -> str:
    processors = Path("/proc/cpuinfo").read_text().splitlines()
    model = next((line.split(":", 1)[1].strip() for line in processors if line.startswith("model name")), platform.machine())
    return (
        f"{model}, {os.cpu_count()} cores, Linux {platform.release()}, Python {platform.python_version()}; {', '.join(names)}; "
        f"{plan.rounds} rounds, median (least to greatest); {took_s:.0f} s"
    )


def _write_json(file: Path, bench: Bench) -> None:
    peers = {
        peer.name: {
            "starts_s": peer.starts_s, "once": peer.once, "rounds": dict(peer.rounds),
            "frontier": [run._asdict() | {"rate": run.rate} for run in peer.frontier],
            "sustained": [run._asdict() for run in peer.sustained],
        }
        for peer in bench.peers
    }  # fmt: skip
    found = json.dumps({"plan": bench.plan._asdict(), "peers": peers, "notes": bench.notes}, indent=1)
    file.write_text(json.dumps(json.loads(found, parse_constant=lambda _: None), indent=1))  # what was not measured is null, not NaN


def _arguments(argv: list[str] | None) -> argparse.Namespace:
    parser = argparse.ArgumentParser(prog="run.py", description="Measure the sidecar beside its peers.")
    parser.add_argument("--quick", action="store_true", help="under two minutes instead of ten")
    parser.add_argument("--peers", default=",".join(DEFAULT), help=f"comma-separated, of {', '.join(RECIPES)}; direct is always among them")
    parser.add_argument("--json", type=Path, metavar="FILE", help="write every figure here too")
    arguments = parser.parse_args(argv)
    arguments.names = list(dict.fromkeys(["direct", *filter(None, arguments.peers.split(","))]))
    if unknown := [name for name in arguments.names if name not in RECIPES]:
        parser.error(f"unknown peers: {', '.join(unknown)}")
    if len(os.sched_getaffinity(0)) < 2:
        parser.error("two cores are needed")
    return arguments


def main(argv: list[str] | None = None) -> int:
    """Run the benchmark and print the report."""
    arguments = _arguments(argv)
    signal.signal(signal.SIGTERM, signal.default_int_handler)  # end like Ctrl-C: the processes are ended too
    begun = time.perf_counter()
    plan = QUICK if arguments.quick else FULL
    try:
        with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            bench = Bench(plan, arguments.names, stack)
            rounds = Rounds(plan, bench.around.load_pids)
            bench.start()
            bench.idle(rounds)
            gc.freeze()
            gc.disable()  # the load must not pause while it times others
            bench.load(rounds, runner)
            bench.finish()
            print(_conditions(plan, [peer.name for peer in bench.peers], time.perf_counter() - begun) + "\n")
            print(report(bench.peers, plan.idle_s))
            print("\n".join(f"- {note}" for note in bench.notes))
            if arguments.json:
                _write_json(arguments.json, bench)
    except KeyboardInterrupt:
        _say("interrupted; every process was ended")
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
