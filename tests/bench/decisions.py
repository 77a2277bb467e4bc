"""What choosing an upstream costs: decisions per second for each strategy, beside a random choice from the same list.

    python tests/bench/decisions.py [--upstreams 20] [--seconds 0.5]

Measured in one process, one run: for pools the whole of deciding, beginning and settling a call, and deciding alone; for a single
upstream the same beside its breaker and slots alone. Some calls are in progress and all upstreams have been measured, as in use.
"""

import argparse
import random
import sys
import time
from collections import deque
from collections.abc import Callable
from pathlib import Path

sys.path.insert(0, str(Path(__file__).resolve().parents[2]))

from sidecar.config import Strategy
from sidecar.core.choose.needs import NO_NEEDS, Grant
from sidecar.core.choose.verdicts import Verdict
from tests.core.choose.pools import Rig, plain

_IN_PROGRESS = 40
_WARM_UP = 2_000
_BLOCK = 200
DECISIONS_MIN_PER_S = 10_000
DECISION_MAX_MS = 0.1


def measure(step: Callable[[], object], seconds: float) -> float:
    """Return the seconds of CPU that one step takes: the median of blocks, so that what else the machine does falls out."""
    blocks = []
    until = time.perf_counter() + seconds
    while time.perf_counter() < until:
        began = time.process_time()
        for _ in range(_BLOCK):
            step()
        blocks.append((time.process_time() - began) / _BLOCK)
    return sorted(blocks)[len(blocks) // 2]


def make_busy(strategy: Strategy, upstreams: int) -> tuple[Rig, Callable[[], None]]:
    """Return a pool in use, and a step: one call comes, and the oldest one ends."""
    rig = Rig(plain(*(f"up-{number:02}" for number in range(upstreams))), strategy)
    going: deque[Grant] = deque()

    def step() -> None:
        rig.now += 0.001
        going.append(rig.begin())
        if len(going) > _IN_PROGRESS:
            done = going.popleft()
            rig.settle(done, Verdict.SUCCESS, 0.5 + 0.01 * rig.names.index(done.upstream))

    for _ in range(_WARM_UP):
        step()
    return rig, step


def report_pools(upstreams: int, seconds: float) -> bool:
    """Print a row for each strategy; return whether all are fast enough."""
    names = [f"up-{number:02}" for number in range(upstreams)]
    chance_s = measure(lambda: random.choice(names), seconds)
    print(f"| {upstreams} upstreams | decide, us | decisions/s | decide + begin + settle, us |\n|---|---|---|---|")
    print(f"| random.choice, which knows nothing | {chance_s * 1e6:.2f} | {1 / chance_s:,.0f} | |")
    good = True
    for strategy in Strategy:
        rig, step = make_busy(strategy, upstreams)
        decide_s, whole_s = measure(rig.decide, seconds), measure(step, seconds)
        good = good and 1 / decide_s >= DECISIONS_MIN_PER_S and decide_s * 1000 < DECISION_MAX_MS
        print(f"| {strategy} | {decide_s * 1e6:.1f} | {1 / decide_s:,.0f} | {whole_s * 1e6:.1f} |")
    return good


def report_single(seconds: float) -> None:
    """Print what a single upstream costs, beside its breaker and slots, which it needs in any case."""
    rig = Rig(plain("alone"))
    routing, slots = rig.routing, rig.slots
    find = rig.breakers.find
    alone = ("alone",)

    def whole() -> None:
        grant = routing.begin(routing.decide("", alone, NO_NEEDS, 1000.0), NO_NEEDS, 1000.0)
        assert grant is not None
        routing.settle(grant, Verdict.SUCCESS, 1001.0, response_time_s=1.0)

    def neighbours() -> None:
        breaker = find("alone", None)
        if breaker.admits(1000.0) and slots.has_room("alone"):
            breaker = find("alone", None)
            permit = breaker.acquire(1000.0)
            slots.take("alone", 1000.0)
            slots.release("alone", 1001.0)
            assert permit is not None
            breaker.state(1001.0)
            breaker.settle(permit, Verdict.SUCCESS, 1001.0)

    whole_s, neighbours_s = measure(whole, seconds), measure(neighbours, seconds)
    print(
        f"\nA single upstream: {whole_s * 1e6:.2f} us for decide + begin + settle, of which breaker and slots {neighbours_s * 1e6:.2f} us."
    )


def main() -> int:
    """Measure, print, and fail where a strategy is too slow."""
    parser = argparse.ArgumentParser(description=__doc__, formatter_class=argparse.RawDescriptionHelpFormatter)
    parser.add_argument("--upstreams", type=int, default=20)
    parser.add_argument("--seconds", type=float, default=0.5, help="of each measurement")
    options = parser.parse_args()
    good = report_pools(options.upstreams, options.seconds)
    report_single(options.seconds)
    return 0 if good else 1


if __name__ == "__main__":
    sys.exit(main())
