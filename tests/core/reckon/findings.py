"""Conditions for the tests of what keeps and tells them."""

from sidecar.core.reckon.alarms import Finding, Labels, Rule, Severity, Tier
from sidecar.core.reckon.moments import Present
from sidecar.thresholds import Side

RULE = Rule("LLMThing", {Severity.WARNING: Tier(60.0, "A thing."), Severity.CRITICAL: Tier(30.0, "A grave thing.")}, 120.0)
LOW = Rule("LLMLow", {Severity.INFO: Tier(0.0, "Little.")}, bad=Side.BELOW)
A: Labels = (("upstream", "a"),)


def make_present(now: float) -> Present:
    """Return a moment; the wall clock began at 2023-11-14T22:13:20Z."""
    return Present(now, 1_700_000_000_000_000_000 + int(now * 1e9))


def make_finding(
    severity: Severity = Severity.WARNING, value: float | None = 1.0, labels: Labels = A, rule: Rule = RULE, limit: float | None = 0.5
) -> Finding:  # fmt: skip
    """Return a condition that holds."""
    return Finding(rule, severity, labels, value, limit, f"It is {value}.")
