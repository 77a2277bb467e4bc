"""One breaker, against a model that remembers everything, and case by case."""

import random
from collections.abc import Iterator
from dataclasses import replace

import pytest
from hypothesis import settings as hypothesis_settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, initialize, invariant, rule

from sidecar.config import Breaker as BreakerSettings
from sidecar.config import Force
from sidecar.core.choose.breaker import Breaker, Counts, Permit
from sidecar.core.choose.transitions import REASONS, TRANSITIONS, State, Transition
from sidecar.core.choose.verdicts import Verdict
from tests.core.choose.breaker_model import BreakerModel, Lent

CLOSED, HALF_OPEN, OPEN = State.CLOSED, State.HALF_OPEN, State.OPEN
SUCCESS, FAILURE, SLOW, IGNORED = Verdict.SUCCESS, Verdict.FAILURE, Verdict.SLOW, Verdict.IGNORED
DRAWS = (0.0, 0.75, 0.25, 0.9375)
# Small numbers, so that fifty steps go round many times. Shares that floating point cannot hold are among them on purpose.
KINDS = st.builds(
    BreakerSettings,
    consecutive=st.integers(1, 6),
    error_share=st.sampled_from([0.1, 0.3, 0.5, 0.7, 1.0]),
    calls_min=st.integers(1, 6),
    window=st.sampled_from([0.7, 8.0, 10.0, 60.0]),
    slow_share=st.sampled_from([0.3, 0.6, 1.0]),
    open=st.sampled_from([1.0, 4.0]),
    open_max=st.sampled_from([4.0, 10.0, 30.0]),
    probes=st.integers(1, 3),
    successes=st.integers(1, 4),
)
VERDICTS = st.sampled_from([SUCCESS, SUCCESS, FAILURE, FAILURE, SLOW, IGNORED])
# What upstreams do: this and that, or one and the same for a while.
RUNS = st.lists(VERDICTS, min_size=1, max_size=8) | st.builds(lambda verdict, times: [verdict] * times, VERDICTS, st.integers(2, 8))
HELD = st.sampled_from([Force.OPEN, Force.CLOSED, Force.DISABLED])


class BreakerMachine(RuleBasedStateMachine):
    """Any interleaving of calls, results, probes, forces and time."""

    @initialize(kind=KINDS, force=st.just(Force.AUTO) | st.sampled_from(Force), began=st.integers(0, 2**30))
    def begin(self, kind: BreakerSettings, force: Force, began: int) -> None:
        """Make the two, equal."""
        self.now = began / 64
        self.told: list[Transition] = []
        self.lent: list[tuple[Permit, Lent]] = []
        mine, theirs = iter(DRAWS * 200), iter(DRAWS * 200)
        self.breaker = Breaker("up", "default", kind, force, lambda: next(mine), self.told.append)
        self.model = BreakerModel(kind, force, lambda: next(theirs))

    def acquire(self) -> bool:
        """Somebody wants to call."""
        permit, lent = self.breaker.acquire(self.now), self.model.acquire(self.now)
        assert (permit is None) == (lent is None)
        if permit is None or lent is None:
            return False
        assert permit.is_probe == (lent.spell.state is HALF_OPEN)
        self.lent.append((permit, lent))
        return True

    def settle(self, which: int, verdict: Verdict) -> None:
        """One of the calls in progress ends."""
        permit, lent = self.lent.pop(which)
        self.breaker.settle(permit, verdict, self.now)
        self.model.settle(lent, verdict, self.now)

    @rule(callers=st.integers(1, 5))
    def begin_calls(self, callers: int) -> None:
        """Some want to call at once."""
        for _ in range(callers):
            self.acquire()

    @rule(which=st.integers(0, 2**16), verdicts=RUNS)
    def end_calls(self, which: int, verdicts: list[Verdict]) -> None:
        """Calls end, in any order: ones that were let through three states ago, too."""
        for verdict in verdicts[: len(self.lent)]:
            self.settle(which % len(self.lent), verdict)

    @rule(verdicts=RUNS)
    def call(self, verdicts: list[Verdict]) -> None:
        """Calls one after the other."""
        for verdict in verdicts:
            if self.acquire():
                self.settle(-1, verdict)

    @rule(verdicts=RUNS)
    def fail_and_come_back(self, verdicts: list[Verdict]) -> None:
        """As many failures as open any, then calls as soon as its time is over."""
        self.call([FAILURE] * 6)
        self.wait_for_the_open_time()
        self.call(verdicts)

    @rule(force=HELD, verdicts=RUNS, released=st.booleans())
    def hold(self, force: Force, verdicts: list[Verdict], released: bool) -> None:
        """An operator holds it for a while: calls that were on their way and calls that come end in the meantime."""
        self.force(force)
        self.call(verdicts)
        self.end_calls(0, verdicts)
        if released:
            self.force(Force.AUTO)

    @rule(passed=st.integers(1, 64 * 40))
    def wait(self, passed: int) -> None:
        """Time passes."""
        self.now += passed / 64

    @rule()
    def wait_for_the_open_time(self) -> None:
        """Exactly as long as one is told to."""
        self.now += self.breaker.retry_after_s(self.now)

    @rule()
    def wait_for_the_next_bucket(self) -> None:
        """To an edge of the window's buckets, or within a rounding of it."""
        width = self.model.settings.window / 10
        self.now = max(self.now, (self.now // width + 1) * width)

    @rule(succeeded=st.booleans())
    def probe(self, succeeded: bool) -> None:
        """An active probe comes back."""
        self.breaker.note_probe(succeeded, self.now)
        self.model.note_probe(succeeded, self.now)

    @rule(force=st.just(Force.AUTO) | st.sampled_from(Force))
    def force(self, force: Force) -> None:
        """An operator says something."""
        self.breaker.force(force, self.now)
        self.model.force(force, self.now)

    @rule(kind=KINDS)
    def adopt(self, kind: BreakerSettings) -> None:
        """Other settings come, in the middle of whatever it is: the state stays, and what was counted."""
        settings = self.model.settings
        self.model.settings = replace(kind, window=settings.window, open=settings.open, open_max=settings.open_max)
        self.breaker.adopt(self.model.settings, self.now)

    @invariant()
    def is_as_the_model(self) -> None:
        """Whatever can be seen of one is what is seen of the other, now and as foreseen; looking changes nothing."""
        if not hasattr(self, "model"):
            return
        assert [(t.at, t.before, t.after, t.reason) for t in self.told] == self.model.told
        for now in (self.now + 7.0, self.now):
            assert self.breaker.state(now) is self.model.state(now)
            assert self.breaker.admits(now) == self.model.admits(now)
            assert self.breaker.counts(now) == self.model.counts(now)
        until = self.model.spell.until
        if until is not None:
            assert self.breaker.retry_after_s(self.now) == max(0.0, until - self.now)
            assert until - self.model.spell.began >= self.model.settings.open * (1 - 1e-9)


TestBreakerMachine = BreakerMachine.TestCase
# As many runs as of everything else by default; 10,000 with HYPOTHESIS_PROFILE=deep.
EXAMPLES = hypothesis_settings().max_examples
TestBreakerMachine.settings = hypothesis_settings(max_examples=EXAMPLES if EXAMPLES < 5_000 else 10_000, stateful_step_count=50)


class Bench:
    """A breaker and what it has told."""

    def __init__(self, force: Force = Force.AUTO, draw: float = 0.0, **given: object) -> None:
        kind = {"consecutive": 5, "calls_min": 10, "window": 10.0, "open": 4.0, "open_max": 60.0, "probes": 3, "successes": 3} | given
        self.told: list[Transition] = []
        self.breaker = Breaker("up", "default", BreakerSettings(**kind), force, lambda: draw, self.told.append)  # type: ignore[arg-type]

    def call(self, *verdicts: Verdict, now: float) -> None:
        """Make calls one after the other, each of which is let through."""
        for verdict in verdicts:
            permit = self.breaker.acquire(now)
            assert permit is not None
            self.breaker.settle(permit, verdict, now)

    def take(self, now: float) -> Permit:
        """Acquire a permit that is given."""
        permit = self.breaker.acquire(now)
        assert permit is not None
        return permit

    def open(self, now: float) -> float:
        """Let it fail until it opens; return when it may be asked again."""
        self.call(*[FAILURE] * 5, now=now)
        assert self.breaker.state(now) is OPEN
        return now + self.breaker.retry_after_s(now)

    @property
    def moves(self) -> list[tuple[State, State, str]]:
        """What it has told, without times."""
        return [(transition.before, transition.after, transition.reason) for transition in self.told]


def test_failures_in_a_row_open_it_at_the_last_of_them() -> None:
    """Not at one fewer, and a success in between begins the count anew."""
    bench = Bench()
    bench.call(*[FAILURE] * 4, SUCCESS, *[FAILURE] * 4, now=1.0)
    assert bench.breaker.state(1.0) is CLOSED
    bench.call(FAILURE, now=2.0)
    assert bench.told == [Transition(2.0, "up", "default", CLOSED, OPEN, "consecutive_failures")]


def test_the_share_opens_it_exactly_at_the_limit() -> None:
    """55 of 100 are 0.55, which floating point would miss by multiplication; 54 of 99 are not."""
    bench = Bench(consecutive=100, calls_min=1, error_share=0.55)
    bench.call(*[SUCCESS] * 45, *[FAILURE] * 54, now=1.0)
    assert bench.breaker.state(1.0) is CLOSED
    bench.call(FAILURE, now=1.0)
    assert bench.moves == [(CLOSED, OPEN, "error_share")]


def test_the_share_is_not_judged_below_the_volume() -> None:
    """All calls failing is not enough while they are fewer than calls_min."""
    bench = Bench(consecutive=100, calls_min=10)
    bench.call(*[FAILURE] * 9, now=1.0)
    assert bench.breaker.state(1.0) is CLOSED
    bench.call(FAILURE, now=1.0)
    assert bench.moves == [(CLOSED, OPEN, "error_share")]


def test_a_success_never_opens_it() -> None:
    """Not even the one that completes the volume; the next failure does."""
    bench = Bench()
    bench.call(*[FAILURE, FAILURE, SUCCESS] * 3, SUCCESS, now=1.0)
    assert bench.breaker.counts(1.0) == Counts(10, 6, 0, 0)
    assert bench.breaker.state(1.0) is CLOSED
    bench.call(FAILURE, now=1.0)
    assert bench.moves == [(CLOSED, OPEN, "error_share")]


def test_slow_calls_count() -> None:
    """A share of slow successes opens it, and each of them ends a row of failures."""
    bench = Bench(slow_share=0.5)
    bench.call(*[FAILURE] * 4, SLOW, SUCCESS, *[SLOW] * 3, now=1.0)
    assert bench.breaker.state(1.0) is CLOSED
    bench.call(SLOW, now=1.0)
    assert bench.moves == [(CLOSED, OPEN, "slow_share")]


def test_old_calls_leave_the_window() -> None:
    """What was nine failures of ten is one of eleven when the window has passed, and none is counted beyond it."""
    bench = Bench(consecutive=100, calls_min=10)
    bench.call(*[FAILURE] * 9, now=0.5)
    assert bench.breaker.counts(10.4) == Counts(0, 0, 0, 9)
    bench.call(*[SUCCESS] * 10, FAILURE, now=10.4)
    assert bench.breaker.counts(10.4) == Counts(11, 1, 0, 1)
    assert bench.breaker.state(10.4) is CLOSED


def test_an_open_one_lets_nothing_through() -> None:
    """Until its time is over to the moment; `admits` and `retry_after_s` say the same."""
    bench = Bench()
    until = bench.open(1.0)
    assert until == 5.0
    for now in (1.0, 3.0, 4.999):
        assert bench.breaker.acquire(now) is None
        assert not bench.breaker.admits(now)
        assert bench.breaker.retry_after_s(now) == pytest.approx(until - now)
    assert bench.breaker.admits(until) and bench.breaker.retry_after_s(until) == 0.0
    assert bench.take(until).is_probe


def test_looking_changes_nothing() -> None:
    """An open one whose time is over is shown as half-open, and has told of nothing until somebody asks for a permit."""
    bench = Bench()
    until = bench.open(1.0)
    for now in (until + 100.0, until):
        assert bench.breaker.state(now) is HALF_OPEN
        assert bench.breaker.admits(now)
    assert bench.breaker.state(1.5) is OPEN
    assert len(bench.told) == 1
    bench.take(until)
    assert bench.told[1:] == [Transition(until, "up", "default", OPEN, HALF_OPEN, "open_time_over")]


@pytest.mark.parametrize("probes", [1, 3, 7])
def test_half_open_admits_exactly_so_many(probes: int) -> None:
    """The next one is refused; a place that becomes free is given once."""
    bench = Bench(probes=probes, successes=1000)
    until = bench.open(1.0)
    permits = [bench.take(until) for _ in range(probes)]
    assert bench.breaker.acquire(until) is None and not bench.breaker.admits(until)
    bench.breaker.settle(permits[0], SUCCESS, until)
    assert bench.breaker.admits(until)
    bench.take(until)
    assert bench.breaker.acquire(until) is None


@pytest.mark.parametrize("seed", range(5))
def test_a_thousand_racers(seed: int) -> None:
    """However their steps interleave, three are let through at once, never four, and none is forgotten."""
    bench = Bench(probes=3, successes=10_000)
    until = bench.open(1.0)
    chance = random.Random(seed)
    inside, most, entered = 0, 0, 0

    def race() -> Iterator[None]:
        nonlocal inside, most, entered
        while (permit := bench.breaker.acquire(until)) is None:
            yield
        inside, entered = inside + 1, entered + 1
        most = max(most, inside)
        for _ in range(chance.randrange(4)):
            yield
        bench.breaker.settle(permit, chance.choice([SUCCESS, SLOW, IGNORED]), until)
        inside -= 1

    racers = [race() for _ in range(1000)]
    for _ in range(2_000):
        chance.shuffle(racers)
        racers = [racer for racer in racers if next(racer, 0) is None]
    assert (most, entered, inside) == (3, 1000, 0)


def test_of_a_thousand_at_once_three_get_in() -> None:
    """A crowd at the moment when the open time is over is refused but for the probes, and one transition is told."""
    bench = Bench(probes=3)
    until = bench.open(1.0)
    permits = [bench.breaker.acquire(until) for _ in range(1000)]
    assert sum(permit is not None for permit in permits) == 3
    assert len(bench.told) == 2


def test_a_probe_that_is_ignored_gives_its_place_back() -> None:
    """A caller that left says nothing, and locks nobody out."""
    bench = Bench(probes=1, successes=1)
    until = bench.open(1.0)
    for _ in range(20):
        bench.call(IGNORED, now=until)
    assert bench.breaker.state(until) is HALF_OPEN
    bench.call(SUCCESS, now=until)
    assert bench.breaker.state(until) is CLOSED


def test_a_probe_that_never_ends_gives_its_place_back() -> None:
    """After open_max another is let through; what becomes of the first still counts, but frees no second place."""
    bench = Bench(probes=1, successes=2)
    until = bench.open(1.0)
    first = bench.take(until)
    assert bench.breaker.acquire(until + 59.9) is None
    assert bench.breaker.admits(until + 60.0)
    second = bench.take(until + 60.0)
    bench.breaker.settle(first, SUCCESS, until + 61.0)
    assert bench.breaker.acquire(until + 61.0) is None
    bench.breaker.settle(second, SUCCESS, until + 62.0)
    assert bench.breaker.state(until + 62.0) is CLOSED


def test_enough_successes_close_it() -> None:
    """Three, in any order, and all that was counted before is forgotten."""
    bench = Bench()
    until = bench.open(1.0)
    permits = [bench.take(until) for _ in range(3)]
    for permit in reversed(permits):
        assert bench.breaker.state(until) is HALF_OPEN
        bench.breaker.settle(permit, SUCCESS, until)
    assert bench.moves[1:] == [(OPEN, HALF_OPEN, "open_time_over"), (HALF_OPEN, CLOSED, "enough_successes")]
    assert bench.breaker.counts(until) == Counts(0, 0, 0, 0)


@pytest.mark.parametrize(("slow", "after"), [(1, CLOSED), (2, OPEN), (3, OPEN)])
def test_slow_probes_are_judged_by_their_share(slow: int, after: State) -> None:
    """Too many slow ones among the successes open it again."""
    bench = Bench(slow_share=0.6)
    until = bench.open(1.0)
    bench.call(*[SLOW] * slow, *[SUCCESS] * (3 - slow), now=until)
    assert bench.breaker.state(until) is after


def test_each_opening_lasts_twice_as_long_up_to_a_cap() -> None:
    """One failed probe opens it again: 4, 8, 16, 32, 60, 60 seconds."""
    bench = Bench()
    now = bench.open(0.0)
    lasted = [now]
    for _ in range(5):
        bench.call(FAILURE, now=now)
        lasted.append(bench.breaker.retry_after_s(now))
        now += lasted[-1]
    assert lasted == [4.0, 8.0, 16.0, 32.0, 60.0, 60.0]
    assert bench.moves[-1] == (HALF_OPEN, OPEN, "probe_failed")


@pytest.mark.parametrize(("closed_s", "lasts_s"), [(59.0, 32.0), (60.0, 16.0), (120.0, 8.0), (180.0, 4.0), (10_000.0, 4.0)])
def test_long_open_times_are_forgotten(closed_s: float, lasts_s: float) -> None:
    """One doubling for each open_max that it has been closed."""
    bench = Bench()
    now = bench.open(0.0)
    for _ in range(2):
        bench.call(FAILURE, now=now)
        now += bench.breaker.retry_after_s(now)
    bench.call(*[SUCCESS] * 3, now=now)
    now += closed_s
    assert bench.open(now) - now == lasts_s


def test_no_more_is_forgotten_than_was_lengthened() -> None:
    """However often it opened at the cap, four doublings make the longest time, and four times open_max undo them."""
    bench = Bench()
    now = bench.open(0.0)
    for _ in range(20):
        bench.call(FAILURE, now=now)
        now += bench.breaker.retry_after_s(now)
    bench.call(*[SUCCESS] * 3, now=now)
    now += 240.0
    assert bench.open(now) - now == 4.0


@pytest.mark.parametrize(("draw", "lasts_s"), [(0.0, 4.0), (0.5, 4.2), (0.999, 4.3996)])
def test_jitter_only_lengthens(draw: float, lasts_s: float) -> None:
    """By less than a tenth."""
    assert Bench(draw=draw).open(0.0) == pytest.approx(lasts_s)


def test_never_shorter_than_asked_for() -> None:
    """An open_max below open does not shorten it."""
    assert Bench(open=4.0, open_max=1.0).open(0.0) == 4.0


def test_late_results_of_a_closed_one_change_nothing() -> None:
    """Calls that began before it opened neither close a half-open one nor open it again."""
    bench = Bench(probes=1, successes=1)
    late = [bench.take(0.5) for _ in range(30)]
    until = bench.open(1.0)
    probe = bench.take(until)
    for number, permit in enumerate(late[:20]):
        bench.breaker.settle(permit, FAILURE if number % 2 else SUCCESS, until)
    assert bench.breaker.state(until) is HALF_OPEN
    assert bench.breaker.acquire(until) is None  # no place was given back
    bench.breaker.settle(probe, SUCCESS, until)
    for permit in late[20:]:
        bench.breaker.settle(permit, FAILURE, until)
    assert bench.breaker.state(until) is CLOSED
    assert bench.breaker.counts(until) == Counts(0, 0, 0, 0)


def test_late_results_of_a_probe_change_nothing() -> None:
    """A probe of one half-open spell says nothing in the next."""
    bench = Bench(probes=2, successes=1)
    until = bench.open(1.0)
    late, failing = bench.take(until), bench.take(until)
    bench.breaker.settle(failing, FAILURE, until)
    again = until + bench.breaker.retry_after_s(until)
    assert bench.breaker.acquire(again) is not None
    bench.breaker.settle(late, SUCCESS, again)
    assert bench.breaker.state(again) is HALF_OPEN
    bench.take(again)
    assert bench.breaker.acquire(again) is None


def test_ignored_results_count_nothing() -> None:
    """Neither in the window nor in the row."""
    bench = Bench()
    bench.call(FAILURE, *[IGNORED] * 50, FAILURE, now=1.0)
    assert bench.breaker.counts(1.0) == Counts(2, 2, 0, 2)


@pytest.mark.parametrize("force", [Force.CLOSED, Force.DISABLED])
def test_forced_closed_never_opens(force: Force) -> None:
    """Whatever comes back; a closed one measures all the same, a disabled one does not."""
    bench = Bench(force)
    bench.call(*[FAILURE] * 50, *[SLOW] * 50, FAILURE, now=1.0)
    assert bench.breaker.state(1.0) is CLOSED and bench.told == []
    assert bench.breaker.counts(1.0) == (Counts(101, 51, 50, 1) if force is Force.CLOSED else Counts(0, 0, 0, 0))


def test_forced_open_never_closes() -> None:
    """Not by time, not by an active probe, not by calls that were already on their way."""
    bench = Bench()
    early = bench.take(0.0)
    bench.breaker.force(Force.OPEN, 1.0)
    bench.breaker.settle(early, SUCCESS, 2.0)
    bench.breaker.note_probe(True, 3.0)
    assert bench.breaker.acquire(1e9) is None and not bench.breaker.admits(1e9)
    assert bench.breaker.state(1e9) is OPEN
    assert bench.breaker.retry_after_s(1e9) == 60.0
    assert bench.moves == [(CLOSED, OPEN, "forced")]


def test_forced_open_from_the_start() -> None:
    """By configuration: open without a transition."""
    bench = Bench(Force.OPEN)
    assert bench.breaker.acquire(1e9) is None and bench.told == []


def test_force_takes_hold_of_any_state() -> None:
    """An open one is closed, a half-open one opened, and released ones are closed with nothing counted."""
    bench = Bench()
    until = bench.open(1.0)
    bench.breaker.force(Force.CLOSED, 2.0)
    bench.call(*[FAILURE] * 9, now=2.0)
    bench.breaker.force(Force.AUTO, 3.0)
    assert bench.breaker.counts(3.0) == Counts(0, 0, 0, 0)
    until = bench.open(4.0)
    bench.take(until)
    bench.breaker.force(Force.OPEN, until)
    bench.breaker.force(Force.DISABLED, until)
    bench.breaker.force(Force.OPEN, until)
    bench.breaker.force(Force.AUTO, until)
    assert bench.moves == [
        (CLOSED, OPEN, "consecutive_failures"),
        (OPEN, CLOSED, "forced"),
        (CLOSED, OPEN, "consecutive_failures"),
        (OPEN, HALF_OPEN, "open_time_over"),
        (HALF_OPEN, OPEN, "forced"),
        (OPEN, CLOSED, "forced"),
        (CLOSED, OPEN, "forced"),
        (OPEN, CLOSED, "released"),
    ]


def test_reset_clears_counters() -> None:
    """Closing by force and releasing begins anew: window, row and open time."""
    bench = Bench()
    now = bench.open(0.0)
    bench.call(FAILURE, now=now)
    assert bench.breaker.retry_after_s(now) == 8.0
    bench.breaker.force(Force.CLOSED, now)
    bench.breaker.force(Force.AUTO, now)
    bench.call(*[FAILURE] * 4, now=now)
    assert bench.breaker.state(now) is CLOSED
    bench.call(FAILURE, now=now)
    assert bench.breaker.retry_after_s(now) == 4.0


def test_the_same_force_again_changes_nothing() -> None:
    """What was counted stays, and nothing is told."""
    bench = Bench()
    bench.call(FAILURE, now=1.0)
    bench.breaker.force(Force.AUTO, 1.0)
    assert bench.breaker.counts(1.0) == Counts(1, 1, 0, 1) and bench.told == []


def test_an_active_probe_ends_the_open_time() -> None:
    """A success brings an open one to half-open at once; a failure, or a success in another state, changes nothing."""
    bench = Bench()
    bench.breaker.note_probe(True, 0.0)
    until = bench.open(1.0)
    bench.breaker.note_probe(False, 2.0)
    assert bench.breaker.acquire(2.0) is None
    bench.breaker.note_probe(True, 3.0)
    assert until > 3.0 and bench.take(3.0).is_probe
    bench.breaker.note_probe(True, 3.0)
    assert bench.moves[1:] == [(OPEN, HALF_OPEN, "probe_succeeded")]


def test_every_move_of_the_table_can_happen_and_is_told_once() -> None:
    """A long walk through everything meets each row of the table, and each transition goes on from where the last one ended."""
    chance = random.Random(4)
    bench = Bench(consecutive=3, calls_min=4, slow_share=0.5)
    now, permits = 0.0, []
    for _ in range(20_000):
        now += chance.choice([0.0, 0.1, 1.0, 5.0])
        step = chance.random()
        if step < 0.45 and (permit := bench.breaker.acquire(now)) is not None:
            permits.append(permit)
        elif step < 0.9 and permits:
            bench.breaker.settle(permits.pop(), chance.choice([SUCCESS, FAILURE, FAILURE, SLOW, SLOW]), now)
        elif step < 0.95:
            bench.breaker.note_probe(chance.random() < 0.2, now)
        else:
            bench.breaker.force(chance.choice([Force.AUTO] * 6 + [Force.OPEN, Force.CLOSED, Force.DISABLED]), now)
    assert {(t.before, t.after, t.reason) for t in bench.told} == {(before, m.after, m.reason) for (before, _), m in TRANSITIONS.items()}
    assert {t.reason for t in bench.told} == set(REASONS)
    assert bench.told[0].before is CLOSED
    assert all(first.after is second.before for first, second in zip(bench.told, bench.told[1:], strict=False))


def test_a_closed_one_makes_no_permit_per_call() -> None:
    """The same object serves all calls of a spell."""
    for force in (Force.AUTO, Force.CLOSED, Force.DISABLED):
        bench = Bench(force)
        assert bench.take(0.0) is bench.take(1.0)


def test_only_the_times_given_count() -> None:
    """The same steps at times shifted by whole windows lead to the same, shifted: nothing else tells the time."""
    told = []
    for shift in (0.0, 640.0, 2.0**30 * 10.0):
        bench = Bench(error_share=0.9)
        bench.call(*[FAILURE, SUCCESS] * 6, now=shift + 1.0)
        bench.call(*[FAILURE] * 4, now=shift + 8.0)
        bench.call(FAILURE, now=shift + 30.0)
        bench.take(shift + 34.0)
        told.append([(t.at - shift, t.after, t.reason) for t in bench.told])
    assert told[0] == told[1] == told[2] != []


def kind_of(**given: object) -> BreakerSettings:
    """Return settings like a bench's."""
    kind = {"consecutive": 5, "calls_min": 10, "window": 10.0, "open": 4.0, "open_max": 60.0, "probes": 3, "successes": 3} | given
    return BreakerSettings(**kind)  # type: ignore[arg-type]


def test_other_settings_hold_from_the_next_result_on() -> None:
    """Four failures in a row are none too many for five, and the next one is for two; nothing moves by itself."""
    bench = Bench()
    bench.call(*[FAILURE] * 4, now=1.0)
    bench.breaker.adopt(kind_of(consecutive=2), 1.5)
    assert bench.breaker.state(1.5) is CLOSED
    bench.call(FAILURE, now=2.0)
    assert bench.breaker.state(2.0) is OPEN


def test_an_open_one_stays_open_under_other_settings() -> None:
    """Until it would have asked again anyway, but for no longer than the new settings let anybody wait."""
    bench = Bench(open=40.0)
    bench.call(*[FAILURE] * 5, now=1.0)
    assert bench.breaker.retry_after_s(1.0) == 40.0
    bench.breaker.adopt(kind_of(open=50.0), 2.0)
    assert (bench.breaker.state(2.0), bench.breaker.retry_after_s(2.0)) == (OPEN, 39.0)
    bench.breaker.adopt(kind_of(open=5.0, open_max=10.0), 3.0)
    assert bench.breaker.retry_after_s(3.0) == pytest.approx(11.0)
    assert len(bench.told) == 1


def test_a_forced_one_stays_forced_under_other_settings() -> None:
    """No open time ends what an operator wants."""
    bench = Bench(Force.OPEN)
    bench.breaker.adopt(kind_of(open=1.0, open_max=1.0), 2.0)
    assert bench.breaker.state(1e9) is OPEN


def test_with_fewer_places_for_probes_those_that_are_out_count() -> None:
    """Two of three are out, and there is one place now: nobody else is let through before both are back or overdue."""
    bench = Bench()
    bench.call(*[FAILURE] * 5, now=0.0)
    first, _ = bench.take(5.0), bench.take(15.0)
    bench.breaker.adopt(kind_of(probes=1, open_max=60.0), 16.0)
    assert not bench.breaker.admits(16.0)
    assert not bench.breaker.admits(66.0) and bench.breaker.acquire(66.0) is None, "one of them is overdue, the other is not"
    assert bench.breaker.admits(76.0)
    bench.breaker.settle(first, SUCCESS, 76.0)
    assert bench.breaker.acquire(76.0) is not None


def test_one_that_is_retired_tells_nobody() -> None:
    """Calls that it let through still come back to it; what follows is nobody's news."""
    bench = Bench()
    permits = [bench.take(1.0) for _ in range(5)]
    bench.breaker.retire()
    for permit in permits:
        bench.breaker.settle(permit, FAILURE, 2.0)
    assert bench.breaker.state(2.0) is OPEN and not bench.told
