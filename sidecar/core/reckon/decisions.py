"""Decisions of pools as they are shown: who could have been chosen, who was, and why."""

from typing import Any, Final

from sidecar.decision import Candidate, Decision

_SCORE_DIGITS: Final = 6


def show_decision(decision: Decision) -> dict[str, Any]:
    """Return a decision as JSON has it. What has not been measured is null."""
    return {
        "pool": decision.pool,
        "strategy": decision.strategy,
        "step": decision.step,
        "upstream": decision.upstream,
        "reason": decision.reason,
        "candidates": [_show_candidate(candidate) for candidate in decision.candidates],
    }


def round_or_none(value: float | None, digits: int = _SCORE_DIGITS) -> float | None:
    """Return a number as it is worth reading."""
    return None if value is None else round(value, digits)


def _show_candidate(candidate: Candidate) -> dict[str, Any]:
    return {
        "upstream": candidate.upstream,
        "score": round_or_none(candidate.score),
        "response_time_s": round_or_none(candidate.response_time_s),
        "reliability": round_or_none(candidate.reliability),
        "quality": round_or_none(candidate.quality),
        "pending": candidate.pending,
        "reason": candidate.reason,
    }
