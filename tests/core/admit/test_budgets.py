"""What may be spent, and what is."""

from datetime import UTC, datetime, timedelta
from typing import Any

from hypothesis import settings
from hypothesis import strategies as st
from hypothesis.stateful import RuleBasedStateMachine, invariant, rule

from sidecar.config import Budget, Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.spending_sums import ALL, NANO, Refusal, Reservation, Turn

NOON = datetime(2026, 11, 20, 12, tzinfo=UTC).timestamp()
DAY_S = 86_400.0
Amounts = tuple[float | None, float | None]
LIMITS: dict[str, Amounts] = {"a": (10, 25), "b": (None, 12), ALL: (18, 40)}  # US dollars: of a day, of a month
BUDGETS = st.tuples(st.sampled_from([None, 0.0, 10.0, 18.0]), st.sampled_from([None, 12.0, 40.0]))
SETTINGS = Budgets(all=Budget(*LIMITS[ALL]), tenant=Budget(*LIMITS["b"]), tenants={"a": Budget(*LIMITS["a"])})


def reserve(accounts: Accounts, usd: float | None, account: str = "a", wall_s: float = NOON) -> Reservation:
    """Reserve what there is room for."""
    got = accounts.reserve(account, usd, wall_s)
    assert isinstance(got, Reservation), got
    return got


def refused(accounts: Accounts, usd: float | None, account: str = "a", wall_s: float = NOON) -> Refusal:
    """Ask for what there is no room for."""
    got = accounts.reserve(account, usd, wall_s)
    assert isinstance(got, Refusal), got
    return got


class Spending(RuleBasedStateMachine):
    """A list of all reservations ever made, from which every sum is counted anew, by limits that change."""

    def __init__(self) -> None:
        super().__init__()
        self.settings, self.limits = SETTINGS, LIMITS
        self.accounts = Accounts(SETTINGS)
        self.wall_s = datetime(2028, 2, 27, 22, tzinfo=UTC).timestamp()  # before the end of a month in a leap year
        self.made: list[tuple[Reservation, datetime, list[int]]] = []  # with what it was settled at

    def total(self, account: str, *, monthly: bool, with_reserved: bool = True) -> int:
        """Count what an account has spent, and what it has reserved."""
        form = "%Y-%m" if monthly else "%Y-%m-%d"
        now = datetime.fromtimestamp(self.wall_s, UTC).strftime(form)
        return sum(
            settled[0] if settled else (reservation.nano if with_reserved else 0)
            for reservation, at, settled in self.made
            if account in (ALL, reservation.account) and at.strftime(form) == now
        )

    def until_end(self, *, monthly: bool) -> float:
        """Return the seconds until the present day, or month, is over."""
        now = datetime.fromtimestamp(self.wall_s, UTC)
        days = 1 if not monthly else (now.replace(day=28) + timedelta(days=4)).replace(day=1).toordinal() - now.toordinal()
        return (now.replace(hour=0, minute=0, second=0, microsecond=0) + timedelta(days=days)).timestamp() - self.wall_s

    @rule(account=st.sampled_from("ab"), usd=st.one_of(st.none(), st.just(0.0), st.floats(0.0, 12.0)))
    def reserve(self, account: str, usd: float | None) -> None:
        """A call begins. It is let in exactly where all four sums have room for it."""
        lacking = []
        got = self.accounts.reserve(account, usd, self.wall_s)
        for owner in (account, ALL):
            for monthly in (False, True):
                limit = self.limits[owner][monthly]
                if limit is None:
                    continue
                total = self.total(owner, monthly=monthly)
                nano = got.nano if isinstance(got, Reservation) else -int(-(usd or 0.0) * NANO // 1)
                if total + nano > limit * NANO or total >= limit * NANO:
                    lacking.append(("all_" if owner == ALL else "") + ("budget_month" if monthly else "budget_day"))
        if isinstance(got, Reservation):
            assert usd is None or not lacking
            self.made.append((got, datetime.fromtimestamp(self.wall_s, UTC), []))
        else:
            assert usd is not None and got.limit in lacking and got.is_own
            assert got.retry_after_s is not None and got.retry_after_s > 0
            # Whose end is the later: on the last day of a month both windows end together, and either may be told.
            ends = [self.until_end(monthly=name.endswith("month")) for name in lacking]
            assert got.retry_after_s == self.until_end(monthly=got.limit.endswith("month")) == max(ends)

    @rule(index=st.integers(0, 10**6), usd=st.floats(0.0, 30.0))
    def settle(self, index: int, usd: float) -> None:
        """A call ends, perhaps on another day, perhaps at more than was reserved, perhaps told twice."""
        if not self.made:
            return
        reservation, _, settled = self.made[index % len(self.made)]
        nano = self.accounts.settle(reservation, usd)
        assert (nano is None) == bool(settled)
        if nano is not None:
            assert nano == round(usd * NANO)
            settled.append(nano)

    @rule(seconds=st.sampled_from([1.0, 3600.0, DAY_S, 2 * DAY_S, 30 * DAY_S]))
    def pass_time(self, seconds: float) -> None:
        """Days and months go by."""
        self.wall_s += seconds

    @rule(everybody=BUDGETS, each=BUDGETS, own=st.none() | BUDGETS)
    def adopt(self, everybody: Amounts, each: Amounts, own: Amounts | None) -> None:
        """Other sums are allowed from now on."""
        self.limits = {ALL: everybody, "b": each, "a": own or each}
        tenants = {} if own is None else {"a": Budget(*own)}
        self.settings = Budgets(all=Budget(*everybody), tenant=Budget(*each), tenants=tenants)
        self.accounts.adopt(self.settings)

    @rule()
    def restart(self) -> None:
        """The process is another one: what was open counts as spent."""
        after = Accounts(self.settings)
        after.restore(self.accounts.snapshot(), self.wall_s)
        self.accounts = after
        for reservation, _, settled in self.made:
            if not settled:
                settled.append(reservation.nano)
            reservation.is_open = False

    @invariant()
    def sums_are_those_of_the_calls(self) -> None:
        """Spent is what was settled today and this month; reserved is the rest."""
        for balance in self.accounts.balances(self.wall_s):
            monthly = balance.window == "month"
            spent = self.total(balance.tenant, monthly=monthly, with_reserved=False)
            assert round(balance.spent_usd * NANO) == spent
            assert round((balance.spent_usd + balance.reserved_usd) * NANO) == self.total(balance.tenant, monthly=monthly)
            assert balance.limit_usd == self.limits[balance.tenant][monthly]
            if balance.limit_usd is not None:
                assert balance.soft_reached == (balance.spent_usd + balance.reserved_usd >= balance.limit_usd * 0.8 - 1e-9)


TestSpending = Spending.TestCase
TestSpending.settings = settings(max_examples=60, stateful_step_count=40, deadline=None)


def test_500_racers_overspend_no_more_than_what_was_in_flight() -> None:
    """Of 500 that want two cents of a dollar 50 get it; that they cost three is the whole overspend."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    got = [accounts.reserve("a", 0.02, NOON) for _ in range(500)]
    admitted = [each for each in got if isinstance(each, Reservation)]
    assert len(admitted) == 50
    for each in admitted:
        accounts.settle(each, 0.03)
    assert accounts.spent("a", "day", NOON) == 1.5
    assert refused(accounts, 0.0).limit == "budget_day"


def test_what_a_call_did_not_use_is_free_again() -> None:
    """Reserved is not spent."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    first = reserve(accounts, 0.9)
    refused(accounts, 0.2)
    accounts.settle(first, 0.1)
    reserve(accounts, 0.9)
    assert accounts.spent("a", "day", NOON) == 0.1


def test_yesterdays_call_is_yesterdays_money() -> None:
    """A call that ends after midnight takes nothing of the new day, and its month's is the one in which it began."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0, month=3.0)))
    last = datetime(2026, 11, 30, 23, 59, 50, tzinfo=UTC).timestamp()
    late = reserve(accounts, 0.5, wall_s=last)
    fresh = reserve(accounts, 1.0, wall_s=last + 60)
    accounts.settle(late, 0.7)
    assert (accounts.spent("a", "day", last), accounts.spent("a", "month", last)) == (0.7, 0.7)
    assert (accounts.spent("a", "day", last + 60), accounts.spent("a", "month", last + 60)) == (0.0, 0.0)
    accounts.settle(fresh, 1.0)
    assert accounts.spent("a", "month", last + 60) == 1.0


def test_it_is_told_when_there_is_something_again() -> None:
    """The end of the day, or of the month where that is spent too: whichever comes last."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0, month=1.5), all=Budget(day=5.0)))
    accounts.settle(reserve(accounts, 1.0), 1.0)
    assert refused(accounts, 0.1) == Refusal("budget_day", DAY_S / 2)
    accounts.settle(reserve(accounts, 0.5, wall_s=NOON + DAY_S), 0.5)
    assert refused(accounts, 0.1, wall_s=NOON + DAY_S).limit == "budget_month"
    assert refused(accounts, 0.1, wall_s=NOON + DAY_S).retry_after_s == 9.5 * DAY_S
    assert refused(accounts, 6.0, "b").limit == "budget_month"


def test_everybody_together() -> None:
    """One tenant's money can be gone because the others spent it."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0), all=Budget(day=1.5)))
    reserve(accounts, 1.0, "a")
    assert refused(accounts, 1.0, "b").limit == "all_budget_day"
    reserve(accounts, 0.5, "b")


def test_a_price_of_nothing_is_held_up_by_nothing_but_a_stop() -> None:
    """None costs nothing; 0 is a price that is not known, and ends with the money."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    accounts.settle(reserve(accounts, 1.0), 2.0)
    assert refused(accounts, 0.0).limit == "budget_day"
    accounts.settle(reserve(accounts, None), 0.0)
    accounts.stop("a")
    assert refused(accounts, None) == Refusal("stopped", None)


def test_stops() -> None:
    """One tenant's or everybody's, until it is taken back; what is open can still be settled."""
    accounts = Accounts(SETTINGS)
    before = reserve(accounts, 1.0)
    accounts.stop("a")
    refused(accounts, 0.1)
    reserve(accounts, 0.1, "b")
    accounts.stop(ALL)
    assert refused(accounts, 0.1, "b") == Refusal("stopped", None)
    accounts.resume("a")
    refused(accounts, 0.1)
    accounts.resume(ALL)
    reserve(accounts, 0.1)
    assert accounts.settle(before, 1.0) == NANO and accounts.stopped == frozenset()


def test_it_is_warned_before_it_is_refused_and_once() -> None:
    """The soft limit counts what is reserved too: whoever is refused a small call has been warned."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0), soft=0.8))
    reserve(accounts, 0.79)
    assert accounts.take_turns() == []
    reserve(accounts, 0.05)
    assert accounts.take_turns() == [Turn("a", "day", is_spent=False)]
    for _ in range(3):
        refused(accounts, 0.2)
    assert accounts.take_turns() == [Turn("a", "day", is_spent=True)]
    refused(accounts, 2.0, wall_s=NOON + DAY_S)
    assert accounts.take_turns() == [Turn("a", "day", is_spent=True)]  # of a new day


def test_a_clock_that_is_set_back_finds_what_was_spent() -> None:
    """Wrong by years for a moment, and right again: no budget is opened anew."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    accounts.settle(reserve(accounts, 1.0), 1.0)
    reserve(accounts, 0.5, wall_s=NOON + 3650 * DAY_S)
    assert refused(accounts, 0.5).limit == "budget_day"


def test_memory_is_bounded() -> None:
    """Old periods are forgotten, but not those in which a call is still open."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    first = reserve(accounts, 0.1)
    for day in range(1, 400):
        accounts.settle(reserve(accounts, 0.1, wall_s=NOON + day * DAY_S), 0.1)
    assert len(accounts.list_sums()) <= 2 * 2 * 5
    accounts.settle(first, 0.2)
    assert accounts.spent("a", "day", NOON) == 0.2


def test_other_sidecars() -> None:
    """What they told counts; of what they have spent the most ever heard, of what they have reserved the last."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    (day, *_) = accounts.look_up("a", NOON)
    accounts.note_others(day, 3 * NANO // 10, 5 * NANO // 10)
    got = refused(accounts, 0.3)
    assert (got.limit, got.is_own) == ("budget_day", False)
    accounts.note_others(day, 0, 0)  # a flush
    reserve(accounts, 0.7)
    assert refused(accounts, 0.1).limit == "budget_day"
    assert accounts.spent("a", "day", NOON) == 0.3
    accounts.note_others(day, NANO, 0)
    assert accounts.take_turns()[-1] == Turn("a", "day", is_spent=True)


def test_what_others_leave_no_room_for_is_given_back() -> None:
    """A reservation that was made here and not agreed upon is as if it had not been made."""
    accounts = Accounts(Budgets(tenant=Budget(month=1.0)))
    got = reserve(accounts, 0.6)
    month = next(each for each in got.sums if each.limit is not None)
    refusal = accounts.give_back(got, month, NOON)
    assert refusal == Refusal("budget_month", 10.5 * DAY_S, is_own=False)
    reserve(accounts, 1.0)


def test_balances_of_what_is_limited_are_there_from_the_start() -> None:
    """Before anything was spent; of accounts without a limit of their own once they have spent."""
    accounts = Accounts(SETTINGS)

    def shown() -> dict[tuple[str, str], Any]:
        return {(each.tenant, each.window): each for each in accounts.balances(NOON)}

    assert {key: each.limit_usd for key, each in shown().items()} == {
        (ALL, "day"): 18.0, (ALL, "month"): 40.0, ("a", "day"): 10.0, ("a", "month"): 25.0,
    }  # fmt: skip
    accounts.settle(reserve(accounts, 2.0, "b"), 1.5)
    reserve(accounts, 2.0, "b")
    assert (shown()[("b", "month")].spent_usd, shown()[("b", "month")].reserved_usd) == (1.5, 2.0)
    assert (shown()[("b", "day")].limit_usd, shown()[(ALL, "day")].spent_usd) == (None, 1.5)


def test_a_call_of_nobody_counts_once() -> None:
    """Where there are no tenants, everybody together is the only account."""
    accounts = Accounts(SETTINGS)
    accounts.settle(reserve(accounts, 2.0, ALL), 2.0)
    assert accounts.spent(ALL, "day", NOON) == 2.0


def test_what_is_spent_and_reserved_stays_whatever_may_be() -> None:
    """Calls in progress are settled in the sums in which they were reserved; less than is spent already lets nobody through."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0)))
    accounts.settle(reserve(accounts, 0.5), 0.5)
    open_call = reserve(accounts, 0.25)
    accounts.adopt(Budgets(tenant=Budget(day=0.6)))
    assert refused(accounts, 0.0).limit == "budget_day"
    accounts.settle(open_call, 0.05)
    reserve(accounts, 0.04)
    accounts.adopt(Budgets())
    reserve(accounts, 1000.0)
    accounts.adopt(Budgets(tenant=Budget(month=0.1)))
    assert refused(accounts, 0.0).limit == "budget_month"
    assert accounts.spent("a", "day", NOON) == 0.55


def test_what_is_told_once_in_a_window_is_told_once_of_each_limit() -> None:
    """A limit that is another one now can be reached again; one that stays is no news."""
    accounts = Accounts(Budgets(tenant=Budget(day=1.0, month=100.0)))
    reserve(accounts, 0.9)
    refused(accounts, 0.2)
    assert accounts.take_turns() == [Turn("a", "day", is_spent=False), Turn("a", "day", is_spent=True)]
    accounts.adopt(Budgets(tenant=Budget(day=1.0, month=50.0)))
    refused(accounts, 0.2)
    assert accounts.take_turns() == []
    accounts.adopt(Budgets(tenant=Budget(day=1.1, month=50.0)))
    reserve(accounts, 0.1)
    refused(accounts, 0.2)
    assert accounts.take_turns() == [Turn("a", "day", is_spent=False), Turn("a", "day", is_spent=True)]


def test_other_budgets_leave_no_empty_sums_behind() -> None:
    """But a call that reserved nothing and is not over yet is settled where it was reserved."""
    accounts = Accounts(Budgets(tenants={"gone": Budget(day=1.0)}))
    accounts.balances(NOON)
    free = reserve(accounts, None, "free")
    accounts.settle(reserve(accounts, 0.5, "spent"), 0.5)
    accounts.adopt(Budgets())
    assert {each.account for each in accounts.list_sums()} == {"free", "spent", ALL}
    accounts.settle(free, 0.25)
    assert (accounts.spent("free", "day", NOON), accounts.spent(ALL, "month", NOON)) == (0.25, 0.75)
    assert accounts.spent("gone", "day", NOON) == 0.0
