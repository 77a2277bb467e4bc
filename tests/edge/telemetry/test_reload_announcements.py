"""What is told of loading the configuration anew."""

import pytest

from sidecar.config import Settings
from sidecar.core.settings.changes import Outcome
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.meter import Meter
from sidecar.edge.telemetry.reload_announcements import ReloadAnnouncements
from sidecar.errors import ConfigProblem

PROBLEM = ConfigProblem("timeouts.total", "'x'", "a duration", 7)


def make() -> tuple[ReloadAnnouncements, Meter]:
    """Return what tells, and where the gauges are."""
    settings = Settings()
    meter = Meter(settings.limits, settings.upstreams, version="1", python="3")
    return ReloadAnnouncements(meter, EventLog("info")), meter


def read_gauges(meter: Meter) -> tuple[float, float]:
    """Return whether the last one succeeded, and when the last one that did was."""
    return meter.families.reload_successful.child().value, meter.families.reload_timestamp.child().value


def read_lines(caplog: pytest.LogCaptureFixture) -> list[tuple[str, dict[str, object]]]:
    """Return each line: its event and its fields, but for those without a value."""
    lines = [(record.getMessage(), vars(record)["sidecar_fields"]) for record in caplog.records]
    return [(event, {name: value for name, value in fields.items() if value is not None}) for event, fields in lines]


def test_each_outcome_has_its_lines_and_its_gauges(caplog: pytest.LogCaptureFixture) -> None:
    """A failure leaves the time of the last success alone."""
    told, meter = make()
    caplog.set_level("INFO")
    told.note_start(1_000_000_000)
    assert read_gauges(meter) == (1.0, 1.0)
    told.tell(Outcome("a.yaml", problems=(PROBLEM,)), "endpoint", 2_000_000_000)
    assert read_gauges(meter) == (0.0, 1.0)
    told.tell(Outcome("a.yaml", ("timeouts.total", "routes"), ("upstreams.a.api_key_file",)), "signal", 3_000_000_000)
    assert read_gauges(meter) == (1.0, 3.0)
    told.tell(Outcome("a.yaml", held=("listen", "redis.url")), "files", 4_000_000_000)
    assert read_gauges(meter) == (1.0, 4.0)
    assert read_lines(caplog) == [
        (
            "configuration_refused",
            {"config": "a.yaml", "trigger": "endpoint", "path": "timeouts.total", "line": 7, "found": "'x'", "allowed": "a duration"},
        ),
        (
            "configuration_reloaded",
            {
                "config": "a.yaml", "trigger": "signal", "changes": 3, "changed": "timeouts.total, routes",
                "files": "upstreams.a.api_key_file",
            },
        ),
        ("configuration_reloaded", {"config": "a.yaml", "trigger": "files", "changes": 0}),
        ("configuration_needs_restart", {"settings": "listen, redis.url"}),
    ]  # fmt: skip


def test_problems_without_end_have_an_end_in_the_log(caplog: pytest.LogCaptureFixture) -> None:
    """Twenty lines, and one that says how many there are more; the gauges are told by an attempt alone."""
    told, meter = make()
    told.note_start(1_000_000_000)
    told.tell_problems(Outcome("a.yaml", problems=(PROBLEM,) * 25), "files")
    lines = read_lines(caplog)
    assert len(lines) == 21 and lines[-1][1]["more"] == 5
    assert read_gauges(meter) == (1.0, 1.0)
