"""The limiter: all limits or none, each account its own and everybody's together, and what is told of it."""

import asyncio

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.catalogue.reuse import LIMITS
from sidecar.config import Rate, RateLimits, Rates
from sidecar.core.admit.rates import ACCOUNTS_MAX, REQUESTS, TOKENS, Left, Limiter, judge, read_rules
from tests.edge.virtual import turn

EVERY = Rate(per_second=2.0, burst=5.0, per_minute=10.0, per_hour=100.0, per_day=1000.0)


def limits_of(*, requests: Rate | None = None, tokens: Rate | None = None, everybody: Rates | None = None) -> RateLimits:
    """Return limits for each tenant, and for all."""
    return RateLimits(all=everybody or Rates(), tenant=Rates(requests or Rate(), tokens or Rate()))


def count_admitted(limiter: Limiter, account: str, tokens: int, now: float, tries: int) -> int:
    """Return how many of so many calls are let through at one moment."""
    return sum(limiter.admit(account, tokens, now).limit is None for _ in range(tries))


def test_names_are_those_of_the_catalogue() -> None:
    """Each limit that there can be has its name there, and the other way round."""
    settings = RateLimits(all=Rates(EVERY, EVERY), tenant=Rates(EVERY, EVERY))
    names = [rule.name for rule in read_rules(settings, "a")]
    assert sorted(names) == sorted(name for name in LIMITS if "requests" in name or "tokens" in name)


def test_an_accounts_own_limits_stand_in_for_those_of_each_tenant() -> None:
    """Wholly: what they leave open is not limited. Those of all hold beside either."""
    settings = RateLimits(
        all=Rates(Rate(per_day=1000)), tenant=Rates(Rate(per_minute=2), Rate(per_day=5)), tenants={"big": Rates(Rate(per_hour=50))}
    )
    assert [rule.name for rule in read_rules(settings, "big")] == ["requests_hour", "all_requests_day"]
    assert [rule.name for rule in read_rules(settings, "any")] == ["requests_minute", "tokens_day", "all_requests_day"]
    limiter = Limiter(settings)
    assert (limiter.counts_tokens("big"), limiter.counts_tokens("any")) == (False, True)


def test_whether_there_is_anything_to_limit() -> None:
    """An account without limits is let through, and nothing is told of it."""
    limiter = Limiter(RateLimits(tenants={"a": Rates(Rate(per_day=1))}))
    assert (limiter.is_limited("a"), limiter.is_limited("b")) == (True, False)
    assert limiter.admit("b", 5, 1.0) == (None, None, (), 1.0)


def test_what_a_bucket_holds() -> None:
    """By default one second's, but always one call; and what is stopped is stopped."""
    for rate, expected in (
        (Rate(per_second=5), 5), (Rate(per_second=0.5), 1), (Rate(per_second=0), 0), (Rate(per_second=1, burst=7), 7),
    ):  # fmt: skip
        assert count_admitted(Limiter(limits_of(requests=rate)), "a", 0, 10.0, 20) == expected
    assert count_admitted(Limiter(limits_of(tokens=Rate(per_second=0.5))), "a", 1, 10.0, 1) == 0


@pytest.mark.parametrize("window", ["per_minute", "per_hour", "per_day"])
def test_each_window(window: str) -> None:
    """It is full, stays so for its length, and is empty one slot later at most."""
    length_s = {"per_minute": 60.0, "per_hour": 3600.0, "per_day": 86400.0}[window]
    limiter = Limiter(limits_of(requests=Rate(**{window: 3.0})))
    assert count_admitted(limiter, "a", 0, 1000.0, 5) == 3
    assert count_admitted(limiter, "a", 0, 1000.0 + length_s - 0.001, 5) == 0
    assert count_admitted(limiter, "a", 0, 1000.0 + length_s * (1 + 1 / 60), 5) == 3


def test_a_refusal_takes_nothing() -> None:
    """Not from the limits that would have let the call through."""
    limiter = Limiter(limits_of(requests=Rate(per_minute=10), tokens=Rate(per_minute=100)))
    for _ in range(50):
        assert limiter.admit("a", 101, 5.0).limit == "tokens_minute"
    assert count_admitted(limiter, "a", 10, 5.0, 20) == 10
    for _ in range(50):
        assert limiter.admit("a", 1, 5.0).limit == "requests_minute"
    assert limiter.admit("a", 1, 70.0).left == (Left(REQUESTS, 10, 9, pytest.approx(61.0)), Left(TOKENS, 100, 99, pytest.approx(61.0)))


def test_the_longest_wait_is_told() -> None:
    """Who comes after the shorter one would be refused again."""
    limiter = Limiter(limits_of(requests=Rate(per_second=1, per_hour=1)))
    assert limiter.admit("a", 0, 0.0).limit is None
    verdict = limiter.admit("a", 0, 0.0)
    assert (verdict.limit, verdict.retry_after_s) == ("requests_hour", pytest.approx(3660.0))


def test_what_can_never_be_let_through_has_no_time() -> None:
    """A call larger than a limit on its own is told so."""
    verdict = Limiter(limits_of(tokens=Rate(per_minute=100, per_day=1000))).admit("a", 101, 0.0)
    assert (verdict.limit, verdict.retry_after_s) == ("tokens_minute", None)


def test_accounts_are_apart_and_all_is_for_all() -> None:
    """One that uses up its own harms nobody; what is for everybody runs out for everybody."""
    limiter = Limiter(limits_of(requests=Rate(per_minute=3), everybody=Rates(Rate(per_minute=5))))
    assert count_admitted(limiter, "a", 0, 0.0, 10) == 3
    assert count_admitted(limiter, "b", 0, 0.0, 10) == 2
    assert limiter.admit("c", 0, 0.0).limit == "all_requests_minute"
    assert limiter.admit("a", 0, 0.0).limit == "requests_minute"


def test_calls_without_tokens_pass_limits_on_tokens() -> None:
    """A list of models is no prompt: not even where tokens are owed."""
    limiter = Limiter(limits_of(tokens=Rate(per_minute=10)))
    limiter.admit("a", 10, 0.0)
    limiter.correct("a", 10, 100, 0.0, 0.0)
    assert limiter.admit("a", 1, 0.0).limit == "tokens_minute"
    assert limiter.admit("a", 0, 0.0).limit is None


def test_corrections_reach_every_limit_on_tokens() -> None:
    """And none on calls."""
    limiter = Limiter(
        limits_of(requests=Rate(per_minute=5), tokens=Rate(per_second=100, per_minute=100), everybody=Rates(tokens=Rate(per_day=100)))
    )
    limiter.admit("a", 90, 10.0)
    limiter.correct("a", 90, 20, 10.0, 10.0)
    assert limiter.admit("a", 80, 10.0).limit is None
    assert limiter.admit("a", 1, 10.0).left[0] == Left(REQUESTS, 5, 3, pytest.approx(61.0))


def test_asking_takes_nothing() -> None:
    """Whether a call would be refused can be asked as often as one likes, and the answer is the one that it would get."""
    limiter = Limiter(limits_of(requests=Rate(per_second=1, per_minute=2)))
    for _ in range(10):
        assert limiter.refuse("a", 0, 0.0) is None
    limiter.admit("a", 0, 0.0)
    refusal = limiter.refuse("a", 0, 0.5)
    assert refusal is not None
    assert refusal == limiter.admit("a", 0, 0.5)
    assert (refusal.limit, refusal.retry_after_s) == ("requests_second", 0.5)


def test_the_least_left_is_told() -> None:
    """Of calls and of tokens each, by share: that is what a caller meets next."""
    limiter = Limiter(limits_of(requests=Rate(per_second=10, burst=10, per_minute=100, per_day=100), tokens=Rate(per_hour=50)))
    left = limiter.admit("a", 10, 0.0).left
    assert [(one.what, one.limit, one.left) for one in left] == [(REQUESTS, 10, 9), (TOKENS, 50, 40)]
    for second in range(1, 30):
        left = limiter.admit("a", 0, float(second)).left
    assert [(one.what, one.limit, one.left) for one in left] == [(REQUESTS, 100, 70)]


def test_the_same_is_told_of_what_others_counted() -> None:
    """A verdict that is put together from numbers is the one that the limiter would give."""
    rules = read_rules(limits_of(requests=Rate(per_minute=10, per_hour=20), tokens=Rate(per_minute=0)), "a")
    left = [Left(rule.what, rule.limit, 5, 1.0) for rule in rules]
    verdict = judge(rules, [0.0, 3.0, 2.0], left, 7.0)
    assert (verdict.limit, verdict.retry_after_s, verdict.left, verdict.at) == ("requests_hour", 3.0, (left[1], left[2]), 7.0)
    assert judge(rules, [0.0, 3.0, float("inf")], left, 7.0)[:2] == ("tokens_minute", None)
    assert judge(rules, [0.0, 0.0, 0.0], left, 7.0)[:2] == (None, None)


def test_accounts_are_bounded() -> None:
    """Beyond the bound they share one."""
    limiter = Limiter(limits_of(requests=Rate(per_day=1)))
    for number in range(ACCOUNTS_MAX + 10):
        limiter.admit(f"t{number}", 0, 0.0)
    assert limiter.admit("t0", 0, 0.0).limit == "requests_day"
    assert limiter.admit("one more", 0, 0.0).limit == "requests_day"
    assert limiter.admit("other", 0, 0.0).limit == "requests_day"


async def test_racers_on_one_limit() -> None:
    """500 at once, each after a turn of the loop of its own: exactly as many as the limit."""
    limiter = Limiter(limits_of(requests=Rate(per_minute=100), tokens=Rate(per_minute=1_000)))

    async def race(number: int) -> bool:
        await turn()
        return limiter.admit("a", 1 + number % 20, 5.0).limit is None

    admitted = await asyncio.gather(*map(race, range(500)))
    assert sum(1 + number % 20 for number, is_in in enumerate(admitted) if is_in) <= 1_000
    assert sum(admitted) == limiter_count(1_000, 100)


def limiter_count(tokens: int, calls: int) -> int:
    """Return how many of the racers fit, in their order."""
    used = count = 0
    for number in range(500):
        need = 1 + number % 20
        if count < calls and used + need <= tokens:
            used, count = used + need, count + 1
    return count


@given(st.lists(st.tuples(st.sampled_from("ab"), st.integers(0, 40), st.floats(0, 20)), max_size=60))
def test_all_or_nothing(steps: list[tuple[str, int, float]]) -> None:
    """What is refused leaves no trace: a limiter that never met it says the same from then on."""
    settings = limits_of(
        requests=Rate(per_second=1, burst=3, per_minute=8),
        tokens=Rate(per_minute=100),
        everybody=Rates(Rate(per_minute=12), Rate(per_hour=400)),
    )
    limiter, spared, now = Limiter(settings), Limiter(settings), 100.0
    for account, tokens, gap_s in steps:
        now += gap_s
        verdict = limiter.admit(account, tokens, now)
        if verdict.limit is None:
            assert [one[:3] for one in spared.admit(account, tokens, now).left] == [
                (one.what, one.limit, pytest.approx(one.left)) for one in verdict.left
            ]


class Changing(RuleBasedStateMachine):
    """Limits that change while calls come and go, against lists of all that was let through since each limit is there."""

    SECOND, MINUTE = "tokens_second", "requests_minute"
    RATES = st.builds(
        lambda pace, burst, calls: Rates(Rate(per_minute=calls), Rate(per_second=pace, burst=burst)),
        st.sampled_from([1.0, 4.0, None]), st.sampled_from([4.0, 16.0]), st.sampled_from([None, 5, 2, 0]),
    )  # fmt: skip
    SETTINGS = st.builds(
        lambda everybody, tenant, own: RateLimits(everybody or Rates(), tenant, {} if own is None else {"a": own}),
        st.none() | RATES, RATES, st.none() | RATES,
    )  # fmt: skip

    def __init__(self) -> None:
        super().__init__()
        self.now = 600.0
        self.settings = RateLimits()
        self.limiter = Limiter(self.settings)
        self.levels: dict[tuple[str, str], tuple[float, float]] = {}  # of buckets: how full, when
        self.taken: dict[tuple[str, str], list[float]] = {}  # of windows: when
        self.in_flight: list[tuple[str, int, float]] = []

    def list_limits(self, account: str) -> list[tuple[tuple[str, str], Rate]]:
        """Return each limit that a call meets: whose it is, and what it is called."""
        own, everybody = self.settings.tenants.get(account, self.settings.tenant), self.settings.all
        return [
            ((owner, name), rate)
            for owner, rates in ((account, own), ("", everybody))
            for name, rate in ((self.MINUTE, rates.requests), (self.SECOND, rates.tokens))
            if (rate.per_minute if name == self.MINUTE else rate.per_second) is not None
        ]

    def level(self, key: tuple[str, str], rate: Rate) -> float:
        """Return how full a bucket is."""
        burst, pace = rate.burst or 0.0, rate.per_second or 0.0
        level, at = self.levels.get(key, (burst, self.now))
        return min(level + (self.now - at) * pace, burst)

    def has_room(self, account: str, tokens: int) -> tuple[bool, bool]:
        """Return whether a call is let through for certain, and whether it may be: windows are right within a sixtieth."""
        is_certain = may_be = True
        for key, rate in self.list_limits(account):
            if key[1] == self.SECOND:
                fits = not tokens or tokens <= self.level(key, rate)
                is_certain, may_be = is_certain and fits, may_be and fits
            else:
                times, calls = self.taken.get(key, []), rate.per_minute or 0
                is_certain = is_certain and sum(at > self.now - 62.0 for at in times) < calls
                may_be = may_be and sum(at > self.now - 60.0 for at in times) < calls
        return is_certain, may_be

    @rule(account=st.sampled_from("ab"), tokens=st.sampled_from([0, 1, 4]))
    def admit(self, account: str, tokens: int) -> None:
        """A call comes in."""
        is_certain, may_be = self.has_room(account, tokens)
        is_in = self.limiter.admit(account, tokens, self.now).limit is None
        assert may_be if is_in else not is_certain
        for key, rate in self.list_limits(account):
            if key[1] == self.MINUTE:
                self.taken.setdefault(key, []).extend([self.now] * is_in)
            else:
                self.levels[key] = self.level(key, rate) - (tokens if is_in else 0), self.now
        if is_in and tokens:
            self.in_flight.append((account, tokens, self.now))

    @rule(which=st.integers(0, 9))
    def settle(self, which: int) -> None:
        """A call is over that used what was thought, perhaps by limits that were not there when it came."""
        if self.in_flight:
            account, tokens, at = self.in_flight.pop(which % len(self.in_flight))
            self.limiter.correct(account, tokens, tokens, self.now, at)

    @rule(passed=st.sampled_from([0.5, 1.0, 4.0, 30.0]))
    def wait(self, passed: float) -> None:
        """Time passes."""
        self.now += passed

    @rule(settings=SETTINGS, known=st.sampled_from(["ab", "ab", "a", "b"]))
    def adopt(self, settings: RateLimits, known: str) -> None:
        """Other limits are in force: each that was there goes on from where it was."""
        before = {key: self.level(key, rate) for account in "ab" for key, rate in self.list_limits(account)}
        self.settings = settings
        self.limiter.adopt(settings, known, self.now)
        rates = {key: rate for account in "ab" for key, rate in self.list_limits(account)}
        kept = {key for key in rates if key in before and (not key[0] or key[0] in known)}
        self.taken = {key: times for key, times in self.taken.items() if key in kept}
        self.levels = {key: (min(before[key], rates[key].burst or 0.0), self.now) for key in kept if key[1] == self.SECOND}

    @invariant()
    def asking_changes_nothing(self) -> None:
        """What is refused now is what would be."""
        for account in "ab":
            is_certain, may_be = self.has_room(account, 1)
            is_in = self.limiter.refuse(account, 1, self.now) is None
            assert may_be if is_in else not is_certain
            for key, rate in self.list_limits(account):  # from now on it is there
                if key[1] == self.SECOND:
                    self.levels[key] = self.level(key, rate), self.now


TestChanging = Changing.TestCase
TestChanging.settings = settings(max_examples=100, stateful_step_count=30, deadline=None)


def test_counts_go_on_under_other_limits() -> None:
    """More is let through, or less; what is new begins anew, and what is gone is no more."""
    limiter = Limiter(limits_of(requests=Rate(per_minute=3, per_hour=50), everybody=Rates(Rate(per_day=9))))
    assert count_admitted(limiter, "a", 0, 10.0, 5) == 3
    limiter.adopt(limits_of(requests=Rate(per_minute=5, per_day=100), everybody=Rates(Rate(per_day=8))), ["a", "b"], 10.0)
    left = limiter.admit("a", 0, 10.0).left
    assert left == (Left(REQUESTS, 5, 1, pytest.approx(61.0)),)
    assert count_admitted(limiter, "a", 0, 10.0, 5) == 1
    assert count_admitted(limiter, "b", 0, 10.0, 5) == 3, "eight a day for all, of which five are taken"
    limiter.adopt(RateLimits(), ["a"], 10.0)
    assert not limiter.is_limited("a") and count_admitted(limiter, "a", 0, 10.0, 50) == 50


def test_an_account_that_is_gone_is_forgotten_and_its_calls_can_end() -> None:
    """What they give back is given back to all together; where it comes again, it begins anew."""
    settings = limits_of(tokens=Rate(per_minute=100), everybody=Rates(tokens=Rate(per_minute=100)))
    limiter = Limiter(settings)
    assert limiter.admit("gone", 90, 10.0).limit is None
    limiter.adopt(settings, ["a"], 11.0)
    assert limiter.admit("a", 20, 11.0).limit == "all_tokens_minute"
    limiter.correct("gone", 90, 10, 11.0, 10.0)
    assert limiter.admit("a", 90, 11.0).limit is None
    limiter.adopt(settings, ["gone"], 12.0)
    assert limiter.refuse("gone", 100, 80.0) is None
