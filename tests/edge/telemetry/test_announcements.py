"""Lines about upstreams that fail and come back."""

import io
import json

import pytest

from sidecar.config import Log
from sidecar.edge.telemetry.announcements import Announcements
from sidecar.edge.telemetry.logs import EventLog, set_up
from tests.edge.telemetry.test_resilience import Moved, State


@pytest.fixture
def stream() -> io.StringIO:
    """Return where lines go."""
    return io.StringIO()


@pytest.fixture
def announcements(stream: io.StringIO) -> Announcements:
    """Return what writes them, as JSON."""
    return Announcements(set_up(Log(), stream))


def read(stream: io.StringIO) -> list[dict[str, object]]:
    """Return the lines without their time."""
    lines = [json.loads(line) for line in stream.getvalue().splitlines()]
    return [{name: value for name, value in line.items() if name != "ts"} for line in lines]


def test_each_change_of_a_breaker_is_a_line(announcements: Announcements, stream: io.StringIO) -> None:
    """With whose it is, from which state to which, and why; only what is bad is a warning."""
    for before, after, reason in (
        ("closed", "open", "consecutive_failures"),
        ("open", "half_open", "open_time_over"),
        ("half_open", "closed", "enough_successes"),
    ):
        announcements.note_transition(Moved("a", "large", State(before), State(after), reason))
    own = {"upstream": "a", "group": "large"}
    assert read(stream) == [
        {"level": "warning", "event": "circuit_breaker_opened", **own, "from": "closed", "to": "open", "reason": "consecutive_failures"},
        {"level": "info", "event": "circuit_breaker_half_opened", **own, "from": "open", "to": "half_open", "reason": "open_time_over"},
        {"level": "info", "event": "circuit_breaker_closed", **own, "from": "half_open", "to": "closed", "reason": "enough_successes"},
    ]


def test_one_that_flaps_does_not_fill_the_log(announcements: Announcements, stream: io.StringIO) -> None:
    """The same of the same breaker within seconds is one line; another breaker has its own."""
    for _ in range(50):
        announcements.note_transition(Moved("a", "default", State("half_open"), State("open"), "probe_failed"))
    announcements.note_transition(Moved("a", "large", State("half_open"), State("open"), "probe_failed"))
    announcements.note_transition(Moved("b", "default", State("half_open"), State("open"), "probe_failed"))
    assert [(line["upstream"], line["group"]) for line in read(stream)] == [("a", "default"), ("a", "large"), ("b", "default")]


def test_what_an_operator_did_is_told_though_it_has_just_happened_by_itself(announcements: Announcements, stream: io.StringIO) -> None:
    """Another reason is another line."""
    for reason in ("consecutive_failures", "forced", "forced"):
        announcements.note_transition(Moved("a", "default", State("closed"), State("open"), reason))
    assert [line["reason"] for line in read(stream)] == ["consecutive_failures", "forced"]


def test_health_is_told_when_it_changes(announcements: Announcements, stream: io.StringIO) -> None:
    """An upstream that was healthy all along is no news, nor is one that still is not."""
    for upstream, healthy in (("a", True), ("a", False), ("b", True), ("a", False), ("a", True), ("a", True)):
        announcements.note_health(upstream, healthy, 1.0)
    assert read(stream) == [
        {"level": "warning", "event": "upstream_unhealthy", "upstream": "a"},
        {"level": "info", "event": "upstream_healthy", "upstream": "a"},
    ]


def test_an_upstream_may_fail_again(caplog: pytest.LogCaptureFixture) -> None:
    """Each change is news, whatever was told before: to hold repeats back is the log's affair."""
    announcements = Announcements(EventLog("info"))
    for healthy in (False, True, False, True, True):
        announcements.note_health("a", healthy, 1.0)
    told = [record.getMessage() for record in caplog.records]
    assert told == ["upstream_unhealthy", "upstream_healthy", "upstream_unhealthy", "upstream_healthy"]
