"""The numbers the project set itself, beside what this run measured. Shown, never asserted."""

from collections.abc import Callable
from typing import Final, NamedTuple

from measure import spread
from rounds import Peer

_MB: Final = 1_000_000


class Target(NamedTuple):
    """One number to reach: the figure must not be above `most` (or below `least`)."""

    what: str
    measure: Callable[[Peer, Peer, Peer | None], float | None]  # of peer, direct, baseline; None: not measured
    unit: str
    least: float | None = None
    most: float | None = None

    def is_met(self, figure: float) -> bool:
        """Whether a figure is within the bound."""
        return (self.least is None or figure >= self.least) and (self.most is None or figure <= self.most)

    def row(self, figure: float | None) -> str:
        """The target, the figure, and whether it was reached."""
        bound = f"≥ {self.least:g}" if self.least is not None else f"≤ {self.most:g}"
        if figure is None:
            return f"| {self.what} | {bound} {self.unit} | not measured | |"
        return f"| {self.what} | {bound} {self.unit} | {figure:,.2f} | {'yes' if self.is_met(figure) else '**no**'} |"


def _median(peer: Peer, measure: str) -> float:
    return spread(peer.rounds[measure]).median


def _ratio(measure: str) -> Callable[[Peer, Peer, Peer | None], float | None]:
    def figure(peer: Peer, direct: Peer, baseline: Peer | None) -> float | None:
        return None if baseline is None else _median(peer, measure) / _median(baseline, measure)

    return figure


def _added_ms(measure: str) -> Callable[[Peer, Peer, Peer | None], float | None]:
    def figure(peer: Peer, direct: Peer, baseline: Peer | None) -> float | None:
        added_us = [mine - base for mine, base in zip(peer.rounds[measure], direct.rounds[measure], strict=True)]
        return spread(added_us).median / 1000

    return figure


def _once(measure: str, scale: float) -> Callable[[Peer, Peer, Peer | None], float | None]:
    return lambda peer, direct, baseline: peer.once[measure] * scale


IDLE: Final = (  # what one costs that nobody calls
    Target("memory, idle", _once("idle_rss_bytes", 1 / _MB), "MB", most=50),
    Target("CPU, idle", _once("idle_share", 100), "%", most=1),
    Target("start to first answered request", lambda peer, direct, baseline: spread(peer.starts_s).median, "s", most=1),
)
TARGETS: Final = (
    Target("throughput, one core, of Envoy's", _ratio("rate"), "×", least=1.0),
    Target("CPU per streamed chunk, of Envoy's", _ratio("streams_chunk_cpu_us"), "×", most=1.0),
    Target("added latency, one connection, p50", _added_ms("p50_us"), "ms", most=0.3),
    Target("added latency, one connection, p99", _added_ms("p99_us"), "ms", most=2),
    Target("added time to first token, 300 streams, p99", _added_ms("streams_first_token_p99_us"), "ms", most=2),
    Target("added gap between chunks, 300 streams, p99", _added_ms("streams_added_gap_p99_us"), "ms", most=2),
    Target("memory, 1,000 open streams", _once("crowd_rss_bytes", 1 / _MB), "MB", most=150),
    *IDLE,
)


def compare(peer: Peer, direct: Peer, baseline: Peer | None) -> str:
    """A table of the targets for one peer."""
    lines = [f"### Numbers to reach: {peer.name}", "", "| what | target | measured | reached |", "|---|---|---|---|"]
    lines += [target.row(target.measure(peer, direct, baseline)) for target in TARGETS]
    return "\n".join(lines) + "\n"
