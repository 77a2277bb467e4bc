"""How a choice among upstreams is told on a span."""

from typing import Final

from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.span import Attributes

_ALTERNATIVES_MAX: Final = 20


def describe_decision(decision: Decision, attributes: Attributes) -> None:
    """Add what was decided, by which strategy, and what spoke against the others."""
    attributes["llm_sidecar.decision.strategy"] = decision.strategy
    attributes["llm_sidecar.decision.step"] = decision.step
    attributes["llm_sidecar.decision.reason"] = decision.reason
    others = []
    for candidate in decision.candidates:
        if candidate.upstream != decision.upstream:
            others.append(_describe_other(candidate))
        elif candidate.score is not None:
            attributes["llm_sidecar.decision.score"] = candidate.score
    if others:
        attributes["llm_sidecar.decision.alternatives"] = others[:_ALTERNATIVES_MAX]


def _describe_other(candidate: Candidate) -> str:
    """Return its name and why it could not be chosen, else its score; what was not scored stands by its name alone."""
    if candidate.reason is not None:
        return f"{candidate.upstream}: {candidate.reason}"
    return candidate.upstream if candidate.score is None else f"{candidate.upstream}: {candidate.score:.3f}"
