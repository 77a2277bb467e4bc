"""How a choice is told."""

from sidecar.decision import Candidate, Decision
from sidecar.edge.telemetry.decision_attributes import describe_decision
from sidecar.edge.telemetry.span import Attributes


def make_candidate(upstream: str, score: float | None = None, reason: str | None = None) -> Candidate:
    """Return a candidate of whom nothing was measured."""
    return Candidate(upstream, score, None, None, None, 0, reason)


def describe(*candidates: Candidate, upstream: str | None = "a", strategy: str = "performance", reason: str = "best") -> Attributes:
    """Return the attributes of a decision."""
    attributes: Attributes = {}
    describe_decision(Decision("chat", strategy, "full", upstream, reason, candidates), attributes)
    return {name.removeprefix("llm_sidecar.decision."): value for name, value in attributes.items()}


def test_the_chosen_has_a_score_and_the_others_a_reason_or_a_score() -> None:
    """One that could not be chosen is told with why, one that could with what it scored."""
    told = describe(make_candidate("a", 0.9125), make_candidate("b", 0.8125), make_candidate("c", 0.99, "circuit_open"))
    assert told == {
        "strategy": "performance", "step": "full", "reason": "best", "score": 0.9125, "alternatives": ["b: 0.812", "c: circuit_open"],
    }  # fmt: skip


def test_what_was_not_scored_has_no_score() -> None:
    """Taking turns scores nobody, and 0 would be a lie."""
    told = describe(make_candidate("a"), make_candidate("b"), strategy="round_robin", reason="its turn")
    assert told == {"strategy": "round_robin", "step": "full", "reason": "its turn", "alternatives": ["b"]}


def test_when_nobody_could_be_chosen_all_are_alternatives() -> None:
    """Each with its reason."""
    told = describe(make_candidate("a", None, "circuit_open"), make_candidate("b", None, "tried"), upstream=None, reason="circuit_open")
    assert told["alternatives"] == ["a: circuit_open", "b: tried"]
    assert "score" not in told


def test_a_large_pool_does_not_fill_the_span() -> None:
    """Twenty others are told."""
    told = describe(*(make_candidate(f"u{number}", 0.5) for number in range(100)), upstream="u0")
    alternatives = told["alternatives"]
    assert isinstance(alternatives, list) and (len(alternatives), alternatives[0]) == (20, "u1: 0.500")
