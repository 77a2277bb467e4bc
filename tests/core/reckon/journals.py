"""Snapshots of a few days for the tests of what is made from a journal."""

from datetime import UTC, datetime

from sidecar.core.reckon.snapshots import DAY_S, HOUR_S, Snapshot
from sidecar.exchange import Ending, Usage
from tests.edge.telemetry.records import make_record, make_streamed

DAY = int(datetime(2026, 3, 29, tzinfo=UTC).timestamp())  # in Europe this day has 23 hours, in UTC 24


def make_hour(hour: int, whose: str = "openai/gpt-4o", calls: int = 1) -> Snapshot:
    """Return an hour, counted from the beginning of DAY, with streamed calls of 2 s, 16 tokens in, 47 out, 0.25 USD each."""
    snapshot = Snapshot(DAY + hour * HOUR_S, DAY + (hour + 1) * HOUR_S)
    for _ in range(calls):
        snapshot.find(whose).add(make_streamed(usage=Usage(12, 3, 1, 47, 0), cache="miss"))
    return snapshot


def make_day(day: int, whose: str = "openai/gpt-4o", calls: int = 1) -> Snapshot:
    """Return a whole day, counted from DAY."""
    snapshot = Snapshot(DAY + day * DAY_S, DAY + (day + 1) * DAY_S)
    snapshot.merge(make_hour(0, whose, calls))
    return snapshot


def add_failed(snapshot: Snapshot, whose: str, ending: Ending = Ending.CUT) -> Snapshot:
    """Add a call that failed, without tokens or price."""
    snapshot.find(whose).add(make_record(ending=ending, usage=None, cost=None))
    return snapshot
