"""A bound on bytes that two threads share."""

from sidecar.edge.telemetry.backlog import Backlog


def test_what_does_not_fit_is_refused_until_there_is_room() -> None:
    """All of it or nothing; what was refused takes no room."""
    backlog = Backlog(10)
    assert backlog.take(6)
    assert not backlog.take(5)
    assert backlog.take(4)
    assert not backlog.take(1)
    backlog.release(4)
    assert backlog.take(3)
    assert backlog.bytes_max == 10
