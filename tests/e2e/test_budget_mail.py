"""Whoever pays gets a mail: a real Alertmanager sends what is shipped through a mail server."""

import time
from collections.abc import Callable
from datetime import UTC, datetime, timedelta
from pathlib import Path
from typing import Any, Final

from tests.rig.alertmanager import alerting, needs_alertmanager, run_stub
from tests.rig.mail import receive_mail

pytestmark = needs_alertmanager

PATIENCE_S: Final = 20.0
LABELS: Final = {"alertname": "LLMBudgetSpent", "severity": "critical", "job": "sidecar", "tenant": "<b>acme"}


def make_alert(**times: datetime) -> dict[str, Any]:
    """Return an alert, as Prometheus sends it."""
    notes = {"summary": "A budget is spent, and calls are refused.", "description": "Tenant <b>acme spent all of 5 USD."}
    told = {name: time.isoformat() for name, time in times.items()}
    return {"labels": LABELS, "annotations": notes, "generatorURL": "http://prometheus.example/graph", **told}


def await_true(is_so: Callable[[], bool]) -> None:
    """Wait for something that others do."""
    deadline_s = time.monotonic() + PATIENCE_S
    while not is_so():
        assert time.monotonic() < deadline_s
        time.sleep(0.05)


def test_a_budget_that_is_spent_is_paged_and_mailed(tmp_path: Path) -> None:
    """With the password of its file, as text and as page; when it is over, another mail says for how long it was so."""
    began = datetime.now(UTC) - timedelta(minutes=2)
    with receive_mail() as box, run_stub() as stub, alerting(tmp_path, stub, box.address) as alertmanager:
        alertmanager.tell([make_alert(startsAt=began, endsAt=began + timedelta(hours=1))])
        await_true(lambda: bool(box.letters and stub.sent("/pagerduty") and stub.sent("/slack/llm-sidecar-pager")))
        alertmanager.tell([make_alert(startsAt=began, endsAt=began + timedelta(seconds=61.5))])
        await_true(lambda: len(box.letters) == 2)
    first, last = box.letters
    assert (first.user, first.password) == ("llm-sidecar@example.org", "a-password")
    assert (first.sender, first.recipients) == ("llm-sidecar@example.org", ("llm-budgets@example.org",))
    assert first.message["subject"] == "[FIRING:1] LLMBudgetSpent (critical) sidecar: A budget is spent, and calls are refused."
    assert last.message["subject"].startswith("[RESOLVED] LLMBudgetSpent")
    assert "Tenant <b>acme spent all of 5 USD." in first.part("plain") and "Tenant &lt;b&gt;acme spent" in first.part("html")
    assert all("was so for 1m1s" in last.part(kind) and "was so" not in first.part(kind) for kind in ("plain", "html"))
