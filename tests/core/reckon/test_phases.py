"""Where a call's time ran out."""

import pytest

from sidecar.core.reckon.phases import find_attempt_phase, find_phase
from sidecar.exchange import Attempt, Ending
from tests.edge.telemetry.records import make_attempt, make_record, make_seen


def end(outcome: Ending, **changes: object) -> Attempt:
    """Return an attempt that began at 100 s and was given up at 110 s."""
    times = {"started": 100.0, "connected": 101.0, "sent": 102.0, "head": 104.0, "ended": 110.0}
    return make_attempt(**times | {"outcome": outcome.value} | changes)


@pytest.mark.parametrize(
    ("attempt", "last_chunk", "phase"),
    [
        (end(Ending.CONNECT_TIMEOUT, connected=None, sent=None, head=None), None, ("connect", 10.0)),
        (end(Ending.FIRST_BYTE_TIMEOUT, head=None), None, ("first_byte", 8.0)),
        (end(Ending.FIRST_BYTE_TIMEOUT, sent=None, head=None), None, ("first_byte", 9.0)),
        (end(Ending.IDLE_TIMEOUT), 107.0, ("idle", 3.0)),
        (end(Ending.IDLE_TIMEOUT), None, ("answer", 6.0)),
        (end(Ending.TOTAL_TIMEOUT), 109.0, ("answer", 6.0)),
        (end(Ending.TOTAL_TIMEOUT, head=None), None, ("first_byte", 8.0)),
        (end(Ending.TOTAL_TIMEOUT, connected=None, sent=None, head=None), None, ("connect", 10.0)),
    ],
)
def test_an_attempt_tells_its_phase(attempt: Attempt, last_chunk: float | None, phase: tuple[str, float]) -> None:
    """It is the one whose beginning was seen last, and the time since then."""
    seen = make_seen(last_chunk=last_chunk)
    assert find_attempt_phase(attempt, seen) == phase
    assert find_phase(make_record(ending=Ending(attempt.outcome), attempts=(make_attempt(), attempt), seen=seen)) == phase


def test_without_an_attempt_it_was_before_one() -> None:
    """In the queue, or while the request was still coming."""
    record = make_record(ending=Ending.TOTAL_TIMEOUT, attempts=(), queued_s=1.5)
    assert find_phase(record) == ("queue", 1.5)
    assert find_phase(make_record(ending=Ending.TOTAL_TIMEOUT, attempts=())) == ("request", 2.0)


@pytest.mark.parametrize("ending", [Ending.COMPLETED, Ending.RESET, Ending.UPSTREAM_ERROR, Ending.CLIENT_GONE])
def test_what_did_not_time_out_has_none(ending: Ending) -> None:
    """Nor has a call whose attempt before the last did."""
    assert find_phase(make_record(ending=ending, attempts=(end(Ending.IDLE_TIMEOUT), end(ending)))) is None
    assert find_attempt_phase(end(ending)) is None
