"""The rules: what is recorded and what is alerted on, as groups of rule files."""

from typing import Final

from sidecar.render.alerting import Group
from sidecar.render.rules import (
    accounts,
    calls,
    itself,
    losses,
    objective,
    quality,
    recordings,
    reuse,
    streams,
    traffic,
    upstreams,
    watchdog,
)
from sidecar.thresholds import Terms

RULES: Final = "rules.yml"
BURN_RATE: Final = "burn-rate.yml"
WATCHDOG: Final = "watchdog.yml"
LOW_TRAFFIC: Final = "low-traffic.yml"
LOW_QUALITY: Final = "low-quality.yml"
_HEAD: Final = """\
Recording rules and alerts of llm-sidecar, for Prometheus 2.42 and newer, 3.x included. Made by `llm-sidecar render`.

Thresholds are those of `llm-sidecar catalogue`. Idle is never an alert, and one failed call out of one is none either:
each alert on traffic asks for a least number of calls. A caller's own mistake and a caller that hung up are not errors.
Traffic is summed over the sidecars of a job; labels of the target that tell them apart are taken out by name, others stay.

One dead upstream is one page. Whoever pages for effects needs no second page for their cause: an open circuit breaker warns,
calls that nobody takes are critical (LLMNoUpstreamAvailable), and errors that are mostly such calls raise no LLMHighErrorRatio.
An upstream that its breaker already leaves alone raises no LLMUpstreamUnhealthy. What is left for inhibition in Alertmanager:
critical over warning and info of the same alertname and labels, and LLMNoUpstreamAvailable over LLMHighErrorRatio of the same
job and route, for the minutes in which one takes over from the other; and LLMBudgetSpent over LLMBudgetNearlySpent of the same
job and tenant."""


def list_heads(terms: Terms) -> dict[str, str]:
    """Return what stands above each rule file, by the file's name."""
    return {
        RULES: _HEAD, BURN_RATE: objective.write_head(terms), WATCHDOG: watchdog.HEAD, LOW_TRAFFIC: traffic.HEAD,
        LOW_QUALITY: quality.HEAD,
    }  # fmt: skip


def list_files(terms: Terms) -> dict[str, tuple[Group, ...]]:
    """Return the groups of every rule file, by the file's name."""
    return {RULES: list_groups(terms), **list_optional(terms)}


def list_groups(terms: Terms) -> tuple[Group, ...]:
    """Return the groups of rules.yml: what everyone has."""
    return (
        Group("llm-sidecar-recordings", recordings.list_recordings(terms)),
        Group("llm-sidecar-calls", (*calls.list_rules(terms), *streams.list_rules(terms))),
        Group("llm-sidecar-upstreams", upstreams.list_rules(terms)),
        Group("llm-sidecar-reuse", reuse.list_rules(terms)),
        Group("llm-sidecar-accounts", (*accounts.RECORDINGS, *accounts.list_rules(terms))),
        Group("llm-sidecar-itself", (*itself.RECORDINGS, *itself.list_rules(terms), *losses.list_rules(terms))),
    )


def list_optional(terms: Terms) -> dict[str, tuple[Group, ...]]:
    """Return the groups of the files that are loaded by choice, by the file's name."""
    return {
        BURN_RATE: (Group("llm-sidecar-objective", (*objective.list_recordings(terms), *objective.list_rules(terms))),),
        WATCHDOG: (Group("llm-sidecar-watchdog", watchdog.list_rules(terms)),),
        LOW_TRAFFIC: (Group("llm-sidecar-traffic", traffic.list_rules(terms)),),
        LOW_QUALITY: (Group("llm-sidecar-quality", (*quality.RECORDINGS, *quality.list_rules(terms))),),
    }
