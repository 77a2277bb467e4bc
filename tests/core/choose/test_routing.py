"""Deciding, beginning and settling, and a model that remembers everything."""

import pytest
from hypothesis import HealthCheck, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.config import Balancing, Force, Strategy, Upstream
from sidecar.core.choose import reasons
from sidecar.core.choose.needs import NO_NEEDS, Grant, Needs
from sidecar.core.choose.transitions import State
from sidecar.core.choose.verdicts import Verdict
from sidecar.core.identify.wishes import NO_WISHES, Urgency
from sidecar.decision import Decision
from tests.core.choose.pools import GROUPED, Rig, plain

NAMES = "abcde"


def decide_alone(rig: Rig, needs: Needs = NO_NEEDS) -> Decision:
    """Decide for a route that leads to one upstream."""
    return rig.routing.decide("", ("a",), needs, rig.now)


def test_a_single_upstream_is_decided_without_ado() -> None:
    """The very same decision each time: nothing is made for it."""
    rig = Rig(plain("a"))
    decision = rig.routing.decide("", ("a",), Needs(model="m"), rig.now)
    assert (decision.upstream, decision.step, decision.candidates) == ("a", "full", ())
    assert decide_alone(rig) is decision


def test_a_single_upstream_is_refused_with_the_reason() -> None:
    """An open breaker, no room, a wish: one candidate says it. There is no emergency."""
    rig = Rig(plain("a", concurrency=6))
    for _ in range(6):
        rig.routing.begin(rig.routing.decide("", ("a",), NO_NEEDS, rig.now), NO_NEEDS, rig.now)
    full = rig.routing.decide("", ("a",), NO_NEEDS, rig.now)
    assert (full.upstream, full.reason, full.candidates[0].reason) == (None, reasons.NO_ROOM, reasons.NO_ROOM)
    rig.breakers.force("a", Force.OPEN, rig.now)
    assert rig.routing.decide("", ("a",), NO_NEEDS, rig.now).reason == reasons.CIRCUIT_OPEN
    assert rig.routing.decide("", ("a",), Needs(tried=frozenset("a")), rig.now).reason == reasons.EXHAUSTED
    exclude = Needs(wishes=NO_WISHES._replace(exclude=frozenset("a")))
    assert rig.routing.decide("", ("a",), exclude, rig.now).reason == reasons.WISH_UNMET


def test_every_candidate_is_explained() -> None:
    """Who was not chosen though it could have been has no reason; scores and estimates are there for all."""
    rig = Rig({"a": Upstream("https://a", quality=0.5), "b": Upstream("https://b"), "c": Upstream("https://c")}, Strategy.PERFORMANCE)
    for name, time_s in (("a", 1.0), ("b", 2.0)):
        rig.call_at(name, response_time_s=time_s)
    waiting = rig.begin_at("c")
    decision = rig.decide(Needs(tried=frozenset("c")))
    a, b, c = decision.candidates
    assert (decision.pool, decision.strategy, decision.step, decision.upstream) == ("chat", "performance", "full", "a")
    assert (a.response_time_s, a.reliability, a.quality, a.pending, a.reason) == (1.0, 1.0, 0.5, 0, None)
    assert a.score is not None
    assert b.score is not None
    assert a.score > b.score
    assert (c.score, c.response_time_s, c.pending, c.reason) == (None, None, 1, reasons.TRIED)
    rig.settle(waiting)


def test_what_begins_is_given_back_once() -> None:
    """A second settling changes nothing."""
    rig = Rig(plain("a", "b"))
    grant = rig.begin_at("a")
    assert (rig.slots.taken["a"], grant.standing.post.pending, grant.standing.post.active) == (1, 1, 1)
    rig.routing.note_first_data(grant, rig.now)
    rig.routing.note_first_data(grant, rig.now)
    assert grant.standing.post.pending == 0
    rig.settle(grant)
    rig.settle(grant)
    assert (rig.slots.taken["a"], grant.standing.post.pending, grant.standing.post.active) == (0, 0, 0)


def test_a_slot_from_the_queue_is_not_taken_twice() -> None:
    """And given back where the breaker has opened in the meantime."""
    rig = Rig(plain("a", "b"))
    decision = rig.decide(Needs(tried=frozenset("b")))
    rig.slots.take("a", rig.now)
    grant = rig.routing.begin(decision, NO_NEEDS, rig.now, has_slot=True, is_hedge=True)
    assert grant is not None
    assert grant.is_hedge
    assert rig.slots.taken["a"] == 1
    rig.settle(grant)
    rig.slots.take("a", rig.now)
    rig.breakers.force("a", Force.OPEN, rig.now)
    assert rig.routing.begin(decision, NO_NEEDS, rig.now, has_slot=True) is None
    assert rig.slots.taken["a"] == 0
    assert rig.routing.begin(decision, NO_NEEDS, rig.now) is None
    assert (rig.slots.taken["a"], rig.seat_of("a").standing.post.pending) == (0, 0)


def test_nobody_cannot_begin() -> None:
    """A decision that found nobody is no leave to call."""
    rig = Rig(plain("a"))
    with pytest.raises(ValueError, match="nobody"):
        rig.routing.begin(rig.decide(Needs(tried=frozenset("a"))), NO_NEEDS, rig.now)


def test_there_is_another_as_long_as_one_could_take_it() -> None:
    """Tried, cut off, and other keys count; room does not, for it can be waited for; asking changes nothing."""
    rig = Rig({"a": Upstream("https://a"), "b": Upstream("https://b"), "k": Upstream("https://k", api_key_file="/run/k")})
    has = rig.routing.has_another
    assert has(rig.names, Needs(tried=frozenset("ab")), rig.now)
    assert not has(rig.names, Needs(tried=frozenset("abk")), rig.now)
    assert has(rig.names, Needs(tried=frozenset("a"), other_credentials_than=frozenset("a")), rig.now)
    assert not has(("a", "b"), Needs(tried=frozenset("a"), other_credentials_than=frozenset("a")), rig.now)
    assert not has(rig.names, Needs(context_above=1), rig.now)
    rig.slots.limits["k"] = 0
    assert has(rig.names, Needs(tried=frozenset("ab")), rig.now)
    rig.breakers.force("k", Force.OPEN, rig.now)
    assert not has(rig.names, Needs(tried=frozenset("ab")), rig.now)
    assert rig.decide().upstream == "a"


def test_an_urgent_call_has_another_though_its_wishes_are_missed() -> None:
    """It is given the nearest."""
    rig = Rig({"a": Upstream("https://a", quality=0.1)})
    wishes = NO_WISHES._replace(min_quality=0.5)
    assert not rig.routing.has_another(("a",), Needs(wishes=wishes), rig.now)
    assert rig.routing.has_another(("a",), Needs(wishes=wishes._replace(urgency=Urgency.HIGH)), rig.now)


def test_who_may_be_asked_again_soonest_says_when() -> None:
    """The longer of an open breaker and a hold, of the upstream that is due first."""
    rig = Rig(plain("a", "b"))
    rig.holds.note(("a", None, ""), rig.now + 40.0, rig.now)
    rig.holds.note(("b", None, ""), rig.now + 5.0, rig.now)
    rig.fail_at("b", 5)
    due_s = rig.routing.retry_after_s(rig.names, NO_NEEDS, rig.now)
    assert 30.0 <= due_s <= 33.0
    assert rig.routing.retry_after_s(("a",), NO_NEEDS, rig.now) == 40.0
    assert rig.routing.retry_after_s(("a",), Needs(model="other"), rig.now) == 0.0


def test_one_whose_probe_fails_is_left_alone_while_another_is_there() -> None:
    """Until a probe, or a call, is answered; then it starts slowly."""
    rig = Rig(plain("a", "b"))
    rig.routing.note_probe("a", False, rig.now)
    assert {rig.call() for _ in range(10)} == {"b"}
    rig.routing.note_probe("a", True, rig.now)
    assert rig.seat_of("a").share(30.0, rig.now) < 1.0
    rig.routing.note_probe("a", False, rig.now)
    rig.call_at("a")
    assert not rig.seat_of("a").standing.post.is_down


def test_a_probe_reaches_the_breaker() -> None:
    """An open one is half-open at once."""
    rig = Rig(plain("a", "b"))
    rig.fail_at("a", 5)
    rig.routing.note_probe("a", True, rig.now)
    assert rig.breakers.worst("a", rig.now) is State.HALF_OPEN


def test_groups_of_models_stand_apart() -> None:
    """What fails for one group is chosen for the other as ever."""
    rig = Rig(plain("a", "b"), breaker=GROUPED)
    for _ in range(5):
        needs = Needs(model="large-1", tried=frozenset("b"))
        rig.settle(rig.begin(needs), Verdict.FAILURE, None)
    assert {rig.call(needs=Needs(model="large-2")) for _ in range(6)} == {"b"}
    assert {rig.call(needs=Needs(model="small")) for _ in range(6)} == {"a", "b"}


def test_after_an_ejection_what_was_before_counts_no_longer() -> None:
    """It is found out anew, and at once."""
    rig = Rig(plain("a", "b"), Strategy.PERFORMANCE, balancing=Balancing(slow_start=0.0), breakers=False)
    rig.call_at("b")
    rig.fail_at("a", 5)
    assert {rig.call() for _ in range(10)} == {"b"}
    rig.now += 30.0
    decision = rig.decide()
    assert (decision.upstream, decision.reason) == ("a", reasons.EXPLORED)
    rig.call()
    track = rig.seat_of("a").standing.track
    track.sum_up(rig.now)
    assert (track.calls, track.failures) == (1, 0)
    assert rig.decide().reason != reasons.EXPLORED


class Balancer(RuleBasedStateMachine):
    """Any calls, outcomes, probes, holds and times; what must never happen is looked for at each decision."""

    @initialize(strategy=st.sampled_from(list(Strategy)), panic=st.sampled_from([0.0, 0.5]), breakers=st.booleans())
    def start(self, strategy: Strategy, panic: float, breakers: bool) -> None:
        """Begin with five upstreams of three slots each."""
        balancing = Balancing(panic=panic)
        self.rig = Rig(plain(*NAMES, concurrency=3), strategy, balancing=balancing, breakers=breakers)
        self.grants: list[Grant] = []
        self.emergencies: list[float] = []

    @rule(tried=st.frozensets(st.sampled_from(NAMES), max_size=3), urgency=st.sampled_from(list(Urgency)))
    def call(self, tried: frozenset[str], urgency: Urgency) -> None:
        """A call comes."""
        rig = self.rig
        needs = Needs(tried=tried, wishes=NO_WISHES if urgency is Urgency.MEDIUM else NO_WISHES._replace(urgency=urgency))
        left = {name for name in NAMES if self.is_good(name)}
        decision = rig.decide(needs)
        name = decision.upstream
        if name is None:
            self.check_refusal(decision.reason, tried)
            return
        assert name not in tried
        assert rig.slots.has_room(name)
        if decision.step == "emergency":
            assert all(rig.breakers.find(each, None).state(rig.now) is State.OPEN for each in NAMES)
            assert not self.emergencies or rig.now - self.emergencies[-1] >= 1.0
            self.emergencies.append(rig.now)
        else:
            assert rig.breakers.find(name, None).admits(rig.now)
        is_panic = len(left) < rig.settings.balancing.panic * len(NAMES)
        able = {each for each in left - tried if rig.slots.has_room(each)}
        if able and not self.is_good(name):
            assert is_panic
            assert name not in self.held()
        grant = rig.routing.begin(decision, needs, rig.now)
        assert grant is not None
        self.grants.append(grant)

    def check_refusal(self, reason: str, tried: frozenset[str]) -> None:
        """Nobody is refused who could be served."""
        rig = self.rig
        able = [name for name in NAMES if name not in tried and rig.breakers.find(name, None).admits(rig.now)]
        if reason == reasons.NO_ROOM:
            assert any(not rig.slots.has_room(name) for name in able)
        else:
            assert reason == reasons.CIRCUIT_OPEN
            assert not able

    def held(self) -> set[str]:
        """Return who is held."""
        return {name for name in NAMES if self.rig.holds.until((name, None, ""), self.rig.now) is not None}

    def is_good(self, name: str) -> bool:
        """Whether an upstream is left: neither open, nor ejected, nor down, nor held."""
        rig = self.rig
        seat = rig.seat_of(name)
        is_aside = seat.ejected_until > rig.now or seat.standing.post.is_down
        return rig.breakers.find(name, None).admits(rig.now) and not is_aside and name not in self.held()

    @rule(which=st.integers(0, 100), data_came=st.booleans(), verdict=st.sampled_from(Verdict), took_s=st.none() | st.floats(0.001, 60))
    def end(self, which: int, data_came: bool, verdict: Verdict, took_s: float | None) -> None:
        """A call ends."""
        if self.grants:
            grant = self.grants.pop(which % len(self.grants))
            if data_came:
                self.rig.routing.note_first_data(grant, self.rig.now)
            self.rig.settle(grant, verdict, took_s)

    @rule(name=st.sampled_from(NAMES), times=st.integers(1, 6))
    def fail(self, name: str, times: int) -> None:
        """Calls at one upstream fail, where it can be asked."""
        rig = self.rig
        for _ in range(times):
            decision = rig.decide(Needs(tried=frozenset(NAMES) - {name}))
            if decision.upstream is not None and decision.step != "emergency":
                grant = rig.routing.begin(decision, NO_NEEDS, rig.now)
                assert grant is not None
                rig.settle(grant, Verdict.FAILURE, None)

    @rule()
    def break_down(self) -> None:
        """Nothing works any more."""
        for name in NAMES:
            self.fail(name, 5)

    @rule(seconds=st.floats(0.0, 40.0))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.rig.now += seconds

    @rule(name=st.sampled_from(NAMES), succeeded=st.booleans())
    def probe(self, name: str, succeeded: bool) -> None:
        """A probe tells of its upstream."""
        self.rig.routing.note_probe(name, succeeded, self.rig.now)

    @rule(name=st.sampled_from(NAMES), seconds=st.floats(0.1, 60.0))
    def hold(self, name: str, seconds: float) -> None:
        """An upstream asks for a pause."""
        self.rig.holds.note((name, None, ""), self.rig.now + seconds, self.rig.now)

    @invariant()
    def what_is_reserved_is_what_is_going_on(self) -> None:
        """Slots and pending are those of the calls in progress, no more and no fewer; the cap of ejections holds."""
        for name in NAMES:
            going = [grant for grant in self.grants if grant.upstream == name]
            post = self.rig.seat_of(name).standing.post
            assert self.rig.slots.taken[name] == post.active == len(going)
            assert post.pending == sum(not grant.first_data for grant in going)
        assert sum(self.rig.seat_of(name).ejected_until > self.rig.now for name in NAMES) <= 2

    def teardown(self) -> None:
        """When all calls have ended nothing is reserved, and when time has passed somebody is asked again: nobody is locked out."""
        for grant in self.grants:
            self.rig.settle(grant, Verdict.IGNORED, None)
        self.grants.clear()
        self.what_is_reserved_is_what_is_going_on()
        self.rig.now += 1000.0
        assert self.rig.decide().upstream is not None
        assert all(self.rig.seat_of(name).standing.post.load(self.rig.now) == 0 for name in NAMES)


TestBalancer = Balancer.TestCase
TestBalancer.settings = settings(max_examples=150, stateful_step_count=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])


def test_what_is_said_of_answers_decides_who_is_chosen() -> None:
    """Of two that are alike the one whose answers are rated higher; the one rated low is unknown again after some hours."""
    rig = Rig({"a": Upstream("https://a"), "b": Upstream("https://b")}, Strategy.PERFORMANCE)
    for _ in range(20):
        rig.routing.note_quality("a", 0.1, rig.now)
        rig.routing.note_quality("b", 0.9, rig.now)
    views = {view.name: view.quality for view in rig.routing.describe(rig.now)}
    assert views == {"a": pytest.approx(0.1), "b": pytest.approx(0.9)}
    for name in ("a", "b"):
        rig.call_at(name, response_time_s=1.0)
    assert [rig.decide().upstream for _ in range(3)] == ["b"] * 3
    needs = Needs(wishes=NO_WISHES._replace(min_quality=0.5))
    assert decide_alone(rig, needs).reason == reasons.WISH_UNMET
    for hour in range(1, 4):
        rig.routing.note_quality("b", 0.9, rig.now + 3600 * hour)
    assert {view.name: view.quality for view in rig.routing.describe(rig.now)}["a"] is None
    assert decide_alone(rig, needs).upstream == "a"
