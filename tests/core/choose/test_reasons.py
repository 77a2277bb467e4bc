"""Reasons as they are told."""

from sidecar.core.choose import reasons
from sidecar.core.choose.reasons import explain
from sidecar.decision import Candidate, Decision


def decide(*candidates: Candidate) -> Decision:
    """Return a decision that found nobody."""
    return Decision("chat", "round_robin", "full", None, reasons.WISH_UNMET, candidates)


def test_each_that_could_not_be_chosen_is_told_with_what_was_compared() -> None:
    """A caller whose wish is not met learns what there is."""
    decision = decide(
        Candidate("a", None, 2.5, 0.9, 0.5, 0, reasons.TOO_SLOW),
        Candidate("b", None, 2.5, 0.9, 0.5, 0, reasons.TOO_PLAIN),
        Candidate("c", None, 2.5, 0.9, 0.5, 0, reasons.TOO_UNRELIABLE),
        Candidate("d", None, None, None, None, 0, reasons.CIRCUIT_OPEN),
        Candidate("e", None, None, None, None, 0, None),
    )
    assert explain(decision) == "a: max_response_time (2.5 s expected), b: min_quality (0.5), c: min_reliability (0.9), d: circuit_open"


def test_nothing_is_told_of_who_could_be_chosen() -> None:
    """Only obstacles are told."""
    assert explain(decide(Candidate("a", None, None, None, None, 0, None))) == ""


def test_what_is_not_known_is_not_told() -> None:
    """No estimate, no number."""
    assert explain(decide(Candidate("a", None, None, None, None, 0, reasons.TOO_SLOW))) == "a: max_response_time"
