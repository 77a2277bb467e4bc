"""When an attempt is given up."""

from math import inf

import pytest
from hypothesis import given
from hypothesis import strategies as st

from sidecar.config import Timeouts
from sidecar.core.attempt.deadlines import Deadlines, set_deadlines
from sidecar.errors import FIRST_BYTE_TIMEOUT, IDLE_TIMEOUT, TOTAL_TIMEOUT

TIMEOUTS = Timeouts(connect=1.0, first_byte=10.0, idle=20.0, total=100.0)


def tell(deadlines: Deadlines) -> tuple[float, float, float, float]:
    """Return all of them."""
    return deadlines.connect_s, deadlines.first_byte_s, deadlines.idle_s, deadlines.total_at


@pytest.mark.parametrize(("wanted_s", "total_at"), [(None, 1100.0), (30.0, 1030.0), (0.5, 1000.5), (5000.0, 1100.0)])
def test_a_caller_may_only_shorten_the_total(wanted_s: float | None, total_at: float) -> None:
    """The total runs from acceptance; a longer wish than the setting has no effect."""
    assert tell(set_deadlines(TIMEOUTS, 1000.0, wanted_s)) == (1.0, 10.0, 20.0, total_at)


def test_before_the_head_the_first_byte_is_due() -> None:
    """Until a head came, the time since the request was sent counts."""
    assert set_deadlines(TIMEOUTS, 0.0, None).next_due(head_seen=False, since=5.0) == (15.0, FIRST_BYTE_TIMEOUT)


def test_after_the_head_silence_counts() -> None:
    """Once a head came, the time since the last byte counts."""
    assert set_deadlines(TIMEOUTS, 0.0, None).next_due(head_seen=True, since=50.0) == (70.0, IDLE_TIMEOUT)


@pytest.mark.parametrize("head_seen", [False, True])
def test_the_total_comes_before_a_phase_that_would_outlast_it(head_seen: bool) -> None:
    """At the same moment the total wins: nothing may go on after it."""
    deadlines = set_deadlines(TIMEOUTS, 0.0, None)
    assert deadlines.next_due(head_seen=head_seen, since=95.0) == (100.0, TOTAL_TIMEOUT)
    assert deadlines.next_due(head_seen=True, since=80.0) == (100.0, TOTAL_TIMEOUT)


@given(st.booleans(), st.floats(0, 1e6), st.floats(0.001, 1e4))
def test_nothing_is_due_after_the_total(head_seen: bool, since: float, wanted_s: float) -> None:
    """Whatever the phase, the moment to give up is never later than the total."""
    deadlines = set_deadlines(TIMEOUTS, 1.0, wanted_s)
    assert deadlines.next_due(head_seen=head_seen, since=since)[0] <= deadlines.total_at


@pytest.mark.parametrize(("wanted_s", "total_at"), [(None, inf), (5000.0, 6000.0)])
def test_an_endless_answer_has_to_begin_and_nothing_more(wanted_s: float | None, total_at: float) -> None:
    """Its silence means nothing, and it has no total but what the caller wants."""
    deadlines = set_deadlines(TIMEOUTS, 1000.0, wanted_s, endless=True)
    assert tell(deadlines) == (1.0, 10.0, inf, total_at)
    assert deadlines.next_due(head_seen=False, since=1000.0) == (1010.0, FIRST_BYTE_TIMEOUT)
    assert deadlines.next_due(head_seen=True, since=1000.0) == (total_at, TOTAL_TIMEOUT)
