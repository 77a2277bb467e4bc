"""Lines about the shared store and about warming."""

import io

import pytest

from sidecar.config import Limits, Log
from sidecar.edge.telemetry.logs import EventLog, set_up
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.reuse_announcements import SharedAnnouncements, WarmingAnnouncements
from tests.edge.telemetry.test_announcements import read
from tests.edge.telemetry.test_reuse import counted, total


@pytest.fixture
def stream() -> io.StringIO:
    """Return where lines go."""
    return io.StringIO()


@pytest.fixture
def log(stream: io.StringIO) -> EventLog:
    """Return the log."""
    return set_up(Log(), stream)


def test_away_and_back_are_told_once(log: EventLog, stream: io.StringIO) -> None:
    """A store that was there all along is no news; the gauge follows each time."""
    meter = Meter(Limits(), [], version="1", python="3")
    announcements = SharedAnnouncements(meter.reuse, log)
    for is_up in (True, False, False):
        announcements.note_state(is_up)
    assert [child.value for child in meter.families.shared_up.children] == [0]
    announcements.note_state(True)
    assert counted(meter.families.shared_up) == {"": 1}
    assert read(stream) == [{"level": "warning", "event": "shared_store_away"}, {"level": "info", "event": "shared_store_back"}]


def test_what_is_counted_is_counted_and_not_told(log: EventLog, stream: io.StringIO) -> None:
    """Single commands are no news."""
    meter = Meter(Limits(), [], version="1", python="3")
    announcements = SharedAnnouncements(meter.reuse, log)
    announcements.note_shared("late")
    announcements.note_damaged()
    announcements.note_put_dropped()
    assert counted(meter.families.shared_commands) == {'outcome="late"': 1}
    assert (total(meter.families.cache_damaged), total(meter.families.shared_dropped)) == (1, 1)
    assert stream.getvalue() == ""


def test_what_is_wrong_with_a_file_is_told(log: EventLog, stream: io.StringIO) -> None:
    """Each line by its number, the file as a whole without one, and that it was gone through."""
    announcements = WarmingAnnouncements(log)
    announcements.note_bad_line(3, "no JSON")
    announcements.note_bad_line(4, "no JSON")
    announcements.note_bad_line(0, "the file cannot be read")
    announcements.note_ended(40)
    bad = {"level": "warning", "event": "warming_line_skipped"}
    assert read(stream) == [
        {**bad, "line": 3, "problem": "no JSON"}, {**bad, "line": 4, "problem": "no JSON"}, {**bad, "problem": "the file cannot be read"},
        {"level": "info", "event": "warming_ended", "prompts": 40},
    ]  # fmt: skip
