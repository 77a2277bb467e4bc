"""The report: markdown tables, absolute figures with ratios beside them."""

from collections.abc import Callable, Iterable, Sequence
from typing import Final

from measure import spread
from rounds import Peer, is_sustained
from targets import compare

BASELINE: Final = "envoy"  # ratios are to this peer, where it ran
BOUNDS_MS: Final = (1, 5, 10, 50, 100)
_MB: Final = 1_000_000
_LOAD_BOUND: Final = 0.95  # from here on the load's core is the limit: read the CPU time, not the rate

Column = tuple[str, Callable[[Peer], str]]


def _table(title: str, peers: Iterable[Peer], columns: Sequence[Column]) -> str:
    heads = ["peer", *(head for head, _ in columns)]
    lines = [f"### {title}", "", "| " + " | ".join(heads) + " |", "|" + "---|" * len(heads)]
    lines += ["| " + " | ".join([peer.name, *(cell(peer) for _, cell in columns)]) + " |" for peer in peers]
    return "\n".join(lines) + "\n"


def _show(values: Sequence[float], digits: int) -> str:
    """Median (least to greatest)."""
    found = spread(values)
    return f"{found.median:,.{digits}f} ({found.low:,.{digits}f}–{found.high:,.{digits}f})"


def _of(measure: str, *, scale: float = 1.0, digits: int = 0) -> Callable[[Peer], str]:
    return lambda peer: _show([value * scale for value in peer.rounds[measure]], digits)


def _added(measure: str, direct: Peer, *, digits: int = 0) -> Callable[[Peer], str]:
    """Through less direct, round by round."""

    def cell(peer: Peer) -> str:
        if peer is direct:
            return "–"
        return _show([mine - base for mine, base in zip(peer.rounds[measure], direct.rounds[measure], strict=True)], digits)

    return cell


def _ratio(measure: str, baseline: Peer | None, *, inverse: bool = False) -> Callable[[Peer], str]:
    """Median of a peer over the median of the baseline (or the other way round)."""

    def cell(peer: Peer) -> str:
        if baseline is None or peer.name == "direct":
            return "–"
        mine, base = spread(peer.rounds[measure]).median, spread(baseline.rounds[measure]).median
        return f"{base / mine if inverse else mine / base:.2f}"

    return cell


def _total(measure: str) -> Callable[[Peer], str]:
    return lambda peer: f"{sum(peer.rounds[measure]):.0f}"


def _once(measure: str, *, scale: float = 1.0, digits: int = 1) -> Callable[[Peer], str]:
    return lambda peer: f"{peer.once[measure] * scale:,.{digits}f}"


def _capacity(peer: Peer) -> str:
    return f"{1e6 / spread(peer.rounds['cpu_us']).median:,.0f}"


def _load_share(peer: Peer) -> str:
    """How busy the load's core was, marked where it, not the peer, was the limit."""
    shown = _of("load_share", scale=100)(peer)
    return f"**{shown}**" if spread(peer.rounds["load_share"]).median >= _LOAD_BOUND else shown


def _throughput(peers: Sequence[Peer], baseline: Peer | None) -> str:
    beside = f"× {BASELINE}"
    return _table(
        "Throughput: closed loop, 64 connections, small answers (bold: the load was the limit)",
        peers,
        [
            ("requests/s", _of("rate")),
            (beside, _ratio("rate", baseline)),
            ("CPU µs/request", _of("cpu_us", digits=1)),
            ("one core could carry/s", _capacity),
            (beside, _ratio("cpu_us", baseline, inverse=True)),
            ("its core busy %", _of("peer_share", scale=100)),
            ("load core busy %", _load_share),
            ("failed", _total("failed")),
        ],
    )


def _latency(peers: Sequence[Peer], direct: Peer) -> str:
    return _table(
        "Latency: one connection, small answers, µs",
        peers,
        [
            ("p50", _of("p50_us")),
            ("p99", _of("p99_us")),
            ("added p50", _added("p50_us", direct)),
            ("added p99", _added("p99_us", direct)),
        ],
    )


def _streams(peers: Sequence[Peer], direct: Peer, baseline: Peer | None) -> str:
    return _table(
        "Streams: 300 at once, 50 chunks a second each, µs",
        peers,
        [
            ("CPU/chunk", _of("streams_chunk_cpu_us", digits=1)),
            (f"× {BASELINE}", _ratio("streams_chunk_cpu_us", baseline)),
            ("added first token p50", _added("streams_first_token_p50_us", direct)),
            ("added first token p99", _added("streams_first_token_p99_us", direct)),
            ("added gap p99", _added("streams_added_gap_p99_us", direct)),
            ("chunk on its way p50", _of("streams_transit_p50_us")),
            ("chunk on its way p99", _of("streams_transit_p99_us")),
            ("load core busy %", _of("streams_load_share", scale=100)),
            ("broken or stalled", _total("streams_failed")),
        ],
    )


def _stream(peers: Sequence[Peer], direct: Peer) -> str:
    return _table(
        "One stream: role event, then 64 chunks at 20 ms, µs",
        peers,
        [
            ("first token p50", _of("stream_first_token_p50_us")),
            ("first token p99", _of("stream_first_token_p99_us")),
            ("added first token p50", _added("stream_first_token_p50_us", direct)),
            ("added first token p99", _added("stream_first_token_p99_us", direct)),
            ("added gap p99", _added("stream_added_gap_p99_us", direct)),
        ],
    )


def _process(peers: Sequence[Peer], idle_s: float) -> str:
    return _table(
        f"The process: memory in MB (RSS); idle is {idle_s:.0f} s after the start",
        peers,
        [
            ("start to first answer, s", lambda peer: _show(peer.starts_s, 2)),
            ("idle", _once("idle_rss_bytes", scale=1 / _MB)),
            ("idle CPU %", _once("idle_share", scale=100, digits=2)),
            ("1,000 open streams", _once("crowd_rss_bytes", scale=1 / _MB)),
            ("of them broken", _once("crowd_failed", digits=0)),
            ("at the end of the run", _once("end_rss_bytes", scale=1 / _MB)),
        ],
    )


def _best(peer: Peer, bound_ms: float) -> str:
    """Most answers a second with 99 % under the bound and none failed, and at how many connections."""
    allowed = [run for run in peer.frontier if run.failed == 0 and run.p99_us <= bound_ms * 1000]
    if not allowed:
        return "none"
    best = max(allowed, key=lambda run: run.rate)
    return f"{best.rate:,.0f} ({best.connections})"


def _frontier(peers: Sequence[Peer]) -> str:
    levels = ", ".join(str(run.connections) for run in peers[0].frontier)
    columns: list[Column] = [(f"p99 ≤ {bound} ms", lambda peer, bound=bound: _best(peer, bound)) for bound in BOUNDS_MS]  # type: ignore[misc]
    columns.append(("unbounded", lambda peer: _best(peer, float("inf"))))
    return _table(f"Throughput frontier: requests/s (at connections), of {levels} connections", peers, columns)


def _sustained(peers: Sequence[Peer]) -> str:
    def most(peer: Peer) -> str:
        return str(max((run.streams for run in peer.sustained if is_sustained(run)), default=0))

    def then(peer: Peer) -> str:
        last = peer.sustained[-1]
        return f"{last.streams}: {last.failed} broken, {last.stalled} stalled, load core {last.load_share:.0%}"

    title = "Streams sustained: 50 chunks a second each, none broken, no gap over ten paces"
    return _table(title, peers, [("most", most), ("highest tried", then)])


def report(peers: Sequence[Peer], idle_s: float) -> str:
    """All tables. `direct` is among the peers."""
    direct = next(peer for peer in peers if peer.name == "direct")
    baseline = next((peer for peer in peers if peer.name == BASELINE), None)
    parts = [
        _throughput(peers, baseline),
        _latency(peers, direct),
        _streams(peers, direct, baseline),
        _stream(peers, direct),
        _process([peer for peer in peers if peer is not direct], idle_s),
        _frontier(peers),
    ]
    if peers[0].sustained:
        parts.append(_sustained(peers))
    parts += [compare(peer, direct, baseline) for peer in peers if peer.name in ("sidecar", "sidecar-compiled")]
    return "\n".join(parts)
