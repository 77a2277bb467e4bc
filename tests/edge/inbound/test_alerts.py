"""What the admin port tells of alerts."""

import json
import random
from typing import Any

from sidecar.core.reckon.alarms import Alarms
from sidecar.edge.inbound import web
from sidecar.edge.inbound.alerts import make_alerts
from sidecar.edge.telemetry.logs import EventLog
from sidecar.edge.telemetry.webhook import Webhook
from sidecar.thresholds import Links
from tests.core.reckon.findings import make_finding, make_present


async def ask(alarms: Alarms, webhook: Webhook | None) -> Any:
    """Return what is told."""
    response = await make_alerts(alarms, Links(), lambda: webhook)["/api/alerts"](web.Request("GET", "/api/alerts"))
    return json.loads(response.body)


async def test_active_and_past() -> None:
    """What fires, and what has ended, the newest first; and how the webhook fares where there is one."""
    alarms, names = Alarms(), ("a", "b", "c")
    assert await ask(alarms, None) == {"active": [], "past": [], "webhook": None}
    findings = [make_finding(labels=(("upstream", name),)) for name in names]
    for now, held in ((0.0, 3), (60.0, 3), (75.0, 2), (200.0, 1), (500.0, 1)):
        alarms.update(findings[3 - held :], make_present(now))
    webhook = Webhook("http://127.0.0.1:1/", None, EventLog("error"), random.random)
    webhook.put(b"{}")
    told = await ask(alarms, webhook)
    assert [alarm["labels"]["upstream"] for alarm in told["active"]] == ["c"]
    assert [alarm["labels"]["upstream"] for alarm in told["past"]] == ["b", "a"]
    assert told["active"][0]["runbook"] == "alerts/runbook.md#llmthing" and told["webhook"] == {"sent": 0, "waiting": 1, "lost": 0}
