"""The case of the alert that always fires."""

from sidecar.render.alerting import Severity
from sidecar.render.cases.case import Case, Check, Firing
from sidecar.thresholds import Terms


def list_cases(terms: Terms) -> tuple[Case, ...]:
    """Return the case. It is the same whatever the terms."""
    del terms
    firing = (Firing(Severity.NONE, {}),)
    checks = (Check("0m", "LLMWatchdog", firing), Check("30m", "LLMWatchdog", firing))
    return (Case("Whatever happens, the watchdog is heard.", (), checks),)
