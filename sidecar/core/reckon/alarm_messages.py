"""Alarms as others read them: /api/alerts, and messages in the form of Alertmanager's webhooks.

Alertmanager, configuration reference, webhook_config: version 4 of the message. Receivers made for Alertmanager take it as it is.
"""

from collections.abc import Iterable, Iterator, Mapping
from typing import Any, Final

from sidecar.core.reckon.alarms import LEVELS, Alarm
from sidecar.core.reckon.moments import show_wall
from sidecar.thresholds import Links

RECEIVER: Final = "llm-sidecar"
_NEVER: Final = "0001-01-01T00:00:00Z"  # Go's zero time: an alert that has not ended
_FNV_OFFSET: Final = 0xCBF29CE484222325  # FNV-1a, 64 bits
_FNV_PRIME: Final = 0x100000001B3
_SEPARATOR: Final = b"\xff"


def show_alarm(alarm: Alarm, links: Links) -> dict[str, Any]:
    """Return one alarm as an object. `value` and `peak` in the unit of its threshold, null where it has none."""
    finding, fired, ended = alarm.finding, alarm.fired, alarm.ended
    return {
        "alert": finding.rule.name,
        "severity": finding.severity.value,
        "level": LEVELS[finding.severity],
        "labels": dict(finding.labels),
        "summary": finding.rule.tiers[finding.severity].summary,
        "reason": finding.reason,
        "value": _round(finding.value),
        "peak": _round(alarm.peak),
        "limit": finding.limit,
        "since": show_wall(alarm.since.wall_ns),
        "firedAt": None if fired is None else show_wall(fired.wall_ns),
        "endedAt": None if ended is None else show_wall(ended.wall_ns),
        "runbook": _link(alarm, links),
    }


def list_messages(alarms: Iterable[Alarm], target: Mapping[str, str], links: Links) -> Iterator[dict[str, Any]]:
    """Yield one message for each alert's name. `target`: labels that tell whose alerts these are, such as job and instance."""
    groups: dict[str, list[Alarm]] = {}
    for alarm in alarms:
        groups.setdefault(alarm.finding.rule.name, []).append(alarm)
    for name, group in groups.items():
        yield _write_message(name, [_write_alert(alarm, target, links) for alarm in group])


def _write_message(name: str, alerts: list[dict[str, Any]]) -> dict[str, Any]:
    return {
        "version": "4",
        "groupKey": f'{{}}:{{alertname="{name}"}}',
        "truncatedAlerts": 0,
        "status": "firing" if any(alert["status"] == "firing" for alert in alerts) else "resolved",
        "receiver": RECEIVER,
        "groupLabels": {"alertname": name},
        "commonLabels": _find_common([alert["labels"] for alert in alerts]),
        "commonAnnotations": _find_common([alert["annotations"] for alert in alerts]),
        "externalURL": "",
        "alerts": alerts,
    }


def _write_alert(alarm: Alarm, target: Mapping[str, str], links: Links) -> dict[str, Any]:
    finding, fired, ended = alarm.finding, alarm.fired or alarm.since, alarm.ended
    labels = {**target, **dict(finding.labels), "alertname": finding.rule.name, "severity": finding.severity.value}
    summary = finding.rule.tiers[finding.severity].summary
    return {
        "status": "firing" if ended is None else "resolved",
        "labels": labels,
        "annotations": {"summary": summary, "description": finding.reason, "runbook_url": _link(alarm, links)},
        "startsAt": show_wall(fired.wall_ns),
        "endsAt": _NEVER if ended is None else show_wall(ended.wall_ns),
        "generatorURL": "",
        "fingerprint": f"{_hash_labels(labels):016x}",
    }


def _find_common(texts: list[dict[str, str]]) -> dict[str, str]:
    first, *others = texts
    return {name: text for name, text in first.items() if all(other.get(name) == text for other in others)}


def _hash_labels(labels: Mapping[str, str]) -> int:
    """Return the fingerprint of an alert: FNV-1a over its labels in order, each name and value with a separator behind it."""
    found = _FNV_OFFSET
    for name in sorted(labels):
        for byte in name.encode() + _SEPARATOR + labels[name].encode("utf-8", "replace") + _SEPARATOR:
            found = (found ^ byte) * _FNV_PRIME & 0xFFFFFFFFFFFFFFFF
    return found


def _link(alarm: Alarm, links: Links) -> str:
    return f"{links.runbook}#{alarm.finding.rule.name.lower()}"


def _round(number: float | None) -> float | None:
    return None if number is None else round(number, 4)
