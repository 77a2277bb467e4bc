"""The cases of all alerts: one module or more for each module of rules."""

from sidecar.render.cases import (
    accounts,
    calls,
    costs,
    itself,
    losses,
    objective,
    outages,
    quality,
    quantiles,
    recordings,
    reuse,
    streams,
    traffic,
    upstreams,
    watchdog,
)
from sidecar.render.cases.case import Case
from sidecar.render.rules import BURN_RATE, LOW_QUALITY, LOW_TRAFFIC, RULES, WATCHDOG
from sidecar.thresholds import Terms


def list_cases(terms: Terms) -> dict[str, tuple[Case, ...]]:
    """Return the cases of each rule file, by the file's name."""
    modules = (recordings, calls, streams, quantiles, upstreams, outages, reuse, accounts, costs, itself, losses)
    return {
        RULES: tuple(case for module in modules for case in module.list_cases(terms)),
        BURN_RATE: objective.list_cases(terms),
        WATCHDOG: watchdog.list_cases(terms),
        LOW_TRAFFIC: traffic.list_cases(terms),
        LOW_QUALITY: quality.list_cases(terms),
    }
