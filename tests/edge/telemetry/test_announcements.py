"""Lines about upstreams that fail and come back."""

import io
import json

import pytest

from sidecar.config import Log
from sidecar.core.reckon.access import Reach
from sidecar.edge.telemetry.announcements import Announcements, announce_reach
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


@pytest.mark.parametrize(
    ("reach", "events"),
    [
        (Reach(None, None, ("one",), False, False), []),
        (Reach("http://0.0.0.0:1", None, ("one",), False, False), ["data_port_open"]),
        (Reach("http://0.0.0.0:1", None, ("one",), True, False), []),
        (Reach(None, "http://0.0.0.0:2", (), False, False), ["admin_port_open"]),
        (Reach(None, "http://0.0.0.0:2", (), False, True), []),
        (Reach("http://0.0.0.0:1", "http://0.0.0.0:2", (), False, False), ["data_port_open", "admin_port_open"]),
    ],
)
def test_ports_that_others_reach_are_told(stream: io.StringIO, reach: Reach, events: list[str]) -> None:
    """One line each, with what to do; what is meant or guarded is not worth one."""
    announce_reach(set_up(Log(), stream), reach)
    lines = read(stream)
    assert [line["event"] for line in lines] == events and all(line["remedy"] for line in lines)
    assert [line["level"] for line in lines] == [{"data_port_open": "warning", "admin_port_open": "info"}[event] for event in events]


def test_who_is_gone_is_healthy_when_it_comes_again(announcements: Announcements, stream: io.StringIO) -> None:
    """What was last told of another place, or of one that is probed no longer, makes no news old."""
    for upstream in ("a", "b"):
        announcements.note_health(upstream, False, 1.0)
    announcements.adopt(frozenset("a"))
    for upstream in ("a", "b"):
        announcements.note_health(upstream, True, 1.0)
    assert [(line["event"], line["upstream"]) for line in read(stream)[2:]] == [("upstream_healthy", "a")]
