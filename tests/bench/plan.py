"""How much is measured: the counts and times of a run. Both plans are bounded (product figures, ten and two minutes)."""

from typing import Final, NamedTuple


class Plan(NamedTuple):
    """Counts and seconds of a run."""

    rounds: int  # of every peer in turn: A B C A B C …
    starts: int  # of each peer, to time the start
    idle_s: float  # from the last start to the reading of the idle process
    warm_s: float  # before each window of unary load
    window_s: float  # 64 connections
    single_window_s: float  # one connection
    streams_ramp_s: float  # 300 streams: to begin them all, also how long one lasts
    streams_window_s: float
    stream_window_s: float  # one stream at a time: for gaps, and again for first tokens
    crowd_ramp_s: float  # 1,000 streams
    crowd_window_s: float
    frontier: tuple[int, ...]  # connections
    frontier_window_s: float
    sustained: tuple[int, ...]  # streams at once
    sustained_window_s: float


FULL: Final = Plan(
    rounds=3, starts=3, idle_s=60, warm_s=0.7, window_s=3, single_window_s=2, streams_ramp_s=2, streams_window_s=5, stream_window_s=2.6,
    crowd_ramp_s=2, crowd_window_s=3, frontier=(1, 2, 4, 8, 16, 32, 64, 128, 256), frontier_window_s=1.2,
    sustained=(128, 256, 512, 1024), sustained_window_s=2.6,
)  # fmt: skip
QUICK: Final = Plan(
    rounds=3, starts=1, idle_s=5, warm_s=0.2, window_s=0.8, single_window_s=0.5, streams_ramp_s=1, streams_window_s=1,
    stream_window_s=0.5,
    crowd_ramp_s=1, crowd_window_s=1, frontier=(1, 16, 64, 256), frontier_window_s=0.4, sustained=(), sustained_window_s=0,
)  # fmt: skip
