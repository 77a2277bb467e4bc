"""What README.md says of alerts without Prometheus is so."""

import re

from sidecar import catalogue
from sidecar.config import Alerts
from sidecar.core.reckon.alarm_messages import show_alarm
from sidecar.core.reckon.alarm_rules import RULES
from sidecar.core.reckon.alarms import LEVELS, PAST_MAX, Alarm, Severity
from sidecar.core.settings.kinds import members
from sidecar.edge.evaluation import INTERVAL_S
from sidecar.edge.telemetry.webhook import TRIES_MAX, WAITING_MAX
from sidecar.thresholds import Links
from tests.core.reckon.findings import make_finding, make_present
from tests.house.source import ROOT

README = (ROOT / "README.md").read_text(encoding="utf-8")
PART = README[README.index("### Alerts without Prometheus") :].split("\n\n##")[0]
FLAT = re.sub(r"\s+", " ", PART)


def test_each_alert_is_told() -> None:
    """Those that the sidecar judges, and no other."""
    assert re.findall(r"`(LLM\w+)`", PART) and set(re.findall(r"`(LLM\w+)`", PART)) == {rule.name for rule in RULES}


def test_each_setting_and_line_is_told() -> None:
    """Settings, lines of the log, members and levels that are named are there."""
    assert set(re.findall(r"`alerts\.(\w+)`", PART)) == members(Alerts).keys()
    assert {event.name for event in catalogue.LOG_EVENTS if event.name.startswith("alert_")} == set(re.findall(r"`(alert_\w+)`", PART))
    assert "level" in show_alarm(Alarm(make_finding(), make_present(0.0)), Links())
    told = {severity: LEVELS[severity] for severity in Severity}
    assert told == {Severity.INFO: "low", Severity.WARNING: "medium", Severity.CRITICAL: "critical"}
    assert "`low` for what is only good to know (`info`), `medium` for a `warning` and `critical`" in FLAT


def test_numbers_are_those_in_force() -> None:
    """How often it is judged, how often tried, how much waits, how much is remembered."""
    assert f"Every {INTERVAL_S:.0f} seconds" in FLAT
    assert f"tried again up to {TRIES_MAX} times, at most {WAITING_MAX} wait" in FLAT
    assert f"the last {PAST_MAX} that were (`past`)" in README
