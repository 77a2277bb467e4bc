"""Admission: slots are never overdrawn and never lost, the urgent go first, and who would wait too long is told at once."""

from typing import Any

import pytest
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, precondition, rule

from sidecar.config import Limits, Queue, Settings, Upstream
from sidecar.core.admit.admission import Admission
from sidecar.core.admit.queue import Shed, Ticket

LOW, MEDIUM, HIGH = range(3)
NEVER = float("inf")


def make_admission(
    *, a: int = 2, b: int = 2, total: int | None = None, size: int = 1000, wait: float = 3.0, adaptive: bool = False
) -> Admission:
    """Return an admission to two upstreams, with what is told by `wake` in `woken`."""
    upstreams = {
        "a": Upstream("http://a.test", concurrency=a, adaptive_concurrency=adaptive),
        "b": Upstream("http://b.test", connections=b),
    }
    return Admission(Settings(upstreams=upstreams, limits=Limits(concurrency=total), queue=Queue(size, wait)))


def listen(admission: Admission) -> list[Ticket]:
    """Return a list that grows by each ticket that is woken."""
    woken: list[Ticket] = []
    admission.wake = woken.append
    return woken


def fill(admission: Admission, upstream: str, now: float = 0.0) -> int:
    """Take all slots there are; return how many."""
    count = 0
    while admission.has_room(upstream):
        admission.take(upstream, now)
        count += 1
    return count


def teach(admission: Admission, upstream: str, held_s: float) -> None:
    """Let a few hundred calls end before the time 0, each after `held_s`."""
    count = min(admission.limit(upstream), 10)
    for number in range(400, 0, -1):
        for _ in range(count):
            admission.take(upstream, -number * held_s - held_s)
        for _ in range(count):
            admission.release(upstream, -number * held_s)


def wait_in(admission: Admission, upstreams: str = "a", urgency: int = MEDIUM, now: float = 0.0, deadline_at: float = NEVER) -> Ticket:
    """Return a ticket that waits."""
    ticket = admission.enqueue(tuple(upstreams), urgency, now, deadline_at)
    assert isinstance(ticket, Ticket)
    return ticket


def names(ticket: Ticket) -> tuple[str, ...]:
    """Return the upstreams that a ticket can use."""
    return tuple(slots.name for slots in ticket.line)


def refused(admission: Admission, upstreams: str = "a", urgency: int = MEDIUM, now: float = 0.0, deadline_at: float = NEVER) -> Shed:
    """Return what one is told who is turned away at once."""
    shed = admission.enqueue(tuple(upstreams), urgency, now, deadline_at)
    assert isinstance(shed, Shed)
    return shed


def test_the_limit_is_the_concurrency_or_else_the_connections() -> None:
    """Each upstream has its own."""
    admission = make_admission(a=3, b=5)
    assert (admission.limit("a"), admission.limit("b")) == (3, 5)
    assert (fill(admission, "a"), fill(admission, "b")) == (3, 5)
    assert (admission.in_use("a"), admission.in_use("b")) == (3, 5)
    admission.release("a", 1.0)
    assert admission.has_room("a")
    assert not admission.has_room("b")


def test_the_total_holds_for_all_together() -> None:
    """What one upstream has taken the other cannot; what comes free at one may be used at the other."""
    admission = make_admission(a=3, b=5, total=4)
    assert (fill(admission, "b"), fill(admission, "a")) == (4, 0)
    ticket = wait_in(admission)
    assert admission.release("b", 1.0) is ticket
    assert ticket.upstream == "a"
    assert (admission.in_use("a"), admission.in_use("b")) == (1, 3)
    assert not admission.has_room("a")


def test_a_freed_slot_goes_to_the_first_who_can_use_it() -> None:
    """It is reserved in the same moment, and whoever got it is told."""
    admission = make_admission()
    woken = listen(admission)
    fill(admission, "a")
    fill(admission, "b")
    for_b, low, high, either = (
        wait_in(admission, "b"), wait_in(admission, "a", LOW), wait_in(admission, "a", HIGH), wait_in(admission, "ab")
    )  # fmt: skip
    assert admission.queued() == 4
    assert [admission.release("a", 1.0) for _ in range(3)] == [high, either, low]
    assert woken == [high, either, low]
    assert (admission.in_use("a"), admission.queued()) == (2, 1)
    assert for_b.upstream is None
    assert admission.release("b", 2.0) is for_b
    assert admission.release("a", 2.0) is None


def test_where_there_is_room_nobody_waits() -> None:
    """A ticket has its slot at once if a slot came free between looking and asking."""
    admission = make_admission()
    fill(admission, "a")
    ticket = wait_in(admission, "ab")
    assert (ticket.upstream, admission.in_use("b"), admission.queued()) == ("b", 1, 0)


def test_leaving() -> None:
    """Who leaves is not served; who was served in the same moment passes the slot on; nobody leaves twice."""
    admission = make_admission(a=1)
    fill(admission, "a")
    first, second, third = wait_in(admission), wait_in(admission), wait_in(admission)
    admission.leave(first, 0.5)
    assert admission.release("a", 1.0) is second
    admission.leave(second, 1.0)
    assert (third.upstream, admission.in_use("a"), admission.queued()) == ("a", 1, 0)
    for ticket in (first, second):
        admission.leave(ticket, 1.0)
    assert admission.in_use("a") == 1
    admission.leave(third, 1.0)
    assert admission.in_use("a") == 0


def test_before_anything_is_measured_only_the_size_counts() -> None:
    """Who comes first is not turned away by a guess."""
    admission = make_admission(size=50, wait=3.0)
    fill(admission, "a")
    for _ in range(50):
        wait_in(admission)
    shed = refused(admission)
    assert (shed.reason, shed.retry_after_s) == ("queue_full", 3.0)


def test_who_would_wait_too_long_is_refused_at_once() -> None:
    """Two slots of 100 ms: 20 calls a second, of which 3 s hold 60, a fifth of them kept in reserve."""
    admission = make_admission(wait=3.0)
    teach(admission, "a", 0.1)
    fill(admission, "a")
    waiting = 0
    while isinstance(said := admission.enqueue(("a",), MEDIUM, 0.0, NEVER), Ticket):
        waiting += 1
    assert waiting == 48
    assert said.reason == "too_long"
    assert said.retry_after_s == pytest.approx(2.45, rel=0.01)


def test_what_counts_is_also_the_time_that_the_caller_has() -> None:
    """Who must have an answer in half a second does not wait for a second."""
    admission = make_admission()
    teach(admission, "a", 0.1)
    fill(admission, "a")
    for _ in range(12):
        wait_in(admission)
    assert refused(admission, deadline_at=0.5).reason == "too_long"
    assert wait_in(admission, deadline_at=1.0).gives_up_at == 1.0
    assert refused(admission, deadline_at=0.0).retry_after_s == 1.0
    assert refused(admission, deadline_at=-1.0).reason == "too_long"


def test_a_burst_upon_an_idle_upstream_is_not_refused() -> None:
    """One call a minute was all there was; the fifty that come at once need a quarter of a second on twenty slots."""
    admission = make_admission(a=20)
    for number in range(60):
        admission.take("a", number * 60.0)
        admission.release("a", number * 60.0 + 0.1)
    fill(admission, "a", 4000.0)
    for _ in range(50):
        wait_in(admission, now=4000.0)


def test_after_a_burst_the_next_one_is_met_as_well() -> None:
    """What was refused in a burst says nothing about the time after it."""
    admission = make_admission(a=20)
    for start in (0.0, 10.0, 20.0):
        fill(admission, "a", start)
        waiting = [admission.enqueue(("a",), MEDIUM, start, NEVER) for _ in range(700)]
        kept = sum(isinstance(said, Ticket) for said in waiting)
        assert kept == (700 if start == 0 else pytest.approx(480, abs=2))  # at first nothing is known but the size
        now = start
        while admission.in_use("a"):
            now += 0.1
            for _ in range(admission.in_use("a")):
                admission.release("a", now)
        assert now - start <= (3.7 if start == 0 else 3.0)


def test_when_to_come_again_is_between_a_second_and_a_minute() -> None:
    """A short wait is rounded up, and one that nobody can foresee is cut."""
    admission = make_admission()
    teach(admission, "a", 0.1)
    fill(admission, "a")
    assert admission.retry_after_s(("a",), MEDIUM, 0.0) == 1.0
    assert admission.retry_after_s(("a",), MEDIUM, 30.0) == pytest.approx(15.0)
    assert admission.retry_after_s(("a",), MEDIUM, 1e6) == 60.0


def test_low_urgency_is_shed_first() -> None:
    """In a full queue the last of the least urgent makes room for a more urgent one, and is told why."""
    admission = make_admission(size=3)
    woken = listen(admission)
    fill(admission, "a")
    first_low, last_low, medium = wait_in(admission, urgency=LOW), wait_in(admission, urgency=LOW), wait_in(admission)
    assert refused(admission, urgency=LOW).reason == "queue_full"
    high = wait_in(admission, urgency=HIGH)
    assert woken == [last_low]
    assert last_low.shed is not None
    assert (last_low.shed.reason, last_low.upstream) == ("queue_full", None)
    assert wait_in(admission).upstream is None
    assert woken == [last_low, first_low]
    assert refused(admission).reason == "queue_full"
    assert admission.queued() == 3
    assert [admission.release("a", 1.0), admission.release("a", 1.0)] == [high, medium]


def test_the_urgent_expect_less() -> None:
    """Only those who go first count: where a low one is refused, a high one waits."""
    admission = make_admission()
    teach(admission, "a", 0.1)
    fill(admission, "a")
    while isinstance(admission.enqueue(("a",), LOW, 0.0, NEVER), Ticket):
        pass
    assert refused(admission, urgency=LOW).reason == "too_long"
    for _ in range(20):
        wait_in(admission, urgency=HIGH)


def test_a_pool_drains_as_fast_as_all_of_it() -> None:
    """Two upstreams free slots for one line; one that has not been measured counts as the other does."""
    admission = make_admission(a=2, b=2)
    teach(admission, "a", 0.1)
    fill(admission, "a")
    fill(admission, "b")
    waiting = 0
    while isinstance(admission.enqueue(("a", "b"), MEDIUM, 0.0, NEVER), Ticket):
        waiting += 1
    assert waiting == 96


def test_of_a_line_that_others_drain_too_only_a_share_stands_before_one() -> None:
    """Forty wait for either of two upstreams: to one who can use only one of them that is as twenty."""
    admission = make_admission(a=2, b=2)
    teach(admission, "a", 0.1)
    teach(admission, "b", 0.1)
    fill(admission, "a")
    fill(admission, "b")
    for _ in range(40):
        wait_in(admission, "ab")
    waiting = 0
    while isinstance(admission.enqueue(("b",), MEDIUM, 0.0, NEVER), Ticket):
        waiting += 1
    assert waiting == 48 - 20


def test_the_total_has_its_own_wait() -> None:
    """Where only the limit of all together is met, all who wait are before the new one, and all slots free it."""
    admission = make_admission(a=10, b=10, total=2, wait=1.0)
    teach(admission, "a", 0.1)
    fill(admission, "b")
    waiting = 0
    while isinstance(admission.enqueue(("a",) if waiting % 2 else ("b",), MEDIUM, 0.0, NEVER), Ticket):
        waiting += 1
    assert waiting == pytest.approx(16, abs=1)


def test_a_limit_that_grows_lets_waiters_in() -> None:
    """First tokens that come as fast as ever are the sign that more is possible: not only those who come later profit."""
    admission = make_admission(a=100, adaptive=True)
    woken = listen(admission)
    assert fill(admission, "a") == 20
    tickets = [wait_in(admission) for _ in range(30)]
    now = 0.0
    for _ in range(40):
        now += 0.05
        admission.note_first_token("a", 0.1, now)
    assert admission.limit("a") > 25
    assert woken == tickets[: admission.in_use("a") - 20]
    assert admission.in_use("a") == min(admission.limit("a"), 50)


def test_first_tokens_change_no_fixed_limit() -> None:
    """Without adaptive concurrency nothing is learnt."""
    admission = make_admission(b=7)
    for number in range(1000):
        admission.note_first_token("b", number * 1.0, number * 1.0)
    assert admission.limit("b") == 7


class AdmissionMachine(RuleBasedStateMachine):
    """Any order of calls, waits, ends, departures and first tokens, beside a plain account of them."""

    @initialize(total=st.sampled_from([None, 3, 5]), size=st.sampled_from([0, 2, 6, 1000]), adaptive=st.booleans())
    def begin(self, total: int | None, size: int, adaptive: bool) -> None:
        """Start with nothing in use."""
        self.admission = make_admission(a=25 if adaptive else 3, b=2, total=total, size=size, adaptive=adaptive)
        self.woken = listen(self.admission)
        self.total, self.size, self.now = total, size, 0.0
        self.held: list[str] = []
        self.waiting: list[Ticket] = []

    def collect(self) -> None:
        """Account for those who were woken: what they got is held, and nobody is woken twice."""
        for ticket in self.woken:
            assert ticket in self.waiting, "woken twice, or after it had left"
            self.waiting.remove(ticket)
            assert (ticket.upstream is None) != (ticket.shed is None)
            if ticket.upstream is not None:
                assert ticket.upstream in names(ticket)
                self.held.append(ticket.upstream)
        self.woken.clear()

    def check_order(self, before: list[Ticket]) -> None:
        """Of those who could have used what somebody got, nobody was more urgent or, as urgent, there before."""
        for ticket in self.woken:
            if ticket.upstream is None:
                continue
            for other in self.waiting:
                if other in before and other not in self.woken and ticket.upstream in names(other):
                    assert (-other.urgency, other.number) > (-ticket.urgency, ticket.number), "a less urgent or later one was preferred"

    @rule(seconds=st.sampled_from([0.0, 0.01, 0.2, 1.0, 5.0]))
    def pass_time(self, seconds: float) -> None:
        """Time passes; those whose patience is over leave."""
        self.now += seconds
        for ticket in [ticket for ticket in self.waiting if ticket.gives_up_at <= self.now]:
            self.admission.leave(ticket, self.now)
            self.waiting.remove(ticket)
            self.collect()

    @rule(upstream=st.sampled_from(["a", "b"]), count=st.integers(1, 4))
    def take(self, upstream: str, count: int) -> None:
        """Calls begin where there is room."""
        for _ in range(count):
            if self.admission.has_room(upstream):
                self.admission.take(upstream, self.now)
                self.held.append(upstream)

    @rule(
        upstreams=st.sampled_from([("a",), ("b",), ("a", "b"), ("b", "a")]), urgency=st.integers(0, 2),
        patience_s=st.sampled_from([-1.0, 0.5, 2.0, NEVER]), count=st.integers(1, 4),
    )  # fmt: skip
    def enqueue(self, upstreams: tuple[str, ...], urgency: int, patience_s: float, count: int) -> None:
        """Calls want to wait."""
        for _ in range(count):
            room = any(map(self.admission.has_room, upstreams))
            said = self.admission.enqueue(upstreams, urgency, self.now, self.now + patience_s)
            for ticket in self.woken:
                assert ticket.shed is not None
                assert ticket.urgency < urgency, "one as urgent was turned away"
            self.collect()
            assert room == (isinstance(said, Ticket) and said.upstream is not None)
            if isinstance(said, Shed):
                assert said.retry_after_s >= 1
            elif said.upstream is not None:
                self.held.append(said.upstream)
            else:
                self.waiting.append(said)

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        """A call ends."""
        upstream = self.held.pop(which % len(self.held))
        before = list(self.waiting)
        given = self.admission.release(upstream, self.now)
        assert self.woken == ([] if given is None else [given])
        self.check_order(before)
        self.collect()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        """A waiter leaves, and may say so twice."""
        ticket = self.waiting.pop(which % len(self.waiting))
        self.admission.leave(ticket, self.now)
        self.admission.leave(ticket, self.now)
        self.collect()

    @precondition(lambda self: self.waiting and self.held)
    @rule(which=st.integers(0, 99))
    def leave_when_woken(self, which: int) -> None:
        """A waiter is given a slot and leaves in the same moment: the slot is passed on."""
        upstream = self.held.pop(which % len(self.held))
        given = self.admission.release(upstream, self.now)
        if given is not None:
            self.woken.remove(given)
            self.waiting.remove(given)
            self.admission.leave(given, self.now)
        self.collect()

    @rule(ttft_s=st.sampled_from([0.0, 0.1, 0.1, 3.0]), count=st.integers(1, 30))
    def first_tokens(self, ttft_s: float, count: int) -> None:
        """The limit moves."""
        for _ in range(count):
            self.now += 0.03
            self.admission.note_first_token("a", ttft_s, self.now)
            self.collect()

    @invariant()
    def nothing_is_lost(self) -> None:
        """The account and the admission agree, no limit is passed, and nobody waits who could call."""
        for name in ("a", "b"):
            assert self.admission.in_use(name) == self.held.count(name)
            assert self.admission.in_use(name) <= self.admission.limit(name)
        assert self.total is None or len(self.held) <= self.total
        assert self.admission.queued() == len(self.waiting) <= self.size
        for ticket in self.waiting:
            assert not any(map(self.admission.has_room, names(ticket))), "forgotten"

    def teardown(self) -> None:
        """When all has ended, everything is free and nobody waits."""
        if not hasattr(self, "held"):
            return
        while self.held:
            self.release(0)
        assert self.waiting == []


TestAdmission = AdmissionMachine.TestCase


def settings_of(limits: dict[str, int], *, total: int | None = None, size: int = 1000, wait: float = 3.0) -> Settings:
    """Return settings with these upstreams, each with its limit."""
    upstreams = {name: Upstream(f"http://{name}.test", concurrency=limit) for name, limit in limits.items()}
    return Settings(upstreams=upstreams, limits=Limits(concurrency=total), queue=Queue(size, wait))


def succeed(admission: Admission, limits: dict[str, int], kept: str = "ab", **more: Any) -> Admission:
    """Return the view of these settings."""
    return admission.succeed(settings_of(limits, **more), frozenset(kept), 1.0)


def test_a_lower_limit_is_reached_as_calls_end() -> None:
    """Nobody loses a slot, and nobody gets one before enough are free."""
    admission = make_admission(a=4)
    fill(admission, "a")
    after = succeed(admission, {"a": 2, "b": 2})
    assert (after.limit("a"), after.in_use("a")) == (2, 4)
    waiting = wait_in(after)
    for _ in range(2):
        assert admission.release("a", 2.0) is None
        assert not after.has_room("a")
    assert admission.release("a", 2.0) is waiting
    assert after.in_use("a") == 2


def test_a_higher_limit_lets_waiters_in_at_once() -> None:
    """Those who came first, under whatever settings."""
    admission = make_admission(a=1)
    woken = listen(admission)
    fill(admission, "a")
    tickets = [wait_in(admission) for _ in range(3)]
    after = succeed(admission, {"a": 3, "b": 2})
    assert woken == tickets[:2]
    assert (after.in_use("a"), after.queued(), admission.queued()) == (3, 1, 1)


def test_another_place_of_the_same_name_begins_with_nothing_in_use() -> None:
    """What calls give back that began at the one before, is given back there, and who waits for that one gets no slot of the other."""
    admission = make_admission(a=1)
    fill(admission, "a")
    old = wait_in(admission)
    after = succeed(admission, {"a": 2}, kept="")
    assert (after.in_use("a"), old.upstream) == (0, None)
    assert fill(after, "a") == 2
    new = wait_in(after)
    assert admission.release("a", 2.0) is old
    assert after.release("a", 2.0) is new
    assert (admission.in_use("a"), after.in_use("a")) == (1, 2)


def test_who_is_gone_is_there_for_calls_that_know_it() -> None:
    """They may begin there, wait there, and give back what they had; the others know no such name."""
    admission = make_admission()
    after = succeed(admission, {"b": 2}, kept="b")
    assert fill(admission, "a") == 2
    ticket = wait_in(admission)
    assert admission.release("a", 2.0) is ticket
    with pytest.raises(KeyError):
        after.has_room("a")


def test_a_total_counts_the_calls_that_began_without_one() -> None:
    """And without one again, none of them is missed when it ends."""
    admission = make_admission()
    fill(admission, "a")
    limited = succeed(admission, {"a": 5, "b": 5}, total=3)
    assert fill(limited, "b") == 1
    free = succeed(limited, {"a": 5, "b": 5})
    assert fill(free, "b") == 4
    again = succeed(free, {"a": 5, "b": 5}, total=6)
    assert not again.has_room("a")
    for view, name in ((admission, "a"), (limited, "b")):
        view.release(name, 2.0)
        assert again.has_room("a") == (name == "b")


def test_the_queue_follows_its_settings() -> None:
    """Who waits already stays, though there are more of them than there may be."""
    admission = make_admission(a=1)
    fill(admission, "a")
    early = [wait_in(admission) for _ in range(3)]
    after = succeed(admission, {"a": 1, "b": 2}, size=2, wait=9.0)
    assert refused(after).reason == "queue_full"
    assert [admission.release("a", 2.0) for _ in range(2)] == early[:2]
    assert wait_in(after, now=2.0).gives_up_at == 11.0


def test_adaptive_concurrency_is_switched_while_calls_run() -> None:
    """On: it begins to find out. Off: the configured limit holds. With another limit: within that."""
    admission = make_admission(a=100)
    fill(admission, "a")

    def view(limit: int, adaptive: bool) -> Admission:
        upstreams = {"a": Upstream("http://a.test", concurrency=limit, adaptive_concurrency=adaptive)}
        return admission.succeed(Settings(upstreams=upstreams), frozenset("a"), 1.0)

    assert (view(100, True).limit("a"), view(8, True).limit("a"), view(50, True).limit("a"), view(60, False).limit("a")) == (20, 8, 8, 60)
    assert admission.in_use("a") == 100


class GenerationsMachine(RuleBasedStateMachine):
    """Any order of calls, waits and new settings: calls go on under the settings that they began with, however long ago."""

    @initialize()
    def begin(self) -> None:
        """Start with one set of settings."""
        limits = {"a": 2, "b": 1}
        self.views = [Admission(settings_of(limits))]
        self.places = [{name: (name, 0) for name in limits}]  # what a name stands for, in each view
        self.limits: dict[tuple[str, int], int] = {("a", 0): 2, ("b", 0): 1}
        self.woken = listen(self.views[0])
        self.total: int | None = None
        self.now = 0.0
        self.held: list[tuple[int, str]] = []  # the number of the view, and the name in it
        self.waiting: list[tuple[int, Ticket]] = []

    def collect(self) -> None:
        """Account for those who were woken."""
        for ticket in self.woken:
            [number] = [number for number, waiting in self.waiting if waiting is ticket]
            self.waiting.remove((number, ticket))
            assert ticket.upstream in names(ticket)
            self.held.append((number, ticket.upstream or ""))
        self.woken.clear()

    def count(self, place: tuple[str, int]) -> int:
        """Return how many calls are at a place."""
        return sum(self.places[number][name] == place for number, name in self.held)

    @rule(
        limits=st.dictionaries(st.sampled_from("abc"), st.integers(1, 4), min_size=1), moved=st.sets(st.sampled_from("abc")),
        total=st.sampled_from([None, None, 2, 4]),
    )  # fmt: skip
    def adopt(self, limits: dict[str, int], moved: set[str], total: int | None) -> None:
        """New settings come, in which some names stand for another place, some are gone and some are new."""
        known, number = self.places[-1], len(self.views)
        kept = frozenset(name for name in limits if name in known and name not in moved)
        self.now += 1
        self.views.append(self.views[-1].succeed(settings_of(limits, total=total), kept, self.now))
        self.places.append({name: known[name] if name in kept else (name, number) for name in limits})
        self.limits.update({self.places[-1][name]: limit for name, limit in limits.items()})
        self.total = total
        self.collect()

    @rule(back=st.integers(0, 3), which=st.integers(0, 2), waits=st.booleans(), count=st.integers(1, 3))
    def call(self, back: int, which: int, waits: bool, count: int) -> None:
        """Calls begin, under these settings or earlier ones; where there is no room they wait, or do not."""
        number = max(0, len(self.views) - 1 - back)
        view, upstreams = self.views[number], tuple(self.places[number])
        for _ in range(count):
            name = upstreams[which % len(upstreams)]
            if view.try_take(name, self.now):
                self.held.append((number, name))
                assert self.count(self.places[number][name]) <= self.limits[self.places[number][name]], "one slot too many was given"
                assert self.total is None or len(self.held) <= self.total
            elif waits:
                said = view.enqueue(upstreams, MEDIUM, self.now, NEVER)
                if isinstance(said, Ticket) and said.upstream is not None:
                    self.held.append((number, said.upstream))
                elif isinstance(said, Ticket):
                    self.waiting.append((number, said))

    @precondition(lambda self: self.held)
    @rule(which=st.integers(0, 99))
    def release(self, which: int) -> None:
        """A call ends, whenever it began."""
        number, name = self.held.pop(which % len(self.held))
        self.now += 0.1
        self.views[number].release(name, self.now)
        self.collect()

    @precondition(lambda self: self.waiting)
    @rule(which=st.integers(0, 99))
    def leave(self, which: int) -> None:
        """A waiter leaves."""
        number, ticket = self.waiting.pop(which % len(self.waiting))
        self.views[number].leave(ticket, self.now)
        self.collect()

    @invariant()
    def nothing_is_lost(self) -> None:
        """Every view agrees with the account, and nobody waits who could call."""
        for number, view in enumerate(getattr(self, "views", [])):
            for name, place in self.places[number].items():
                assert view.in_use(name) == self.count(place)
            assert view.queued() == len(self.waiting)
        for number, ticket in getattr(self, "waiting", []):
            assert not any(map(self.views[number].has_room, names(ticket))), "forgotten"

    def teardown(self) -> None:
        """When all has ended, everything is free and nobody waits."""
        while getattr(self, "held", []):
            self.release(0)
            self.nothing_is_lost()
        assert not getattr(self, "waiting", [])


TestGenerations = GenerationsMachine.TestCase
