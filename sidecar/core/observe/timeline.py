"""When the chunks of a stream came: first, last, and the gaps between them."""

from bisect import bisect_left

from sidecar.exchange import Seen


class Timeline:
    """Notes arrival times in a `Seen`. Gaps are counted in buckets at once, never kept one by one.

    `gap_edges` are upper bounds in seconds, ascending, inclusive (Prometheus `le`); the last bucket
    is +Inf. One gap per chunk after the first (GenAI conventions, time_per_output_chunk).
    """

    __slots__ = ("_edges", "_seen")

    def __init__(self, seen: Seen, gap_edges: tuple[float, ...]) -> None:
        self._seen = seen
        self._edges = gap_edges

    def note(self, chunks: int, now: float) -> None:
        """`chunks` (at least one) came together at `now`."""
        seen = self._seen
        last = seen.last_chunk
        seen.last_chunk = now
        if last is None:
            seen.first_chunk = now
            chunks -= 1
            if not chunks:
                return
            gap_s = 0.0
        else:
            gap_s = now - last
        gaps = seen.gaps
        if gaps is None:
            gaps = seen.gaps = [0] * (len(self._edges) + 1)
        gaps[bisect_left(self._edges, gap_s)] += 1
        seen.gap_sum += gap_s
        if chunks > 1:
            gaps[bisect_left(self._edges, 0.0)] += chunks - 1
