"""The rules: what is recorded and what is alerted on, as groups of rule files."""

from sidecar.render.alerting import Group
from sidecar.thresholds import Terms


def list_groups(terms: Terms) -> tuple[Group, ...]:
    """Return the groups of rules.yml: what everyone has."""
    return ()


def list_optional(terms: Terms) -> dict[str, tuple[Group, ...]]:
    """Return the groups of the files that are loaded by choice, by the file's name."""
    return {}
