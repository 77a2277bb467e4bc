"""Budgets that several sidecars share: what is asked of the place that they share, and what is made of its answers."""

import asyncio
from collections.abc import Sequence
from typing import Any

import pytest

from sidecar.config import Budget, Budgets
from sidecar.core.admit.budgets import Accounts
from sidecar.core.admit.spending_sums import Reservation
from sidecar.edge.shared.budgets import AGREE, SharedBudgets
from sidecar.edge.shared.names import mark_account
from sidecar.ports import Script

NOON = 1_795_176_000.0  # 2026-11-20, 12:00 UTC
NANO = 10**9


class Clock:
    """A wall clock that stands still."""

    def now(self) -> float:
        return 0.0

    def wall_ns(self) -> int:
        return int(NOON * 1e9)


class Runner:
    """The shared place: gives its answers in turn, and holds them back while it is told to."""

    def __init__(self, *answers: Any) -> None:
        self.answers = list(answers)
        self.runs: list[tuple[list[str], list[Any]]] = []
        self.gate = asyncio.Event()
        self.gate.set()
        self.is_away = False

    async def run(self, script: Script, keys: Sequence[str], args: Sequence[str | int | float]) -> list[Any] | None:
        assert script is AGREE
        self.runs.append((list(keys), list(args)))
        await self.gate.wait()
        return self.answers.pop(0) if self.answers else None


def share(runner: Runner, settings: Budgets | None = None) -> tuple[SharedBudgets, Accounts]:
    """Return one sidecar's side."""
    accounts = Accounts(settings or Budgets(tenant=Budget(day=1.0), all=Budget(month=5.0)))
    return SharedBudgets(runner, accounts, "pre", "me", Clock()), accounts


def reserve(accounts: Accounts, usd: float = 0.25) -> Reservation:
    """Reserve for tenant `a`."""
    got = accounts.reserve("a", usd, NOON)
    assert isinstance(got, Reservation)
    return got


async def test_what_is_asked() -> None:
    """One run for all sums with a limit, whose keys are in one slot; the whole sums, and then what is to be added to them."""
    runner = Runner([0, 1, 2, 3, 4], [0, 0, 0, 0, 0])
    shared, accounts = share(runner)
    assert await shared.agree(reserve(accounts)) is None
    keys, args = runner.runs[0]
    assert keys == [f"{{pre:budgets}}:1:{mark_account('a')}:2026-11-20", f"{{pre:budgets}}:1:{mark_account('')}:2026-11"]
    first = int(NOON * 1e6) + 1
    assert args == ["me", first, 1, 0, 0, 0, NANO, 259200, 0, 0, 0, 5 * NANO, 3024000, NANO // 4, 2, 1, 2]
    assert [(each.others_spent, each.others_reserved) for each in accounts.list_sums() if each.limit] == [(1, 2), (3, 4)]
    await shared.agree(reserve(accounts))
    assert runner.runs[1][1][:6] == ["me", first + 1, 1, 0, NANO // 4, 1]  # the first one is agreed upon


async def test_nothing_is_asked_where_nothing_is_limited() -> None:
    """No round trip for nothing."""
    runner = Runner()
    shared, accounts = share(runner, Budgets(all=Budget()))
    got = reserve(accounts)
    assert await shared.agree(got) is None
    await shared.look(got.sums)
    shared.tell(got.sums)
    assert runner.runs == []


async def test_the_sum_without_room() -> None:
    """Is the one that is told."""
    shared, accounts = share(Runner([2, 0, 0, 5 * NANO, 0]))
    full = await shared.agree(reserve(accounts))
    assert full is not None and (full.account, full.period, full.others_spent) == ("", "2026-11", 5 * NANO)


@pytest.mark.parametrize("answer", [None, [], [0], [b"x", 1, 2, 3, 4], [0, 1, 2, 3], [9, 1, 2, 3, 4], [-1, 1, 2, 3, 4], [0, 1, None, 3, 4]])
async def test_an_answer_that_is_none_or_nonsense_is_room(answer: Any) -> None:
    """This sidecar's own sums had it."""
    shared, accounts = share(Runner(answer))
    assert await shared.agree(reserve(accounts)) is None


async def test_changes_are_told_together() -> None:
    """While one run is under way all that changes waits for the next: never two at once, and the last word is told."""
    runner = Runner()
    shared, accounts = share(runner)
    runner.gate.clear()
    for _ in range(5):
        got = reserve(accounts, 0.1)
        accounts.settle(got, 0.1)
        shared.tell(got.sums)
        await asyncio.sleep(0)
    assert len(runner.runs) == 1
    runner.gate.set()
    await shared.close()
    assert runner.runs[0][1][3] == NANO // 10
    assert runner.runs[-1][1][3] == NANO // 2
    assert all(args[2] == 0 for _, args in runner.runs)  # nothing is to be decided


async def test_calls_are_agreed_upon_together_and_in_order() -> None:
    """One run at a time, for all that came meanwhile; who has left is not asked for."""
    runner = Runner([0, 0, 0, 0, 0], [0, 2, 0, 0, 0, 0])
    shared, accounts = share(runner)
    runner.gate.clear()
    first, second, third, fourth = (asyncio.ensure_future(shared.agree(reserve(accounts, usd))) for usd in (0.1, 0.2, 0.3, 0.05))
    for _ in range(3):
        await asyncio.sleep(0)
    assert [args[2] for _, args in runner.runs] == [4]
    runner.answers[0] = [0, 0, 0, 1, 0, 0, 0, 0]
    fifth, sixth, seventh = (asyncio.ensure_future(shared.agree(reserve(accounts, usd))) for usd in (0.05, 0.06, 0.07))
    await asyncio.sleep(0)
    sixth.cancel()
    runner.gate.set()
    assert [await first, await second, await third] == [None, None, None]
    full = await fourth
    assert full is not None and (full.account, len(full.period)) == ("a", 10)
    assert await fifth is None and (await seventh) is not None
    with pytest.raises(asyncio.CancelledError):
        await sixth
    assert runner.runs[1][1][2] == 2 and runner.runs[1][1][13::4][:2] == [NANO // 20, 7 * NANO // 100]
    assert all(each.pending == 0 for each in accounts.list_sums())


async def test_nobody_waits_for_a_place_that_raises() -> None:
    """Whatever becomes of the asking, calls go on."""
    runner = Runner()
    shared, accounts = share(runner)
    runner.run = None  # type: ignore[method-assign, assignment]
    assert await shared.agree(reserve(accounts)) is None


async def test_it_is_told_again_and_again() -> None:
    """So that what the shared place forgets it learns anew; sums of yesterday, too."""
    runner = Runner()
    shared, accounts = share(runner)
    accounts.settle(reserve(accounts), 0.25)
    shared.start()
    for _ in range(3):
        await asyncio.sleep(0)
    assert len(runner.runs) == 1
    await shared.close()
    assert len(runner.runs) == 2 and runner.runs[1][1][3] == NANO // 4


async def test_many_sums_are_told_in_parts() -> None:
    """The shared place serves nobody else meanwhile."""
    runner = Runner()
    shared, accounts = share(runner)
    for number in range(100):
        accounts.reserve(f"tenant-{number}", 0.001, NOON)
    await shared.look(accounts.list_sums())
    assert [len(keys) for keys, _ in runner.runs] == [64, 37]


async def test_a_limit_that_is_gone_while_it_is_asked_about_leaves_room() -> None:
    """No limit is not one of nothing."""
    runner = Runner(None, [0, 0, 0])
    shared, accounts = share(runner, Budgets(tenant=Budget(day=1.0)))
    runner.gate.clear()
    accounts.adopt(Budgets(tenant=Budget(day=1.0)))
    shared.tell(accounts.look_up("a", NOON))
    await asyncio.sleep(0)
    asking = asyncio.create_task(shared.agree(reserve(accounts)))
    await asyncio.sleep(0)
    accounts.adopt(Budgets())
    runner.gate.set()
    assert await asking is None
    assert runner.runs[1][1][6] == 2**53 - 1


async def test_others_are_told_of_what_they_know_though_it_has_no_limit_here_any_more() -> None:
    """What was reserved there would count for them for ever; sums that they never heard of are not told."""
    runner = Runner()
    shared, accounts = share(runner, Budgets(tenant=Budget(day=1.0)))
    got = reserve(accounts)
    await shared.agree(got)
    accounts.adopt(Budgets())
    accounts.settle(got, 0.5)
    await shared.look(got.sums)
    keys, args = runner.runs[1]
    assert keys == [f"{{pre:budgets}}:1:{mark_account('a')}:2026-11-20"] and args[3:5] == [NANO // 2, 0]


async def test_other_sums_are_asked_by() -> None:
    """Those of now: what Redis keeps of a sum is the same whatever its limit."""
    runner = Runner()
    shared, accounts = share(runner, Budgets(tenant=Budget(day=1.0)))
    await shared.agree(reserve(accounts))
    accounts.adopt(Budgets(tenant=Budget(day=2.0)))
    await shared.agree(reserve(accounts))
    assert [run[1][6] for run in runner.runs] == [NANO, 2 * NANO] and runner.runs[0][0] == runner.runs[1][0]
