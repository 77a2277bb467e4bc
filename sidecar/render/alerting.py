"""What alerts and recordings are made of, and how they become rule files of Prometheus."""

from collections.abc import Iterable, Sequence
from enum import StrEnum
from typing import Any, Final, NamedTuple

from sidecar.render.yaml_text import dump_yaml
from sidecar.thresholds import Links

# Labels of the target that tell the sidecars of a job apart: traffic is summed over them.
TARGET: Final = "instance, pod, container, endpoint"


class Severity(StrEnum):
    """Who is told: a pager, a ticket, nobody at once; none: a signal for machines."""

    CRITICAL = "critical"
    WARNING = "warning"
    INFO = "info"
    NONE = "none"


class Article(NamedTuple):
    """A heading of the runbook. Texts are Markdown; `queries` are PromQL, over names of the catalogue."""

    meaning: str
    impact: str
    diagnosis: str
    mitigation: str
    queries: tuple[str, ...] = ()


class Tier(NamedTuple):
    """One severity of an alert: when it fires, for how long that must have been so, and one static sentence."""

    severity: Severity
    expr: str
    hold: str  # "for"; "" fires at once
    summary: str
    limit: str = ""  # what `value` is compared with, as people write it: stands for `{limit}` in the description
    labels: tuple[tuple[str, str], ...] = ()  # beside severity, where a severity has several tiers that differ in them


class Alert(NamedTuple):
    """One alert: severities under one name, so that the graver can silence the lighter."""

    name: str
    tiers: tuple[Tier, ...]
    description: str  # Go template of $labels and $value; `{limit}` is the limit of the severity that fires
    board: str  # uid of the dashboard that tells more
    article: Article
    keep: str = ""  # keep_firing_for
    choose: tuple[tuple[str, str], ...] = ()  # variables of the board and the labels they are set to, beside job


class Recording(NamedTuple):
    """One recorded series, named level:metric:operations."""

    record: str
    expr: str


class Group(NamedTuple):
    """Rules that are evaluated in order."""

    name: str
    rules: tuple[Alert | Recording, ...]
    interval: str = ""


def list_alerts(groups: Iterable[Group]) -> list[Alert]:
    """Return the alerts of groups, in order."""
    return [rule for group in groups for rule in group.rules if isinstance(rule, Alert)]


def render_rules(groups: Sequence[Group], links: Links, head: str) -> str:
    """Return a rule file that Prometheus 2.42 and newer load; `head` is its comment."""
    return dump_yaml(build_rules(groups, links), head)


def build_rules(groups: Sequence[Group], links: Links) -> dict[str, Any]:
    """Return the same as data: also the `spec` of a PrometheusRule."""
    return {"groups": [_build_group(group, links) for group in groups]}


def annotate(alert: Alert, tier: Tier, links: Links) -> dict[str, str]:
    """Return the annotations of one severity, templates unexpanded."""
    return {
        "summary": tier.summary,
        "description": alert.description.replace("{limit}", tier.limit),
        "runbook_url": f"{links.runbook}#{alert.name.lower()}",
        "dashboard_url": _link_board(alert, links),
    }


def _build_group(group: Group, links: Links) -> dict[str, Any]:
    rules: list[dict[str, Any]] = []
    for rule in group.rules:
        if isinstance(rule, Recording):
            rules.append({"record": rule.record, "expr": rule.expr})
        else:
            rules += [_build_tier(rule, tier, links) for tier in rule.tiers]
    head = {"name": group.name} | ({"interval": group.interval} if group.interval else {})
    return head | {"rules": rules}


def _build_tier(alert: Alert, tier: Tier, links: Links) -> dict[str, Any]:
    times = {"for": tier.hold, "keep_firing_for": alert.keep}
    return {
        "alert": alert.name,
        "expr": tier.expr,
        **{name: time for name, time in times.items() if time},
        "labels": {"severity": str(tier.severity), **dict(tier.labels)},
        "annotations": annotate(alert, tier, links),
    }


def _link_board(alert: Alert, links: Links) -> str:
    chosen = (("job", "job"), *alert.choose)
    query = "&".join(f"var-{variable}={{{{ urlquery $labels.{label} }}}}" for variable, label in chosen)
    return f"{links.dashboards.rstrip('/')}/d/{alert.board}?{query}"
