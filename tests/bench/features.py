"""What a call costs with features off, and with each of them on, beside another version of the source where there is one.

    python tests/bench/features.py [--before FOLDER] [--rounds 9] [--variants off,cache]

Each sidecar is a process of its own on the same core, and each is measured for a moment in each round, in turn, so that what
changes on the machine meets all. Calls are whole small answers, every one to another question at temperature 0: nothing
that is kept or in progress fits, so each feature is at its dearest. The ratio is to `off`, round by round.
"""

import argparse
import asyncio
import gc
import itertools
import os
import signal
import sys
from collections.abc import Callable, Mapping
from contextlib import ExitStack
from functools import partial
from pathlib import Path
from typing import Final

import uvloop
import wire
from load import LoadRun, run_load
from measure import spread
from peers import Recipe, Site
from processes import NotStarted
from rounds import THROUGHPUT_CONNECTIONS, Peer, start_peer
from surroundings import Surroundings
from variants import OFF, VARIANTS, find_variant

_BEFORE: Final = "before"
_WARM_S: Final = 0.15
_WINDOW_S: Final = 0.6
_SINGLE_WINDOW_S: Final = 0.3
_PATIENCE_S: Final = 10.0


def _recipes(names: list[str], before: Path | None) -> dict[str, Callable[[Site], Recipe]]:
    recipes = {name: partial(find_variant, name=name) for name in names}
    return recipes if before is None else {_BEFORE: partial(find_variant, name=OFF, source=before.resolve()), **recipes}


class Features:
    """Sidecars that differ in what is on."""

    def __init__(self, stack: ExitStack, recipes: Mapping[str, Callable[[Site], Recipe]]) -> None:
        self.around = Surroundings(stack)
        self.peers: dict[str, Peer] = {}
        for name, find in recipes.items():
            peer = self.peers[name] = start_peer(f"sidecar-{len(self.peers)}", self.around, 1, find=find)
            stack.enter_context(peer.process)
        self._numbers = itertools.count()

    async def round(self) -> None:
        """Measure each for a moment, and the first one not always first."""
        names = list(self.peers)
        turn = len(self.peers[names[0]].rounds["cpu_us"]) % len(names)
        for name in names[turn:] + names[:turn]:
            peer = self.peers[name]
            many = await self._load(peer, THROUGHPUT_CONNECTIONS, _WINDOW_S)
            single = await self._load(peer, 1, _SINGLE_WINDOW_S)
            for measure, figure in (
                ("cpu_us", many.cpu_us), ("rate", many.rate), ("p50_us", single.p50_us), ("failed", many.failed + single.failed),
            ):  # fmt: skip
                peer.rounds[measure].append(figure)

    async def _load(self, peer: Peer, connections: int, window_s: float) -> LoadRun:
        return await run_load(
            peer.site.port, wire.questions(peer.prefix, self._numbers), connections=connections, warm_s=_WARM_S, window_s=window_s,
            peer_pid=peer.pid, load_pids=self.around.load_pids, patience_s=_PATIENCE_S,
        )  # fmt: skip


def _table(peers: Mapping[str, Peer]) -> str:
    lines = ["| features | CPU µs/call | × off | one connection, p50 µs | × off | calls/s | failed |", "|---|---|---|---|---|---|---|"]
    off = peers[OFF].rounds
    for name, peer in peers.items():
        found = peer.rounds
        ratios = {
            measure: spread([mine / base for mine, base in zip(found[measure], off[measure], strict=True)])
            for measure in ("cpu_us", "p50_us")
        }  # fmt: skip
        cells = [name]
        for measure in ("cpu_us", "p50_us"):
            cells.append(f"{spread(found[measure]).median:.1f}")
            cells.append(f"{ratios[measure].median:.3f} ({ratios[measure].low:.2f}–{ratios[measure].high:.2f})")
        cells += [f"{spread(found['rate']).median:,.0f}", f"{sum(found['failed']):.0f}"]
        lines.append(f"| {' | '.join(cells)} |")
    return "\n".join(lines)


def main() -> int:
    """Measure and print the table."""
    parser = argparse.ArgumentParser(prog="features.py", description="What a call costs with each feature.")
    parser.add_argument("--before", type=Path, metavar="FOLDER", help="another version of the source, measured with its features off")
    parser.add_argument("--rounds", type=int, default=9, choices=range(1, 100), metavar="1-99")
    parser.add_argument("--variants", default=";".join(VARIANTS), help="semicolon-separated; off is always among them")
    arguments = parser.parse_args()
    names = list(dict.fromkeys([OFF, *filter(None, arguments.variants.split(";"))]))
    if unknown := [name for name in names if name not in VARIANTS]:
        parser.error(f"unknown variants: {', '.join(unknown)}")
    signal.signal(signal.SIGTERM, signal.default_int_handler)
    try:
        with ExitStack() as stack, asyncio.Runner(loop_factory=uvloop.new_event_loop) as runner:
            features = Features(stack, _recipes(names, arguments.before))
            gc.freeze()
            gc.disable()  # the load must not pause
            for number in range(arguments.rounds):
                print(f"round {number + 1} of {arguments.rounds}", file=sys.stderr, flush=True)
                runner.run(features.round())
            print(f"{arguments.rounds} rounds, medians; load average {os.getloadavg()[0]:.1f}\n")
            print(_table(features.peers))
    except NotStarted as reason:
        print(reason, file=sys.stderr)
        return 1
    except KeyboardInterrupt:
        return 130
    return 0


if __name__ == "__main__":
    sys.exit(main())
