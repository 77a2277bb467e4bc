"""Arrival times of chunks."""

from sidecar.core.observe.timeline import Timeline
from sidecar.exchange import Seen


def test_gaps_are_counted_per_chunk_after_the_first() -> None:
    """One gap per chunk after the first, in the bucket whose upper bound it does not exceed."""
    seen = Seen()
    timeline = Timeline(seen, (0.1, 0.5))
    for now in (10.0, 10.25, 10.75, 12.75):
        timeline.note(1, now)
    assert (seen.first_chunk, seen.last_chunk) == (10.0, 12.75)
    assert seen.gaps == [0, 2, 1]
    assert seen.gap_sum == 2.75


def test_edge_belongs_to_its_bucket() -> None:
    """A gap that equals an edge is counted below it, as `le` says."""
    seen = Seen()
    timeline = Timeline(seen, (0.5, 1.0))
    timeline.note(1, 0.0)
    timeline.note(1, 0.5)
    assert seen.gaps == [1, 0, 0]


def test_chunks_that_came_together() -> None:
    """Of chunks that came at once all but the first have no gap."""
    seen = Seen()
    timeline = Timeline(seen, (0.5,))
    timeline.note(3, 1.0)
    timeline.note(2, 3.0)
    assert seen.gaps == [3, 1]
    assert seen.gap_sum == 2.0
    assert sum(seen.gaps) == 4


def test_single_chunk_has_no_gaps() -> None:
    """With one chunk there is nothing to measure, and that is not zero."""
    seen = Seen()
    Timeline(seen, (0.5,)).note(1, 1.0)
    assert seen.gaps is None
