"""What is measured of each peer, and in which order.

Every round measures every peer once, one after the other, so that what changes on the machine
meanwhile meets all of them. Added times are those of a peer less those of going direct in the
same round. Direct is another instance of the upstream on the proxies' core: it too pays for one
hop between cores.
"""

from collections import defaultdict
from collections.abc import Callable
from dataclasses import dataclass, field
from typing import Final

import wire
from load import LoadRun, run_load
from measure import cpu_ns, rss_bytes
from peers import RECIPES, Recipe, Site
from plan import Plan
from processes import Process, free_port
from streams import StreamRun, run_streams
from surroundings import Surroundings

THROUGHPUT_CONNECTIONS: Final = 64
STREAMS: Final = 300
PACE_MS: Final = 20  # 50 events a second
CROWD: Final = 1000
CROWD_PACE_MS: Final = 200  # slower: what is measured is memory, and one load core cannot pace 50,000 events a second
LONG_STREAM_CHUNKS: Final = 64
FIRST_TOKEN_PACE_MS: Final = 10


@dataclass
class Peer:
    """One running proxy and all that was measured of it."""

    name: str
    process: Process
    site: Site
    prefix: str
    starts_s: list[float]
    rounds: dict[str, list[float]] = field(default_factory=lambda: defaultdict(list))
    once: dict[str, float] = field(default_factory=dict)
    frontier: list[LoadRun] = field(default_factory=list)
    sustained: list[StreamRun] = field(default_factory=list)

    @property
    def pid(self) -> int:
        """Process id of the proxy."""
        return self.process.pid


def start_peer(
    name: str, around: Surroundings, starts: int, *, find: Callable[[Site], Recipe] | None = None, body: bytes = wire.SMALL_BODY,
    patience_s: float = 20.0,
) -> Peer:  # fmt: skip
    """Start a peer so many times, keep the last. Raises NotInstalled or NotStarted.

    `find`: how to start one that is not in RECIPES. `body`: what its first answer ends with.
    """
    starts_s: list[float] = []
    while True:
        place = around.directory / f"{name}-{len(starts_s)}"
        place.mkdir()
        site = Site(place, free_port(), free_port(), around.upstream_port, around.receiver_port)
        recipe = (find or RECIPES[name])(site)
        process = Process(name, recipe.argv, core=around.peer_core, log=place / "log", cwd=place, environment=recipe.environment)
        try:
            starts_s.append(process.answers(site.port, wire.request(recipe.prefix), body, patience_s=patience_s))
        except BaseException:
            process.stop()
            raise
        if len(starts_s) == starts:
            return Peer(name, process, site, recipe.prefix, starts_s)
        process.stop()


class Rounds:
    """Measures peers one after the other from the load's core."""

    def __init__(self, plan: Plan, load_pids: tuple[int, ...]) -> None:
        self.plan = plan
        self.load_pids = load_pids

    async def _load(self, peer: Peer, connections: int, window_s: float) -> LoadRun:
        return await run_load(
            peer.site.port, wire.request(peer.prefix), connections=connections, warm_s=self.plan.warm_s, window_s=window_s,
            peer_pid=peer.pid, load_pids=self.load_pids,
        )  # fmt: skip

    async def _streams(self, peer: Peer, streams: int, chunks: int, pace_ms: int, ramp_s: float, window_s: float) -> StreamRun:
        return await run_streams(
            peer.site.port, peer.prefix, streams=streams, chunks=chunks, pace_ms=pace_ms, ramp_s=ramp_s, window_s=window_s,
            peer_pid=peer.pid, load_pids=self.load_pids,
        )  # fmt: skip

    async def round(self, peer: Peer) -> None:
        """One round of one peer."""
        plan, note = self.plan, peer.rounds
        many = await self._load(peer, THROUGHPUT_CONNECTIONS, plan.window_s)
        for name in ("rate", "cpu_us", "peer_share", "load_share", "failed"):
            note[name].append(getattr(many, name))
        single = await self._load(peer, 1, plan.single_window_s)
        note["p50_us"].append(single.p50_us)
        note["p99_us"].append(single.p99_us)
        chunks = round(plan.streams_ramp_s * 1000 / PACE_MS)
        crowd = await self._streams(peer, STREAMS, chunks, PACE_MS, plan.streams_ramp_s, plan.streams_window_s)
        for name in ("chunk_cpu_us", "first_token_p50_us", "first_token_p99_us", "added_gap_p99_us", "transit_p50_us", "transit_p99_us"):
            note[f"streams_{name}"].append(getattr(crowd, name))
        note["streams_load_share"].append(crowd.load_share)
        note["streams_failed"].append(crowd.failed + crowd.stalled)
        gaps = await self._streams(peer, 1, LONG_STREAM_CHUNKS, PACE_MS, 0, plan.stream_window_s)
        firsts = await self._streams(peer, 1, 1, FIRST_TOKEN_PACE_MS, 0, plan.stream_window_s)
        note["stream_added_gap_p99_us"].append(gaps.added_gap_p99_us)
        note["stream_first_token_p50_us"].append(firsts.first_token_p50_us)
        note["stream_first_token_p99_us"].append(firsts.first_token_p99_us)

    async def crowd(self, peer: Peer) -> None:
        """1,000 open streams: what they cost in memory."""
        plan = self.plan
        chunks = round((plan.crowd_ramp_s + plan.crowd_window_s) * 1000 / CROWD_PACE_MS) + 10  # none ends meanwhile
        seen = await self._streams(peer, CROWD, chunks, CROWD_PACE_MS, plan.crowd_ramp_s, plan.crowd_window_s)
        peer.once["crowd_rss_bytes"] = seen.peer_rss_bytes
        peer.once["crowd_failed"] = seen.failed

    async def frontier(self, peer: Peer, connections: int) -> None:
        """One level of the sweep for the throughput frontier."""
        peer.frontier.append(await self._load(peer, connections, self.plan.frontier_window_s))

    async def sustain(self, peer: Peer, streams: int) -> None:
        """One level of the sweep for streams sustained; higher ones are left out once one has failed."""
        if peer.sustained and not is_sustained(peer.sustained[-1]):
            return
        ramp_s = (LONG_STREAM_CHUNKS + 1) * PACE_MS / 1000
        peer.sustained.append(await self._streams(peer, streams, LONG_STREAM_CHUNKS, PACE_MS, ramp_s, self.plan.sustained_window_s))

    def idle(self, peer: Peer, since_cpu_ns: int, passed_s: float) -> None:
        """Memory and CPU of a process that was left alone."""
        peer.once["idle_rss_bytes"] = rss_bytes(peer.pid)
        peer.once["idle_share"] = (cpu_ns(peer.pid) - since_cpu_ns) / 1e9 / passed_s


def is_sustained(run: StreamRun) -> bool:
    """Every event delivered in order, no gap over ten paces, no stream lost."""
    return run.failed == 0 and run.stalled == 0 and run.completed > 0
