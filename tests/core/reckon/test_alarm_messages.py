"""Alarms as others read them."""

import pytest

from sidecar.core.reckon.alarm_messages import list_messages, show_alarm
from sidecar.core.reckon.alarms import Alarm, Alarms, Labels, Severity
from sidecar.thresholds import Links
from tests.core.reckon.findings import A, make_finding, make_present

LINKS = Links(runbook="https://wiki.test/runbook")
TARGET = {"job": "llm-sidecar", "instance": "host-1"}


def make_alarms(*labels: Labels, ends: bool = False, severity: Severity = Severity.WARNING) -> list[Alarm]:
    """Return alarms that fire, or have ended."""
    alarms, findings = Alarms(), [make_finding(severity, value=1 / 3, labels=each) for each in labels]
    alarms.update(findings, make_present(0.0))
    alarms.update(findings, make_present(60.0))
    if not ends:
        return alarms.active()
    alarms.update([], make_present(75.0))
    return alarms.update([], make_present(300.0)).ended


def test_an_alarm_as_an_object() -> None:
    """What, how grave, of what, since when, why, and where to read on; null for what has not come to pass."""
    (alarm,) = make_alarms(A)
    assert show_alarm(alarm, LINKS) == {
        "alert": "LLMThing", "severity": "warning", "level": "medium", "labels": {"upstream": "a"}, "summary": "A thing.",
        "reason": f"It is {1 / 3}.", "value": 0.3333, "peak": 0.3333, "limit": 0.5, "since": "2023-11-14T22:13:20.000Z",
        "firedAt": "2023-11-14T22:14:20.000Z", "endedAt": None, "runbook": "https://wiki.test/runbook#llmthing",
    }  # fmt: skip
    (ended,) = make_alarms(A, ends=True, severity=Severity.CRITICAL)
    assert (show_alarm(ended, LINKS)["endedAt"], show_alarm(ended, LINKS)["level"]) == ("2023-11-14T22:18:20.000Z", "critical")
    bare = Alarm(make_finding(value=None, limit=None), make_present(0.0))
    assert {name for name, value in show_alarm(bare, LINKS).items() if value is None} == {"value", "peak", "limit", "firedAt", "endedAt"}


def test_a_message_is_that_of_alertmanager() -> None:
    """Version 4, one for each alert's name, with all members that its receivers read."""
    other: Labels = (("upstream", "b"),)
    (message,) = list_messages(make_alarms(A, other), TARGET, LINKS)
    assert {name: value for name, value in message.items() if name not in ("alerts", "commonAnnotations")} == {
        "version": "4", "groupKey": '{}:{alertname="LLMThing"}', "truncatedAlerts": 0, "status": "firing", "receiver": "llm-sidecar",
        "groupLabels": {"alertname": "LLMThing"}, "externalURL": "",
        "commonLabels": {"alertname": "LLMThing", "severity": "warning", **TARGET},
    }  # fmt: skip
    assert message["commonAnnotations"].keys() == {"summary", "description", "runbook_url"}
    first, second = message["alerts"]
    assert first == {
        "status": "firing", "labels": {**message["commonLabels"], "upstream": "a"}, "annotations": message["commonAnnotations"],
        "startsAt": "2023-11-14T22:14:20.000Z", "endsAt": "0001-01-01T00:00:00Z", "generatorURL": "", "fingerprint": first["fingerprint"],
    }  # fmt: skip
    assert first["fingerprint"] != second["fingerprint"] and len(first["fingerprint"]) == 16


def test_an_end_is_that_of_the_same_alert() -> None:
    """Same fingerprint, same beginning, resolved; a message of both is one of something that fires."""
    (begun,), (ended,) = list_messages(make_alarms(A), TARGET, LINKS), list_messages(make_alarms(A, ends=True), TARGET, LINKS)
    assert (ended["status"], ended["alerts"][0]["status"]) == ("resolved", "resolved")
    for name in ("fingerprint", "startsAt", "labels"):
        assert begun["alerts"][0][name] == ended["alerts"][0][name]
    assert ended["alerts"][0]["endsAt"] == "2023-11-14T22:18:20.000Z"
    (both,) = list_messages([*make_alarms(A, ends=True), *make_alarms(A)], TARGET, LINKS)
    assert both["status"] == "firing" and list(list_messages([], TARGET, LINKS)) == []


@pytest.mark.parametrize("value", ["", "é", "\udcff", "x" * 500])
def test_any_name_has_a_fingerprint(value: str) -> None:
    """Names of models are whatever callers write."""
    (message,) = list_messages(make_alarms((("model", value),)), TARGET, LINKS)
    assert int(message["alerts"][0]["fingerprint"], 16) > 0
