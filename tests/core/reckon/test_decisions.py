"""Decisions as they are shown."""

from sidecar.core.reckon.decisions import round_or_none, show_decision
from sidecar.decision import Candidate, Decision

DECISION = Decision(
    "chat", "adaptive", "full", "fast", "best score",
    (Candidate("fast", 0.81234567, 0.5, 0.99, None, 2, None), Candidate("dead", None, None, None, None, 0, "breaker open")),
)  # fmt: skip


def test_a_decision_explains_itself() -> None:
    """Who, why, and why not the others; what is not known is null, not zero."""
    assert show_decision(DECISION) == {
        "pool": "chat",
        "strategy": "adaptive",
        "step": "full",
        "upstream": "fast",
        "reason": "best score",
        "candidates": [
            {"upstream": "fast", "score": 0.812346, "response_time_s": 0.5, "reliability": 0.99, "quality": None, "pending": 2,
             "reason": None},
            {"upstream": "dead", "score": None, "response_time_s": None, "reliability": None, "quality": None, "pending": 0,
             "reason": "breaker open"},
        ],
    }  # fmt: skip


def test_nothing_stays_nothing() -> None:
    """And zero stays zero."""
    assert (round_or_none(None), round_or_none(0.0), round_or_none(1.23456, 2)) == (None, 0.0, 1.23)
