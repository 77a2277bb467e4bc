"""The cases of all alerts: one module or more for each module of rules."""

from sidecar.render.cases import calls, outages, recordings, streams, upstreams
from sidecar.render.cases.case import Case
from sidecar.render.rules import RULES
from sidecar.thresholds import Terms


def list_cases(terms: Terms) -> dict[str, tuple[Case, ...]]:
    """Return the cases of each rule file, by the file's name."""
    modules = (recordings, calls, streams, upstreams, outages)
    return {RULES: tuple(case for module in modules for case in module.list_cases(terms))}
