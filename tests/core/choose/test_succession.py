"""What is known of upstreams when settings change: with the real breakers and slots around it."""

import gc
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.config import Balancing, Breaker, ModelGroup, Pool, Settings, Strategy, Upstream
from sidecar.core.admit.admission import Admission
from sidecar.core.choose.breakers import Breakers
from sidecar.core.choose.holds import Holds
from sidecar.core.choose.needs import NO_NEEDS, Grant, Needs
from sidecar.core.choose.rosters import Seat
from sidecar.core.choose.routing import Routing
from sidecar.core.choose.transitions import State
from sidecar.core.choose.verdicts import Verdict

SUCCESS, FAILURE = Verdict.SUCCESS, Verdict.FAILURE
SMALL = Breaker(groups={"small": ModelGroup(("*mini*",))})


def settings_of(names: str, *, breaker: Breaker | None = None, balancing: Balancing | None = None, **upstreams: Any) -> Settings:
    """Return settings with these upstreams, all of them in a pool, and what is special of some."""
    ups = {name: replace(Upstream(f"http://{name}.test", concurrency=50), **upstreams.get(name, {})) for name in names}
    return Settings(
        upstreams=ups, pools={"chat": Pool(tuple(names), Strategy.ROUND_ROBIN)}, breaker=breaker or Breaker(),
        balancing=balancing or Balancing(),
    )  # fmt: skip


class View:
    """One generation: a routing with breakers and slots."""

    def __init__(self, settings: Settings, breakers: Breakers, admission: Admission, routing: Routing) -> None:
        self.settings, self.breakers, self.admission, self.routing = settings, breakers, admission, routing
        self.names = tuple(settings.upstreams)

    def succeed(self, settings: Settings, kept: str | frozenset[str], now: float) -> "View":
        """Return the next one."""
        names = frozenset(kept)
        breakers, admission = self.breakers.succeed(settings, names, now), self.admission.succeed(settings, names, now)
        return View(settings, breakers, admission, self.routing.succeed(settings, breakers, admission, names, now))

    def seat(self, name: str) -> Seat:
        """Return an upstream's seat in the pool."""
        roster = self.routing._find_roster("chat", self.names, None)
        return next(seat for seat in roster.seats if seat.standing.post.name == name)

    def choose(self, now: float, needs: Needs = NO_NEEDS) -> str | None:
        """Decide for a call of the pool; return who was chosen."""
        return self.routing.decide("chat", self.names, needs, now).upstream

    def begin(self, name: str, now: float, model: str | None = None) -> Grant:
        """Begin at this upstream, alone."""
        grant = self.routing.begin_alone(name, model, now)
        assert grant is not None
        return grant

    def call(self, name: str, verdict: Verdict, now: float, *, model: str | None = None, times: int = 1) -> None:
        """Make calls at this upstream."""
        for _ in range(times):
            self.routing.settle(self.begin(name, now, model), verdict, now, response_time_s=1.0 if verdict is SUCCESS else None)

    def show(self, name: str, now: float) -> Any:
        """Return what there is to see of an upstream."""
        return next(view for view in self.routing.describe(now) if view.name == name)


def make_view(names: str = "ab", **more: Any) -> View:
    """Return the first generation."""
    settings = settings_of(names, **more)
    breakers, admission = Breakers(settings, lambda: 0.0, lambda _: None), Admission(settings)
    return View(settings, breakers, admission, Routing(settings, breakers, Holds(), admission, lambda: 0.5))


def test_what_is_known_of_those_who_stay_is_kept() -> None:
    """Calls, failures and times of the window, an open breaker, calls in progress; none of it for another place of that name."""
    first = make_view("abc")
    for name in "ab":
        first.call(name, SUCCESS, 1.0, times=3)
        first.call(name, FAILURE, 1.0, times=5)
    running = first.begin("c", 1.0)
    second = first.succeed(settings_of("abc"), "ac", 2.0)
    a, b, c = (second.show(name, 2.0) for name in "abc")
    assert (a.calls, a.failures, a.state) == (8, 5, "open")
    assert (b.calls, b.failures, b.state, b.response_time_s) == (0, 0, "closed", None)
    assert (c.pending, c.in_use) == (1, 1)
    first.routing.settle(running, SUCCESS, 3.0, response_time_s=2.0)
    assert (second.show("c", 3.0).in_use, second.show("c", 3.0).calls) == (0, 1)


def test_calls_of_one_that_is_gone_settle_cleanly() -> None:
    """Also those that fail, and those that go on to others that are gone; nothing of it is seen in what came after."""
    first = make_view("ab")
    running = [first.begin(name, 1.0) for name in "aabb"]
    second = first.succeed(settings_of("bc"), "", 2.0)
    for grant in running:
        first.routing.note_first_data(grant, 3.0)
        first.routing.settle(grant, FAILURE, 3.0, response_time_s=None)
    assert first.choose(3.0) in ("a", "b")
    first.call("a", FAILURE, 3.0, times=3)
    assert first.routing.has_another(("b",), NO_NEEDS, 3.0)
    assert [first.show(name, 3.0).in_use for name in "ab"] == [0, 0]
    assert [(view.name, view.calls, view.in_use) for view in second.routing.describe(3.0)] == [("b", 0, 0), ("c", 0, 0)]


def test_turns_go_on() -> None:
    """A pool that gets a member asks it first, then goes on where it was."""
    first = make_view("ab")
    assert [first.choose(1.0) for _ in range(3)] == ["a", "b", "a"]
    second = first.succeed(settings_of("abc"), "ab", 2.0)
    assert [second.choose(2.0) for _ in range(4)] == ["c", "b", "a", "c"]


def test_ejections_stay_and_whose_place_is_another_is_not_ejected() -> None:
    """For as long as they would have lasted, and the next one is longer."""
    first = make_view("abcd", breaker=Breaker(consecutive=100))
    for name in "ab":
        first.seat(name)
        first.call(name, FAILURE, 1.0, times=5)
    assert [first.show(name, 1.0).reason for name in "ab"] == ["ejected", "ejected"]
    second = first.succeed(settings_of("abcd"), "acd", 2.0)
    assert second.show("a", 2.0).ejected_until == first.show("a", 2.0).ejected_until
    assert (second.show("b", 2.0).reason, second.seat("a").ejections, second.seat("b").ejections) == (None, 1, 0)


def test_a_smaller_pool_spares_fewer() -> None:
    """Two of four were set aside; of the three that are left one is, the one that has longer to go."""
    first = make_view("abcd", breaker=Breaker(consecutive=100))
    for at, name in enumerate("ab"):
        first.seat(name)
        first.call(name, FAILURE, 1.0 + at, times=5)
    second = first.succeed(settings_of("abc"), "abc", 3.0)
    assert [second.show(name, 3.0).reason for name in "abc"] == [None, "ejected", None]
    assert second.show("a", 3.0).share < 1, "it comes back slowly"


def test_each_upstream_has_one_seat_in_a_pool_however_often_settings_change() -> None:
    """Nothing grows: a failure is judged where it belongs, and what nobody needs any more is gone."""
    view = make_view("ab", breaker=SMALL)

    def change(start: int) -> View:
        latest = view
        for number in range(start, start + 200):
            gone = number % 3 == 0
            latest.choose(float(number))
            latest.routing.decide("chat", latest.names, Needs(model="gpt-mini"), float(number))
            latest.call(latest.names[0], FAILURE if gone else SUCCESS, float(number))
            latest = latest.succeed(settings_of("ac" if gone else "ab", breaker=SMALL), "a", float(number))
        return latest

    view = change(0)
    gc.collect()
    before = len(gc.get_objects())
    view = change(200)
    gc.collect()
    assert len(gc.get_objects()) - before < 50
    assert [len(standing.seats) for standing in view.routing._standings["a"].values()] == [1, 1]


def test_groups_come_and_go() -> None:
    """What is known of a group that stays is kept, whatever becomes of the others."""
    first = make_view("a", breaker=SMALL)
    first.call("a", FAILURE, 1.0, model="gpt-mini", times=5)
    first.call("a", SUCCESS, 1.0, times=2)
    both = first.succeed(settings_of("a", breaker=Breaker(groups={"large": ModelGroup(("*large*",)), **SMALL.groups})), "a", 2.0)
    assert {one.group: one.state for one in both.show("a", 2.0).breakers} == {"default": "closed", "large": "closed", "small": "open"}
    none = both.succeed(settings_of("a"), "a", 3.0)
    assert (none.show("a", 3.0).state, none.show("a", 3.0).calls) == ("closed", 2)
    assert first.breakers.find("a", "gpt-mini").state(3.0) is State.OPEN, "calls that know the group still do"


def test_settings_of_those_who_stay_are_the_new_ones() -> None:
    """Weight, quality, context, whose key is sent; what was said of its answers stays."""
    first = make_view("ab")
    for _ in range(5):
        first.routing.note_quality("a", 1.0, 1.0)
    second = first.succeed(settings_of("ab", a={"weight": 3.0, "quality": 0.4, "context": 8, "api_key_file": "/run/key"}), "ab", 1.0)
    post = second.routing._posts["a"]
    assert (post.weight, post.context, post.credential) == (3.0, 8, "/run/key")
    assert post.quality == pytest.approx((0.4 * 10 + 5) / 15)
    second.routing.note_quality("gone", 0.5, 1.0)


def test_pauses_belong_to_a_place() -> None:
    """What one asked for holds under new settings; not for another place of that name, nor if it asks for it later."""
    first = make_view("ab")
    marks = {name: post.mark for name, post in first.routing._posts.items()}
    for name in "ab":
        first.routing._holds.note((marks[name], None, ""), 50.0, 1.0)  # type: ignore[attr-defined]
    second = first.succeed(settings_of("ab"), "a", 2.0)
    assert [second.choose(2.0) for _ in range(3)] == ["b", "b", "b"]
    second.routing._holds.note((second.routing._posts["b"].mark, None, ""), 50.0, 2.0)  # type: ignore[attr-defined]
    third = second.succeed(settings_of("a"), "", 3.0).succeed(settings_of("ab"), "a", 4.0)
    assert {third.choose(4.0) for _ in range(2)} == {"a", "b"}, "an upstream that was gone meanwhile is a new one"


def test_with_another_key_nobody_is_paused_for_what_the_one_before_did() -> None:
    """On the account of callers' own keys it still is."""
    view = make_view("ab")
    for mine in ("", "theirs"):
        view.routing._holds.note(("a", None, mine), 50.0, 1.0)  # type: ignore[attr-defined]
    assert [view.choose(2.0) for _ in range(2)] == ["b", "b"]
    view.routing.forget_pauses("a")
    assert [view.choose(2.0) for _ in range(2)] == ["a", "b"]
    assert [view.choose(2.0, Needs(credential="theirs")) for _ in range(2)] == ["b", "b"]


def test_who_is_probed_no_longer_is_not_down() -> None:
    """What probes said last must not hold for ever."""
    view = make_view("ab")
    view.routing.note_probe("a", False, 1.0)
    assert view.show("a", 1.0).reason == "probe_failed"
    view.routing.forget_probes("a", 2.0)
    assert view.show("a", 2.0).reason is None


class SuccessionMachine(RuleBasedStateMachine):
    """Any order of calls, results and new settings: calls go on in the view that they began in."""

    @initialize()
    def begin(self) -> None:
        """Start with one view."""
        self.views = [make_view("ab", breaker=Breaker(consecutive=2, open=5.0, open_max=20.0, probes=2, successes=2))]
        self.places = [{"a": ("a", 0), "b": ("b", 0)}]
        self.running: list[tuple[int, Grant]] = []
        self.now = 0.0

    @rule(
        names=st.sets(st.sampled_from("abc"), min_size=1), moved=st.sets(st.sampled_from("abc")), consecutive=st.integers(1, 3),
        probes=st.integers(1, 3), concurrency=st.integers(1, 4), grouped=st.booleans(),
    )  # fmt: skip
    def adopt(self, names: set[str], moved: set[str], consecutive: int, probes: int, concurrency: int, grouped: bool) -> None:
        """New settings come."""
        known, number = self.places[-1], len(self.views)
        kept = frozenset(name for name in names if name in known and name not in moved)
        breaker = Breaker(consecutive, open=5.0, open_max=20.0, probes=probes, successes=2, groups=SMALL.groups if grouped else {})
        many = {name: {"concurrency": concurrency} for name in names}
        settings = settings_of("".join(sorted(names)), breaker=breaker, **many)
        self.views.append(self.views[-1].succeed(settings, kept, self.now))
        self.places.append({name: known[name] if name in kept else (name, number) for name in names})

    @rule(back=st.integers(0, 3), model=st.sampled_from([None, "gpt-mini"]), count=st.integers(1, 4))
    def call(self, back: int, model: str | None, count: int) -> None:
        """Calls of the pool begin, under these settings or earlier ones."""
        number = max(0, len(self.views) - 1 - back)
        view = self.views[number]
        for _ in range(count):
            needs = Needs(model=model)
            decision = view.routing.decide("chat", view.names, needs, self.now)
            if decision.upstream is None:
                continue
            assert view.admission.has_room(decision.upstream)
            probing = [grant for _, grant in self.running if grant.permit is not None and grant.permit.is_probe and not grant.settled]
            grant = view.routing.begin(decision, needs, self.now)
            assert grant is not None
            if grant.permit is not None and grant.permit.is_probe:
                mine = [one for one in probing if one.breaker is grant.breaker and one.permit.era == grant.permit.era]
                overdue = sum(self.now >= one.began + 20.0 for one in mine)
                assert len(mine) - overdue < grant.breaker._settings.probes, "one probe too many"  # type: ignore[attr-defined]
            self.running.append((number, grant))

    @precondition(lambda self: self.running)
    @rule(which=st.integers(0, 99), verdict=st.sampled_from([SUCCESS, FAILURE, Verdict.IGNORED, Verdict.SLOW]), twice=st.booleans())
    def settle(self, which: int, verdict: Verdict, twice: bool) -> None:
        """A call ends, in the view that it began in."""
        number, grant = self.running.pop(which % len(self.running))
        for _ in range(1 + twice):
            self.views[number].routing.settle(grant, verdict, self.now, response_time_s=0.5 if verdict is SUCCESS else None)

    @rule(seconds=st.sampled_from([0.5, 6.0, 25.0]))
    def wait(self, seconds: float) -> None:
        """Time passes."""
        self.now += seconds

    @invariant()
    def nothing_is_lost(self) -> None:
        """Each view sees the calls at the places that it knows, whoever began them."""
        for number, view in enumerate(getattr(self, "views", [])):
            for shown in view.routing.describe(self.now):
                place = self.places[number][shown.name]
                at = sum(self.places[of][grant.upstream] == place for of, grant in self.running)
                assert (shown.in_use, shown.pending) == (at, at)

    def teardown(self) -> None:
        """When all has ended, nothing is in use, and whoever waits long enough is let through everywhere."""
        while getattr(self, "running", []):
            self.settle(0, FAILURE, False)
            self.nothing_is_lost()
        for view in getattr(self, "views", []):
            for name in view.names:
                view.call(name, SUCCESS, self.now + 50.0)


TestSuccession = SuccessionMachine.TestCase
