"""Overload: what the sidecar makes of twice and ten times as many calls as its upstream can carry.

    python tests/bench/overload.py [--seconds 20] [--json FILE]

Open loop: calls come when they come (Poisson, a fixed seed), whether or not earlier ones were answered, and a latency counts from
the moment at which the call was due. The upstream works on 20 calls at once, 100 ms each. The sidecar has a core to itself; load
and upstream share the other. It is measured twice: with that concurrency configured, and with far more and the adaptive limit.
Within each run: 1 x as the baseline, 2 x, 10 x, then half of the capacity until all is as before. Reported, never asserted.
"""

import argparse
import asyncio
import http.client
import json
import os
import random
import sys
import tempfile
from contextlib import ExitStack
from pathlib import Path
from time import perf_counter, perf_counter_ns
from typing import Final, NamedTuple, cast

import uvloop
import wire
from measure import quantile, rss_bytes
from peers import Site, find_sidecar
from processes import Process, free_port

_HERE: Final = Path(__file__).resolve().parent
_CALLS: Final = 20
_HELD_MS: Final = 100
_CAPACITY: Final = _CALLS * 1000 // _HELD_MS  # calls a second
_LATE_S: Final = 3 * _HELD_MS / 1000  # an answer after the overload that took longer is not yet as before
_PATIENCE_S: Final = 10.0
_CONNECTIONS_MAX: Final = 6000
_LIMITS: Final = {
    "fixed": f"concurrency: {_CALLS}, connections: 1000",
    "adaptive": "concurrency: 1000, connections: 1000, adaptive_concurrency: true",
}


class Answered(NamedTuple):
    """What came of one call."""

    due_ns: int
    took_ns: int
    status: int  # 0: none
    tells_when: bool  # Retry-After


class Caller(asyncio.Protocol):
    """One keep-alive connection: carries one call at a time."""

    __slots__ = ("due_ns", "load", "partial", "transport")

    def __init__(self, load: "Load") -> None:
        self.load = load
        self.partial = b""
        self.due_ns = 0
        self.transport: asyncio.Transport

    def connection_made(self, transport: asyncio.BaseTransport) -> None:
        self.transport = cast(asyncio.Transport, transport)  # uvloop's transports are no subclass

    def call(self, due_ns: int) -> None:
        """Send the request."""
        self.due_ns = due_ns
        self.transport.write(self.load.request)

    def data_received(self, data: bytes) -> None:
        data = self.partial = self.partial + data
        head_end = data.find(b"\r\n\r\n")
        if head_end < 0:
            return
        head = data[: head_end + 2].lower()
        at = head.find(b"\r\ncontent-length:")
        length = int(head[at + 17 : head.find(b"\r\n", at + 17)]) if at >= 0 else 0
        if len(data) < head_end + 4 + length:
            return
        self.partial = b""
        status = int(head[9:12])
        if status == 200 and data[head_end + 4 :] != wire.SMALL_BODY:
            status = 0
        self.end(status, tells_when=b"\r\nretry-after:" in head)
        if b"\r\nconnection: close" in head:
            self.transport.close()
        else:
            self.load.idle.append(self)

    def connection_lost(self, exc: Exception | None) -> None:
        if self in self.load.idle:
            self.load.idle.remove(self)
        if self.due_ns:
            self.end(0, tells_when=False)

    def end(self, status: int, *, tells_when: bool) -> None:
        """Note what came of the call."""
        self.load.answered.append(Answered(self.due_ns, perf_counter_ns() - self.due_ns, status, tells_when))
        self.load.open -= 1
        self.due_ns = 0


class Load:
    """Calls that come at a rate."""

    def __init__(self, port: int, request: bytes) -> None:
        self.port = port
        self.request = request
        self.idle: list[Caller] = []
        self.answered: list[Answered] = []
        self.open = 0
        self.dialling: set[asyncio.Task[None]] = set()
        self.chance = random.Random(5)

    async def run(self, rate: float, seconds: float) -> None:
        """Send calls at this rate for so long; do not wait for answers."""
        due = perf_counter()
        over_at = due + seconds
        while (due := due + self.chance.expovariate(rate)) < over_at:
            early_s = due - perf_counter()
            if early_s > 0:
                await asyncio.sleep(early_s)
            self.begin(int(due * 1e9))

    def begin(self, due_ns: int) -> None:
        """Begin a call on an idle connection or a new one."""
        self.open += 1
        if self.idle:
            self.idle.pop().call(due_ns)
            return
        task = asyncio.get_running_loop().create_task(self._dial(due_ns))
        self.dialling.add(task)
        task.add_done_callback(self.dialling.discard)

    async def _dial(self, due_ns: int) -> None:
        try:
            if self.open > _CONNECTIONS_MAX:
                raise ConnectionError("more calls are open than this machine should have")
            _, caller = await asyncio.get_running_loop().create_connection(lambda: Caller(self), "127.0.0.1", self.port)
        except OSError:
            self.answered.append(Answered(due_ns, perf_counter_ns() - due_ns, 0, tells_when=False))
            self.open -= 1
            return
        caller.call(due_ns)

    async def drain(self) -> None:
        """Wait for what is open."""
        over_at = perf_counter() + _PATIENCE_S
        while self.open and perf_counter() < over_at:
            await asyncio.sleep(0.05)

    def close(self) -> None:
        """Close all connections."""
        for caller in list(self.idle):
            caller.transport.abort()


class Phase(NamedTuple):
    """What a stretch of load at one rate came to."""

    name: str
    offered: int
    goodput: float  # answers a second within the stretch, of the capacity
    admitted_p50_ms: float
    admitted_p99_ms: float
    shed: int
    shed_p50_ms: float
    shed_p99_ms: float
    silent: int  # shed without Retry-After
    failed: int
    rss_mb: tuple[float, float, float]  # at its begin, the most in its first half, the most in its second half

    def row(self) -> str:
        """A row of the table."""
        carried = f"{self.admitted_p50_ms:,.0f} / {self.admitted_p99_ms:,.0f}"
        shed = f"{self.shed:,} | {self.shed_p50_ms:.1f} / {self.shed_p99_ms:.1f}"
        memory = ", ".join(f"{size:.1f}" for size in self.rss_mb)
        return f"| {self.name} | {self.offered:,} | {self.goodput:.1%} | {carried} | {shed} | {self.silent} | {self.failed} | {memory} |"


HEADER: Final = (
    "| load | calls | goodput, of capacity | carried, p50 / p99 ms | shed | shed, p50 / p99 ms | without Retry-After | failed "
    "| memory MB: before, first half, second half |\n|---|---|---|---|---|---|---|---|---|"
)


async def run_phase(name: str, load: Load, pid: int, rate: float, seconds: float) -> Phase:
    """Load for a while at a rate, and see."""
    rss = [rss_bytes(pid)]
    load.answered.clear()
    begun_ns = perf_counter_ns()

    async def watch() -> None:
        while True:
            await asyncio.sleep(0.25)
            rss.append(rss_bytes(pid))

    watching = asyncio.get_running_loop().create_task(watch())
    await load.run(rate, seconds)
    over_ns = perf_counter_ns()
    watching.cancel()
    in_time = sum(begun_ns <= one.due_ns + one.took_ns <= over_ns for one in load.answered if one.status == 200)
    return Phase(name, 0, in_time / seconds / _CAPACITY, 0, 0, 0, 0, 0, 0, 0, _halves(rss))._replace(**_sort(load, begun_ns))


def _halves(rss: list[int]) -> tuple[float, float, float]:
    middle = len(rss) // 2
    return rss[0] / 1e6, max(rss[:middle], default=0) / 1e6, max(rss[middle:]) / 1e6


def _sort(load: Load, begun_ns: int) -> dict[str, float]:
    """What became of the calls that were due since then, as far as they were answered by now."""
    mine = [one for one in load.answered if one.due_ns >= begun_ns]
    carried = [one.took_ns for one in mine if one.status == 200]
    shed = [one for one in mine if one.status == 503]
    shed_ns = [one.took_ns for one in shed]
    return {
        "offered": len(mine) + load.open,
        "admitted_p50_ms": quantile(carried, 0.5) / 1e6,
        "admitted_p99_ms": quantile(carried, 0.99) / 1e6,
        "shed": len(shed),
        "shed_p50_ms": quantile(shed_ns, 0.5) / 1e6,
        "shed_p99_ms": quantile(shed_ns, 0.99) / 1e6,
        "silent": sum(not one.tells_when for one in shed),
        "failed": sum(one.status not in (200, 503) for one in mine),
    }


async def measure_recovery(load: Load, seconds: float) -> float:
    """Load with half of the capacity; seconds until nothing is refused or late any more."""
    load.answered.clear()
    begun_ns = perf_counter_ns()
    await load.run(_CAPACITY / 2, seconds)
    await load.drain()
    bad = [one.due_ns for one in load.answered if one.due_ns >= begun_ns and (one.status != 200 or one.took_ns > _LATE_S * 1e9)]
    return (max(bad) - begun_ns) / 1e9 if bad else 0.0


def read_shed(admin_port: int) -> list[str]:
    """What the sidecar itself counted."""
    connection = http.client.HTTPConnection("127.0.0.1", admin_port, timeout=5)
    try:
        connection.request("GET", "/metrics")
        text = connection.getresponse().read().decode()
    finally:
        connection.close()
    return [line for line in text.splitlines() if line.startswith("llm_sidecar_shed_requests_total")]


def run(kind: str, seconds: float) -> dict[str, object]:
    """One run: a sidecar, an upstream, four stretches of load."""
    sidecar_core, load_core = sorted(os.sched_getaffinity(0))[:2]
    with ExitStack() as stack:
        directory = Path(stack.enter_context(tempfile.TemporaryDirectory(prefix="bench-")))
        site = Site(directory, free_port(), free_port(), free_port(), 0)
        argv = (sys.executable, str(_HERE / "capacity.py"), str(site.upstream_port), str(_CALLS), str(_HELD_MS))
        upstream = stack.enter_context(Process("upstream", argv, core=load_core, log=directory / "upstream"))
        recipe = find_sidecar(site, _LIMITS[kind])
        sidecar = stack.enter_context(
            Process("sidecar", recipe.argv, core=sidecar_core, log=directory / "sidecar", environment=recipe.environment)
        )
        request = wire.request(recipe.prefix)
        upstream.answers(site.upstream_port, wire.request(""), wire.SMALL_BODY)
        sidecar.answers(site.port, request, wire.SMALL_BODY)
        os.sched_setaffinity(0, {load_core})
        try:
            with asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
                found = runner.run(_carry_out(site, request, sidecar.pid, seconds))
        finally:
            os.sched_setaffinity(0, {sidecar_core, load_core})
        return found | {"counted": read_shed(site.admin_port)}


async def _carry_out(site: Site, request: bytes, pid: int, seconds: float) -> dict[str, object]:
    load = Load(site.port, request)
    await run_phase("warm-up", load, pid, _CAPACITY, 3.0)
    await load.drain()
    phases = []
    for name, times in (("1 x", 1.0), ("2 x", 2.0), ("10 x", 10.0)):
        phases.append(await run_phase(name, load, pid, times * _CAPACITY, seconds))
        if times == 1.0:
            await load.drain()
    recovery_s = await measure_recovery(load, 12.0)
    load.close()
    return {"phases": phases, "recovery_s": recovery_s, "rss_after_mb": rss_bytes(pid) / 1e6, "left_open": load.open}


def main() -> None:
    """Print one table for each kind of limit."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--seconds", type=float, default=20.0, help="of each stretch of load")
    parser.add_argument("--json", type=Path, help="write all figures here")
    chosen = parser.parse_args()
    everything = {}
    for kind, limits in _LIMITS.items():
        found = everything[kind] = run(kind, chosen.seconds)
        print(f"\n{kind} ({limits}); capacity {_CAPACITY} calls a second\n\n{HEADER}")
        for phase in cast(list[Phase], found["phases"]):
            print(phase.row())
        print(f"\nafter the overload all was as before in {found['recovery_s']:.1f} s, memory {found['rss_after_mb']:.1f} MB, ", end="")
        print(f"{found['left_open']} calls without an answer; counted by the sidecar: {found['counted']}", flush=True)
    if chosen.json:
        chosen.json.write_text(json.dumps(everything, indent=1, default=lambda value: value._asdict()))


if __name__ == "__main__":
    main()
