"""Trials, slow starts, wishes, and what is done where nobody is fit."""

from collections import Counter

import pytest

from sidecar.config import Breaker, Force, Strategy, Upstream
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import Needs
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.identify.wishes import NO_WISHES, Urgency
from tests.core.choose.pools import Rig, plain


def prefer(*names: str) -> Needs:
    """Return the needs of a caller that prefers some upstreams."""
    return Needs(wishes=NO_WISHES._replace(prefer=frozenset(names)))


def half_open(rig: Rig, name: str) -> None:
    """Let an upstream fail until its breaker opens, and its probe answer then; forget that it was set aside."""
    rig.fail_at(name, 5)
    rig.seat_of(name).ejected_until = rig.now - 1000.0
    rig.breakers.note_probe(name, True, rig.now)


@pytest.mark.parametrize("strategy", list(Strategy))
def test_one_that_is_half_open_is_tried_once_a_second(strategy: Strategy) -> None:
    """With every strategy, so that it can close; and no more, so that few calls are risked."""
    rig = Rig(plain("a", "b", "c"), strategy, breaker=Breaker(successes=100, probes=50))
    half_open(rig, "a")
    asked = Counter()
    for _ in range(100):
        rig.now += 0.1
        asked[rig.call()] += 1
    assert 9 <= asked["a"] <= 11


def test_no_call_is_risked_that_has_failed_or_is_urgent() -> None:
    """They go where it is known to work; where that is nowhere, they are risked."""
    rig = Rig(plain("a", "b", "c"))
    half_open(rig, "a")
    rig.now += 10.0
    assert rig.decide(Needs(tried=frozenset("b"))).upstream == "c"
    assert rig.decide(Needs(wishes=NO_WISHES._replace(urgency=Urgency.HIGH))).upstream != "a"
    assert rig.decide(Needs(tried=frozenset("bc"))).upstream == "a"
    decision = rig.decide()
    assert (decision.upstream, decision.reason) == ("a", reasons.TRIAL)
    assert rig.reason_of("a", decision) is None


def test_who_comes_back_starts_slowly() -> None:
    """A tenth at first, then more, then its full share; the decision says so."""
    rig = Rig(plain("a", "b"), breaker=Breaker(successes=3))
    half_open(rig, "a")
    for _ in range(3):
        rig.call_at("a")
    early = Counter(rig.call() for _ in range(400))
    rig.now += 15.0
    middle = Counter(rig.call() for _ in range(400))
    rig.now += 15.0
    late = Counter(rig.call() for _ in range(400))
    assert 10 <= early["a"] <= 70
    assert early["a"] < middle["a"] < late["a"] == 200


def test_who_starts_slowly_is_asked_where_nobody_else_is() -> None:
    """A share is no refusal."""
    rig = Rig(plain("a", "b"))
    rig.seat_of("a").standing.come_back(rig.now)
    assert {rig.call(needs=Needs(tried=frozenset("b"))) for _ in range(50)} == {"a"}


def test_a_preferred_one_is_chosen_while_it_is_fit() -> None:
    """By the pool's strategy among the preferred; the others are told not to be."""
    rig = Rig(plain("a", "b", "c"))
    decisions = [rig.decide(prefer("b", "c")) for _ in range(4)]
    assert [decision.upstream for decision in decisions] == ["b", "c", "b", "c"]
    assert {decision.step for decision in decisions} == {"full"}
    assert rig.reason_of("a", decisions[0]) == reasons.NOT_PREFERRED


@pytest.mark.parametrize("names", [("a",), ("nobody",)])
def test_where_the_preferred_is_not_to_be_had_anybody_healthy_is_asked(names: tuple[str, ...]) -> None:
    """In turn, and the answer says that it was degraded."""
    rig = Rig(plain("a", "b", "c"), Strategy.PERFORMANCE)
    rig.breakers.force("a", Force.OPEN, rig.now)
    decision = rig.decide(prefer(*names))
    assert decision.upstream in ("b", "c")
    assert (decision.step, decision.strategy) == ("simple", "round_robin")


def test_a_held_upstream_is_not_chosen_while_another_is_there() -> None:
    """Not even where the other one has failed this call already: then it is the last left."""
    rig = Rig(plain("a", "b"))
    rig.holds.note(("a", None, ""), rig.now + 20.0, rig.now)
    assert {rig.call() for _ in range(10)} == {"b"}
    decision = rig.decide(Needs(tried=frozenset("b")))
    assert (decision.upstream, decision.reason) == ("a", reasons.PAUSE_ENDS)


def test_of_those_held_the_one_is_chosen_whose_hold_ends_first() -> None:
    """A hold refuses nobody."""
    rig = Rig(plain("a", "b", "c"))
    for name, seconds in (("a", 20.0), ("b", 5.0), ("c", 10.0)):
        rig.holds.note((name, None, ""), rig.now + seconds, rig.now)
    assert rig.decide().upstream == "b"


def test_room_is_waited_for_rather_than_asking_who_is_held() -> None:
    """The other one is there, and only busy."""
    rig = Rig(plain("a", "b"))
    rig.holds.note(("a", None, ""), rig.now + 20.0, rig.now)
    rig.slots.limits["b"] = 0
    decision = rig.decide()
    assert (decision.upstream, decision.reason) == (None, reasons.NO_ROOM)


def test_the_last_one_left_is_asked_though_it_was_set_aside() -> None:
    """This call has no other."""
    rig = Rig(plain("a", "b", "c"))
    rig.seat_of("a").ejected_until = rig.now + 100.0
    decision = rig.decide(Needs(tried=frozenset("bc")))
    assert (decision.upstream, decision.reason) == ("a", reasons.LAST)


def test_a_wish_that_nobody_meets_is_refused_with_the_reason() -> None:
    """Unless the call is urgent: then it goes to the nearest."""
    rig = Rig({"a": Upstream("https://a", quality=0.5), "b": Upstream("https://b", quality=0.5)})
    for name, time_s in (("a", 5.0), ("b", 1.0)):
        rig.call_at(name, response_time_s=time_s)
    wishes = NO_WISHES._replace(min_quality=0.9, max_response_time_s=2.0)
    refused = rig.decide(Needs(wishes=wishes))
    assert (refused.upstream, refused.reason) == (None, reasons.WISH_UNMET)
    assert [candidate.reason for candidate in refused.candidates] == [reasons.TOO_SLOW, reasons.TOO_PLAIN]
    nearest = rig.decide(Needs(wishes=wishes._replace(urgency=Urgency.HIGH)))
    assert (nearest.upstream, nearest.reason, nearest.step) == ("b", reasons.NEAREST, "simple")


def test_an_exclusion_is_kept_however_urgent_the_call() -> None:
    """Not to be asked is not a matter of degree."""
    rig = Rig(plain("a", "b"))
    needs = Needs(wishes=NO_WISHES._replace(exclude=frozenset("ab"), urgency=Urgency.HIGH))
    assert rig.decide(needs).reason == reasons.WISH_UNMET


def test_where_all_breakers_are_open_one_call_a_second_goes_to_who_is_due_first() -> None:
    """And its success brings that one to half-open at once."""
    rig = Rig(plain("a", "b"))
    for name in ("b", "a"):
        rig.fail_at(name, 5)
        rig.now += 2.0
    decision = rig.decide()
    assert (decision.upstream, decision.step, decision.reason) == ("b", "emergency", reasons.DUE)
    grant = rig.begin()
    assert rig.decide().reason == reasons.CIRCUIT_OPEN
    rig.now += 1.0
    assert rig.decide().step == "emergency"
    rig.settle(grant, Verdict.SUCCESS, 1.0)
    assert rig.decide().reason == reasons.TRIAL or rig.breakers.find("b", None).state(rig.now).label == "half_open"


def test_who_was_forced_open_is_left_alone_in_an_emergency() -> None:
    """An operator has said so."""
    rig = Rig(plain("a", "b"))
    for name in rig.names:
        rig.breakers.force(name, Force.OPEN, rig.now)
    assert rig.decide().reason == reasons.CIRCUIT_OPEN
