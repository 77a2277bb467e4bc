"""How one is chosen among several that may be."""

from collections import Counter

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from sidecar.config import Balancing, Strategy
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import NO_NEEDS
from sidecar.core.choose.strategies import pick, pick_in_turn
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.identify.wishes import NO_WISHES
from tests.core.choose.pools import Behaviour, Rig, failing, plain, simulate, steady, weigh

MEASURING = [Strategy.PERFORMANCE, Strategy.ADAPTIVE]
RATE_LIMITED = Behaviour(lambda _: 0.005, lambda _: Verdict.IGNORED, is_answer=False)
MISTAKEN = Behaviour(lambda _: 0.005, lambda _: Verdict.SUCCESS, is_answer=False)


def test_round_robin_gives_everybody_the_same() -> None:
    """In order, and over again."""
    rig = Rig(plain("a", "b", "c"))
    assert [rig.call() for _ in range(6)] == ["a", "b", "c", "a", "b", "c"]


def test_round_robin_stays_fair_when_somebody_comes_late() -> None:
    """Who was left out for a while does not get what it missed."""
    rig = Rig(plain("a", "b", "c"))
    seats = [rig.seat_of(name) for name in rig.names]
    for _ in range(10):
        rig.seat_of("a").roster.give_turn(pick_in_turn(seats[0].roster, seats[:2], NO_WISHES, rig.now).seat)
    assert sorted(rig.call() for _ in range(3)) == ["a", "b", "c"]


@settings(max_examples=30, deadline=None)
@given(st.lists(st.floats(0.1, 20.0), min_size=1, max_size=8))
def test_weighted_shares_are_as_weights(weights: list[float]) -> None:
    """Within five percent of the weight's share, or one call."""
    rig = Rig(weigh(weights), Strategy.WEIGHTED)
    calls = 2000
    counts = Counter(rig.call() for _ in range(calls))
    for name, weight in zip(rig.names, weights, strict=True):
        due = calls * weight / sum(weights)
        assert abs(counts[name] - due) <= max(1.0, 0.05 * due)


def test_weighted_is_smooth() -> None:
    """A heavy upstream's calls are not all in a row."""
    rig = Rig(weigh([5.0, 1.0, 1.0]), Strategy.WEIGHTED)
    assert "".join(rig.call() for _ in range(7)) == "aabacaa"


@pytest.mark.parametrize("strategy", [Strategy.WEIGHTED, Strategy.LEAST_CONNECTIONS])
def test_a_weight_of_zero_gets_nothing_while_there_is_another(strategy: Strategy) -> None:
    """It is there for when nobody else is."""
    rig = Rig(weigh([0.0, 1.0]), strategy)
    assert {rig.call() for _ in range(20)} == {"b"}


def test_least_connections_goes_where_fewest_are_pending() -> None:
    """A call is pending until its first data, not until its end."""
    rig = Rig(plain("a", "b"), Strategy.LEAST_CONNECTIONS)
    first = rig.begin_at("a")
    assert [rig.begin().upstream for _ in range(1)] == ["b"]
    rig.begin_at("b")
    rig.routing.note_first_data(first, rig.now)
    assert rig.decide().upstream == "a"


def test_least_connections_counts_by_weight() -> None:
    """Three times the weight takes three times the calls."""
    rig = Rig(weigh([3.0, 1.0]), Strategy.LEAST_CONNECTIONS)
    assert Counter(rig.begin().upstream for _ in range(40)) == {"a": 30, "b": 10}


def test_performance_goes_to_the_faster_one() -> None:
    """All but what it takes to find out whether that is still so."""
    rig = Rig(plain("a", "b"), Strategy.PERFORMANCE)
    counts = simulate(rig, {"a": steady(1.0), "b": steady(3.0)}, calls=1000, every_s=0.2)
    assert counts["a"] > 900
    assert counts["b"] >= 3


def test_performance_spreads_over_those_that_are_as_good() -> None:
    """Two doors of one provider are used alike."""
    rig = Rig(plain("a", "b"), Strategy.PERFORMANCE)
    counts = simulate(rig, {"a": steady(1.0), "b": steady(1.0)}, calls=1000, every_s=0.2)
    assert min(counts["a"], counts["b"]) > 400


@pytest.mark.parametrize("strategy", MEASURING)
def test_who_was_never_asked_is_asked_once(strategy: Strategy) -> None:
    """Nobody is left unknown, and nobody unknown gets more than one call to answer first."""
    rig = Rig(plain("a", "b", "c"), strategy)
    assert sorted(rig.begin().upstream for _ in range(3)) == ["a", "b", "c"]


@pytest.mark.parametrize("strategy", MEASURING)
def test_who_was_slow_and_is_no_longer_is_found_out(strategy: Strategy) -> None:
    """Within a quarter of an hour at least half of the calls go there."""
    rig = Rig(plain("a", "b"), strategy)
    simulate(rig, {"a": steady(1.0), "b": steady(4.0)}, calls=500, every_s=0.5)
    counts = simulate(rig, {"a": steady(1.0), "b": steady(0.2)}, calls=3600, every_s=0.5)
    assert counts["b"] > 1800


@pytest.mark.parametrize("strategy", MEASURING)
def test_who_was_not_asked_for_a_minute_is_asked_now_and_then(strategy: Strategy) -> None:
    """One call of ten at most, and only one a minute: to find out costs little."""
    rig = Rig(plain("a", "b"), strategy)
    for name, time_s in (("a", 1.0), ("b", 5.0)):
        rig.call_at(name, response_time_s=time_s)
    assert {rig.call() for _ in range(20)} == {"a"}
    rig.now += 60.1
    told = []
    for _ in range(40):
        decision = rig.decide()
        grant = rig.routing.begin(decision, NO_NEEDS, rig.now)
        assert grant is not None
        rig.settle(grant, response_time_s={"a": 1.0, "b": 5.0}[grant.upstream])
        told.append((decision.upstream, decision.reason))
    assert told.count(("b", reasons.EXPLORED)) == 1
    assert [name for name, _ in told].count("b") == 1


def test_adaptive_stays_with_who_is_good_enough() -> None:
    """A score that is better by less than the threshold is no reason to go elsewhere."""
    rig = Rig(plain("a", "b"), Strategy.ADAPTIVE)
    for name, time_s in (("a", 1.02), ("b", 1.0)):
        rig.call_at(name, response_time_s=time_s)
    rig.seat_of("a").roster.favourite = rig.seat_of("a")
    seats = [rig.seat_of(name) for name in rig.names]
    picked = pick(seats[0].roster, seats, NO_WISHES, rig.now)
    assert (picked.seat.standing.post.name, picked.why) == ("a", reasons.KEPT)
    assert picked.scores[1] > picked.scores[0]


def test_adaptive_leaves_who_is_worse_by_more_than_the_threshold() -> None:
    """And stays with the better one from then on."""
    rig = Rig(plain("a", "b"), Strategy.ADAPTIVE)
    for name, time_s in (("a", 1.5), ("b", 1.0)):
        rig.call_at(name, response_time_s=time_s)
    roster = rig.seat_of("a").roster
    roster.favourite = rig.seat_of("a")
    picked = pick(roster, roster.seats, NO_WISHES, rig.now)
    assert (picked.seat.standing.post.name, picked.why) == ("b", reasons.BEST)
    assert roster.favourite is picked.seat


def test_adaptive_spreads_what_comes_at_once() -> None:
    """Who has calls pending is worth less."""
    rig = Rig(plain("a", "b"), Strategy.ADAPTIVE)
    counts = Counter(rig.begin().upstream for _ in range(40))
    assert min(counts["a"], counts["b"]) >= 15


def test_an_operator_may_move_the_threshold() -> None:
    """With a threshold of one, whatever is known is no reason to go elsewhere."""
    rig = Rig(plain("a", "b"), Strategy.PERFORMANCE, balancing=Balancing(threshold=1.0))
    counts = simulate(rig, {"a": steady(5.0), "b": steady(1.0)}, calls=200, every_s=20.0)
    assert counts["a"] >= 90


@pytest.mark.parametrize(
    "bad", [failing(0.001), failing(0.001, 0.3), RATE_LIMITED, MISTAKEN], ids=["fails", "fails_at_times", "429", "404"]
)
@pytest.mark.parametrize("breakers", [True, False])
@pytest.mark.parametrize("strategy", list(Strategy))
@pytest.mark.parametrize("every_s", [0.1, 5.0])
def test_who_fails_fast_gets_at_most_its_fair_share(strategy: Strategy, breakers: bool, bad: Behaviour, every_s: float) -> None:
    """With every strategy, breakers or none, much traffic or little: nobody is attracted by an upstream that only looks fast."""
    rig = Rig(plain("a", "b", "c"), strategy, breakers=breakers)
    counts = simulate(rig, {"a": bad, "b": steady(1.0), "c": steady(1.0)}, calls=600, every_s=every_s)
    assert counts["a"] <= 600 / 3 + 2
    assert counts[""] == 0


@pytest.mark.parametrize("strategy", list(Strategy))
def test_a_failure_is_not_fast_beside_slow_answers_either(strategy: Strategy) -> None:
    """The others take longer than the penalty."""
    rig = Rig(plain("a", "b", "c"), strategy, breakers=False, balancing=Balancing(ejection_max=0.0))
    counts = simulate(rig, {"a": failing(0.001), "b": steady(30.0), "c": steady(30.0)}, calls=600, every_s=0.5)
    assert counts["a"] <= 600 / 3 + 2
